/* A container's network as it is seen from inside: interfaces, their addresses, and the routes. */
#pragma once

#include <net/if.h>

#include "runtime/network/network.h"

/* How the container's interface of that index is called: "eth0". */
void interior_ethernet_name(size_t index, char ret[IF_NAMESIZE]);

/* Sets "lo" and the interfaces of `ends` up, which are there, and adds the ways that they lead: the
 * first that leads to the world has the default route. 0 or a negative errno. */
int interior_configure(const struct firewall_config *config, int netns_fd,
                       const struct network_ends *ends, const struct network_subnets *subnets);
