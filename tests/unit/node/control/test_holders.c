#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/control/holders.h"
#include "tests/unit/consensus/intent_fixture.h"

enum { PEERS = 5, CHANGES_MAX = 8 };

struct bench {
    struct fixture f;
    struct view view;
    struct holders_change changes[CHANGES_MAX];
    size_t count;
};

static void vote(struct bench *bench, unsigned peer)
{
    struct raft_changes changes = {.members = {{RAFT_ADD_VOTER, fixture_id(peer)}}, .count = 1};
    intent_apply_changes(bench->f.intent, ++bench->f.index, 1, &changes);
}

/* Five peers that live, of which 0 votes; "s_web" shows the secret s_key, which is sealed to as
 * many peers as `holders` says. */
static void bench_init(struct bench *bench, unsigned holders)
{
    struct service_spec spec;
    struct intent_blob blob;
    *bench = (struct bench){.count = 0};
    fixture_init(&bench->f, PEERS);
    view_init(&bench->view);
    for (unsigned i = 0; i < PEERS; i++) {
        struct id id = fixture_id(i);
        view_peer_get(&bench->view, &id)->liveness = VIEW_ALIVE;
    }
    vote(bench, 0);
    fixture_spec(&spec, "web");
    spec.replicas = PEERS;
    spec.files = calloc(1, sizeof(*spec.files));
    assert_non_null(spec.files);
    spec.file_count = 1;
    spec.files[0].kind = SPEC_FILE_SECRET;
    spec.files[0].source = strdup("s_key");
    spec.files[0].target = strdup("/run/secrets/key");
    fixture_secret(&blob, "s_key", "hush", holders);
    struct command command = fixture_command(&bench->f, COMMAND_DEPLOY);
    command.deploy = (struct command_deploy){"s", &spec, 1, &blob, 1};
    assert_int_equal(fixture_apply(&bench->f, &command), 0);
    intent_blob_done(&blob);
    service_spec_done(&spec);
}

static void bench_done(struct bench *bench)
{
    view_done(&bench->view);
    fixture_done(&bench->f);
}

static void place(struct bench *bench, uint32_t slot, unsigned peer)
{
    assert_int_equal(fixture_add(&bench->f, "s_web", slot, 1, peer), 0);
}

static void settle(struct bench *bench)
{
    assert_int_equal(fixture_rollout(&bench->f, "s_web", INTENT_ROLLOUT_DONE, 1, ""), 0);
}

static size_t look(struct bench *bench, unsigned leader, unsigned self)
{
    struct id ids[] = {fixture_id(leader), fixture_id(self)};
    bench->count = holders_changes(bench->f.intent, &bench->view, &ids[0], &ids[1], bench->changes,
                                   CHANGES_MAX);
    return bench->count;
}

static bool finds(const struct bench *bench, unsigned peer, bool drops)
{
    struct id id = fixture_id(peer);
    for (size_t i = 0; i < bench->count; i++)
        if (id_equal(&bench->changes[i].peer, &id) && bench->changes[i].drops == drops)
            return true;
    return false;
}

static uint64_t version(const struct bench *bench)
{
    return intent_blob_find(bench->f.intent, SPEC_FILE_SECRET, "s_key")->version;
}

static void seal(struct bench *bench, unsigned peer, bool drops)
{
    assert_int_equal(fixture_seal(&bench->f, "s_key", version(bench), peer, drops), 0);
    assert_false(bench->f.result.unchanged);
}

/* Breaks if a replica waits forever for its secret, or a peer gets a key that it does not need. */
static void test_placed(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    assert_int_equal(look(&bench, 0, 0), 0);
    place(&bench, 1, 2);
    place(&bench, 2, 2);
    place(&bench, 3, 4);
    assert_int_equal(look(&bench, 0, 0), 2);
    assert_true(finds(&bench, 2, false) && finds(&bench, 4, false));
    assert_int_equal(look(&bench, 0, 2), 0); /* the leader's duty */
    seal(&bench, 2, false);
    seal(&bench, 4, false);
    assert_int_equal(look(&bench, 0, 0), 0);
    bench_done(&bench);
}

/* Breaks if whoever may lead next can't seal a secret to others. */
static void test_voters(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    vote(&bench, 1);
    vote(&bench, 3);
    assert_int_equal(look(&bench, 0, 0), 2);
    assert_true(finds(&bench, 1, false) && finds(&bench, 3, false));
    bench_done(&bench);
}

