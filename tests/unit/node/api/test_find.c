#include <errno.h>

#include "node/api/find.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/control/agent_bench.h"

static void rename_peer(struct fixture *f, unsigned number, const char *name)
{
    struct id id = fixture_id(number);
    strcpy(intent_peer_find(f->intent, &id)->name, name);
}

static void assert_peer(const struct fixture *f, const char *words, unsigned number)
{
    struct error error = {0};
    struct id id = fixture_id(number);
    const struct intent_peer *found = find_peer(f->intent, words, &error);
    assert_non_null(found);
    assert_true(id_equal(&found->id, &id));
    assert_int_equal(error.code, 0);
}

static struct error assert_no_peer(const struct fixture *f, const char *words, int code)
{
    struct error error = {0};
    assert_null(find_peer(f->intent, words, &error));
    assert_null(find_peer(f->intent, words, NULL));
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.hint, "consort peer ls"));
    return error;
}

/* Breaks if one of several peers of a name is guessed, or it is not said which they are; if one
 * that left stands in the way of one that came after it. */
static void test_peer_names(void **state)
{
    (void)state;
    struct fixture f;
    struct error error;
    fixture_init(&f, 7);
    assert_peer(&f, "a", 0);
    assert_string_equal(assert_no_peer(&f, "z", -ENOENT).message, "there is no peer z");
    assert_no_peer(&f, "", -ENOENT);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_LEFT), 0);
    assert_peer(&f, "a", 0); /* nobody else has the name */
    rename_peer(&f, 1, "a");
    assert_peer(&f, "a", 1); /* now somebody has */

    rename_peer(&f, 2, "a");
    error = assert_no_peer(&f, "a", -ENOTUNIQ);
    assert_string_equal(error.message, "a is two peers: 021d00000000 and 031d00000000");
    for (unsigned i = 3; i < 7; i++)
        rename_peer(&f, i, "a");
    error = assert_no_peer(&f, "a", -ENOTUNIQ);
    assert_string_equal(error.message,
                        "a is 6 peers: 021d00000000, 031d00000000, 041d00000000 and 3 more");
    for (unsigned i = 1; i < 7; i++)
        assert_int_equal(fixture_peer_state(&f, i, INTENT_REVOKED), 0);
    assert_no_peer(&f, "a", -ENOTUNIQ); /* of those that are gone, none is guessed either */
    fixture_done(&f);
}

/* Breaks if the beginning of several ids stands for one of them, or they are named by digits that
 * don't tell them apart; or few digits are enough to hit a peer. */
static void test_peer_ids(void **state)
{
    (void)state;
    struct fixture f;
    struct error error;
    struct command command;
    fixture_init(&f, 2);
    for (uint8_t i = 0; i < 2; i++) {
        command = fixture_command(&f, COMMAND_ADMIT);
        command.admit.id = (struct id){{0xab, 1, 2, 3, 4, 5, 6, 7, 0x10 + i}};
        snprintf(command.admit.name, sizeof(command.admit.name), "twin-%u", i);
        assert_int_equal(fixture_apply(&f, &command), 0);
    }
    assert_peer(&f, "021d00000000", 1);
    assert_peer(&f, "021d000000000000", 1);
    assert_no_peer(&f, "021d0000000", -ENOENT);
    assert_no_peer(&f, "021d00000001", -ENOENT);
    error = assert_no_peer(&f, "ab0102030405", -ENOTUNIQ);
    assert_string_equal(error.message, "ab0102030405 is two peers: ab0102030405060710 and "
                                       "ab0102030405060711");
    assert_string_equal(find_peer(f.intent, "ab0102030405060711", NULL)->name, "twin-1");
    assert_string_equal(find_peer(f.intent, "twin-0", NULL)->name, "twin-0");
    fixture_done(&f);
}

/* Breaks if the beginning of several tokens' ids revokes one of them. */
static void test_tokens(void **state)
{
    (void)state;
    struct fixture f;
    struct error error = {0};
    fixture_init(&f, 1);
    for (uint8_t i = 0; i < 3; i++) {
        struct command command = fixture_command(&f, COMMAND_TOKEN_CREATE);
        command.token = (struct intent_token){.id = {0x7a, i}, .uses_left = 1};
        assert_int_equal(fixture_apply(&f, &command), 0);
    }
    assert_int_equal(find_token(f.intent, "7a01", &error)->id[1], 1);
    assert_int_equal(error.code, 0);
    assert_null(find_token(f.intent, "7a0", &error));
    assert_int_equal(error.code, -ENOTUNIQ);
    assert_non_null(strstr(error.message, "7a0 is three tokens: 7a00"));
    assert_non_null(strstr(error.message, " and 7a02"));
    assert_null(find_token(f.intent, "", &error));
    assert_int_equal(error.code, -ENOENT);
    assert_null(find_token(f.intent, "8", &error));
    assert_int_equal(error.code, -ENOENT);
    fixture_done(&f);
}

/* Breaks if one of several services or replicas is guessed, or which there are is not said. */
static void test_services(void **state)
{
    (void)state;
    struct fleet f;
    struct error error = {0};
    fleet_start(&f, 1, 1);
    struct peer peer = {.agent = f.peers[0].agent};
    static const char *const stacks[] = {"s", "t"};
    for (size_t i = 0; i < 2; i++) {
        struct service_spec spec;
        struct command command = fleet_command(COMMAND_DEPLOY);
        fixture_spec(&spec, "web");
        strcpy(command.deploy.stack, stacks[i]);
        command.deploy.services = &spec;
        command.deploy.service_count = 1;
        fleet_agree(&f, 0, &command);
        service_spec_done(&spec);
    }
    fleet_run(&f, 1000);
    assert_null(find_service(&peer, "web", &error));
    assert_int_equal(error.code, -ENOTUNIQ);
    assert_string_equal(error.message, "web is two services: s_web and t_web");
    assert_non_null(strstr(error.hint, "STACK_web"));
    assert_null(find_service(&peer, "none", &error));
    assert_int_equal(error.code, -ENOENT);

    assert_string_equal(find_replica(&peer, "t_web.1", &error)->service, "t_web");
    assert_null(find_replica(&peer, "web.1", &error));
    assert_int_equal(error.code, -ENOTUNIQ);
    assert_string_equal(error.message, "web is two services: s_web and t_web");
    assert_null(find_replica(&peer, "t_web.7", &error));
    assert_int_equal(error.code, -ENOENT);
    assert_string_equal(error.message, "there is no replica t_web.7");
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peer_names),
        cmocka_unit_test(test_peer_ids),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_services),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
