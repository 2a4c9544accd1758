/* What the files of node/mesh/ share. */
#pragma once

#include "node/mesh/mesh.h"
#include "node/mesh/routes.h"

struct connection;
struct dns;
struct listener;

enum {
    MESH_TRIED_MAX = 32, /* replicas tried for one connection, a round */
    MESH_CONNECT_LOCAL_MS = 1000,
    MESH_CONNECT_REMOTE_MS = 2000,
    MESH_WAIT_MS = 8000, /* for a replica that serves to appear */
    MESH_WAIT_STEP_MS = 50,
    MESH_RETRY_MS = 2000, /* before a port that is taken is tried again */
    MESH_BACKLOG = 1024,
};

struct mesh {
    struct mesh_config config;
    struct routes routes;
    uv_timer_t timer; /* fires at once after a change, later to try a port again */
    struct listener *listeners;
    struct listener *redirect; /* NULL until the gateway stands */
    struct address gateway;
    struct dns *dns;
    struct connection *connections;
    size_t connection_count;
    unsigned busy; /* whatever holds on to this; the last one frees */
    bool is_closing;
};

void mesh_hold(struct mesh *mesh);
void mesh_release(struct mesh *mesh);

/* listener.c: opens and closes listeners so that they are those of the routes; true if a port could
 * not be had and should be tried again. */
bool listeners_update(struct mesh *mesh);
void listeners_close(struct mesh *mesh);

/* Listens for connections that nftables redirects. 0 or a negative errno. */
int redirect_open(struct mesh *mesh, const struct address *gateway);

/* connection.c: passes an accepted socket to a replica of the service; `tcp` passes to it. */
void connection_start(struct mesh *mesh, uv_tcp_t *tcp, const char *service, uint16_t target_port);

/* A connection that another peer passes to a replica here. */
void connection_accept(struct mesh *mesh, struct mux_stream *stream, uint64_t generation,
                       uint16_t target_port);
void connections_close(struct mesh *mesh);
