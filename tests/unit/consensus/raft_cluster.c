#include "raft_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "failing_memory.h"
#include "raft_cluster_checks.h"

static struct bytes copy_bytes(struct bytes bytes)
{
    uint8_t *data = cluster_grow(NULL, bytes.size + 1, 1);
    if (bytes.size > 0)
        memcpy(data, bytes.data, bytes.size);
    return (struct bytes){data, bytes.size};
}

/* ---- disk ------------------------------------------------------------------------------------ */

static void free_snapshot(struct raft_snapshot *snapshot)
{
    if (snapshot)
        free((void *)snapshot->data.data);
    free(snapshot);
}

static struct raft_snapshot *copy_snapshot(const struct raft_snapshot *snapshot)
{
    struct raft_snapshot *copy = cluster_grow(NULL, 1, sizeof(*copy));
    *copy = *snapshot;
    copy->data = copy_bytes(snapshot->data);
    return copy;
}

static void free_entries(struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)entries[i].data.data);
    free(entries);
}

static void free_write(struct cluster_write *write)
{
    free_snapshot(write->snapshot);
    free_entries(write->entries, write->entry_count);
}

static void truncate_disk(struct cluster_disk *disk, uint64_t index)
{
    while (disk->entry_count > 0 && disk->entries[disk->entry_count - 1].index >= index)
        free((void *)disk->entries[--disk->entry_count].data.data);
}

static void discard_disk(struct cluster_disk *disk, uint64_t through)
{
    size_t count = 0;
    while (count < disk->entry_count && disk->entries[count].index <= through) {
        disk->log_index = disk->entries[count].index;
        disk->log_term = disk->entries[count].term;
        free((void *)disk->entries[count++].data.data);
    }
    disk->entry_count -= count;
    if (count > 0)
        memmove(disk->entries, disk->entries + count, disk->entry_count * sizeof(*disk->entries));
}

/* Carries out one write; takes what it points to. */
static void store(struct cluster *c, struct cluster_disk *disk, struct cluster_write *write)
{
    if (write->has_hard_state && write->sequence == 0)
        disk->hard_state.commit = write->hard_state.commit;
    else if (write->has_hard_state)
        disk->hard_state = write->hard_state;
    if (write->snapshot) {
        if (write->discard_through == 0) {
            truncate_disk(disk, 0);
            disk->log_index = write->snapshot->index;
            disk->log_term = write->snapshot->term;
        }
        free_snapshot(disk->snapshot);
        disk->snapshot = take_pointer(write->snapshot);
        discard_disk(disk, write->discard_through);
    }
    if (write->truncate_from > 0)
        truncate_disk(disk, write->truncate_from);
    if (write->entry_count > 0) {
        size_t total = disk->entry_count + write->entry_count;
        insist(write->entries[0].index == disk->log_index + disk->entry_count + 1,
               "entries to store leave a gap");
        disk->entries = cluster_grow(disk->entries, total, sizeof(*disk->entries));
        memcpy(disk->entries + disk->entry_count, write->entries,
               write->entry_count * sizeof(*write->entries));
        disk->entry_count = total;
        write->entry_count = 0;
    }
}

static void queue_write(struct cluster *c, struct cluster_node *node, struct cluster_write write)
{
    int64_t previous_ms = node->write_count ? node->writes[node->write_count - 1].done_ms : 0;
    int64_t delay_ms =
        c->options.write_max_ms
            ? (int64_t)random_below(&c->random, (uint64_t)c->options.write_max_ms + 1)
            : 0;
    write.done_ms = c->now_ms + delay_ms;
    if (write.done_ms < previous_ms)
        write.done_ms = previous_ms;
    node->writes = cluster_grow(node->writes, node->write_count + 1, sizeof(*node->writes));
    node->writes[node->write_count++] = write;
}

