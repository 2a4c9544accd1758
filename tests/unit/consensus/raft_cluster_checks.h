/* What must hold in a cluster at every step (raft_cluster.h); a violation prints the seed and
 * aborts. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft_cluster.h"

#define insist(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "seed %llu at %lld ms: ", (unsigned long long)c->options.seed,         \
                    (long long)c->now_ms);                                                         \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, " (%s)\n", #condition);                                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* reallocarray that cannot fail. */
void *cluster_grow(void *items, size_t count, size_t size);

uint64_t cluster_mix(uint64_t hash, uint64_t value);

/* Log matching, for the entries that a step asks to be stored. */
void cluster_check_new_entries(struct cluster *c, const struct cluster_node *node,
                               const struct raft_output *output);

/* State machine safety: nobody applies anything else at an index that anybody applied. */
void cluster_check_applied(struct cluster *c, struct cluster_node *node,
                           const struct raft_entry *entry);
void cluster_check_snapshot(struct cluster *c, struct cluster_node *node,
                            const struct raft_snapshot *snapshot);

/* Election safety, also across a restart; and leader completeness. */
void cluster_check_leader(struct cluster *c, const struct cluster_node *node);

/* Nobody leads in a later term than who has a valid lease. */
void cluster_check_lease(struct cluster *c);

/* A confirmed read sees what was committed before it. */
void cluster_check_reads(struct cluster *c, const struct raft_output *output);

/* A step that failed left the node as it was. */
void cluster_check_unchanged(struct cluster *c, int node, const struct raft_status *before);
