#include "runtime/network/network.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/ula.h"
#include "runtime/file.h"
#include "runtime/network/address_rules.h"
#include "runtime/network/guard.h"
#include "runtime/network/interior.h"
#include "runtime/network/ipv6.h"
#include "runtime/network/namespace.h"
#include "runtime/network/netlink.h"
#include "runtime/network/network_private.h"
#include "runtime/network/nftables.h"

/* Bridges are made with their first port and removed with their last, by several workers at once:
 * whoever does either holds this. */
static pthread_mutex_t bridges = PTHREAD_MUTEX_INITIALIZER;

/* The machine's end of a cable, named by the address's place in the subnet: "consort0-407". */
static void veth_name(const struct firewall_config *config, uint32_t ip, bool is_internal,
                      char ret[IF_NAMESIZE])
{
    int length = snprintf(ret, IF_NAMESIZE, "%s%c%x", config->bridge, is_internal ? '_' : '-',
                          ip - config->network);
    assert(length < IF_NAMESIZE);
}

/* What stands behind our prefix in the name of an interface, as a number in hex. */
static bool parse_suffix(const struct firewall_config *config, const char *name, const char *mark,
                         uint32_t *ret)
{
    size_t length = strlen(config->bridge);
    if (strncmp(name, config->bridge, length) != 0 ||
        strncmp(name + length, mark, strlen(mark)) != 0)
        return false;
    const char *number = name + length + strlen(mark);
    if (*number == '\0' || number[strspn(number, "0123456789abcdef")] != '\0')
        return false;
    *ret = (uint32_t)strtoul(number, NULL, 16);
    return true;
}

/* Tells the address of a veth of ours from its name. */
static bool veth_ip(const struct firewall_config *config, const char *name, uint32_t *ret_ip,
                    bool *ret_internal)
{
    uint32_t offset;
    *ret_internal = parse_suffix(config, name, "_", &offset);
    if (!*ret_internal && !parse_suffix(config, name, "-", &offset))
        return false;
    *ret_ip = config->network + offset;
    return true;
}

static bool is_bridge(const struct firewall_config *config, const char *name)
{
    uint32_t block;
    return parse_suffix(config, name, "n", &block) || parse_suffix(config, name, "ni", &block);
}

uint32_t network_bridge_ip(const struct firewall_config *config, uint32_t ip)
{
    uint32_t mask = UINT32_MAX << (32 - network_block_prefix(config->prefix));
    return (ip & mask) + 1;
}

/* The bridge of the block that the address is in. */
static void bridge_name(const struct firewall_config *config, uint32_t ip, bool is_internal,
                        char ret[IF_NAMESIZE])
{
    int length = snprintf(ret, IF_NAMESIZE, "%s%s%x", config->bridge, is_internal ? "ni" : "n",
                          firewall_block(config, ip));
    assert(length < IF_NAMESIZE);
}

struct address network_ula(const struct firewall_config *config, uint32_t ip)
{
    return ula_make(firewall_block(config, ip), ip);
}

int network_add_address(const struct firewall_config *config, struct netlink *netlink,
                        unsigned index, uint32_t ip, uint8_t prefix)
{
    const struct address address = address_from_v4(ip, 0), ula = network_ula(config, ip);
    int result = netlink_add_address(netlink, index, &address, prefix);
    if (result < 0 || !config->has_ipv6)
        return result;
    result = netlink_add_address(netlink, index, &ula,
                                 prefix == GATEWAY_PREFIX ? GATEWAY_PREFIX6 : ULA_SUBNET_BITS);
    return result == -EACCES ? 0 : result; /* a container's own sysctls say that it has no IPv6 */
}

static int make_bridge(const struct firewall_config *config, struct netlink *netlink,
                       const char *name, uint32_t gateway, uint8_t prefix)
{
    int result = netlink_add_bridge(netlink, name, gateway);
    unsigned index = if_nametoindex(name);
    if (config->has_ipv6) {
        ipv6_set(name, "disable_ipv6", "0");
        ipv6_set(name, "accept_ra", "0"); /* no container is this machine's router */
        ipv6_set(name, "accept_dad", "0");
    }
    if (result == 0)
        result = network_add_address(config, netlink, index, gateway, prefix);
    return result < 0 ? result : netlink_set_up(netlink, index, 0);
}

static struct guard_port guard_port(const struct firewall_config *config, uint32_t ip,
                                    bool is_internal)
{
    struct guard_port port = {.ip = ip, .block = firewall_block(config, ip)};
    veth_name(config, ip, is_internal, port.name);
    return port;
}

