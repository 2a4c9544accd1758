/* What must hold at every step: the five properties of the paper's figure 3, that nothing is said
 * before it is on the disk, that a commit has its quorum on disks, that a lease means what it says,
 * and that a read sees what was committed before it. What is counted here is counted by this file's
 * own arithmetic, not by the core's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft/world.h"

#define LLU(number) ((unsigned long long)(number))

/* ---- facts ----------------------------------------------------------------------------------- */

static struct sim_fact *slot_of(const struct sim_facts *facts, const uint64_t key[2])
{
    uint64_t at = sim_mix(sim_mix(0, key[0]), key[1]);
    for (;; at++) {
        struct sim_fact *slot = &facts->slots[at & (facts->capacity - 1)];
        if (slot->key[0] == 0 || memcmp(slot->key, key, sizeof(slot->key)) == 0)
            return slot;
    }
}

/* The fact about `key`, whose first word is never 0; a new one's value is all zero. */
static struct sim_fact *fact(struct sim_facts *facts, uint64_t first, uint64_t second)
{
    const uint64_t key[2] = {first, second};
    if (2 * facts->count >= facts->capacity) {
        struct sim_facts grown = {.count = facts->count,
                                  .capacity = facts->capacity ? 2 * facts->capacity : 256};
        grown.slots = calloc(grown.capacity, sizeof(*grown.slots));
        if (!grown.slots)
            abort();
        for (size_t i = 0; i < facts->capacity; i++)
            if (facts->slots[i].key[0] != 0)
                *slot_of(&grown, facts->slots[i].key) = facts->slots[i];
        free(facts->slots);
        *facts = grown;
    }
    struct sim_fact *slot = slot_of(facts, key);
    if (slot->key[0] == 0) {
        facts->count++;
        slot->key[0] = first;
        slot->key[1] = second;
    }
    return slot;
}

static uint64_t word_of(const struct id *id)
{
    return (uint64_t)id->bytes[0] << 8 | id->bytes[1];
}

static uint64_t entry_hash(const struct raft_entry *entry)
{
    return sim_mix_bytes(sim_mix(entry->type + 1, entry->term), entry->data);
}

/* ---- logs ------------------------------------------------------------------------------------ */

/* Log matching: one content and one predecessor for each (index, term), in whatever log. */
static void check_new_entry(struct sim_world *world, const struct sim_peer *peer,
                            const struct raft_entry *entry)
{
    const struct raft_entry *before = raft_entry_at(peer->raft, entry->index - 1);
    const struct raft_snapshot *snapshot = raft_snapshot(peer->raft);
    struct sim_fact *seen = fact(&world->entries, entry->index, entry->term);
    uint64_t hash = entry_hash(entry), term = 0;
    if (before)
        term = before->term;
    else if (snapshot && snapshot->index == entry->index - 1)
        term = snapshot->term;
    if (seen->value[0] == 0)
        seen->value[0] = hash;
    if (seen->value[1] == 0)
        seen->value[1] = term;
    if (seen->value[0] != hash)
        sim_fail(world, "log matching: two entries %llu/%llu", LLU(entry->term), LLU(entry->index));
    if (term > 0 && seen->value[1] != term)
        sim_fail(world, "log matching: logs differ before %llu/%llu", LLU(entry->term),
                 LLU(entry->index));
    if (term > entry->term)
        sim_fail(world, "peer %d: terms go back at %llu", peer->number, LLU(entry->index));
}

/* A leader only ever adds to its log. */
static void check_append_only(struct sim_world *world, const struct sim_peer *peer,
                              const struct raft_status *before, const struct raft_output *output)
{
    if (before->role != RAFT_LEADER || before->term != peer->status.term ||
        peer->status.role != RAFT_LEADER)
        return;
    if (output->truncate_from > 0 || output->snapshot ||
        peer->status.last_index < before->last_index)
        sim_fail(world, "leader append-only: peer %d cut its log in term %llu", peer->number,
                 LLU(before->term));
}

/* ---- who leads ------------------------------------------------------------------------------- */

/* All that was committed in earlier terms is there. A late vote can still make a leader of a term
 * that is over; it owes nothing to later ones. */
