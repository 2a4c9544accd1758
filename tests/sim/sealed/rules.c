#include "tests/sim/sealed/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gossip/session_peer.h"

enum {
    ACCOUNTS_MAX = 1 << 15, /* a power of two; forged addresses are fewer */
    /* All that a table may take for one peer. */
    PEER_BYTES_MAX = sizeof(struct session_peer) +
                     SESSION_KEYS_PER_PEER * sizeof(struct session_keys) +
                     SESSION_INITIATIONS_PER_PEER * sizeof(struct session_initiation) +
                     sizeof(struct session_response),
};

void rules_broken(struct world *world, const char *format, ...)
{
    va_list arguments;
    if (world->failure[0] != 0)
        return;
    va_start(arguments, format);
    vsnprintf(world->failure, sizeof(world->failure), format, arguments);
    va_end(arguments);
    world->failed_ms = world->timeline.now_ms;
}

void rules_done(struct world *world)
{
    free(world->sent);
    free(world->accounts);
}

static uint64_t hash_of(struct bytes bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* --- Payloads --- */

uint64_t rules_sealing(struct world *world, unsigned from, unsigned to, struct bytes payload)
{
    world->sent =
        sim_grow(world->sent, world->sent_count, &world->sent_capacity, sizeof(*world->sent));
    world->sent[world->sent_count] = (struct world_sent){
        .from = from,
        .to = to,
        .generation = world->peers[from].generation,
        .hash = hash_of(payload),
    };
    return world->sent_count++;
}

void rules_sealed(struct world *world, uint64_t serial, uint8_t type)
{
    world->sent[serial].type = type;
}

static void delivered(struct world *world, struct world_peer *peer, unsigned from,
                      struct bytes payload)
{
    uint64_t serial;
    if (payload.size < WORLD_SERIAL_BYTES) {
        rules_broken(world, "peer %u took %zu bytes that nobody sent", peer->number, payload.size);
        return;
    }
    payload.size -= WORLD_SERIAL_BYTES;
    memcpy(&serial, payload.data + payload.size, sizeof(serial));
    struct world_sent *sent = serial < world->sent_count ? &world->sent[serial] : NULL;
    if (!sent || sent->from != from || sent->to != peer->number || sent->hash != hash_of(payload)) {
        rules_broken(world, "peer %u took from %u what that did not send it", peer->number, from);
        return;
    }
    if (sent->delivered_generation == peer->generation)
        rules_broken(world, "peer %u took a payload of %u twice", peer->number, from);
    else if (sent->delivered_generation != 0 && sent->type != SESSION_FIRST)
        rules_broken(world, "peer %u took a payload of %u again in another life", peer->number,
                     from);
    if (sent->generation < peer->generations[from])
        rules_broken(world, "peer %u took a payload of an earlier life of %u", peer->number, from);
    if (sent->type == SESSION_FIRST && serial + 1 <= peer->first_serials[from])
        rules_broken(world, "peer %u took a first packet of %u after a later one", peer->number,
                     from);
    if (sent->type == SESSION_FIRST)
        peer->first_serials[from] = serial + 1;
    peer->generations[from] = sent->generation;
    sent->delivered_generation = peer->generation;
    world->counters.delivered++;
}

/* --- Bytes --- */

static struct world_account *account_of(struct world *world, unsigned peer,
                                        const struct address *address)
{
    uint64_t hash = hash_of((struct bytes){address->ip, sizeof(address->ip)});
    hash ^= peer * UINT64_C(0x9e3779b97f4a7c15);
    if (!world->accounts)
        world->accounts = sim_allocate(ACCOUNTS_MAX * sizeof(*world->accounts));
    size_t index = (size_t)(hash >> 20) & (ACCOUNTS_MAX - 1);
    while (!address_is_none(&world->accounts[index].address) &&
           (world->accounts[index].peer != peer ||
            !address_equal(&world->accounts[index].address, address)))
        index = (index + 1) & (ACCOUNTS_MAX - 1);
    struct world_account *account = &world->accounts[index];
    if (address_is_none(&account->address)) {
        *account = (struct world_account){.peer = peer, .address = *address};
        if (++world->account_count > ACCOUNTS_MAX / 2)
            abort();
    }
    return account;
}

void rules_emit(struct world *world, const struct world_peer *peer, const struct address *to,
                size_t size)
{
    enum world_place place = world_place_of(to);
    bool is_answer = world->handles && world->purpose == WORLD_ANSWER &&
                     address_equal(to, &world->handled_source);
    world->answered_bytes += world->handles ? size : 0;
    world->answered_source_bytes += is_answer ? size : 0;
    if (place == WORLD_PEER)
        return;
    struct world_account *account = account_of(world, peer->number, to);
    account->bytes_out += size;
    if (!account->is_authentic && account->bytes_out > account->bytes_in)
        rules_broken(world, "peer %u sent %llu bytes to a stranger of whom it had %llu",
                     peer->number, (unsigned long long)account->bytes_out,
                     (unsigned long long)account->bytes_in);
    if (place == WORLD_LAIR)
        return;
    world->counters.victims_bytes += size;
    world->counters.victims_pings += world->purpose == WORLD_QUESTION;
    if (world->purpose == WORLD_QUESTION)
        return;
    account->bytes_answered += size;
    if (account->bytes_answered > 2 * account->bytes_in + SESSION_ANSWER_OVERHEAD_BYTES)
        rules_broken(world, "peer %u answered %llu bytes, as if of a victim, with %llu",
                     peer->number, (unsigned long long)account->bytes_in,
                     (unsigned long long)account->bytes_answered);
    if (!is_answer && world->purpose == WORLD_ANSWER)
        rules_broken(world, "peer %u tells a victim news", peer->number);
}

void rules_begin(struct world *world, const struct world_peer *peer,
                 const struct world_datagram *datagram)
{
    world->handles = true;
    world->handled_source = datagram->source;
    world->handled_bytes = datagram->size;
    world->answered_bytes = world->answered_source_bytes = 0;
    if (world_place_of(&datagram->source) == WORLD_PEER)
        return;
    account_of(world, peer->number, &datagram->source)->bytes_in += datagram->size;
    if (world_place_of(&datagram->source) == WORLD_VICTIM)
        world->counters.victims_asked_bytes += datagram->size;
}

void rules_opened(struct world *world, struct world_peer *peer,
                  const struct world_datagram *datagram, const struct sessions_opened *opened)
{
    if (opened->reply.size > datagram->size)
        rules_broken(world, "peer %u replies to %zu bytes with %zu", peer->number, datagram->size,
                     opened->reply.size);
    if (opened->refusal != SESSION_ACCEPTED)
        return;
    unsigned from = world_find_id(world, &opened->from);
    if (from == WORLD_NOBODY || from == peer->number || world->peers[from].is_revoked) {
        rules_broken(world, "peer %u accepted a packet of somebody who is no peer", peer->number);
        return;
    }
    if (world_place_of(&datagram->source) != WORLD_PEER)
        account_of(world, peer->number, &datagram->source)->is_authentic = true;
    if (opened->payload.size > 0)
        delivered(world, peer, from, opened->payload);
}

void rules_end(struct world *world, const struct world_peer *peer,
               const struct sessions_opened *opened)
{
    world->handles = false;
    if (opened->refusal != SESSION_ACCEPTED && world->answered_bytes > world->handled_bytes)
        rules_broken(world, "peer %u answers what it refused, %zu bytes, with %zu", peer->number,
                     world->handled_bytes, world->answered_bytes);
    if (world_place_of(&world->handled_source) == WORLD_VICTIM &&
        world->answered_source_bytes > world->handled_bytes)
        rules_broken(world, "peer %u answers %zu bytes, as if of a victim, with %zu", peer->number,
                     world->handled_bytes, world->answered_source_bytes);
}

/* --- Who is there --- */

static bool is_disturbed(const struct world *world, unsigned number)
{
    int64_t since_ms = world->timeline.now_ms - RULES_GRACE_MS;
    return world->isolated_ms[number] > since_ms || world->peers[number].changed_ms > since_ms;
}

void rules_event(struct world *world, const struct world_peer *peer, const struct swim_event *event)
{
    unsigned number = world_find_id(world, &event->id);
    if (peer->is_revoked)
        return; /* nobody speaks with it any more */
    switch (event->type) {
    case SWIM_MEMBER_JOINED:
        if (number == WORLD_NOBODY)
            rules_broken(world, "peer %u knows somebody who is no peer", peer->number);
        break;
    case SWIM_MEMBER_DEAD:
        world_say(world, "peer %u holds %u dead", peer->number, number);
        if (world->peers[number].swim && !is_disturbed(world, number) &&
            !is_disturbed(world, peer->number))
            rules_broken(world, "peer %u holds %u dead, which is alive", peer->number, number);
        break;
    case SWIM_SELF_OUTRUN:
        rules_broken(world, "peer %u heard newer words of its own than it said", peer->number);
        break;
    default:
        break;
    }
}

static void look_at_sessions(struct world *world, const struct world_peer *peer)
{
    size_t peers = sessions_peer_count(peer->sessions);
    size_t bytes = sessions_table_bytes(peer->sessions);
    if (peers > world->count - 1)
        rules_broken(world, "peer %u remembers %zu peers", peer->number, peers);
    if (bytes > peers * PEER_BYTES_MAX)
        rules_broken(world, "peer %u keeps %zu bytes of %zu peers", peer->number, bytes, peers);
}

static void look_at_dead(struct world *world, const struct world_peer *peer)
{
    int64_t now_ms = world->timeline.now_ms;
    for (unsigned i = 0; i < world->count; i++) {
        const struct world_peer *other = &world->peers[i];
        struct swim_member member;
        if (other->swim || now_ms - other->changed_ms < RULES_DEATH_MS ||
            now_ms - peer->changed_ms < RULES_DEATH_MS ||
            now_ms - world->isolated_ms[peer->number] < RULES_DEATH_MS)
            continue;
        if (swim_member_find(peer->swim, &other->identity.id, &member) &&
            (member.state == SWIM_ALIVE || member.state == SWIM_SUSPECT))
            rules_broken(world, "peer %u does not know after %d ms that %u is dead", peer->number,
                         (int)(now_ms - other->changed_ms), i);
    }
}

void rules_look(struct world *world)
{
    for (unsigned i = 0; i < world->count; i++) {
        const struct world_peer *peer = &world->peers[i];
        if (!peer->swim)
            continue;
        look_at_sessions(world, peer);
        if (!peer->is_revoked)
            look_at_dead(world, peer);
    }
}

static bool is_seen_well(const struct world_peer *peer, const struct world_peer *other)
{
    struct swim_member member;
    bool is_known = swim_member_find(peer->swim, &other->identity.id, &member);
    if (!other->swim || other->is_revoked)
        return !is_known || member.state == SWIM_DEAD;
    return is_known && member.state == SWIM_ALIVE && member.path == SWIM_PATH_DIRECT &&
           !swim_member_learnt(peer->swim, &member.id) &&
           address_equal(&member.address, &other->address) &&
           member.incarnation >> 32 == other->generation;
}

bool rules_all_well(const struct world *world)
{
    for (unsigned i = 0; i < world->count; i++) {
        const struct world_peer *peer = &world->peers[i];
        struct address seen;
        if (!peer->swim || peer->is_revoked)
            continue;
        if (swim_is_misplaced(peer->swim, &seen))
            return false;
        for (unsigned k = 0; k < world->count; k++)
            if (k != i && !is_seen_well(peer, &world->peers[k]))
                return false;
    }
    return true;
}
