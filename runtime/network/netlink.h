/* The few requests to the kernel's network configuration that containers need, on libmnl.
 *
 * A connection belongs to the network namespace its thread was in when it was opened. Every request
 * waits for the kernel's answer, which comes at once. IPv4 addresses are in host order. Functions
 * return 0 or the kernel's negative errno; adding what is there already is 0.
 */
#pragma once

#include <stdint.h>

struct netlink;

int netlink_open(struct netlink **ret);
void netlink_close(struct netlink *netlink);

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

int netlink_add_address(struct netlink *netlink, unsigned index, uint32_t ip, uint8_t prefix);

/* Prefix 0: the default route. */
int netlink_add_route(struct netlink *netlink, uint32_t network, uint8_t prefix, uint32_t gateway);

/* Makes all of NETWORK/PREFIX this machine's own addresses ("AnyIP"), answering with `source`. */
int netlink_add_local_route(struct netlink *netlink, uint32_t network, uint8_t prefix,
                            uint32_t source);
int netlink_delete_local_route(struct netlink *netlink, uint32_t network, uint8_t prefix);
