#include "gossip/session_peer.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static int compare_peer(const void *item, const void *key)
{
    const struct session_peer *peer = item;
    return id_compare(&peer->id, key);
}

static const void *key_of_peer(const void *item)
{
    const struct session_peer *peer = item;
    return &peer->id;
}

static int compare_slot(const void *item, const void *key)
{
    const struct session_slot *slot = item;
    const uint32_t *index = key;
    return slot->index < *index ? -1 : slot->index > *index;
}

static const void *key_of_slot(const void *item)
{
    const struct session_slot *slot = item;
    return &slot->index;
}

void session_table_init(struct session_table *table, size_t peers_max, size_t bytes_max)
{
    assert(peers_max > 0);
    table_init(&table->peers, compare_peer, key_of_peer);
    table_init(&table->slots, compare_slot, key_of_slot);
    table->busiest = table->idlest = NULL;
    table->peers_max = peers_max;
    table->bytes = 0;
    table->bytes_max = bytes_max;
}

void session_table_done(struct session_table *table)
{
    while (table->peers.count > 0)
        session_table_remove(table, table->peers.items[table->peers.count - 1]);
    table_done(&table->peers);
    table_done(&table->slots);
}

struct session_peer *session_table_find(const struct session_table *table, const struct id *id)
{
    return table_find(&table->peers, id);
}

static void unlink_peer(struct session_table *table, struct session_peer *peer)
{
    *(peer->busier ? &peer->busier->idler : &table->busiest) = peer->idler;
    *(peer->idler ? &peer->idler->busier : &table->idlest) = peer->busier;
}

static void link_busiest(struct session_table *table, struct session_peer *peer)
{
    peer->busier = NULL;
    peer->idler = table->busiest;
    *(peer->idler ? &peer->idler->busier : &table->idlest) = peer;
    table->busiest = peer;
}

void session_peer_touch(struct session_table *table, struct session_peer *peer)
{
    unlink_peer(table, peer);
    link_busiest(table, peer);
}

/* Counts what `peer` was given. If it is too much, the idlest others go. */
static void charge(struct session_table *table, const struct session_peer *peer, size_t size)
{
    table->bytes += size;
    while (table->bytes > table->bytes_max || table->peers.count > table->peers_max) {
        struct session_peer *idlest = table->idlest;
        if (idlest == peer)
            idlest = idlest->busier;
        if (!idlest)
            break;
        session_table_remove(table, idlest);
    }
}

static void wipe_and_free(struct session_table *table, void *memory, size_t size)
{
    if (!memory)
        return;
    assert(table->bytes >= size);
    table->bytes -= size;
    sodium_memzero(memory, size);
    free(memory);
}

int session_table_obtain(struct session_table *table, const struct id *id,
                         struct session_peer **ret)
{
    struct session_peer *peer = session_table_find(table, id);
    if (peer) {
        *ret = peer;
        return 0;
    }
    uint8_t exchange_public[EXCHANGE_KEY_BYTES];
    if (id_to_exchange(id, exchange_public) < 0)
        return -EINVAL;
    peer = calloc(1, sizeof(*peer));
    if (!peer)
        return -ENOMEM;
    peer->id = *id;
    memcpy(peer->exchange_public, exchange_public, EXCHANGE_KEY_BYTES);
    if (table_insert(&table->peers, peer) < 0) {
        free(peer);
        return -ENOMEM;
    }
    link_busiest(table, peer);
    charge(table, peer, sizeof(*peer));
    *ret = peer;
    return 0;
}

void session_table_remove(struct session_table *table, struct session_peer *peer)
{
    for (size_t i = 0; i < SESSION_KEYS_PER_PEER; i++)
        if (peer->keys[i])
            session_peer_drop_keys(table, peer->keys[i]);
    for (size_t i = 0; i < SESSION_INITIATIONS_PER_PEER; i++)
        if (peer->initiations[i])
            session_peer_drop_initiation(table, peer->initiations[i]);
    session_peer_drop_response(table, peer);
    table_remove(&table->peers, &peer->id);
    unlink_peer(table, peer);
    wipe_and_free(table, peer, sizeof(*peer));
}

struct session_slot *session_table_slot(const struct session_table *table, uint32_t index)
{
    return table_find(&table->slots, &index);
}

uint32_t session_table_pick_index(const struct session_table *table, const struct entropy *entropy)
{
    uint32_t index;
    do
        entropy_fill(entropy, &index, sizeof(index));
    while (session_table_slot(table, index));
    return index;
}