static void check_complete(struct sim_world *world, const struct sim_peer *peer)
{
    for (uint64_t i = peer->status.first_index; i < world->truth_count; i++) {
        if (world->truth[i].committed_in >= peer->status.term)
            continue;
        const struct raft_entry *entry = raft_entry_at(peer->raft, i);
        if (!entry || entry->term != world->truth[i].term ||
            entry_hash(entry) != world->truth[i].hash) {
            sim_fail(world, "leader completeness: peer %d leads term %llu without entry %llu",
                     peer->number, LLU(peer->status.term), LLU(i));
            return;
        }
    }
}

static void check_leases(struct sim_world *world, const struct sim_peer *peer)
{
    for (int i = 0; i < world->peer_count; i++) {
        const struct sim_peer *other = &world->peers[i];
        if (other->raft && other->status.role == RAFT_LEADER &&
            other->status.term < peer->status.term &&
            raft_leader_lease_valid(other->raft, sim_clock_ms(world, other)))
            sim_fail(world, "peer %d leads term %llu while peer %d has a lease in term %llu",
                     peer->number, LLU(peer->status.term), i, LLU(other->status.term));
    }
}

static void check_leader(struct sim_world *world, const struct sim_peer *peer,
                         const struct raft_status *before)
{
    if (peer->status.role != RAFT_LEADER ||
        (before->role == RAFT_LEADER && before->term == peer->status.term))
        return;
    struct sim_fact *leader = fact(&world->leaders, peer->status.term, 0);
    if (leader->value[0] != 0)
        sim_fail(world, "election safety: peer %d leads term %llu, and peer %d did", peer->number,
                 LLU(peer->status.term), (int)(leader->value[0] >> 8) - 1);
    leader->value[0] = word_of(&peer->id);
    if (peer->store.durable.term < peer->status.term)
        sim_fail(world, "peer %d leads term %llu before its own vote is stored", peer->number,
                 LLU(peer->status.term));
    world->counts[SIM_COUNT_ELECTIONS]++;
    check_complete(world, peer);
    check_leases(world, peer);
}

/* ---- commits --------------------------------------------------------------------------------- */

static bool has_majority(struct sim_world *world, const struct raft_configuration *configuration,
                         uint8_t part, uint64_t index, uint64_t term)
{
    uint32_t voters = 0, holding = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!(member->parts & part))
            continue;
        const struct sim_peer *peer = sim_peer_of(world, &member->id);
        voters++;
        /* Who has become another peer may have held it. */
        holding += !peer || sim_store_holds(&peer->store, index, term);
    }
    return voters == 0 || holding > voters / 2;
}

static bool has_quorum(struct sim_world *world, const struct raft_configuration *configuration,
                       uint64_t index, uint64_t term)
{
    return has_majority(world, configuration, RAFT_VOTER, index, term) &&
           has_majority(world, configuration, RAFT_OUTGOING, index, term);
}

static void learn_truth(struct sim_world *world, const struct sim_peer *peer, uint64_t index)
{
    const struct raft_entry *entry = raft_entry_at(peer->raft, index);
    if (!entry) {
        sim_fail(world, "peer %d commits %llu, which it does not have", peer->number, LLU(index));
        return;
    }
    uint64_t hash = entry_hash(entry);
    if (index < world->truth_count) {
        if (world->truth[index].term != entry->term || world->truth[index].hash != hash)
            sim_fail(world, "state machine safety: peer %d commits another entry at %llu",
                     peer->number, LLU(index));
        return;
    }
    world->truth =
        sim_grow(world->truth, world->truth_count, &world->truth_capacity, sizeof(*world->truth));
    world->truth[world->truth_count++] =
        (struct sim_truth){.term = entry->term, .hash = hash, .committed_in = peer->status.term};
    world->counts[SIM_COUNT_COMMITTED]++;
}

/* A leader's commit is what all others' is measured by. One that was removed commits that and
 * resigns in one step; a lone voter comes to lead and commits in one. */
static void check_commit(struct sim_world *world, const struct sim_peer *peer,
                         const struct raft_status *before)
{
    const struct raft_status *now = &peer->status;
    bool led = before->role == RAFT_LEADER && before->term == now->term;
    if (now->role != RAFT_LEADER && !led) {
        if (now->commit >= world->truth_count)
            sim_fail(world, "peer %d takes %llu for committed, which no leader did", peer->number,
                     LLU(now->commit));
        return;
    }
    if (now->commit <= before->commit)
        return;
    for (uint64_t i = before->commit + 1; i <= now->commit && !world->has_failed; i++)
        learn_truth(world, peer, i);
    const struct raft_entry *last = raft_entry_at(peer->raft, now->commit);
    if (!last)
        return;
    if (last->term != now->term)
        sim_fail(world, "§5.4.2: peer %d commits %llu of term %llu in term %llu by counting",
                 peer->number, LLU(now->commit), LLU(last->term), LLU(now->term));
    /* The step may have applied the change that it committed. */
    if (!has_quorum(world, &peer->members, now->commit, last->term) &&
        !has_quorum(world, raft_configuration(peer->raft), now->commit, last->term))
        sim_fail(world, "peer %d commits %llu, which no quorum holds on its disks", peer->number,
                 LLU(now->commit));
}

