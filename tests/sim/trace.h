/* What happened in a run, line by line: the same to the byte for the same seed. It is printed, or
 * only digested, so that two runs can be compared; or neither, which costs nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "node/control/agent.h"

struct cluster;
struct machine;

struct trace {
    FILE *file; /* NULL: not printed; borrowed */
    bool is_digested;
    uint64_t digest;
};

void trace_line(struct cluster *cluster, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One step of an agent: what went in, and all that came out. */
void trace_step(struct cluster *cluster, const struct machine *machine,
                const struct agent_input *input, int rc);

/* What the leader's intent says, once something broke. */
void trace_intent(struct cluster *cluster);
