#include "tests/etcd/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/etcd/configuration.h"

enum {
    STABILIZE_ROUNDS_MAX = 10000,
};

static void *or_die(void *pointer)
{
    if (!pointer)
        abort();
    return pointer;
}

void shown_log_clear(struct shown_log *log, uint64_t base)
{
    lines_clear(&log->entries);
    log->base = base;
}

void shown_log_copy(struct shown_log *log, const struct shown_log *from)
{
    shown_log_clear(log, from->base);
    for (size_t i = 0; i < from->entries.count; i++)
        lines_add(&log->entries, from->entries.items[i], strlen(from->entries.items[i]));
}

void shown_log_truncate(struct shown_log *log, uint64_t index)
{
    while (log->entries.count > 0 && log->base + log->entries.count >= index)
        free(log->entries.items[--log->entries.count]);
}

void shown_log_discard(struct shown_log *log, uint64_t index)
{
    struct shown_log kept = {.base = index > log->base ? index : log->base};
    for (size_t i = 0; i < log->entries.count; i++)
        if (log->base + 1 + i > index)
            lines_add(&kept.entries, log->entries.items[i], strlen(log->entries.items[i]));
    lines_clear(&log->entries);
    *log = kept;
}

static void show_entry(const struct raft_entry *entry, struct lines *ret)
{
    unsigned long long term = entry->term, index = entry->index;
    struct raft_changes changes;
    if (entry->type != RAFT_ENTRY_CONFIGURATION) {
        lines_addf(ret, "%llu/%llu EntryNormal \"%.*s\"", term, index, (int)entry->data.size,
                   entry->data.size > 0 ? (const char *)entry->data.data : "");
        return;
    }
    cleanup_buffer struct buffer text;
    buffer_init(&text);
    if (raft_changes_decode(entry->data, &changes) < 0)
        abort();
    if (changes.count > 0)
        append_text(&text, " ");
    text_of_changes(&changes, &text);
    lines_addf(ret, "%llu/%llu EntryConfChange%s", term, index, text_of(&text));
}

static struct bytes copy_bytes(struct bytes bytes)
{
    uint8_t *data = or_die(malloc(bytes.size + 1));
    if (bytes.size > 0)
        memcpy(data, bytes.data, bytes.size);
    return (struct bytes){data, bytes.size};
}

static void packets_add(struct packets *packets, struct packet *packet)
{
    packets->items = or_die(reallocarray(packets->items, packets->count + 1, sizeof(packet)));
    packets->items[packets->count++] = packet;
}

static void packet_free(struct packet *packet)
{
    for (size_t i = 0; i < packet->message.entry_count; i++)
        free((void *)packet->message.entries[i].data.data);
    free((void *)packet->message.entries);
    free((void *)packet->snapshot.data.data);
    free(packet);
}

static void packets_done(struct packets *packets)
{
    for (size_t i = 0; i < packets->count; i++)
        packet_free(packets->items[i]);
    free(packets->items);
    *packets = (struct packets){0};
}

static void packets_move(struct packets *from, struct packets *to)
{
    for (size_t i = 0; i < from->count; i++)
        packets_add(to, from->items[i]);
    free(from->items);
    *from = (struct packets){0};
}

static void keep_message(struct packets *packets, const struct raft_message *message, uint64_t from)
{
    struct packet *packet = or_die(calloc(1, sizeof(*packet)));
    packet->message = *message;
    packet->message.from = id_of_number(from);
    packet->to = number_of_id(&message->to);
    if (message->entry_count > 0) {
        struct raft_entry *entries = or_die(calloc(message->entry_count, sizeof(*entries)));
        for (size_t i = 0; i < message->entry_count; i++) {
            entries[i] = message->entries[i];
            entries[i].data = copy_bytes(message->entries[i].data);
        }
        packet->message.entries = entries;
    }
    if (message->snapshot) {
        packet->snapshot = *message->snapshot;
        packet->snapshot.data = copy_bytes(message->snapshot->data);
        packet->message.snapshot = &packet->snapshot;
    }
    packets_add(packets, packet);
}

struct shown_state node_state(const struct node *node)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    return (struct shown_state){
        .term = status.term,
        .vote = number_of_id(&status.vote),
        .commit = status.commit,
        .role = status.role,
        .lead = number_of_id(&status.leader),
    };
}

static void absorb(struct node *node, const struct raft_output *output)
{
    if (output->snapshot)
        shown_log_clear(&node->pending, output->snapshot->index);
    if (output->truncate_from > 0)
        shown_log_truncate(&node->pending, output->truncate_from);
    for (size_t i = 0; i < output->entry_count; i++)
        show_entry(&output->entries[i], &node->pending.entries);
    if (output->sequence > 0)
        node->sequence = output->sequence;
    for (size_t i = 0; i < output->message_count; i++)
        keep_message(&node->now, &output->messages[i], node->number);
    for (size_t i = 0; i < output->message_once_stored_count; i++)
        keep_message(&node->once_stored, &output->messages_once_stored[i], node->number);
    for (size_t i = 0; i < output->committed_count; i++)
        show_entry(&output->committed[i], &node->applied);
}

