/* The leader's duties beside replication: heartbeats, quorum checks, and handing over (thesis §6.2,
 * §3.10). */
#include "consensus/raft_internal.h"

void raft_send_heartbeats(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->configuration.count; i++) {
        struct raft_progress *progress = &raft->progress[i];
        if (raft_is_self(raft, i))
            continue;
        /* A follower may have entries behind `match` that are not this leader's. */
        uint64_t commit = progress->match < raft->commit ? progress->match : raft->commit;
        raft_send(raft, (struct raft_message){
                            .type = RAFT_HEARTBEAT,
                            .to = raft->configuration.members[i].id,
                            .term = raft->term,
                            .commit = commit,
                            .round = raft->round,
                            .sent_ms = raft->now_ms,
                        });
        progress->sent_commit = commit;
    }
}

static bool quorum_is_active(struct raft *raft)
{
    int8_t votes[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < raft->configuration.count; i++) {
        struct raft_progress *progress = &raft->progress[i];
        votes[i] = progress->active || progress->is_new || raft_is_self(raft, i) ? 1 : -1;
        progress->was_active = progress->active;
        progress->active = raft_is_self(raft, i);
        progress->is_new = false;
    }
    return raft_configuration_vote(&raft->configuration, votes) == RAFT_VOTE_WON;
}

void raft_leader_tick(struct raft *raft)
{
    if (raft->now_ms - raft->election_start_ms >= raft->config.election_timeout_ms) {
        raft->election_start_ms = raft->now_ms;
        if (raft->config.check_quorum && !quorum_is_active(raft)) {
            raft_become_follower(raft, raft->term, &ID_NONE);
            return;
        }
        raft->transfer_target = ID_NONE; /* it had a whole election timeout's time */
    }
    if (raft->now_ms >= raft->heartbeat_due_ms) {
        raft->heartbeat_due_ms = raft->now_ms + raft->config.heartbeat_ms;
        raft_send_heartbeats(raft);
    }
}

void raft_take_heartbeat_reply(struct raft *raft, uint32_t member,
                               const struct raft_message *message)
{
    struct raft_progress *progress = &raft->progress[member];
    progress->paused = false;
    int64_t sent_ms = message->sent_ms < raft->now_ms ? message->sent_ms : raft->now_ms;
    if (sent_ms > progress->loyal_ms)
        progress->loyal_ms = sent_ms;
    uint64_t round = message->round < raft->round ? message->round : raft->round;
    if (round > progress->round)
        progress->round = round;
    if (progress->state == RAFT_INSTALL)
        raft_go_on_installing(raft, member);
    if (progress->match < raft_log_last_index(&raft->log) || progress->state == RAFT_PROBE)
        raft_send_append(raft, member, true);
    raft_confirm_reads(raft);
}

void raft_start_transfer(struct raft *raft, const struct id *target)
{
    if (id_equal(target, &raft->config.self) || id_equal(target, &raft->transfer_target))
        return;
    int member = raft_member_of(raft, target);
    raft->election_start_ms = raft->now_ms; /* it is given up after an election timeout */
    raft->transfer_target = *target;
    if (raft->progress[member].match == raft_log_last_index(&raft->log))
        raft_send_timeout_now(raft, target);
    else
        raft_send_append(raft, (uint32_t)member, true);
}

void raft_send_timeout_now(struct raft *raft, const struct id *target)
{
    raft->lease_void = true; /* followers will not be loyal to this leader against the target */
    raft_send(raft,
              (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = *target, .term = raft->term});
}

void raft_lost_contact(struct raft *raft, uint32_t member)
{
    struct raft_progress *progress = &raft->progress[member];
    if (progress->state == RAFT_REPLICATE) {
        raft_progress_probe(progress);
    } else if (progress->state == RAFT_INSTALL) {
        progress->snapshot_index = 0; /* it did not arrive: probing begins before it */
        raft_progress_probe(progress);
        progress->paused = true; /* until it answers a heartbeat */
    }
}
