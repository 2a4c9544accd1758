#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/consensus/intent_fixture.h"

static void set_image(struct service_spec *spec, const char *image)
{
    free(spec->image);
    spec->image = strdup(image);
    assert_non_null(spec->image);
}

static int deploy_with_blob(struct fixture *f, struct service_spec *spec, const char *content)
{
    struct intent_blob blob = {.name = "hello_conf", .kind = SPEC_FILE_CONFIG};
    assert_int_equal(buffer_append_text(&blob.content, content), 0);
    struct command command = fixture_command(f, COMMAND_DEPLOY);
    command.deploy = (struct command_deploy){"hello", spec, 1, &blob, 1};
    int code = fixture_apply(f, &command);
    buffer_done(&blob.content);
    return code;
}

static int rollback(struct fixture *f, uint32_t revision)
{
    struct command command = fixture_command(f, COMMAND_ROLLBACK);
    command.rollback = (struct command_rollback){"hello_web", revision};
    return fixture_apply(f, &command);
}

/* Breaks if a deploy does not make revisions, addresses and rollouts as the header says. */
static void test_deploy(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec specs[2];
    fixture_init(&f, 1);
    fixture_spec(&specs[0], "web");
    fixture_spec(&specs[1], "db");
    specs[0].replicas = 3;
    assert_int_equal(fixture_deploy(&f, "hello", specs, 2), 0);
    assert_false(f.result.unchanged);
    struct intent_service *web = fixture_service(&f, "hello_web");
    assert_int_equal(web->replicas, 3);
    assert_int_equal(web->revision, 1);
    assert_int_equal(web->virtual_ip, INTENT_VIRTUAL_IP_FIRST);
    assert_int_equal(fixture_service(&f, "hello_db")->virtual_ip, INTENT_VIRTUAL_IP_FIRST + 1);
    assert_int_equal(web->rollout.state, INTENT_ROLLOUT_RUNNING);
    assert_int_equal(web->rollout.from, 0);
    assert_int_equal(web->rollout.to, 1);

    assert_int_equal(fixture_deploy(&f, "hello", specs, 2), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(web->revisions.count, 1);

    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, 1, ""), 0);
    set_image(&specs[0], "example/app:2");
    assert_int_equal(fixture_deploy(&f, "hello", specs, 2), 0);
    assert_int_equal(web->revision, 2);
    assert_int_equal(web->rollout.from, 1);
    assert_int_equal(web->rollout.to, 2);
    assert_int_equal(fixture_service(&f, "hello_db")->revision, 1);
    service_spec_done(&specs[0]);
    service_spec_done(&specs[1]);
    fixture_done(&f);
}

/* Breaks if other numbers of replicas replace containers that could run on. */
static void test_deploy_replicas_only(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    spec.replicas = 5;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_false(f.result.unchanged);
    assert_int_equal(f.result.revision, 1);
    assert_int_equal(fixture_service(&f, "hello_web")->replicas, 5);
    assert_int_equal(fixture_service(&f, "hello_web")->revision, 1);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a refused deploy leaves half of itself behind, or does not name what is in its way. */
static void test_deploy_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec specs[2];
    fixture_init(&f, 1);
    fixture_spec(&specs[0], "web");
    fixture_spec(&specs[1], "db");
    fixture_publish(&specs[0], 8080);
    assert_int_equal(fixture_deploy(&f, "one", specs, 1), 0);
    assert_int_equal(fixture_deploy(&f, "two", (struct service_spec[]){specs[1], specs[0]}, 2),
                     -EADDRINUSE);
    assert_non_null(strstr(f.result.error.message, "one_web"));
    assert_non_null(strstr(f.result.error.message, "8080/tcp"));
    assert_int_equal(f.intent->services.count, 1);
    assert_int_equal(fixture_deploy(&f, "one", (struct service_spec[]){specs[0], specs[0]}, 2),
                     -EINVAL);
    assert_int_equal(fixture_deploy(&f, "one", NULL, 0), -EINVAL);
    assert_int_equal(fixture_deploy(&f, "o ne", &specs[1], 1), -EINVAL);
    fixture_publish(&specs[1], 8080);
    assert_int_equal(fixture_deploy(&f, "one", specs, 2), -EADDRINUSE);
    fixture_publish(&specs[0], 8080);
    assert_int_equal(fixture_deploy(&f, "one", specs, 1), -EINVAL);
    specs[1].exclusive = true;
    specs[1].replicas = 2;
    assert_int_equal(fixture_deploy(&f, "two", &specs[1], 1), -EINVAL);
    fixture_show_config(&specs[0], "one_conf");
    specs[0].port_count = 1;
    assert_int_equal(fixture_deploy(&f, "one", specs, 1), -ENOENT);
    set_image(&specs[0], "");
    assert_int_equal(fixture_deploy(&f, "one", specs, 1), -EINVAL);
    assert_int_equal(fixture_service(&f, "one_web")->revision, 1);
    service_spec_done(&specs[0]);
    service_spec_done(&specs[1]);
    fixture_done(&f);
}

