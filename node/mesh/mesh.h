/* The mesh: any peer takes a request for any service and passes it to a healthy replica, wherever
 * that runs.
 *
 *     published port   every peer listens on it, on all its addresses
 *     virtual IP       TCP from this peer's containers to a service's virtual IP is redirected (by
 *                      nftables, see runtime_config.mesh_port) to the gateway's MESH_REDIRECT_PORT;
 *                      over IPv6 too, if the machine has it (base/ula.h)
 *     address          one that a service has within a network, likewise; its UDP goes on to the
 *                      virtual IP (runtime/network/address_rules.h)
 *     DNS              on the gateway's port 53: "web", "hello_web" → the virtual IP
 *     STREAM_MESH      a connection that another peer passes to a replica here
 *
 * A replica here is reached at its address on the bridge of a network that the client is on, too;
 * one elsewhere over an encrypted stream to its peer, which does the same. A connection that could
 * not be made is tried with another replica, as long as no byte has been passed on; one that is
 * open is never broken because the routes changed. So a replica that is to be stopped gets no new
 * connections, and the ones it has are let finish.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/address.h"
#include "base/id.h"
#include "consensus/intent.h"
#include "node/mesh/routes.h"
#include "node/transport/mux.h"

struct mesh;

enum {
    MESH_REDIRECT_PORT = 7301, /* on the gateway only */
    /* 10.97.0.0, in host order; runtime_config.virtual_subnet's default is the same range */
    MESH_VIRTUAL_BASE = 10 << 24 | 97 << 16,
};

/* Who sends something to a virtual address, or asks for a name. */
enum mesh_asker {
    MESH_ASKER_MACHINE,   /* a program of this machine: reaches all */
    MESH_ASKER_CONTAINER, /* reaches what is on a network of its service */
    MESH_ASKER_UNKNOWN,   /* a container that is not known (any more): reaches nothing */
};

/* A container that asks: its service, and in which of its networks the address is by which it does.
 */
struct mesh_origin {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    char network[SPEC_NETWORK_NAME_MAX + 1];
};

/* Where a replica of this peer is reached; without ports. */
struct mesh_addresses {
    struct address ip4, ip6;
    bool has_ip6;
};

struct mesh_config {
    uv_loop_t *loop;
    struct id self;
    void *context;
    /* Opens a STREAM_MESH to that peer. As links_open_stream(). */
    int (*open_stream)(void *context, const struct id *peer, struct bytes header,
                       const struct stream_handler *handler, void *handler_context,
                       struct mux_stream **ret);
    /* How many connections there are, or why a port is not served, has changed. May be NULL. */
    void (*on_change)(void *context);
    /* Where a replica of this peer takes connections: over the first of the networks that it is on,
     * or over its own first if none is named. False if it does not run here, or is on none. */
    bool (*local_address)(void *context, uint64_t generation, const struct text_list *networks,
                          struct mesh_addresses *ret);
    /* Who has that address here; of a container, what it is. NULL: the machine. */
    enum mesh_asker (*asker)(void *context, const struct address *address, struct mesh_origin *ret);
};

/* NULL when there is no memory. */
struct mesh *mesh_new(const struct mesh_config *config);

/* The bridge stands: DNS and redirected connections are taken at the gateway from now on. Failures
 * are logged, with what to do, and tried again. */
void mesh_gateway_ready(struct mesh *mesh, const struct address *gateway);

/* Who serves what from now on; `*routes` passes. Ports are opened and closed from the loop, soon.
 */
void mesh_set_routes(struct mesh *mesh, struct routes *routes);

/* Nobody can tell any more who may serve exclusive services: they get no new connections until the
 * next mesh_set_routes(). */
void mesh_leave_out_exclusive(struct mesh *mesh);

/* Breaks all that is passed on to that replica here. */
void mesh_cut(struct mesh *mesh, uint64_t generation);

/* Ports may be had by now that could not be had before; looked at from the loop, soon. */
void mesh_changed(struct mesh *mesh);

/* Takes over a STREAM_MESH from another peer; what the header says stands in stream_header.h. */
void mesh_accept(struct mesh *mesh, struct mux_stream *stream, struct bytes header);

/* Why a published port is not served by this peer ("port 8080 is taken by another program"): one
 * line each, appended to `ret`. */
void mesh_explain(const struct mesh *mesh, const char *service, struct buffer *ret);

/* The service of the index-th route; NULL behind the last. */
const char *mesh_service(const struct mesh *mesh, size_t index);

/* How many connections are passed on at the moment. */
size_t mesh_connection_count(const struct mesh *mesh);

/* Whether connections, or datagrams to and fro, are passed on at the moment. */
bool mesh_is_busy(const struct mesh *mesh);

/* A socket at which requests come in, on its way from one mesh to the next. */
enum mesh_socket {
    MESH_SOCKET_PORT, /* a published port */
    MESH_SOCKET_REDIRECT,
    MESH_SOCKET_DNS,
    MESH_SOCKET_REDIRECT6,
    MESH_SOCKET_KINDS,
};

/* Takes no more connections, and lets the others go on. What listens is given away (`fd` is the
 * callee's), so that no client is refused between this mesh and the next. UDP ports are closed;
 * flows go on to get what their clients send there. */
void mesh_retire(struct mesh *mesh,
                 void (*give)(void *context, enum mesh_socket kind, uint16_t port, int fd),
                 void *context);

/* A socket that another mesh gave away: used instead of a new one, if it is wanted at the next
 * look; else closed. `fd` passes, also on failure. 0 or -ENOMEM. */
int mesh_inherit(struct mesh *mesh, enum mesh_socket kind, uint16_t port, int fd);

/* Takes no more connections; breaks those that are open; frees from the loop. Accepts NULL. */
void mesh_close(struct mesh *mesh);
