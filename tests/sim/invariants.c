#include "tests/sim/invariants.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Log matching is about what lies inside Raft, which the agent shows to nobody else. */
#include "node/control/agent_private.h"
#include "node/control/stand_in.h"
#include "tests/sim/cluster.h"

enum {
    HASH_BYTES = 16,
    TERM_MAX = 100000,
    INDEX_MAX = 1000000,
    EPOCHS_MAX = 8,
    EPOCH_TERMS = TERM_MAX / EPOCHS_MAX, /* as many of each are looked at */
    EPOCH_INDICES = INDEX_MAX / EPOCHS_MAX,
};

/* Where an index or a term stands in a list without the gaps between epochs. */
static uint64_t place_of(uint64_t number, uint64_t of_each_epoch)
{
    uint64_t epoch = intent_epoch_of(number), within = number - intent_epoch_base(epoch);
    if (epoch > EPOCHS_MAX || within >= of_each_epoch)
        abort();
    return (epoch - 1) * of_each_epoch + within;
}

/* One entry that some log held. The same index and term are the same entry, with the same one
 * before it: so, entry by entry, logs match (§5.3). */
struct known_entry {
    uint64_t term, term_before;
    uint8_t hash[HASH_BYTES];
};

struct known_index {
    struct known_entry *entries;
    size_t count, capacity;
    uint64_t committed_term; /* of the entry; 0: not committed, as far as anybody knows */
    uint64_t seen_in_term;   /* the least that any peer was in when it knew that */
    bool has_state;
    uint8_t state[HASH_BYTES]; /* of the intent once this is applied */
};

struct watched_machine {
    uint64_t term, commit, applied;
    bool was_leader;
    uint64_t *terms; /* of its log, by index, as of its last step */
    size_t last_index, capacity;
    int *votes; /* by term: the candidate's number + 1 */
    size_t vote_count, vote_capacity;
};

struct invariants {
    int *leaders; /* by term: the machine's number + 1 */
    size_t leader_count, leader_capacity;
    struct known_index *indices;
    size_t index_count, index_capacity;
    uint64_t committed[EPOCHS_MAX]; /* the highest committed index of each epoch */
    struct watched_machine machines[SIM_MACHINES_MAX];
};

struct invariants *invariants_new(void)
{
    return sim_allocate(sizeof(struct invariants));
}

void invariants_free(struct invariants *invariants)
{
    if (!invariants)
        return;
    for (size_t i = 0; i < invariants->index_count; i++)
        free(invariants->indices[i].entries);
    for (size_t i = 0; i < SIM_MACHINES_MAX; i++) {
        free(invariants->machines[i].terms);
        free(invariants->machines[i].votes);
    }
    free(invariants->indices);
    free(invariants->leaders);
    free(invariants);
}

static struct known_index *index_at(struct invariants *invariants, uint64_t index)
{
    uint64_t place = place_of(index, EPOCH_INDICES);
    while (invariants->index_count <= place) {
        invariants->indices = sim_grow(invariants->indices, invariants->index_count,
                                       &invariants->index_capacity, sizeof(*invariants->indices));
        invariants->indices[invariants->index_count++] = (struct known_index){0};
    }
    return &invariants->indices[place];
}

/* The slot of a term in a list that grows as terms do. */
static int *slot_of_term(int **slots, size_t *count, size_t *capacity, uint64_t term)
{
    uint64_t place = place_of(term, EPOCH_TERMS);
    while (*count <= place) {
        *slots = sim_grow(*slots, *count, capacity, sizeof(**slots));
        (*slots)[(*count)++] = 0;
    }
    return &(*slots)[place];
}

static void check_leader(struct cluster *cluster, const struct machine *machine, uint64_t term)
{
    struct invariants *invariants = cluster->invariants;
    int *leader = slot_of_term(&invariants->leaders, &invariants->leader_count,
                               &invariants->leader_capacity, term);
    if (*leader != 0 && *leader != (int)machine->number + 1)
        cluster_fail(cluster, "one leader a term: m%d and %s both lead in term %llu", *leader - 1,
                     machine->name, (unsigned long long)term);
    *leader = (int)machine->number + 1;
}

static void check_vote(struct cluster *cluster, const struct machine *voter,
                       const struct machine *candidate, uint64_t term)
{
    struct watched_machine *watched = &cluster->invariants->machines[voter->number];
    int *vote = slot_of_term(&watched->votes, &watched->vote_count, &watched->vote_capacity, term);
    if (*vote != 0 && *vote != (int)candidate->number + 1)
        cluster_fail(cluster, "one vote a term: %s votes for m%d and for %s in term %llu",
                     voter->name, *vote - 1, candidate->name, (unsigned long long)term);
    *vote = (int)candidate->number + 1;
}

