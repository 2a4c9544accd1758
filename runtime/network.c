#include "runtime/network.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
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
#include "runtime/netlink.h"

static void cleanup_netlink(struct netlink **netlink)
{
    netlink_close(*netlink);
}

/* The veth's end on the bridge, named by the address's place in the subnet: "consort0-307". */
static void veth_name(const struct firewall_config *config, uint32_t ip, char ret[IF_NAMESIZE])
{
    int length = snprintf(ret, IF_NAMESIZE, "%s-%x", config->bridge, ip - config->network);
    assert(length < IF_NAMESIZE);
}

/* Tells the address of a veth of this bridge from its name. */
static bool veth_ip(const struct firewall_config *config, const char *name, uint32_t *ret)
{
    size_t length = strlen(config->bridge);
    if (strncmp(name, config->bridge, length) != 0 || name[length] != '-')
        return false;
    char *end;
    unsigned long offset = strtoul(name + length + 1, &end, 16);
    if (*end != '\0')
        return false;
    *ret = config->network + (uint32_t)offset;
    return true;
}

static int setup_bridge(const struct firewall_config *config, struct error *error)
{
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot open netlink");
    result = netlink_add_bridge(netlink, config->bridge, config->gateway);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot make bridge %s", config->bridge);
    unsigned bridge = if_nametoindex(config->bridge);
    result = netlink_add_address(netlink, bridge, config->gateway, config->prefix);
    if (result == 0)
        result = netlink_set_up(netlink, bridge, 0);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot give %s its address",
                               config->bridge);
    result = netlink_add_local_route(netlink, config->virtual_network, config->virtual_prefix,
                                     config->gateway);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot route the virtual addresses");

    /* A bridge that was deleted and made again has lost its ports. */
    struct if_nameindex *links = if_nameindex();
    for (struct if_nameindex *link = links; link && link->if_index != 0; link++) {
        uint32_t ip;
        if (veth_ip(config, link->if_name, &ip))
            netlink_set_up(netlink, link->if_index, bridge);
    }
    if_freenameindex(links);
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

int network_check(const struct firewall_config *config, struct error *error)
{
    if (if_nametoindex(config->bridge) != 0 && firewall_is_applied(config))
        return 0;
    log_warning("network: somebody removed the bridge or the firewall's rules; restoring them");
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

int network_teardown(const struct firewall_config *config)
{
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    netlink_delete_local_route(netlink, config->virtual_network, config->virtual_prefix);
    result = delete_link(config->bridge);
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
    uint32_t ip;
    uint32_t gateway;
    uint8_t prefix;
};

static int configure_interior(const void *context)
{
    const struct interior *interior = context;
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result < 0)
        return result;
    unsigned loopback = if_nametoindex("lo");
    unsigned ethernet = if_nametoindex("eth0");
    if (loopback == 0 || ethernet == 0)
        return -ENODEV;
    result = netlink_set_up(netlink, loopback, 0);
    if (result == 0)
        result = netlink_add_address(netlink, ethernet, interior->ip, interior->prefix);
    if (result == 0)
        result = netlink_set_up(netlink, ethernet, 0);
    if (result == 0)
        result = netlink_add_default_route(netlink, interior->gateway);
    return result;
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

/* All that a veth needs to work. Does no harm where it is done already. */
static int configure(const struct firewall_config *config, struct netlink *netlink, int netns_fd,
                     uint32_t ip)
{
    char name[IF_NAMESIZE];
    veth_name(config, ip, name);
    struct interior interior = {.ip = ip, .gateway = config->gateway, .prefix = config->prefix};
    int result = in_namespace(netns_fd, configure_interior, &interior);
    if (result < 0)
        return result;
    return netlink_set_up(netlink, if_nametoindex(name), if_nametoindex(config->bridge));
}

static int join(const struct firewall_config *config, int netns_fd, uint32_t ip)
{
    char name[IF_NAMESIZE];
    veth_name(config, ip, name);
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    if (result == 0)
        result = netlink_add_veth(netlink, name, netns_fd, ip);
    return result < 0 ? result : configure(config, netlink, netns_fd, ip);
}

/* A daemon that was killed may have made the veth and no more. */
static int join_again(const struct firewall_config *config, int netns_fd, uint32_t ip)
{
    __attribute__((cleanup(cleanup_netlink))) struct netlink *netlink = NULL;
    int result = netlink_open(&netlink);
    return result < 0 ? result : configure(config, netlink, netns_fd, ip);
}

int network_attach(const struct firewall_config *config, const char *netns_path, uint32_t ip,
                   struct error *error)
{
    char name[IF_NAMESIZE];
    veth_name(config, ip, name);
    cleanup_close int fd = -1;
    if (open_namespace(netns_path, &fd) == 0 && if_nametoindex(name) != 0 &&
        join_again(config, fd, ip) == 0)
        return 0;

    /* Half of it is as good as nothing: a namespace without its veth, or the reverse. */
    network_detach(config, netns_path, ip);
    if (fd >= 0)
        close(take_fd(fd));
    int result = in_namespace(-1, pin_namespace, netns_path);
    if (result == 0)
        result = open_namespace(netns_path, &fd);
    if (result < 0)
        return error_set_errno(error, result, "network: cannot make namespace %s", netns_path);
    result = join(config, fd, ip);
    if (result < 0) {
        network_detach(config, netns_path, ip);
        return error_set_errno(error, result, "network: cannot join %s to bridge %s", netns_path,
                               config->bridge);
    }
    return 0;
}

int network_detach(const struct firewall_config *config, const char *netns_path, uint32_t ip)
{
    int result = 0;
    if (ip != 0) {
        char name[IF_NAMESIZE];
        veth_name(config, ip, name);
        result = delete_link(name);
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
    struct if_nameindex *links = if_nameindex();
    for (struct if_nameindex *link = links; link && link->if_index != 0; link++) {
        uint32_t ip;
        if (!veth_ip(config, link->if_name, &ip) || is_used(context, ip))
            continue;
        log_notice("network: removing %s, which a crash left", link->if_name);
        delete_link(link->if_name);
    }
    if_freenameindex(links);
}
