#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/peer/anonymous.h"
#include "node/peer/replica_spec.h"
#include "tests/unit/consensus/intent_fixture.h"

static const char digest[] =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static int make(struct fixture *f, uint64_t generation, struct container_spec *ret,
                struct error *error)
{
    const struct intent_replica *replica = intent_replica_find(f->intent, generation);
    assert_non_null(replica);
    const struct agent_wanted wanted = {.replica = replica,
                                        .service = fixture_service(f, replica->service),
                                        .spec = intent_spec_of(f->intent, replica)};
    return replica_spec_make(&wanted, f->intent, "s_web.2.1", ret, error);
}

static struct spec_mount *add_mounts(struct service_spec *spec, size_t count)
{
    spec->mounts = calloc(count, sizeof(*spec->mounts));
    assert_non_null(spec->mounts);
    spec->mount_count = count;
    return spec->mounts;
}

static void add_file(struct service_spec *spec, const char *source)
{
    spec->files = calloc(1, sizeof(*spec->files));
    assert_non_null(spec->files);
    spec->file_count = 1;
    spec->files[0] = (struct spec_file){.kind = SPEC_FILE_SECRET,
                                        .source = strdup(source),
                                        .target = strdup("/run/secrets/key"),
                                        .uid = 7,
                                        .gid = 8,
                                        .mode = 0400};
}

/* As stack "s", with its secret; the spec is freed. */
static void deploy(struct fixture *f, struct service_spec *spec)
{
    struct intent_blob blob;
    struct command command = fixture_command(f, COMMAND_DEPLOY);
    fixture_secret(&blob, "s_key", "hush", 1);
    command.deploy.stack[0] = 's';
    command.deploy.services = spec;
    command.deploy.service_count = 1;
    command.deploy.blobs = &blob;
    command.deploy.blob_count = 1;
    assert_int_equal(fixture_apply(f, &command), 0);
    intent_blob_done(&blob);
    service_spec_done(spec);
}

static void fill(struct service_spec *spec)
{
    spec->image_digest = strdup(digest);
    spec->user = strdup("1000:1000");
    spec->working_dir = strdup("/srv");
    spec->stop_signal = strdup("SIGQUIT");
    spec->stop_grace_ms = 4321;
    spec->read_only = spec->init = true;
    spec->replicas = 2;
    spec->resources.cpu_limit_millis = 500;
    spec->resources.memory_limit_bytes = 64 << 20;
    spec->resources.pids_limit = 99;
    spec->restart = (struct spec_restart){
        .condition = SPEC_RESTART_ON_FAILURE, .delay_ms = 11, .max_attempts = 3, .window_ms = 22};
    spec->health.interval_ms = 33;
    spec->health.retries = 5;
    assert_int_equal(text_list_add(&spec->health.test, "true"), 0);
    assert_int_equal(text_list_add(&spec->command, "httpd"), 0);
    assert_int_equal(text_list_add(&spec->entrypoint, "/init"), 0);
    assert_int_equal(text_list_add(&spec->environment, "A=b"), 0);
    assert_int_equal(text_list_add(&spec->extra_hosts, "db:10.0.0.1"), 0);
    assert_int_equal(text_list_add(&spec->cap_add, "NET_ADMIN"), 0);
    assert_int_equal(text_list_add(&spec->cap_drop, "CHOWN"), 0);
    assert_int_equal(text_list_add(&spec->labels, "team=ops"), 0);
    struct spec_hook *hook = spec_hook_add(&spec->post_start, &spec->post_start_count);
    assert_int_equal(text_list_add(&hook->command, "migrate"), 0);
    hook->user = strdup("root");
    hook = spec_hook_add(&spec->pre_stop, &spec->pre_stop_count);
    assert_int_equal(text_list_add(&hook->command, "flush"), 0);
    hook->privileged = true;
    struct spec_mount *mounts = add_mounts(spec, 5);
    mounts[0] = (struct spec_mount){
        .type = SPEC_MOUNT_VOLUME, .source = strdup("s_data"), .target = strdup("/data")};
    mounts[1] = (struct spec_mount){.type = SPEC_MOUNT_VOLUME, .target = strdup("/cache")};
    mounts[2] = (struct spec_mount){.type = SPEC_MOUNT_BIND,
                                    .source = strdup("/etc/hosts"),
                                    .propagation = SPEC_PROPAGATION_RSLAVE,
                                    .target = strdup("/hosts"),
                                    .read_only = true};
    mounts[3] = (struct spec_mount){
        .type = SPEC_MOUNT_TMPFS, .target = strdup("/tmp"), .size_bytes = 1 << 20};
    mounts[4] = (struct spec_mount){.type = SPEC_MOUNT_IMAGE,
                                    .source = strdup("assets:1"),
                                    .target = strdup("/assets"),
                                    .subpath = strdup("www"),
                                    .image_digest = strdup(digest)};
    add_file(spec, "s_key");
}

