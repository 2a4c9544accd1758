#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft/world.h"

static void first_store(struct sim_peer *peer, const struct raft_configuration *first)
{
    struct sim_machine machine = {.applied = 1, .digest = 1};
    uint8_t bytes[sizeof(machine)];
    memcpy(bytes, &machine, sizeof(machine));
    struct raft_snapshot snapshot = {
        .index = 1, .term = 1, .configuration = *first, .data = {bytes, sizeof(bytes)}};
    sim_machine_hash(snapshot.data, snapshot.hash);
    struct sim_batch batch = {
        .has_hard_state = true,
        .hard_state = {.term = 1, .commit = 1},
        .snapshot = sim_snapshot_copy(&snapshot),
    };
    sim_store_queue(&peer->store, &batch);
    sim_store_begin(&peer->store);
    sim_store_finish(&peer->store);
}

void sim_peer_init(struct sim_world *world, int number, bool is_member,
                   const struct raft_configuration *first)
{
    struct sim_peer *peer = &world->peers[number];
    *peer = (struct sim_peer){.number = number};
    peer->id.bytes[0] = (uint8_t)(number + 1);
    sim_store_init(&peer->store);
    if (is_member)
        first_store(peer, first);
}

static void forget_held(struct sim_peer *peer)
{
    peer->has_taken = false;
    peer->held_count = 0;
    peer->read_count = 0;
}

void sim_peer_done(struct sim_peer *peer)
{
    raft_free(peer->raft);
    sim_store_done(&peer->store);
    free(peer->held);
    free(peer->reads);
}

struct sim_peer *sim_peer_of(struct sim_world *world, const struct id *id)
{
    int number = id->bytes[0] - 1;
    if (number < 0 || number >= world->peer_count || !id_equal(&world->peers[number].id, id))
        return NULL;
    return &world->peers[number];
}

struct sim_peer *sim_leader(struct sim_world *world)
{
    struct sim_peer *leader = NULL;
    for (int i = 0; i < world->peer_count; i++) {
        struct sim_peer *peer = &world->peers[i];
        if (peer->raft && peer->status.role == RAFT_LEADER &&
            (!leader || peer->status.term > leader->status.term))
            leader = peer;
    }
    return leader;
}

void sim_peer_crash(struct sim_world *world, struct sim_peer *peer)
{
    if (!peer->raft)
        return;
    sim_trace(world, "peer %d crashes", peer->number);
    world->counts[SIM_COUNT_CRASHES]++;
    raft_free(peer->raft);
    peer->raft = NULL;
    sim_store_crash(&peer->store, &world->random);
    forget_held(peer);
    peer->paused_until_us = 0;
    peer->tick_token++;
    peer->stored_token++;
}

/* The operator moves the damaged store away, and the peer joins again as another. */
static void become_another(struct sim_world *world, struct sim_peer *peer)
{
    sim_store_done(&peer->store);
    sim_store_init(&peer->store);
    peer->id.bytes[1]++;
    peer->is_spoilt = false;
    sim_trace(world, "peer %d lost its disk: it is another one now", peer->number);
}

static void load_snapshot(struct sim_world *world, struct sim_peer *peer,
                          const struct raft_snapshot *snapshot)
{
    if (snapshot->data.size != sizeof(peer->machine)) {
        sim_fail(world, "peer %d: a snapshot of another size", peer->number);
        return;
    }
    memcpy(&peer->machine, snapshot->data.data, sizeof(peer->machine));
    sim_check_snapshot(world, peer, snapshot->index);
}

void sim_peer_start(struct sim_world *world, struct sim_peer *peer)
{
    struct sim_opened opened;
    char words[SIM_FAILURE_BYTES] = "";
    if (peer->raft)
        return;
    int rc = sim_store_open(&peer->store, &opened, words, sizeof(words));
    if (peer->is_spoilt && rc == 0)
        sim_fail(world, "peer %d believed a damaged store", peer->number);
    if (!peer->is_spoilt && rc < 0)
        sim_fail(world, "peer %d: a sound store does not open: %s", peer->number, words);
    if (rc < 0) {
        sim_trace(world, "peer %d does not start: %s", peer->number, words);
        sim_opened_done(&opened);
        become_another(world, peer);
        rc = sim_store_open(&peer->store, &opened, words, sizeof(words));
    }
    struct raft_config config = world->config;
    config.self = peer->id;
    config.seed = random_u64(&world->random);
    peer->lives++;
    peer->clock_base_us = sim_draw_us(world, 1000, 100000);
    peer->clock_since_us = world->now_us;
    rc = raft_new(&config, &opened.stored, sim_clock_ms(world, peer), &peer->raft);
    if (rc < 0)
        sim_fail(world, "peer %d: raft_new: %d", peer->number, rc);
    sim_trace(world, "peer %d starts, life %u, term %llu", peer->number, peer->lives,
              (unsigned long long)opened.stored.hard_state.term);
    peer->machine = (struct sim_machine){0};
    if (rc == 0 && opened.stored.snapshot)
        load_snapshot(world, peer, &opened.snapshot);
    sim_opened_done(&opened);
    if (rc == 0) {
        raft_status(peer->raft, &peer->status);
        peer->members = *raft_configuration(peer->raft);
        sim_peer_give(world, peer, (struct raft_input){.type = RAFT_TICK});
    }
}

