/* Drives Raft: its writes, its messages, and the entries that it commits into the intent. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/agent_private.h"

bool agent_leads(const struct agent *agent)
{
    return agent->raft_status.role == RAFT_LEADER;
}

static void send_message(struct agent *agent, const struct raft_message *message)
{
    if (agent_beat_send(agent, message))
        return;
    struct buffer *bytes = agent_add_send(agent, &message->to, NULL, AGENT_RAFT);
    if (bytes && raft_message_encode(message, bytes) < 0) {
        buffer_done(bytes); /* as if the network had lost it: Raft sends again */
        agent->output->send_count--;
    }
}

/* Keeps what must wait for the disk. A message that can't be kept is as good as lost. */
static void hold_message(struct agent *agent, uint64_t sequence, const struct raft_message *message)
{
    if (agent->held_count == agent->held_capacity) {
        size_t capacity = agent->held_capacity ? 2 * agent->held_capacity : 16;
        struct agent_held *held = realloc(agent->held, capacity * sizeof(*held));
        if (!held)
            return;
        agent->held = held;
        agent->held_capacity = capacity;
    }
    agent->held[agent->held_count++] = (struct agent_held){sequence, *message};
}

static void release_held(struct agent *agent, uint64_t sequence)
{
    size_t kept = 0;
    for (size_t i = 0; i < agent->held_count; i++) {
        if (agent->held[i].sequence <= sequence)
            send_message(agent, &agent->held[i].message);
        else
            agent->held[kept++] = agent->held[i];
    }
    agent->held_count = kept;
}

/* Copies entries and their data into the write, so that it outlives Raft's next step. */
static int copy_entries(struct agent_write *write, const struct raft_entry *entries, size_t count)
{
    if (count == 0)
        return 0;
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += entries[i].data.size;
    write->entries = malloc(count * sizeof(*entries));
    if (!write->entries || buffer_reserve(&write->arena, size + 1) < 0)
        return -ENOMEM;
    write->entry_count = count;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *copy = write->arena.bytes + write->arena.size;
        buffer_append(&write->arena, entries[i].data.data, entries[i].data.size);
        write->entries[i] = entries[i];
        write->entries[i].data.data = copy;
    }
    return 0;
}

static int copy_snapshot(struct agent_write *write, const struct raft_snapshot *snapshot)
{
    write->has_snapshot = true;
    write->snapshot = *snapshot;
    if (buffer_append(&write->intent, snapshot->data.data, snapshot->data.size) < 0)
        return -ENOMEM;
    write->snapshot.data = buffer_view(&write->intent);
    return 0;
}

static void add_write(struct agent *agent, const struct raft_output *output)
{
    if (output->sequence == 0 && !output->hard_state_changed)
        return;
    struct agent_write *write = agent_add_write(agent);
    if (!write)
        return;
    write->sequence = output->sequence;
    write->hard_state_changed = output->hard_state_changed;
    write->hard_state = output->hard_state;
    write->truncate_from = output->truncate_from;
    if (copy_entries(write, output->entries, output->entry_count) < 0 ||
        (output->snapshot && copy_snapshot(write, output->snapshot) < 0))
        agent->failed = true; /* what is not stored must not be acknowledged: stop */
    if (output->snapshot)
        agent_feed_stored_by_raft(agent, write);
}

/* A snapshot from the leader replaces the intent, unless the feed was ahead of it. */
static void load_snapshot(struct agent *agent, const struct raft_snapshot *snapshot)
{
    struct intent *intent = agent->verified;
    agent->verified = NULL;
    assert(intent && intent->applied_index == snapshot->index);
    if (snapshot->index <= agent->intent->applied_index) {
        intent_free(intent);
        return;
    }
    intent_free(agent->intent);
    agent->intent = intent;
    feed_forget(&agent->feed);
    agent_intent_changed(agent);
}

static void apply_entry(struct agent *agent, const struct raft_entry *entry)
{
    if (entry->index <= agent->intent->applied_index)
        return; /* the feed brought it before */
    struct intent_result result = {0};
    struct id admitted = ID_NONE;
    int rc = feed_apply_entry(agent->intent, entry, &result, &admitted);
    if (!agent_level_fits(agent, &agent->intent->level))
        return;
    if (rc < 0) {
        agent->failed = true;
        return;
    }
    agent_feed_applied(agent, entry);
    agent_pending_applied(agent, entry->index, entry->term, &result, &admitted);
}

void agent_leader_changed(struct agent *agent)
{
    struct id leader = agent_leader(agent);
    agent->has_followed = agent->has_followed || !(id_is_none(&leader) || agent_leads(agent));
    if (!id_equal(&leader, &agent->known_leader)) {
        agent_pending_unanswered(agent, &agent->known_leader);
        agent->known_leader = leader;
        agent_add_event(agent, AGENT_LEADER, &leader);
    }
}

void agent_role_changed(struct agent *agent)
{
    if (agent_leads(agent) && !agent->control) {
        agent->control =
            control_new(&(struct control_config){.exclusive_wait_ms = 2 * agent->config.lease_ms});
        agent->failed = agent->failed || !agent->control;
        agent->control_due = true;
        agent->control_deadline_ms = INT64_MAX;
        agent->voters_deadline_ms = agent->voters_moved_ms = agent->now_ms;
        agent->is_moving_voter = false;
        agent->control_outstanding = 0;
    } else if (!agent_leads(agent) && agent->control) {
        control_free(agent->control);
        agent->control = NULL;
        agent_pending_lost(agent);
    }
}

