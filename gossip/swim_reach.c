/* Reaching those who are not there: seeds, to join by, and the dead, who may only be cut off. So a
 * partition heals by itself, from whichever side gets through first. Of the dead that are forgotten
 * some stay as seeds: else two sides that were apart for longer than that would stay so for good.
 */
#include "gossip/swim_internal.h"

#include <errno.h>

enum {
    REACH_PACE_MS = 200,     /* between two dead peers that are tried */
    SEED_ALONE_BACKOFFS = 4, /* alone, a seed is tried at least every 4 * reconnect_min_ms */
};

void reach_soon(struct swim *swim)
{
    swim->reach_ms = swim->now_ms;
}

void reach_again(struct swim *swim)
{
    for (size_t i = 0; i < swim->doubted_count; i++) {
        struct suspicion *suspicion = swim->doubted[i]->suspicion;
        suspicion->reconnect_ms = swim->now_ms;
        suspicion->reconnect_backoff_ms = swim->config.reconnect_min_ms;
    }
    reach_soon(swim);
}

static struct seed *find_seed(struct swim *swim, const struct address *address)
{
    for (size_t i = 0; i < swim->seed_count; i++)
        if (address_equal(&swim->seeds[i].address, address))
            return &swim->seeds[i];
    return NULL;
}

static void remove_seed_at(struct swim *swim, size_t index)
{
    swim->seed_count--;
    for (size_t i = index; i < swim->seed_count; i++)
        swim->seeds[i] = swim->seeds[i + 1];
}

/* Gives up a seed that is left of a forgotten member; false if there is none. Any of them, so that
 * not all peers keep the same few. */
static bool make_room(struct swim *swim)
{
    size_t chosen = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < swim->seed_count; i++)
        if (swim->seeds[i].was_member && random_below(&swim->random, ++count) == 0)
            chosen = i;
    if (count == 0)
        return false;
    remove_seed_at(swim, chosen);
    return true;
}

int swim_add_seed(struct swim *swim, const struct id *id, const struct address *address)
{
    if (address_is_none(address))
        return -EINVAL;
    struct seed *known = find_seed(swim, address);
    if (known) {
        if (id)
            known->id = *id;
        known->was_member = false;
        return 0;
    }
    if (swim->seed_count == SWIM_SEEDS_MAX && !make_room(swim))
        return -ENOSPC;
    swim->seeds[swim->seed_count++] = (struct seed){
        .id = id ? *id : ID_NONE,
        .address = *address,
        .next_ms = swim->now_ms,
        .backoff_ms = swim->config.reconnect_min_ms,
    };
    reach_soon(swim);
    return 0;
}

void swim_remove_seed(struct swim *swim, const struct address *address)
{
    size_t kept = 0;
    for (size_t i = 0; i < swim->seed_count; i++)
        if (!address_equal(&swim->seeds[i].address, address))
            swim->seeds[kept++] = swim->seeds[i];
    swim->seed_count = kept;
}

static uint32_t next_backoff_ms(const struct swim *swim, uint32_t backoff_ms, uint32_t max_ms)
{
    if (backoff_ms < swim->config.reconnect_min_ms)
        backoff_ms = swim->config.reconnect_min_ms;
    return backoff_ms > max_ms / 2 ? max_ms : 2 * backoff_ms;
}

/* Waits vary widely, so that peers that were cut off together don't all try at the same times. */
static int64_t jittered_ms(struct swim *swim, uint32_t wait_ms)
{
    return wait_ms / 2 + (int64_t)random_below(&swim->random, (uint64_t)wait_ms + 1);
}

/* Whether a live member (ourselves included) is what the seed leads to. */
static bool seed_is_met(const struct swim *swim, const struct seed *seed)
{
    const struct member *member = member_find(swim, &seed->id);
    if (member)
        return member_is_live(member);
    for (size_t i = 0; i < swim->members.count; i++)
        if (member_is_live(member_at(swim, i)) &&
            address_equal(member_address(member_at(swim, i)), &seed->address))
            return true;
    return false;
}

