/* Leases of exclusive replicas: this peer asks the leader for them, and grants them when it leads.
 *
 * A holder counts its lease from the moment it asked, on its own clock, so a slow answer shortens
 * it and never lengthens it. The leader grants only while no other can lead (the Raft lease, thesis
 * §6.4.1), and moves an exclusive replica only when every lease that may have been granted, by it
 * or by a leader before it, has run out.
 */
#include <errno.h>

#include "node/control/agent_private.h"

static bool is_held_by(const struct intent_replica *replica, const struct id *peer)
{
    return id_equal(&replica->peer, peer) && replica->want == INTENT_RUN;
}

static bool is_held_here(const struct agent *agent, const struct intent_replica *replica)
{
    const struct service_spec *spec =
        is_held_by(replica, &agent->self) ? intent_spec_of(agent->intent, replica) : NULL;
    return spec && spec->exclusive;
}

/* How many exclusive replicas shall run here; their generations are written unless `writer` is
 * NULL. */
static size_t list_held(const struct agent *agent, struct writer *writer)
{
    size_t count = 0;
    for (size_t i = 0; i < agent->intent->replicas.count; i++) {
        const struct intent_replica *replica = agent->intent->replicas.items[i];
        if (!is_held_here(agent, replica))
            continue;
        count++;
        if (writer)
            writer_u64(writer, replica->generation);
    }
    return count;
}

bool agent_lease_is_awaited(const struct agent *agent, uint64_t generation)
{
    const struct intent_replica *replica = intent_replica_find(agent->intent, generation);
    return replica && is_held_here(agent, replica);
}

bool agent_lease_is_valid(const struct agent *agent, int64_t now_ms)
{
    return now_ms < agent->lease_until_ms;
}

static void lease_extended(struct agent *agent, int64_t asked_ms)
{
    bool was_valid = agent_lease_is_valid(agent, agent->now_ms);
    int64_t until_ms = asked_ms + agent->config.lease_ms;
    if (until_ms > agent->lease_until_ms)
        agent->lease_until_ms = until_ms;
    if (!was_valid && agent_lease_is_valid(agent, agent->now_ms))
        agent->output->wanted_changed = true;
}

static bool may_grant(const struct agent *agent)
{
    return agent_leads(agent) && !agent->renewal.intent &&
           raft_leader_lease_valid(agent->raft, agent->now_ms) &&
           agent->intent->applied_term == agent->raft_status.term;
}

static void ask(struct agent *agent, size_t held_count)
{
    struct id leader = agent_leader(agent);
    struct writer writer;
    if (id_equal(&leader, &agent->self)) {
        if (may_grant(agent))
            lease_extended(agent, agent->now_ms);
        return;
    }
    struct buffer *bytes =
        id_is_none(&leader) ? NULL : agent_add_send(agent, &leader, NULL, AGENT_LEASE_ASK);
    if (!bytes)
        return;
    writer_init(&writer, bytes);
    writer_array(&writer, 3);
    writer_u64(&writer, agent->config.generation);
    writer_i64(&writer, agent->now_ms);
    writer_array(&writer, held_count);
    list_held(agent, &writer);
}

void agent_lease_tick(struct agent *agent)
{
    if (agent->lease_until_ms > 0 && !agent_lease_is_valid(agent, agent->now_ms)) {
        agent->lease_until_ms = 0;
        agent->output->wanted_changed = true; /* exclusive replicas must stop now */
    }
    if (agent->now_ms < agent->lease_ask_ms)
        return;
    agent->lease_ask_ms = agent->now_ms + agent->config.lease_ms / AGENT_LEASE_ASKS;
    size_t held_count = list_held(agent, NULL);
    if (held_count > 0)
        ask(agent, held_count);
}

int64_t agent_lease_deadline(const struct agent *agent)
{
    int64_t deadline = agent->lease_ask_ms;
    if (agent->lease_until_ms > 0 && agent->lease_until_ms < deadline)
        deadline = agent->lease_until_ms;
    return deadline;
}

/* Whether all that the asker means to run is still placed with it. One lease covers them all, so
 * one that has moved on, which the asker does not know yet, means that it gets none. */
static int read_held(const struct agent *agent, const struct id *from, struct reader *reader,
                     bool *ret_holds_all)
{
    uint32_t count;
    int rc = reader_array(reader, &count);
    bool holds_all = rc == 0 && count > 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        uint64_t generation;
        rc = reader_u64(reader, &generation);
        const struct intent_replica *replica =
            rc == 0 ? intent_replica_find(agent->intent, generation) : NULL;
        holds_all = holds_all && replica && is_held_by(replica, from);
    }
    *ret_holds_all = holds_all;
    return rc;
}

/* Echoes the asker's time, and of which of its starts that is: only it can tell how old that is. A
 * replica that the intent no longer places there gets no further lease. */
int agent_lease_asked(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    struct writer writer;
    uint32_t generation = 0;
    int64_t asked_ms = 0;
    bool holds_all;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 3);
    reader_u32(&reader, &generation);
    reader_i64(&reader, &asked_ms);
    if (read_held(agent, from, &reader, &holds_all) < 0 || reader_end(&reader) < 0)
        return -EBADMSG;
    const struct view_peer *peer = view_peer_find(&agent->view, from);
    bool is_there = peer && peer->liveness != VIEW_DEAD && peer->liveness != VIEW_LEFT;
    if (!holds_all || !is_there || !may_grant(agent))
        return 0;
    struct buffer *answer = agent_add_send(agent, from, NULL, AGENT_LEASE_GRANT);
    if (!answer)
        return -ENOMEM;
    writer_init(&writer, answer);
    writer_array(&writer, 2);
    writer_u64(&writer, generation);
    writer_i64(&writer, asked_ms);
    return 0;
}

/* An answer may wait at the leader until this machine was started again: the clock that it was
 * asked by is not the one of now then. */
int agent_lease_granted(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    uint32_t generation = 0;
    int64_t asked_ms = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 2);
    reader_u32(&reader, &generation);
    reader_i64(&reader, &asked_ms);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    if (generation != agent->config.generation || asked_ms < agent->lease_floor_ms)
        return 0;
    if (asked_ms > agent->now_ms)
        return -EBADMSG;
    if (intent_is_voter(agent->intent, from))
        lease_extended(agent, asked_ms);
    return 0;
}