/* Breaks if what can't run, or would never fit, is deployed all the same. */
static void test_spec_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    strcpy(spec.name, "w eb");
    assert_int_equal(fixture_deploy(&f, "one", &spec, 1), -EINVAL);
    assert_non_null(strstr(f.result.error.hint, "letters"));
    strcpy(spec.name, "web");
    spec.replicas = INTENT_REPLICAS_MAX + 1;
    assert_int_equal(fixture_deploy(&f, "one", &spec, 1), -EINVAL);
    spec.replicas = 1;
    fixture_publish(&spec, 8080);
    spec.ports[0].target = 0;
    assert_int_equal(fixture_deploy(&f, "one", &spec, 1), -EINVAL);
    assert_non_null(strstr(f.result.error.message, "target"));
    spec.ports[0].target = 80;

    struct intent_blob blobs[2] = {{.name = "one_a", .kind = SPEC_FILE_CONFIG},
                                   {.name = "one_a", .kind = SPEC_FILE_CONFIG}};
    struct command command = fixture_command(&f, COMMAND_DEPLOY);
    strcpy(command.deploy.stack, "one");
    command.deploy.services = &spec;
    command.deploy.service_count = 1;
    command.deploy.blobs = blobs;
    command.deploy.blob_count = 2;
    assert_int_equal(fixture_apply(&f, &command), -EINVAL);
    assert_non_null(strstr(f.result.error.message, "twice"));
    strcpy(blobs[1].name, "one b");
    assert_int_equal(fixture_apply(&f, &command), -EINVAL);
    assert_int_equal(f.intent->services.count, 0);
    assert_int_equal(f.intent->blobs.count, 0);
    command.deploy.blob_count = 1;
    assert_int_equal(fixture_apply(&f, &command), 0);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a port of the same number but another protocol, or of a service that goes, is refused.
 */
static void test_ports_free_again(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec web, other;
    fixture_init(&f, 1);
    fixture_spec(&web, "web");
    fixture_spec(&other, "other");
    fixture_publish(&web, 8080);
    fixture_publish(&other, 8080);
    assert_int_equal(fixture_deploy(&f, "one", &web, 1), 0);
    other.ports[0].protocol = SPEC_UDP;
    assert_int_equal(fixture_deploy(&f, "two", &other, 1), 0);
    other.ports[0].protocol = SPEC_TCP;
    assert_int_equal(fixture_deploy(&f, "two", &other, 1), -EADDRINUSE);
    assert_int_equal(fixture_add(&f, "one_web", 1, 1, 0), 0);
    assert_int_equal(fixture_remove(&f, "one_web", false), 0);
    assert_int_equal(fixture_deploy(&f, "two", &other, 1), 0);
    assert_int_equal(fixture_deploy(&f, "one", &web, 1), -EADDRINUSE);
    service_spec_done(&web);
    service_spec_done(&other);
    fixture_done(&f);
}