int sim_peer_verify(void *context, const struct raft_snapshot *snapshot)
{
    struct sim_world *world = context;
    uint8_t hash[RAFT_HASH_BYTES];
    sim_machine_hash(snapshot->data, hash);
    if (snapshot->data.size == sizeof(struct sim_machine) &&
        memcmp(hash, snapshot->hash, sizeof(hash)) == 0)
        return 0;
    world->counts[SIM_COUNT_REFUSED]++;
    return -EBADMSG;
}

/* ---- the disk -------------------------------------------------------------------------------- */

static void begin_commit(struct sim_world *world, struct sim_peer *peer)
{
    if (!sim_store_begin(&peer->store))
        return;
    int64_t done_us = world->now_us + (peer->has_slow_disk ? sim_draw_us(world, 20, 700)
                                                           : sim_draw_us(world, 0, 6));
    sim_schedule(world, done_us,
                 (struct sim_event){.type = SIM_EVENT_STORED,
                                    .subject = peer->number,
                                    .token = ++peer->stored_token});
}

static void store(struct sim_world *world, struct sim_peer *peer, const struct raft_output *output)
{
    if (!output->hard_state_changed && output->sequence == 0)
        return;
    struct sim_batch batch = {
        .sequence = output->sequence,
        .has_hard_state = output->hard_state_changed,
        .hard_state = output->hard_state,
        .truncate_from = output->truncate_from,
        .snapshot = output->snapshot ? sim_snapshot_copy(output->snapshot) : NULL,
    };
    if (output->entry_count > 0) {
        batch.entries = calloc(output->entry_count, sizeof(*batch.entries));
        if (!batch.entries)
            abort();
    }
    for (size_t i = 0; i < output->entry_count; i++) {
        batch.entries[i] = output->entries[i];
        batch.entries[i].data = sim_copy(output->entries[i].data);
    }
    batch.entry_count = output->entry_count;
    sim_store_queue(&peer->store, &batch);
    begin_commit(world, peer);
}

void sim_peer_stored(struct sim_world *world, struct sim_peer *peer)
{
    uint64_t sequence = sim_store_finish(&peer->store);
    size_t kept = 0;
    for (size_t i = 0; i < peer->held_count; i++) {
        if (peer->held[i].sequence > sequence)
            peer->held[kept++] = peer->held[i];
        else
            sim_send(world, peer, &peer->held[i].message);
    }
    peer->held_count = kept;
    begin_commit(world, peer);
    if (sequence > 0)
        sim_peer_give(world, peer, (struct raft_input){.type = RAFT_STORED, .sequence = sequence});
}

