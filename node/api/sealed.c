#include "node/api/sealed.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/peer/seal.h"

static bool same_content(const struct buffer *a, const struct buffer *b)
{
    return a->size == b->size && (a->size == 0 || sodium_memcmp(a->bytes, b->bytes, a->size) == 0);
}

/* Gives `blob` the sealed form that is in the cluster already. */
static int take_present(const struct intent_blob *present, struct intent_blob *blob)
{
    struct intent_wrap *wraps = calloc(present->wrap_count, sizeof(*wraps));
    if (!wraps)
        return -ENOMEM;
    memcpy(wraps, present->wraps, present->wrap_count * sizeof(*wraps));
    seal_wipe(&blob->content);
    free(blob->wraps);
    blob->wraps = wraps;
    blob->wrap_count = present->wrap_count;
    return buffer_append(&blob->content, present->content.bytes, present->content.size);
}

/* Whether it holds what is in the cluster already. One that does not open here counts as other. */
static bool is_present(const struct peer *peer, const struct intent_blob *present,
                       const struct intent_blob *blob)
{
    struct buffer content = {0};
    bool same = seal_open(present, &peer->cluster, &peer->identity, &content) == 0 &&
                same_content(&content, &blob->content);
    seal_wipe(&content);
    return same;
}

static int seal_one(const struct peer *peer, struct intent_blob *blob)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct raft_configuration *configuration = &intent->configuration;
    const struct intent_blob *present = intent_blob_find(intent, blob->kind, blob->name);
    struct id peers[RAFT_MEMBERS_MAX];
    if (present && is_present(peer, present, blob))
        return take_present(present, blob);
    for (uint32_t i = 0; i < configuration->count; i++)
        peers[i] = configuration->members[i].id;
    return seal_blob(blob, &peer->cluster, peers, configuration->count);
}

/* A live peer that can open the secret, if this one can't: the leader, else the first. */
static bool find_opener(const struct peer *peer, const struct intent_blob *present, struct id *ret)
{
    struct agent_status status;
    if (!present || intent_wrap_find(present, &peer->identity.id))
        return false;
    agent_status(peer->agent, &status);
    if (status.leader_is_alive && intent_wrap_find(present, &status.leader)) {
        *ret = status.leader;
        return true;
    }
    for (size_t i = 0; i < present->wrap_count; i++)
        if (view_is_alive(agent_view(peer->agent), &present->wraps[i].peer)) {
            *ret = present->wraps[i].peer;
            return true;
        }
    return false;
}

static void wipe(struct intent_blob *blobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (blobs[i].kind == SPEC_FILE_SECRET)
            seal_wipe(&blobs[i].content);
}

bool api_seal(struct api_call *call, struct bytes params, struct intent_blob *blobs, size_t count)
{
    const struct peer *peer = call->peer;
    const struct intent *intent = agent_intent(peer->agent);
    struct id opener;
    for (size_t i = 0; i < count && !call->is_passed_on; i++) {
        if (blobs[i].kind != SPEC_FILE_SECRET ||
            !find_opener(peer, intent_blob_find(intent, blobs[i].kind, blobs[i].name), &opener))
            continue;
        wipe(blobs, count);
        api_forward(call, &opener, params);
        return false;
    }
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        if (blobs[i].kind == SPEC_FILE_SECRET)
            rc = seal_one(peer, &blobs[i]);
    if (rc == 0)
        return true;
    wipe(blobs, count);
    api_fail_with(call, rc, NULL, "a secret can't be sealed: %s", strerror(-rc));
    return false;
}
