/* Whom the level of the cluster's state waits for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "node/control/level.h"
#include "tests/unit/consensus/intent_fixture.h"

static struct view_peer *see(struct view *view, unsigned number, enum view_liveness liveness,
                             uint32_t level)
{
    struct id id = fixture_id(number);
    struct view_peer *peer = view_peer_get(view, &id);
    assert_non_null(peer);
    peer->liveness = liveness;
    peer->has_capacity = true;
    peer->capacity.level = level;
    snprintf(peer->capacity.version, sizeof(peer->capacity.version), "0.%u.0", level);
    return peer;
}

/* Breaks if one that is dead or was never heard of is left out, or one that is gone for good is
 * not.
 */
static void test_who_counts(void **state)
{
    (void)state;
    struct fixture f;
    struct view view;
    fixture_init(&f, 4);
    view_init(&view);
    assert_int_equal(level_of_all(f.intent, &view), 0);
    assert_int_equal(level_of_any(f.intent, &view), 0);
    see(&view, 0, VIEW_ALIVE, 3);
    see(&view, 1, VIEW_SUSPECT, 3);
    see(&view, 2, VIEW_DEAD, 2);
    see(&view, 3, VIEW_ALIVE, 1)->has_capacity = false;
    assert_int_equal(level_of_all(f.intent, &view), 0);
    assert_int_equal(level_of_any(f.intent, &view), 3);
    see(&view, 3, VIEW_ALIVE, 1);
    assert_int_equal(level_of_all(f.intent, &view), 1);
    assert_int_equal(fixture_peer_state(&f, 3, INTENT_LEFT), 0);
    assert_int_equal(level_of_all(f.intent, &view), 2);
    assert_int_equal(fixture_peer_state(&f, 2, INTENT_REVOKED), 0);
    assert_int_equal(level_of_all(f.intent, &view), 3);
    assert_int_equal(fixture_peer_state(&f, 1, INTENT_DRAINING), 0);
    see(&view, 1, VIEW_ALIVE, 2);
    assert_int_equal(level_of_all(f.intent, &view), 2);

    struct command operator= fixture_command(&f, COMMAND_ADMIT);
    operator.admit.id = fixture_id(9);
    operator.admit.role = INTENT_ADMIN;
    snprintf(operator.admit.name, sizeof(operator.admit.name), "bob");
    assert_int_equal(fixture_apply(&f, &operator), 0);
    assert_int_equal(level_of_all(f.intent, &view), 2);
    view_done(&view);
    fixture_done(&f);
}

/* Breaks if the words name too few, the wrong ones, or more than there is room for. */
static void test_words(void **state)
{
    (void)state;
    struct fixture f;
    struct view view;
    struct error error = {0};
    fixture_init(&f, 7);
    view_init(&view);
    for (unsigned i = 0; i < 7; i++)
        see(&view, i, VIEW_ALIVE, 2);
    see(&view, 1, VIEW_ALIVE, 1);
    see(&view, 2, VIEW_ALIVE, 1)->has_capacity = false;
    assert_int_equal(level_refuse(f.intent, &view, 2, &error), -EPROTONOSUPPORT);
    assert_int_equal(error.code, -EPROTONOSUPPORT);
    assert_non_null(strstr(error.message, "too old: b (consort 0.1.0), c (not heard of)"));
    assert_non_null(strstr(error.hint, "consort peer revoke"));
    for (unsigned i = 0; i < 7; i++)
        see(&view, i, VIEW_ALIVE, 1);
    level_refuse(f.intent, &view, 2, &error);
    assert_non_null(strstr(error.message, "d (consort 0.1.0) and 3 more"));
    for (unsigned i = 0; i < 7; i++)
        see(&view, i, VIEW_ALIVE, 2);
    assert_int_equal(level_refuse(f.intent, &view, 2, &error), -EPROTONOSUPPORT);
    assert_non_null(strstr(error.message, "at level 1"));
    view_done(&view);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_counts),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests_name("control-level", tests, NULL, NULL);
}
