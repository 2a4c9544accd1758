#include <errno.h>

#include "base/writer.h"
#include "node/control/agent_private.h"
#include "node/control/feed.h"
#include "node/control/succession.h"
#include "tests/unit/node/control/agent_bench.h"

static enum feed_push_kind pushed(const struct fleet *f, unsigned peer)
{
    const struct buffer *said = &f->peers[peer].last_sent[AGENT_FEED_PUSH];
    assert_true(said->size >= 2);
    return (enum feed_push_kind)said->bytes[1];
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

/* As if `asker` had asked `source` for what comes after its intent. */
static void ask(struct fleet *f, unsigned asker, unsigned source)
{
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    feed_pull_write(&writer, &(struct feed_pull){.index = index_of(f, asker)});
    assert_int_equal(fleet_give(f, source, asker, AGENT_FEED_PULL, buffer_view(&bytes)), 0);
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
    assert_int_equal(pushed(&f, 0), FEED_PUSH_ENTRIES);
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

/* Breaks if each change of many costs a signature, or the last of them gets none. */
static void test_signed_together(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    fleet_run(&f, 1000);
    unsigned heads = 0;
    uint64_t head = fleet_status(&f, 0).newest_index, first = head;
    fleet_cut(&f, 1, true); /* what it hears counts as newest, too */
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, 1);
    command.peer_state.state = INTENT_DRAINING;
    int64_t until_ms = f.now_ms + 10 * FEED_SIGN_EACH_MS;
    while (f.now_ms < until_ms) {
        command.peer_state.state ^= INTENT_ACTIVE ^ INTENT_DRAINING;
        fleet_propose(&f, 0, &command);
        fleet_run(&f, 10);
        uint64_t announced = f.peers[0].agent->feed.announced.index;
        heads += announced != head;
        head = announced;
    }
    assert_true(index_of(&f, 0) >= first + 90);
    assert_in_range(heads, 9, 12);
    fleet_run(&f, FEED_SIGN_EACH_MS + 10);
    assert_int_equal(f.peers[0].agent->feed.announced.index, index_of(&f, 0));
    fleet_cut(&f, 1, false);
    fleet_run(&f, 8000);
    assert_same_intent(&f, 0, 1);
    fleet_done(&f);
}

/* A config of many parts' size: what comes before it is soon not remembered any more. */
static void set_large(struct fleet *f, unsigned number)
{
    enum { BYTES = 7 * FEED_PART_BYTES + 100 };
    struct command command = fleet_command(COMMAND_BLOB_SET);
    struct intent_blob *blob = &command.blob_set.blob;
    blob->name[0] = (char)('a' + number);
    assert_int_equal(buffer_reserve(&blob->content, BYTES), 0);
    memset(blob->content.bytes, (int)number, BYTES);
    blob->content.size = BYTES;
    fleet_agree(f, 0, &command);
    buffer_done(&blob->content);
}

static bool is_half_fetched(const struct fleet *f)
{
    const struct feed_fetch *fetch = &f->peers[2].agent->feed.fetch;
    return fetch->head.index > 0 && fetch->bytes.size > fetch->size / 2;
}

/* Breaks if a large intent does not come in parts, or all of it begins anew when the one dies that
 * served it. */
static void test_parts(void **state)
{
    (void)state;
    for (unsigned victim = 0; victim < 2; victim++) {
        struct fleet f;
        fleet_start(&f, 3, 1);
        fleet_cut(&f, 2, true);
        for (unsigned i = 0; i < 4; i++) {
            set_large(&f, i);
            fleet_run(&f, 1000);
        }
        assert_same_intent(&f, 0, 1);
        unsigned pulls = f.peers[2].sent[AGENT_FEED_PULL];
        fleet_cut(&f, 2, false);
        fleet_wait(&f, is_half_fetched);
        size_t parts = feed_part_count(f.peers[2].agent->feed.fetch.size);
        assert_true(parts > 4 * 7);
        fleet_kill(&f, victim);
        fleet_run(&f, 10000);
        assert_same_intent(&f, 1 - victim, 2);
        assert_int_equal(f.peers[2].events[AGENT_FEED_BAD], 0);
        assert_in_range(f.peers[2].sent[AGENT_FEED_PULL] - pulls, parts, parts + parts / 2);
        assert_true(f.peers[2].agent->feed.state.index > 0); /* it serves it as well */
        fleet_done(&f);
    }
}

/* Breaks if one peer that asks without end has another answer without end; or if that does not
 * answer any more, ever. */
static void test_serves_so_much(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    for (unsigned i = 0; i < 4; i++)
        set_large(&f, i);
    fleet_run(&f, 3000);
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    feed_pull_write(&writer, &(struct feed_pull){.index = 1, .state_index = 1});
    uint64_t served = 0;
    for (unsigned i = 0; i < 10 * FEED_SERVE_BURST_BYTES / FEED_PART_BYTES; i++) {
        assert_int_equal(fleet_give(&f, 0, 1, AGENT_FEED_PULL, buffer_view(&bytes)), 0);
        served += f.peers[0].last_sent[AGENT_FEED_PUSH].size;
    }
    assert_in_range(served, FEED_SERVE_BURST_BYTES, FEED_SERVE_BURST_BYTES + 4 * FEED_PART_BYTES);
    assert_int_equal(pushed(&f, 0), FEED_PUSH_NOTHING);
    fleet_run(&f, 1000);
    assert_int_equal(fleet_give(&f, 0, 1, AGENT_FEED_PULL, buffer_view(&bytes)), 0);
    assert_int_equal(pushed(&f, 0), FEED_PUSH_PART);
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
    ask(&f, 1, 2);
    assert_int_equal(pushed(&f, 2), FEED_PUSH_NOTHING);
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
    cleanup_buffer struct buffer forged = {0};
    ask(&f, 1, 0);
    const struct buffer *push = &f.peers[0].last_sent[AGENT_FEED_PUSH];
    assert_int_equal(pushed(&f, 0), FEED_PUSH_ENTRIES);
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

static struct intent *intent_copy(const struct fleet *f, unsigned peer)
{
    cleanup_buffer struct buffer bytes = {0};
    struct intent *copy;
    assert_int_equal(intent_write(agent_intent(f->peers[peer].agent), &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &copy), 0);
    return copy;
}

/* Gives `peer` a whole intent, under a head by that signer, as if peer `from` had sent it. */
static void push_intent(struct fleet *f, unsigned peer, unsigned from, const struct intent *intent,
                        const struct identity *signer)
{
    struct feed feed;
    feed_init(&feed);
    assert_int_equal(feed_state_make(intent, &feed.state), 0);
    assert_int_equal(feed_head_sign(intent, &feed.state, signer, &feed.state.head), 0);
    struct feed_pull pull = {.state_index = feed.state.index};
    for (; pull.part < feed_part_count(feed.state.bytes.size); pull.part++) {
        cleanup_buffer struct buffer bytes = {0};
        assert_int_equal(feed_push_encode(&feed, &pull, &bytes), 0);
        assert_int_equal(fleet_give(f, peer, from, AGENT_FEED_PUSH, buffer_view(&bytes)), 0);
    }
    feed_done(&feed);
}

/* Breaks if an intent counts that was signed by somebody who is not in the cluster. */
static void test_stranger_signs(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    struct identity stranger;
    party_identity(&stranger, 150);
    struct intent *forged = intent_copy(&f, 0);
    forged->applied_index += 10;
    uint64_t before = index_of(&f, 1);
    push_intent(&f, 1, 0, forged, &stranger);
    assert_int_equal(index_of(&f, 1), before);
    assert_int_equal(f.peers[1].events[AGENT_FEED_BAD], 1);
    push_intent(&f, 1, 0, forged, &f.peers[0].identity); /* as the voter says it, it is good */
    assert_int_equal(index_of(&f, 1), before + 10);
    intent_free(forged);
    fleet_done(&f);
}

/* Breaks if one stolen peer that does not vote can make up the intent for others, be it that it
 * says there that it votes. */
static void test_non_voter_signs(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    uint64_t before = index_of(&f, 1);
    const struct identity *thief = &f.peers[2].identity;
    struct raft_changes coup = {.members = {{RAFT_ADD_VOTER, thief->id}}, .count = 1};
    struct intent *forged = intent_copy(&f, 0);

    forged->applied_index++;
    push_intent(&f, 1, 2, forged, thief);
    intent_apply_changes(forged, forged->applied_index + 1, 1, &coup); /* nobody sealed it */
    push_intent(&f, 1, 2, forged, thief);
    intent_free(forged);

    forged = intent_copy(&f, 0);
    assert_int_equal(succession_seal(forged, forged->applied_index + 1, thief, &coup), 0);
    intent_apply_changes(forged, forged->applied_index + 1, 1, &coup);
    push_intent(&f, 1, 2, forged, thief);
    intent_free(forged);

    assert_int_equal(f.peers[1].events[AGENT_FEED_BAD], 3);
    assert_true(id_equal(&f.peers[1].last_event[AGENT_FEED_BAD].id, &thief->id));
    assert_int_equal(index_of(&f, 1), before);
    toggle(&f, 1, true);
    fleet_run(&f, 2000);
    assert_same_intent(&f, 0, 1);
    fleet_done(&f);
}

static void gossip_head(struct fleet *f, unsigned peer, const struct identity *signer,
                        uint64_t index)
{
    cleanup_buffer struct buffer value = {0};
    struct intent *forged = intent_copy(f, peer);
    struct feed_head head;
    struct writer writer;
    forged->applied_index = index;
    assert_int_equal(feed_head_sign(forged, &(struct feed_state){0}, signer, &head), 0);
    intent_free(forged);
    writer_init(&writer, &value);
    feed_head_write(&writer, &head);
    struct swim *swim = (struct swim *)agent_swim(f->peers[peer].agent);
    assert_int_equal(
        swim_publish(swim, f->now_ms, SWIM_TABLE_FEED, bytes_of_text("head"), buffer_view(&value)),
        0);
    f->peers[peer].output.next_deadline_ms = f->now_ms;
}

/* Breaks if a stolen peer that does not vote can hide the true heads behind one that it made up,
 * or have everybody ask all the time. */
static void test_head_made_up(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    gossip_head(&f, 2, &f.peers[2].identity, (uint64_t)1 << 62);
    fleet_run(&f, 3000);
    assert_int_equal(fleet_status(&f, 1).newest_index, index_of(&f, 1));
    unsigned pulls = f.peers[1].sent[AGENT_FEED_PULL];
    fleet_run(&f, 60000);
    assert_in_range(f.peers[1].sent[AGENT_FEED_PULL] - pulls, 1, 60000 / FEED_HINT_RETRY_MS + 1);
    for (int i = 0; i < 10; i++) { /* not by saying ever more either */
        gossip_head(&f, 2, &f.peers[2].identity, ((uint64_t)1 << 62) + i);
        fleet_run(&f, 100);
    }
    assert_in_range(f.peers[1].sent[AGENT_FEED_PULL] - pulls, 1, 60000 / FEED_HINT_RETRY_MS + 4);
    uint64_t before = index_of(&f, 1);
    toggle(&f, 1, true);
    fleet_run(&f, 1000);
    assert_true(index_of(&f, 1) > before);
    assert_same_intent(&f, 0, 1);
    fleet_done(&f);
}

/* Breaks if what a voter made up hides the true heads even after it was stolen, revoked and
 * replaced. */
static void test_voter_made_up(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 4, 3);
    unsigned leader = fleet_leader(&f), thief = (leader + 1) % 3;
    gossip_head(&f, thief, &f.peers[thief].identity, (uint64_t)1 << 62);
    fleet_run(&f, 3000);
    assert_int_equal(fleet_status(&f, 3).newest_index, (uint64_t)1 << 62);
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, thief);
    command.peer_state.state = INTENT_REVOKED;
    fleet_agree(&f, leader, &command);
    fleet_run(&f, 3000);
    leader = fleet_leader(&f);
    assert_int_equal(fleet_status(&f, 3).newest_index, index_of(&f, leader));
    assert_same_intent(&f, leader, 3);
    fleet_done(&f);
}