/* State machine safety: nobody applies anything else than what is committed there. */
static void check_digest(struct sim_world *world, const struct sim_peer *peer, uint64_t index)
{
    struct sim_truth *truth = &world->truth[index];
    if (truth->digest == 0)
        truth->digest = peer->machine.digest;
    if (truth->digest != peer->machine.digest)
        sim_fail(world, "state machine safety: peer %d is in another state after %llu",
                 peer->number, LLU(index));
}

void sim_check_applied(struct sim_world *world, struct sim_peer *peer,
                       const struct raft_entry *entry)
{
    uint64_t hash = entry_hash(entry);
    if (entry->index != peer->machine.applied + 1) {
        sim_fail(world, "peer %d applies %llu behind %llu", peer->number, LLU(entry->index),
                 LLU(peer->machine.applied));
        return;
    }
    if (entry->index >= world->truth_count || entry->index > peer->status.commit) {
        sim_fail(world, "peer %d applies %llu, which is not committed", peer->number,
                 LLU(entry->index));
        return;
    }
    if (world->truth[entry->index].term != entry->term || world->truth[entry->index].hash != hash)
        sim_fail(world, "state machine safety: peer %d applies another entry at %llu", peer->number,
                 LLU(entry->index));
    if (!sim_store_holds(&peer->store, entry->index, entry->term))
        sim_fail(world, "peer %d applies %llu, which is not on its disk", peer->number,
                 LLU(entry->index));
    peer->machine.applied = entry->index;
    peer->machine.digest = sim_mix(peer->machine.digest, hash) | 1;
    for (int i = 0; i < SIM_REGISTERS; i++)
        peer->machine.digest = sim_mix(peer->machine.digest, peer->machine.registers[i]) | 1;
    check_digest(world, peer, entry->index);
}

void sim_check_snapshot(struct sim_world *world, struct sim_peer *peer, uint64_t index)
{
    if (index >= world->truth_count)
        sim_fail(world, "peer %d has a snapshot of %llu, which is not committed", peer->number,
                 LLU(index));
    else if (peer->machine.applied != index)
        sim_fail(world, "peer %d: the snapshot of %llu holds the state of %llu", peer->number,
                 LLU(index), LLU(peer->machine.applied));
    else if (index > 1)
        check_digest(world, peer, index);
}

/* ---- what is said ---------------------------------------------------------------------------- */

/* §5.2: one vote a term, whatever was lost in between. */
static void check_vote(struct sim_world *world, const struct sim_peer *peer, uint64_t term,
                       const struct id *candidate)
{
    struct sim_fact *vote = fact(&world->votes, term, word_of(&peer->id));
    if (vote->value[0] != 0 && vote->value[0] != word_of(candidate))
        sim_fail(world, "peer %d votes twice in term %llu", peer->number, LLU(term));
    vote->value[0] = word_of(candidate);
    const struct raft_hard_state *durable = &peer->store.durable;
    if (durable->term < term || (durable->term == term && !id_equal(&durable->vote, candidate)))
        sim_fail(world, "peer %d says its vote in term %llu before it is stored", peer->number,
                 LLU(term));
}

static void check_acknowledged(struct sim_world *world, const struct sim_peer *peer,
                               const struct raft_message *message)
{
    const struct sim_peer *leader = sim_peer_of(world, &message->to);
    uint64_t term = 0;
    if (peer->store.durable.term > message->term || message->index <= peer->store.snapshot_index)
        return;
    if (!sim_store_term(&peer->store, message->index, &term)) {
        sim_fail(world, "peer %d acknowledges %llu before it is stored", peer->number,
                 LLU(message->index));
        return;
    }
    if (!leader || !leader->raft || leader->status.role != RAFT_LEADER ||
        leader->status.term != message->term)
        return;
    const struct raft_entry *entry = raft_entry_at(leader->raft, message->index);
    if (entry && entry->term != term)
        sim_fail(world, "peer %d acknowledges %llu, and has term %llu stored there, not %llu",
                 peer->number, LLU(message->index), LLU(term), LLU(entry->term));
}