int session_peer_add_keys(struct session_table *table, struct session_peer *peer,
                          struct session_keys *keys)
{
    int rc = table_insert(&table->slots, &keys->slot);
    if (rc < 0)
        return rc;
    size_t place = SESSION_KEYS_PER_PEER;
    for (size_t i = 0; i < SESSION_KEYS_PER_PEER; i++) {
        struct session_keys *other = peer->keys[i];
        if (!other) {
            place = i;
            break;
        }
        if (other == peer->sending)
            continue;
        if (place == SESSION_KEYS_PER_PEER || other->created_ms < peer->keys[place]->created_ms)
            place = i;
    }
    assert(place < SESSION_KEYS_PER_PEER);
    if (peer->keys[place])
        session_peer_drop_keys(table, peer->keys[place]);
    peer->keys[place] = keys;
    charge(table, peer, sizeof(*keys));
    return 0;
}

int session_peer_add_initiation(struct session_table *table, struct session_peer *peer,
                                struct session_initiation *initiation)
{
    int rc = table_insert(&table->slots, &initiation->slot);
    if (rc < 0)
        return rc;
    size_t place = 0;
    for (size_t i = 0; i < SESSION_INITIATIONS_PER_PEER; i++) {
        struct session_initiation *other = peer->initiations[i];
        if (!other) {
            place = i;
            break;
        }
        if (session_stamp_compare(&other->stamp, &peer->initiations[place]->stamp) < 0)
            place = i;
    }
    if (peer->initiations[place])
        session_peer_drop_initiation(table, peer->initiations[place]);
    peer->initiations[place] = initiation;
    charge(table, peer, sizeof(*initiation));
    return 0;
}

void session_peer_drop_keys(struct session_table *table, struct session_keys *keys)
{
    struct session_peer *peer = keys->slot.peer;
    for (size_t i = 0; i < SESSION_KEYS_PER_PEER; i++)
        if (peer->keys[i] == keys)
            peer->keys[i] = NULL;
    if (peer->sending == keys) {
        peer->sending = NULL;
        peer->unanswered = false;
        peer->confirmation_due = false;
    }
    table_remove(&table->slots, &keys->slot.index);
    wipe_and_free(table, keys, sizeof(*keys));
}

void session_peer_drop_initiation(struct session_table *table,
                                  struct session_initiation *initiation)
{
    struct session_peer *peer = initiation->slot.peer;
    for (size_t i = 0; i < SESSION_INITIATIONS_PER_PEER; i++)
        if (peer->initiations[i] == initiation)
            peer->initiations[i] = NULL;
    table_remove(&table->slots, &initiation->slot.index);
    wipe_and_free(table, initiation, sizeof(*initiation));
}

void session_peer_set_response(struct session_table *table, struct session_peer *peer,
                               struct session_response *response)
{
    session_peer_drop_response(table, peer);
    peer->response = response;
    charge(table, peer, sizeof(*response));
}

void session_peer_drop_response(struct session_table *table, struct session_peer *peer)
{
    wipe_and_free(table, peer->response, sizeof(*peer->response));
    peer->response = NULL;
}

void session_peer_lives(struct session_table *table, struct session_peer *peer, uint64_t generation)
{
    peer->generation = generation;
    for (size_t i = 0; i < SESSION_KEYS_PER_PEER; i++)
        if (peer->keys[i] && peer->keys[i]->remote_generation != generation)
            session_peer_drop_keys(table, peer->keys[i]);
    if (peer->response && peer->response->stamp.generation != generation)
        session_peer_drop_response(table, peer);
}

void session_peer_promote(struct session_table *table, struct session_initiation *initiation,
                          struct session_keys *keys)
{
    assert(keys->slot.index == initiation->slot.index);
    struct session_peer *peer = initiation->slot.peer;
    session_peer_drop_initiation(table, initiation);
    /* The slot just given back leaves room, so this cannot fail. */
    int rc = session_peer_add_keys(table, peer, keys);
    assert(rc == 0);
}

/* Whether `keys` are better to send under than the present ones. */
static bool is_better(const struct session_keys *keys, const struct session_keys *present,
                      const struct session_peer *peer, const struct id *own_id)
{
    if (keys->initiator == present->initiator)
        return session_stamp_compare(&keys->stamp, &present->stamp) > 0;
    int64_t younger_ms = keys->created_ms - present->created_ms;
    if (younger_ms >= SESSION_SIMULTANEOUS_MS || younger_ms <= -SESSION_SIMULTANEOUS_MS)
        return younger_ms > 0;
    /* First packets crossed: those of the smaller id win, on both sides. */
    bool own_is_smaller = id_compare(own_id, &peer->id) < 0;
    return keys->initiator == own_is_smaller;
}

void session_peer_confirm(struct session_peer *peer, const struct id *own_id,
                          struct session_keys *keys)
{
    keys->confirmed = true;
    if (peer->sending && !is_better(keys, peer->sending, peer, own_id))
        return;
    peer->sending = keys;
    peer->unanswered = false;
}
