/* The address that a peer advertises when it is not told one: found among the machine's networks,
 * and looked for again now and then, since machines move.
 */
#pragma once

#include <stdbool.h>

#include "base/address.h"

struct own_address;
struct peer;

/* The first address that is neither loopback nor Consort's own, IPv4 before IPv6: right for a
 * machine with one network. False if there is none. The port is 0. */
bool own_address_find(struct address *ret);

/* Watches over the advertised address, and tells the others when the machine has another one
 * instead; NULL when there is no memory. */
struct own_address *own_address_new(struct peer *peer);

/* Stops; frees from the loop. NULL is accepted. */
void own_address_close(struct own_address *own);
