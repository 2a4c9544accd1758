/* The packet filter's part in the containers' network.
 *
 * All rules of our own stand in the tables `ip consort` and `ip6 consort`, which are replaced as a
 * whole in one transaction:
 * - networks are kept apart: no packet passes from one's bridge to another's, and none comes from a
 * container with an address that is not its network's;
 * - an internal network has no way out but to the mesh and to names;
 * - what containers send to the world is masqueraded;
 * - strangers who route packets into the subnet are not let in: services are reached by the mesh;
 * - TCP to virtual addresses, from containers and from this machine, is redirected to the mesh,
 * which asks conntrack for the address that was meant (SO_ORIGINAL_DST). UDP needs no redirection:
 * virtual addresses are this machine's own, and the mesh has a socket at each that it serves.
 *
 * An accepting rule of ours does not overrule another table that drops. Docker (and iptables in its
 * nft form, and many hand-written firewalls) set a chain's policy to drop, so each such chain gets
 * rules that accept the bridge's traffic, marked with the comment "consort".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct firewall_config {
    const char *bridge;
    uint32_t network; /* of the containers; host order */
    uint8_t prefix;
    uint32_t gateway;
    uint32_t virtual_network;
    uint8_t virtual_prefix;
    uint16_t mesh_port; /* 0: no redirection */
    bool has_ipv6;      /* network_setup() finds out, as what follows */
    bool is_guarded;    /* guard.h: the kernel can filter on bridges */
};

/* 10.88.4.0/22 is block 4. */
uint16_t firewall_block(const struct firewall_config *config, uint32_t ip);

/* Puts all rules in place, or in place again. Blocks shortly; works in the calling thread's network
 * namespace. */
int firewall_apply(const struct firewall_config *config, struct error *error);

/* True if the table and the rules in chains that drop are in place. */
bool firewall_is_applied(const struct firewall_config *config);

/* Removes our tables. For leaving a cluster. */
int firewall_remove(struct error *error);

/* As before there was any IPv6: the rules of an earlier start go. */
void firewall_remove_ipv6(void);