/* The state is empty: what is compared is how it gets there. */
static int compact(struct node *node, const struct raft_status *status, uint64_t through)
{
    struct raft_snapshot snapshot = {.index = status->applied,
                                     .configuration = *raft_configuration(node->raft)};
    return raft_compact(node->raft, &snapshot, status->applied - through);
}

static int take_any_snapshot(void *context, const struct raft_snapshot *snapshot)
{
    (void)context;
    (void)snapshot;
    return 0;
}

/* etcd's harness sends the newest applied state to whoever needs a snapshot. */
static void renew_snapshot(struct node *node)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    if (status.applied > 0 && compact(node, &status, status.first_index - 1) < 0)
        abort();
}

static int step(struct node *node, struct raft_input input)
{
    struct raft_output output;
    input.now_ms = node->now_ms;
    int rc = raft_step(node->raft, &input, &output);
    if (rc < 0)
        return rc;
    absorb(node, &output);
    if (output.committed_count > 0)
        renew_snapshot(node);
    return rc;
}

int node_step(struct node *node, struct raft_input input)
{
    input.defer_apply = true;
    return step(node, input);
}

void node_tick(struct node *node, unsigned ticks)
{
    for (unsigned i = 0; i < ticks; i++) {
        node->now_ms++;
        node_step(node, (struct raft_input){.type = RAFT_TICK});
    }
}

struct node *cluster_node(struct cluster *cluster, uint64_t number)
{
    return number >= 1 && number <= cluster->count ? &cluster->nodes[number - 1] : NULL;
}

struct node *cluster_add(struct cluster *cluster, const struct node_options *options)
{
    if (cluster->count == CLUSTER_NODES_MAX)
        return NULL;
    struct node *node = &cluster->nodes[cluster->count];
    node->number = cluster->count + 1;
    node->is_async = options->is_async;
    struct id self = id_of_number(node->number);
    struct raft_config config;
    raft_config_init(&config, &self, node->number);
    config.election_timeout_ms = CLUSTER_ELECTION_TICKS;
    config.election_timeout_max_ms = 2 * CLUSTER_ELECTION_TICKS - 1;
    config.heartbeat_ms = 1;
    config.quiet_after_start_ms = 0;
    config.pre_vote = options->pre_vote;
    config.check_quorum = options->check_quorum;
    config.read_by_lease = options->read_by_lease;
    config.lead_when_removed = options->lead_when_removed;
    config.verify = take_any_snapshot;
    if (options->inflight > 0 && options->inflight < config.inflight_max)
        config.inflight_max = options->inflight;
    struct raft_snapshot snapshot = {
        .index = options->index,
        .term = 1,
        .configuration = options->configuration,
    };
    struct raft_stored stored = {
        .hard_state.commit = options->index,
        .snapshot = &snapshot,
        .log_index = options->index,
        .log_term = 1,
    };
    if (raft_new(&config, options->index > 0 ? &stored : NULL, 0, &node->raft) < 0)
        return NULL;
    cluster->count++;
    node->pending.base = node->handed.base = node->disk.base = options->index;
    node->handed_state = node_state(node);
    return node;
}

void cluster_done(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->count; i++) {
        struct node *node = &cluster->nodes[i];
        raft_free(node->raft);
        packets_done(&node->now);
        packets_done(&node->once_stored);
        shown_log_clear(&node->pending, 0);
        shown_log_clear(&node->handed, 0);
        shown_log_clear(&node->disk, 0);
        lines_clear(&node->applied);
        lines_clear(&node->refused);
        for (size_t k = 0; k < node->work_count; k++) {
            packets_done(&node->work[k].once_stored);
            shown_log_clear(&node->work[k].log, 0);
        }
        free(node->work);
    }
    packets_done(&cluster->network);
    *cluster = (struct cluster){0};
}

static bool state_equal(const struct shown_state *a, const struct shown_state *b)
{
    return a->term == b->term && a->vote == b->vote && a->commit == b->commit &&
           a->role == b->role && a->lead == b->lead;
}

bool node_has_ready(const struct node *node)
{
    struct shown_state state = node_state(node);
    struct raft_status status;
    raft_status(node->raft, &status);
    uint64_t applicable = status.commit;
    if (node->is_async && status.stored_index < applicable)
        applicable = status.stored_index;
    return node->now.count > 0 || node->once_stored.count > 0 || node->sequence > 0 ||
           status.applied < applicable || !state_equal(&state, &node->handed_state);
}

static void queue_work(struct node *node)
{
    node->work = or_die(reallocarray(node->work, node->work_count + 1, sizeof(*node->work)));
    struct append_work *work = &node->work[node->work_count++];
    *work = (struct append_work){.sequence = node->sequence};
    packets_move(&node->once_stored, &work->once_stored);
    shown_log_copy(&work->log, &node->handed);
}

