#include <stdio.h>
#include <unistd.h>

#include "node/control/stand_in.h"
#include "node/mesh_process/host.h"
#include "node/metrics/metrics.h"
#include "node/peer/peer.h"

static uint64_t resident_bytes(void)
{
    size_t bytes = 0;
    return uv_resident_set_memory(&bytes) == 0 ? bytes : 0;
}

static uint64_t cpu_us(void)
{
    uv_rusage_t usage;
    if (uv_getrusage(&usage) < 0)
        return 0;
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
}

static void count_replicas(const struct peer *peer, struct metrics *ret)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_replica *replica;
    for (size_t i = 0; (replica = any_replica_at(intent, agent_view(peer->agent), i)); i++) {
        if (!id_equal(&replica->peer, &peer->identity.id) || replica->want != INTENT_RUN)
            continue;
        const struct view_replica *seen =
            view_replica_find(agent_view(peer->agent), replica->generation);
        ret->replicas[seen ? seen->state : VIEW_REPLICA_UNKNOWN]++;
    }
}

void metrics_collect(const struct peer *peer, struct metrics *ret)
{
    struct agent_status status;
    *ret = (struct metrics){
        .memory_bytes = resident_bytes(),
        .cpu_us = cpu_us(),
        .start_seconds = (double)peer->start_wall_ms / 1e3,
        .lag = peer->lag,
        .store_commits = store_commits(peer->store),
        .is_member = peer->agent && peer->udp && peer->links && peer->mesh,
    };
    if (!ret->is_member)
        return;
    agent_status(peer->agent, &status);
    swim_counters(agent_swim(peer->agent), &ret->swim);
    ret->profile = agent_intent(peer->agent)->gossip.profile;
    ret->probe_interval_ms = swim_config_in_force(agent_swim(peer->agent))->probe_interval_ms;
    udp_counters(peer->udp, &ret->udp);
    sessions_counters(udp_sessions(peer->udp), &ret->sessions);
    ret->session_count = sessions_keyed_count(udp_sessions(peer->udp));
    ret->session_bytes = sessions_table_bytes(udp_sessions(peer->udp));
    ret->link_count = links_count(peer->links);
    ret->relayed_link_count = links_relayed_count(peer->links);
    ret->passed_link_count = links_passed_count(peer->links);
    ret->messages_dropped = links_dropped_count(peer->links);
    ret->raft = *agent_raft_status(peer->agent);
    ret->applied_index = status.applied_index;
    ret->voters = status.voter_count;
    ret->live_voters = status.live_voter_count;
    ret->connections = mesh_host_connection_count(peer->mesh);
    count_replicas(peer, ret);
    ret->sample = &peer->sample;
}
