/* What both sides of a cable know: the machine's (network.c) and the container's (interior.c). */
#pragma once

#include <stdint.h>

#include "base/address.h"
#include "runtime/network/firewall.h"
#include "runtime/network/netlink.h"

enum {
    GATEWAY_PREFIX = 32, /* it is reached through the networks' own bridges */
    GATEWAY_PREFIX6 = 128,
};

/* The bridge's own address in the block that `ip` is in. */
uint32_t network_bridge_ip(const struct firewall_config *config, uint32_t ip);

/* The IPv6 address that goes with one of the subnet. */
struct address network_ula(const struct firewall_config *config, uint32_t ip);

/* Gives both to an interface. */
int network_add_address(const struct firewall_config *config, struct netlink *netlink,
                        unsigned index, uint32_t ip, uint8_t prefix);
