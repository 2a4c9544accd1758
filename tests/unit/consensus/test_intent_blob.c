/* Configs and secrets: those that no stack brings, and the versions that revisions show. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/unit/consensus/intent_fixture.h"

enum { NO_EXPECTATION = -1 };

static int set_kind(struct fixture *f, uint8_t kind, const char *name, const char *content,
                    int64_t expected)
{
    struct command command = fixture_command(f, COMMAND_BLOB_SET);
    struct command_blob_set *set = &command.blob_set;
    if (kind == SPEC_FILE_SECRET) {
        fixture_secret(&set->blob, name, content, 1);
    } else {
        set->blob.kind = kind;
        snprintf(set->blob.name, sizeof(set->blob.name), "%s", name);
        assert_int_equal(buffer_append_text(&set->blob.content, content), 0);
    }
    set->has_expected = expected != NO_EXPECTATION;
    set->expected = (uint64_t)expected;
    int code = fixture_apply(f, &command);
    intent_blob_done(&set->blob);
    return code;
}

static int set(struct fixture *f, const char *name, const char *content)
{
    return set_kind(f, SPEC_FILE_CONFIG, name, content, NO_EXPECTATION);
}

static int drop(struct fixture *f, uint8_t kind, const char *name)
{
    struct command command = fixture_command(f, COMMAND_BLOB_REMOVE);
    command.blob_remove.kind = kind;
    snprintf(command.blob_remove.name, sizeof(command.blob_remove.name), "%s", name);
    return fixture_apply(f, &command);
}

static uint64_t newest(const struct fixture *f, const char *name)
{
    const struct intent_blob *blob = intent_blob_find(f->intent, SPEC_FILE_CONFIG, name);
    return blob ? blob->version : 0;
}

/* A spec of "web" that shows one config. */
static void spec_with(struct service_spec *spec, const char *config)
{
    fixture_spec(spec, "web");
    spec->files = calloc(1, sizeof(*spec->files));
    assert_non_null(spec->files);
    spec->file_count = 1;
    spec->files[0].source = strdup(config);
    spec->files[0].target = strdup("/etc/conf");
}

static uint64_t version_of_revision(const struct fixture *f, uint32_t number)
{
    const struct intent_revision *revision =
        intent_revision_find(fixture_service(f, "hello_web"), number);
    assert_non_null(revision);
    return revision->spec.files[0].version;
}

static int update(struct fixture *f, const struct service_spec *spec)
{
    struct command command = fixture_command(f, COMMAND_UPDATE);
    command.update = (struct command_update){"hello_web", *spec};
    return fixture_apply(f, &command);
}

static int rollback(struct fixture *f, uint32_t revision)
{
    struct command command = fixture_command(f, COMMAND_ROLLBACK);
    command.rollback = (struct command_rollback){"hello_web", revision};
    return fixture_apply(f, &command);
}

/* Breaks if a version is not the index of the entry that set it, or nobody learns who did it. */
static void test_set(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 1);
    assert_int_equal(set(&f, "app", "one"), 0);
    uint64_t first = f.result.version;
    assert_int_equal(first, f.index);
    const struct intent_blob *blob = intent_blob_find(f.intent, SPEC_FILE_CONFIG, "app");
    assert_int_equal(blob->version, first);
    assert_string_equal(blob->actor, "ann");
    assert_string_equal(blob->stack, "");
    assert_true(blob->wall_ms > 0);
    assert_true(bytes_equal(buffer_view(&blob->content), bytes_of_text("one")));
    assert_string_equal(fixture_last_event(&f)->kind, "config");
    assert_string_equal(fixture_last_event(&f)->subject, "app");
    assert_string_equal(fixture_last_event(&f)->actor, "ann");

    size_t events = f.intent->history_count;
    assert_int_equal(set(&f, "app", "one"), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(f.result.version, first);
    assert_int_equal(f.intent->history_count, events);
    assert_int_equal(set(&f, "app", "two"), 0);
    assert_false(f.result.unchanged);
    assert_int_equal(newest(&f, "app"), f.index);
    assert_int_equal(f.intent->blobs.count, 1); /* nobody shows the first version */

    assert_int_equal(set_kind(&f, SPEC_FILE_SECRET, "app", "hush", NO_EXPECTATION), 0);
    assert_int_equal(f.intent->blobs.count, 2); /* a secret of that name is another thing */
    assert_string_equal(fixture_last_event(&f)->kind, "secret");
    assert_non_null(strstr(fixture_last_event(&f)->text, " 4 bytes"));
    assert_null(strstr(fixture_last_event(&f)->text, "hush"));
    fixture_done(&f);
}

