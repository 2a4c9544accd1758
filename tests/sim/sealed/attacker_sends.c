#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gossip/session_guard.h"
#include "tests/sim/sealed/attacker.h"

enum {
    REPLAYS_PER_TICK = 3,
    REFLECTS_PER_TICK = 2,
    FORGED_ADDRESSES = 500,
    LAIRS = 3,
    FLOOD_LAIR = 8, /* those below are for what is redirected */
};

bool attacker_does(const struct attacker *attacker, enum attacker_trick trick)
{
    return (attacker->tricks & 1u << trick) != 0;
}

bool attacker_chance(struct attacker *attacker, unsigned percent)
{
    return random_chance(&attacker->random, percent, 100);
}

unsigned attacker_any_peer(struct attacker *attacker)
{
    return (unsigned)random_below(&attacker->random, attacker->world->count);
}

static struct address any_address(struct attacker *attacker)
{
    switch (random_below(&attacker->random, 3)) {
    case 0:
        return world_lair(FLOOD_LAIR + (unsigned)random_below(&attacker->random, LAIRS));
    case 1:
        return world_victim((unsigned)random_below(&attacker->random, ATTACKER_VICTIMS));
    default:
        return attacker->world->peers[attacker_any_peer(attacker)].address;
    }
}

static const struct attacker_capture *any_capture(struct attacker *attacker)
{
    return &attacker->archive[random_below(&attacker->random, attacker->archive_count)];
}

/* --- Replays and reflections --- */

static void replay(struct attacker *attacker)
{
    struct world *world = attacker->world;
    const struct attacker_capture *capture = any_capture(attacker);
    struct bytes bytes = {capture->datagram->bytes, capture->datagram->size};
    struct address source = capture->datagram->source, to = capture->datagram->to;
    if (attacker_chance(attacker, 30))
        source = any_address(attacker);
    if (attacker_chance(attacker, 30))
        to = world->peers[attacker_any_peer(attacker)].address; /* also back to its sender */
    world_inject(world, &source, &to, bytes, 0);
    attacker->counts[TRICK_REPLAY]++;
}

/* Bytes that look like a packet of some type as far as that can be without a key. */
static size_t invent(struct attacker *attacker, const struct id *to,
                     uint8_t ret[SESSION_DATAGRAM_BYTES_MAX])
{
    struct random *random = &attacker->random;
    static const struct session_cookie none;
    enum session_packet_type type = SESSION_FIRST + (int)random_below(random, 4);
    size_t size = 1 + (size_t)random_below(random, SESSION_DATAGRAM_BYTES_MAX);
    random_fill(random, ret, SESSION_DATAGRAM_BYTES_MAX);
    session_header_encode(type, (uint32_t)random_u64(random), ret);
    if (type == SESSION_FIRST)
        size = SESSION_DATAGRAM_BYTES_MAX;
    else if (type == SESSION_COOKIE)
        size = SESSION_COOKIE_PACKET_BYTES;
    if (type == SESSION_FIRST)
        session_guard_sign(to, &none, 0, ret);
    if (attacker_chance(attacker, 10))
        ret[1]++; /* another version */
    return size;
}

static void reflect(struct attacker *attacker)
{
    struct world *world = attacker->world;
    const struct world_peer *to = &world->peers[attacker_any_peer(attacker)];
    struct address source =
        attacker_chance(attacker, 70)
            ? world_victim((unsigned)random_below(&attacker->random, ATTACKER_VICTIMS))
            : any_address(attacker);
    attacker->counts[TRICK_REFLECT]++;
    if (attacker_chance(attacker, 50)) {
        uint8_t bytes[SESSION_DATAGRAM_BYTES_MAX];
        size_t size = invent(attacker, &to->identity.id, bytes);
        world_inject(world, &source, &to->address, (struct bytes){bytes, size}, 0);
        return;
    }
    /* A replay, or what is just on its way and comes from elsewhere before. */
    const struct attacker_capture *capture = attacker_chance(attacker, 50)
                                                 ? &attacker->archive[attacker->archive_count - 1]
                                                 : any_capture(attacker);
    struct address target = capture->datagram->to;
    world_inject(world, &source, &target,
                 (struct bytes){capture->datagram->bytes, capture->datagram->size}, 0);
}

/* --- Floods --- */

/* A first packet without sense, or a whole handshake of another cluster's. */
static void make_first(struct attacker *attacker, const struct world_peer *to,
                       uint8_t ret[SESSION_DATAGRAM_BYTES_MAX])
{
    static const struct session_cookie none;
    cleanup_buffer struct buffer datagram = {0};
    struct bytes nothing = {NULL, 0};
    if (attacker_chance(attacker, 10) &&
        sessions_seal(attacker->stranger, attacker->world->timeline.now_ms, &to->identity.id,
                      nothing, &datagram) == 0 &&
        datagram.size == SESSION_DATAGRAM_BYTES_MAX) {
        memcpy(ret, datagram.bytes, SESSION_DATAGRAM_BYTES_MAX);
        return;
    }
    random_fill(&attacker->random, ret, SESSION_DATAGRAM_BYTES_MAX);
    session_header_encode(SESSION_FIRST, (uint32_t)random_u64(&attacker->random), ret);
    session_guard_sign(&to->identity.id, &none, 0, ret);
}

