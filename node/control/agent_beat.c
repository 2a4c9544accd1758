/* Raft's heartbeats and their replies, as packets.
 *
 * They are most of what a cluster says in which nothing happens, and a stream would carry and
 * acknowledge each of them. A packet may be lost, so the one after an unanswered packet takes the
 * stream: a follower that no packet reaches misses every other heartbeat at most, until gossip
 * knows that none does. A reply goes the way that the heartbeat came.
 */
#include "node/control/agent_private.h"

static struct agent_beat *find_beat(struct agent *agent, const struct id *to)
{
    for (size_t i = 0; i < agent->beat_count; i++)
        if (id_equal(&agent->beats[i].to, to))
            return &agent->beats[i];
    return NULL;
}

/* Makes room by forgetting all when it is full: members come and go seldom. */
static struct agent_beat *obtain_beat(struct agent *agent, const struct id *to)
{
    struct agent_beat *beat = find_beat(agent, to);
    if (beat)
        return beat;
    if (agent->beat_count == RAFT_MEMBERS_MAX)
        agent->beat_count = 0;
    beat = &agent->beats[agent->beat_count++];
    *beat = (struct agent_beat){.to = *to};
    return beat;
}

static bool send_packet(struct agent *agent, const struct raft_message *message,
                        const struct address *address)
{
    struct buffer *bytes = agent_add_send(agent, &message->to, address, 0);
    if (!bytes)
        return false;
    if (raft_heartbeat_encode(message, bytes) < 0) {
        buffer_done(bytes);
        agent->output->send_count--;
    }
    return true;
}

static bool send_heartbeat(struct agent *agent, const struct raft_message *message)
{
    struct swim_member member;
    struct agent_beat *beat = obtain_beat(agent, &message->to);
    bool takes_packets = swim_member_find(agent->swim, &message->to, &member) &&
                         (member.path == SWIM_PATH_DIRECT || member.path == SWIM_PATH_LEARNT);
    beat->is_unanswered = takes_packets && !beat->is_unanswered;
    return beat->is_unanswered && send_packet(agent, message, &member.packet_address);
}

bool agent_beat_send(struct agent *agent, const struct raft_message *message)
{
    if (message->type == RAFT_HEARTBEAT)
        return send_heartbeat(agent, message);
    return message->type == RAFT_HEARTBEAT_REPLY && agent->beat_source &&
           send_packet(agent, message, agent->beat_source);
}

int agent_beat_packet(struct agent *agent, const struct id *from, const struct address *source,
                      struct bytes bytes)
{
    struct raft_message message;
    int rc = raft_heartbeat_decode(bytes, &message);
    if (rc < 0)
        return rc;
    struct agent_beat *beat = message.type == RAFT_HEARTBEAT_REPLY ? find_beat(agent, from) : NULL;
    if (beat)
        beat->is_unanswered = false;
    agent->beat_source = source;
    rc = agent_raft_take(agent, from, &message);
    agent->beat_source = NULL;
    return rc;
}