void invariants_message_sent(struct cluster *cluster, const struct machine *from,
                             const struct machine *to, uint8_t kind, struct bytes bytes)
{
    struct raft_message message;
    if (cluster->is_torn)
        return;
    if (kind != AGENT_RAFT || raft_message_decode(bytes, &message) < 0)
        return;
    if (message.type == RAFT_VOTE_REPLY && !message.reject)
        check_vote(cluster, from, to, message.term);
    else if (message.type == RAFT_VOTE)
        check_vote(cluster, from, from, message.term);
    raft_message_done(&message);
}

/* A leader has everything that was committed in terms before its own (leader completeness, §5.4.3);
 * one that is elected late by delayed votes need not know what later terms committed. */
static void check_completeness(struct cluster *cluster, const struct machine *machine,
                               const struct raft_status *status)
{
    struct invariants *invariants = cluster->invariants;
    uint64_t committed = invariants->committed[intent_epoch_of(status->first_index) - 1];
    for (uint64_t index = status->first_index; index <= committed; index++) {
        const struct raft_entry *entry = raft_entry_at(machine->agent->raft, index);
        const struct known_index *known = index_at(invariants, index);
        if (known->committed_term == 0 || known->seen_in_term >= status->term)
            continue;
        if (!entry)
            cluster_fail(cluster,
                         "committed is never lost: %s leads in term %llu with a log up to %llu, "
                         "but %llu is committed",
                         machine->name, (unsigned long long)status->term,
                         (unsigned long long)status->last_index, (unsigned long long)index);
        else if (entry->term != known->committed_term)
            cluster_fail(cluster, "committed is never lost: %s leads with another entry at %llu",
                         machine->name, (unsigned long long)index);
    }
}

static void hash_entry(const struct raft_entry *entry, uint8_t ret[HASH_BYTES])
{
    crypto_generichash_state state;
    uint8_t type = (uint8_t)entry->type;
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    crypto_generichash_update(&state, &type, sizeof(type));
    crypto_generichash_update(&state, entry->data.data, entry->data.size);
    crypto_generichash_final(&state, ret, HASH_BYTES);
}

static void check_entry(struct cluster *cluster, const struct machine *machine,
                        const struct raft_entry *entry)
{
    struct known_index *known = index_at(cluster->invariants, entry->index);
    const struct raft_entry *before = raft_entry_at(machine->agent->raft, entry->index - 1);
    struct known_entry seen = {.term = entry->term, .term_before = before ? before->term : 0};
    hash_entry(entry, seen.hash);
    for (size_t i = 0; i < known->count; i++) {
        struct known_entry *other = &known->entries[i];
        if (other->term != seen.term)
            continue;
        if (memcmp(other->hash, seen.hash, HASH_BYTES) != 0 ||
            (before && other->term_before != 0 && other->term_before != seen.term_before))
            cluster_fail(cluster, "logs match: %s holds another entry at %llu of term %llu",
                         machine->name, (unsigned long long)entry->index,
                         (unsigned long long)entry->term);
        if (other->term_before == 0)
            other->term_before = seen.term_before;
        return;
    }
    known->entries =
        sim_grow(known->entries, known->count, &known->capacity, sizeof(*known->entries));
    known->entries[known->count++] = seen;
}

/* Looks at what is new in the log: back from its end to where it is as it was. */
static void check_log(struct cluster *cluster, const struct machine *machine,
                      struct watched_machine *watched, const struct raft_status *status)
{
    while (watched->capacity <= place_of(status->last_index, EPOCH_INDICES))
        watched->terms = sim_grow(watched->terms, watched->capacity, &watched->capacity,
                                  sizeof(*watched->terms));
    for (uint64_t index = status->last_index; index >= status->first_index && index > 0; index--) {
        const struct raft_entry *entry = raft_entry_at(machine->agent->raft, index);
        uint64_t *term = &watched->terms[place_of(index, EPOCH_INDICES)];
        if (!entry || (index <= watched->last_index && *term == entry->term))
            break;
        check_entry(cluster, machine, entry);
        *term = entry->term;
    }
    watched->last_index = status->last_index;
}

static void check_commit(struct cluster *cluster, const struct machine *machine,
                         struct watched_machine *watched, const struct raft_status *status)
{
    struct invariants *invariants = cluster->invariants;
    uint64_t epoch = intent_epoch_of(status->commit), first = watched->commit + 1;
    if (intent_epoch_of(first) < epoch)
        first = status->first_index; /* what is before belongs to an epoch that is over */
    for (uint64_t index = first; index <= status->commit; index++) {
        const struct raft_entry *entry = raft_entry_at(machine->agent->raft, index);
        struct known_index *known = index_at(invariants, index);
        if (!entry)
            continue; /* a snapshot brought it */
        if (known->committed_term != 0 && known->committed_term != entry->term)
            cluster_fail(cluster,
                         "committed is never lost: %s commits term %llu at %llu, others term %llu",
                         machine->name, (unsigned long long)entry->term, (unsigned long long)index,
                         (unsigned long long)known->committed_term);
        if (known->committed_term == 0 || status->term < known->seen_in_term)
            known->seen_in_term = status->term;
        known->committed_term = entry->term;
    }
    if (status->commit > invariants->committed[epoch - 1])
        invariants->committed[epoch - 1] = status->commit;
}

