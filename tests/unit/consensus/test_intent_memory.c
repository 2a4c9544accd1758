#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/consensus/failing_memory.h"
#include "tests/unit/consensus/intent_fixture.h"

/* The bytes of a deploy that uses lists, ports, files and a secret. */
static void encode_deploy(const struct fixture *f, struct buffer *ret)
{
    struct service_spec spec;
    struct intent_blob blob;
    fixture_spec(&spec, "web");
    fixture_publish(&spec, 8080);
    assert_int_equal(text_list_add(&spec.environment, "A=1"), 0);
    spec.files = calloc(1, sizeof(*spec.files));
    assert_non_null(spec.files);
    spec.files[0].kind = SPEC_FILE_SECRET;
    spec.files[0].source = strdup("hello_key");
    spec.files[0].target = strdup("/run/secrets/key");
    spec.file_count = 1;
    fixture_secret(&blob, "hello_key", "contents", 2);
    struct command command = fixture_command(f, COMMAND_DEPLOY);
    command.head.client = command.head.sequence = 1;
    command.deploy = (struct command_deploy){"hello", &spec, 1, &blob, 1};
    assert_int_equal(command_encode(&command, ret), 0);
    service_spec_done(&spec);
    intent_blob_done(&blob);
}

/* Breaks if a peer that runs out of memory takes a command for refused: it would differ from the
 * others, and not know it. */
static void test_apply(void **state)
{
    (void)state;
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct fixture f;
        struct intent_result result;
        cleanup_buffer struct buffer deploy = {0};
        fixture_init(&f, 1);
        encode_deploy(&f, &deploy);
        memory_fail_after(n);
        rc = intent_apply(f.intent, ++f.index, 1, buffer_view(&deploy), &result);
        memory_fail_after(-1);
        assert_true(rc == -ENOMEM || (rc == 0 && result.code == 0));
        assert_true(rc == 0 || n < 1000);
        fixture_done(&f);
    }
}

/* The same for the key of a secret that is sealed to one more peer. */
static void test_apply_seal(void **state)
{
    (void)state;
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct fixture f;
        struct intent_result result;
        cleanup_buffer struct buffer deploy = {0}, seal = {0};
        fixture_init(&f, 3);
        encode_deploy(&f, &deploy);
        assert_int_equal(intent_apply(f.intent, ++f.index, 1, buffer_view(&deploy), &result), 0);
        struct command_seal_change change = {
            .name = "hello_key", .version = f.index, .wrap.peer = fixture_id(2)};
        struct command command = fixture_command(&f, COMMAND_SEAL);
        command.seal = (struct command_seal){&change, 1};
        assert_int_equal(command_encode(&command, &seal), 0);
        memory_fail_after(n);
        rc = intent_apply(f.intent, ++f.index, 1, buffer_view(&seal), &result);
        memory_fail_after(-1);
        assert_true(rc == -ENOMEM || (rc == 0 && result.code == 0 && !result.unchanged && n > 0));
        fixture_done(&f);
    }
    assert_int_equal(rc, 0);
}

/* Breaks if a snapshot that does not fit into memory leaks, or is taken for malformed. */
static void test_read(void **state)
{
    (void)state;
    struct fixture f;
    struct intent_result result;
    cleanup_buffer struct buffer deploy = {0}, bytes = {0};
    fixture_init(&f, 2);
    encode_deploy(&f, &deploy);
    assert_int_equal(intent_apply(f.intent, ++f.index, 1, buffer_view(&deploy), &result), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0);
    assert_int_equal(intent_write(f.intent, &bytes), 0);
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct intent *read = NULL;
        memory_fail_after(n);
        rc = intent_read(buffer_view(&bytes), &read);
        memory_fail_after(-1);
        assert_true(rc == -ENOMEM ? !read : rc == 0);
        if (rc == 0)
            fixture_assert_same(f.intent, read);
        intent_free(read);
    }
    fixture_done(&f);
}

/* Breaks if a copy or an encoding that runs out of memory leaves half of itself. */
static void test_copy_and_encode(void **state)
{
    (void)state;
    struct fixture f;
    struct command command;
    cleanup_buffer struct buffer deploy = {0};
    fixture_init(&f, 1);
    encode_deploy(&f, &deploy);
    assert_int_equal(command_decode(buffer_view(&deploy), &command), 0);
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct service_spec copy;
        memory_fail_after(n);
        rc = service_spec_copy(&command.deploy.services[0], &copy);
        memory_fail_after(-1);
        if (rc == 0)
            service_spec_done(&copy);
    }
    assert_int_equal(rc, 0);
    rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        cleanup_buffer struct buffer bytes = {0};
        memory_fail_after(n);
        rc = command_encode(&command, &bytes);
        memory_fail_after(-1);
        assert_true(rc == 0 || bytes.size == 0);
    }
    assert_int_equal(rc, 0);
    command_done(&command);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply),
        cmocka_unit_test(test_apply_seal),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_copy_and_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