static void set_address(struct service_spec *spec, const char *network, uint32_t ip)
{
    spec->networks = calloc(1, sizeof(*spec->networks));
    spec->networks[0].name = strdup(network);
    spec->networks[0].addresses[0] = address_from_v4(ip, 0);
    spec->networks[0].address_count = spec->network_count = 1;
}

/* Breaks if two services get one address in a network, by whatever way; or can't have it in two, or
 * after one another. */
static void test_addresses(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec web, other, pair[2];
    fixture_init(&f, 1);
    assert_int_equal(fixture_raise(&f), 0);
    fixture_spec(&web, "web");
    fixture_spec(&other, "web");
    set_address(&web, "lan", 0xac1c0005);
    set_address(&other, "lan", 0xac1c0005);
    assert_int_equal(fixture_deploy(&f, "one", &web, 1), 0);
    assert_int_equal(fixture_deploy(&f, "one", &web, 1), 0); /* its own */
    assert_int_equal(fixture_deploy(&f, "two", &other, 1), -EADDRINUSE);
    assert_non_null(strstr(f.result.error.message, "172.28.0.5"));
    assert_non_null(strstr(f.result.error.message, "one_web"));
    other.networks[0].addresses[0] = address_from_v4(0xac1c0006, 0);
    assert_int_equal(fixture_deploy(&f, "two", &other, 1), 0);
    other.networks[0].addresses[0] = address_from_v4(0xac1c0005, 0);
    struct command command = fixture_command(&f, COMMAND_UPDATE);
    command.update = (struct command_update){"two_web", other};
    assert_int_equal(fixture_apply(&f, &command), -EADDRINUSE);
    other.networks[0].name[0] = 'w';
    assert_int_equal(fixture_deploy(&f, "two", &other, 1), 0); /* in another network */
    for (unsigned i = 0; i < 2; i++) {
        fixture_spec(&pair[i], i ? "b" : "a");
        set_address(&pair[i], "pair", 0xac1c0005);
    }
    assert_int_equal(fixture_deploy(&f, "three", pair, 2), -EADDRINUSE);
    assert_int_equal(fixture_remove(&f, "one", true), 0);
    other.networks[0].name[0] = 'l';
    assert_int_equal(fixture_deploy(&f, "two", &other, 1), 0);
    service_spec_done(&web);
    service_spec_done(&other);
    service_spec_done(&pair[0]);
    service_spec_done(&pair[1]);
    fixture_done(&f);
}

/* Breaks if services that a file no longer has stay, go before their replicas, or can't come back.
 */
static void test_absent_and_back(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec specs[3];
    fixture_init(&f, 1);
    fixture_spec(&specs[0], "web");
    fixture_spec(&specs[1], "db");
    fixture_spec(&specs[2], "idle");
    assert_int_equal(fixture_deploy(&f, "hello", specs, 3), 0);
    assert_int_equal(fixture_add(&f, "hello_db", 1, 1, 0), 0);
    assert_int_equal(fixture_deploy(&f, "hello", specs, 1), 0);
    assert_true(fixture_service(&f, "hello_db")->removing);
    assert_null(intent_service_find(f.intent, "hello_idle"));
    assert_false(fixture_service(&f, "hello_web")->removing);
    assert_int_equal(fixture_scale(&f, "hello_db", 2), -ENOENT);

    assert_int_equal(fixture_deploy(&f, "hello", specs, 2), 0);
    assert_false(fixture_service(&f, "hello_db")->removing);
    assert_int_equal(fixture_service(&f, "hello_db")->revision, 2);
    assert_int_equal(fixture_service(&f, "hello_db")->rollout.from, 0);

    assert_int_equal(fixture_remove(&f, "hello", true), 0);
    assert_null(intent_service_find(f.intent, "hello_web"));
    assert_int_equal(fixture_remove(&f, "hello", true), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(fixture_end(&f, COMMAND_PLACE_DELETE, 1), 0);
    assert_int_equal(f.intent->services.count, 0);
    assert_int_equal(fixture_remove(&f, "hello", true), -ENOENT);
    assert_int_equal(fixture_remove(&f, "hello_db", false), -ENOENT);
    for (int i = 0; i < 3; i++)
        service_spec_done(&specs[i]);
    fixture_done(&f);
}

/* Breaks if configs outlive the revisions that show them, or their change reaches nobody. */
static void test_blobs(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    fixture_show_config(&spec, "hello_conf");
    assert_int_equal(deploy_with_blob(&f, &spec, "one"), 0);
    assert_non_null(intent_blob_find(f.intent, SPEC_FILE_CONFIG, "hello_conf"));
    assert_int_equal(deploy_with_blob(&f, &spec, "one"), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0); /* it is there already */
    assert_true(f.result.unchanged);
    assert_int_equal(deploy_with_blob(&f, &spec, "two"), 0);
    assert_int_equal(fixture_service(&f, "hello_web")->revision, 2);
    spec.files[0].kind = SPEC_FILE_SECRET;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), -ENOENT);
    assert_int_equal(fixture_remove(&f, "hello_web", false), 0);
    assert_int_equal(f.intent->blobs.count, 0);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if scaling does what a mode forbids, or rolls out. */