/* Carries out what one step of Raft asks for. */
static void carry_out(struct agent *agent, const struct raft_output *output)
{
    add_write(agent, output);
    for (size_t i = 0; i < output->message_count; i++)
        send_message(agent, &output->messages[i]);
    for (size_t i = 0; i < output->message_once_stored_count; i++)
        hold_message(agent, output->once_stored, &output->messages_once_stored[i]);
    if (output->snapshot)
        load_snapshot(agent, output->snapshot);
    uint64_t applied_before = agent->intent->applied_index;
    for (size_t i = 0; i < output->committed_count && !agent->failed; i++)
        apply_entry(agent, &output->committed[i]);

    agent->raft_deadline_ms = output->next_deadline_ms;
    raft_status(agent->raft, &agent->raft_status);
    if (output->changed & RAFT_CHANGED_ROLE)
        agent_role_changed(agent);
    if (output->changed & (RAFT_CHANGED_ROLE | RAFT_CHANGED_LEADER))
        agent_leader_changed(agent);
    if (agent->intent->applied_index > applied_before)
        agent->intent_due = true;
    for (size_t i = 0; i < output->read_count; i++)
        agent_read_outcome(agent, &output->reads[i]);
}

int agent_raft_step(struct agent *agent, const struct raft_input *input, uint64_t *ret_index,
                    uint64_t *ret_term)
{
    struct raft_output output;
    int rc = agent->renewal.intent ? -EAGAIN : raft_step(agent->raft, input, &output);
    if (rc < 0)
        return rc;
    carry_out(agent, &output);
    if (ret_index)
        *ret_index = output.proposed_index;
    if (ret_term)
        *ret_term = output.proposed_term;
    return 0;
}

void agent_raft_hash(struct bytes state, uint8_t ret[RAFT_HASH_BYTES])
{
    crypto_generichash(ret, RAFT_HASH_BYTES, state.data, state.size, NULL, 0);
}

/* A snapshot that Raft has taken can't be refused any more: it must be what its hash says, and an
 * intent of this cluster, as of the index that it claims. */
static int verify(struct agent *agent, const struct raft_snapshot *snapshot)
{
    uint8_t hash[RAFT_HASH_BYTES];
    struct intent *intent;
    agent_raft_hash(snapshot->data, hash);
    if (memcmp(hash, snapshot->hash, sizeof(hash)) != 0)
        return -EBADMSG;
    struct intent_level level;
    int rc = intent_read(snapshot->data, &intent);
    if (rc == -EPROTONOSUPPORT && intent_level_peek(snapshot->data, &level) == 0)
        agent_level_fits(agent, &level);
    if (rc < 0)
        return rc;
    if (!agent_level_fits(agent, &intent->level)) {
        intent_free(intent);
        return -EPROTONOSUPPORT;
    }
    if (intent->applied_index != snapshot->index || intent->applied_term != snapshot->term ||
        !raft_configuration_equal(&intent->configuration, &snapshot->configuration) ||
        !id_equal(&intent->cluster, &agent->config.cluster)) {
        intent_free(intent);
        return -EBADMSG;
    }
    intent_free(agent->verified); /* of a step that failed after it */
    agent->verified = intent;
    return 0;
}

int agent_raft_verify(void *context, const struct raft_snapshot *snapshot)
{
    struct agent *agent = context;
    agent->verified_rc = verify(agent, snapshot);
    return agent->verified_rc;
}

static int take_message(struct agent *agent, struct raft_message *message)
{
    uint64_t refused = agent->raft_status.snapshots_refused;
    if (message->type == RAFT_APPEND || message->type == RAFT_HEARTBEAT)
        agent->raft_progress_ms = agent->now_ms;
    struct raft_input input = {.type = RAFT_MESSAGE, .now_ms = agent->now_ms, .message = message};
    int rc = agent_raft_step(agent, &input, NULL, NULL);
    if (agent->raft_status.snapshots_refused > refused) {
        if (agent->verified_rc == -EPROTONOSUPPORT)
            return agent->verified_rc;
        agent_add_event(agent, AGENT_SNAPSHOT_BAD, &message->from);
    }
    return rc == -ENOMEM ? rc : 0; /* Raft refuses old and stray messages: nothing is wrong */
}

int agent_raft_take(struct agent *agent, const struct id *from, struct raft_message *message)
{
    if (agent->lost)
        return 0; /* as if this peer were down */
    message->from = *from;
    message->to = agent->self;
    if (!agent_epoch_fits(agent, message))
        return 0; /* one who lags hears of the new epoch by the feed */
    if (raft_message_is_to_leader(message->type) || agent_may_request(agent, from))
        return take_message(agent, message);
    agent_line_ask(agent, from); /* it says so again until it is heard */
    return 0;
}

int agent_raft_message(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct raft_message message;
    int rc = raft_message_decode(bytes, &message);
    if (rc < 0)
        return rc;
    rc = agent_raft_take(agent, from, &message);
    raft_message_done(&message);
    return rc;
}

void agent_raft_stored(struct agent *agent, uint64_t sequence)
{
    struct raft_input input = {.type = RAFT_STORED, .now_ms = agent->now_ms, .sequence = sequence};
    if (sequence == AGENT_EPOCH_SEQUENCE) {
        agent_epoch_stored(agent);
        return;
    }
    agent_raft_step(agent, &input, NULL, NULL);
    release_held(agent, sequence);
}
