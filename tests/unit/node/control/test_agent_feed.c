#include <errno.h>

#include "base/writer.h"
#include "node/control/feed.h"
#include "tests/unit/node/control/agent_bench.h"

enum push_kind { PUSH_NOTHING, PUSH_ENTRIES, PUSH_INTENT }; /* as on the wire */

static enum push_kind pushed(const struct fleet *f, unsigned peer)
{
    const struct buffer *said = &f->peers[peer].last_sent[AGENT_FEED_PUSH];
    assert_true(said->size > 2);
    return (enum push_kind)said->bytes[1];
}

static void toggle(struct fleet *f, unsigned peer, bool drained)
{
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(f, peer);
    command.peer_state.state = drained ? INTENT_DRAINING : INTENT_ACTIVE;
    fleet_agree(f, 0, &command);
}

static uint64_t index_of(const struct fleet *f, unsigned peer)
{
    return fleet_status(f, peer).applied_index;
}

static void assert_same_intent(const struct fleet *f, unsigned a, unsigned b)
{
    uint8_t hash_a[FEED_HASH_BYTES], hash_b[FEED_HASH_BYTES];
    assert_int_equal(feed_hash(agent_intent(f->peers[a].agent), hash_a), 0);
    assert_int_equal(feed_hash(agent_intent(f->peers[b].agent), hash_b), 0);
    assert_memory_equal(hash_a, hash_b, FEED_HASH_BYTES);
}

/* Breaks if peers outside of Raft do not learn what was agreed on, or do not store it. */
static void test_fed(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    toggle(&f, 1, true);
    fleet_run(&f, 1000);
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(index_of(&f, i), index_of(&f, 0));
        assert_int_equal(fleet_status(&f, i).newest_index, index_of(&f, 0));
        assert_same_intent(&f, 0, i);
        assert_true(f.peers[i].disk.intent.size > 0);
        assert_false(fleet_status(&f, i).is_voter);
    }
    assert_int_equal(f.peers[0].sent[AGENT_RAFT], 0); /* there is one voter */
    fleet_done(&f);
}

/* Breaks if a peer that missed a few entries does not get just those, or one that missed many, or
 * asks a peer that has forgotten them, gets nothing. */
static void test_gap(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    fleet_cut(&f, 1, true);
    uint64_t before = index_of(&f, 1);
    for (int i = 0; i < 5; i++)
        toggle(&f, 1, i % 2 == 0);
    fleet_run(&f, 1000);
    assert_int_equal(index_of(&f, 1), before);
    fleet_cut(&f, 1, false);
    fleet_run(&f, 8000);
    assert_int_equal(index_of(&f, 1), index_of(&f, 0));
    assert_int_equal(pushed(&f, 0), PUSH_ENTRIES);
    assert_same_intent(&f, 0, 1);

    fleet_cut(&f, 1, true);
    toggle(&f, 1, false);
    fleet_kill(&f, 0);
    fleet_restart(&f, 0); /* it remembers the newest entries only */
    fleet_run(&f, 2000);
    fleet_cut(&f, 1, false);
    fleet_run(&f, 8000);
    assert_int_equal(index_of(&f, 1), index_of(&f, 0));
    assert_same_intent(&f, 0, 1);
    fleet_done(&f);
}

/* Breaks if one peer that serves nothing newer keeps another from ever learning it. */
static void test_asks_another(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    f.lost_kinds = 1 << AGENT_FEED_PULL;
    toggle(&f, 1, true);
    fleet_run(&f, 1000);
    assert_true(fleet_status(&f, 1).newest_index > index_of(&f, 1)); /* it heard that it lags */
    unsigned pulls = f.peers[1].sent[AGENT_FEED_PULL];
    assert_true(pulls > 0);
    /* peer 2, which lags too, answers */
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    writer_u64(&writer, index_of(&f, 1));
    assert_int_equal(fleet_give(&f, 2, 1, AGENT_FEED_PULL, buffer_view(&bytes)), 0);
    assert_int_equal(pushed(&f, 2), PUSH_NOTHING);
    fleet_run(&f, FEED_PULL_DELAY_MS + FLEET_DELAY_MS);
    assert_true(f.peers[1].sent[AGENT_FEED_PULL] > pulls);
    f.lost_kinds = 0;
    fleet_run(&f, 3000);
    assert_same_intent(&f, 0, 1);
    assert_same_intent(&f, 0, 2);
    fleet_done(&f);
}

/* Breaks if only the leader can feed: its work would grow with the fleet. */
static void test_served_by_others(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    fleet_cut(&f, 2, true);
    toggle(&f, 1, true);
    fleet_run(&f, 2000);
    fleet_kill(&f, 0);
    fleet_cut(&f, 2, false);
    uint64_t before = index_of(&f, 2);
    fleet_run(&f, 10000);
    assert_true(index_of(&f, 1) > before);
    assert_int_equal(index_of(&f, 2), index_of(&f, 1));
    assert_same_intent(&f, 1, 2);
    fleet_done(&f);
}

