/* A cluster of Raft cores in one process, under a virtual clock and one seed: a network that loses,
 * delays, reorders and duplicates, and disks that a crash takes back to what was synced.
 *
 *     cluster_start(&c, &(struct cluster_options){.seed = 7, .voters = 5});
 *     cluster_wait(&c, cluster_one_leader);
 *     cluster_cut(&c, cluster_leader(&c));
 *     …
 *     cluster_stop(&c);
 *
 * After each step it checks the properties of the paper's figure 3 (election safety, log matching,
 * leader completeness, state machine safety), that reads see all that was committed before them,
 * and that nobody leads in a later term while a lease is valid. A failure prints the seed and
 * aborts.
 */
#pragma once

#include "base/buffer.h"
#include "base/random.h"
#include "consensus/raft.h"

enum {
    CLUSTER_NODES_MAX = 9,
    CLUSTER_READS_MAX = 1024,
    CLUSTER_WAIT_MS = 60000,
};

struct cluster_options {
    uint64_t seed;
    int voters;             /* nodes 0 … voters-1 make the first configuration */
    int spares;             /* nodes behind them that know nothing yet */
    unsigned lost_permille; /* of messages */
    unsigned duplicated_permille;
    int64_t delay_max_ms; /* of one message, so that they overtake each other */
    int64_t write_max_ms; /* of one write to the disk; 0: at once */
    bool etcd_leader;     /* a leader that was removed stays, as etcd has it by default */
    bool failing_memory;  /* now and then each allocation of a step fails in turn */
};

/* What was asked of the disk, in order; `sequence` 0 needs no answer. */
struct cluster_write {
    int64_t done_ms;
    uint64_t sequence;
    bool has_hard_state;
    struct raft_hard_state hard_state;
    struct raft_snapshot *snapshot;
    uint64_t discard_through;
    uint64_t truncate_from;
    struct raft_entry *entries;
    size_t entry_count;
};

struct cluster_disk {
    struct raft_hard_state hard_state;
    struct raft_snapshot *snapshot;
    uint64_t log_index;
    uint64_t log_term;
    struct raft_entry *entries;
    size_t entry_count;
};

/* A message on its way, or one that waits for the write `once_stored` of its sender. */
struct cluster_packet {
    int from, to;
    int64_t due_ms;
    uint64_t once_stored;
    struct buffer bytes;
};

struct cluster_node {
    struct id id;
    struct raft *raft; /* NULL: down */
    unsigned life;     /* how often it was started */
    struct cluster_disk disk;
    struct cluster_write *writes;
    size_t write_count;
    uint64_t applied;
    uint64_t state; /* a hash over all that was applied */
    int64_t deadline_ms;
    bool is_cut;
};

struct cluster_read {
    uint64_t context;
    uint64_t committed; /* by anyone when it was asked */
};

/* What a committed index holds, once anyone applied it. */
struct cluster_truth {
    uint64_t term;
    uint64_t hash;
    uint64_t state;
};

/* An entry seen in any log: log matching allows one content and one predecessor for (index, term).
 */
struct cluster_sighting {
    uint64_t index, term, hash, previous_term;
};

struct cluster {
    struct cluster_options options;
    struct random random;
    int64_t now_ms;
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    int count;
    struct cluster_packet *packets;
    size_t packet_count;
    struct cluster_truth *truth; /* by index */
    size_t truth_count;
    struct cluster_sighting *sightings;
    size_t sighting_count;
    uint64_t *leaders; /* by term: node and life, plus 1 */
    size_t term_count;
    struct cluster_read reads[CLUSTER_READS_MAX];
    size_t read_count;
    uint64_t reads_confirmed;
    uint64_t proposals;
    uint64_t digest; /* of everything that happened, to compare two runs */
};

void cluster_start(struct cluster *c, const struct cluster_options *options);
void cluster_stop(struct cluster *c);

/* Nothing passes from and to the node. */
void cluster_cut(struct cluster *c, int node);
void cluster_heal(struct cluster *c);
void cluster_crash(struct cluster *c, int node);
void cluster_restart(struct cluster *c, int node);
void cluster_restart_all(struct cluster *c);

/* Lets `duration_ms` go by. */
void cluster_run(struct cluster *c, int64_t duration_ms);

/* Lets time go by until the condition holds; false if it does not within CLUSTER_WAIT_MS. */
bool cluster_wait(struct cluster *c, bool (*condition)(const struct cluster *c));
bool cluster_one_leader(const struct cluster *c);

/* All that run applied all that anyone has committed, and there is one leader. */
bool cluster_all_agree(const struct cluster *c);

/* The node that leads in the highest term, or -1. */
int cluster_leader(const struct cluster *c);

/* Each gives one input to a node and returns raft_step's result; down is -EHOSTDOWN. */
int cluster_propose(struct cluster *c, int node);
int cluster_change(struct cluster *c, int node, const struct raft_changes *changes);
int cluster_read_at(struct cluster *c, int node);
int cluster_give(struct cluster *c, int node, struct raft_input input);

/* The node's state machine becomes its snapshot, and the log keeps `keep` entries before it. */
void cluster_compact(struct cluster *c, int node, uint64_t keep);

/* A change of one member, with RAFT_TRANSITION_AUTO. */
struct raft_changes cluster_one_change(struct cluster *c, enum raft_change_type type, int node);

struct raft_status cluster_status(const struct cluster *c, int node);
