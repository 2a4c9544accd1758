#include <endian.h>
#include <errno.h>

#include "node/control/agent_pulls.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/control/agent_bench.h"

static const char digest[] =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static const struct view_replica *seen(const struct fleet *f, unsigned by, uint64_t generation)
{
    return view_replica_find(agent_view(f->peers[by].agent), generation);
}

static void publish(struct fleet *f, unsigned peer, uint64_t generation,
                    enum view_replica_state state)
{
    struct view_replica replica = {.generation = generation, .state = (uint8_t)state};
    assert_int_equal(agent_publish_replica(f->peers[peer].agent, f->now_ms, &replica), 0);
    f->peers[peer].output.next_deadline_ms = f->now_ms;
}

/* Deploys one replica and returns who shall run it. */
static unsigned deploy(struct fleet *f)
{
    struct service_spec spec;
    fixture_spec(&spec, "web");
    assert_int_equal(text_list_add(&spec.constraints, "node.name!=p0"), 0);
    fleet_deploy(f, 0, &spec);
    fleet_run(f, 1000);
    assert_int_equal(fleet_wanted(f, 0), 0);
    assert_int_equal(fleet_wanted(f, 1) + fleet_wanted(f, 2), 1);
    return fleet_wanted(f, 1) ? 1 : 2;
}

/* Breaks if peers do not learn what another one is and can. */
static void test_capacity(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    struct id id = fleet_id(&f, 1);
    const struct view_peer *peer = view_peer_find(agent_view(f.peers[0].agent), &id);
    assert_non_null(peer);
    assert_true(peer->has_capacity);
    assert_int_equal(peer->capacity.cpu_millis, 4000);
    assert_string_equal(peer->capacity.labels, "number=1");
    fleet_done(&f);
}

/* Breaks if the state of a replica does not spread, or its withdrawal. */
static void test_replica(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    unsigned holder = deploy(&f);
    struct id id = fleet_id(&f, holder);
    publish(&f, holder, 1, VIEW_REPLICA_STARTING);
    fleet_run(&f, 500);
    publish(&f, holder, 1, VIEW_REPLICA_RUNNING);
    assert_int_equal(seen(&f, holder, 1)->state, VIEW_REPLICA_RUNNING);
    fleet_run(&f, 500);
    for (unsigned i = 0; i < 3; i++) {
        assert_non_null(seen(&f, i, 1));
        assert_int_equal(seen(&f, i, 1)->state, VIEW_REPLICA_RUNNING);
        assert_true(id_equal(&seen(&f, i, 1)->peer, &id));
    }
    assert_int_equal(agent_withdraw_replica(f.peers[holder].agent, f.now_ms, 1), 0);
    assert_null(seen(&f, holder, 1));
    f.peers[holder].output.next_deadline_ms = f.now_ms;
    fleet_run(&f, 500);
    for (unsigned i = 0; i < 3; i++)
        assert_null(seen(&f, i, 1));
    assert_int_equal(agent_withdraw_replica(f.peers[holder].agent, f.now_ms, 1), -ENOENT);
    fleet_done(&f);
}

/* Breaks if a peer can speak about a replica that another one holds. */
static void test_replica_of_another(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    unsigned holder = deploy(&f), liar = 3 - holder;
    struct id id = fleet_id(&f, holder);
    publish(&f, holder, 1, VIEW_REPLICA_RUNNING);
    fleet_run(&f, 500);
    publish(&f, liar, 1, VIEW_REPLICA_FAILED);
    fleet_run(&f, 500);
    for (unsigned i = 0; i < 3; i++) {
        if (i == liar)
            continue;
        assert_int_equal(seen(&f, i, 1)->state, VIEW_REPLICA_RUNNING);
        assert_true(id_equal(&seen(&f, i, 1)->peer, &id));
    }
    agent_withdraw_replica(f.peers[liar].agent, f.now_ms, 1);
    f.peers[liar].output.next_deadline_ms = f.now_ms;
    fleet_run(&f, 500);
    assert_non_null(seen(&f, 0, 1));
    fleet_done(&f);
}

/* Breaks if what a peer said of its replica is lost on those who hear only later that it holds it;
 * or if another peer's word for it, heard before, stays. */
