#include "node/control/stand_in.h"

#include <stdio.h>

enum {
    PEER_SHIFT = 48, /* generations stay below */
    PEER_BITS = 14,
    MARK_SHIFT =
        PEER_SHIFT + PEER_BITS, /* signed 64-bit numbers, as JSON's readers have, hold it */
};

static const uint64_t mark = (uint64_t)1 << MARK_SHIFT;
static const uint64_t generation_mask = ((uint64_t)1 << PEER_SHIFT) - 1;

/* Ids are public keys: any of their bits are as good as random. */
static uint64_t peer_bits(const struct id *peer)
{
    uint64_t bits = (uint64_t)peer->bytes[0] << 8 | peer->bytes[1];
    return bits & (((uint64_t)1 << PEER_BITS) - 1);
}

uint64_t stand_in_number(uint64_t generation, const struct id *peer)
{
    if (generation == 0 || generation > generation_mask)
        return 0;
    return mark | peer_bits(peer) << PEER_SHIFT | generation;
}

bool stand_in_is(uint64_t generation)
{
    return generation >> MARK_SHIFT == 1;
}

uint64_t stand_in_original(uint64_t number)
{
    return number & generation_mask;
}

bool stand_in_is_allowed(const struct intent *intent, const struct intent_replica *stand_in)
{
    const struct service_spec *spec = intent_spec_of(intent, stand_in);
    return spec && service_spec_is_duplicated(spec) &&
           stand_in->generation ==
               stand_in_number(stand_in_original(stand_in->generation), &stand_in->peer);
}

const struct intent_replica *any_replica_at(const struct intent *intent, const struct view *view,
                                            size_t i)
{
    if (i < intent->replicas.count)
        return intent->replicas.items[i];
    i -= intent->replicas.count;
    const struct view_stand_in *stand_in =
        i < view->stand_ins.count ? view->stand_ins.items[i] : NULL;
    return stand_in ? &stand_in->replica : NULL;
}

const struct intent_replica *any_replica_find(const struct intent *intent, const struct view *view,
                                              uint64_t generation)
{
    const struct view_stand_in *stand_in = view_stand_in_find(view, generation);
    return stand_in ? &stand_in->replica : intent_replica_find(intent, generation);
}

void stand_in_describe(const struct intent *intent, const struct view *view,
                       const struct intent_replica *stand_in, char ret[STAND_IN_WORDS_BYTES])
{
    const struct intent_replica *original =
        intent_replica_find(intent, stand_in_original(stand_in->generation));
    const struct intent_peer *peer = original ? intent_peer_find(intent, &original->peer) : NULL;
    size_t capacity = STAND_IN_WORDS_BYTES;
    if (stand_in->want == INTENT_STOP)
        snprintf(ret, capacity, "no longer stands in for replica %u of %s", stand_in->slot,
                 stand_in->service);
    else if (peer)
        snprintf(ret, capacity, "stands in for replica %u of %s on peer %s%s", stand_in->slot,
                 stand_in->service, peer->name,
                 view_is_alive(view, &peer->id) ? ", until that serves"
                                                : ", which is not reachable");
    else
        snprintf(ret, capacity, "stands in for replica %u of %s until another one serves",
                 stand_in->slot, stand_in->service);
}
