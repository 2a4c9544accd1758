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
#include "gossip/token.h"
#include "node/control/agent.h"
#include "node/control/clients.h"
#include "node/join/join_client.h"
#include "node/metrics/metrics.h"
#include "node/peer/happenings.h"
#include "node/store/store.h"
#include "node/transport/links.h"
#include "node/transport/udp.h"
#include "runtime/image/image_store.h"
#include "runtime/runtime.h"

struct api_server;
struct disk;
struct http;
struct images;
struct leaving;
struct own_address;
struct mesh_host;
struct peer_ping;
struct peer_read;
struct proposal;
struct replicas;
struct sealing;
struct seeds;
struct spares;

enum {
    PEER_PORT_DEFAULT = 7300, /* UDP and TCP */
    PEER_GRID_MS = 10,        /* timers' deadlines are rounded up to it */
    PEER_SLEEP_MS_MAX = 10000,
    PEER_QUIET_MS = 10000, /* without a change */
};

/* Other peers' addresses are stored under this, followed by their id. */
#define PEER_SEED_PREFIX "seed/"

/* Entries that the feed brought since the stored intent: their index in 16 hex digits follows. */
#define PEER_FED_PREFIX "intent.fed/"

struct peer_options {
    const char *data_dir;
    const char *run_dir;
    const char *socket_path;
    int socket_fd;             /* the socket, if it listens already and is taken over; or -1 */
    const char *name;          /* a DNS label */
    struct address listen;     /* where packets and links are taken */
    struct address advertised; /* where others reach us */
    bool advertised_is_found;  /* among the machine's networks: followed when it changes */
    const char *const *seeds;  /* where others may be: see seeds.h */
    size_t seed_count;         /* at most SEEDS_NAMED_MAX */
    const char *labels;        /* "disk=ssd,zone=a": sorted by key; "" for none */
    uint32_t cpu_millis;       /* what replicas may reserve here */
    uint64_t memory_bytes;
    const char *oci_runtime;       /* NULL: the default */
    struct userns_pool userns;     /* no ranges: the default */
    const char *registries;        /* a file: see runtime/registry/settings.h */
    struct address metrics;        /* where /metrics is served; none: nowhere */
    uint32_t clock_drift_permille; /* see agent_config */
    const char *fault;             /* for tests: see node/transport/fault.h; NULL: none */
};

enum peer_phase {
    PEER_ALONE,   /* no cluster: waits for init or join */
    PEER_JOINING, /* init or join is under way */
    PEER_MEMBER,
    PEER_LEAVING, /* drains; still a member */
    PEER_GONE,    /* has left, or was revoked: takes no part, and wants no replica any more */
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
    struct http *http; /* NULL: not wanted */
    struct metrics_sample sample;
    int64_t start_wall_ms;
    struct metrics_lag lag;
    struct happenings happenings;

    /* Only with a cluster: */
    struct agent *agent;
    struct agent_output output;
    bool is_stepping;
    uv_timer_t deadline;
    uint64_t deadline_due_ms; /* of the loop's clock */
    struct udp *udp;
    struct links *links;
    struct runtime *runtime;
    bool runtime_is_ready;
    struct images *images;
    struct mesh_host *mesh;
    struct replicas *replicas;
    struct spares *spares;
    struct sealing *sealing;
    struct seeds *seeds;
    struct disk *disk;
    struct own_address *own_address; /* NULL: the operator said it */
    struct leaving *leaving;
    uv_idle_t wake;   /* active: the agent has something to spread */
    uv_timer_t quiet; /* fires once nothing has changed for a while */

    struct proposal *proposals; /* see proposals.h */
    struct clients clients;     /* in whose names they are made */
    struct peer_read *reads;    /* see reads.h */
    uint64_t next_request;
    struct peer_ping *pings; /* see pings.h */
    uint64_t next_ping;
    unsigned pinging_count; /* see node/api/pinging.h */

    uv_signal_t interrupt, terminate;
    uv_timer_t patience;
    bool is_handing_over; /* it was told to stop, and another peer shall lead first */
    bool is_stopping;
    bool is_forgetting; /* its cluster: the agent takes no more steps */
    bool starts_anew;   /* it has left: to be started again at once, and in no cluster */
    int exit_code;
};

/* Opens the data directory and serves the API; then goes on as a member, if it is one. Blocks while
 * it opens. With an error, everything is undone. */
int peer_start(struct peer *peer, uv_loop_t *loop, const struct peer_options *options,
               struct error *error);

