#include "node/control/level.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    NAMES_MAX = 4, /* peers that are too old and named; the others are counted */
    NAMES_BYTES = NAMES_MAX * (BASE_NAME_BYTES_MAX + VIEW_VERSION_BYTES_MAX + 16) + 32,
};

static bool counts(const struct intent_peer *peer)
{
    return peer->role == INTENT_PEER && intent_peer_is_member(peer);
}

static uint32_t level_of(const struct intent_peer *peer, const struct view *view)
{
    const struct view_peer *seen = view_peer_find(view, &peer->id);
    return seen && seen->has_capacity ? seen->capacity.level : 0;
}

uint32_t level_of_all(const struct intent *intent, const struct view *view)
{
    uint32_t lowest = UINT32_MAX;
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *peer = intent->peers.items[i];
        if (counts(peer) && level_of(peer, view) < lowest)
            lowest = level_of(peer, view);
    }
    return lowest < UINT32_MAX ? lowest : 0;
}

uint32_t level_of_any(const struct intent *intent, const struct view *view)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *peer = intent->peers.items[i];
        if (counts(peer) && level_of(peer, view) > highest)
            highest = level_of(peer, view);
    }
    return highest;
}

bool level_is_above(uint32_t level, const struct intent_peer *peer, const struct view *view)
{
    return counts(peer) && level_of(peer, view) < level;
}

/* "p1 (consort 0.1.0), p2 (not heard of) and 3 more"; returns how many they are. */
static size_t name_old(const struct intent *intent, const struct view *view, uint32_t level,
                       char ret[NAMES_BYTES])
{
    size_t count = 0, length = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *peer = intent->peers.items[i];
        const struct view_peer *seen = view_peer_find(view, &peer->id);
        bool is_known = seen && seen->has_capacity;
        if (!level_is_above(level, peer, view) || ++count > NAMES_MAX)
            continue;
        length += (size_t)snprintf(
            ret + length, NAMES_BYTES - length, "%s%s (%s%s)", count > 1 ? ", " : "", peer->name,
            is_known ? "consort " : "not heard of", is_known ? seen->capacity.version : "");
    }
    if (count > NAMES_MAX)
        snprintf(ret + length, NAMES_BYTES - length, " and %zu more", count - NAMES_MAX);
    return count;
}

int level_refuse(const struct intent *intent, const struct view *view, uint32_t level,
                 struct error *error)
{
    char names[NAMES_BYTES];
    if (name_old(intent, view, level, names) == 0)
        return intent_refuse_level(error, level, &intent->level);
    error_set(error, -EPROTONOSUPPORT,
              "this change is of level %" PRIu32
              " of the cluster's state, for which these peers are too old: %s",
              level, names);
    error_hint(error, "upgrade consort on them, and the level is raised by itself; one that never "
                      "comes back counts until: consort peer revoke NAME");
    return -EPROTONOSUPPORT;
}