void node_handle_ready(struct cluster *cluster, struct node *node)
{
    struct shown_state state = node_state(node);
    bool hard_state_changed = state.term != node->handed_state.term ||
                              state.vote != node->handed_state.vote ||
                              state.commit != node->handed_state.commit;
    node->handed_state = state;
    shown_log_copy(&node->handed, &node->pending);
    packets_move(&node->now, &cluster->network);
    if (!node->is_async) {
        packets_move(&node->once_stored, &cluster->network);
        shown_log_copy(&node->disk, &node->handed);
        if (node->sequence > 0)
            node->stored_sequence = node->sequence;
    } else if (node->sequence > 0 || node->once_stored.count > 0 || hard_state_changed) {
        queue_work(node);
    }
    node->sequence = 0;
    /* What the write itself commits is for the next Ready. */
    step(node, (struct raft_input){.type = RAFT_STORED,
                                   .sequence = node->stored_sequence,
                                   .defer_apply = state.commit == 0,
                                   .apply_max = state.commit});
}

bool node_work(struct cluster *cluster, struct node *node)
{
    if (node->work_count == 0)
        return false;
    struct append_work work = node->work[0];
    memmove(node->work, node->work + 1, --node->work_count * sizeof(work));
    packets_move(&work.once_stored, &cluster->network);
    shown_log_clear(&node->disk, 0);
    node->disk = work.log;
    if (work.sequence > 0) {
        struct packet *packet = or_die(calloc(1, sizeof(*packet)));
        *packet = (struct packet){.to = node->number, .is_stored = true, .sequence = work.sequence};
        packets_add(&cluster->network, packet);
    }
    return true;
}

void node_compact(struct node *node, uint64_t index)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    if (index > status.applied || compact(node, &status, index) < 0)
        return;
    shown_log_discard(&node->pending, index);
    shown_log_discard(&node->handed, index);
    shown_log_discard(&node->disk, index);
}

void node_send_snapshot(struct cluster *cluster, struct node *node, uint64_t to)
{
    struct shown_state state = node_state(node);
    struct raft_message message = {
        .type = RAFT_SNAPSHOT,
        .to = id_of_number(to),
        .term = state.term,
        .snapshot = raft_snapshot(node->raft),
    };
    if (message.snapshot)
        keep_message(&cluster->network, &message, node->number);
}

static void note_refusal(struct node *node, const struct raft_message *message)
{
    static const char *const names[RAFT_MESSAGE_TYPES] = {
        [RAFT_PRE_VOTE_REPLY] = "MsgPreVoteResp",
        [RAFT_VOTE_REPLY] = "MsgVoteResp",
        [RAFT_APPEND_REPLY] = "MsgAppResp",
    };
    if (message->reject && names[message->type])
        lines_addf(&node->refused, "%llu->%llu %s Term:%llu",
                   (unsigned long long)number_of_id(&message->from),
                   (unsigned long long)node->number, names[message->type],
                   (unsigned long long)message->term);
}

bool cluster_deliver(struct cluster *cluster, uint64_t to, bool drop)
{
    struct packets all = cluster->network;
    struct node *node = cluster_node(cluster, to);
    bool delivered = false;
    cluster->network = (struct packets){0};
    for (size_t i = 0; i < all.count; i++) {
        struct packet *packet = all.items[i];
        if (packet->to != to || (drop && packet->is_stored)) {
            packets_add(&cluster->network, packet);
            continue;
        }
        delivered = true;
        if (node && packet->is_stored) {
            if (packet->sequence > node->stored_sequence)
                node->stored_sequence = packet->sequence;
            node_step(node, (struct raft_input){.type = RAFT_STORED, .sequence = packet->sequence});
        } else if (node && !drop) {
            note_refusal(node, &packet->message);
            node_step(node, (struct raft_input){.type = RAFT_MESSAGE, .message = &packet->message});
        }
        packet_free(packet);
    }
    free(all.items);
    return delivered;
}

bool cluster_stabilize(struct cluster *cluster, const struct numbers *nodes)
{
    struct numbers all = {.count = cluster->count};
    for (size_t i = 0; i < all.count; i++)
        all.items[i] = i + 1;
    if (nodes->count > 0)
        all = *nodes;
    for (unsigned round = 0; round < STABILIZE_ROUNDS_MAX; round++) {
        bool done = true;
        for (size_t i = 0; i < all.count; i++) {
            struct node *node = cluster_node(cluster, all.items[i]);
            if (node && node_has_ready(node)) {
                node_handle_ready(cluster, node);
                done = false;
            }
        }
        for (size_t i = 0; i < all.count; i++)
            if (cluster_deliver(cluster, all.items[i], false))
                done = false;
        for (size_t i = 0; i < all.count; i++) {
            struct node *node = cluster_node(cluster, all.items[i]);
            while (node && node_work(cluster, node))
                done = false;
        }
        if (done)
            return true;
    }
    return false;
}