static void queue_output(struct cluster *c, struct cluster_node *node,
                         const struct raft_output *output)
{
    if (!output->hard_state_changed && output->sequence == 0)
        return;
    struct cluster_write write = {
        .sequence = output->sequence,
        .has_hard_state = output->hard_state_changed,
        .hard_state = output->hard_state,
        .truncate_from = output->truncate_from,
    };
    if (output->sequence == 0) {
        /* Only the commit index: it may overtake the writes before it, or never be stored. */
        if (random_chance(&c->random, 1, 2))
            store(c, &node->disk, &write);
        return;
    }
    if (output->snapshot)
        write.snapshot = copy_snapshot(output->snapshot);
    if (output->entry_count > 0)
        write.entries = cluster_grow(NULL, output->entry_count, sizeof(*write.entries));
    for (size_t i = 0; i < output->entry_count; i++) {
        write.entries[i] = output->entries[i];
        write.entries[i].data = copy_bytes(output->entries[i].data);
    }
    write.entry_count = output->entry_count;
    queue_write(c, node, write);
}

/* ---- network --------------------------------------------------------------------------------- */

static int node_of(const struct cluster *c, const struct id *id)
{
    for (int i = 0; i < c->count; i++)
        if (id_equal(&c->nodes[i].id, id))
            return i;
    return -1;
}

static void queue_packet(struct cluster *c, struct cluster_packet packet)
{
    c->packets = cluster_grow(c->packets, c->packet_count + 1, sizeof(*c->packets));
    c->packets[c->packet_count++] = packet;
}

static int64_t draw_delay(struct cluster *c)
{
    return 1 + (int64_t)random_below(&c->random, (uint64_t)c->options.delay_max_ms + 1);
}

static void send_message(struct cluster *c, int from, const struct raft_message *message,
                         uint64_t once_stored)
{
    struct cluster_packet packet = {.from = from, .to = node_of(c, &message->to)};
    insist(packet.to >= 0 && packet.to != from, "a message to nobody");
    insist(once_stored == 0 || (!message->entries && !message->snapshot), "a reply with entries");
    unsigned copies = 1;
    if (random_chance(&c->random, c->options.lost_permille, 1000))
        copies = 0;
    else if (random_chance(&c->random, c->options.duplicated_permille, 1000))
        copies = 2;
    for (unsigned i = 0; i < copies; i++) {
        packet.due_ms = once_stored ? INT64_MAX : c->now_ms + draw_delay(c);
        packet.once_stored = once_stored;
        buffer_init(&packet.bytes);
        insist(raft_message_encode(message, &packet.bytes) == 0, "not encoded");
        queue_packet(c, packet);
    }
}

/* Messages that waited for a write of `node` up to `sequence` set out. */
static void release(struct cluster *c, int node, uint64_t sequence)
{
    for (size_t i = 0; i < c->packet_count; i++) {
        struct cluster_packet *packet = &c->packets[i];
        if (packet->from == node && packet->once_stored > 0 && packet->once_stored <= sequence) {
            packet->once_stored = 0;
            packet->due_ms = c->now_ms + draw_delay(c);
        }
    }
}

static void drop_waiting(struct cluster *c, int node)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->packet_count; i++) {
        if (c->packets[i].from == node && c->packets[i].once_stored > 0)
            buffer_done(&c->packets[i].bytes);
        else
            c->packets[kept++] = c->packets[i];
    }
    c->packet_count = kept;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void follow_output(struct cluster *c, int node, const struct raft_output *output)
{
    struct cluster_node *self = &c->nodes[node];
    cluster_check_new_entries(c, self, output);
    cluster_check_reads(c, output);
    if (output->snapshot)
        cluster_check_snapshot(c, self, output->snapshot);
    for (size_t i = 0; i < output->committed_count; i++)
        cluster_check_applied(c, self, &output->committed[i]);
    queue_output(c, self, output);
    for (size_t i = 0; i < output->message_count; i++)
        send_message(c, node, &output->messages[i], 0);
    for (size_t i = 0; i < output->message_once_stored_count; i++)
        send_message(c, node, &output->messages_once_stored[i], output->once_stored);
    self->deadline_ms = output->next_deadline_ms;
    c->digest = cluster_mix(c->digest, cluster_mix((uint64_t)c->now_ms, output->message_count));
    c->digest =
        cluster_mix(c->digest, cluster_mix(output->hard_state.term, output->hard_state.commit));
    c->digest =
        cluster_mix(c->digest, cluster_mix(self->state, (uint64_t)output->next_deadline_ms));
    cluster_check_leader(c, self);
    cluster_check_lease(c);
}