void seed_forgotten(struct swim *swim, const struct member *member)
{
    const struct address *address = member_address(member);
    struct seed *known = find_seed(swim, address);
    if (known && known->was_member)
        known->id = *member_id(member); /* the last one that was there */
    if (known || address_is_none(address))
        return;
    if (swim->seed_count == SWIM_SEEDS_MAX && !make_room(swim))
        return;
    /* It was tried in vain all along: no sooner than before. */
    uint32_t backoff_ms = swim->config.reconnect_max_ms;
    swim->seeds[swim->seed_count++] = (struct seed){
        .id = *member_id(member),
        .address = *address,
        .next_ms = swim->now_ms + jittered_ms(swim, backoff_ms),
        .backoff_ms = backoff_ms,
        .was_member = true,
    };
    reach_soon(swim);
}

/* Whether a seed that is left of a forgotten member has done its service, or may not do it. */
static bool is_spent(const struct swim *swim, const struct seed *seed)
{
    return seed->was_member && (swim_is_revoked(swim, &seed->id) || seed_is_met(swim, seed));
}

static void try_seed(struct swim *swim, struct seed *seed)
{
    uint32_t max_ms = swim->config.reconnect_max_ms;
    if (swim->live_count <= 1 && swim->config.reconnect_min_ms < max_ms / SEED_ALONE_BACKOFFS)
        max_ms = SEED_ALONE_BACKOFFS * swim->config.reconnect_min_ms;
    if (!swim_is_revoked(swim, &seed->id) && !seed_is_met(swim, seed))
        sync_with(swim, &seed->id, &seed->address);
    seed->next_ms = swim->now_ms + jittered_ms(swim, seed->backoff_ms);
    seed->backoff_ms = next_backoff_ms(swim, seed->backoff_ms, max_ms);
}

/* Pings one of the dead whose time has come, and returns when the next is due. */
static int64_t try_dead(struct swim *swim)
{
    struct member *chosen = NULL;
    int64_t next_ms = NEVER_MS;
    uint64_t due_count = 0;

    if (swim->dead_count == 0)
        return NEVER_MS;
    for (size_t i = 0; i < swim->doubted_count; i++) {
        struct member *member = swim->doubted[i];
        int64_t reconnect_ms = member->suspicion->reconnect_ms;
        if (member->state != SWIM_DEAD)
            continue;
        if (reconnect_ms > swim->now_ms) {
            if (reconnect_ms < next_ms)
                next_ms = reconnect_ms;
        } else if (random_below(&swim->random, ++due_count) == 0) {
            chosen = member; /* each of those that are due is as likely in the end */
        }
    }
    if (chosen) {
        struct suspicion *suspicion = chosen->suspicion;
        uint32_t backoff_ms = suspicion->reconnect_backoff_ms;
        suspicion->reconnect_ms = swim->now_ms + jittered_ms(swim, backoff_ms);
        suspicion->reconnect_backoff_ms =
            next_backoff_ms(swim, backoff_ms, swim->config.reconnect_max_ms);
        ping_everywhere(swim, chosen, 0);
        next_ms = swim->now_ms + REACH_PACE_MS;
    }
    return next_ms;
}

void reach_run(struct swim *swim)
{
    if (swim->now_ms < swim->reach_ms)
        return;
    swim->reach_ms = NEVER_MS;
    if (swim->self->state == SWIM_LEFT)
        return;
    int64_t next_ms = try_dead(swim);
    for (size_t i = 0; i < swim->seed_count;) {
        struct seed *seed = &swim->seeds[i];
        if (seed->next_ms <= swim->now_ms && is_spent(swim, seed)) {
            remove_seed_at(swim, i);
            continue;
        }
        if (seed->next_ms <= swim->now_ms)
            try_seed(swim, seed);
        if (seed->next_ms < next_ms)
            next_ms = seed->next_ms;
        i++;
    }
    swim->reach_ms = next_ms;
}