/* Puts the cable into its network's bridge, which is made if it is the first there. */
static int plug_in(const struct firewall_config *config, struct netlink *netlink, unsigned veth,
                   uint32_t ip, bool is_internal)
{
    char name[IF_NAMESIZE];
    const struct guard_port port = guard_port(config, ip, is_internal);
    bridge_name(config, ip, is_internal, name);
    int result = make_bridge(config, netlink, name, network_bridge_ip(config, ip),
                             network_block_prefix(config->prefix));
    if (result == 0 && config->is_guarded)
        result = guard_add(&port);
    if (result == -ENOENT) /* somebody removed the table: network_check() makes it of all cables */
        result = 0;
    if (result == 0 && config->has_ipv6)
        ipv6_set(port.name, "disable_ipv6", "1"); /* a port has no address of its own */
    return result < 0 ? result : netlink_set_up(netlink, veth, if_nametoindex(name));
}

static int add_virtual(const struct firewall_config *config, struct netlink *netlink)
{
    const struct address network = address_from_v4(config->virtual_network, 0),
                         gateway = address_from_v4(config->gateway, 0),
                         network6 = ula_make(ULA_VIRTUAL_SUBNET, 0),
                         gateway6 = network_ula(config, config->gateway);
    unsigned index = if_nametoindex(config->bridge);
    int result =
        netlink_add_local_route(netlink, index, &network, config->virtual_prefix, &gateway);
    return result < 0 || !config->has_ipv6
               ? result
               : netlink_add_local_route(netlink, index, &network6, ULA_SUBNET_BITS, &gateway6);
}

static int setup_bridge(const struct firewall_config *config, struct error *error)
{
    cleanup_netlink struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot open netlink");
    result = make_bridge(config, netlink, config->bridge, config->gateway, GATEWAY_PREFIX);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot make bridge %s", config->bridge);
    result = add_virtual(config, netlink);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot route the virtual addresses");

    /* A bridge that was deleted and made again has lost its ports. */
    pthread_mutex_lock(&bridges);
    struct if_nameindex *links = if_nameindex();
    for (struct if_nameindex *link = links; link && link->if_index != 0; link++) {
        uint32_t ip;
        bool is_internal;
        if (veth_ip(config, link->if_name, &ip, &is_internal))
            plug_in(config, netlink, link->if_index, ip, is_internal);
    }
    if_freenameindex(links);
    pthread_mutex_unlock(&bridges);
    return 0;
}

static bool all_are_used(void *context, uint32_t ip)
{
    (void)context;
    (void)ip;
    return true;
}

/* The guard's table, made anew from the cables that there are and are used. */
static int setup_guard(const struct firewall_config *config,
                       bool (*is_used)(void *context, uint32_t ip), void *context,
                       struct error *error)
{
    pthread_mutex_lock(&bridges);
    struct if_nameindex *links = if_nameindex();
    size_t room = 0, count = 0;
    while (links && links[room].if_index != 0)
        room++;
    struct guard_port *ports = calloc(room + 1, sizeof(*ports));
    for (size_t i = 0; ports && i < room; i++) {
        uint32_t ip;
        bool is_internal;
        if (veth_ip(config, links[i].if_name, &ip, &is_internal) && is_used(context, ip))
            ports[count++] = guard_port(config, ip, is_internal);
    }
    int result = ports ? guard_apply(config->bridge, ports, count, error) : -ENOMEM;
    free(ports);
    if_freenameindex(links);
    pthread_mutex_unlock(&bridges);
    return result;
}

/* All but the guard, for the families that `config` has. */
static int apply(const struct firewall_config *config, struct error *error)
{
    int result = setup_bridge(config, error);
    if (result < 0)
        return result;
    result = file_write_setting("/proc/sys/net/ipv4/ip_forward", "1");
    if (result == 0 && config->has_ipv6)
        result = ipv6_enable_forwarding();
    if (result < 0)
        return error_set_errno(error, result, "network: cannot enable forwarding");
    return firewall_apply(config, error);
}

/* Everything is kept without IPv6 that can be had without. */
static int apply_without_ipv6(struct firewall_config *config, const char *why, struct error *error)
{
    log_notice("network: containers and services have IPv4 only: %s", why);
    config->has_ipv6 = false;
    firewall_remove_ipv6();
    return apply(config, error);
}

