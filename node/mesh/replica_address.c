/* Where a replica here is reached: at IPv4 or, if a program listens there alone, at IPv6. Which
 * ports are such is remembered, so that it need not be found out each time. */
#include "node/mesh/mesh_private.h"

static bool is_same(const struct replica_port *a, const struct replica_port *b)
{
    return a->generation == b->generation && a->port == b->port && a->protocol == b->protocol;
}

/* Its place among those at IPv6 alone; MESH_IPV6_ONLY_MAX if it is none of them. */
static size_t find(const struct mesh *mesh, const struct replica_port *replica)
{
    size_t i = 0;
    while (i < MESH_IPV6_ONLY_MAX && !is_same(&mesh->ipv6_only[i], replica))
        i++;
    return i;
}

bool replica_addresses_find(const struct mesh *mesh, const struct replica_port *replica,
                            const struct text_list *networks, struct replica_addresses *ret)
{
    const struct mesh_config *config = &mesh->config;
    struct mesh_addresses known;
    if (!config->local_address(config->context, replica->generation, networks, &known))
        return false;
    known.ip4.port = known.ip6.port = replica->port;
    if (!known.has_ip6)
        *ret = (struct replica_addresses){.first = known.ip4};
    else if (find(mesh, replica) == MESH_IPV6_ONLY_MAX)
        *ret = (struct replica_addresses){.first = known.ip4, .second = known.ip6};
    else
        *ret = (struct replica_addresses){.first = known.ip6, .second = known.ip4};
    return true;
}

void replica_remember(struct mesh *mesh, const struct replica_port *replica, bool is_ipv6_only)
{
    size_t at = find(mesh, replica);
    bool is_known = at < MESH_IPV6_ONLY_MAX;
    if (is_known && !is_ipv6_only)
        mesh->ipv6_only[at] = (struct replica_port){0};
    else if (!is_known && is_ipv6_only)
        mesh->ipv6_only[mesh->ipv6_only_next++ % MESH_IPV6_ONLY_MAX] = *replica;
}
