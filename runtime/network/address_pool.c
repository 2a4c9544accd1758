#include "runtime/network/address_pool.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/ip_network.h"
#include "runtime/bounds.h"

enum {
    GATEWAY_OFFSET = 1,
    FIRST_OFFSET = 2,
    WORD_BITS = 64,
};

int subnet_parse(const char *text, uint32_t *ret_network, uint8_t *ret_prefix)
{
    struct ip_network network;
    if (ip_network_parse(text, &network) < 0 || !address_is_v4(&network.address) ||
        network.prefix < RUNTIME_SUBNET_PREFIX_MIN || network.prefix > RUNTIME_SUBNET_PREFIX_MAX)
        return -EINVAL;
    *ret_network = address_to_v4(&network.address);
    *ret_prefix = network.prefix;
    return 0;
}

static uint32_t pool_size(const struct address_pool *pool)
{
    return 1u << (32 - pool->prefix);
}

int address_pool_init(struct address_pool *pool, uint32_t network, uint8_t prefix)
{
    *pool = (struct address_pool){.network = network, .prefix = prefix, .last = GATEWAY_OFFSET};
    pool->taken = calloc(pool_size(pool) / WORD_BITS + 1, sizeof(*pool->taken));
    return pool->taken ? 0 : -ENOMEM;
}

void address_pool_done(struct address_pool *pool)
{
    free(pool->taken);
    pool->taken = NULL;
}

uint32_t address_pool_gateway(const struct address_pool *pool)
{
    return pool->network + GATEWAY_OFFSET;
}

static bool is_taken(const struct address_pool *pool, uint32_t offset)
{
    return pool->taken[offset / WORD_BITS] >> (offset % WORD_BITS) & 1;
}

int address_pool_take(struct address_pool *pool, uint32_t *ret_ip)
{
    uint32_t usable = pool_size(pool) - 1 - FIRST_OFFSET; /* the last address is the broadcast's */
    uint32_t offset = pool->last;
    for (uint32_t i = 0; i < usable; i++) {
        offset = offset + 1 < FIRST_OFFSET + usable ? offset + 1 : FIRST_OFFSET;
        if (is_taken(pool, offset))
            continue;
        pool->taken[offset / WORD_BITS] |= 1ull << (offset % WORD_BITS);
        pool->last = offset;
        *ret_ip = pool->network + offset;
        return 0;
    }
    return -EADDRNOTAVAIL;
}

static bool is_ours(const struct address_pool *pool, uint32_t ip)
{
    uint32_t offset = ip - pool->network;
    return offset >= FIRST_OFFSET && offset < pool_size(pool) - 1;
}

int address_pool_take_this(struct address_pool *pool, uint32_t ip)
{
    if (!is_ours(pool, ip))
        return -EINVAL;
    uint32_t offset = ip - pool->network;
    if (is_taken(pool, offset))
        return -EADDRINUSE;
    pool->taken[offset / WORD_BITS] |= 1ull << (offset % WORD_BITS);
    pool->last = offset;
    return 0;
}

void address_pool_release(struct address_pool *pool, uint32_t ip)
{
    if (!is_ours(pool, ip))
        return;
    uint32_t offset = ip - pool->network;
    pool->taken[offset / WORD_BITS] &= ~(1ull << (offset % WORD_BITS));
}
