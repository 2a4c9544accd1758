/* Which addresses of the bridge's subnet are taken.
 *
 * The pool is in memory; what makes it survive a restart is that each container's address is kept
 * with its state, and taken again when the container is found. Addresses are given out in a circle,
 * so that one is not used again soon after its container has gone.
 */
#pragma once

#include <stdint.h>

struct address_pool {
    uint32_t network; /* host order; its first address is the gateway's */
    uint8_t prefix;
    uint32_t last;   /* offset given out last */
    uint64_t *taken; /* a bit an address */
};

/* Parses "10.88.0.0/16": -EINVAL unless the prefix is between RUNTIME_SUBNET_PREFIX_MIN and _MAX
 * and no bit is set behind it. */
int subnet_parse(const char *text, uint32_t *ret_network, uint8_t *ret_prefix);

int address_pool_init(struct address_pool *pool, uint32_t network, uint8_t prefix);
void address_pool_done(struct address_pool *pool);

uint32_t address_pool_gateway(const struct address_pool *pool);

/* -EADDRNOTAVAIL when all are taken. */
int address_pool_take(struct address_pool *pool, uint32_t *ret_ip);

/* Takes a certain address: -EADDRINUSE, or -EINVAL if it is not one that the pool gives out. */
int address_pool_take_this(struct address_pool *pool, uint32_t ip);

/* Addresses that are not the pool's, such as 0, are ignored. */
void address_pool_release(struct address_pool *pool, uint32_t ip);