/* Breaks if two who change a config at once can both be told that they did. */
static void test_compare_and_set(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 1);
    assert_int_equal(set_kind(&f, SPEC_FILE_CONFIG, "app", "one", 7), -EBADE);
    assert_int_equal(set_kind(&f, SPEC_FILE_CONFIG, "app", "one", 0), 0);
    uint64_t first = f.result.version;
    assert_int_equal(set_kind(&f, SPEC_FILE_CONFIG, "app", "two", 0), -EBADE);
    assert_int_equal(set_kind(&f, SPEC_FILE_CONFIG, "app", "two", (int64_t)first), 0);
    assert_int_equal(set_kind(&f, SPEC_FILE_CONFIG, "app", "three", (int64_t)first), -EBADE);
    char words[64];
    snprintf(words, sizeof(words), "is at version %u, not at %u", (unsigned)newest(&f, "app"),
             (unsigned)first);
    assert_non_null(strstr(f.result.error.message, words));
    assert_true(
        bytes_equal(buffer_view(&intent_blob_find(f.intent, SPEC_FILE_CONFIG, "app")->content),
                    bytes_of_text("two")));

    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "app"), 0);
    assert_int_equal(set_kind(&f, SPEC_FILE_CONFIG, "app", "two", (int64_t)first), -EBADE);
    assert_int_equal(set_kind(&f, SPEC_FILE_CONFIG, "app", "two", 0), 0);
    assert_true(f.result.version > first); /* never the number of a version that was */
    fixture_done(&f);
}

/* Breaks if a command that is sent twice counts twice, or its second answer says something else. */
static void test_sent_twice(void **state)
{
    (void)state;
    struct fixture f;
    struct command command;
    fixture_init(&f, 1);
    command = fixture_command(&f, COMMAND_BLOB_SET);
    command.head.client = 5;
    command.head.sequence = 1;
    command.blob_set.has_expected = true;
    strcpy(command.blob_set.blob.name, "app");
    assert_int_equal(fixture_apply(&f, &command), 0);
    uint64_t version = f.result.version;
    assert_true(version > 0);
    assert_int_equal(fixture_apply(&f, &command), 0);
    assert_int_equal(f.result.version, version);
    assert_int_equal(newest(&f, "app"), version);
    fixture_done(&f);
}

/* Breaks if what is set changes what runs before somebody deploys, or a revision that is returned
 * to shows something else than it did. */
