/* The containers' network on this machine: a bridge with the gateway's address, a network namespace
 * and a veth pair for each container, and the packet filter's rules.
 *
 *     container: eth0 10.88.3.7/16  ──veth──  consort0 10.88.0.1  ──masquerade──  the world
 *                                                └── virtual addresses ──> the mesh, in the daemon
 *
 * A namespace is pinned by a mount at RUN_DIR/netns/ID, so that it outlives a container's restarts
 * and the daemon. All functions block shortly, and belong on a worker thread; they work in the
 * daemon's own network namespace, which need not be the machine's first. Addresses: host order.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/firewall.h"

/* Makes the bridge, its address, forwarding, the route of the virtual addresses, and the rules.
 * What is there already is kept, so this repairs as well. */
int network_setup(const struct firewall_config *config, struct error *error);

/* Looks whether a firewall's reload dropped the rules, and puts them back. */
int network_check(const struct firewall_config *config, struct error *error);

/* Removes the bridge, the route and the rules. For leaving a cluster. */
int network_teardown(const struct firewall_config *config);

/* Makes what is missing of a container's network: the namespace pinned at `netns_path`, and in it
 * "lo" and "eth0" with address `ip`. */
int network_attach(const struct firewall_config *config, const char *netns_path, uint32_t ip,
                   struct error *error);

/* Undoes network_attach, wholly or what there is of it. */
int network_detach(const struct firewall_config *config, const char *netns_path, uint32_t ip);

/* Removes veths of the bridge whose address `is_used` does not know: a crash may leave them. */
void network_sweep(const struct firewall_config *config,
                   bool (*is_used)(void *context, uint32_t ip), void *context);
