/* The daemon's side of the mesh process: starts it, or finds the one that runs already, tells it
 * what it is to know, and opens links for it.
 *
 * A process of this very program is taken over as it is. One of another build is told to end with
 * its last connection, and one of this build is started beside it; so is another when one dies.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/id.h"
#include "consensus/intent.h"
#include "node/control/view.h"
#include "node/transport/link.h"
#include "runtime/runtime.h"

struct mesh_host;

struct mesh_host_config {
    uv_loop_t *loop;
    const char *run_dir; /* where sockets to such processes are; NULL: none is started (tests) */
    const char *program; /* this one: "/proc/self/exe" */
    struct id self;
    void *context;
    const struct intent *(*intent)(void *context); /* borrowed until the loop goes on */
    const struct view *(*view)(void *context);
    /* Where containers' addresses come from; called once the gateway stands. */
    struct runtime_range (*range)(void *context);
    /* As replicas_each_address(). */
    void (*locals)(void *context,
                   void (*each)(void *each_context, uint64_t generation, const char *service,
                                const char *network, const struct address *address),
                   void *each_context);
    /* Whether that peer belongs to the cluster, as far as is known. */
    bool (*admits)(void *context, const struct id *peer);
    /* Dials it: mesh_host_link() or mesh_host_failed() follows, or a negative errno. */
    int (*dial)(void *context, const struct id *peer);
};

/* NULL when there is no memory. */
struct mesh_host *mesh_host_new(const struct mesh_host_config *config);

/* The bridge stands: containers' names and connections are served from now on. */
void mesh_host_gateway_ready(struct mesh_host *host, const struct address *gateway);

/* Services, replicas, peers or addresses may have changed; looked at from the loop, soon. Accepts
 * NULL. */
void mesh_host_changed(struct mesh_host *host);

/* A link for the mesh, dialed or accepted; `fd` and what the state holds pass. NULL: it is closed.
 */
void mesh_host_link(struct mesh_host *host, struct link_given *state, int fd);

/* The link that was to be dialed can't be had. Accepts NULL. */
void mesh_host_failed(struct mesh_host *host, const struct id *peer, int reason);

/* That peer was shut out. */
void mesh_host_drop(struct mesh_host *host, const struct id *peer);

/* As mesh_explain(), as the process said last. */
void mesh_host_explain(const struct mesh_host *host, const char *service, struct buffer *ret);

/* How many connections are passed on, as the process said last. */
size_t mesh_host_connection_count(const struct mesh_host *host);

/* Lets the process go on without a daemon, or ends it; frees from the loop. Accepts NULL. */
void mesh_host_close(struct mesh_host *host, bool ends_process);