static void test_scale(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec specs[3];
    fixture_init(&f, 1);
    fixture_spec(&specs[0], "web");
    fixture_spec(&specs[1], "agent");
    fixture_spec(&specs[2], "one");
    specs[1].mode = SPEC_GLOBAL;
    specs[2].exclusive = true;
    assert_int_equal(fixture_deploy(&f, "hello", specs, 3), 0);
    uint64_t rollout = fixture_service(&f, "hello_web")->rollout.id;
    assert_int_equal(fixture_scale(&f, "hello_web", 4), 0);
    assert_int_equal(fixture_service(&f, "hello_web")->replicas, 4);
    assert_int_equal(fixture_service(&f, "hello_web")->rollout.id, rollout);
    assert_string_equal(fixture_last_event(&f)->text, "from 1 to 4 replicas");
    assert_int_equal(fixture_scale(&f, "hello_web", 4), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(fixture_scale(&f, "hello_web", 0), 0);
    assert_int_equal(fixture_scale(&f, "hello_web", INTENT_REPLICAS_MAX + 1), -EINVAL);
    assert_int_equal(fixture_scale(&f, "hello_agent", 4), -EINVAL);
    assert_int_equal(fixture_scale(&f, "hello_one", 2), -EINVAL);
    assert_int_equal(fixture_scale(&f, "hello_none", 2), -ENOENT);
    for (int i = 0; i < 3; i++)
        service_spec_done(&specs[i]);
    fixture_done(&f);
}

/* Breaks if an update of one service is not what a deploy of it would be. */
static void test_update(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    struct command command = fixture_command(&f, COMMAND_UPDATE);
    command.update = (struct command_update){"hello_web", spec};
    assert_int_equal(fixture_apply(&f, &command), 0);
    assert_true(f.result.unchanged);
    command.update.spec.stop_grace_ms = 1;
    assert_int_equal(fixture_apply(&f, &command), 0);
    assert_int_equal(f.result.revision, 2);
    assert_int_equal(fixture_service(&f, "hello_web")->rollout.to, 2);
    memcpy(command.update.spec.name, "wob", 4);
    assert_int_equal(fixture_apply(&f, &command), -EINVAL);
    memcpy(command.update.service, "hello_wob", 10);
    assert_int_equal(fixture_apply(&f, &command), -ENOENT);
    service_spec_done(&spec);
    fixture_done(&f);
}

static int update(struct fixture *f, const struct service_spec *spec)
{
    struct command command = fixture_command(f, COMMAND_UPDATE);
    command.update = (struct command_update){"hello_web", *spec};
    return fixture_apply(f, &command);
}

/* Breaks if containers are replaced for new limits, or keep their limits for what needs new ones.
 */
static void test_limits_in_place(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    spec.replicas = 2;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0);
    const struct intent_service *service = fixture_service(&f, "hello_web");
    const struct intent_replica *replica = intent_replica_find(f.intent, 1);
    spec.resources.memory_limit_bytes = 64 << 20; /* while the first is rolled out: as any other */
    assert_int_equal(update(&f, &spec), 0);
    assert_int_equal(service->rollout.state, INTENT_ROLLOUT_RUNNING);
    assert_int_equal(replica->revision, 1);
    assert_int_equal(fixture_end(&f, COMMAND_PLACE_DELETE, 1), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 2, 0), 0);
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, 2, ""), 0);
    replica = intent_replica_find(f.intent, 2);
    spec.resources.memory_limit_bytes = 128 << 20;
    spec.resources.cpu_limit_millis = 500;
    assert_int_equal(update(&f, &spec), 0);
    assert_int_equal(service->revision, 3);
    assert_int_equal(service->rollout.state, INTENT_ROLLOUT_DONE);
    assert_int_equal(service->rollout.from, 2);
    assert_int_equal(replica->revision, 3);
    assert_int_equal(replica->want, INTENT_RUN);
    assert_int_equal(rollback(&f, 2), 0); /* and back, in place too */
    assert_int_equal(service->rollout.state, INTENT_ROLLOUT_DONE);
    assert_int_equal(replica->revision, 2);
    spec.resources.memory_limit_bytes = 256 << 20;
    spec.stop_grace_ms = 77; /* something else as well */
    assert_int_equal(update(&f, &spec), 0);
    assert_int_equal(service->rollout.state, INTENT_ROLLOUT_RUNNING);
    assert_int_equal(replica->revision, 2);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a rollback goes elsewhere than to a revision that is known. */