enum { SLEEPER = 6 };

static bool voters_were_replaced(const struct fleet *f)
{
    for (unsigned i = 0; i < SLEEPER; i++) {
        const struct intent *intent = agent_intent(f->peers[i].agent);
        if (raft_configuration_is_joint(&intent->configuration))
            return false;
        for (unsigned j = 0; j < SLEEPER; j++) {
            struct id id = fleet_id(f, j);
            if (intent_is_voter(intent, &id) != (j >= 3))
                return false;
        }
    }
    return true;
}

/* Peers 0, 1 and 2 voted; now 3, 4 and 5 do, and peer 6 slept through it. */
static unsigned replace_all_voters(struct fleet *f)
{
    fleet_start(f, SLEEPER + 1, 3);
    for (unsigned i = 0; i < 3; i++) {
        struct id id = fleet_id(f, i);
        assert_true(intent_is_voter(agent_intent(f->peers[SLEEPER].agent), &id));
    }
    fleet_cut(f, SLEEPER, true);
    for (unsigned i = 0; i < 3; i++)
        toggle(f, i, true);
    fleet_wait(f, voters_were_replaced);
    unsigned leader = fleet_leader(f);
    assert_in_range(leader, 3, 5);
    const struct intent *slept = agent_intent(f->peers[SLEEPER].agent);
    assert_true(agent_intent(f->peers[leader].agent)->succession_count >
                slept->succession_count + 1); /* several changes */
    return leader;
}

