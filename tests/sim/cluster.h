/* A whole cluster in one process, under virtual time, from a seed; and a small language for it:
 *
 *     cluster_init(&c, 5, seed);
 *     cluster_start(&c);                              five machines, one cluster
 *     cluster_deploy(&c, 0, &(struct sim_service){.name = "web", .replicas = 3});
 *     cluster_wait(&c, 10000, cluster_is_settled);
 *     cluster_cut(&c, 1, 2); cluster_kill(&c, 3); cluster_run(&c, 5000); cluster_heal_all(&c);
 *
 * What runs on the machines is the shipping agent (node/control/agent.h); the rest is modelled.
 * The invariants are checked at every step: c.failure says which one broke first, and from then on
 * nothing more happens.
 */
#pragma once

#include "tests/sim/copies.h"
#include "tests/sim/invariants.h"
#include "tests/sim/machine.h"
#include "tests/sim/trace.h"

enum {
    SIM_VOTER_REPLACE_MS = 10000,
    SIM_VOTER_SETTLE_MS = 5000,
    SIM_VOTER_MOVE_MS = 5000,
    SIM_COMPACT_ENTRIES = 64, /* few, so that snapshots are used */
    SIM_SYNC_MS_MAX = 3,
    SIM_PARTITION_MAX = 64, /* machines, where each has a bit */
    SIM_HINTS = 1 << 14,
};

static const int64_t SIM_WALL_START_MS = 1700000000000;

/* Rules that the world around the agent breaks on purpose, to see that it is noticed. */
enum sabotage {
    SABOTAGE_NONE,
    SABOTAGE_SEND_BEFORE_STORED, /* the disk says "stored" at once */
    SABOTAGE_LOSE_SYNCED,        /* a crash takes entries that were synced */
    SABOTAGE_GRANT_VOTES,        /* a refused vote arrives as a given one */
    SABOTAGE_COMMIT_EARLY,       /* followers hear that all they get is committed */
    SABOTAGE_IGNORE_LEASE,       /* an exclusive container runs on without a lease */
    SABOTAGE_NEVER_STOP,         /* no container is ever stopped */
    SABOTAGE_READ_LOCAL,         /* a read is answered from what the machine happens to know */
    SABOTAGE_FORGET_FED,         /* a start forgets the entries behind the stored intent */
    SABOTAGE_COUNT,
};

struct cluster {
    struct timeline timeline;
    struct random random;
    struct network network;
    struct trace trace;
    struct invariants *invariants;
    struct fact_pool *pool;
    struct identity root;
    unsigned count;
    struct machine *machines;  /* count of them */
    uint16_t hints[SIM_HINTS]; /* where a key was found last, by its first bytes */

    enum sabotage sabotage;
    int64_t sync_ms_max;   /* of the disks */
    int32_t drift_ppm_max; /* of machines booted from now on */
    int64_t wall_skew_ms_max;

    bool times_steps; /* see machine.h */

    bool has_failed;
    char failure[256];

    uint32_t forget_dead_ms; /* after which gossip forgets the dead; 0: as shipped */

    uint32_t clock_drift_permille; /* of agents that start from now on: reads by lease; 0: none */
    unsigned reads_answered, reads_refused;
    bool is_torn; /* two epochs of one number stand side by side: what holds within one does not */

    int thief;          /* the machine that lies, see thief.h; -1: none does */
    bool thief_garbles; /* whatever it answers by the feed */

    struct copies copies;
    unsigned commands_under_way;
    struct error last_error; /* of the last command that was decided; code 0: it was not refused */
};

void cluster_init(struct cluster *c, unsigned count, uint64_t seed);
void cluster_done(struct cluster *c);

/* The first failure counts. */
void cluster_fail(struct cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Machine 0 founds the cluster, the others join. False if they do not get there in time. */
bool cluster_start(struct cluster *c);

/* All were admitted long ago and start at once, knowing a few others each: for fleets that would
 * take too long to join one by one. */
void cluster_start_grown(struct cluster *c);

/* Lets time pass. False once anything has failed. */
bool cluster_run(struct cluster *c, int64_t duration_ms);

/* Lets time pass until the predicate holds; false if it does not within the limit. */
bool cluster_wait(struct cluster *c, int64_t limit_ms, bool (*predicate)(struct cluster *c));

/* The network. */
void cluster_cut(struct cluster *c, unsigned i, unsigned j);
void cluster_cut_one_way(struct cluster *c, unsigned from, unsigned to);
void cluster_heal(struct cluster *c, unsigned i, unsigned j);
void cluster_heal_all(struct cluster *c);
/* Lets nothing but links pass to and from a machine, until all is healed. */
void cluster_block_packets(struct cluster *c, unsigned i);
/* Cuts the machines whose bits are set in `side` off from the others; SIM_PARTITION_MAX at most. */
void cluster_partition(struct cluster *c, uint64_t side);

/* Machines: killed as machines die, and switched on again. For daemons alone, and for freezing, see
 * machine.h. */
void cluster_kill(struct cluster *c, unsigned i);
void cluster_restart(struct cluster *c, unsigned i);

/* The machine that leads in the highest term, or -1. */
int cluster_leader(struct cluster *c);

struct machine *cluster_machine_of(struct cluster *c, const struct id *id);

/* Any machine that is a member, up and not frozen; not `other`. NULL if there is none. */
struct machine *cluster_some_member(struct cluster *c, const struct machine *other);

/* Operators' commands (commands.c), by way of machine `via`; tried for some seconds. */
struct sim_service {
    const char *name;
    const char *image; /* NULL: "app:1"; "bad…" crashes */
    uint32_t replicas;
    bool is_exclusive, is_global, has_health, stops_first, is_duplicated;
    uint32_t stop_grace_ms; /* 0: the default */
};
void cluster_deploy(struct cluster *c, unsigned via, const struct sim_service *service);
void cluster_update(struct cluster *c, unsigned via, const struct sim_service *service);
void cluster_scale(struct cluster *c, unsigned via, const char *name, uint32_t replicas);
void cluster_remove(struct cluster *c, unsigned via, const char *name);
void cluster_leave(struct cluster *c, unsigned i);
void cluster_set_profile(struct cluster *c, unsigned via, enum intent_profile profile);
void cluster_set_voters(struct cluster *c, unsigned via, uint32_t max);

/* A change that makes nothing else happen: one commit. */
void cluster_make_token(struct cluster *c, unsigned via, uint8_t number);

/* Any other; the actor is filled in. */
void cluster_propose(struct cluster *c, unsigned via, struct command *command);

/* Begins a new epoch at machine `via`; under the seal of the root key, or of its own. */
void cluster_recover(struct cluster *c, unsigned via, bool with_root_key);

/* True once every command that was given has its answer. */
bool cluster_is_answered(struct cluster *c);

/* settled.c: all is as it shall be, everywhere. cluster_unsettled() says what is not, or NULL. */
bool cluster_is_settled(struct cluster *c);
const char *cluster_unsettled(struct cluster *c);
bool cluster_has_leader(struct cluster *c);
