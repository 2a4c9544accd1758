#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/consensus/intent_fixture.h"

static int token_create(struct fixture *f, uint8_t id, uint8_t role, uint32_t uses,
                        int64_t expires_wall_ms)
{
    struct command command = fixture_command(f, COMMAND_TOKEN_CREATE);
    command.token = (struct intent_token){
        .id = {id}, .role = role, .uses_left = uses, .expires_wall_ms = expires_wall_ms};
    return fixture_apply(f, &command);
}

static int admit_by_token(struct fixture *f, unsigned number, const char *name, uint8_t token_id)
{
    struct command command = fixture_command(f, COMMAND_ADMIT);
    command.admit.id = fixture_id(number);
    snprintf(command.admit.name, sizeof(command.admit.name), "%s", name);
    command.admit.has_token = true;
    command.admit.token_id[0] = token_id;
    return fixture_apply(f, &command);
}

/* Breaks if a serial is given twice, or a repeated request admits somebody again. */
static void test_serials(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 2);
    assert_int_equal(f.result.serial, 2);
    assert_int_equal(fixture_admit(&f, 0, "a"), 0);
    assert_int_equal(f.result.serial, 1);
    assert_true(f.result.unchanged);
    assert_int_equal(f.intent->peers.count, 2);
    assert_int_equal(fixture_admit(&f, 2, "c"), 0);
    assert_int_equal(f.result.serial, 3);
    assert_string_equal(fixture_last_event(&f)->subject, "c");
    assert_string_equal(fixture_last_event(&f)->actor, "ann");
    fixture_done(&f);
}

/* Breaks if two peers of the cluster can bear one name, or a name is lost for good. */
static void test_names(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 2);
    assert_int_equal(fixture_admit(&f, 5, "a"), -EEXIST);
    assert_non_null(strstr(f.result.error.message, "the name a is taken"));
    assert_int_not_equal(f.result.error.hint[0], 0);
    assert_int_equal(fixture_admit(&f, 5, "-a"), -EINVAL);
    assert_int_equal(fixture_admit(&f, 5, ""), -EINVAL);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_LEFT), 0);
    assert_int_equal(fixture_admit(&f, 5, "a"), 0);
    struct id id = fixture_id(5);
    assert_true(id_equal(&intent_peer_by_name(f.intent, "a")->id, &id));
    assert_null(intent_peer_by_name(f.intent, "nobody"));
    fixture_done(&f);
}

/* Breaks if a token admits more than it may, another role, or after its time. */
static void test_tokens(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 1);
    assert_int_equal(token_create(&f, 1, INTENT_PEER, 2, 0), 0);
    assert_int_equal(token_create(&f, 1, INTENT_PEER, 2, 0), -EEXIST);
    assert_int_equal(token_create(&f, 2, INTENT_ADMIN, 1, 0), 0);
    assert_int_equal(token_create(&f, 3, INTENT_PEER, 0, 0), -EINVAL);
    assert_int_equal(token_create(&f, 3, INTENT_PEER, 1, f.wall_ms), -EINVAL);
    assert_int_equal(token_create(&f, 3, INTENT_PEER, 1, f.wall_ms + 1), 0);

    assert_int_equal(admit_by_token(&f, 1, "b", 1), 0);
    assert_int_equal(admit_by_token(&f, 1, "b", 1), 0);       /* again: uses nothing up */
    assert_int_equal(admit_by_token(&f, 2, "b", 1), -EEXIST); /* nor does a refusal */
    const uint8_t token_id[INTENT_TOKEN_ID_BYTES] = {1};
    assert_int_equal(intent_token_find(f.intent, token_id)->uses_left, 1);
    assert_int_equal(admit_by_token(&f, 2, "c", 1), 0);
    assert_null(intent_token_find(f.intent, token_id));
    assert_int_equal(admit_by_token(&f, 3, "d", 1), -EACCES);
    assert_int_equal(admit_by_token(&f, 3, "d", 2), -EACCES);
    assert_int_equal(admit_by_token(&f, 3, "d", 3), -EACCES);
    assert_non_null(strstr(f.result.error.message, "expired"));
    fixture_done(&f);
}

