/* Reads that see all that was committed before them, without an entry in the log (thesis §6.4).
 *
 * The leader notes what is committed and confirms by a round of heartbeats that it still led when
 * the read came; or, where the drift of clocks is bounded, by its lease, at once. Another peer asks
 * the leader, and answers from its own state. It asks with a number and takes an answer for all
 * reads up to that number, so that one question is under way at a time however many read. Numbers
 * begin at random: an answer to what it asked before a restart is none to what it asks now.
 */
#include <errno.h>

#include "consensus/raft_internal.h"

static void finish(struct raft *raft, uint64_t context, int rc, uint64_t index)
{
    if (raft->outcome_count < RAFT_READS_MAX)
        raft->outcomes[raft->outcome_count++] =
            (struct raft_read){.context = context, .rc = rc, .index = index};
}

static void drop_first(struct raft *raft, size_t count)
{
    raft->read_count -= count;
    for (size_t i = 0; count > 0 && i < raft->read_count; i++)
        raft->reads[i] = raft->reads[i + count];
}

/* Answers the own reads up to `round` (of the leader) or the number `round` (of another peer). */
static void finish_through(struct raft *raft, uint64_t round, const uint64_t *index)
{
    size_t count = 0;
    for (; count < raft->read_count && raft->reads[count].round <= round; count++)
        finish(raft, raft->reads[count].context, 0, index ? *index : raft->reads[count].index);
    drop_first(raft, count);
}

static void answer(struct raft *raft, const struct id *asker, uint64_t number, uint64_t index)
{
    raft_send(raft, (struct raft_message){.type = RAFT_READ_REPLY,
                                          .to = *asker,
                                          .term = raft->term,
                                          .round = number,
                                          .index = index});
}

void raft_confirm_reads(struct raft *raft)
{
    uint64_t rounds[RAFT_MEMBERS_MAX];
    if (raft->read_count == 0 && raft->forwarded_count == 0)
        return;
    for (uint32_t i = 0; i < raft->configuration.count; i++)
        rounds[i] = raft_is_self(raft, i) ? raft->round : raft->progress[i].round;
    uint64_t confirmed = raft_configuration_committed(&raft->configuration, rounds);
    finish_through(raft, confirmed, NULL);
    size_t kept = 0;
    for (size_t i = 0; i < raft->forwarded_count; i++) {
        const struct raft_forwarded_read *read = &raft->forwarded[i];
        if (read->round <= confirmed)
            answer(raft, &read->asker, read->number, read->index);
        else
            raft->forwarded[kept++] = *read;
    }
    raft->forwarded_count = kept;
}

static bool may_read_by_lease(const struct raft *raft)
{
    return raft->config.read_by_lease && raft_leader_lease_valid(raft, raft->now_ms);
}

/* Thesis §6.4: what earlier leaders committed may not be known before. */
bool raft_committed_in_term(const struct raft *raft)
{
    return raft_log_matches(&raft->log, raft->commit, raft->term);
}

static void ask_leader(struct raft *raft)
{
    raft->read_retry_ms = raft->now_ms + raft->config.heartbeat_ms;
    raft->read_is_asked = !id_is_none(&raft->leader);
    if (raft->read_is_asked)
        raft_send(raft, (struct raft_message){.type = RAFT_READ_REQUEST,
                                              .to = raft->leader,
                                              .term = raft->term,
                                              .round = raft->read_number});
}

static void read_elsewhere(struct raft *raft, uint64_t context)
{
    raft->reads[raft->read_count++] = (struct raft_pending_read){
        .context = context, .round = ++raft->read_number, .asked_ms = raft->now_ms};
    if (!raft->read_is_asked)
        ask_leader(raft);
}

