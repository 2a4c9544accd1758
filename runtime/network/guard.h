/* Keeps a container from speaking in another's name on its network's bridge: with CAP_NET_RAW,
 * which containers have by default, a program could answer ARP and neighbour solicitations for
 * others, or for the gateway, and read what is meant for them.
 *
 * The table `bridge consort` lets pass of each cable (a bridge's port, named after the container's
 * address) only what bears the container's own MAC and its own addresses: as sender, in ARP, and as
 * what a neighbour advertisement is about. No container is a router, so router advertisements and
 * redirects are dropped, as is all that is neither ARP nor IP. A cable's addresses follow from one
 * number, so that nothing has to be kept: the table is made anew from the cables that are there.
 *
 * Everything blocks shortly, and works in the calling thread's network namespace.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guard_port {
    char name[16]; /* of the cable's end here; IF_NAMESIZE */
    uint32_t ip;   /* the container's, host order */
    uint16_t block;
};

/* Puts the table in place, or in place again, for cables of the bridge's name and these ports. */
int guard_apply(const char *bridge, const struct guard_port *ports, size_t count,
                struct error *error);
bool guard_is_applied(void);
int guard_remove_table(void);

/* One more cable, or one less; what is there, or gone, already is 0. -ENOENT: there is no table. */
int guard_add(const struct guard_port *port);
int guard_remove(const struct guard_port *port);