static void flood(struct attacker *attacker)
{
    struct world *world = attacker->world;
    const struct world_peer *to = &world->peers[attacker->flooded];
    struct address source = world_victim(
        ATTACKER_VICTIMS + (unsigned)random_below(&attacker->random, FORGED_ADDRESSES));
    uint8_t first[SESSION_DATAGRAM_BYTES_MAX];
    make_first(attacker, to, first);
    bool is_own = attacker_chance(attacker, 20);
    if (is_own) {
        source = world_lair(FLOOD_LAIR + (unsigned)random_below(&attacker->random, LAIRS));
        attacker->asked.peer = to->number;
        attacker->asked.from = source;
        memcpy(attacker->asked.first, first, sizeof(first));
    }
    world_inject(world, &source, &to->address, (struct bytes){first, sizeof(first)},
                 is_own ? 0 : 1);
    attacker->counts[TRICK_FLOOD]++;
}

/* A cookie for its own address: the next first packets from there are taken. */
static void use_cookie(struct attacker *attacker, unsigned from,
                       const struct world_datagram *datagram)
{
    struct world *world = attacker->world;
    const struct world_peer *peer = &world->peers[from];
    struct attacker_asked *asked = &attacker->asked;
    struct session_cookie cookie;
    attacker->cookies_got++;
    if (asked->peer != from || !address_equal(&asked->from, &datagram->to) ||
        session_cookie_open(&peer->identity.id, asked->first + SESSION_FIRST_MACS_OFFSET,
                            (struct bytes){datagram->bytes, datagram->size}, world->timeline.now_ms,
                            &cookie) < 0)
        return;
    attacker->cookies_used++;
    for (int i = 0; i < 3; i++) {
        uint8_t first[SESSION_DATAGRAM_BYTES_MAX];
        make_first(attacker, peer, first);
        session_guard_sign(&peer->identity.id, &cookie, world->timeline.now_ms, first);
        world_inject(world, &asked->from, &peer->address, (struct bytes){first, sizeof(first)}, 1);
    }
}

void attacker_got(struct attacker *attacker, unsigned from, const struct world_datagram *datagram)
{
    const struct attacker_redirect *redirect = &attacker->redirect;
    struct world *world = attacker->world;
    if (datagram->bytes[0] == SESSION_COOKIE && attacker_does(attacker, TRICK_FLOOD)) {
        use_cookie(attacker, from, datagram);
    } else if (redirect->peer != WORLD_NOBODY && redirect->is_both_ways &&
               address_equal(&datagram->to, &redirect->as)) {
        world_inject(world, &datagram->source, &world->peers[redirect->peer].address,
                     (struct bytes){datagram->bytes, datagram->size}, 1);
        attacker->counts[TRICK_REDIRECT]++;
    }
}

/* --- All the time --- */

static void tick(void *context, void *payload)
{
    struct attacker *attacker = context;
    struct timeline *timeline = &attacker->world->timeline;
    (void)payload;
    if (attacker->archive_count > 0) {
        for (int i = 0; i < REPLAYS_PER_TICK && attacker_does(attacker, TRICK_REPLAY); i++)
            replay(attacker);
        for (int i = 0; i < REFLECTS_PER_TICK && attacker_does(attacker, TRICK_REFLECT); i++)
            reflect(attacker);
    }
    for (unsigned i = 0; i < attacker->floods_per_tick && attacker_does(attacker, TRICK_FLOOD); i++)
        flood(attacker);
    attacker_note_isolated(attacker);
    timeline_at(timeline, timeline->now_ms + ATTACKER_TICK_MS, tick, attacker, NULL);
}

static bool admit_nobody(void *context, const struct id *id, const struct certificate_chain *chain)
{
    (void)context;
    (void)id;
    (void)chain;
    return false;
}

static void fill(void *context, void *ret, size_t size)
{
    random_fill(context, ret, size);
}

void attacker_begin(struct attacker *attacker)
{
    static const struct certificate_chain none;
    uint8_t seed[IDENTITY_SEED_BYTES];
    attacker->entropy = (struct entropy){fill, &attacker->random};
    random_fill(&attacker->random, seed, sizeof(seed));
    identity_init(&attacker->root, seed);
    random_fill(&attacker->random, seed, sizeof(seed));
    identity_init(&attacker->identity, seed);
    struct certificate leaf = {
        .cluster = attacker->root.id,
        .subject = attacker->identity.id,
        .name = "stranger",
        .role = ROLE_PEER,
        .serial = 1,
    };
    int rc = certificate_sign(&leaf, &attacker->root);
    if (rc == 0)
        rc = certificate_chain_extend(&leaf, &none, &attacker->chain);
    assert(rc == 0);
    attacker->stranger = sessions_new(&(struct sessions_config){
        .identity = &attacker->identity,
        .chain = &attacker->chain,
        .cluster = attacker->root.id,
        .entropy = attacker->entropy,
        .generation = 1,
        .admit = admit_nobody,
    });
    assert(attacker->stranger);
    tick(attacker, NULL);
}

void attacker_end(struct attacker *attacker)
{
    sessions_free(attacker->stranger);
    identity_done(&attacker->identity);
    identity_done(&attacker->root);
}