void raft_start_read(struct raft *raft, uint64_t context)
{
    if (raft->role != RAFT_LEADER) {
        read_elsewhere(raft, context);
        return;
    }
    if (may_read_by_lease(raft)) {
        finish(raft, context, 0, raft->commit);
        return;
    }
    raft->reads[raft->read_count++] = (struct raft_pending_read){
        .context = context, .index = raft->commit, .round = ++raft->round};
    raft_send_heartbeats(raft);
    raft_confirm_reads(raft);
}

/* What can't be taken now is asked again. */
void raft_take_read_request(struct raft *raft, const struct raft_message *message)
{
    size_t of_same = 0;
    if (raft->role != RAFT_LEADER || raft_member_of(raft, &message->from) < 0 ||
        !raft_committed_in_term(raft))
        return;
    if (may_read_by_lease(raft)) {
        answer(raft, &message->from, message->round, raft->commit);
        return;
    }
    for (size_t i = 0; i < raft->forwarded_count; i++) {
        if (!id_equal(&raft->forwarded[i].asker, &message->from))
            continue;
        if (raft->forwarded[i].number == message->round)
            return; /* asked twice */
        of_same++;
    }
    if (of_same == RAFT_FORWARDED_READS_EACH_MAX ||
        raft->forwarded_count == RAFT_FORWARDED_READS_MAX)
        return;
    raft->forwarded[raft->forwarded_count++] =
        (struct raft_forwarded_read){.asker = message->from,
                                     .number = message->round,
                                     .index = raft->commit,
                                     .round = ++raft->round};
    raft_send_heartbeats(raft);
    raft_confirm_reads(raft);
}

void raft_take_read_reply(struct raft *raft, const struct raft_message *message)
{
    if (raft->role == RAFT_LEADER || !id_equal(&raft->leader, &message->from) ||
        message->round > raft->read_number)
        return;
    finish_through(raft, message->round, &message->index);
    if (message->round == raft->read_number || raft->read_count == 0)
        raft->read_is_asked = false;
    else
        ask_leader(raft); /* for what was asked since */
}

void raft_reads_tick(struct raft *raft)
{
    size_t count = 0;
    for (; count < raft->read_count &&
           raft->now_ms - raft->reads[count].asked_ms >= raft->config.election_timeout_max_ms;
         count++)
        finish(raft, raft->reads[count].context, -ECANCELED, 0);
    drop_first(raft, count);
    if (raft->read_count == 0)
        raft->read_is_asked = false;
    else if (raft->now_ms >= raft->read_retry_ms)
        ask_leader(raft);
}

int64_t raft_reads_deadline(const struct raft *raft)
{
    if (raft->read_count == 0)
        return INT64_MAX;
    int64_t end_ms = raft->reads[0].asked_ms + raft->config.election_timeout_max_ms;
    return end_ms < raft->read_retry_ms ? end_ms : raft->read_retry_ms;
}

void raft_cancel_reads(struct raft *raft)
{
    for (size_t i = 0; i < raft->read_count; i++)
        finish(raft, raft->reads[i].context, -ECANCELED, 0);
    raft->read_count = 0;
    raft->read_is_asked = false;
    raft->forwarded_count = 0; /* who asked asks the next leader */
}

bool raft_leader_lease_valid(const struct raft *raft, int64_t now_ms)
{
    if (raft->role != RAFT_LEADER || raft->lease_void || !raft->config.check_quorum ||
        raft->config.clock_drift_permille == 0)
        return false;
    uint64_t loyal[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < raft->configuration.count; i++) {
        int64_t since_ms = raft_is_self(raft, i) ? now_ms : raft->progress[i].loyal_ms;
        loyal[i] = since_ms > 0 ? (uint64_t)since_ms : 0;
    }
    uint64_t quorum_ms = raft_configuration_committed(&raft->configuration, loyal);
    int64_t timeout_ms = raft->config.election_timeout_ms;
    int64_t lease_ms = timeout_ms - timeout_ms * raft->config.clock_drift_permille / 1000;
    return quorum_ms > 0 && quorum_ms <= (uint64_t)now_ms && now_ms - (int64_t)quorum_ms < lease_ms;
}
