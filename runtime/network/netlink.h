/* The few requests to the kernel's network configuration that containers need, on libmnl.
 *
 * A connection belongs to the network namespace its thread was in when it was opened. Every request
 * waits for the kernel's answer, which comes at once. `ip` is an IPv4 address in host order, what
 * stands as a struct address is of either family, without its port. Functions return 0 or the
 * kernel's negative errno; adding what is there already is 0.
 */
#pragma once

#include <stdint.h>

#include "base/address.h"

struct netlink;

enum {
    NETLINK_MAC_BYTES = 6,
};

/* The MAC that is derived from `ip`. */
void netlink_make_mac(uint32_t ip, uint8_t ret[NETLINK_MAC_BYTES]);

int netlink_open(struct netlink **ret);
void netlink_close(struct netlink *netlink);

static inline void cleanup_netlink_pointer(struct netlink **netlink)
{
    netlink_close(*netlink);
}
#define cleanup_netlink __attribute__((cleanup(cleanup_netlink_pointer)))

/* Makes a bridge whose MAC is derived from `ip`: a bridge without one of its own changes its MAC
 * with its ports, and containers lose their gateway until ARP expires. */
int netlink_add_bridge(struct netlink *netlink, const char *name, uint32_t ip);

/* Makes a pair of veth: `name` here, `inside` in the namespace `netns_fd`, with a MAC derived from
 * `ip`, so that an address given to the next container never meets a stale ARP entry. -EEXIST if
 * `name` is taken. */
int netlink_add_veth(struct netlink *netlink, const char *name, const char *inside, int netns_fd,
                     uint32_t ip);

/* Sets an interface up, and makes it a port of the bridge with index `bridge` if that is not 0. */
int netlink_set_up(struct netlink *netlink, unsigned index, unsigned bridge);

int netlink_delete(struct netlink *netlink, unsigned index);

/* An IPv6 address is there at once, without a look whether another has it. */
int netlink_add_address(struct netlink *netlink, unsigned index, const struct address *address,
                        uint8_t prefix);

/* Prefix 0: the default route. */
int netlink_add_route(struct netlink *netlink, const struct address *network, uint8_t prefix,
                      const struct address *gateway);

/* Makes all of NETWORK/PREFIX this machine's own addresses ("AnyIP"), answering with `source`.
 * `index`: an interface that is up; nothing passes through it. */
int netlink_add_local_route(struct netlink *netlink, unsigned index, const struct address *network,
                            uint8_t prefix, const struct address *source);
int netlink_delete_local_route(struct netlink *netlink, const struct address *network,
                               uint8_t prefix);
