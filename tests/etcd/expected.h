/* What etcd's library printed, as a picture of each node after each directive. What was not printed
 * (the log level was `none`) is not known, and not compared until it is printed again. */
#pragma once

#include "tests/etcd/cluster.h"
#include "tests/etcd/script.h"

struct expected_node {
    bool hard_state_known, soft_state_known;
    struct shown_state state;
    bool log_known;
    struct shown_log log;
    char *configuration; /* NULL: not known */
    struct lines applied;
    struct lines refused;
};

struct expected {
    struct expected_node nodes[CLUSTER_NODES_MAX];
    bool directive_is_quiet;
};

/* A new node starts from what add-nodes says. */
void expected_start(struct expected *expected, uint64_t number, const struct node_options *options);
void expected_done(struct expected *expected);

/* Takes what a directive printed. `is_quiet`: it may have changed anything and says nothing;
 * `is_terse`: it doesn't say when a configuration changes. */
void expected_read(struct expected *expected, const struct directive *directive, bool is_quiet,
                   bool is_terse);

/* The line of an entry, as cluster.c shows it; false if it is none. */
bool expected_entry(const char *line, struct lines *ret);

/* "StateLeader" to RAFT_LEADER; false for an unknown name. */
bool expected_role(const char *name, enum raft_role *ret);
