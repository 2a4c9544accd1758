#include "tests/sim/thief.h"

#include <assert.h>
#include <sodium.h>

#include "node/control/feed.h"
#include "node/control/succession.h"
#include "tests/sim/cluster.h"

enum {
    AHEAD = 1000, /* entries and terms */
    FAR_AHEAD = 1 << 30,
};

struct lie {
    struct intent *intent;
    struct feed feed; /* that offers it */
    struct buffer state;
};

/* `seals`: it also signs for its own vote. */
static void lie_make(const struct machine *thief, bool seals, struct lie *ret)
{
    cleanup_buffer struct buffer state = {0};
    struct raft_changes coup = {.members = {{RAFT_ADD_VOTER, thief->identity.id}}, .count = 1};
    *ret = (struct lie){0};
    int rc = intent_write(agent_intent(thief->agent), &state);
    assert(rc == 0);
    rc = intent_read(buffer_view(&state), &ret->intent);
    assert(rc == 0);
    struct intent *intent = ret->intent;
    for (size_t i = 0; i < intent->services.count; i++)
        ((struct intent_service *)intent->services.items[i])->removing = true;
    if (seals)
        succession_seal(intent, intent->applied_index + AHEAD, &thief->identity, &coup);
    intent_apply_changes(intent, intent->applied_index + AHEAD, intent->applied_term + AHEAD,
                         &coup);
    feed_init(&ret->feed);
    rc = feed_state_make(intent, &ret->feed.state);
    assert(rc == 0);
    rc = feed_head_sign(intent, &ret->feed.state, &thief->identity, &ret->feed.state.head);
    assert(rc == 0);
    rc = intent_write(intent, &ret->state);
    assert(rc == 0);
}

static void lie_done(struct lie *lie)
{
    intent_free(lie->intent);
    feed_done(&lie->feed);
    buffer_done(&lie->state);
}

static void tell(struct cluster *c, uint8_t kind, struct bytes bytes)
{
    const struct machine *thief = &c->machines[c->thief];
    for (unsigned i = 0; i < c->count; i++) {
        struct network_message address = {.from = thief->number,
                                          .to = i,
                                          .from_id = thief->identity.id,
                                          .to_id = c->machines[i].identity.id,
                                          .kind = kind};
        if (i != thief->number)
            network_send(&c->network, &address, bytes);
    }
}

static void tell_feed(struct cluster *c, const struct lie *lie)
{
    struct feed_pull pull = {.state_index = lie->feed.state.index};
    for (; pull.part < feed_part_count(lie->feed.state.bytes.size); pull.part++) {
        cleanup_buffer struct buffer bytes = {0};
        int rc = feed_push_encode(&lie->feed, &pull, &bytes);
        assert(rc == 0);
        tell(c, AGENT_FEED_PUSH, buffer_view(&bytes));
    }
}

static void tell_raft(struct cluster *c, const struct lie *lie)
{
    const struct intent *intent = lie->intent;
    uint64_t index = intent->applied_index, term = intent->applied_term;
    struct raft_snapshot snapshot = {.index = index,
                                     .term = term,
                                     .configuration = intent->configuration,
                                     .data = buffer_view(&lie->state)};
    crypto_generichash(snapshot.hash, sizeof(snapshot.hash), lie->state.bytes, lie->state.size,
                       NULL, 0);
    struct raft_message said[] = {
        {.type = RAFT_VOTE, .transfer = true, .index = index, .log_term = term},
        {.type = RAFT_HEARTBEAT, .commit = index},
        {.type = RAFT_SNAPSHOT, .snapshot = &snapshot, .chunk = snapshot.data},
    };
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        cleanup_buffer struct buffer bytes = {0};
        said[i].term = term;
        int rc = raft_message_encode(&said[i], &bytes);
        assert(rc == 0);
        tell(c, AGENT_RAFT, buffer_view(&bytes));
    }
}

static void tell_line(struct cluster *c, const struct lie *lie)
{
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    writer_array(&writer, lie->intent->succession_count);
    for (size_t i = 0; i < lie->intent->succession_count; i++)
        intent_succession_write(&writer, &lie->intent->successions[i]);
    tell(c, AGENT_LINE, buffer_view(&bytes));
}

/* The one lie that spreads by itself: a head so far ahead that no true one comes after it. */
static void gossip(struct machine *thief, struct lie *lie)
{
    cleanup_buffer struct buffer value = {0};
    struct writer writer;
    lie->intent->applied_index += FAR_AHEAD;
    struct feed_head head;
    int rc = feed_head_sign(lie->intent, &lie->feed.state, &thief->identity, &head);
    assert(rc == 0);
    writer_init(&writer, &value);
    feed_head_write(&writer, &head);
    rc = swim_publish((struct swim *)agent_swim(thief->agent), machine_now_ms(thief),
                      SWIM_TABLE_FEED, bytes_of_text("head"), buffer_view(&value));
    assert(rc == 0);
    machine_wake(thief);
}

void thief_speaks(struct cluster *c)
{
    struct machine *thief = &c->machines[c->thief];
    assert(thief->agent && !intent_is_voter(agent_intent(thief->agent), &thief->identity.id));
    for (int seals = 0; seals < 2; seals++) {
        struct lie lie;
        lie_make(thief, seals, &lie);
        tell_feed(c, &lie);
        tell_line(c, &lie);
        tell_raft(c, &lie);
        gossip(thief, &lie);
        lie_done(&lie);
    }
}