static void assert_mounts(const struct container_spec *made)
{
    assert_int_equal(made->mount_count, 6);
    assert_int_equal(made->mounts[0].type, MOUNT_VOLUME);
    assert_string_equal(made->mounts[0].source, "s_data");
    char own[ANONYMOUS_NAME_BYTES];
    anonymous_name("s_web", 2, "/cache", own);
    assert_true(made->mounts[1].is_anonymous);
    assert_string_equal(made->mounts[1].source, own);
    assert_int_equal(made->mounts[2].type, MOUNT_BIND);
    assert_true(made->mounts[2].read_only);
    assert_string_equal(made->mounts[2].source, "/etc/hosts");
    assert_string_equal(made->mounts[2].propagation, "rslave");
    assert_int_equal(made->mounts[3].type, MOUNT_TMPFS);
    assert_int_equal(made->mounts[3].size_bytes, 1 << 20);
    assert_int_equal(made->mounts[4].type, MOUNT_IMAGE);
    assert_string_equal(made->mounts[4].source, digest);
    assert_string_equal(made->mounts[4].subpath, "www");
    assert_int_equal(made->mounts[5].type, MOUNT_FILE);
    assert_string_equal(made->mounts[5].target, "/run/secrets/key");
    assert_int_equal(made->mounts[5].content.size, 0); /* it is told which, and no more */
    assert_string_equal(made->mounts[5].secret, "s_key");
    assert_int_equal(made->mounts[5].secret_version, 2);
    assert_int_equal(made->mounts[5].mode, 0400);
    assert_int_equal(made->mounts[5].uid, 7);
    assert_int_equal(made->mounts[5].gid, 8);
    assert_true(made->mounts[5].read_only);
}

/* Breaks if anything that was deployed does not reach the container. */
static void test_all(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    struct container_spec made;
    struct error error = {0};
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    fill(&spec);
    deploy(&f, &spec);
    assert_int_equal(fixture_add(&f, "s_web", 2, 1, 0), 0);
    assert_int_equal(make(&f, 1, &made, &error), 0);

    assert_string_equal(made.id, "s_web.2.1");
    assert_string_equal(made.name, "s_web.2");
    assert_string_equal(made.hostname, "s_web.2");
    assert_string_equal(made.image, digest);
    assert_string_equal(made.image_name, "example/app:1");
    assert_string_equal(made.user, "1000:1000");
    assert_string_equal(made.working_dir, "/srv");
    assert_int_equal(made.stop_signal, SIGQUIT);
    assert_int_equal(made.stop_grace_ms, 4321);
    assert_true(made.read_only && made.init);
    assert_int_equal(made.cpu_millicores, 500);
    assert_int_equal(made.memory_bytes, 64 << 20);
    assert_int_equal(made.pids_max, 99);
    assert_int_equal(made.restart.policy, RESTART_ON_FAILURE);
    assert_int_equal(made.restart.delay_ms, 11);
    assert_int_equal(made.restart.attempts_max, 3);
    assert_int_equal(made.restart.window_ms, 22);
    assert_int_equal(made.health.interval_ms, 33);
    assert_int_equal(made.health.retries, 5);
    assert_string_equal(made.health.command.items[0], "true");
    assert_string_equal(made.command.items[0], "httpd");
    assert_string_equal(made.entrypoint.items[0], "/init");
    assert_string_equal(made.environment.items[0], "A=b");
    assert_string_equal(made.extra_hosts.items[0], "db:10.0.0.1");
    assert_string_equal(made.capability_add.items[0], "NET_ADMIN");
    assert_string_equal(made.capability_drop.items[0], "CHOWN");
    assert_int_equal(made.labels.count, 2);
    assert_string_equal(made.labels.items[0], "team=ops");
    assert_string_equal(made.labels.items[1], "consort.service=s_web");
    assert_int_equal(made.post_start.count, 1);
    assert_string_equal(made.post_start.items[0].command.items[0], "migrate");
    assert_string_equal(made.post_start.items[0].user, "root");
    assert_int_equal(made.pre_stop.count, 1);
    assert_true(made.pre_stop.items[0].privileged);
    assert_mounts(&made);
    container_spec_done(&made);
    fixture_done(&f);
}

