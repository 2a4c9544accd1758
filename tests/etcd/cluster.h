/* Nodes of Consort's Raft, worked as etcd's harness works its own: whatever a node wants done waits
 * until it is told to handle it ("Ready"), and messages lie in the network until they are
 * delivered.
 *
 * What can be seen of a node from outside is kept as etcd prints it: the state and the log as of
 * the last Ready, what was applied, and whose messages refused something.
 */
#pragma once

#include "base/buffer.h"
#include "consensus/raft.h"
#include "tests/etcd/script.h"

enum {
    CLUSTER_NODES_MAX = 16,
    CLUSTER_ELECTION_TICKS = 3, /* as in etcd's harness; a tick is a millisecond here */
};

/* The entries behind `base`, each as "term/index EntryNormal "text"". */
struct shown_log {
    uint64_t base;
    struct lines entries;
};

struct shown_state {
    uint64_t term, vote, commit;
    enum raft_role role;
    uint64_t lead;
};

/* On the network: a message, or word to a node that a write of its own is on the disk. */
struct packet {
    uint64_t to;
    bool is_stored;
    uint64_t sequence; /* of the write, if is_stored */
    struct raft_message message;
    struct raft_snapshot snapshot; /* what message.snapshot points to */
};

struct packets {
    struct packet **items;
    size_t count;
};

/* A write that waits for the append thread. */
struct append_work {
    uint64_t sequence;
    struct packets once_stored;
    struct shown_log log;
};

struct node {
    uint64_t number;
    struct raft *raft;
    int64_t now_ms;
    bool is_async; /* writes are done by process-append-thread */

    /* Since the last Ready. */
    struct packets now, once_stored;
    uint64_t sequence;
    struct shown_log pending;
    uint64_t stored_sequence;

    struct shown_state handed_state;
    struct shown_log handed, disk;
    struct append_work *work;
    size_t work_count;

    /* In this directive. */
    struct lines applied;
    struct lines refused; /* messages to this node that refuse something */
};

struct cluster {
    struct node nodes[CLUSTER_NODES_MAX];
    size_t count;
    struct packets network;
};

struct node_options {
    struct raft_configuration configuration;
    uint64_t index; /* of the snapshot to start from; 0: none */
    uint32_t inflight;
    bool pre_vote, check_quorum, lead_when_removed, read_by_lease, is_async;
};

/* NULL if there is no room. */
struct node *cluster_add(struct cluster *cluster, const struct node_options *options);
void cluster_done(struct cluster *cluster);

/* NULL if there is no such node. */
struct node *cluster_node(struct cluster *cluster, uint64_t number);

/* The result of raft_step(); nothing committed is applied before the next Ready. */
int node_step(struct node *node, struct raft_input input);
void node_tick(struct node *node, unsigned ticks);
struct shown_state node_state(const struct node *node);

bool node_has_ready(const struct node *node);
void node_handle_ready(struct cluster *cluster, struct node *node);

/* One write is done; false if none waits. */
bool node_work(struct cluster *cluster, struct node *node);

/* Discards the log up to `index`. */
void node_compact(struct node *node, uint64_t index);
void node_send_snapshot(struct cluster *cluster, struct node *node, uint64_t to);

/* Delivers (or drops) all that lies in the network for that node. False if there was nothing. */
bool cluster_deliver(struct cluster *cluster, uint64_t to, bool drop);

/* As `stabilize`: the listed nodes (none: all) go on until nothing is left to do. False if that
 * takes longer than any script should. */
bool cluster_stabilize(struct cluster *cluster, const struct numbers *nodes);

void shown_log_copy(struct shown_log *log, const struct shown_log *from);
void shown_log_clear(struct shown_log *log, uint64_t base);
void shown_log_truncate(struct shown_log *log, uint64_t index);
void shown_log_discard(struct shown_log *log, uint64_t index);
