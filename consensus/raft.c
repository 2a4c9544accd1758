#include "consensus/raft.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/raft_internal.h"

void raft_config_init(struct raft_config *config, const struct id *self, uint64_t seed)
{
    *config = (struct raft_config){
        .self = *self,
        .seed = seed,
        .election_timeout_ms = RAFT_ELECTION_TIMEOUT_MS,
        .election_timeout_max_ms = RAFT_ELECTION_TIMEOUT_MAX_MS,
        .heartbeat_ms = RAFT_HEARTBEAT_MS,
        .snapshot_timeout_ms = RAFT_SNAPSHOT_TIMEOUT_MS,
        .quiet_after_start_ms = RAFT_ELECTION_TIMEOUT_MS,
        .uncommitted_bytes_max = RAFT_UNCOMMITTED_BYTES_MAX,
        .message_bytes_max = RAFT_MESSAGE_BYTES_MAX,
        .chunk_bytes = RAFT_CHUNK_BYTES_MAX,
        .chunks_max = RAFT_CHUNKS_INFLIGHT_MAX,
        .inflight_max = RAFT_INFLIGHT_MAX,
        .pre_vote = true,
        .check_quorum = true,
        .clock_drift_permille = RAFT_CLOCK_DRIFT_PERMILLE,
    };
}

static int restore_snapshot(struct raft *raft, const struct raft_snapshot *stored)
{
    if (stored->data.size > RAFT_SNAPSHOT_BYTES_MAX)
        return -EINVAL;
    uint8_t *data = malloc(stored->data.size + 1);
    if (!data)
        return -ENOMEM;
    if (stored->data.size > 0)
        memcpy(data, stored->data.data, stored->data.size);
    raft->snapshot = *stored;
    raft->snapshot.data.data = data;
    raft->configuration = stored->configuration;
    raft->applied = stored->index;
    return 0;
}

static int restore_entries(struct raft *raft, const struct raft_stored *stored)
{
    uint64_t last_term = stored->log_term;
    int rc = raft_log_reserve(&raft->log, stored->entry_count + RAFT_LOG_SPARE);
    for (size_t i = 0; i < stored->entry_count && rc == 0; i++) {
        struct raft_entry entry = stored->entries[i];
        uint8_t *data = malloc(entry.data.size + 1);
        if (!data)
            return -ENOMEM;
        if (entry.data.size > 0)
            memcpy(data, entry.data.data, entry.data.size);
        if (entry.index != stored->log_index + 1 + i || entry.term < last_term || entry.term == 0) {
            free(data);
            return -EINVAL;
        }
        last_term = entry.term;
        entry.data.data = data;
        entry.sequence = 0;
        raft_log_append(&raft->log, entry);
    }
    raft->log.handed_out = raft->log.stored = raft_log_last_index(&raft->log);
    return rc;
}

static int restore(struct raft *raft, const struct raft_stored *stored)
{
    uint64_t snapshot_index = stored->snapshot ? stored->snapshot->index : 0;
    uint64_t snapshot_term = stored->snapshot ? stored->snapshot->term : 0;
    if (stored->log_index > snapshot_index || (stored->snapshot && snapshot_index == 0))
        return -EINVAL;
    raft_log_reset(&raft->log, stored->log_index, stored->log_term);
    int rc = stored->snapshot ? restore_snapshot(raft, stored->snapshot) : 0;
    if (rc == 0)
        rc = restore_entries(raft, stored);
    if (rc < 0)
        return rc;
    uint64_t last_index = raft_log_last_index(&raft->log);
    if (last_index < snapshot_index)
        raft_log_reset(&raft->log, snapshot_index, snapshot_term);
    else if (!raft_log_matches(&raft->log, snapshot_index, snapshot_term))
        return -EINVAL;
    /* Term 0 beside a snapshot is a cluster's first peer, which has seen no election. */
    if (stored->hard_state.term > 0 && stored->hard_state.term < raft_log_last_term(&raft->log))
        return -EINVAL;
    last_index = raft_log_last_index(&raft->log);
    raft->term = stored->hard_state.term;
    raft->vote = stored->hard_state.vote;
    /* What is committed may be stored late or early: it is bounded by what is known for sure. */
    raft->commit = stored->hard_state.commit < last_index ? stored->hard_state.commit : last_index;
    if (raft->commit < snapshot_index)
        raft->commit = snapshot_index;
    raft_learn_commit(raft);
    raft->handed_out = (struct raft_hard_state){raft->term, raft->vote, raft->commit};
    return 0;
}

