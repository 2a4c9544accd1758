/* What the files of node/mesh/ share. */
#pragma once

#include "base/table.h"
#include "node/mesh/mesh.h"
#include "node/mesh/routes.h"

struct connection;
struct datagram_port;
struct dns;
struct flow;
struct listener;
struct mesh_header;

enum {
    MESH_TRIED_MAX = 32, /* replicas tried for one connection, a round */
    MESH_CONNECT_LOCAL_MS = 1000,
    MESH_CONNECT_REMOTE_MS = 2000,
    MESH_WAIT_MS = 8000, /* for a replica that serves to appear */
    MESH_WAIT_STEP_MS = 50,
    MESH_RETRY_MS = 2000, /* before a port that is taken is tried again */
    MESH_BACKLOG = 1024,

    MESH_IPV6_ONLY_MAX = 64, /* replicas' ports that are remembered */

    /* This part of the files that a process may open for connections, which have two, this part for
     * flows: so there is room for links and daemons, however many clients come. */
    MESH_FILES_SHARE = 4,
    FLOWS_MAX = 1024,           /* each is a socket here, or a stream of a link */
    FLOW_IDLE_FIRST_MS = 10000, /* quiet: a question that got its answer, or none */
    FLOW_LASTS_AFTER = 3,       /* datagrams in both ways */
    FLOW_IDLE_MS = 120000,
};

/* From whom datagrams come and where to; both with their ports. */
struct flow_key {
    struct address from, to;
};

struct flows {
    struct table by_key; /* those of this peer's own clients */
    struct flow *oldest, *newest;
    size_t count, count_max;
    uint8_t bytes[65536]; /* read into */
};

/* A port of a replica here. */
struct replica_port {
    uint64_t generation;
    uint16_t port;
    uint8_t protocol; /* enum spec_protocol */
};

/* A socket that another mesh gave away. */
struct inherited {
    enum mesh_socket kind;
    uint16_t port;
    int fd;
    struct inherited *next;
};

struct mesh {
    struct mesh_config config;
    struct routes routes;
    uv_timer_t timer; /* fires at once after a change, later to try a port again */
    struct listener *listeners;
    struct listener *redirect;  /* NULL until the gateway stands */
    struct listener *redirect6; /* NULL, too, if the machine has no IPv6 */
    struct address gateway;
    struct dns *dns;
    struct datagram_port *datagram_ports;
    struct flows flows;
    struct replica_port ipv6_only[MESH_IPV6_ONLY_MAX]; /* replica_address.c */
    size_t ipv6_only_next;                             /* takes the place of the oldest */
    struct inherited *inherited;
    struct connection *connections;
    size_t connection_count, connection_max;
    unsigned busy; /* whatever holds on to this; the last one frees */
    bool is_retired, is_closing;
};

/* How many files MESH_FILES_SHARE is; at least one. */
size_t mesh_files_share(void);

void mesh_hold(struct mesh *mesh);
void mesh_release(struct mesh *mesh);

/* Says so by mesh_config.on_change. */
void mesh_say_change(const struct mesh *mesh);

/* The route of whoever has that address: NULL for the machine itself. False: it reaches nothing. */
bool mesh_asker_find(const struct mesh *mesh, const struct address *address,
                     const struct route **ret);

/* Whether that address may send to the service's virtual address; if so, whose it is, as
 * mesh_asker_find() says. */
bool mesh_may_reach(const struct mesh *mesh, const struct address *address,
                    const struct route *route, const struct route **ret_asker);

/* The service that has the address `meant` within the network by which `from` asks; NULL: none. */
const struct route *mesh_route_at(const struct mesh *mesh, const struct address *from,
                                  const struct address *meant);

/* listener.c: opens and closes listeners so that they are those of the routes; true if a port could
 * not be had and should be tried again. */
bool listeners_update(struct mesh *mesh);
void listeners_close(struct mesh *mesh);

/* inherit.c: that socket, which is the caller's from now on; or -1. */
int inherited_take(struct mesh *mesh, enum mesh_socket kind, uint16_t port);
void inherited_close(struct mesh *mesh);

/* Another descriptor of an open handle's socket, for mesh_retire(); or -1. */
int inherited_copy(uv_handle_t *handle);

/* Calls `give` for each open listener. */
void listeners_give(struct mesh *mesh,
                    void (*give)(void *context, enum mesh_socket kind, uint16_t port, int fd),
                    void *context);

/* Listens for connections that nftables redirects. 0 or a negative errno. */
int redirect_open(struct mesh *mesh, const struct address *gateway, struct listener **ret);

/* Where a replica's port is reached: at `first` or, if nobody listens there, at `second`, which may
 * be none. */
struct replica_addresses {
    struct address first, second;
};

/* replica_address.c: over the first of the networks that it is on. False: it does not run here, or
 * is on none of them. */
bool replica_addresses_find(const struct mesh *mesh, const struct replica_port *replica,
                            const struct text_list *networks, struct replica_addresses *ret);

/* From now on its IPv6 address is the first, or the IPv4 address as with all others. */
void replica_remember(struct mesh *mesh, const struct replica_port *replica, bool is_ipv6_only);

/* connection.c: passes an accepted socket to a replica of the service, over a network that it has
 * in common with the asker; `tcp` passes to it. `asker` is NULL for a published port, and for the
 * machine. */
void connection_start(struct mesh *mesh, uv_tcp_t *tcp, const struct route *asker,
                      const struct route *route, uint16_t target_port);

/* A connection that another peer passes to a replica here. */
void connection_accept(struct mesh *mesh, struct mux_stream *stream,
                       const struct mesh_header *header);
void connections_close(struct mesh *mesh);

/* Breaks those to that replica here; so does flows_cut(). */
void connections_cut(struct mesh *mesh, uint64_t generation);

/* datagrams.c: as listeners_update(), of UDP. */
bool datagrams_update(struct mesh *mesh);
void datagrams_close(struct mesh *mesh);

/* What comes from those that have a flow goes on to come here, when others have the ports. */
void datagrams_retire(struct mesh *mesh);

/* Why a published port is not served here; 0 if it is. */
int datagrams_error(const struct mesh *mesh, uint16_t published);

/* Answers a client. */
void datagram_port_send(struct datagram_port *port, const struct flow_key *key, struct bytes data);

/* A service's port that a client meant, and who that is, as of connection_start(). */
struct flow_target {
    const struct route *asker;
    struct route *route;
    uint16_t port;
};

/* flow.c: passes a client's datagram to a replica of the service. */
void flow_datagram(struct mesh *mesh, struct datagram_port *port, const struct flow_key *key,
                   const struct flow_target *target, struct bytes data);

/* Datagrams that another peer passes to a replica here. */
void flow_accept(struct mesh *mesh, struct mux_stream *stream, const struct mesh_header *header);

void flows_init(struct mesh *mesh);

/* Gives each flow that comes to a port a socket of its own, connected to the client. */
void flows_leave_ports(struct mesh *mesh);

/* Ends the flows that come to `port` and have no socket of their own; or all. */
void flows_end(struct mesh *mesh, const struct datagram_port *port);
void flows_cut(struct mesh *mesh, uint64_t generation);
void flows_done(struct mesh *mesh);