/* Breaks if a peer that slept while all voters were replaced can't catch up, by entries or by the
 * whole intent. */
static void test_voters_replaced(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct fleet f;
        unsigned leader = replace_all_voters(&f);
        for (unsigned i = 0; i < 3; i++)
            fleet_kill(&f, i);
        for (unsigned i = 3; whole && i < SLEEPER; i++) {
            fleet_kill(&f, i);
            fleet_restart(&f, i); /* it remembers the newest entries only */
        }
        fleet_run(&f, 5000);
        fleet_cut(&f, SLEEPER, false);
        fleet_run(&f, 20000);
        leader = fleet_leader(&f);
        assert_same_intent(&f, leader, SLEEPER);
        assert_int_equal(f.peers[SLEEPER].events[AGENT_FEED_BAD], 0);
        assert_int_equal(f.peers[SLEEPER].events[AGENT_FEED_TOO_FAR], 0);
        assert_int_equal(fleet_status(&f, SLEEPER).newest_index, index_of(&f, leader));
        fleet_done(&f);
    }
}

/* Breaks if a line of voters that was cut or tampered with is believed: though the head is the true
 * leader's, the peer that slept can't know that. */
static void test_line_broken(void **state)
{
    (void)state;
    struct fleet f;
    unsigned leader = replace_all_voters(&f);
    uint64_t before = index_of(&f, SLEEPER);
    struct intent *forged = intent_copy(&f, leader);
    const struct identity *signer = &f.peers[leader].identity, *thief = &f.peers[5].identity;
    size_t slept = agent_intent(f.peers[SLEEPER].agent)->succession_count;
    assert_true(forged->succession_count > slept + 1);

    struct raft_seal *seal = &forged->successions[slept].seal, true_seal = *seal;
    seal->signer = thief->id; /* it did not vote yet */
    push_intent(&f, SLEEPER, leader, forged, signer);
    assert_int_equal(f.peers[SLEEPER].events[AGENT_FEED_BAD], 1);
    *seal = true_seal;

    struct intent_succession *successions = forged->successions;
    forged->succession_count -= slept + 1;
    memmove(successions, successions + slept + 1, forged->succession_count * sizeof(*successions));
    push_intent(&f, SLEEPER, leader, forged, signer);
    assert_int_equal(f.peers[SLEEPER].events[AGENT_FEED_BAD], 1);
    assert_int_equal(f.peers[SLEEPER].events[AGENT_FEED_TOO_FAR], 1);
    struct id sender = fleet_id(&f, leader);
    assert_true(id_equal(&f.peers[SLEEPER].last_event[AGENT_FEED_TOO_FAR].id, &sender));
    assert_int_equal(index_of(&f, SLEEPER), before);
    intent_free(forged);

    forged = intent_copy(&f, leader);
    push_intent(&f, SLEEPER, leader, forged, signer);
    assert_same_intent(&f, leader, SLEEPER);
    intent_free(forged);
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
    ask(&f, behind, leader);
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
        cmocka_unit_test(test_fed),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_signed_together),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_serves_so_much),
        cmocka_unit_test(test_asks_another),
        cmocka_unit_test(test_served_by_others),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_stranger_signs),
        cmocka_unit_test(test_voter_fed),
        cmocka_unit_test(test_non_voter_signs),
        cmocka_unit_test(test_head_made_up),
        cmocka_unit_test(test_voter_made_up),
        cmocka_unit_test(test_voters_replaced),
        cmocka_unit_test(test_line_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