/* From a sequence of its own: the election timeouts of a seed do not depend on it. */
static uint64_t first_read_number(uint64_t seed)
{
    struct random random;
    random_init(&random, ~seed);
    return random_u64(&random) >> 2;
}

int raft_new(const struct raft_config *config, const struct raft_stored *stored, int64_t now_ms,
             struct raft **ret)
{
    assert(config->election_timeout_ms > 0);
    assert(config->election_timeout_max_ms >= config->election_timeout_ms);
    assert(config->heartbeat_ms > 0);
    assert(config->inflight_max > 0 && config->inflight_max <= RAFT_INFLIGHT_MAX);
    assert(config->chunk_bytes > 0 && config->chunk_bytes <= RAFT_CHUNK_BYTES_MAX);
    assert(config->chunks_max > 0);
    assert(config->clock_drift_permille < 1000);
    assert(!id_is_none(&config->self));
    struct raft *raft = calloc(1, sizeof(*raft));
    if (!raft)
        return -ENOMEM;
    raft->config = *config;
    raft->now_ms = now_ms;
    random_init(&raft->random, config->seed);
    raft->read_number = first_read_number(config->seed);
    raft_log_init(&raft->log, 0, 0);
    int rc = stored ? restore(raft, stored) : 0;
    if (rc < 0) {
        raft_free(raft);
        return rc;
    }
    if (raft->term > 0)
        raft->quiet_until_ms = now_ms + config->quiet_after_start_ms;
    raft_become_follower(raft, raft->term, &ID_NONE);
    *ret = raft;
    return 0;
}

void raft_free(struct raft *raft)
{
    if (!raft)
        return;
    raft_log_done(&raft->log);
    raft_stage_done(&raft->staged);
    raft_drop_snapshots(raft);
    free(raft->now.messages);
    free(raft->once_stored.messages);
    free(raft);
}

static void tick(struct raft *raft)
{
    if (raft->role == RAFT_LEADER) {
        raft_leader_tick(raft);
        return;
    }
    raft_reads_tick(raft);
    if (raft->now_ms < raft_election_due_ms(raft) || !raft_is_promotable(raft))
        return;
    raft->election_start_ms = raft->now_ms;
    if (raft_may_campaign(raft))
        raft_campaign(raft, raft->config.pre_vote ? RAFT_CAMPAIGN_PRE_VOTE : RAFT_CAMPAIGN_VOTE);
}

/* Appends the staged proposal. */
static void propose(struct raft *raft)
{
    struct raft_entry *entry = &raft->staged.entries[0];
    raft_append_own(raft, entry->type, entry->data);
    raft->staged.entry_count = 0;
    raft->proposed_index = raft_log_last_index(&raft->log);
    if (entry->type == RAFT_ENTRY_CONFIGURATION)
        raft->pending_configuration = raft->proposed_index;
    raft->appends_due = true;
}

/* Sends what was proposed, by this step and those before it that had more to follow. */
static void send_proposed(struct raft *raft)
{
    if (raft->appends_due && raft->role == RAFT_LEADER)
        raft_send_appends(raft);
    raft->appends_due = false;
}

static void forget_leader(struct raft *raft)
{
    raft->quiet_until_ms = raft->now_ms;
    if (raft->role != RAFT_LEADER)
        raft->leader = ID_NONE;
}

static void act(struct raft *raft, const struct raft_input *input)
{
    switch (input->type) {
    case RAFT_TICK:
        tick(raft);
        break;
    case RAFT_MESSAGE:
        raft_receive(raft, input->message);
        break;
    case RAFT_STORED:
        if (input->sequence > raft->stored_sequence)
            raft->stored_sequence = input->sequence;
        raft_log_store(&raft->log, raft->stored_sequence);
        raft_vote_was_stored(raft);
        raft_own_log_was_stored(raft);
        break;
    case RAFT_PROPOSE:
    case RAFT_PROPOSE_CONFIGURATION:
        propose(raft);
        break;
    case RAFT_TRANSFER:
        raft_start_transfer(raft, &input->peer);
        break;
    case RAFT_READ:
        raft_start_read(raft, input->context);
        break;
    case RAFT_UNREACHABLE:
        if (raft->role == RAFT_LEADER)
            raft_lost_contact(raft, (uint32_t)raft_member_of(raft, &input->peer));
        break;
    case RAFT_CAMPAIGN:
        if (raft->role != RAFT_LEADER)
            raft_campaign(raft,
                          raft->config.pre_vote ? RAFT_CAMPAIGN_PRE_VOTE : RAFT_CAMPAIGN_VOTE);
        break;
    case RAFT_FORGET_LEADER:
        forget_leader(raft);
        break;
    }
}

