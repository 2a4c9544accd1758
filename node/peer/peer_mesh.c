/* What the mesh process is told by this peer, and what it has done for it. */
#include "node/mesh_process/host.h"
#include "node/peer/peer.h"
#include "node/peer/replicas.h"

static const struct intent *get_intent(void *context)
{
    return agent_intent(((struct peer *)context)->agent);
}

static const struct view *get_view(void *context)
{
    return agent_view(((struct peer *)context)->agent);
}

static void each_local(void *context,
                       void (*each)(void *each_context, uint64_t generation, const char *service,
                                    const char *network, const struct address *address),
                       void *each_context)
{
    replicas_each_address(((struct peer *)context)->replicas, each, each_context);
}

static struct runtime_range get_range(void *context)
{
    return runtime_range(((struct peer *)context)->runtime);
}

/* A peer whose key the intent knows and has not revoked. */
static bool is_admitted(void *context, const struct id *id)
{
    const struct intent_peer *known =
        intent_peer_find(agent_intent(((struct peer *)context)->agent), id);
    return known && intent_peer_is_member(known);
}

static int dial_for_mesh(void *context, const struct id *id)
{
    return links_dial_for_mesh(((struct peer *)context)->links, id);
}

void peer_mesh_link(void *context, struct link_given *state, int fd)
{
    mesh_host_link(((struct peer *)context)->mesh, state, fd);
}

void peer_mesh_link_failed(void *context, const struct id *id, int reason)
{
    mesh_host_failed(((struct peer *)context)->mesh, id, reason);
}

struct mesh_host *peer_mesh_new(struct peer *peer)
{
    const struct mesh_host_config config = {.loop = peer->loop,
                                            .run_dir = peer->options.run_dir,
                                            .program = "/proc/self/exe",
                                            .self = peer->identity.id,
                                            .context = peer,
                                            .intent = get_intent,
                                            .view = get_view,
                                            .range = get_range,
                                            .locals = each_local,
                                            .admits = is_admitted,
                                            .dial = dial_for_mesh};
    return mesh_host_new(&config);
}