static void test_rollback(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(rollback(&f, 0), -ENOENT);
    for (uint32_t i = 2; i <= INTENT_REVISIONS_MAX + 5; i++) {
        spec.stop_grace_ms = i;
        assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, i - 1, ""), 0);
        assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    }
    struct intent_service *web = fixture_service(&f, "hello_web");
    assert_int_equal(web->revisions.count, INTENT_REVISIONS_MAX);
    assert_int_equal(rollback(&f, 1), -ENOENT);
    assert_non_null(strstr(f.result.error.hint, "known revisions: 6 7"));
    assert_int_equal(rollback(&f, 0), 0);
    assert_int_equal(f.result.revision, INTENT_REVISIONS_MAX + 4);
    assert_int_equal(web->revision, INTENT_REVISIONS_MAX + 4);
    assert_int_equal(web->rollout.state, INTENT_ROLLOUT_RUNNING);
    assert_int_equal(rollback(&f, INTENT_REVISIONS_MAX + 4), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(rollback(&f, INTENT_REVISIONS_MAX + 5), 0); /* and forth again */
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a revision is dropped that replicas still run, or that a failing rollout returns to. */
static void test_revisions_kept(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0);
    spec.stop_grace_ms = 1;
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, 1, ""), 0);
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, 2, ""), 0);
    for (uint32_t i = 2; i < 30; i++) {
        spec.stop_grace_ms = i;
        assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
        assert_int_equal(fixture_service(&f, "hello_web")->rollout.from, 2);
    }
    struct intent_service *web = fixture_service(&f, "hello_web");
    assert_int_equal(web->revisions.count, INTENT_REVISIONS_MAX);
    assert_non_null(intent_revision_find(web, 1));
    assert_non_null(intent_revision_find(web, 2));
    assert_null(intent_revision_find(web, 3));
    service_spec_done(&spec);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deploy),         cmocka_unit_test(test_deploy_replicas_only),
        cmocka_unit_test(test_deploy_refused), cmocka_unit_test(test_ports_free_again),
        cmocka_unit_test(test_addresses),      cmocka_unit_test(test_absent_and_back),
        cmocka_unit_test(test_blobs),          cmocka_unit_test(test_scale),
        cmocka_unit_test(test_update),         cmocka_unit_test(test_limits_in_place),
        cmocka_unit_test(test_rollback),       cmocka_unit_test(test_revisions_kept),
        cmocka_unit_test(test_spec_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
