#include "node/peer/sealing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/control/holders.h"
#include "node/peer/peer.h"
#include "node/peer/proposals.h"
#include "node/peer/seal.h"

enum {
    SEALING_CHANGES_MAX = 64,   /* at a time: sealing a key takes 0.1 to 0.5 ms */
    SEALING_SOON_MS = 5,        /* what comes together is looked at together */
    SEALING_REST = 20,          /* times as long as the last look took */
    SEALING_RETRY_MS = 1000,    /* after a proposal was refused */
    SEALING_PATIENCE_MS = 5000, /* for a majority to agree */
};

struct sealing {
    struct peer *peer;
    uv_timer_t timer;
    uint64_t took_us; /* the last look */
    bool is_proposing;
};

static void look(uv_timer_t *timer);

static void look_in(struct sealing *sealing, uint64_t wait_ms)
{
    uv_timer_start(&sealing->timer, look, wait_ms, 0);
}

static void on_decided(void *context, const struct agent_result *result)
{
    struct peer *peer = context;
    if (peer->is_stopping || !peer->sealing)
        return;
    peer->sealing->is_proposing = false;
    if (result->result.code < 0)
        log_limited(LOG_WARNING, "keys of secrets can't be sealed to the peers that need them: %s",
                    result->result.error.message);
    look_in(peer->sealing, result->result.code < 0 ? SEALING_RETRY_MS : SEALING_SOON_MS);
}

/* False for a key that can't be sealed: its peer does without it, and says so. */
static bool make_change(const struct peer *peer, const struct holders_change *from,
                        struct command_seal_change *ret)
{
    *ret = (struct command_seal_change){.version = from->blob->version, .drops = from->drops};
    memcpy(ret->name, from->blob->name, sizeof(ret->name));
    ret->wrap.peer = from->peer;
    int rc = from->drops ? 0 : seal_wrap(from->blob, &peer->identity, &from->peer, &ret->wrap);
    if (rc < 0)
        log_limited(LOG_ERROR, "the key of the secret %s can't be sealed to peer %s: %s",
                    from->blob->name, id_short(&from->peer), strerror(-rc));
    return rc == 0;
}

static void look(uv_timer_t *timer)
{
    struct sealing *sealing = timer->data;
    struct peer *peer = sealing->peer;
    struct holders_change found[SEALING_CHANGES_MAX];
    struct agent_status status;
    if (peer->is_stopping || !peer->agent || sealing->is_proposing || peer->phase == PEER_GONE)
        return;
    agent_status(peer->agent, &status);
    int64_t begin_us = peer_now_us();
    size_t count = holders_changes(agent_intent(peer->agent), agent_view(peer->agent),
                                   &status.leader, &peer->identity.id, found, SEALING_CHANGES_MAX);
    sealing->took_us = (uint64_t)(peer_now_us() - begin_us);
    if (count == 0)
        return;
    struct command command = {.head.type = COMMAND_SEAL};
    struct command_seal *seal = &command.seal;
    seal->changes = calloc(count, sizeof(*seal->changes));
    for (size_t i = 0; seal->changes && i < count; i++)
        seal->change_count += make_change(peer, &found[i], &seal->changes[seal->change_count]);
    memcpy(command.head.actor, "consort", sizeof("consort"));
    if (seal->change_count > 0)
        sealing->is_proposing =
            peer_propose(peer, &command, SEALING_PATIENCE_MS, on_decided, peer) == 0;
    if (!sealing->is_proposing)
        look_in(sealing, SEALING_RETRY_MS);
    command_done(&command);
}

void sealing_changed(struct sealing *sealing)
{
    if (sealing && !sealing->is_proposing && !uv_is_active((uv_handle_t *)&sealing->timer))
        look_in(sealing, SEALING_SOON_MS + sealing->took_us * SEALING_REST / 1000);
}

int sealing_reveal(void *context, const char *name, uint64_t version, struct buffer *ret,
                   struct error *error)
{
    const struct peer *peer = context;
    const struct intent_blob *blob =
        intent_blob_at(agent_intent(peer->agent), SPEC_FILE_SECRET, name, version);
    if (!blob)
        return error_set(error, -ENOENT, "version %" PRIu64 " of its secret %s is not known here",
                         version, name);
    int rc = seal_open(blob, &peer->cluster, &peer->identity, ret);
    if (rc == -EAGAIN)
        error_set(error, rc, "its secret %s is not sealed to this peer yet", name);
    else if (rc == -EBADMSG)
        error_set(error, rc, "its secret %s does not open: set it again", name);
    else if (rc < 0)
        error_set_errno(error, rc, "opening its secret %s", name);
    return rc;
}

struct sealing *sealing_new(struct peer *peer)
{
    struct sealing *sealing = calloc(1, sizeof(*sealing));
    if (!sealing)
        return NULL;
    sealing->peer = peer;
    uv_timer_init(peer->loop, &sealing->timer);
    sealing->timer.data = sealing;
    look_in(sealing, SEALING_SOON_MS);
    return sealing;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void sealing_free(struct sealing *sealing)
{
    if (sealing)
        uv_close((uv_handle_t *)&sealing->timer, on_closed);
}