static void check_forward(struct cluster *cluster, const struct machine *machine, const char *what,
                          uint64_t *before, uint64_t now)
{
    if (now < *before)
        cluster_fail(cluster, "never back: the %s of %s goes from %llu to %llu", what,
                     machine->name, (unsigned long long)*before, (unsigned long long)now);
    *before = now;
}

static void check_state(struct cluster *cluster, const struct machine *machine)
{
    const struct intent *intent = agent_intent(machine->agent);
    struct known_index *known = index_at(cluster->invariants, intent->applied_index);
    cleanup_buffer struct buffer bytes = {0};
    uint8_t hash[HASH_BYTES];
    if (intent_write(intent, &bytes) < 0)
        abort();
    crypto_generichash(hash, HASH_BYTES, bytes.bytes, bytes.size, NULL, 0);
    if (known->has_state && memcmp(known->state, hash, HASH_BYTES) != 0)
        cluster_fail(cluster, "states are equal: the intent of %s at %llu is not that of others",
                     machine->name, (unsigned long long)intent->applied_index);
    known->has_state = true;
    memcpy(known->state, hash, HASH_BYTES);
}

void invariants_forget(struct cluster *cluster, const struct machine *machine)
{
    struct watched_machine *watched = &cluster->invariants->machines[machine->number];
    free(watched->terms);
    free(watched->votes);
    *watched = (struct watched_machine){0};
}

uint64_t invariants_committed(const struct cluster *cluster)
{
    uint64_t newest = 0;
    for (unsigned i = 0; i < EPOCHS_MAX; i++)
        if (cluster->invariants->committed[i] > newest)
            newest = cluster->invariants->committed[i];
    return newest;
}

void invariants_started(struct cluster *cluster, const struct machine *machine)
{
    struct watched_machine *watched = &cluster->invariants->machines[machine->number];
    struct raft_status status;
    uint64_t applied = agent_intent(machine->agent)->applied_index;
    if (applied < machine->disk.content.fed_index)
        cluster_fail(cluster, "what is stored counts: %s starts from %llu, and had stored %llu",
                     machine->name, (unsigned long long)applied,
                     (unsigned long long)machine->disk.content.fed_index);
    raft_status(machine->agent->raft, &status);
    watched->term = machine->disk.content.hard_state.term;
    watched->commit = status.commit;
    watched->applied = 0;
    watched->last_index = 0;
    watched->was_leader = false;
}

void invariants_after_step(struct cluster *cluster, const struct machine *machine)
{
    struct watched_machine *watched = &cluster->invariants->machines[machine->number];
    struct raft_status status;
    if (cluster->is_torn)
        return;
    raft_status(machine->agent->raft, &status);
    check_log(cluster, machine, watched, &status);
    check_commit(cluster, machine, watched, &status);
    check_forward(cluster, machine, "commit index", &watched->commit, status.commit);
    uint64_t applied = watched->applied;
    check_forward(cluster, machine, "applied index", &watched->applied,
                  agent_intent(machine->agent)->applied_index);
    if (watched->applied != applied)
        check_state(cluster, machine);
    bool leads = status.role == RAFT_LEADER;
    if (leads)
        check_leader(cluster, machine, status.term);
    if (leads && (!watched->was_leader || status.term != watched->term))
        check_completeness(cluster, machine, &status);
    watched->was_leader = leads;
    check_forward(cluster, machine, "term", &watched->term, status.term);
}

void invariants_container_runs(struct cluster *cluster, const struct machine *machine,
                               const struct container *container)
{
    if (stand_in_is(container->generation) && !container->is_duplicated)
        cluster_fail(cluster, "what is held is not doubled: %s stands in on %s", container->service,
                     machine->name);
    if (!container->is_exclusive || container->is_excused)
        return;
    for (unsigned i = 0; i < cluster->count; i++) {
        const struct machine *other = &cluster->machines[i];
        for (size_t j = 0; j < other->containers.table.count && !other->is_frozen; j++) {
            const struct container *twin = other->containers.table.items[j];
            if (twin != container && twin->is_exclusive && twin->is_alive && !twin->is_excused &&
                strcmp(twin->service, container->service) == 0)
                cluster_fail(
                    cluster, "exclusive runs once: %s runs on %s as %llu and on %s as %llu",
                    container->service, machine->name, (unsigned long long)container->generation,
                    other->name, (unsigned long long)twin->generation);
        }
    }
}