static void test_replica_before_intent(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    f.lost_kinds = 1 << AGENT_FEED_PUSH;
    struct service_spec spec;
    fixture_spec(&spec, "web");
    assert_int_equal(text_list_add(&spec.constraints, "node.name==p0"), 0);
    fleet_deploy(&f, 0, &spec);
    fleet_run(&f, 500);
    assert_int_equal(fleet_wanted(&f, 0), 1);
    publish(&f, 2, 1, VIEW_REPLICA_FAILED);
    fleet_run(&f, 500);
    publish(&f, 0, 1, VIEW_REPLICA_RUNNING);
    fleet_run(&f, 500);
    publish(&f, 2, 1, VIEW_REPLICA_EXITED);
    fleet_run(&f, 500);
    assert_int_equal(agent_intent(f.peers[1].agent)->replicas.count, 0);
    f.lost_kinds = 0;
    fleet_run(&f, 2000);
    struct id id = fleet_id(&f, 0);
    assert_int_equal(agent_intent(f.peers[1].agent)->replicas.count, 1);
    assert_non_null(seen(&f, 1, 1));
    assert_true(id_equal(&seen(&f, 1, 1)->peer, &id));
    assert_int_equal(seen(&f, 1, 1)->state, VIEW_REPLICA_RUNNING);
    fleet_done(&f);
}

/* Breaks if a death is not told, or told as one only once the dead is back. */
static void test_liveness(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    struct id id = fleet_id(&f, 2);
    unsigned told = f.peers[0].events[AGENT_MEMBER];
    fleet_kill(&f, 2);
    fleet_run(&f, 6000);
    assert_int_equal(f.peers[0].events[AGENT_MEMBER], told + 2); /* suspect, dead */
    assert_true(id_equal(&f.peers[0].last_event[AGENT_MEMBER].id, &id));
    assert_int_equal(f.peers[0].last_event[AGENT_MEMBER].liveness, VIEW_DEAD);
    assert_int_equal(view_peer_find(agent_view(f.peers[0].agent), &id)->liveness, VIEW_DEAD);
    assert_int_equal(fleet_status(&f, 0).live_count, 2);
    fleet_restart(&f, 2);
    fleet_run(&f, 3000);
    assert_int_equal(f.peers[0].last_event[AGENT_MEMBER].liveness, VIEW_ALIVE);
    assert_int_equal(fleet_status(&f, 0).live_count, 3);

    assert_int_equal(agent_leave(f.peers[2].agent, f.now_ms), 0);
    f.peers[2].output.next_deadline_ms = f.now_ms;
    fleet_run(&f, 1000);
    assert_int_equal(f.peers[0].last_event[AGENT_MEMBER].liveness, VIEW_LEFT);
    fleet_done(&f);
}

/* Breaks if the replicas of a peer that is shut out stay in the view. */
static void test_gone_with_its_replicas(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    unsigned holder = deploy(&f);
    publish(&f, holder, 1, VIEW_REPLICA_RUNNING);
    fleet_run(&f, 500);
    assert_non_null(seen(&f, 0, 1));
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, holder);
    command.peer_state.state = INTENT_REVOKED;
    fleet_agree(&f, 0, &command);
    fleet_run(&f, 200);
    assert_null(seen(&f, 0, 1));
    assert_null(view_peer_find(agent_view(f.peers[0].agent), &command.peer_state.id));
    fleet_done(&f);
}

static void count_holder(void *context, const struct swim_member *member)
{
    (void)member;
    ++*(unsigned *)context;
}

static unsigned holders(const struct fleet *f, unsigned by)
{
    unsigned count = 0;
    agent_image_holders(f->peers[by].agent, digest, count_holder, &count);
    return count;
}

/* Breaks if an image is not found under each of its names, or at peers that don't have it (any
 * more). */
static void test_images(void **state)
{
    (void)state;
    struct fleet f;
    char found[AGENT_DIGEST_TEXT_BYTES];
    fleet_start(&f, 3, 1);
    assert_int_equal(agent_image_resolve(f.peers[0].agent, "hello:1", found), -ENOENT);
    assert_int_equal(
        agent_publish_image(f.peers[1].agent, f.now_ms, digest, "hello:1,hello:latest"), 0);
    f.peers[1].output.next_deadline_ms = f.now_ms;
    fleet_run(&f, 500);
    static const char *const good[] = {"hello:1", "hello:latest"};
    static const char *const bad[] = {"hello",    "hello:", "ello:1",
                                      "hello:1,", "latest", "hello:11"};
    for (unsigned by = 0; by < 3; by++) {
        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
            memset(found, 0, sizeof(found));
            assert_int_equal(agent_image_resolve(f.peers[by].agent, good[i], found), 0);
            assert_string_equal(found, digest);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
            assert_int_equal(agent_image_resolve(f.peers[by].agent, bad[i], found), -ENOENT);
        assert_int_equal(holders(&f, by), by == 1 ? 0 : 1); /* itself does not count */
    }
    assert_int_equal(agent_publish_image(f.peers[2].agent, f.now_ms, digest, "hello:1"), 0);
    f.peers[2].output.next_deadline_ms = f.now_ms;
    fleet_run(&f, 500);
    assert_int_equal(holders(&f, 0), 2);
    fleet_kill(&f, 2);
    fleet_run(&f, 6000);
    assert_int_equal(holders(&f, 0), 1);
    assert_int_equal(agent_withdraw_image(f.peers[1].agent, f.now_ms, digest), 0);
    f.peers[1].output.next_deadline_ms = f.now_ms;
    fleet_run(&f, 500);
    assert_int_equal(holders(&f, 0), 0);
    fleet_done(&f);
}

