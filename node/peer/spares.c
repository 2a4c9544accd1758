#include "node/peer/spares.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/grid.h"
#include "node/images/images.h"
#include "node/peer/peer.h"

enum {
    SPARES_HOLDERS = 3,
    SPARES_SOON_MS = 200,  /* after a change: other peers' changes come together with ours */
    SPARES_LOOK_MS = 5000, /* holders die, and fetches fail */
};

/* A copy that is here, or on its way, for the sake of others. */
struct spare {
    struct digest digest;
    bool is_needed;
    bool is_fetching;
};

struct spares {
    struct peer *peer;
    struct table table; /* of struct spare, by digest */
    uv_timer_t timer;
};

static int compare_digest(const void *item, const void *key)
{
    return digest_compare(&((const struct spare *)item)->digest, key);
}

static const void *key_of(const void *item)
{
    return &((const struct spare *)item)->digest;
}

static void drop(struct spares *spares, struct spare *spare)
{
    image_store_unpin(spares->peer->image_store, &spare->digest);
    table_remove(&spares->table, &spare->digest);
    free(spare);
}

/* --- Who should have a copy --- */

static uint64_t score_of(const struct digest *digest, const struct id *peer)
{
    crypto_generichash_state state;
    uint64_t score;
    crypto_generichash_init(&state, NULL, 0, crypto_generichash_BYTES_MIN);
    crypto_generichash_update(&state, digest->bytes, sizeof(digest->bytes));
    crypto_generichash_update(&state, peer->bytes, sizeof(peer->bytes));
    uint8_t hash[crypto_generichash_BYTES_MIN];
    crypto_generichash_final(&state, hash, sizeof(hash));
    memcpy(&score, hash, sizeof(score));
    return score;
}

struct holders {
    struct id ids[SPARES_HOLDERS];
    size_t count;
};

static void add_holder(void *context, const struct swim_member *member)
{
    struct holders *holders = context;
    if (holders->count < SPARES_HOLDERS)
        holders->ids[holders->count++] = member->id;
}

static bool is_holder(const struct holders *holders, const struct id *id)
{
    for (size_t i = 0; i < holders->count; i++)
        if (id_equal(&holders->ids[i], id))
            return true;
    return false;
}

static bool may_hold(const struct peer *peer, const struct intent_peer *candidate)
{
    return candidate->role == INTENT_PEER && candidate->state == INTENT_ACTIVE &&
           (id_equal(&candidate->id, &peer->identity.id) ||
            view_is_alive(agent_view(peer->agent), &candidate->id));
}

/* Whether this peer, which has no copy, is among those that should get one. */
static bool is_chosen(const struct peer *peer, const struct digest *digest)
{
    const struct table *peers = &agent_intent(peer->agent)->peers;
    struct holders holders = {0};
    char text[DIGEST_TEXT_BYTES];
    uint64_t own = score_of(digest, &peer->identity.id);
    size_t before = 0;
    bool is_member = false;
    digest_format(digest, text);
    agent_image_holders(peer->agent, text, add_holder, &holders);
    if (holders.count == 0 || holders.count >= SPARES_HOLDERS)
        return false; /* nowhere to get it from, or enough */
    for (size_t i = 0; i < peers->count; i++) {
        const struct intent_peer *other = peers->items[i];
        if (!may_hold(peer, other) || is_holder(&holders, &other->id))
            continue;
        if (id_equal(&other->id, &peer->identity.id))
            is_member = true;
        else
            before += score_of(digest, &other->id) > own;
    }
    return is_member && before < SPARES_HOLDERS - holders.count;
}

struct rank {
    const struct digest *digest;
    uint64_t own;
    size_t before;
};

static void count_before(void *context, const struct swim_member *member)
{
    struct rank *rank = context;
    rank->before += score_of(rank->digest, &member->id) > rank->own;
}

/* Whether this peer, which has a copy, is among those that should keep it. All reckon the same. */
static bool is_keeper(const struct peer *peer, const struct digest *digest)
{
    struct rank rank = {.digest = digest, .own = score_of(digest, &peer->identity.id)};
    char text[DIGEST_TEXT_BYTES];
    digest_format(digest, text);
    agent_image_holders(peer->agent, text, count_before, &rank);
    return rank.before < SPARES_HOLDERS;
}

/* --- Getting and keeping them --- */

struct fetch {
    struct spares *spares;
    struct digest digest;
};

