#include "runtime/network/network.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/file.h"
#include "runtime/network/netlink.h"

enum {
    GATEWAY_PREFIX = 32, /* it is reached through the networks' own bridges */
};

static void cleanup_netlink(struct netlink **netlink)
{
    netlink_close(*netlink);
}

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

static uint32_t bridge_gateway(const struct firewall_config *config, uint32_t ip)
{
    uint32_t mask = UINT32_MAX << (32 - network_block_prefix(config->prefix));
    return (ip & mask) + 1;
}

/* The bridge of the block that the address is in. */
static void bridge_name(const struct firewall_config *config, uint32_t ip, bool is_internal,
                        char ret[IF_NAMESIZE])
{
    uint32_t block = (ip - config->network) >> (32 - network_block_prefix(config->prefix));
    int length =
        snprintf(ret, IF_NAMESIZE, "%s%s%x", config->bridge, is_internal ? "ni" : "n", block);
    assert(length < IF_NAMESIZE);
}

static int make_bridge(struct netlink *netlink, const char *name, uint32_t gateway, uint8_t prefix)
{
    int result = netlink_add_bridge(netlink, name, gateway);
    unsigned index = if_nametoindex(name);
    if (result == 0)
        result = netlink_add_address(netlink, index, gateway, prefix);
    return result < 0 ? result : netlink_set_up(netlink, index, 0);
}

/* Puts the cable into its network's bridge, which is made if it is the first there. */
static int plug_in(const struct firewall_config *config, struct netlink *netlink, unsigned veth,
                   uint32_t ip, bool is_internal)
{
    char name[IF_NAMESIZE];
    bridge_name(config, ip, is_internal, name);
    int result = make_bridge(netlink, name, bridge_gateway(config, ip),
                             network_block_prefix(config->prefix));
    return result < 0 ? result : netlink_set_up(netlink, veth, if_nametoindex(name));
}