/* Breaks if what an image keeps is forgotten when it is deployed at another peer, or a name is
 * taken for a place. */
static void test_image_volumes(void **state)
{
    (void)state;
    struct fleet f;
    struct text_list paths = {0};
    fleet_start(&f, 2, 1);
    assert_int_equal(agent_image_volumes(f.peers[0].agent, digest, &paths), -ENOENT);
    assert_int_equal(agent_publish_image(f.peers[0].agent, f.now_ms, digest, ""), 0);
    assert_int_equal(
        agent_publish_image(f.peers[1].agent, f.now_ms, digest, "/data,/var/lib/db,hello:1"), 0);
    f.peers[1].output.next_deadline_ms = f.now_ms;
    fleet_run(&f, 500);
    for (unsigned by = 0; by < 2; by++) {
        assert_int_equal(agent_image_volumes(f.peers[by].agent, digest, &paths), 0);
        assert_int_equal(paths.count, 2);
        assert_string_equal(paths.items[0], "/data");
        assert_string_equal(paths.items[1], "/var/lib/db");
        text_list_done(&paths);
    }
    fleet_done(&f);
}

static void publish_pull(struct fleet *f, unsigned by, bool has_begun)
{
    assert_int_equal(agent_publish_pull(f->peers[by].agent, f->now_ms, "hello:1", has_begun), 0);
    f->peers[by].output.next_deadline_ms = f->now_ms;
    fleet_run(f, 500);
}

/* Breaks if several peers pull one image at once, or none does. */
static void test_pulls(void **state)
{
    (void)state;
    struct fleet f;
    char found[AGENT_DIGEST_TEXT_BYTES];
    fleet_start(&f, 2, 1);
    unsigned first = id_compare(&f.peers[0].identity.id, &f.peers[1].identity.id) < 0 ? 0 : 1,
             second = 1 - first;
    publish_pull(&f, first, false);
    publish_pull(&f, second, false);
    assert_false(agent_pull_is_others(f.peers[first].agent, "hello:1"));
    assert_true(agent_pull_is_others(f.peers[second].agent, "hello:1"));
    assert_false(agent_pull_is_others(f.peers[second].agent, "hello:2"));
    publish_pull(&f, second, true); /* who has begun comes first */
    assert_true(agent_pull_is_others(f.peers[first].agent, "hello:1"));
    assert_int_equal(agent_image_resolve(f.peers[first].agent, "pulls", found), -ENOENT);
    assert_int_equal(agent_withdraw_pull(f.peers[second].agent, f.now_ms, "hello:1"), 0);
    f.peers[second].output.next_deadline_ms = f.now_ms;
    fleet_run(&f, 500);
    assert_false(agent_pull_is_others(f.peers[first].agent, "hello:1"));
    fleet_done(&f);
}

/* Breaks if a peer whose disk was put back goes on unheard, and nobody is told. */
static void test_outrun(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    fleet_kill(&f, 1);
    f.peers[1].generation = 40;
    fleet_restart(&f, 1);
    fleet_run(&f, 3000);
    assert_int_equal(f.peers[1].events[AGENT_OUTRUN], 0);
    fleet_kill(&f, 1);
    f.peers[1].generation = 1;
    fleet_restart(&f, 1);
    fleet_run(&f, 10000);
    assert_true(f.peers[1].events[AGENT_OUTRUN] > 0);
    uint8_t newer[4];
    assert_int_equal(hex_decode(f.peers[1].last_event[AGENT_OUTRUN].text, newer, 4), 0);
    assert_true(newer[3] > 40);
    assert_int_equal(fleet_status(&f, 0).live_count, 2);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_replica),
        cmocka_unit_test(test_replica_of_another),
        cmocka_unit_test(test_replica_before_intent),
        cmocka_unit_test(test_liveness),
        cmocka_unit_test(test_gone_with_its_replicas),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_pulls),
        cmocka_unit_test(test_image_volumes),
        cmocka_unit_test(test_outrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