/* As raft_step, with the first allocation failing, then the second, until none is left that
 * matters. Those for messages do not: they are lost. */
static int step_without_memory(struct cluster *c, int node, const struct raft_input *input,
                               struct raft_output *output)
{
    struct raft_status before = cluster_status(c, node);
    for (int64_t count = 0;; count++) {
        memory_fail_after(count);
        int rc = raft_step(c->nodes[node].raft, input, output);
        memory_fail_after(-1);
        if (rc != -ENOMEM)
            return rc;
        cluster_check_unchanged(c, node, &before);
    }
}

int cluster_give(struct cluster *c, int node, struct raft_input input)
{
    struct raft_output output;
    int rc;
    if (!c->nodes[node].raft)
        return -EHOSTDOWN;
    input.now_ms = c->now_ms;
    if (c->options.failing_memory && random_chance(&c->random, 1, 4))
        rc = step_without_memory(c, node, &input, &output);
    else
        rc = raft_step(c->nodes[node].raft, &input, &output);
    if (rc == 0)
        follow_output(c, node, &output);
    return rc;
}

static void deliver(struct cluster *c, struct cluster_packet *packet)
{
    struct raft_message message;
    struct cluster_node *to = &c->nodes[packet->to];
    if (to->raft && !to->is_cut && !c->nodes[packet->from].is_cut) {
        insist(raft_message_decode(buffer_view(&packet->bytes), &message) == 0, "not decoded");
        message.from = c->nodes[packet->from].id;
        int rc = cluster_give(c, packet->to,
                              (struct raft_input){.type = RAFT_MESSAGE, .message = &message});
        insist(rc == 0 || rc == -ESRCH, "a message was refused: %d", rc);
        raft_message_done(&message);
    }
    buffer_done(&packet->bytes);
}

static void finish_write(struct cluster *c, int node)
{
    struct cluster_node *self = &c->nodes[node];
    struct cluster_write write = self->writes[0];
    self->write_count--;
    memmove(self->writes, self->writes + 1, self->write_count * sizeof(*self->writes));
    store(c, &self->disk, &write);
    free_write(&write);
    if (write.sequence == 0)
        return;
    release(c, node, write.sequence);
    cluster_give(c, node, (struct raft_input){.type = RAFT_STORED, .sequence = write.sequence});
}

/* Does the first thing that is due by now; false if there is none. */
static bool do_next(struct cluster *c)
{
    for (int i = 0; i < c->count; i++) {
        struct cluster_node *node = &c->nodes[i];
        if (node->raft && node->write_count > 0 && node->writes[0].done_ms <= c->now_ms) {
            finish_write(c, i);
            return true;
        }
        if (node->raft && node->deadline_ms <= c->now_ms) {
            node->deadline_ms = INT64_MAX;
            cluster_give(c, i, (struct raft_input){.type = RAFT_TICK});
            return true;
        }
    }
    for (size_t i = 0; i < c->packet_count; i++) {
        if (c->packets[i].due_ms > c->now_ms)
            continue;
        struct cluster_packet packet = c->packets[i];
        c->packet_count--;
        memmove(c->packets + i, c->packets + i + 1, (c->packet_count - i) * sizeof(*c->packets));
        deliver(c, &packet);
        return true;
    }
    return false;
}

static int64_t next_event(const struct cluster *c)
{
    int64_t next_ms = INT64_MAX;
    for (int i = 0; i < c->count; i++) {
        const struct cluster_node *node = &c->nodes[i];
        if (!node->raft)
            continue;
        if (node->write_count > 0 && node->writes[0].done_ms < next_ms)
            next_ms = node->writes[0].done_ms;
        if (node->deadline_ms < next_ms)
            next_ms = node->deadline_ms;
    }
    for (size_t i = 0; i < c->packet_count; i++)
        if (c->packets[i].due_ms < next_ms)
            next_ms = c->packets[i].due_ms;
    return next_ms;
}

static void run_until(struct cluster *c, int64_t end_ms, bool (*condition)(const struct cluster *))
{
    for (;;) {
        while (do_next(c)) {
        }
        if (condition && condition(c))
            return;
        int64_t next_ms = next_event(c);
        if (next_ms > end_ms) {
            c->now_ms = end_ms;
            return;
        }
        c->now_ms = next_ms;
    }
}

