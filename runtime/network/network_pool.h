/* Which of this machine's networks has which part of the subnet, and which addresses are taken.
 *
 * The subnet (10.88.0.0/16) is cut into blocks (of /22: 64). Block 0 has the gateway alone, where
 * the mesh and DNS are; each of the others belongs to one network as long as a container here is on
 * it: the first free one from where a hash of the network's name points. In a block the first
 * address is its bridge's, and the others are handed out in a circle. So no peer asks another: the
 * same address means another container at another peer, and is never sent there.
 *
 * The pool is in memory: each container's addresses are kept with its state, and taken again when
 * it is found, which tells its networks' blocks, too.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/bounds.h"
#include "runtime/container_spec.h"
#include "runtime/network/address_pool.h"

/* A container's ends of its cables: an address in each of its networks. The first `open_count` lead
 * to the world, the others are internal. */
struct network_ends {
    uint32_t ips[RUNTIME_NETWORKS_MAX]; /* host order */
    uint8_t count, open_count;
};

struct network_block {
    char *name;       /* NULL: no network has it */
    unsigned holders; /* containers' ends */
    struct address_pool addresses;
};

struct network_pool {
    uint32_t network;
    uint8_t prefix, block_prefix;
    struct network_block *blocks; /* the first is never used */
    size_t block_count;
};

/* The prefix of the blocks of a subnet with that prefix. */
uint8_t network_block_prefix(uint8_t subnet_prefix);

int network_pool_init(struct network_pool *pool, uint32_t network, uint8_t prefix);
void network_pool_done(struct network_pool *pool);

/* The name of the index-th network that such a container is on, which is where its index-th end is.
 */
const char *network_pool_name(const struct container_spec *spec, size_t index);

/* An address in each of the spec's networks. -EADDRNOTAVAIL: a network has no address left;
 * -ENOSPC: no block is left; -ENOMEM. Nothing is taken then. */
int network_pool_take(struct network_pool *pool, const struct container_spec *spec,
                      struct network_ends *ret);

/* Takes those of a container that was found. -EINVAL if they are not ones that it could have been
 * given, -EADDRINUSE; nothing is taken then. */
int network_pool_take_back(struct network_pool *pool, const struct container_spec *spec,
                           const struct network_ends *ends);
void network_pool_release(struct network_pool *pool, const struct network_ends *ends);