static void on_fetched(void *context, const struct error *error)
{
    struct fetch *fetch = context;
    struct spares *spares = fetch->spares;
    struct spare *spare = table_find(&spares->table, &fetch->digest);
    free(fetch);
    if (spare)
        spare->is_fetching = false;
    if (spare && error && !spares->peer->is_stopping) {
        log_limited(LOG_INFO, "no spare copy yet: %s", error->message);
        drop(spares, spare); /* the next look begins anew */
    }
}

/* Pins it. NULL: the next look tries again. */
static struct spare *add(struct spares *spares, const struct digest *digest)
{
    struct spare *spare = calloc(1, sizeof(*spare));
    if (!spare || image_store_pin(spares->peer->image_store, digest) < 0) {
        free(spare);
        return NULL;
    }
    *spare = (struct spare){.digest = *digest, .is_needed = true};
    if (table_insert(&spares->table, spare) < 0) {
        image_store_unpin(spares->peer->image_store, digest);
        free(spare);
        return NULL;
    }
    return spare;
}

static void get(struct spares *spares, const struct digest *digest)
{
    struct peer *peer = spares->peer;
    struct fetch *fetch = malloc(sizeof(*fetch));
    struct spare *spare = fetch ? add(spares, digest) : NULL;
    if (!spare) {
        free(fetch);
        return;
    }
    *fetch = (struct fetch){spares, *digest};
    spare->is_fetching = true;
    if (images_fetch(peer->images, digest, false, on_fetched, fetch) < 0) {
        free(fetch);
        drop(spares, spare);
    }
}

static void need_image(struct spares *spares, const char *text)
{
    struct peer *peer = spares->peer;
    struct digest digest;
    if (!text || digest_parse(text, &digest) < 0)
        return;
    struct spare *spare = table_find(&spares->table, &digest);
    bool is_here = images_has(peer->images, &digest);
    if (spare)
        spare->is_needed = spare->is_fetching || is_keeper(peer, &digest);
    else if (is_here && is_keeper(peer, &digest))
        add(spares, &digest);
    else if (!is_here && is_chosen(peer, &digest))
        get(spares, &digest);
}

static void need(struct spares *spares, const struct intent_service *service, uint32_t number)
{
    const struct intent_revision *revision = intent_revision_find(service, number);
    struct spec_image image;
    for (size_t i = 0; revision && service_spec_image(&revision->spec, i, &image); i++)
        need_image(spares, image.digest);
}

static void look(uv_timer_t *timer)
{
    struct spares *spares = timer->data;
    struct peer *peer = spares->peer;
    if (peer->phase != PEER_MEMBER || peer->is_stopping)
        return;
    const struct table *services = &agent_intent(peer->agent)->services;
    for (size_t i = 0; i < spares->table.count; i++)
        ((struct spare *)spares->table.items[i])->is_needed = false;
    for (size_t i = 0; i < services->count; i++) {
        const struct intent_service *service = services->items[i];
        if (service->removing)
            continue;
        need(spares, service, service->revision);
        need(spares, service, service->rollout.from); /* what it may go back to */
    }
    for (size_t i = spares->table.count; i-- > 0;) {
        struct spare *spare = spares->table.items[i];
        if (!spare->is_needed && !spare->is_fetching)
            drop(spares, spare);
    }
    uv_timer_start(timer, look, grid_wait_ms(peer->loop, SPARES_LOOK_MS), 0);
}

void spares_changed(struct spares *spares)
{
    if (spares && uv_timer_get_due_in(&spares->timer) > SPARES_SOON_MS)
        uv_timer_start(&spares->timer, look, SPARES_SOON_MS, 0);
}

struct spares *spares_new(struct peer *peer)
{
    struct spares *spares = calloc(1, sizeof(*spares));
    if (!spares)
        return NULL;
    spares->peer = peer;
    table_init(&spares->table, compare_digest, key_of);
    uv_timer_init(peer->loop, &spares->timer);
    spares->timer.data = spares;
    uv_timer_start(&spares->timer, look, SPARES_LOOK_MS, 0);
    return spares;
}

static void on_closed(uv_handle_t *handle)
{
    struct spares *spares = handle->data;
    for (size_t i = 0; i < spares->table.count; i++)
        free(spares->table.items[i]);
    table_done(&spares->table);
    free(spares);
}

void spares_free(struct spares *spares)
{
    if (spares)
        uv_close((uv_handle_t *)&spares->timer, on_closed);
}