/* Breaks if whoever serves the feed can change a byte of it unnoticed. */
static void test_forged(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    fleet_cut(&f, 1, true);
    toggle(&f, 2, true);
    fleet_run(&f, 500);
    cleanup_buffer struct buffer bytes = {0}, forged = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    writer_u64(&writer, index_of(&f, 1));
    assert_int_equal(fleet_give(&f, 0, 1, AGENT_FEED_PULL, buffer_view(&bytes)), 0);
    const struct buffer *push = &f.peers[0].last_sent[AGENT_FEED_PUSH];
    assert_int_equal(pushed(&f, 0), PUSH_ENTRIES);
    uint64_t before = index_of(&f, 1);
    unsigned bad = 0;
    for (size_t i = 0; i < push->size; i++) {
        buffer_clear(&forged);
        assert_int_equal(buffer_append(&forged, push->bytes, push->size), 0);
        forged.bytes[i] ^= 1;
        int rc = fleet_give(&f, 1, 2, AGENT_FEED_PUSH, buffer_view(&forged));
        assert_true(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
        assert_int_equal(index_of(&f, 1), before);
        bad += rc == 0;
    }
    assert_true(bad > 0);
    assert_in_range(f.peers[1].events[AGENT_FEED_BAD], 1, bad);
    struct id liar = fleet_id(&f, 2);
    assert_true(id_equal(&f.peers[1].last_event[AGENT_FEED_BAD].id, &liar));
    /* as it was said, it is good, whoever brings it */
    assert_int_equal(fleet_give(&f, 1, 2, AGENT_FEED_PUSH, buffer_view(push)), 0);
    assert_true(index_of(&f, 1) > before);
    fleet_done(&f);
}

/* Breaks if an intent counts that was signed by somebody who is not in the cluster. */
static void test_stranger_signs(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    cleanup_buffer struct buffer state_bytes = {0}, bytes = {0};
    struct intent *forged;
    struct feed_head head;
    struct identity stranger;
    struct writer writer;
    party_identity(&stranger, 150);
    assert_int_equal(intent_write(agent_intent(f.peers[0].agent), &state_bytes), 0);
    assert_int_equal(intent_read(buffer_view(&state_bytes), &forged), 0);
    forged->applied_index += 10;
    assert_int_equal(feed_head_sign(forged, &stranger, &head), 0);
    buffer_clear(&state_bytes);
    assert_int_equal(intent_write(forged, &state_bytes), 0);
    intent_free(forged);
    writer_init(&writer, &bytes);
    writer_array(&writer, 3);
    writer_u64(&writer, PUSH_INTENT);
    feed_head_write(&writer, &head);
    writer_binary(&writer, state_bytes.bytes, state_bytes.size);
    uint64_t before = index_of(&f, 1);
    assert_int_equal(fleet_give(&f, 1, 0, AGENT_FEED_PUSH, buffer_view(&bytes)), 0);
    assert_int_equal(index_of(&f, 1), before);
    assert_int_equal(f.peers[1].events[AGENT_FEED_BAD], 1);
    fleet_done(&f);
}

/* Breaks if a voter that Raft does not reach never learns what was agreed on, though the feed
 * could bring it; or if Raft then stumbles over that. */
static void test_voter_fed(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), behind = (leader + 1) % 3;
    f.lost_kinds = 1 << AGENT_RAFT;
    fleet_run(&f, 1000);
    f.lost_kinds = 0;
    fleet_run(&f, 3000);
    fleet_cut(&f, behind, true);
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, behind);
    command.peer_state.state = INTENT_DRAINING;
    leader = fleet_leader(&f);
    fleet_agree(&f, leader, &command);
    fleet_run(&f, 3000);
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    writer_u64(&writer, index_of(&f, behind));
    assert_int_equal(fleet_give(&f, leader, behind, AGENT_FEED_PULL, buffer_view(&bytes)), 0);
    const struct buffer *push = &f.peers[leader].last_sent[AGENT_FEED_PUSH];
    assert_int_equal(fleet_give(&f, behind, leader, AGENT_FEED_PUSH, buffer_view(push)), 0);
    assert_same_intent(&f, leader, behind);
    fleet_cut(&f, behind, false);
    fleet_run(&f, 5000);
    command.peer_state.state = INTENT_ACTIVE;
    fleet_agree(&f, fleet_leader(&f), &command);
    fleet_run(&f, 3000);
    for (unsigned i = 1; i < 3; i++)
        assert_same_intent(&f, 0, i);
    /* what the feed had brought is not lost by a restart either */
    fleet_kill(&f, behind);
    fleet_restart(&f, behind);
    fleet_run(&f, 3000);
    assert_same_intent(&f, fleet_leader(&f), behind);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fed),          cmocka_unit_test(test_gap),
        cmocka_unit_test(test_asks_another), cmocka_unit_test(test_served_by_others),
        cmocka_unit_test(test_forged),       cmocka_unit_test(test_stranger_signs),
        cmocka_unit_test(test_voter_fed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
