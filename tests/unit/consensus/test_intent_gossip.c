#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/unit/consensus/intent_fixture.h"

static int set(struct fixture *f, struct command_gossip change)
{
    struct command command = fixture_command(f, COMMAND_GOSSIP);
    command.gossip = change;
    return fixture_apply(f, &command);
}

static void check(const struct fixture *f, struct intent_gossip expected)
{
    const struct intent_gossip *gossip = &f->intent->gossip;
    assert_int_equal(gossip->profile, expected.profile);
    assert_int_equal(gossip->probe_interval_ms, expected.probe_interval_ms);
    assert_int_equal(gossip->suspicion, expected.suspicion);
    assert_int_equal(gossip->fanout, expected.fanout);
}

/* Breaks if a value replaces another than its own, or a profile keeps what was set on the last. */
static void test_set(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(&f, 1);
    check(&f, (struct intent_gossip){.profile = INTENT_PROFILE_LAN});
    assert_int_equal(set(&f, (struct command_gossip){.has_fanout = true, .fanout = 5}), 0);
    assert_int_equal(
        set(&f, (struct command_gossip){.has_probe_interval = true, .probe_interval_ms = 500}), 0);
    check(&f, (struct intent_gossip){.probe_interval_ms = 500, .fanout = 5});
    assert_string_equal(f.intent->gossip.actor, "ann");
    assert_true(f.intent->gossip.wall_ms > 0);
    assert_string_equal(fixture_last_event(&f)->kind, "gossip");
    assert_string_equal(fixture_last_event(&f)->actor, "ann");
    assert_string_equal(fixture_last_event(&f)->text,
                        "profile lan, probe interval 500 ms, fanout 5, was lan");

    struct command_gossip edge = {
        .has_profile = true, .profile = INTENT_PROFILE_EDGE, .has_suspicion = true, .suspicion = 6};
    assert_int_equal(set(&f, edge), 0);
    check(&f, (struct intent_gossip){.profile = INTENT_PROFILE_EDGE, .suspicion = 6});
    assert_string_equal(fixture_last_event(&f)->text, "profile edge, suspicion 6, was lan");
    assert_int_equal(set(&f, (struct command_gossip){.has_suspicion = true}), 0);
    check(&f, (struct intent_gossip){.profile = INTENT_PROFILE_EDGE});
    fixture_done(&f);
}

/* Breaks if setting what is set already counts as a change: peers would be re-timed for nothing. */
static void test_unchanged(void **state)
{
    struct fixture f;
    struct command_gossip wan = {.has_profile = true, .profile = INTENT_PROFILE_WAN};
    (void)state;
    fixture_init(&f, 1);
    assert_int_equal(set(&f, wan), 0);
    assert_false(f.result.unchanged);
    size_t events = f.intent->history_count;
    assert_int_equal(set(&f, wan), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(f.intent->history_count, events);
    fixture_done(&f);
}

/* Breaks if values by which no peer could work are agreed on, or part of a refused change is. */
static void test_bounds(void **state)
{
    static const struct command_gossip bad[] = {
        {.has_probe_interval = true, .probe_interval_ms = INTENT_PROBE_INTERVAL_MS_MIN - 1},
        {.has_probe_interval = true, .probe_interval_ms = INTENT_PROBE_INTERVAL_MS_MAX + 1},
        {.has_suspicion = true, .suspicion = INTENT_SUSPICION_MAX + 1},
        {.has_fanout = true, .fanout = INTENT_FANOUT_MAX + 1},
        {.has_fanout = true, .fanout = UINT32_MAX, .has_suspicion = true, .suspicion = 2},
    };
    struct fixture f;
    (void)state;
    fixture_init(&f, 1);
    for (size_t i = 0; i < array_count(bad); i++) {
        struct command_gossip change = bad[i];
        change.has_profile = true;
        change.profile = INTENT_PROFILE_WAN;
        assert_int_equal(set(&f, change), -EINVAL);
        assert_true(f.result.error.hint[0] != '\0');
        check(&f, (struct intent_gossip){.profile = INTENT_PROFILE_LAN});
    }
    fixture_done(&f);
}

/* Breaks if a snapshot loses the profile, or brings one that is out of bounds. */
static void test_snapshot(void **state)
{
    struct fixture f;
    struct intent *read = NULL;
    cleanup_buffer struct buffer bytes = {0}, bad = {0};
    struct command_gossip change = {.has_profile = true,
                                    .profile = INTENT_PROFILE_EDGE,
                                    .has_fanout = true,
                                    .fanout = INTENT_FANOUT_MAX};
    (void)state;
    fixture_init(&f, 1);
    assert_int_equal(set(&f, change), 0);
    assert_int_equal(intent_write(f.intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &read), 0);
    fixture_assert_same(f.intent, read);
    assert_int_equal(read->gossip.profile, INTENT_PROFILE_EDGE);
    assert_int_equal(read->gossip.fanout, INTENT_FANOUT_MAX);
    assert_string_equal(read->gossip.actor, "ann");
    intent_free(read);

    f.intent->gossip.fanout++;
    assert_int_equal(intent_write(f.intent, &bad), 0);
    assert_int_equal(intent_read(buffer_view(&bad), &read), -EBADMSG);
    fixture_done(&f);
}

/* Breaks if people can't name a profile by its word. */
static void test_words(void **state)
{
    uint8_t profile = 9;
    (void)state;
    for (uint8_t i = INTENT_PROFILE_LAN; i <= INTENT_PROFILE_EDGE; i++) {
        assert_int_equal(intent_profile_parse(intent_profile_text(i), &profile), 0);
        assert_int_equal(profile, i);
    }
    assert_int_equal(intent_profile_parse("unknown", &profile), -EINVAL);
    assert_int_equal(intent_profile_parse("", &profile), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),    cmocka_unit_test(test_unchanged),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