void cluster_run(struct cluster *c, int64_t duration_ms)
{
    run_until(c, c->now_ms + duration_ms, NULL);
}

bool cluster_wait(struct cluster *c, bool (*condition)(const struct cluster *c))
{
    run_until(c, c->now_ms + CLUSTER_WAIT_MS, condition);
    return condition(c);
}

/* ---- the language ---------------------------------------------------------------------------- */

static struct raft_snapshot *first_snapshot(const struct cluster *c)
{
    uint64_t state = 1;
    struct raft_snapshot snapshot = {
        .index = 1, .term = 1, .data = {(const uint8_t *)&state, sizeof(state)}};
    memcpy(snapshot.hash, &state, sizeof(state));
    for (int i = 0; i < c->options.voters; i++)
        snapshot.configuration.members[snapshot.configuration.count++] =
            (struct raft_member){c->nodes[i].id, RAFT_VOTER};
    return copy_snapshot(&snapshot);
}

void cluster_start(struct cluster *c, const struct cluster_options *options)
{
    *c = (struct cluster){.options = *options, .count = options->voters + options->spares};
    random_init(&c->random, options->seed);
    c->now_ms = 1000;
    c->truth_count = 2; /* index 0, and the first snapshot's */
    c->truth = cluster_grow(NULL, c->truth_count, sizeof(*c->truth));
    c->truth[0] = (struct cluster_truth){0};
    c->truth[1] = (struct cluster_truth){.term = 1, .state = 1};
    for (int i = 0; i < c->count; i++)
        c->nodes[i].id.bytes[0] = (uint8_t)(i + 1);
    for (int i = 0; i < c->count; i++) {
        struct cluster_disk *disk = &c->nodes[i].disk;
        if (i < options->voters) {
            disk->snapshot = first_snapshot(c);
            disk->hard_state.term = 1;
            disk->log_index = disk->log_term = 1;
        }
        cluster_restart(c, i);
    }
}

void cluster_stop(struct cluster *c)
{
    for (int i = 0; i < c->count; i++) {
        cluster_crash(c, i);
        truncate_disk(&c->nodes[i].disk, 0);
        free(c->nodes[i].disk.entries);
        free_snapshot(c->nodes[i].disk.snapshot);
        free(c->nodes[i].writes);
    }
    for (size_t i = 0; i < c->packet_count; i++)
        buffer_done(&c->packets[i].bytes);
    free(c->packets);
    free(c->truth);
    free(c->sightings);
    free(c->leaders);
}

void cluster_cut(struct cluster *c, int node)
{
    c->nodes[node].is_cut = true;
}

void cluster_heal(struct cluster *c)
{
    for (int i = 0; i < c->count; i++)
        c->nodes[i].is_cut = false;
}

void cluster_crash(struct cluster *c, int node)
{
    struct cluster_node *self = &c->nodes[node];
    for (size_t i = 0; i < self->write_count; i++)
        free_write(&self->writes[i]);
    self->write_count = 0;
    drop_waiting(c, node);
    raft_free(self->raft);
    self->raft = NULL;
}

static int verify_snapshot(void *context, const struct raft_snapshot *snapshot)
{
    (void)context;
    return memcmp(snapshot->hash, snapshot->data.data, snapshot->data.size) == 0 ? 0 : -EBADMSG;
}

void cluster_restart(struct cluster *c, int node)
{
    struct cluster_node *self = &c->nodes[node];
    struct raft_config config;
    if (self->raft)
        return;
    raft_config_init(&config, &self->id, random_u64(&c->random));
    config.snapshot_timeout_ms = 500;
    config.message_bytes_max = 256;
    config.chunk_bytes = 3; /* so that a state is three of them */
    config.chunks_max = 2;
    config.verify = verify_snapshot;
    config.inflight_max = 4;
    config.lead_when_removed = c->options.etcd_leader;
    struct raft_stored stored = {
        .hard_state = self->disk.hard_state,
        .snapshot = self->disk.snapshot,
        .log_index = self->disk.log_index,
        .log_term = self->disk.log_term,
        .entries = self->disk.entries,
        .entry_count = self->disk.entry_count,
    };
    int rc = raft_new(&config, &stored, c->now_ms, &self->raft);
    insist(rc == 0, "node %d did not start: %d", node, rc);
    self->life++;
    self->applied = self->state = 0;
    if (self->disk.snapshot)
        cluster_check_snapshot(c, self, self->disk.snapshot);
    cluster_give(c, node, (struct raft_input){.type = RAFT_TICK});
}

