/* The peer: what `consort node` runs. It owns the loop's residents and passes between them.
 *
 *     store ◄─ writes ── agent ── wanted ──► replicas ──► runtime (containers)
 *     udp, links ◄─ sends ┘ └── routes ──► mesh, dns
 *     api ── proposals ──► agent
 *
 * A peer is started without a cluster (it serves `init`, `join` and `status` only), then with one.
 * All of it runs on one loop's thread; what blocks runs on libuv's workers or the store's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/address.h"
#include "base/error.h"
#include "base/id.h"
#include "gossip/certificate.h"
#include "gossip/identity.h"
#include "node/control/agent.h"
#include "node/store/store.h"
#include "node/transport/links.h"
#include "node/transport/udp.h"
#include "runtime/image_store.h"
#include "runtime/runtime.h"

struct api_server;
struct images;
struct mesh;
struct join;

enum {
    PEER_PORT_DEFAULT = 7300, /* UDP and TCP */
};

struct peer_options {
    const char *data_dir;
    const char *run_dir;
    const char *socket_path;
    const char *name;            /* a DNS label */
    struct address listen;       /* where packets and links are taken */
    struct address advertised;   /* where others reach us; port 0: found out, see peer_network.c */
    struct text_list labels;     /* "key=value" */
    uint32_t cpu_millis;         /* 0: the machine's */
    uint64_t memory_bytes;       /* 0: the machine's */
    const char *oci_runtime;     /* NULL: the default */
    const char *fault;           /* for tests: see node/transport/fault.h; NULL: none */
};

enum peer_phase {
    PEER_ALONE,   /* no cluster: waits for init or join */
    PEER_JOINING, /* init or join is under way */
    PEER_MEMBER,
    PEER_LEAVING, /* drains; still a member */
    PEER_GONE,    /* has left or was revoked: waits to be stopped */
};

/* Somebody who waits for a proposal's outcome. */
struct peer_proposal {
    uint64_t request, client;
    struct buffer command;
    int64_t give_up_ms;
    uv_timer_t *retry;
    void (*callback)(void *context, const struct agent_result *result);
    void *context;
};

struct peer {
    uv_loop_t *loop;
    struct peer_options options; /* borrowed for the peer's life */
    enum peer_phase phase;

    struct identity identity;
    struct id cluster;
    struct certificate_chain chain;
    struct fault fault;

    struct store *store;
    struct image_store *image_store;
    struct api_server *api;

    /* Only with a cluster: */
    struct agent *agent;
    struct agent_output output;
    bool is_stepping;
    uv_timer_t deadline;
    struct udp *udp;
    struct links *links;
    struct runtime *runtime;
    bool runtime_is_ready;
    struct images *images;
    struct mesh *mesh;
    struct replicas *replicas;

    struct peer_proposal **proposals;
    size_t proposal_count;
    uint64_t next_request, client;

    uv_signal_t interrupt, terminate;
    bool is_stopping;
    int exit_code;
};

/* Opens the data directory and serves the API; then goes on as a member, if it is one. Blocks while
 * it opens. With an error, everything is undone. */
int peer_start(struct peer *peer, uv_loop_t *loop, const struct peer_options *options,
               struct error *error);

/* Runs until it is told to stop (signal, leave); returns the exit code. */
int peer_run(struct peer *peer);

/* Begins to stop: the loop ends once everything is closed. Containers go on. */
void peer_stop(struct peer *peer, int exit_code);
void peer_done(struct peer *peer);

/* peer_cluster.c: makes a new cluster with this peer as its only member. */
int peer_init_cluster(struct peer *peer, struct error *error);

/* Starts as a member, from what is stored. */
int peer_start_member(struct peer *peer, struct error *error);

/* peer_agent.c: gives the agent an input and carries out what it returns. Not from inside itself. */
void peer_step(struct peer *peer, struct agent_input *input);
void peer_tick(struct peer *peer);

/* Milliseconds of the loop's monotonic clock, and of the wall clock. */
int64_t peer_now_ms(const struct peer *peer);
int64_t peer_wall_ms(void);

/* peer_proposals.c: proposes a command until it is decided or the time is over, through changes of
 * leader. The command's head gets a client and sequence, so that it is applied once. `callback` comes
 * once, from the loop. */
int peer_propose(struct peer *peer, struct command *command,
                 void (*callback)(void *context, const struct agent_result *result),
                 void *context);

/* peer_store.c: what the agent wants stored, and what it finds at start. */
int peer_store_write(struct peer *peer, const struct agent_write *write);

struct peer_loaded;
int peer_store_load(struct peer *peer, struct peer_loaded **ret, const struct agent_stored **ret_stored,
                    struct error *error);
void peer_loaded_free(struct peer_loaded *loaded);
