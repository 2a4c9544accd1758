/* One machine: its clocks, its disk, its containers, and the daemon with the agent inside, driven
 * as node/peer/peer_agent.c does.
 *
 *     OFF       no power: the disk is all that is left
 *     DOWN      the daemon is not there; containers run on
 *     UP        the daemon runs, as a member of the cluster or waiting to become one
 *
 * A machine that is frozen does nothing until it is thawed, its containers included; its clock goes
 * on meanwhile.
 */
#pragma once

#include "gossip/identity.h"
#include "node/control/agent.h"
#include "node/control/clients.h"
#include "tests/sim/containers.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"

struct cluster;

enum machine_power { MACHINE_OFF, MACHINE_DOWN, MACHINE_UP };

enum machine_phase {
    MACHINE_ALONE,   /* in no cluster */
    MACHINE_JOINING, /* waits for its admission */
    MACHINE_MEMBER,
    MACHINE_LEAVING,
    MACHINE_GONE, /* has left; no container shall run */
};

/* How a machine's monotonic clock goes against true time. */
struct machine_clock {
    int64_t offset_ms;
    int32_t drift_ppm;
};

/* A command of an operator's, or of the machine's own, that is tried until it is decided. */
typedef void proposal_callback(void *context, const struct agent_result *result);

struct proposal {
    struct proposal *next;
    uint64_t request;
    struct buffer command;
    struct client client; /* who proposes it; 0: it is a copy */
    int64_t give_up_ms;   /* true time */
    bool is_retrying;
    proposal_callback *callback;
    void *context;
};

/* A consistent read that waits for its answer. */
struct sim_read {
    struct sim_read *next;
    uint64_t request;
    uint64_t committed; /* by anybody, when it began */
};

enum leave_step { LEAVE_DRAIN, LEAVE_EMPTY, LEAVE_LEFT, LEAVE_GOODBYE };

/* Packets and messages, all of them and those of the feed. */
struct machine_traffic {
    uint64_t count, bytes;
    uint64_t feed_count, feed_bytes;
};

struct machine {
    struct cluster *cluster;
    unsigned number;
    char name[8];
    struct identity identity;
    struct address address;
    char zone[8];     /* its label; "": none */
    uint32_t level;   /* of the state, that its daemon knows; 0: the newest */
    bool is_outdated; /* its daemon ended: the state is at a higher one */
    struct random random;
    struct machine_clock clock;
    int64_t wall_offset_ms;

    enum machine_power power;
    enum machine_phase phase;
    bool is_frozen;
    bool shall_be_member; /* what the operators want of it, for the check once all is calm */
    uint64_t epoch;       /* counts the daemon's runs */

    struct disk disk;
    struct containers containers;

    struct agent *agent; /* of the present run, as a member */
    struct agent_output output;
    struct agent_compaction *compaction; /* under way, or NULL */
    bool is_stepping;
    uint64_t timer_version;
    bool wakes;                            /* a tick is planned at once */
    bool reconciles;                       /* a look at the containers is planned at once */
    bool knows[SIM_MACHINES_MAX];          /* the addresses of others */
    struct machine_traffic sent, received; /* since the machine was made */
    unsigned feed_refused;                 /* answers of the feed that were not believed */
    uint64_t step_ns; /* of the processor, in agent_step(); if cluster->times_steps */

    struct proposal *proposals;
    struct clients clients;
    struct sim_read *reads;
    uint64_t next_request;

    bool is_leaving, leave_waits;
    enum leave_step leave_step;
    int64_t goodbye_ms;
};

void machine_init(struct machine *machine, struct cluster *cluster, unsigned number);
/* machine_traffic.c: counts a packet (kind 0) or message; the time of the processor that went into
 * this process. */
void machine_count(struct machine_traffic *traffic, uint8_t kind, size_t size);
uint64_t machine_processor_ns(void);

void machine_done(struct machine *machine);

int64_t machine_now_ms(const struct machine *machine);

/* Switches the machine on (a fresh monotonic clock), and starts the daemon. */
void machine_boot(struct machine *machine);
/* Starts the daemon alone. */
void machine_start_daemon(struct machine *machine);
/* The daemon is killed; containers go on. */
void machine_kill_daemon(struct machine *machine);
/* The daemon ends by itself: what it wanted stored is stored. */
void machine_stop_daemon(struct machine *machine);
/* The power fails: daemon and containers are gone. */
void machine_power_off(struct machine *machine);

void machine_freeze(struct machine *machine);
void machine_thaw(struct machine *machine);

/* True if the machine is frozen: then `callback` is called once more a little later. */
bool machine_defer(struct machine *machine, timeline_callback *callback, void *payload);

/* Gives the agent an input and carries out what it returns. */
void machine_step(struct machine *machine, struct agent_input *input);

/* Ticks the agent soon, so that what was published spreads. */
void machine_wake(struct machine *machine);

/* Looks at what the containers shall be: at once, or when the machine's clock shows `local_ms`. */
void machine_reconcile_soon(struct machine *machine);
void machine_reconcile_at(struct machine *machine, int64_t local_ms);

/* machine_proposals.c */
/* Proposes the same bytes once more, as a network might that holds them back: once. */
void machine_propose_copy(struct machine *machine, struct bytes command,
                          proposal_callback *callback, void *context);
void machine_propose(struct machine *machine, struct command *command, int64_t patience_ms,
                     proposal_callback *callback, void *context);
/* Not tried again. */
void machine_recover(struct machine *machine, const struct agent_recovery *recovery,
                     proposal_callback *callback, void *context);
void machine_proposals_decided(struct machine *machine, const struct agent_result *result);
void machine_proposals_cancel(struct machine *machine);

/* machine_reads.c: reads, if the daemon runs; takes the answer, if it is one; those that wait get
 * none. */
void machine_read(struct machine *machine);
bool machine_read_decided(struct machine *machine, const struct agent_result *result);
void machine_reads_forget(struct machine *machine);

/* The key that it has is used up, and so is all that it knew as its owner; it makes another one. */
void machine_forget(struct machine *machine);

/* Asks to be admitted by way of `via`, again and again; started is it once it was admitted. */
void machine_join(struct machine *machine);
void machine_leave(struct machine *machine);
