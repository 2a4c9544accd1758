/* A few whole agents in one process: their messages are passed by hand, their disks are arrays, and
 * time is a number.
 *
 *     fleet_start(&f, 3, 1);                   three peers of one cluster, of which peer 0 votes
 *     fleet_run(&f, 1000);                     a second goes by
 *     request = fleet_propose(&f, 2, &command);
 *     fleet_run(&f, 100);
 *     result = fleet_result(&f, 2, request);   NULL: not answered yet
 *     request = fleet_read(&f, 2);             answered in the same way
 *     fleet_kill(&f, 0); fleet_restart(&f, 0); fleet_cut(&f, 0, true);
 *     f.lost_kinds = 1 << AGENT_RAFT;          messages of that kind get lost
 *     fleet_give(&f, 1, 0, AGENT_RESULT, bytes);   as if peer 0 had sent it to peer 1
 *     fleet_done(&f);
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/command.h"
#include "node/control/agent.h"
#include "tests/unit/node/transport/party.h"

enum {
    FLEET_PEERS_MAX = 7,
    FLEET_DELAY_MS = 2, /* of a message */
    FLEET_ELECTION_MS = 300,
    FLEET_LEASE_MS = 2000,
    FLEET_VOTER_REPLACE_MS = 5000,
    FLEET_COMPACT_ENTRIES = 512,
    FLEET_KINDS = AGENT_READ_ANSWER + 1,
    FLEET_EVENTS = AGENT_PONG + 1,
};

/* What a peer stored. */
struct fleet_disk {
    struct raft_hard_state hard_state;
    bool has_snapshot;
    struct raft_snapshot snapshot;
    struct buffer snapshot_data, intent;
    uint64_t log_index, log_term;
    struct raft_entry *entries; /* from log_index + 1 on; each owns its data */
    size_t entry_count;
    struct raft_entry *fed; /* behind `intent`; each owns its data */
    size_t fed_count;
    uint64_t fed_bytes; /* written of what the feed brought, ever */
    unsigned wholes;    /* so often as a whole */
};

struct fleet_peer {
    struct identity identity;
    struct certificate_chain chain;
    struct fleet_disk disk;
    struct agent *agent; /* NULL: down */
    struct agent_output output;
    void (*on_write)(void *context, const struct agent_write *write); /* or NULL */
    void *on_write_context;
    const struct agent_stored *stored; /* the next start is from there; NULL: from `disk` */
    uint64_t lost_through; /* at the next start: what its log had up to here is damaged, … */
    bool lost_snapshot;    /* … and the snapshot, too */
    bool intent_is_old;    /* at the next start: something of the feed's is damaged */
    bool is_cut;
    bool is_mute;                        /* its disk stores, and does not say so */
    bool is_slow;                        /* it does not get round to its compactions */
    struct agent_compaction *compaction; /* then the one that waits */
    uint64_t untold;                     /* what it has not said yet, 0: nothing */
    uint32_t generation;

    struct agent_result *results; /* all that were ever told */
    size_t result_count;
    unsigned sent[FLEET_KINDS]; /* messages of each kind, index 0: packets */
    struct buffer last_sent[FLEET_KINDS];
    unsigned events[FLEET_EVENTS];
    struct agent_event last_event[FLEET_EVENTS];
    unsigned wanted_changes;
};

/* A message under way. */
struct fleet_message {
    int64_t due_ms;
    unsigned from, to;
    uint8_t kind;
    struct buffer bytes;
};

struct fleet {
    struct identity root;
    struct fleet_peer peers[FLEET_PEERS_MAX];
    unsigned peer_count;
    uint32_t voters_max;
    uint32_t compact_after_entries;
    uint32_t compact_after_bytes; /* 0: the default */
    uint32_t clock_drift_permille;
    int64_t now_ms;
    unsigned lost_kinds; /* bits: 1 << kind */
    int64_t memory_left; /* allocations of agents until one fails; negative: none does */
    struct fleet_message *messages;
    size_t message_count;
    uint64_t next_request;
};

/* Peer 0 founds the cluster; the others join by proposals at it, one after another. The first
 * `voters_max` vote. */
void fleet_start(struct fleet *f, unsigned peer_count, uint32_t voters_max);
void fleet_done(struct fleet *f);

/* Peer 0 alone founds a cluster, but does not run yet. */
void fleet_found(struct fleet *f, uint32_t voters_max);

/* Admits one more peer through peer 0 and starts it. */
void fleet_join(struct fleet *f);

/* Lets time go by, with all that is due in it. */
void fleet_run(struct fleet *f, int64_t ms);

/* Runs until the condition holds; the test fails after a minute. */
void fleet_wait(struct fleet *f, bool (*holds)(const struct fleet *f));

void fleet_kill(struct fleet *f, unsigned number);    /* with what was on its way to it */
void fleet_restart(struct fleet *f, unsigned number); /* from its disk */
void fleet_cut(struct fleet *f, unsigned number, bool is_cut);
void fleet_mute(struct fleet *f, unsigned number, bool is_mute);
void fleet_compact(struct fleet *f, unsigned number); /* what waits, if anything */

/* One input for one peer; what comes out is carried out. */
int fleet_step(struct fleet *f, unsigned number, struct agent_input input);
int fleet_give(struct fleet *f, unsigned peer, unsigned from, uint8_t kind, struct bytes bytes);

struct command fleet_command(enum command_type type);
struct command fleet_admission(unsigned number); /* of that party, as "p<number>" */
uint64_t fleet_propose(struct fleet *f, unsigned peer, const struct command *command);

/* Proposes at the peer and runs until it is answered; the test fails unless that is a success. */
struct agent_result fleet_agree(struct fleet *f, unsigned peer, const struct command *command);

/* Deploys the spec as stack "s" alone, and frees it. */
void fleet_deploy(struct fleet *f, unsigned peer, struct service_spec *spec);

/* Reads at the peer, consistently. */
uint64_t fleet_read(struct fleet *f, unsigned peer);

/* What the peer was told about its request, and how often. */
const struct agent_result *fleet_result(const struct fleet *f, unsigned peer, uint64_t request);
size_t fleet_result_count(const struct fleet *f, unsigned peer, uint64_t request);

struct id fleet_id(const struct fleet *f, unsigned peer);
struct agent_status fleet_status(const struct fleet *f, unsigned peer);
/* Whether a peer leads, by its own word; for fleet_wait(). */
bool fleet_is_led(const struct fleet *f);
/* The peer that leads, by its own word; the test fails if there is none. */
unsigned fleet_leader(const struct fleet *f);
/* How many replicas the peer shall run now. */
size_t fleet_wanted(const struct fleet *f, unsigned peer);
