#include "tests/sim/sealed/attacker.h"

#include <stdlib.h>
#include <string.h>

#include "gossip/session_guard.h"

enum {
    DELAY_MIN_MS = 50,
    DELAY_MAX_MS = 3000,
    LAIR_REDIRECT = 0,
    LAIR_BACK = 1,
};

const char *attacker_trick_name(enum attacker_trick trick)
{
    static const char *const names[TRICK_COUNT] = {
        "replay", "reflect", "flood", "forge", "cookie", "withhold", "delay", "redirect",
    };
    return names[trick];
}

struct attacker *attacker_new(struct world *world, uint64_t seed)
{
    struct attacker *attacker = sim_allocate(sizeof(*attacker));
    attacker->world = world;
    random_init(&attacker->random, seed);
    attacker->isolated = attacker->redirect.peer = attacker->asked.peer = WORLD_NOBODY;
    attacker_begin(attacker);
    return attacker;
}

void attacker_free(struct attacker *attacker)
{
    if (!attacker)
        return;
    for (size_t i = 0; i < attacker->archive_count; i++)
        free(attacker->archive[i].datagram);
    attacker_end(attacker);
    free(attacker);
}

/* Whom it keeps from whom. At most a third of a peer's ways are cut, or all of one peer's. */
static void choose_withheld(struct attacker *attacker)
{
    const struct world *world = attacker->world;
    attacker->isolated = WORLD_NOBODY;
    memset(attacker->withholds, 0, sizeof(attacker->withholds));
    memset(attacker->cuts_streams, 0, sizeof(attacker->cuts_streams));
    if (!attacker_does(attacker, TRICK_WITHHOLD))
        return;
    if (attacker_chance(attacker, 40)) {
        unsigned one = attacker->isolated = attacker_any_peer(attacker);
        unsigned ways = 1 + (unsigned)random_below(&attacker->random, 3); /* out, in, or both */
        world_say(world, "attacker: isolates %u, ways %u", one, ways);
        for (unsigned i = 0; i < world->count; i++) {
            attacker->withholds[one][i] = attacker->cuts_streams[one][i] = (ways & 1) != 0;
            attacker->withholds[i][one] = attacker->cuts_streams[i][one] = (ways & 2) != 0;
        }
        return;
    }
    for (unsigned i = 0; i < world->count; i++) {
        unsigned from = attacker_any_peer(attacker), to = attacker_any_peer(attacker);
        bool both = attacker_chance(attacker, 50), streams = attacker_chance(attacker, 50);
        attacker->withholds[from][to] = true;
        attacker->withholds[to][from] = attacker->withholds[to][from] || both;
        attacker->cuts_streams[from][to] = attacker->cuts_streams[to][from] = streams;
    }
}

static void choose_redirect(struct attacker *attacker)
{
    struct attacker_redirect *redirect = &attacker->redirect;
    *redirect = (struct attacker_redirect){.peer = WORLD_NOBODY};
    if (!attacker_does(attacker, TRICK_REDIRECT))
        return;
    redirect->peer = attacker_any_peer(attacker);
    redirect->is_both_ways = attacker_chance(attacker, 50);
    redirect->is_only_way = redirect->is_both_ways && attacker_chance(attacker, 50);
    redirect->as = redirect->is_both_ways || attacker_chance(attacker, 50)
                       ? world_lair(LAIR_REDIRECT)
                       : world_victim(0);
    world_say(attacker->world, "attacker: redirects %u, as if from a %s, %s", redirect->peer,
              world_place_of(&redirect->as) == WORLD_LAIR ? "lair" : "victim",
              redirect->is_only_way    ? "the only way"
              : redirect->is_both_ways ? "both ways"
                                       : "one way");
}

void attacker_set(struct attacker *attacker, unsigned tricks)
{
    attacker->tricks = tricks;
    for (int i = 0; i < TRICK_COUNT; i++)
        if (attacker_does(attacker, (enum attacker_trick)i))
            world_say(attacker->world, "attacker: %s", attacker_trick_name((enum attacker_trick)i));
    choose_withheld(attacker);
    choose_redirect(attacker);
    attacker->flooded = attacker_any_peer(attacker);
    attacker->floods_per_tick = 2 + (unsigned)random_below(&attacker->random, 10);
}

void attacker_note_isolated(struct attacker *attacker)
{
    struct world *world = attacker->world;
    if (attacker->isolated != WORLD_NOBODY)
        world->isolated_ms[attacker->isolated] = world->timeline.now_ms;
}

static struct world_datagram *copy_of(const struct world_datagram *datagram)
{
    struct world_datagram *copy = sim_allocate(sizeof(*copy) + datagram->size);
    memcpy(copy, datagram, sizeof(*copy) + datagram->size);
    return copy;
}

static void keep(struct attacker *attacker, unsigned from, const struct world_datagram *datagram)
{
    size_t index = attacker->archive_count;
    if (index == ATTACKER_ARCHIVE_MAX) {
        if (attacker_chance(attacker, 50)) /* so that some are from long ago */
            return;
        index = (size_t)random_below(&attacker->random, ATTACKER_ARCHIVE_MAX);
        free(attacker->archive[index].datagram);
    } else {
        attacker->archive_count++;
    }
    attacker->archive[index] = (struct attacker_capture){
        .from = from,
        .to = world_find_address(attacker->world, &datagram->to),
        .datagram = copy_of(datagram),
    };
}