static int setup_bridge(const struct firewall_config *config, struct error *error)
{
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot open netlink");
    result = make_bridge(netlink, config->bridge, config->gateway, GATEWAY_PREFIX);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot make bridge %s", config->bridge);
    result = netlink_add_local_route(netlink, config->virtual_network, config->virtual_prefix,
                                     config->gateway);
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

int network_setup(const struct firewall_config *config, struct error *error)
{
    int result = setup_bridge(config, error);
    if (result < 0)
        return result;
    result = file_write_setting("/proc/sys/net/ipv4/ip_forward", "1");
    if (result < 0)
        return error_set_errno(error, result, "network: cannot enable forwarding");
    return firewall_apply(config, error);
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

int network_check(const struct firewall_config *config, struct error *error)
{
    if (all_bridges_are_there(config) && firewall_is_applied(config))
        return 0;
    log_warning("network: somebody removed a bridge or the firewall's rules; restoring them");
    return network_setup(config, error);
}

static int delete_link(const char *name)
{
    unsigned index = if_nametoindex(name);
    if (index == 0)
        return 0;
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
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
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    netlink_delete_local_route(netlink, config->virtual_network, config->virtual_prefix);
    result = delete_link(config->bridge);
    network_sweep(config, none_is_used, NULL);
    int firewall = firewall_remove(NULL);
    return result < 0 ? result : firewall;
}

/* Runs `function` with this thread in another network namespace (`netns_fd`, or -1 for a new one).
 * A worker thread that could not return would do everything else in the wrong network, so that is
 * where the daemon ends itself. */
static int in_namespace(int netns_fd, int (*function)(const void *context), const void *context)
{
    cleanup_close int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return -errno;
    int entered = netns_fd < 0 ? unshare(CLONE_NEWNET) : setns(netns_fd, CLONE_NEWNET);
    if (entered < 0)
        return -errno;
    int result = function(context);
    if (setns(home, CLONE_NEWNET) < 0) {
        log_error("network: cannot return from a container's network namespace: errno %d", errno);
        abort();
    }
    return result;
}

static int pin_namespace(const void *context)
{
    const char *path = context;
    cleanup_close int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0400);
    if (fd < 0)
        return -errno;
    return mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

struct interior {
    const struct firewall_config *config;
    const struct network_ends *ends;
};

static void ethernet_name(size_t index, char ret[IF_NAMESIZE])
{
    snprintf(ret, IF_NAMESIZE, "eth%u", (unsigned)index);
}

/* The way to the world; or, from internal networks alone, to the mesh and to names. */
static int add_routes(struct netlink *netlink, const struct interior *interior)
{
    const struct firewall_config *config = interior->config;
    const struct network_ends *ends = interior->ends;
    if (ends->count == 0)
        return 0;
    uint32_t gateway = bridge_gateway(config, ends->ips[0]);
    if (ends->open_count > 0)
        return netlink_add_route(netlink, 0, 0, gateway);
    int result = netlink_add_route(netlink, config->gateway, GATEWAY_PREFIX, gateway);
    return result < 0 ? result
                      : netlink_add_route(netlink, config->virtual_network, config->virtual_prefix,
                                          gateway);
}

static int configure_interior(const void *context)
{
    const struct interior *interior = context;
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    unsigned loopback = if_nametoindex("lo");
    if (loopback == 0)
        return -ENODEV;
    result = netlink_set_up(netlink, loopback, 0);
    for (size_t i = 0; i < interior->ends->count && result == 0; i++) {
        char name[IF_NAMESIZE];
        ethernet_name(i, name);
        unsigned ethernet = if_nametoindex(name);
        result = ethernet == 0
                     ? -ENODEV
                     : netlink_add_address(netlink, ethernet, interior->ends->ips[i],
                                           network_block_prefix(interior->config->prefix));
        if (result == 0)
            result = netlink_set_up(netlink, ethernet, 0);
    }
    return result < 0 ? result : add_routes(netlink, interior);
}

/* Opens the pinned namespace; -ENOENT if the path is no mount of one. */
static int open_namespace(const char *netns_path, int *ret_fd)
{
    cleanup_close int fd = open(netns_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat status, ours;
    if (fstat(fd, &status) < 0 || stat("/proc/thread-self/ns/net", &ours) < 0)
        return -errno;
    if (status.st_dev != ours.st_dev) /* all namespaces are on the kernel's nsfs */
        return -ENOENT;
    *ret_fd = take_fd(fd);
    return 0;
}

/* Lays one cable, unless it is there, and plugs it in; with `bridges` held. */
static int lay_cable(const struct firewall_config *config, struct netlink *netlink, int netns_fd,
                     const struct network_ends *ends, size_t index, bool is_there)
{
    char name[IF_NAMESIZE], inside[IF_NAMESIZE];
    bool is_internal = index >= ends->open_count;
    veth_name(config, ends->ips[index], is_internal, name);
    ethernet_name(index, inside);
    int result = is_there ? 0 : netlink_add_veth(netlink, name, inside, netns_fd, ends->ips[index]);
    return result < 0
               ? result
               : plug_in(config, netlink, if_nametoindex(name), ends->ips[index], is_internal);
}

/* With the cables there, what comes after them: a daemon that was killed may have laid them and no
 * more. Does no harm where all is done. */
static int join(const struct firewall_config *config, int netns_fd, const struct network_ends *ends,
                bool are_there)
{
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    pthread_mutex_lock(&bridges);
    for (size_t i = 0; i < ends->count && result == 0; i++)
        result = lay_cable(config, netlink, netns_fd, ends, i, are_there);
    pthread_mutex_unlock(&bridges);
    struct interior interior = {.config = config, .ends = ends};
    return result < 0 ? result : in_namespace(netns_fd, configure_interior, &interior);
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

int network_attach(const struct firewall_config *config, const char *netns_path,
                   const struct network_ends *ends, struct error *error)
{
    cleanup_close int fd = -1;
    if (open_namespace(netns_path, &fd) == 0 && has_all_cables(config, ends) &&
        join(config, fd, ends, true) == 0)
        return 0;

    /* Half of it is as good as nothing: a namespace without its veth, or the reverse. */
    network_detach(config, netns_path, ends);
    if (fd >= 0)
        close(take_fd(fd));
    int result = in_namespace(-1, pin_namespace, netns_path);
    if (result == 0)
        result = open_namespace(netns_path, &fd);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot make namespace %s", netns_path);
    result = join(config, fd, ends, false);
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
    int result = 0;
    pthread_mutex_lock(&bridges);
    for (size_t i = 0; i < ends->count; i++) {
        int one = pull_cable(config, ends->ips[i], i >= ends->open_count);
        result = one < 0 ? one : result;
    }
    pthread_mutex_unlock(&bridges);
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
}
