/* One run from a seed: faults and operators' commands at random, then calm, and a look at whether
 * all has come to be as it shall.
 *
 *     schedule_run(seed, &options, &trace, &outcome);
 */
#pragma once

#include "tests/sim/cluster.h"

enum fault {
    FAULT_LOSS = 1 << 0,
    FAULT_DELAY = 1 << 1,
    FAULT_DUPLICATE = 1 << 2,
    FAULT_REORDER = 1 << 3,
    FAULT_PARTITION = 1 << 4,
    FAULT_PAUSE = 1 << 5,      /* a machine is frozen for some seconds */
    FAULT_CRASH = 1 << 6,      /* machines die, one or all */
    FAULT_DAEMON = 1 << 7,     /* daemons die alone, and are started again */
    FAULT_DISK = 1 << 8,       /* syncs take long */
    FAULT_CLOCK = 1 << 9,      /* monotonic clocks drift, wall clocks are wrong */
    FAULT_CONTAINER = 1 << 10, /* containers crash */
    FAULT_CHURN = 1 << 11,     /* peers leave and join */
    FAULT_VOTERS = 1 << 12,    /* operators choose how many vote */
    FAULT_COPY = 1 << 13,      /* commands come once more, late */
    FAULT_ALL = (1 << 14) - 1,
};

/* "loss,crash", "all" or "none"; -EINVAL for anything else. */
int faults_parse(const char *text, unsigned *ret);

/* Their names, for --help: "loss delay …". */
void faults_list(char *ret, size_t size);

/* "commit-early", …; -EINVAL. */
int sabotage_parse(const char *text, enum sabotage *ret);
void sabotage_list(char *ret, size_t size);

struct schedule_options {
    unsigned peers;
    unsigned faults;     /* a set of enum fault */
    int64_t duration_ms; /* of the faults; 0: the default */
    enum sabotage sabotage;
};

struct schedule_outcome {
    bool has_passed;
    char failure[256];
    int64_t settled_ms; /* how long it took once all was calm */
    int64_t ended_ms;   /* virtual time, in all */
    uint64_t digest;
};

void schedule_run(uint64_t seed, const struct schedule_options *options, struct trace trace,
                  struct schedule_outcome *ret);