static int64_t some_ms(struct attacker *attacker, int64_t least, int64_t most)
{
    return least + (int64_t)random_below(&attacker->random, (uint64_t)(most - least) + 1);
}

/* A changed copy arrives before the original, or in its place. */
static bool forge(struct attacker *attacker, const struct world_datagram *datagram)
{
    struct world_datagram *forged = copy_of(datagram);
    struct random *random = &attacker->random;
    switch (random_below(random, 3)) {
    case 0:
        forged->bytes[random_below(random, forged->size)] ^=
            (uint8_t)(1 << random_below(random, 8));
        break;
    case 1:
        forged->size = (size_t)random_below(random, forged->size);
        break;
    default: { /* the head of this one with the rest of another */
        const struct attacker_capture *other =
            &attacker->archive[random_below(random, attacker->archive_count)];
        size_t head = (size_t)random_below(random, forged->size);
        if (other->datagram->size >= forged->size)
            memcpy(forged->bytes + head, other->datagram->bytes + head, forged->size - head);
        else
            forged->bytes[head] ^= 0xff;
    }
    }
    bool is_same =
        forged->size == datagram->size && memcmp(forged->bytes, datagram->bytes, forged->size) == 0;
    if (!is_same)
        world_inject(attacker->world, &forged->source, &forged->to,
                     (struct bytes){forged->bytes, forged->size}, 0);
    free(forged);
    attacker->counts[TRICK_FORGE] += !is_same;
    return !is_same && attacker_chance(attacker, 30);
}

/* It has seen the first packet, so it can make a cookie for it that its sender takes. */
static void send_cookie(struct attacker *attacker, const struct world_datagram *first)
{
    struct world *world = attacker->world;
    struct session_guard guard;
    unsigned to = world_find_address(world, &first->to);
    uint8_t reply[SESSION_COOKIE_PACKET_BYTES];
    uint32_t index = 0;
    if (to == WORLD_NOBODY)
        return;
    for (size_t i = 4; i < SESSION_HEADER_BYTES; i++)
        index = index << 8 | first->bytes[i];
    session_guard_init(&guard, &world->peers[to].identity.id, &attacker->entropy);
    session_guard_reply(&guard, world->timeline.now_ms, &first->source,
                        (struct bytes){first->bytes, first->size}, index, reply);
    session_guard_done(&guard);
    world_inject(world, &first->to, &first->source, (struct bytes){reply, sizeof(reply)}, 0);
    attacker->counts[TRICK_COOKIE]++;
}

/* Passes on what the redirected peer sends, from elsewhere. */
static bool redirect(struct attacker *attacker, unsigned from, unsigned to,
                     const struct world_datagram *datagram)
{
    if (attacker->redirect.peer == WORLD_NOBODY)
        return false;
    if (to == attacker->redirect.peer && attacker->redirect.is_only_way)
        return true;
    if (from != attacker->redirect.peer)
        return false;
    world_inject(attacker->world, &attacker->redirect.as, &datagram->to,
                 (struct bytes){datagram->bytes, datagram->size}, some_ms(attacker, 1, 5));
    attacker->counts[TRICK_REDIRECT]++;
    return true;
}

bool attacker_takes(struct attacker *attacker, unsigned from, const struct world_datagram *datagram)
{
    unsigned to = world_find_address(attacker->world, &datagram->to);
    keep(attacker, from, datagram);
    if (world_place_of(&datagram->to) == WORLD_LAIR) {
        attacker_got(attacker, from, datagram);
        return true;
    }
    if (to != WORLD_NOBODY && attacker->withholds[from][to]) {
        attacker->counts[TRICK_WITHHOLD]++;
        return true;
    }
    if (attacker_does(attacker, TRICK_COOKIE) && datagram->bytes[0] == SESSION_FIRST &&
        attacker_chance(attacker, 50))
        send_cookie(attacker, datagram);
    if (attacker_does(attacker, TRICK_FORGE) && attacker_chance(attacker, 20) &&
        forge(attacker, datagram))
        return true;
    if (attacker_does(attacker, TRICK_DELAY) && attacker_chance(attacker, 25)) {
        world_inject(attacker->world, &datagram->source, &datagram->to,
                     (struct bytes){datagram->bytes, datagram->size},
                     some_ms(attacker, DELAY_MIN_MS, DELAY_MAX_MS));
        attacker->counts[TRICK_DELAY]++;
        return true;
    }
    return redirect(attacker, from, to, datagram);
}

unsigned attacker_passes_stream(struct attacker *attacker, unsigned from,
                                const struct address *address, const struct id *to)
{
    const struct attacker_redirect *redirect = &attacker->redirect;
    unsigned number = world_find_address(attacker->world, address);
    if (number == WORLD_NOBODY && redirect->peer != WORLD_NOBODY && redirect->is_both_ways &&
        address_equal(address, &redirect->as))
        number = world_find_id(attacker->world, to);
    if (number != WORLD_NOBODY && attacker->cuts_streams[from][number])
        number = WORLD_NOBODY;
    return number;
}