int raft_step(struct raft *raft, const struct raft_input *input, struct raft_output *output)
{
    *output = (struct raft_output){0};
    raft_drop_useless_snapshots(raft);
    int rc = raft_stage(raft, input);
    if (rc < 0)
        return rc;
    enum raft_role role = raft->role;
    struct id leader = raft->leader;
    if (input->now_ms > raft->now_ms)
        raft->now_ms = input->now_ms;
    bool gathers = input->more && input->type == RAFT_PROPOSE;
    raft_output_begin(raft);
    act(raft, input);
    if (!gathers)
        send_proposed(raft);
    raft_stage_done(&raft->staged);
    uint64_t applied = raft->applied;
    if (!input->defer_apply)
        raft_apply(raft, input->apply_max > 0 ? input->apply_max : UINT64_MAX);
    raft_output(raft, !gathers, output);
    output->committed_count = raft->applied - applied;
    if (output->committed_count > 0)
        output->committed = raft_log_at(&raft->log, applied + 1);
    output->changed = (role != raft->role ? RAFT_CHANGED_ROLE : 0) |
                      (id_equal(&leader, &raft->leader) ? 0 : RAFT_CHANGED_LEADER) |
                      (raft->configuration_changed ? RAFT_CHANGED_CONFIGURATION : 0);
    return 0;
}

void raft_status(const struct raft *raft, struct raft_status *ret)
{
    *ret = (struct raft_status){
        .role = raft->role,
        .term = raft->term,
        .vote = raft->vote,
        .leader = raft->leader,
        .transfer_target = raft->transfer_target,
        .commit = raft->commit,
        .applied = raft->applied,
        .first_index = raft->log.offset + 1,
        .discarded_term = raft->log.offset_term,
        .last_index = raft_log_last_index(&raft->log),
        .last_term = raft_log_last_term(&raft->log),
        .stored_index = raft->log.stored,
        .log_bytes = raft->log.bytes,
        .sent_index = raft_sent_snapshot(raft),
        .uncommitted_bytes = raft->uncommitted_bytes,
        .elections = raft->elections,
        .elections_won = raft->elections_won,
        .snapshots_refused = raft->snapshots_refused,
    };
}

const char *raft_role_name(enum raft_role role)
{
    static const char *const names[] = {"follower", "pre-candidate", "candidate", "leader"};
    return names[role];
}

const struct raft_configuration *raft_configuration(const struct raft *raft)
{
    return &raft->configuration;
}

const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index)
{
    return raft_log_at(&raft->log, index);
}

const struct raft_snapshot *raft_snapshot(const struct raft *raft)
{
    return raft->snapshot.index > 0 ? &raft->snapshot : NULL;
}

int raft_member_of(const struct raft *raft, const struct id *id)
{
    const struct raft_member *member = raft_configuration_find(&raft->configuration, id);
    return member ? (int)(member - raft->configuration.members) : -1;
}

bool raft_is_self(const struct raft *raft, uint32_t member)
{
    return id_equal(&raft->configuration.members[member].id, &raft->config.self);
}

int raft_progress_of(const struct raft *raft, const struct id *id, struct raft_progress_status *ret)
{
    if (raft->role != RAFT_LEADER)
        return -EREMOTE;
    int member = raft_member_of(raft, id);
    if (member < 0)
        return -ENOENT;
    const struct raft_progress *progress = &raft->progress[member];
    *ret = (struct raft_progress_status){
        .state = progress->state,
        .match = progress->match,
        .next = progress->next,
        .paused = !raft_progress_may_send(progress),
        .recently_active = progress->active || progress->was_active,
        .inflight = progress->inflight_count,
    };
    return 0;
}

void raft_set_reluctant(struct raft *raft, bool is_reluctant)
{
    raft->is_reluctant = is_reluctant;
}

void raft_set_election_timeout(struct raft *raft, int64_t timeout_ms)
{
    raft->election_timeout_ms = timeout_ms;
}