static int setup(struct firewall_config *config, struct error *error)
{
    struct error why = {0};
    int result;
    config->has_ipv6 = ipv6_is_on();
    config->is_guarded = false;
    if (!config->has_ipv6)
        result = apply_without_ipv6(config,
                                    "this machine has no IPv6, or net.ipv6.conf.all.disable_ipv6 "
                                    "is 1; once it has, restart consort",
                                    error);
    else if ((result = apply(config, &why)) < 0)
        result = apply_without_ipv6(config, why.message, error);
    if (result < 0)
        return result;
    config->is_guarded = setup_guard(config, all_are_used, NULL, &why) == 0;
    if (!config->is_guarded)
        log_warning("network: the kernel can't filter on bridges, so a container with CAP_NET_RAW "
                    "can claim another's address in its network: %s",
                    why.message);
    return 0;
}

int network_setup(struct firewall_config *config, struct error *error)
{
    int result = nftables_use(error);
    if (result < 0)
        return result;
    result = setup(config, error);
    nftables_release();
    return result;
}

/* Calls `visit` for each cable with its bridge's name, until it says true; true if it did. */
static bool find_cable(const struct firewall_config *config,
                       bool (*visit)(const void *context, const char *bridge), const void *context)
{
    bool is_found = false;
    struct if_nameindex *links = if_nameindex();
    for (struct if_nameindex *link = links; link && link->if_index != 0 && !is_found; link++) {
        uint32_t ip;
        bool is_internal;
        char bridge[IF_NAMESIZE];
        if (!veth_ip(config, link->if_name, &ip, &is_internal))
            continue;
        bridge_name(config, ip, is_internal, bridge);
        is_found = visit(context, bridge);
    }
    if_freenameindex(links);
    return is_found;
}

static bool is_missing(const void *context, const char *bridge)
{
    (void)context;
    return if_nametoindex(bridge) == 0;
}

static bool all_bridges_are_there(const struct firewall_config *config)
{
    pthread_mutex_lock(&bridges);
    bool are_there = !is_missing(NULL, config->bridge) && !find_cable(config, is_missing, NULL);
    pthread_mutex_unlock(&bridges);
    return are_there;
}

static int check(const struct firewall_config *config, struct error *error)
{
    if (all_bridges_are_there(config) && firewall_is_applied(config) &&
        (!config->is_guarded || guard_is_applied()))
        return 0;
    log_warning("network: somebody removed a bridge or the firewall's rules; restoring them");
    int result = apply(config, error);
    return result < 0 || !config->is_guarded ? result
                                             : setup_guard(config, all_are_used, NULL, error);
}

int network_check(const struct firewall_config *config, struct error *error)
{
    int result = nftables_use(error);
    if (result < 0)
        return result;
    result = check(config, error);
    nftables_release();
    return result;
}

static int delete_link(const char *name)
{
    unsigned index = if_nametoindex(name);
    if (index == 0)
        return 0;
    cleanup_netlink struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    result = netlink_delete(netlink, index);
    return result == -ENODEV ? 0 : result;
}

static bool none_is_used(void *context, uint32_t ip)
{
    (void)context;
    (void)ip;
    return false;
}

int network_teardown(const struct firewall_config *config)
{
    cleanup_netlink struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    const struct address network = address_from_v4(config->virtual_network, 0),
                         network6 = ula_make(ULA_VIRTUAL_SUBNET, 0);
    netlink_delete_local_route(netlink, &network, config->virtual_prefix);
    netlink_delete_local_route(netlink, &network6, ULA_SUBNET_BITS);
    result = delete_link(config->bridge);
    network_sweep(config, none_is_used, NULL);
    guard_remove_table();
    address_rules_remove();
    int firewall = firewall_remove(NULL);
    return result < 0 ? result : firewall;
}

/* Lays one cable, unless it is there, and plugs it in; with `bridges` held. */
static int lay_cable(const struct firewall_config *config, struct netlink *netlink, int netns_fd,
                     const struct network_ends *ends, size_t index, bool is_there)
{
    char name[IF_NAMESIZE], inside[IF_NAMESIZE];
    bool is_internal = index >= ends->open_count;
    veth_name(config, ends->ips[index], is_internal, name);
    interior_ethernet_name(index, inside);
    int result = is_there ? 0 : netlink_add_veth(netlink, name, inside, netns_fd, ends->ips[index]);
    return result < 0
               ? result
               : plug_in(config, netlink, if_nametoindex(name), ends->ips[index], is_internal);
}

/* With the cables there, what comes after them: a daemon that was killed may have laid them and no
 * more. Does no harm where all is done. */
