/* The containers' networks on this machine: a bridge for each, with the first address of its block
 * (network_pool.h); a network namespace for each container, with a veth pair into each of its
 * networks; and the packet filter's rules.
 *
 * With IPv6, each of these addresses has another by its side (base/ula.h).
 *
 *     container: eth0 10.88.4.7/22  ──veth──  consort0n1 10.88.4.1  ──masquerade──  the world
 *                eth1 10.88.8.3/22  ──veth──  consort0ni2 (internal: no way out)
 *                                    └── 10.88.0.1 on consort0, virtual addresses ──> the mesh
 *
 * Every name tells what it is for: the bridge of block 1 is "consort0n1", or "consort0ni1" if it is
 * internal; the machine's end of 10.88.4.7 is "consort0-407", or "consort0_407". So whatever is
 * lost or left over can be told without asking anybody. A bridge is made with its first cable, and
 * removed with its last.
 *
 * A namespace is pinned by a mount at RUN_DIR/netns/ID, so that it outlives a container's restarts
 * and the daemon. All functions block shortly, and belong on a worker thread; they work in the
 * daemon's own network namespace, which need not be the machine's first. Addresses: host order.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/ip_network.h"
#include "runtime/network/firewall.h"
#include "runtime/network/network_pool.h"

/* Makes the bridge that holds the gateway, its address, forwarding, the route of the virtual
 * addresses, and the rules. What is there already is kept. Finds out, and writes to `config`,
 * whether there is IPv6, and whether cables can be guarded (guard.h); a machine that lacks either
 * goes without. Before any other call here. */
int network_setup(struct firewall_config *config, struct error *error);

/* Looks whether a firewall's reload dropped the rules, and puts them back. */
int network_check(const struct firewall_config *config, struct error *error);

/* Removes the bridges, the route and the rules. For leaving a cluster. */
int network_teardown(const struct firewall_config *config);

/* Ranges of addresses that lead into one of the container's networks. */
struct network_subnet {
    struct ip_network subnet;
    size_t end; /* which of its ends */
};
struct network_subnets {
    struct network_subnet items[RUNTIME_SUBNETS_MAX];
    size_t count;
};

/* Makes what is missing of a container's network: the namespace pinned at `netns_path`, owned by
 * the user namespace `userns_fd` unless that is -1, and in it "lo" and, for each address of `ends`,
 * "eth0", "eth1", … The first that leads to the world has the default route; `subnets` lead each to
 * its own. */
int network_attach(const struct firewall_config *config, const char *netns_path, int userns_fd,
                   const struct network_ends *ends, const struct network_subnets *subnets,
                   struct error *error);

/* Undoes network_attach, wholly or what there is of it. */
int network_detach(const struct firewall_config *config, const char *netns_path,
                   const struct network_ends *ends);

/* Removes veths whose address `is_used` does not know, and bridges without any: a crash may leave
 * them. */
void network_sweep(const struct firewall_config *config,
                   bool (*is_used)(void *context, uint32_t ip), void *context);
