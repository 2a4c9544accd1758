#include "runtime/network/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NETLINK_MESSAGE_BYTES = 4096, /* our requests take less than 200 */
};

struct netlink {
    struct mnl_socket *socket;
    uint32_t sequence;
    struct nlmsghdr *request;
    union {
        uint8_t bytes[NETLINK_MESSAGE_BYTES];
        struct nlmsghdr align;
    } memory;
};

int netlink_open(struct netlink **ret)
{
    struct netlink *netlink = calloc(1, sizeof(*netlink));
    if (!netlink)
        return -ENOMEM;
    netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!netlink->socket || mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int result = -errno;
        netlink_close(netlink);
        return result;
    }
    netlink->sequence = (uint32_t)time(NULL);
    *ret = netlink;
    return 0;
}

void netlink_close(struct netlink *netlink)
{
    if (!netlink)
        return;
    if (netlink->socket)
        mnl_socket_close(netlink->socket);
    free(netlink);
}

static void begin(struct netlink *netlink, uint16_t type, uint16_t flags)
{
    netlink->request = mnl_nlmsg_put_header(netlink->memory.bytes);
    netlink->request->nlmsg_type = type;
    netlink->request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    netlink->request->nlmsg_seq = ++netlink->sequence;
}

/* Sends the request and waits for its acknowledgement. */
static int finish(struct netlink *netlink)
{
    if (mnl_socket_sendto(netlink->socket, netlink->request, netlink->request->nlmsg_len) < 0)
        return -errno;
    unsigned port = mnl_socket_get_portid(netlink->socket);
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
        ssize_t got =
            mnl_socket_recvfrom(netlink->socket, netlink->memory.bytes, NETLINK_MESSAGE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        more = mnl_cb_run(netlink->memory.bytes, (size_t)got, netlink->sequence, port, NULL, NULL);
    }
    return more == MNL_CB_STOP ? 0 : -errno;
}

static struct ifinfomsg *put_link(struct netlink *netlink, unsigned index)
{
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(netlink->request, sizeof(*link));
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = (int)index;
    return link;
}

/* 02:42 is in the locally administered range, and what Docker made familiar for this. */
void netlink_make_mac(uint32_t ip, uint8_t ret[NETLINK_MAC_BYTES])
{
    uint32_t network_order = htonl(ip);
    ret[0] = 0x02;
    ret[1] = 0x42;
    memcpy(ret + 2, &network_order, sizeof(network_order));
}

static void put_mac(struct netlink *netlink, uint32_t ip)
{
    uint8_t mac[NETLINK_MAC_BYTES];
    netlink_make_mac(ip, mac);
    mnl_attr_put(netlink->request, IFLA_ADDRESS, sizeof(mac), mac);
}

static int ignore_existing(int result)
{
    return result == -EEXIST ? 0 : result;
}

