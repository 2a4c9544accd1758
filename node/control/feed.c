#include "node/control/feed.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char recovery_purpose[] = "consort feed recovery";

void feed_init(struct feed *feed)
{
    *feed = (struct feed){.pull_at_ms = INT64_MAX,
                          .pulled_at_ms = INT64_MIN / 2,
                          .sign_at_ms = INT64_MAX,
                          .signed_at_ms = INT64_MIN / 2,
                          .served_at_ms = INT64_MIN / 2};
}

void feed_done(struct feed *feed)
{
    feed_forget(feed);
    free(feed->recent);
    feed->recent = NULL;
    feed_state_done(&feed->state);
    feed_fetch_done(&feed->fetch);
}

void feed_forget(struct feed *feed)
{
    for (size_t i = 0; i < feed->recent_count; i++)
        buffer_done(&feed->recent[i].data);
    feed->recent_count = 0;
    feed->recent_bytes = 0;
}

/* Drops the older half, so that dropping costs nothing an entry. */
static void drop_older_half(struct feed *feed)
{
    size_t dropped = (feed->recent_count + 1) / 2;
    for (size_t i = 0; i < dropped; i++) {
        feed->recent_bytes -= feed->recent[i].data.size;
        buffer_done(&feed->recent[i].data);
    }
    feed->recent_count -= dropped;
    memmove(feed->recent, feed->recent + dropped, feed->recent_count * sizeof(*feed->recent));
}

void feed_remember(struct feed *feed, const struct raft_entry *entry)
{
    if (!feed->recent)
        feed->recent = calloc(FEED_RECENT_ENTRIES_MAX, sizeof(*feed->recent));
    if (!feed->recent)
        return;
    if (entry->data.size > FEED_RECENT_BYTES_MAX) {
        feed_forget(feed);
        return;
    }
    while (feed->recent_count == FEED_RECENT_ENTRIES_MAX ||
           entry->data.size > FEED_RECENT_BYTES_MAX - feed->recent_bytes)
        drop_older_half(feed);
    struct feed_entry copy = {.index = entry->index, .term = entry->term, .type = entry->type};
    if (buffer_append(&copy.data, entry->data.data, entry->data.size) < 0) {
        feed_forget(feed);
        return;
    }
    feed->recent_bytes += entry->data.size;
    feed->recent[feed->recent_count++] = copy;
}

bool feed_remembers(const struct feed *feed, uint64_t index, uint64_t to, size_t *ret_first)
{
    if (feed->recent_count == 0)
        return false;
    uint64_t first = feed->recent[0].index, last = feed->recent[feed->recent_count - 1].index;
    if (index >= to || index + 1 < first || to > last)
        return false;
    *ret_first = (size_t)(index + 1 - first);
    return true;
}

static void hash_u64(crypto_generichash_state *state, uint64_t value)
{
    uint64_t bytes = htobe64(value);
    crypto_generichash_update(state, (const uint8_t *)&bytes, sizeof(bytes));
}

void feed_chain_next(const uint8_t chain[INTENT_CHAIN_BYTES], const struct raft_entry *entry,
                     uint8_t ret[INTENT_CHAIN_BYTES])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, INTENT_CHAIN_BYTES);
    crypto_generichash_update(&state, chain, INTENT_CHAIN_BYTES);
    hash_u64(&state, entry->index);
    hash_u64(&state, entry->term);
    hash_u64(&state, (uint64_t)entry->type);
    crypto_generichash_update(&state, entry->data.data, entry->data.size);
    crypto_generichash_final(&state, ret, INTENT_CHAIN_BYTES);
}

void feed_chain_recovered(struct intent *intent, const struct raft_seal *seal)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, INTENT_CHAIN_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)recovery_purpose, sizeof(recovery_purpose));
    crypto_generichash_update(&state, intent->chain, INTENT_CHAIN_BYTES);
    hash_u64(&state, intent->applied_index);
    crypto_generichash_update(&state, seal->signature, sizeof(seal->signature));
    crypto_generichash_final(&state, intent->chain, INTENT_CHAIN_BYTES);
}

static void apply_configuration(struct intent *intent, const struct raft_entry *entry)
{
    struct raft_changes changes;
    if (raft_changes_decode(entry->data, &changes) < 0)
        intent_apply_nothing(intent, entry->index, entry->term); /* as Raft itself takes it */
    else
        intent_apply_changes(intent, entry->index, entry->term, &changes);
}

static struct id id_of_serial(const struct intent *intent, uint64_t serial)
{
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *peer = intent->peers.items[i];
        if (peer->serial == serial)
            return peer->id;
    }
    return ID_NONE;
}

static int apply(struct intent *intent, const struct raft_entry *entry,
                 struct intent_result *ret_result, struct id *ret_admitted)
{
    if (entry->type == RAFT_ENTRY_EMPTY) {
        intent_apply_nothing(intent, entry->index, entry->term);
        return 0;
    }
    if (entry->type == RAFT_ENTRY_CONFIGURATION) {
        apply_configuration(intent, entry);
        return 0;
    }
    int rc = intent_apply(intent, entry->index, entry->term, entry->data, ret_result);
    if (rc == 0 && ret_result->code == 0 && ret_result->serial > 0)
        *ret_admitted = id_of_serial(intent, ret_result->serial);
    return rc;
}

int feed_apply_entry(struct intent *intent, const struct raft_entry *entry,
                     struct intent_result *ret_result, struct id *ret_admitted)
{
    uint8_t chain[INTENT_CHAIN_BYTES];
    feed_chain_next(intent->chain, entry, chain);
    int rc = apply(intent, entry, ret_result, ret_admitted);
    if (rc == 0)
        memcpy(intent->chain, chain, sizeof(chain));
    return rc;
}
