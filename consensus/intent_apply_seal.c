/* To whom the keys of secrets are sealed. What is in a secret, and whether a wrap opens, nobody
 * knows here: this only keeps and drops. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/intent_apply.h"

void intent_blob_done(struct intent_blob *blob)
{
    buffer_done(&blob->content);
    free(blob->wraps);
    blob->wraps = NULL;
    blob->wrap_count = 0;
}

size_t intent_blob_size(const struct intent_blob *blob)
{
    size_t sealed = blob->kind == SPEC_FILE_SECRET ? INTENT_SEAL_BYTES : 0;
    return blob->content.size < sealed ? 0 : blob->content.size - sealed;
}

bool intent_blob_is_sealed(const struct intent_blob *blob)
{
    return blob->kind != SPEC_FILE_SECRET || blob->content.size >= INTENT_SEAL_BYTES;
}

bool intent_may_hold(const struct intent *intent, const struct id *peer)
{
    const struct intent_peer *known = intent_peer_find(intent, peer);
    return known && known->role == INTENT_PEER && intent_peer_is_member(known);
}

/* Where the peer's wrap is, or would be. */
static size_t wrap_place(const struct intent_blob *blob, const struct id *peer)
{
    size_t low = 0, high = blob->wrap_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (id_compare(&blob->wraps[middle].peer, peer) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct intent_wrap *intent_wrap_find(const struct intent_blob *blob, const struct id *peer)
{
    size_t at = wrap_place(blob, peer);
    return at < blob->wrap_count && id_equal(&blob->wraps[at].peer, peer) ? &blob->wraps[at] : NULL;
}

int intent_wrap_room(struct intent_apply *apply, size_t count)
{
    const struct table *blobs = &apply->intent->blobs;
    size_t held = 0;
    for (size_t i = 0; i < blobs->count; i++)
        held += ((const struct intent_blob *)blobs->items[i])->wrap_count;
    if (count <= INTENT_WRAPS_MAX && held <= INTENT_WRAPS_MAX - count)
        return 0;
    error_set(&apply->result->error, -ENOSPC,
              "the cluster can hold %d keys of secrets, one for each peer that needs it",
              INTENT_WRAPS_MAX);
    error_hint(&apply->result->error, "put what services share into fewer secrets");
    return -ENOSPC;
}

int intent_blob_check_sealed(struct intent_apply *apply, const struct intent_blob *given)
{
    if (given->kind != SPEC_FILE_SECRET)
        return 0;
    for (size_t i = 0; intent_blob_is_sealed(given) && i < given->wrap_count; i++)
        if (intent_may_hold(apply->intent, &given->wraps[i].peer))
            return 0;
    error_set(&apply->result->error, -EKEYREJECTED, "the secret %s is sealed to no peer",
              given->name);
    error_hint(&apply->result->error, "set it again at another peer");
    return -EKEYREJECTED;
}

int intent_wraps_take(const struct intent *intent, const struct intent_blob *given,
                      struct intent_blob *blob)
{
    if (given->wrap_count == 0)
        return 0;
    blob->wraps = calloc(given->wrap_count, sizeof(*blob->wraps));
    if (!blob->wraps)
        return -ENOMEM;
    for (size_t i = 0; i < given->wrap_count; i++)
        if (intent_may_hold(intent, &given->wraps[i].peer))
            blob->wraps[blob->wrap_count++] = given->wraps[i];
    return 0;
}

/* False if there was none. */
static bool wrap_remove(struct intent_blob *blob, const struct id *peer)
{
    size_t at = wrap_place(blob, peer);
    if (at == blob->wrap_count || !id_equal(&blob->wraps[at].peer, peer))
        return false;
    blob->wrap_count--;
    memmove(&blob->wraps[at], &blob->wraps[at + 1], (blob->wrap_count - at) * sizeof(*blob->wraps));
    return true;
}

size_t intent_wraps_drop(struct intent *intent, const struct id *peer)
{
    size_t count = 0;
    for (size_t i = 0; i < intent->blobs.count; i++)
        count += wrap_remove(intent->blobs.items[i], peer);
    return count;
}

static int wrap_add(struct intent_blob *blob, const struct intent_wrap *wrap)
{
    struct intent_wrap *wraps = realloc(blob->wraps, (blob->wrap_count + 1) * sizeof(*wraps));
    if (!wraps)
        return -ENOMEM;
    blob->wraps = wraps;
    size_t at = wrap_place(blob, &wrap->peer);
    memmove(&wraps[at + 1], &wraps[at], (blob->wrap_count - at) * sizeof(*wraps));
    wraps[at] = *wrap;
    blob->wrap_count++;
    return 0;
}

/* The secret that the change is about, if it changes anything. */
static struct intent_blob *changed_blob(const struct intent *intent,
                                        const struct command_seal_change *change)
{
    struct intent_blob key = {.kind = SPEC_FILE_SECRET, .version = change->version};
    memcpy(key.name, change->name, sizeof(key.name));
    struct intent_blob *blob = table_find(&intent->blobs, &key);
    if (!blob)
        return NULL;
    bool has = intent_wrap_find(blob, &change->wrap.peer);
    if (change->drops)
        return has && blob->wrap_count > 1 ? blob : NULL;
    return !has && intent_may_hold(intent, &change->wrap.peer) ? blob : NULL;
}

int intent_apply_seal(struct intent_apply *apply, const struct command_seal *seal)
{
    size_t added = 0;
    for (size_t i = 0; i < seal->change_count; i++)
        added += !seal->changes[i].drops && changed_blob(apply->intent, &seal->changes[i]);
    int rc = intent_wrap_room(apply, added);
    apply->result->unchanged = true;
    for (size_t i = 0; i < seal->change_count && rc == 0; i++) {
        const struct command_seal_change *change = &seal->changes[i];
        struct intent_blob *blob = changed_blob(apply->intent, change);
        if (!blob)
            continue;
        apply->result->unchanged = false;
        if (change->drops)
            wrap_remove(blob, &change->wrap.peer);
        else
            rc = wrap_add(blob, &change->wrap);
    }
    return rc;
}