int netlink_add_bridge(struct netlink *netlink, const char *name, uint32_t ip)
{
    begin(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    put_link(netlink, 0);
    mnl_attr_put_strz(netlink->request, IFLA_IFNAME, name);
    put_mac(netlink, ip);
    struct nlattr *info = mnl_attr_nest_start(netlink->request, IFLA_LINKINFO);
    mnl_attr_put_str(netlink->request, IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(netlink->request, info);
    return ignore_existing(finish(netlink));
}

int netlink_add_veth(struct netlink *netlink, const char *name, const char *inside, int netns_fd,
                     uint32_t ip)
{
    begin(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    put_link(netlink, 0);
    mnl_attr_put_strz(netlink->request, IFLA_IFNAME, name);
    struct nlattr *info = mnl_attr_nest_start(netlink->request, IFLA_LINKINFO);
    mnl_attr_put_str(netlink->request, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(netlink->request, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(netlink->request, VETH_INFO_PEER);
    put_link(netlink, 0);
    mnl_attr_put_strz(netlink->request, IFLA_IFNAME, inside);
    mnl_attr_put_u32(netlink->request, IFLA_NET_NS_FD, (uint32_t)netns_fd);
    put_mac(netlink, ip);
    mnl_attr_nest_end(netlink->request, peer);
    mnl_attr_nest_end(netlink->request, data);
    mnl_attr_nest_end(netlink->request, info);
    return finish(netlink);
}

int netlink_set_up(struct netlink *netlink, unsigned index, unsigned bridge)
{
    begin(netlink, RTM_NEWLINK, 0);
    struct ifinfomsg *link = put_link(netlink, index);
    link->ifi_flags = IFF_UP;
    link->ifi_change = IFF_UP;
    if (bridge != 0)
        mnl_attr_put_u32(netlink->request, IFLA_MASTER, bridge);
    return finish(netlink);
}

int netlink_delete(struct netlink *netlink, unsigned index)
{
    begin(netlink, RTM_DELLINK, 0);
    put_link(netlink, index);
    return finish(netlink);
}

static uint8_t family_of(const struct address *address)
{
    return address_is_v4(address) ? AF_INET : AF_INET6;
}

static void put_address(struct netlink *netlink, uint16_t type, const struct address *address)
{
    size_t skipped = address_is_v4(address) ? sizeof(address->ip) - sizeof(struct in_addr) : 0;
    mnl_attr_put(netlink->request, type, sizeof(address->ip) - skipped, address->ip + skipped);
}

static struct address broadcast_of(const struct address *address, uint8_t prefix)
{
    return address_from_v4(address_to_v4(address) | (prefix < 32 ? UINT32_MAX >> prefix : 0), 0);
}

int netlink_add_address(struct netlink *netlink, unsigned index, const struct address *address,
                        uint8_t prefix)
{
    begin(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    struct ifaddrmsg *message = mnl_nlmsg_put_extra_header(netlink->request, sizeof(*message));
    message->ifa_family = family_of(address);
    message->ifa_prefixlen = prefix;
    message->ifa_scope = RT_SCOPE_UNIVERSE;
    message->ifa_index = index;
    put_address(netlink, IFA_LOCAL, address);
    put_address(netlink, IFA_ADDRESS, address);
    if (message->ifa_family == AF_INET) {
        const struct address broadcast = broadcast_of(address, prefix);
        put_address(netlink, IFA_BROADCAST, &broadcast);
    } else {
        mnl_attr_put_u32(netlink->request, IFA_FLAGS, IFA_F_NODAD);
    }
    return ignore_existing(finish(netlink));
}

static struct rtmsg *put_route(struct netlink *netlink, const struct address *network,
                               uint8_t prefix)
{
    struct rtmsg *route = mnl_nlmsg_put_extra_header(netlink->request, sizeof(*route));
    route->rtm_family = family_of(network);
    route->rtm_dst_len = prefix;
    route->rtm_protocol = RTPROT_STATIC;
    if (prefix > 0)
        put_address(netlink, RTA_DST, network);
    return route;
}

int netlink_add_route(struct netlink *netlink, const struct address *network, uint8_t prefix,
                      const struct address *gateway)
{
    begin(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *route = put_route(netlink, network, prefix);
    route->rtm_table = RT_TABLE_MAIN;
    route->rtm_type = RTN_UNICAST;
    route->rtm_scope = RT_SCOPE_UNIVERSE;
    put_address(netlink, RTA_GATEWAY, gateway);
    return finish(netlink);
}

int netlink_add_local_route(struct netlink *netlink, unsigned index, const struct address *network,
                            uint8_t prefix, const struct address *source)
{
    begin(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *route = put_route(netlink, network, prefix);
    route->rtm_table = RT_TABLE_LOCAL;
    route->rtm_type = RTN_LOCAL;
    route->rtm_scope = RT_SCOPE_HOST;
    mnl_attr_put_u32(netlink->request, RTA_OIF, index);
    put_address(netlink, RTA_PREFSRC, source);
    return finish(netlink);
}

int netlink_delete_local_route(struct netlink *netlink, const struct address *network,
                               uint8_t prefix)
{
    begin(netlink, RTM_DELROUTE, 0);
    struct rtmsg *route = put_route(netlink, network, prefix);
    route->rtm_table = RT_TABLE_LOCAL;
    route->rtm_type = RTN_LOCAL;
    route->rtm_scope = RT_SCOPE_NOWHERE;
    return finish(netlink);
}
