#include "runtime/network/interior.h"

#include <errno.h>
#include <stdio.h>

#include "base/ula.h"
#include "runtime/network/namespace.h"
#include "runtime/network/netlink.h"
#include "runtime/network/network_private.h"

struct interior {
    const struct firewall_config *config;
    const struct network_ends *ends;
    const struct network_subnets *subnets;
};

void interior_ethernet_name(size_t index, char ret[IF_NAMESIZE])
{
    snprintf(ret, IF_NAMESIZE, "eth%u", (unsigned)index);
}

/* By the container's own sysctls, and so there is no way either. */
static bool is_without_ipv6(int result)
{
    return result == -EACCES || result == -ENETUNREACH || result == -EHOSTUNREACH;
}

/* The way to the world; or, from internal networks alone, to the mesh and to names. */
static int add_ways(struct netlink *netlink, bool is_open, const struct address *bridge,
                    const struct address *gateway, uint8_t gateway_prefix,
                    const struct address *virtual, uint8_t virtual_prefix)
{
    if (is_open)
        return netlink_add_route(netlink, virtual, 0, bridge);
    int result = netlink_add_route(netlink, gateway, gateway_prefix, bridge);
    return result < 0 ? result : netlink_add_route(netlink, virtual, virtual_prefix, bridge);
}

/* A route to the containers' own block, or to the gateway, is not for a file to make. */
static bool is_own(const struct firewall_config *config, const struct ip_network *subnet)
{
    const struct ip_network own = {address_from_v4(config->network, 0), config->prefix},
                            own6 = {ula_make(0, 0), ULA_PREFIX_BITS};
    const struct ip_network *same = address_is_v4(&subnet->address) ? &own : &own6;
    return subnet->prefix >= same->prefix && ip_network_has(same, &subnet->address);
}

/* What belongs to one of its networks goes there; if to several, to the first. */
static int add_subnets(struct netlink *netlink, const struct interior *interior)
{
    const struct firewall_config *config = interior->config;
    int result = 0;
    for (size_t i = interior->subnets->count; i-- > 0 && result == 0;) {
        const struct network_subnet *item = &interior->subnets->items[i];
        bool is_v4 = address_is_v4(&item->subnet.address);
        if (item->end >= interior->ends->count || is_own(config, &item->subnet) ||
            (!is_v4 && !config->has_ipv6))
            continue;
        uint32_t ip = network_bridge_ip(config, interior->ends->ips[item->end]);
        const struct address bridge = is_v4 ? address_from_v4(ip, 0) : network_ula(config, ip);
        result = netlink_add_route(netlink, &item->subnet.address, item->subnet.prefix, &bridge);
        if (!is_v4 && is_without_ipv6(result))
            result = 0;
    }
    return result;
}

static int add_routes(struct netlink *netlink, const struct interior *interior)
{
    const struct firewall_config *config = interior->config;
    const struct network_ends *ends = interior->ends;
    if (ends->count == 0)
        return 0;
    uint32_t ip = network_bridge_ip(config, ends->ips[0]);
    const struct address bridge = address_from_v4(ip, 0),
                         gateway = address_from_v4(config->gateway, 0),
                         virtual = address_from_v4(config->virtual_network, 0),
                         bridge6 = network_ula(config, ip),
                         gateway6 = network_ula(config, config->gateway),
                         virtual6 = ula_make(ULA_VIRTUAL_SUBNET, 0);
    bool is_open = ends->open_count > 0;
    int result = add_ways(netlink, is_open, &bridge, &gateway, GATEWAY_PREFIX, &virtual,
                          config->virtual_prefix);
    if (result < 0 || !config->has_ipv6)
        return result;
    result = add_ways(netlink, is_open, &bridge6, &gateway6, GATEWAY_PREFIX6, &virtual6,
                      ULA_SUBNET_BITS);
    return is_without_ipv6(result) ? 0 : result;
}

static int configure(const void *context)
{
    const struct interior *interior = context;
    cleanup_netlink struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    unsigned loopback = if_nametoindex("lo");
    if (loopback == 0)
        return -ENODEV;
    result = netlink_set_up(netlink, loopback, 0);
    for (size_t i = 0; i < interior->ends->count && result == 0; i++) {
        char name[IF_NAMESIZE];
        interior_ethernet_name(i, name);
        unsigned ethernet = if_nametoindex(name);
        result =
            ethernet == 0
                ? -ENODEV
                : network_add_address(interior->config, netlink, ethernet, interior->ends->ips[i],
                                      network_block_prefix(interior->config->prefix));
        if (result == 0)
            result = netlink_set_up(netlink, ethernet, 0);
    }
    if (result == 0)
        result = add_routes(netlink, interior);
    return result < 0 ? result : add_subnets(netlink, interior);
}

int interior_configure(const struct firewall_config *config, int netns_fd,
                       const struct network_ends *ends, const struct network_subnets *subnets)
{
    struct interior interior = {.config = config, .ends = ends, .subnets = subnets};
    return namespace_run(netns_fd, configure, &interior);
}