void sim_peer_compact(struct sim_world *world, struct sim_peer *peer, uint64_t keep)
{
    uint8_t bytes[sizeof(peer->machine)];
    if (!peer->raft || peer->machine.applied <= 1)
        return;
    if (!peer->has_taken) {
        peer->has_taken = true;
        peer->taken = peer->machine;
        peer->taken_members = *raft_configuration(peer->raft);
        if (random_chance(&world->random, 1, 2))
            return; /* it takes its time to be written down */
    }
    peer->has_taken = false;
    if (peer->taken.applied < raft_snapshot(peer->raft)->index)
        return; /* a newer one came meanwhile */
    memcpy(bytes, &peer->taken, sizeof(bytes));
    struct raft_snapshot snapshot = {.index = peer->taken.applied,
                                     .configuration = peer->taken_members,
                                     .data = {bytes, sizeof(bytes)}};
    sim_machine_hash(snapshot.data, snapshot.hash);
    int rc = raft_compact(peer->raft, &snapshot, keep);
    if (rc < 0) {
        sim_fail(world, "peer %d: raft_compact: %d", peer->number, rc);
        return;
    }
    raft_status(peer->raft, &peer->status);
    struct sim_batch batch = {
        .snapshot = sim_snapshot_copy(raft_snapshot(peer->raft)),
        .discard_through = peer->status.first_index - 1,
    };
    sim_trace(world, "peer %d compacts to %llu", peer->number,
              (unsigned long long)batch.discard_through);
    sim_store_queue(&peer->store, &batch);
    begin_commit(world, peer);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void apply(struct sim_world *world, struct sim_peer *peer, const struct raft_output *output)
{
    struct sim_command command;
    if (output->snapshot) {
        world->counts[SIM_COUNT_SNAPSHOTS]++;
        load_snapshot(world, peer, output->snapshot);
    }
    for (size_t i = 0; i < output->committed_count; i++) {
        const struct raft_entry *entry = &output->committed[i];
        bool is_done = entry->type == RAFT_ENTRY_COMMAND &&
                       sim_machine_apply(&peer->machine, entry->data, &command);
        sim_check_applied(world, peer, entry);
        if (is_done)
            sim_client_applied(world, peer, &command);
    }
}

static void answer_reads(struct sim_world *world, struct sim_peer *peer,
                         const struct raft_output *output)
{
    for (size_t i = 0; i < output->read_count; i++) {
        sim_check_read(world, &output->reads[i]);
        if (output->reads[i].rc < 0) {
            sim_client_read_failed(world, output->reads[i].context);
            continue;
        }
        peer->reads =
            sim_grow(peer->reads, peer->read_count, &peer->read_capacity, sizeof(*peer->reads));
        peer->reads[peer->read_count++] =
            (struct sim_read){output->reads[i].context, output->reads[i].index};
    }
    size_t kept = 0;
    for (size_t i = 0; i < peer->read_count; i++) {
        if (peer->reads[i].index > peer->machine.applied)
            peer->reads[kept++] = peer->reads[i];
        else
            sim_client_read(world, peer, peer->reads[i].context);
    }
    peer->read_count = kept;
}

static void send_messages(struct sim_world *world, struct sim_peer *peer,
                          const struct raft_output *output)
{
    for (size_t i = 0; i < output->message_count; i++)
        sim_send(world, peer, &output->messages[i]);
    for (size_t i = 0; i < output->message_once_stored_count; i++) {
        peer->held =
            sim_grow(peer->held, peer->held_count, &peer->held_capacity, sizeof(*peer->held));
        peer->held[peer->held_count++] =
            (struct sim_held){output->messages_once_stored[i], output->once_stored};
    }
}

static void trace_step(struct sim_world *world, const struct sim_peer *peer,
                       const struct raft_input *input)
{
    static const char *const inputs[] = {"tick",     "message",  "stored", "propose",
                                         "change",   "transfer", "read",   "unreachable",
                                         "campaign", "forget"};
    if (!world->options.trace)
        return;
    const struct raft_message *message = input->message;
    char more[128] = "";
    if (input->type == RAFT_MESSAGE)
        snprintf(more, sizeof(more), " %s%s from %d term %llu at %llu/%llu +%zu commit %llu",
                 raft_message_type_name(message->type), message->reject ? " (no)" : "",
                 message->from.bytes[0] - 1, (unsigned long long)message->term,
                 (unsigned long long)message->log_term, (unsigned long long)message->index,
                 message->entry_count, (unsigned long long)message->commit);
    sim_trace(world, "peer %d %-13s term %llu log %llu..%llu commit %llu <- %s%s", peer->number,
              raft_role_name(peer->status.role), (unsigned long long)peer->status.term,
              (unsigned long long)peer->status.first_index,
              (unsigned long long)peer->status.last_index, (unsigned long long)peer->status.commit,
              inputs[input->type], more);
}

int sim_peer_give(struct sim_world *world, struct sim_peer *peer, struct raft_input input)
{
    struct raft_output output;
    if (!peer->raft)
        return -EHOSTDOWN;
    struct raft_status before = peer->status;
    input.now_ms = sim_clock_ms(world, peer);
    int rc = raft_step(peer->raft, &input, &output);
    if (rc < 0)
        return rc;
    world->steps++;
    raft_status(peer->raft, &peer->status);
    trace_step(world, peer, &input);
    world->digest = sim_mix(world->digest, (uint64_t)world->now_us);
    world->digest = sim_mix(world->digest, peer->status.term ^ peer->status.commit << 20 ^
                                               peer->status.last_index << 40);
    sim_check_step(world, peer, &before, &output);
    if (input.type == RAFT_MESSAGE)
        sim_check_answered(world, peer, &before, input.message, &output);
    store(world, peer, &output);
    send_messages(world, peer, &output);
    int64_t deadline_ms = output.next_deadline_ms;
    uint64_t token = ++peer->tick_token;
    if (deadline_ms < INT64_MAX)
        sim_schedule(
            world, sim_clock_at_us(world, peer, deadline_ms),
            (struct sim_event){.type = SIM_EVENT_TICK, .subject = peer->number, .token = token});
    apply(world, peer, &output);
    answer_reads(world, peer, &output);
    return 0;
}