/* Breaks if a revoked token still admits, or tokens fill the state for good. */
static void test_tokens_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 1);
    assert_int_equal(token_create(&f, 9, INTENT_PEER, 1, 0), 0);
    struct command revoke = fixture_command(&f, COMMAND_TOKEN_REVOKE);
    revoke.token_id[0] = 9;
    assert_int_equal(fixture_apply(&f, &revoke), 0);
    assert_int_equal(fixture_apply(&f, &revoke), -ENOENT);
    assert_int_equal(admit_by_token(&f, 1, "b", 9), -EACCES);
    for (int i = 0; i < INTENT_TOKENS_MAX - 1; i++)
        assert_int_equal(token_create(&f, (uint8_t)i, INTENT_PEER, 1, f.wall_ms + (1 << 20)), 0);
    assert_int_equal(token_create(&f, INTENT_TOKENS_MAX - 1, INTENT_PEER, 1, 0), 0);
    struct command another = fixture_command(&f, COMMAND_TOKEN_CREATE);
    another.token = (struct intent_token){.id = {0, 1}, .uses_left = 1};
    assert_int_equal(fixture_apply(&f, &another), -ENOSPC);
    f.wall_ms += 1 << 20;
    another.head.wall_ms = f.wall_ms;
    assert_int_equal(fixture_apply(&f, &another), 0);
    assert_int_equal(f.intent->tokens.count, 2);
    fixture_done(&f);
}

/* Breaks if revocation can be undone, a key that has left comes back, or a peer passes between
 * states it must not. */
static void test_states(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 2);
    assert_int_equal(fixture_peer_state(&f, 7, INTENT_LEFT), -ENOENT);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_DRAINING), 0);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_DRAINING), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_ACTIVE), 0);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_LEFT), 0);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_ACTIVE), -EPERM);
    /* What Raft must not forget went with the cluster: only another key may join again. */
    assert_int_equal(fixture_admit(&f, 0, "a"), -EPERM);
    assert_non_null(strstr(f.result.error.message, "has left"));
    assert_int_equal(fixture_admit(&f, 5, "a"), 0);
    assert_int_equal(f.result.serial, 3);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_REVOKED), 0);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_ACTIVE), -EPERM);
    assert_int_equal(fixture_admit(&f, 0, "a"), -EPERM);

    struct command command = fixture_command(&f, COMMAND_ADMIT);
    command.admit =
        (struct command_admit){.id = fixture_id(4), .name = "bob", .role = INTENT_ADMIN};
    assert_int_equal(fixture_apply(&f, &command), 0);
    assert_string_equal(fixture_last_event(&f)->kind, "operator");
    assert_int_equal(fixture_peer_state(&f, 4, INTENT_DRAINING), -EINVAL);
    command.admit.role = INTENT_PEER;
    assert_int_equal(fixture_apply(&f, &command), -EEXIST);
    fixture_done(&f);
}

static int namesakes(struct fixture *f, unsigned a, unsigned b)
{
    struct command command = fixture_command(f, COMMAND_NAMESAKES);
    struct id ids[2] = {fixture_id(a), fixture_id(b)};
    bool in_order = id_compare(&ids[0], &ids[1]) < 0;
    command.namesakes = (struct command_namesakes){{ids[!in_order], ids[in_order]}};
    return fixture_apply(f, &command);
}

/* Breaks if two peers of one name are written down twice, which they are is not said, or peers are
 * called so that are not. */
static void test_namesakes(void **state)
{
    (void)state;
    struct fixture f;
    struct id id = fixture_id(2);
    fixture_init(&f, 3);
    assert_int_equal(namesakes(&f, 1, 2), -ESTALE);
    assert_int_equal(namesakes(&f, 1, 9), -ESTALE);
    strcpy(intent_peer_find(f.intent, &id)->name, "b"); /* as no command can make it */
    size_t before = f.intent->history_count;
    assert_int_equal(namesakes(&f, 1, 2), 0);
    assert_false(f.result.unchanged);
    assert_int_equal(f.intent->history_count, before + 1);
    assert_string_equal(fixture_last_event(&f)->subject, "b");
    assert_non_null(strstr(fixture_last_event(&f)->text, id_short(&id)));
    id = fixture_id(1);
    assert_non_null(strstr(fixture_last_event(&f)->text, id_short(&id)));
    assert_int_equal(namesakes(&f, 2, 1), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(f.intent->history_count, before + 1);
    assert_int_equal(fixture_peer_state(&f, 2, INTENT_LEFT), 0);
    assert_int_equal(namesakes(&f, 1, 2), -ESTALE);
    fixture_done(&f);
}

/* Breaks if it is not known since when a peer is in its state. */
static void test_state_since(void **state)
{
    (void)state;
    struct fixture f;
    struct id id = fixture_id(0);
    fixture_init(&f, 1);
    const struct intent_peer *peer = intent_peer_find(f.intent, &id);
    assert_int_equal(peer->state_wall_ms, peer->admitted_wall_ms);
    assert_true(peer->state_wall_ms > 0);
    int64_t drained_wall_ms = f.wall_ms += 5000;
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_DRAINING), 0);
    assert_int_equal(peer->state_wall_ms, drained_wall_ms);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_DRAINING), 0); /* it is already */
    assert_int_equal(peer->state_wall_ms, drained_wall_ms);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serials),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_tokens),      cmocka_unit_test(test_tokens_end),
        cmocka_unit_test(test_states),      cmocka_unit_test(test_namesakes),
        cmocka_unit_test(test_state_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
