/* If this fails, `consort deploy --check` shows something else than would be deployed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "node/cli/deploy.h"

static void add_mount(struct service_spec *spec, enum spec_mount_type type, const char *source)
{
    struct spec_mount *mount = service_spec_add_mount(spec);
    assert_non_null(mount);
    mount->type = (uint8_t)type;
    mount->source = strdup(source);
    mount->target = strdup("/data");
}

/* Two services, of which one mounts data. */
static void make(struct compose_result *ret)
{
    *ret = (struct compose_result){.stack = "shop", .service_count = 2};
    ret->services = calloc(2, sizeof(*ret->services));
    assert_non_null(ret->services);
    for (size_t i = 0; i < 2; i++) {
        struct service_spec *spec = &ret->services[i];
        service_spec_init(spec);
        snprintf(spec->name, sizeof(spec->name), "%s", i == 0 ? "web" : "db");
        spec->image = strdup(i == 0 ? "nginx:1" : "postgres:16");
    }
    ret->services[0].replicas = 3;
    ret->services[0].ports = calloc(2, sizeof(struct spec_port));
    assert_non_null(ret->services[0].ports);
    ret->services[0].ports[0] = (struct spec_port){8080, 80, SPEC_TCP};
    ret->services[0].ports[1] = (struct spec_port){0, 53, SPEC_UDP};
    ret->services[0].port_count = 2;
    ret->services[1].mode = SPEC_GLOBAL;
    add_mount(&ret->services[1], SPEC_MOUNT_VOLUME, "shop_data");
    add_mount(&ret->services[1], SPEC_MOUNT_BIND, "/srv");
}

static void done(struct compose_result *loaded)
{
    for (size_t i = 0; i < loaded->service_count; i++)
        service_spec_done(&loaded->services[i]);
    free(loaded->services);
}

static void assert_report(const json_t *plan, const char *reason, const char *expected)
{
    struct compose_result loaded;
    struct buffer text = {0};
    make(&loaded);
    json_t *report = deploy_report(&loaded, plan, reason);
    assert_non_null(report);
    deploy_format_report(report, &text);
    json_decref(report);
    done(&loaded);
    char *shown = buffer_take_text(&text);
    assert_string_equal(shown, expected);
    free(shown);
}

/* Breaks if what could not be checked is not said. */
static void test_alone(void **state)
{
    (void)state;
    assert_report(NULL, "no peer answers",
                  "SERVICE    REPLICAS     IMAGE         PORTS\n"
                  "shop_web   3            nginx:1       8080:80, 53/udp\n"
                  "shop_db    one a peer   postgres:16   -\n"
                  "networks: shop_default\n"
                  "volumes: shop_data\n"
                  "host paths: /srv\n"
                  "not checked: what it would change, the images, and whether its ports and names "
                  "are free (no peer answers)\n"
                  "shop: can be deployed, as far as the files say; nothing was changed\n");
}

/* Breaks if a change is shown at another service, or one that would go is not. */
static void test_compared(void **state)
{
    (void)state;
    json_t *plan = json_pack(
        "{s:[{s:s, s:s, s:i, s:i, s:[s, s]}, {s:s, s:s, s:i, s:i, s:[]}], s:[s], s:[s]}",
        "services", "name", "web", "change", "update", "revision", 4, "replicas", 3, "differs_in",
        "image", "ports", "name", "db", "change", "new", "revision", 0, "replicas", 0, "differs_in",
        "removed", "shop_cache", "missing_images", "postgres:16");
    assert_non_null(plan);
    assert_report(plan, "",
                  "SERVICE    REPLICAS     IMAGE         PORTS             CHANGE\n"
                  "shop_web   3            nginx:1       8080:80, 53/udp   updated from revision "
                  "4: image, ports\n"
                  "shop_db    one a peer   postgres:16   -                 new\n"
                  "networks: shop_default\n"
                  "volumes: shop_data\n"
                  "host paths: /srv\n"
                  "removed: shop_cache\n"
                  "images that no peer has, to be pulled: postgres:16\n"
                  "shop: can be deployed; nothing was changed\n");
    json_decref(plan);
}

/* Breaks if a peer that answers nonsense brings the command down. */
static void test_nonsense(void **state)
{
    (void)state;
    json_t *plan = json_pack("{s:[i, {}, {s:i}], s:i, s:[i]}", "services", 1, "name", 2, "removed",
                             3, "missing_images", 4);
    struct compose_result loaded;
    struct buffer text = {0};
    make(&loaded);
    json_t *report = deploy_report(&loaded, plan, "");
    assert_non_null(report);
    deploy_format_report(report, &text);
    assert_true(text.size > 0);
    buffer_done(&text);
    json_decref(report);
    json_decref(plan);
    done(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_compared),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