void cluster_restart_all(struct cluster *c)
{
    for (int i = 0; i < c->count; i++)
        cluster_restart(c, i);
}

struct raft_status cluster_status(const struct cluster *c, int node)
{
    struct raft_status status = {0};
    if (c->nodes[node].raft)
        raft_status(c->nodes[node].raft, &status);
    return status;
}

int cluster_leader(const struct cluster *c)
{
    int leader = -1;
    uint64_t term = 0;
    for (int i = 0; i < c->count; i++) {
        struct raft_status status = cluster_status(c, i);
        if (c->nodes[i].raft && status.role == RAFT_LEADER && status.term > term) {
            leader = i;
            term = status.term;
        }
    }
    return leader;
}

bool cluster_one_leader(const struct cluster *c)
{
    int count = 0;
    for (int i = 0; i < c->count; i++)
        if (c->nodes[i].raft && cluster_status(c, i).role == RAFT_LEADER)
            count++;
    return count == 1;
}

bool cluster_all_agree(const struct cluster *c)
{
    int leader = cluster_leader(c);
    if (leader < 0 || !cluster_one_leader(c) || c->nodes[leader].applied + 1 < c->truth_count)
        return false;
    struct raft_status status = cluster_status(c, leader);
    const struct raft_configuration *members = raft_configuration(c->nodes[leader].raft);
    if (status.last_index != c->nodes[leader].applied || raft_configuration_is_joint(members))
        return false;
    for (int i = 0; i < c->count; i++)
        if (c->nodes[i].raft && raft_configuration_find(members, &c->nodes[i].id) &&
            c->nodes[i].applied != c->nodes[leader].applied)
            return false;
    return true;
}

int cluster_propose(struct cluster *c, int node)
{
    char text[48];
    size_t padding = random_below(&c->random, sizeof(text) - 20);
    memset(text, ' ', sizeof(text));
    snprintf(text, sizeof(text), "%llu", (unsigned long long)++c->proposals);
    return cluster_give(
        c, node,
        (struct raft_input){.type = RAFT_PROPOSE, .data = {(const uint8_t *)text, 20 + padding}});
}

int cluster_change(struct cluster *c, int node, const struct raft_changes *changes)
{
    return cluster_give(
        c, node, (struct raft_input){.type = RAFT_PROPOSE_CONFIGURATION, .changes = changes});
}

int cluster_read_at(struct cluster *c, int node)
{
    if (c->read_count == CLUSTER_READS_MAX)
        return -EBUSY;
    /* Registered first: a lone voter answers in the same step. */
    c->reads[c->read_count] = (struct cluster_read){c->read_count, c->truth_count - 1};
    uint64_t context = c->read_count++;
    return cluster_give(c, node, (struct raft_input){.type = RAFT_READ, .context = context});
}

void cluster_compact(struct cluster *c, int node, uint64_t keep)
{
    struct cluster_node *self = &c->nodes[node];
    if (!self->raft || self->applied <= 1)
        return;
    struct raft_snapshot snapshot = {.index = self->applied,
                                     .configuration = *raft_configuration(self->raft),
                                     .data = {(const uint8_t *)&self->state, sizeof(self->state)}};
    memcpy(snapshot.hash, &self->state, sizeof(self->state));
    int rc = raft_compact(self->raft, &snapshot, keep);
    insist(rc == 0, "not compacted: %d", rc);
    queue_write(c, self,
                (struct cluster_write){
                    .snapshot = copy_snapshot(raft_snapshot(self->raft)),
                    .discard_through = cluster_status(c, node).first_index - 1,
                });
}

struct raft_changes cluster_one_change(struct cluster *c, enum raft_change_type type, int node)
{
    return (struct raft_changes){.members = {{type, c->nodes[node].id}}, .count = 1};
}