/* Thesis §3.10: who is told to take over has the whole log, and so wins; unless its disk lost what
 * it acknowledged. */
static void check_hand_over(struct sim_world *world, const struct sim_peer *peer,
                            const struct raft_message *message)
{
    const struct sim_peer *target = sim_peer_of(world, &message->to);
    if (target && !target->is_spoilt && target->store.durable.term <= message->term &&
        !sim_store_holds(&target->store, peer->status.last_index, peer->status.last_term))
        sim_fail(world, "peer %d hands over to peer %d, which lacks entry %llu", peer->number,
                 target->number, LLU(peer->status.last_index));
}

/* §5.4.1, and for pre-votes as well: nobody is helped to lead whose log lacks what is here. */
void sim_check_answered(struct sim_world *world, const struct sim_peer *peer,
                        const struct raft_status *before, const struct raft_message *asked,
                        const struct raft_output *output)
{
    if (asked->type != RAFT_VOTE && asked->type != RAFT_PRE_VOTE)
        return;
    bool is_behind = asked->log_term < before->last_term ||
                     (asked->log_term == before->last_term && asked->index < before->last_index);
    const struct raft_message *lists[] = {output->messages, output->messages_once_stored};
    const size_t counts[] = {output->message_count, output->message_once_stored_count};
    for (int list = 0; list < 2; list++)
        for (size_t i = 0; i < counts[list]; i++) {
            const struct raft_message *reply = &lists[list][i];
            bool is_vote = reply->type == RAFT_VOTE_REPLY || reply->type == RAFT_PRE_VOTE_REPLY;
            if (is_vote && !reply->reject && is_behind)
                sim_fail(world, "peer %d grants a %s to one whose log is behind its own",
                         peer->number, raft_message_type_name(asked->type));
        }
}

void sim_check_said(struct sim_world *world, const struct sim_peer *peer,
                    const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_TIMEOUT_NOW:
        check_hand_over(world, peer, message);
        break;
    case RAFT_VOTE:
        check_vote(world, peer, message->term, &peer->id);
        break;
    case RAFT_VOTE_REPLY:
        if (!message->reject)
            check_vote(world, peer, message->term, &message->to);
        break;
    case RAFT_APPEND_REPLY:
        if (!message->reject && message->index > 0)
            check_acknowledged(world, peer, message);
        break;
    default:
        break;
    }
    bool is_of_a_term_to_come =
        message->type == RAFT_PRE_VOTE || message->type == RAFT_PRE_VOTE_REPLY;
    bool is_question = message->type == RAFT_TIMEOUT_NOW || message->type == RAFT_READ_REQUEST;
    if (!is_of_a_term_to_come && !is_question && peer->store.durable.term < message->term)
        sim_fail(world, "peer %d says %s in term %llu before that is stored", peer->number,
                 raft_message_type_name(message->type), LLU(message->term));
}

/* ---- reads ----------------------------------------------------------------------------------- */

void sim_check_asked(struct sim_world *world, uint64_t context)
{
    fact(&world->reads, context, 0)->value[0] = world->truth_count - 1;
}

void sim_check_read(struct sim_world *world, const struct raft_read *outcome)
{
    const struct sim_fact *asked = fact(&world->reads, outcome->context, 0);
    if (outcome->rc != 0 && outcome->rc != -ECANCELED)
        sim_fail(world, "a read ends with %d", outcome->rc);
    if (outcome->rc == 0 && outcome->index < asked->value[0])
        sim_fail(world, "a stale read: of %llu, and %llu was committed before", LLU(outcome->index),
                 LLU(asked->value[0]));
}

void sim_check_step(struct sim_world *world, struct sim_peer *peer,
                    const struct raft_status *before, const struct raft_output *output)
{
    for (size_t i = 0; i < output->entry_count; i++)
        check_new_entry(world, peer, &output->entries[i]);
    check_append_only(world, peer, before, output);
    check_leader(world, peer, before);
    check_commit(world, peer, before);
    if (peer->status.commit < before->commit || peer->status.term < before->term)
        sim_fail(world, "peer %d goes back in term or commit", peer->number);
    peer->members = *raft_configuration(peer->raft);
}
