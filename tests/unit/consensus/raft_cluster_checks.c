#include "raft_cluster_checks.h"

#include <errno.h>

void *cluster_grow(void *items, size_t count, size_t size)
{
    void *grown = reallocarray(items, count, size);
    if (!grown)
        abort();
    return grown;
}

uint64_t cluster_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
}

static uint64_t mix_bytes(uint64_t hash, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        hash = cluster_mix(hash, bytes.data[i]);
    return cluster_mix(hash, bytes.size);
}

static uint64_t entry_hash(const struct raft_entry *entry)
{
    return mix_bytes(cluster_mix(entry->type, entry->term), entry->data);
}

/* Log matching: one content and one predecessor for each (index, term), in whatever log. */
static void check_sighting(struct cluster *c, const struct raft_entry *entry,
                           uint64_t previous_term)
{
    struct cluster_sighting seen = {entry->index, entry->term, entry_hash(entry), previous_term};
    for (size_t i = c->sighting_count; i-- > 0;) {
        const struct cluster_sighting *other = &c->sightings[i];
        if (other->index != seen.index || other->term != seen.term)
            continue;
        insist(other->hash == seen.hash, "two entries %llu/%llu", (unsigned long long)seen.term,
               (unsigned long long)seen.index);
        insist(other->previous_term == previous_term, "logs differ before %llu/%llu",
               (unsigned long long)seen.term, (unsigned long long)seen.index);
        return;
    }
    c->sightings = cluster_grow(c->sightings, c->sighting_count + 1, sizeof(*c->sightings));
    c->sightings[c->sighting_count++] = seen;
}

void cluster_check_new_entries(struct cluster *c, const struct cluster_node *node,
                               const struct raft_output *output)
{
    for (size_t i = 0; i < output->entry_count; i++) {
        const struct raft_entry *entry = &output->entries[i];
        const struct raft_entry *before = raft_entry_at(node->raft, entry->index - 1);
        const struct raft_snapshot *snapshot = raft_snapshot(node->raft);
        if (before)
            check_sighting(c, entry, before->term);
        else if (snapshot && snapshot->index == entry->index - 1)
            check_sighting(c, entry, snapshot->term);
    }
}

/* State machine safety: nobody applies anything else at an index that anybody applied. */
void cluster_check_applied(struct cluster *c, struct cluster_node *node,
                           const struct raft_entry *entry)
{
    insist(entry->index == node->applied + 1, "applied out of order");
    node->applied = entry->index;
    node->state = cluster_mix(node->state, entry_hash(entry));
    if (entry->index < c->truth_count) {
        insist(c->truth[entry->index].term == entry->term, "another entry was applied at %llu",
               (unsigned long long)entry->index);
        insist(c->truth[entry->index].state == node->state, "another state at %llu",
               (unsigned long long)entry->index);
        return;
    }
    insist(entry->index == c->truth_count, "applied past what anybody knows");
    c->truth = cluster_grow(c->truth, c->truth_count + 1, sizeof(*c->truth));
    c->truth[c->truth_count++] =
        (struct cluster_truth){entry->term, entry_hash(entry), node->state};
}

void cluster_check_snapshot(struct cluster *c, struct cluster_node *node,
                            const struct raft_snapshot *snapshot)
{
    insist(snapshot->index < c->truth_count, "a snapshot of what nobody applied");
    insist(snapshot->index > node->applied, "a snapshot of the past");
    insist(snapshot->data.size == sizeof(node->state), "a snapshot of another size");
    node->applied = snapshot->index;
    memcpy(&node->state, snapshot->data.data, sizeof(node->state));
    insist(node->state == c->truth[snapshot->index].state, "a snapshot of another state");
}

/* Election safety, also across a restart; and leader completeness. */
void cluster_check_leader(struct cluster *c, const struct cluster_node *node)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    if (status.role != RAFT_LEADER)
        return;
    uint64_t who = (uint64_t)(node - c->nodes) * 1000000 + node->life + 1;
    while (c->term_count <= status.term) {
        c->leaders = cluster_grow(c->leaders, c->term_count + 1, sizeof(*c->leaders));
        c->leaders[c->term_count++] = 0;
    }
    insist(c->leaders[status.term] == 0 || c->leaders[status.term] == who,
           "two leaders in term %llu", (unsigned long long)status.term);
    if (c->leaders[status.term] == who)
        return;
    c->leaders[status.term] = who;
    for (size_t i = status.first_index; i < c->truth_count; i++) {
        const struct raft_entry *entry = raft_entry_at(node->raft, i);
        insist(entry && entry->term == c->truth[i].term, "a leader without committed entry %zu", i);
    }
}

void cluster_check_lease(struct cluster *c)
{
    for (int i = 0; i < c->count; i++) {
        const struct raft *raft = c->nodes[i].raft;
        if (!raft || !raft_leader_lease_valid(raft, c->now_ms))
            continue;
        for (int k = 0; k < c->count; k++) {
            if (!c->nodes[k].raft)
                continue;
            struct raft_status other = cluster_status(c, k);
            insist(other.role != RAFT_LEADER || other.term <= cluster_status(c, i).term,
                   "node %d leads while node %d has a lease", k, i);
        }
    }
}

void cluster_check_reads(struct cluster *c, const struct raft_output *output)
{
    for (size_t i = 0; i < output->read_count; i++) {
        const struct raft_read *outcome = &output->reads[i];
        insist(outcome->context < c->read_count, "an unknown read");
        insist(outcome->rc == 0 || outcome->rc == -ECANCELED, "rc %d", outcome->rc);
        if (outcome->rc == 0) {
            insist(outcome->index >= c->reads[outcome->context].committed, "a stale read");
            c->reads_confirmed++;
        }
    }
}

void cluster_check_unchanged(struct cluster *c, int node, const struct raft_status *before)
{
    struct raft_status now = cluster_status(c, node);
    insist(now.role == before->role && now.term == before->term && now.commit == before->commit &&
               now.applied == before->applied && now.last_index == before->last_index &&
               now.log_bytes == before->log_bytes && id_equal(&now.vote, &before->vote) &&
               id_equal(&now.leader, &before->leader),
           "a step that failed changed something");
}