/* Breaks if a leader without the key makes nobody, or everybody, do it instead. */
static void test_leader_without(void **state)
{
    (void)state;
    struct bench bench;
    struct id first = fixture_id(0), none = ID_NONE;
    bench_init(&bench, 3);
    settle(&bench);
    assert_int_equal(look(&bench, 3, 3), 0);
    place(&bench, 1, 4);
    assert_int_equal(look(&bench, 3, 1), 0);
    assert_int_equal(look(&bench, 3, 0), 1);
    view_peer_get(&bench.view, &first)->liveness = VIEW_DEAD;
    assert_int_equal(look(&bench, 3, 2), 0);
    assert_true(look(&bench, 3, 1) > 0 && finds(&bench, 4, false));
    assert_int_equal(
        holders_changes(bench.f.intent, &bench.view, &none, &none, bench.changes, CHANGES_MAX),
        0); /* without a leader nothing is agreed on */
    bench_done(&bench);
}

/* Breaks if a peer keeps the key when its replica is gone, or loses it between two replicas. */
static void test_dropped(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    place(&bench, 1, 2);
    seal(&bench, 2, false);
    settle(&bench);
    assert_int_equal(look(&bench, 0, 0), 0);
    assert_int_equal(fixture_end(&bench.f, COMMAND_PLACE_STOP, 1), 0);
    assert_int_equal(look(&bench, 0, 0), 0); /* it still runs there */
    assert_int_equal(fixture_end(&bench.f, COMMAND_PLACE_DELETE, 1), 0);
    assert_int_equal(look(&bench, 0, 0), 1);
    assert_true(finds(&bench, 2, true));
    fixture_service(&bench.f, "s_web")->rollout.state = INTENT_ROLLOUT_RUNNING;
    assert_int_equal(look(&bench, 0, 0), 0); /* the next one may come there at once */
    fixture_service(&bench.f, "s_web")->rollout.state = INTENT_ROLLOUT_DONE;
    seal(&bench, 2, true);
    assert_int_equal(look(&bench, 0, 0), 0);
    bench_done(&bench);
}

/* Breaks if more is asked for than there is room for, or what is left over is forgotten. */
static void test_bounded(void **state)
{
    (void)state;
    struct bench bench;
    struct id leader = fixture_id(0);
    bench_init(&bench, 1);
    for (unsigned i = 1; i < PEERS; i++)
        place(&bench, i, i);
    for (unsigned left = PEERS - 1; left > 0; left--) {
        assert_int_equal(
            holders_changes(bench.f.intent, &bench.view, &leader, &leader, bench.changes, 1), 1);
        struct id peer = bench.changes[0].peer;
        seal(&bench, peer.bytes[0] - 1u, false);
    }
    assert_int_equal(look(&bench, 0, 0), 0);
    bench_done(&bench);
}

/* Breaks if a replica starts without its secret, or waits for one that it has; or if the last one
 * who can read a secret may leave with it. */
static void test_waits(void **state)
{
    (void)state;
    struct bench bench;
    struct id zero = fixture_id(0), one = fixture_id(1);
    char words[128];
    bench_init(&bench, 1);
    const struct service_spec *spec =
        &intent_revision_find(fixture_service(&bench.f, "s_web"), 1)->spec;
    assert_false(holders_waits(bench.f.intent, &zero, spec, words, sizeof(words)));
    assert_true(holders_waits(bench.f.intent, &one, spec, words, sizeof(words)));
    assert_non_null(strstr(words, "s_key"));
    assert_true(holders_is_last(bench.f.intent, &zero));
    assert_false(holders_is_last(bench.f.intent, &one));
    seal(&bench, 1, false);
    assert_false(holders_waits(bench.f.intent, &one, spec, words, sizeof(words)));
    assert_false(holders_is_last(bench.f.intent, &zero));
    bench_done(&bench);
}

/* Breaks if a peer that may have to stand in for another can't read the secrets then, or if others
 * can; or if that is dropped again. */
static void test_ahead(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    place(&bench, 1, 2);
    seal(&bench, 2, false);
    settle(&bench);
    struct intent_service *service = intent_service_find(bench.f.intent, "s_web");
    struct service_spec *spec = &((struct intent_revision *)service->revisions.items[0])->spec;
    assert_int_equal(look(&bench, 0, 0), 0);
    spec->on_minority = SPEC_MINORITY_DUPLICATE;
    assert_int_equal(text_list_add(&spec->constraints, "node.name!=e"), 0);
    assert_int_equal(look(&bench, 0, 0), 2);
    assert_true(finds(&bench, 1, false) && finds(&bench, 3, false));
    seal(&bench, 1, false);
    seal(&bench, 3, false);
    assert_int_equal(look(&bench, 0, 0), 0);
    for (unsigned i = PEERS; i <= HOLDERS_AHEAD_PEERS_MAX; i++) {
        char name[] = {(char)('a' + i), '\0'};
        assert_int_equal(fixture_admit(&bench.f, i, name), 0);
    }
    assert_int_equal(look(&bench, 0, 0), 2);
    assert_true(finds(&bench, 1, true) && finds(&bench, 3, true));
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placed),         cmocka_unit_test(test_voters),
        cmocka_unit_test(test_leader_without), cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_bounded),        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