/* Breaks if a replica starts without a secret that it was to have, or the error does not name it.
 */
static void test_no_secret(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    struct container_spec made = {.id = NULL};
    struct error error = {0};
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    add_file(&spec, "s_key");
    deploy(&f, &spec);
    assert_int_equal(fixture_add(&f, "s_web", 1, 1, 0), 0);
    struct intent_blob *removed =
        table_remove(&f.intent->blobs, intent_blob_find(f.intent, SPEC_FILE_SECRET, "s_key"));
    assert_non_null(removed);
    assert_int_equal(make(&f, 1, &made, &error), -ENOENT);
    assert_non_null(strstr(error.message, "secret s_key"));
    assert_null(made.id);
    intent_blob_done(removed);
    free(removed);
    fixture_done(&f);
}

/* Breaks if a stop signal is not what its name says, by whatever name. */
static void test_signals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int number;
    } cases[] = {{"SIGTERM", SIGTERM}, {"TERM", SIGTERM}, {"15", SIGTERM}, {"USR1", SIGUSR1},
                 {"SIGNOTHING", 0},    {"0", 0},          {"1000", 0},     {"-9", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fixture f;
        struct service_spec spec;
        struct container_spec made;
        struct error error = {0};
        fixture_init(&f, 1);
        fixture_spec(&spec, "web");
        spec.stop_signal = strdup(cases[i].text);
        assert_int_equal(fixture_deploy(&f, "s", &spec, 1), 0);
        service_spec_done(&spec);
        assert_int_equal(fixture_add(&f, "s_web", 1, 1, 0), 0);
        assert_int_equal(make(&f, 1, &made, &error), 0);
        assert_int_equal(made.stop_signal, cases[i].number);
        container_spec_done(&made);
        fixture_done(&f);
    }
}

/* Breaks if a replica whose service's name is long gets a host name that no container can have, and
 * so never starts; or if two replicas of one service get the same. */
static void test_long_name(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    struct container_spec made;
    struct error error = {0};
    char name[BASE_NAME_BYTES_MAX + 1];
    memset(name, 'w', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    fixture_init(&f, 1);
    fixture_spec(&spec, name);
    spec.replicas = 12;
    spec.image_digest = strdup("sha256:00");
    assert_int_equal(fixture_deploy(&f, "shop", &spec, 1), 0);
    service_spec_done(&spec);
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    snprintf(service, sizeof(service), "shop_%s", name);
    assert_int_equal(fixture_add(&f, service, 12, 1, 0), 0);
    assert_int_equal(make(&f, 1, &made, &error), 0);
    assert_int_equal(container_spec_check(&made, &error), 0);
    assert_int_equal(strlen(made.hostname), BASE_NAME_BYTES_MAX);
    assert_string_equal(made.hostname + BASE_NAME_BYTES_MAX - 4, "w.12");
    container_spec_done(&made);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_no_secret),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_long_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