static int join(const struct firewall_config *config, int netns_fd, const struct network_ends *ends,
                const struct network_subnets *subnets, bool are_there)
{
    cleanup_netlink struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    pthread_mutex_lock(&bridges);
    for (size_t i = 0; i < ends->count && result == 0; i++)
        result = lay_cable(config, netlink, netns_fd, ends, i, are_there);
    pthread_mutex_unlock(&bridges);
    return result < 0 ? result : interior_configure(config, netns_fd, ends, subnets);
}

static bool has_all_cables(const struct firewall_config *config, const struct network_ends *ends)
{
    for (size_t i = 0; i < ends->count; i++) {
        char name[IF_NAMESIZE];
        veth_name(config, ends->ips[i], i >= ends->open_count, name);
        if (if_nametoindex(name) == 0)
            return false;
    }
    return true;
}

int network_attach(const struct firewall_config *config, const char *netns_path, int userns_fd,
                   const struct network_ends *ends, const struct network_subnets *subnets,
                   struct error *error)
{
    cleanup_close int fd = -1;
    if (namespace_open(netns_path, &fd) == 0 && namespace_is_owned(fd, userns_fd) &&
        has_all_cables(config, ends) && join(config, fd, ends, subnets, true) == 0)
        return 0;

    /* Half of it is as good as nothing: a namespace without its veth, or the reverse. */
    network_detach(config, netns_path, ends);
    if (fd >= 0)
        close(take_fd(fd));
    int result = namespace_pin(netns_path, config->has_ipv6, userns_fd);
    if (result == 0)
        result = namespace_open(netns_path, &fd);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot make namespace %s", netns_path);
    result = join(config, fd, ends, subnets, false);
    if (result < 0) {
        network_detach(config, netns_path, ends);
        return error_set_errno(error, result, "network: cannot join %s to its networks",
                               netns_path);
    }
    return 0;
}

static bool is_same(const void *context, const char *bridge)
{
    return strcmp(context, bridge) == 0;
}

/* Whether a cable leads into the bridge that the block's cables of that kind are in. */
static bool has_cables(const struct firewall_config *config, const char *bridge)
{
    return find_cable(config, is_same, bridge);
}

/* Pulls one cable out, and its bridge down if it was the last; with `bridges` held. */
static int pull_cable(const struct firewall_config *config, uint32_t ip, bool is_internal)
{
    char name[IF_NAMESIZE];
    veth_name(config, ip, is_internal, name);
    int result = delete_link(name);
    bridge_name(config, ip, is_internal, name);
    if (result == 0 && if_nametoindex(name) != 0 && !has_cables(config, name))
        result = delete_link(name);
    return result;
}

int network_detach(const struct firewall_config *config, const char *netns_path,
                   const struct network_ends *ends)
{
    struct guard_port ports[RUNTIME_NETWORKS_MAX];
    size_t port_count = 0;
    int result = 0;
    pthread_mutex_lock(&bridges);
    for (size_t i = 0; i < ends->count; i++) {
        bool is_internal = i >= ends->open_count;
        ports[port_count] = guard_port(config, ends->ips[i], is_internal);
        port_count += if_nametoindex(ports[port_count].name) != 0;
        int one = pull_cable(config, ends->ips[i], is_internal);
        result = one < 0 ? one : result;
    }
    pthread_mutex_unlock(&bridges);
    /* The kernel takes 16 ms for it: not while others wait, nor before a first start. */
    for (size_t i = 0; i < port_count && config->is_guarded; i++) {
        int one = guard_remove(&ports[i]);
        result = one < 0 ? one : result;
    }
    if (umount2(netns_path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
        result = -errno;
    if (unlink(netns_path) < 0 && errno != ENOENT)
        result = -errno;
    return result;
}

void network_sweep(const struct firewall_config *config,
                   bool (*is_used)(void *context, uint32_t ip), void *context)
{
    pthread_mutex_lock(&bridges);
    struct if_nameindex *links = if_nameindex();
    for (struct if_nameindex *link = links; link && link->if_index != 0; link++) {
        uint32_t ip;
        bool is_internal;
        if (!veth_ip(config, link->if_name, &ip, &is_internal) || is_used(context, ip))
            continue;
        log_notice("network: removing %s, which a crash left", link->if_name);
        pull_cable(config, ip, is_internal);
    }
    for (struct if_nameindex *link = links; link && link->if_index != 0; link++)
        if (is_bridge(config, link->if_name) && !has_cables(config, link->if_name))
            delete_link(link->if_name);
    if_freenameindex(links);
    pthread_mutex_unlock(&bridges);
    /* a cable may have gone with its namespace, or be about to */
    struct error error = {0};
    if (config->is_guarded && setup_guard(config, is_used, context, &error) < 0)
        log_warning("network: %s", error.message);
}
