#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/unit/consensus/intent_fixture.h"

static int set(struct fixture *f, uint32_t max)
{
    struct command command = fixture_command(f, COMMAND_VOTERS);
    command.voters.max = max;
    return fixture_apply(f, &command);
}

/* Breaks if a number is taken that can't be, is not told, or does not outlive a snapshot. */
static void test_set(void **state)
{
    static const uint32_t bad[] = {0, 2, 4, 6, 8, 9, UINT32_MAX};
    static const uint32_t good[] = {7, 3, 1, 5};
    (void)state;
    for (size_t i = 0; i < array_count(good); i++) {
        struct fixture f;
        fixture_init(&f, 1);
        assert_int_equal(f.intent->voters.max, 0);
        assert_int_equal(set(&f, good[i]), 0);
        assert_int_equal(f.intent->voters.max, good[i]);
        assert_string_equal(f.intent->voters.actor, "ann");
        assert_string_equal(fixture_last_event(&f)->kind, "voters");
        for (size_t j = 0; j < array_count(bad); j++) {
            assert_int_equal(set(&f, bad[j]), -EINVAL);
            assert_non_null(strstr(f.result.error.hint, "1, 3, 5 or 7"));
            assert_int_equal(f.intent->voters.max, good[i]);
        }
        assert_int_equal(set(&f, good[i]), 0);
        assert_true(f.result.unchanged);

        cleanup_buffer struct buffer bytes = {0};
        struct intent *read;
        assert_int_equal(intent_write(f.intent, &bytes), 0);
        assert_int_equal(intent_read(buffer_view(&bytes), &read), 0);
        assert_int_equal(read->voters.max, good[i]);
        assert_int_equal(read->voters.wall_ms, f.intent->voters.wall_ms);
        assert_string_equal(read->voters.actor, "ann");
        intent_free(read);
        f.intent->voters.max = bad[i + 1];
        buffer_clear(&bytes);
        assert_int_equal(intent_write(f.intent, &bytes), 0);
        assert_int_equal(intent_read(buffer_view(&bytes), &read), -EBADMSG);
        fixture_done(&f);
    }
}

/* Breaks if the history does not say what was before. */
static void test_told(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(&f, 1);
    assert_int_equal(set(&f, 7), 0);
    assert_string_equal(fixture_last_event(&f)->text, "at most 7 vote");
    assert_int_equal(set(&f, 3), 0);
    assert_string_equal(fixture_last_event(&f)->text, "at most 3 vote, were 7");
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
