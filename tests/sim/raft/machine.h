/* The simulator's replicated state machine: a few registers, and for each client the last sequence
 * that it did and how that ended, so that a command that was proposed twice is done once. */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "consensus/bounds.h"
#include "tests/linear/linear.h"

enum {
    SIM_CLIENTS = 4,
    SIM_REGISTERS = 3,
};

struct sim_command {
    uint64_t client;
    uint64_t sequence;
    uint64_t type; /* LINEAR_WRITE or LINEAR_SWAP */
    uint64_t object;
    uint64_t value;
    uint64_t expected;
};

struct sim_session {
    uint64_t sequence;
    uint64_t swapped;
};

/* All of it is in a snapshot. */
struct sim_machine {
    uint64_t applied;
    uint64_t digest; /* over all that was ever applied */
    uint64_t registers[SIM_REGISTERS];
    struct sim_session sessions[SIM_CLIENTS];
};

/* Does the command in `data`; true and `*ret` if it was done before or now, false if `data` is none
 * or a later one was done already. */
bool sim_machine_apply(struct sim_machine *machine, struct bytes data, struct sim_command *ret);

/* What stands for a snapshot's hash. */
void sim_machine_hash(struct bytes state, uint8_t ret[RAFT_HASH_BYTES]);

uint64_t sim_mix(uint64_t hash, uint64_t value);
uint64_t sim_mix_bytes(uint64_t hash, struct bytes bytes);