/* Runs until it is told to stop, or has left its cluster; returns the exit code. */
int peer_run(struct peer *peer);

/* Begins to stop: the loop ends once everything is closed. Containers go on. */
void peer_stop(struct peer *peer, int exit_code);

/* Closes everything. If `starts_anew`, the socket goes on to listen, so that no client finds it
 * missing: `*ret_socket_fd` is for the options of the next peer_start(), else -1. May be NULL. */
void peer_done(struct peer *peer, int *ret_socket_fd);

/* peer_cluster.c. The callback comes once, with NULL once this peer is a member. */
typedef void peer_membership_callback(void *context, const struct error *error);

/* Makes a new cluster with this peer as its only member. -EALREADY if it is in one. */
int peer_init_cluster(struct peer *peer, peer_membership_callback *callback, void *context,
                      struct error *error);

/* Asks the cluster of the token to be admitted. */
int peer_join_cluster(struct peer *peer, const struct token *token,
                      peer_membership_callback *callback, void *context, struct error *error);

/* Reads which cluster this peer is in; -ENOENT if it is in none. */
int peer_load_membership(struct peer *peer, struct error *error);

/* Other peers' addresses, kept so that a fleet that lost power finds itself again. */
int peer_each_address(struct peer *peer,
                      int (*visit)(void *context, const struct id *id,
                                   const struct address *address),
                      void *context, struct error *error);
void peer_remember_address(struct peer *peer, const struct id *id, const struct address *address);
void peer_forget_address(struct peer *peer, const struct id *id);

/* Starts as a member, from what is stored. */
int peer_start_member(struct peer *peer, struct error *error);

/* This peer was revoked, or has left: its containers are removed and nothing is served any more. */
void peer_removed(struct peer *peer);

/* peer_leave.c: drains this peer, leaves the cluster and forgets it, then stops to start anew.
 * Progress goes to `progress` (may be NULL) in words; `callback` comes once, when it has left or
 * (error) can't. */
int peer_leave(struct peer *peer, bool force, void (*progress)(void *context, const char *words),
               peer_membership_callback *callback, void *context, struct error *error);

/* stopping.c: heeds signals, from peer_start() until peer_run() ends; and stops, once that is due,
 * after each step of the agent. */
void stopping_start(struct peer *peer);
void stopping_done(struct peer *peer);
void stopping_look(struct peer *peer);

/* peer_agent.c: gives the agent an input and carries out what it returns. Not from inside itself.
 */
void peer_step(struct peer *peer, struct agent_input *input);
void peer_tick(struct peer *peer);

/* links_config.locate, with the peer as the context: where gossip has that one. */
bool peer_locate(void *context, const struct id *id, struct address *ret);

/* links_config.helpers, with the peer as the context: who may reach that one, as gossip sees it. */
void peer_helpers(void *context, const struct id *id, struct links_helpers *ret);

/* peer_mesh.c: starts or finds the mesh process; NULL when there is no memory. And links_config's
 * on_for_mesh and on_mesh_failed, with the peer as the context. */
struct mesh_host *peer_mesh_new(struct peer *peer);
void peer_mesh_link(void *context, struct link_given *state, int fd);
void peer_mesh_link_failed(void *context, const struct id *id, int reason);

/* Something was published: lets the agent spread it soon, without a step of its own for each. */
void peer_wake(struct peer *peer);

/* Much is changing: what the heap does not need any more is given back once that is over. */
void peer_is_busy(struct peer *peer);

/* Milliseconds of clock_boot_ms(), which goes on while the machine sleeps; microseconds of a clock
 * for round trips; and milliseconds of the wall clock. */
int64_t peer_now_ms(const struct peer *peer);
int64_t peer_now_us(void);
int64_t peer_wall_ms(void);

/* peer_store.c: what the agent wants stored, and what it finds at start. */
int peer_store_write(struct peer *peer, const struct agent_write *write);
void peer_store_put_snapshot(struct store_batch *batch, const struct raft_snapshot *snapshot);

/* -EBADMSG also if a peer was here whose store is gone: under its key nobody may begin anew, for it
 * could vote twice. `options` and `loop` are set. */
int peer_store_open(struct peer *peer, struct error *error);

/* `*ret_stored` borrows from `*ret`, which the caller frees. */
struct peer_loaded;
int peer_store_load(struct peer *peer, struct peer_loaded **ret,
                    const struct agent_stored **ret_stored, struct error *error);
void peer_loaded_free(struct peer_loaded *loaded);