static void test_versions_of_revisions(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec, copy;
    fixture_init(&f, 1);
    spec_with(&spec, "app");
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), -ENOENT);
    assert_non_null(strstr(f.result.error.hint, "consort config set app"));
    assert_int_equal(set(&f, "app", "one"), 0);
    uint64_t first = f.result.version;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(version_of_revision(&f, 1), first);
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_true(f.result.unchanged);

    assert_int_equal(set(&f, "app", "two"), 0);
    uint64_t second = f.result.version;
    assert_int_equal(f.intent->blobs.count, 2);
    assert_int_equal(fixture_service(&f, "hello_web")->revision, 1);
    assert_int_equal(
        service_spec_copy(&intent_revision_find(fixture_service(&f, "hello_web"), 1)->spec, &copy),
        0);
    assert_int_equal(update(&f, &copy), 0);
    assert_true(f.result.unchanged); /* an update that names the version keeps it */
    copy.files[0].version = 0;
    assert_int_equal(update(&f, &copy), 0);
    assert_int_equal(version_of_revision(&f, 2), second);
    service_spec_done(&copy);

    assert_int_equal(rollback(&f, 1), 0);
    assert_int_equal(version_of_revision(&f, 1), first);
    assert_non_null(intent_blob_at(f.intent, SPEC_FILE_CONFIG, "app", first));
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(version_of_revision(&f, 3), second);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a stack's own config, changed by a deploy, changes under the revision before it. */
static void test_versions_of_a_stack(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    spec_with(&spec, "hello_conf");
    for (int i = 0; i < 2; i++) {
        struct intent_blob blob = {.name = "hello_conf", .kind = SPEC_FILE_CONFIG};
        assert_int_equal(buffer_append_text(&blob.content, i == 0 ? "one" : "two"), 0);
        struct command command = fixture_command(&f, COMMAND_DEPLOY);
        command.deploy = (struct command_deploy){"hello", &spec, 1, &blob, 1};
        assert_int_equal(fixture_apply(&f, &command), 0);
        buffer_done(&blob.content);
    }
    uint64_t first = version_of_revision(&f, 1), second = version_of_revision(&f, 2);
    assert_true(first < second);
    assert_true(bytes_equal(
        buffer_view(&intent_blob_at(f.intent, SPEC_FILE_CONFIG, "hello_conf", first)->content),
        bytes_of_text("one")));
    assert_string_equal(intent_blob_find(f.intent, SPEC_FILE_CONFIG, "hello_conf")->stack, "hello");

    assert_int_equal(set(&f, "hello_conf", "mine"), -EEXIST);
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "hello_conf"), -EEXIST);
    assert_int_equal(fixture_remove(&f, "hello", true), 0);
    assert_int_equal(f.intent->blobs.count, 0);
    assert_int_equal(set(&f, "hello_conf", "mine"), 0);
    struct intent_blob blob = {.name = "hello_conf", .kind = SPEC_FILE_CONFIG};
    struct command command = fixture_command(&f, COMMAND_DEPLOY);
    command.deploy = (struct command_deploy){"hello", &spec, 1, &blob, 1};
    assert_int_equal(fixture_apply(&f, &command), -EEXIST);
    assert_non_null(strstr(f.result.error.hint, "external: true"));
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a replica can lose the config that it is started with. */
static void test_remove(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "app"), -ENOENT);
    spec_with(&spec, "app");
    assert_int_equal(set(&f, "app", "one"), 0);
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "app"), -ETXTBSY);
    assert_non_null(strstr(f.result.error.message, "hello_web"));
    assert_int_equal(drop(&f, SPEC_FILE_SECRET, "app"), -ENOENT);

    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0);
    spec.file_count = 0;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    spec.file_count = 1;
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "app"), -ETXTBSY); /* a replica still has it */
    assert_int_equal(fixture_end(&f, COMMAND_PLACE_STOP, 1), 0);
    assert_int_equal(fixture_end(&f, COMMAND_PLACE_DELETE, 1), 0);
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, 2, ""), 0);
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "app"), 0);
    assert_int_equal(f.intent->blobs.count, 0);
    assert_int_equal(rollback(&f, 1), -ENOENT);
    assert_non_null(strstr(f.result.error.message, "is gone"));
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a rollout that fails has nothing to return to. */
static void test_kept_for_a_rollout(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    spec_with(&spec, "app");
    assert_int_equal(set(&f, "app", "one"), 0);
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, 1, ""), 0);
    spec.file_count = 0;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    spec.file_count = 1;
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "app"), -ETXTBSY);
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_FAILED, 2, "it exits"), 0);
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "app"), -ETXTBSY); /* the next one returns there */
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, 2, ""), 0);
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, "app"), 0);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if names that would break other things are taken, or a cluster can be filled up. */
static void test_bounds(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 1);
    assert_int_equal(set(&f, "a b", "one"), -EINVAL);
    assert_int_equal(set(&f, "", "one"), -EINVAL);
    assert_int_equal(set(&f, ".", "one"), -EINVAL);

    cleanup_free char *large = malloc(INTENT_BLOB_BYTES_MAX + 1);
    assert_non_null(large);
    memset(large, 'x', INTENT_BLOB_BYTES_MAX);
    large[INTENT_BLOB_BYTES_MAX] = '\0';
    char name[16];
    enum { FIT = INTENT_BLOBS_BYTES_MAX / INTENT_BLOB_BYTES_MAX };
    for (int i = 0; i < FIT; i++) {
        snprintf(name, sizeof(name), "large%d", i);
        assert_int_equal(set(&f, name, large), 0);
    }
    assert_int_equal(set(&f, "one-more", "x"), -ENOSPC);
    assert_int_equal(set(&f, name, large), 0); /* it is there */
    assert_int_equal(drop(&f, SPEC_FILE_CONFIG, name), 0);
    assert_int_equal(set(&f, "one-more", "x"), 0);
    fixture_done(&f);
}

/* Breaks if a snapshot loses a version or who set it, or brings one of the future. */
static void test_snapshot(void **state)
{
    (void)state;
    struct fixture f;
    struct intent *read = NULL;
    struct service_spec spec;
    cleanup_buffer struct buffer bytes = {0}, bad = {0};
    fixture_init(&f, 1);
    spec_with(&spec, "app");
    assert_int_equal(set(&f, "app", "one"), 0);
    uint64_t first = f.result.version;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(set(&f, "app", "two"), 0);
    assert_int_equal(intent_write(f.intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &read), 0);
    fixture_assert_same(f.intent, read);
    assert_int_equal(read->blobs.count, 2);
    const struct intent_blob *blob = intent_blob_at(read, SPEC_FILE_CONFIG, "app", first);
    assert_true(bytes_equal(buffer_view(&blob->content), bytes_of_text("one")));
    assert_string_equal(blob->actor, "ann");
    intent_free(read);

    struct intent_blob *last = f.intent->blobs.items[1];
    last->version = f.index + 1;
    assert_int_equal(intent_write(f.intent, &bad), 0);
    assert_int_equal(intent_read(buffer_view(&bad), &read), -EBADMSG);
    service_spec_done(&spec);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_compare_and_set),
        cmocka_unit_test(test_sent_twice),
        cmocka_unit_test(test_versions_of_revisions),
        cmocka_unit_test(test_versions_of_a_stack),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_kept_for_a_rollout),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
