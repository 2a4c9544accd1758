#include "runtime/network/network_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BITS = 6,        /* 64 blocks, if they do not get too small */
    BLOCK_PREFIX_MAX = 28, /* then fewer */
    ADDRESS_BITS = 32,
};

static const char default_name[] = "default"; /* of a container whose spec names none */

uint8_t network_block_prefix(uint8_t subnet_prefix)
{
    uint8_t prefix = subnet_prefix + BLOCK_BITS;
    if (prefix > BLOCK_PREFIX_MAX)
        prefix = BLOCK_PREFIX_MAX;
    return prefix > subnet_prefix ? prefix : subnet_prefix + 1;
}

int network_pool_init(struct network_pool *pool, uint32_t network, uint8_t prefix)
{
    *pool = (struct network_pool){
        .network = network, .prefix = prefix, .block_prefix = network_block_prefix(prefix)};
    pool->block_count = (size_t)1 << (pool->block_prefix - prefix);
    pool->blocks = calloc(pool->block_count, sizeof(*pool->blocks));
    return pool->blocks ? 0 : -ENOMEM;
}

static void free_block(struct network_block *block)
{
    free(block->name);
    address_pool_done(&block->addresses);
    *block = (struct network_block){0};
}

void network_pool_done(struct network_pool *pool)
{
    for (size_t i = 0; pool->blocks && i < pool->block_count; i++)
        free_block(&pool->blocks[i]);
    free(pool->blocks);
    pool->blocks = NULL;
}

/* FNV-1a: the same name begins at the same block on every machine, which is easier to read. */
static uint32_t hash(const char *name)
{
    uint32_t value = 2166136261u;
    for (; *name; name++)
        value = (value ^ (uint8_t)*name) * 16777619u;
    return value;
}

static int claim_block(struct network_pool *pool, size_t index, const char *name)
{
    struct network_block *block = &pool->blocks[index];
    uint32_t network = pool->network + ((uint32_t)index << (ADDRESS_BITS - pool->block_prefix));
    int result = address_pool_init(&block->addresses, network, pool->block_prefix);
    block->name = strdup(name);
    if (result == 0 && block->name)
        return 0;
    free_block(block);
    return -ENOMEM;
}

/* The block that the network has, or gets now. */
static int find_block(struct network_pool *pool, const char *name, struct network_block **ret)
{
    size_t usable = pool->block_count - 1, start = hash(name) % usable, free_index = 0;
    for (size_t i = 0; i < usable; i++) {
        size_t index = 1 + (start + i) % usable;
        struct network_block *block = &pool->blocks[index];
        if (block->name && strcmp(block->name, name) == 0) {
            *ret = block;
            return 0;
        }
        if (!block->name && free_index == 0)
            free_index = index;
    }
    if (free_index == 0)
        return -ENOSPC;
    int result = claim_block(pool, free_index, name);
    if (result == 0)
        *ret = &pool->blocks[free_index];
    return result;
}

static void give_up_if_unused(struct network_block *block)
{
    if (block->name && block->holders == 0)
        free_block(block);
}

static size_t block_index(const struct network_pool *pool, uint32_t ip)
{
    return (ip - pool->network) >> (ADDRESS_BITS - pool->block_prefix);
}

static void release_one(struct network_pool *pool, uint32_t ip)
{
    size_t index = block_index(pool, ip);
    if (ip < pool->network || index == 0 || index >= pool->block_count || !pool->blocks[index].name)
        return;
    struct network_block *block = &pool->blocks[index];
    address_pool_release(&block->addresses, ip);
    block->holders--;
    give_up_if_unused(block);
}

void network_pool_release(struct network_pool *pool, const struct network_ends *ends)
{
    for (size_t i = 0; i < ends->count; i++)
        release_one(pool, ends->ips[i]);
}

static size_t end_count(const struct container_spec *spec)
{
    size_t count = spec->networks.count + spec->internal_networks.count;
    return spec->network_mode == CONTAINER_NETWORK_BRIDGE ? (count > 0 ? count : 1) : 0;
}

const char *network_pool_name(const struct container_spec *spec, size_t index)
{
    if (index < spec->networks.count)
        return spec->networks.items[index];
    index -= spec->networks.count;
    return index < spec->internal_networks.count ? spec->internal_networks.items[index]
                                                 : default_name;
}

static uint8_t open_count(const struct container_spec *spec)
{
    return (uint8_t)(end_count(spec) - spec->internal_networks.count);
}

static int take_one(struct network_pool *pool, const char *name, uint32_t *ret_ip)
{
    struct network_block *block = NULL;
    int result = find_block(pool, name, &block);
    if (result < 0)
        return result;
    result = address_pool_take(&block->addresses, ret_ip);
    if (result == 0)
        block->holders++;
    else
        give_up_if_unused(block);
    return result;
}

int network_pool_take(struct network_pool *pool, const struct container_spec *spec,
                      struct network_ends *ret)
{
    struct network_ends ends = {0};
    size_t count = end_count(spec);
    for (size_t i = 0; i < count; i++) {
        int result = take_one(pool, network_pool_name(spec, i), &ends.ips[i]);
        if (result < 0) {
            network_pool_release(pool, &ends);
            return result;
        }
        ends.count++;
    }
    ends.open_count = count > 0 ? open_count(spec) : 0;
    *ret = ends;
    return 0;
}

static int take_back_one(struct network_pool *pool, const char *name, uint32_t ip)
{
    size_t index = block_index(pool, ip);
    if (ip < pool->network || index == 0 || index >= pool->block_count)
        return -EINVAL;
    struct network_block *block = &pool->blocks[index];
    if (block->name && strcmp(block->name, name) != 0)
        return -EADDRINUSE;
    int result = block->name ? 0 : claim_block(pool, index, name);
    if (result < 0)
        return result;
    result = address_pool_take_this(&block->addresses, ip);
    if (result == 0)
        block->holders++;
    else
        give_up_if_unused(block);
    return result;
}

int network_pool_take_back(struct network_pool *pool, const struct container_spec *spec,
                           const struct network_ends *ends)
{
    struct network_ends taken = {0};
    if (ends->count != end_count(spec) || (ends->count > 0 && ends->open_count != open_count(spec)))
        return -EINVAL;
    for (size_t i = 0; i < ends->count; i++) {
        int result = take_back_one(pool, network_pool_name(spec, i), ends->ips[i]);
        if (result < 0) {
            network_pool_release(pool, &taken);
            return result;
        }
        taken.ips[taken.count++] = ends->ips[i];
    }
    return 0;
}
