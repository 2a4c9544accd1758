#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "node/cli/contexts.h"

static char folder[64];
static const uint8_t seed[IDENTITY_SEED_BYTES] = {7};

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/consort-contexts-XXXXXX");
    return mkdtemp(folder) && setenv("XDG_CONFIG_HOME", folder, 1) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static void save(const char *name)
{
    struct error error = {0};
    struct operator_context context = {.cluster = {{9}}, .seed_count = 1};
    context.seeds[0] = (struct join_seed){{{3}}, address_from_v4(0x0a000001, 7300)};
    assert_int_equal(context_save(name, seed, &context, &error), 0);
}

/* Breaks if an operator's key or where the fleet is do not survive, or others may read the key. */
static void test_saved(void **state)
{
    (void)state;
    struct operator_context *context = NULL;
    struct identity identity;
    struct error error = {0};
    struct stat status;
    char path[128];
    save("lab");
    assert_int_equal(context_load("lab", &context, &error), 0);
    identity_init(&identity, seed);
    assert_true(id_equal(&context->identity.id, &identity.id));
    assert_int_equal(context->cluster.bytes[0], 9);
    assert_int_equal(context->seed_count, 1);
    assert_int_equal(context->seeds[0].address.port, 7300);
    context_free(context);
    identity_done(&identity);
    snprintf(path, sizeof(path), "%s/consort/contexts/lab/identity.key", folder);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(context_check_new("lab", &error), -EEXIST);
    assert_int_equal(context_check_new("Lab/..", &error), -EINVAL);
    assert_int_equal(context_check_new("other", &error), 0);
}

/* Breaks if commands go to another fleet than was chosen. */
static void test_used(void **state)
{
    (void)state;
    char name[BASE_NAME_BYTES_MAX + 1] = "";
    struct error error = {0};
    struct text_list list = {0};
    assert_int_equal(context_current(name), -ENOENT);
    assert_int_equal(context_list(&list, &error), 0);
    assert_int_equal(list.count, 0);
    save("b");
    save("a");
    assert_int_equal(context_use("nowhere", &error), -ENOENT);
    assert_int_equal(context_current(name), -ENOENT);
    assert_int_equal(context_use("b", &error), 0);
    assert_int_equal(context_current(name), 0);
    assert_string_equal(name, "b");
    assert_int_equal(context_list(&list, &error), 0);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0], "a");
    text_list_done(&list);
    assert_int_equal(context_remove("a", &error), 0);
    assert_int_equal(context_current(name), 0);
    assert_int_equal(context_remove("b", &error), 0);
    assert_int_equal(context_current(name), -ENOENT);
    assert_int_equal(context_remove("b", &error), -ENOENT);
}

/* Breaks if a damaged file is believed, or it is not said what to do about it. */
static void test_damaged(void **state)
{
    (void)state;
    struct operator_context *context = NULL;
    struct error error = {0};
    char path[128];
    save("lab");
    snprintf(path, sizeof(path), "%s/consort/contexts/lab/membership", folder);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(context_load("lab", &context, &error), -EBADMSG);
    assert_non_null(strstr(error.message, "membership is damaged"));
    assert_non_null(strstr(error.hint, "consort context rm lab"));
    assert_null(context);
    context_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_saved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
