/* Leaving: drain, hand over the vote, say goodbye, forget the cluster, start anew without one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/control/holders.h"
#include "node/peer/peer.h"
#include "node/peer/proposals.h"
#include "node/peer/replicas.h"
#include "node/transport/socket.h"

enum {
    LEAVE_LOOK_MS = 100,       /* how often what is left to do is looked at */
    LEAVE_PATIENCE_MS = 15000, /* for the cluster to agree to one change */
    LEAVE_GOODBYE_MS = 1200,   /* for the word to spread */
    LEAVE_CLEAR_MS = 30000,    /* for containers that are left (--force) to be removed */
};

enum leave_step {
    LEAVE_DRAIN,   /* agreed to be draining */
    LEAVE_EMPTY,   /* no replica is placed here, and this peer votes no more */
    LEAVE_LEFT,    /* agreed to have left */
    LEAVE_GOODBYE, /* the others have heard of it, and no container is left */
    LEAVE_FORGET,  /* nothing is on disk of the cluster */
};

struct leaving {
    struct peer *peer;
    enum leave_step step;
    bool is_waiting; /* for a proposal */
    bool is_forced;
    int64_t goodbye_ms;
    char told[128];
    uv_timer_t timer;
    void (*progress)(void *context, const char *words);
    peer_membership_callback *callback;
    void *context;
};

static void finish(struct leaving *leaving, const struct error *error)
{
    struct peer *peer = leaving->peer;
    peer->leaving = NULL;
    if (error) {
        peer->phase = PEER_MEMBER;
        peer->is_forgetting = false;
        peer_wake(peer);
        replicas_changed(peer->replicas);
    }
    leaving->callback(leaving->context, error);
    uv_close((uv_handle_t *)&leaving->timer, socket_free_owner);
    if (!error) {
        peer->starts_anew = true;
        peer_stop(peer, 0);
    }
}

static void tell(struct leaving *leaving, const char *words)
{
    if (strcmp(leaving->told, words) == 0)
        return;
    snprintf(leaving->told, sizeof(leaving->told), "%s", words);
    if (leaving->progress)
        leaving->progress(leaving->context, words);
}

static void on_decided(void *context, const struct agent_result *result)
{
    struct leaving *leaving = context;
    leaving->is_waiting = false;
    if (result->result.code < 0) {
        finish(leaving, &result->result.error);
        return;
    }
    leaving->step++;
}

static void propose_state(struct leaving *leaving, enum intent_peer_state state)
{
    struct peer *peer = leaving->peer;
    struct command command = {.head.type = COMMAND_PEER_STATE,
                              .peer_state = {.id = peer->identity.id, .state = (uint8_t)state}};
    struct error error = {0};
    snprintf(command.head.actor, sizeof(command.head.actor), "%s", peer->options.name);
    int rc = peer_propose(peer, &command, LEAVE_PATIENCE_MS, on_decided, leaving);
    if (rc < 0) {
        error_set_errno(&error, rc, "leaving");
        finish(leaving, &error);
        return;
    }
    leaving->is_waiting = true;
}

static size_t replicas_here(const struct peer *peer)
{
    const struct intent *intent = agent_intent(peer->agent);
    size_t count = 0;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        count += id_equal(&replica->peer, &peer->identity.id);
    }
    return count;
}

static bool is_last_peer(const struct peer *peer)
{
    const struct intent *intent = agent_intent(peer->agent);
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *other = intent->peers.items[i];
        if (other->role == INTENT_PEER && other->state == INTENT_ACTIVE &&
            !id_equal(&other->id, &peer->identity.id))
            return false;
    }
    return true;
}

/* Replicas move first, so that no request fails; then the vote, so that no quorum is lost. */
static void wait_until_empty(struct leaving *leaving)
{
    struct peer *peer = leaving->peer;
    char words[64];
    size_t count = leaving->is_forced ? 0 : replicas_here(peer);
    if (count > 0) {
        snprintf(words, sizeof(words), "moving %zu replica%s to other peers", count,
                 count == 1 ? "" : "s");
        tell(leaving, words);
    } else if (intent_is_voter(agent_intent(peer->agent), &peer->identity.id) &&
               !is_last_peer(peer)) {
        tell(leaving, "handing over the vote");
    } else if (!leaving->is_forced && !is_last_peer(peer) &&
               holders_is_last(agent_intent(peer->agent), &peer->identity.id)) {
        tell(leaving, "handing over the keys of secrets");
    } else {
        leaving->step = LEAVE_LEFT;
    }
}

static void on_forgotten(void *context, int result, const struct error *error)
{
    struct leaving *leaving = context;
    struct peer *peer = leaving->peer;
    if (result == -ECANCELED)
        return; /* this peer is stopping: the next start finds what is still there */
    if (result == 0 && peer->runtime_is_ready && replicas_count(peer->replicas) == 0)
        runtime_remove_network(peer->runtime);
    finish(leaving, result < 0 ? error : NULL);
}

static int forget_seed(void *context, const char *key, struct bytes value)
{
    (void)value;
    store_batch_delete(context, key);
    return 0;
}

/* The membership goes from the store, and the key with it: the next start makes another one, under
 * which this peer may join again. The agent takes no more steps: nothing it would store comes after
 * this. */
static void forget_cluster(struct leaving *leaving)
{
    struct peer *peer = leaving->peer;
    struct error error = {0};
    struct store_batch batch;
    peer->is_forgetting = true;
    leaving->step = LEAVE_FORGET;
    store_batch_init(&batch);
    int rc = store_each(peer->store, PEER_SEED_PREFIX, forget_seed, &batch, &error);
    store_batch_put(&batch, STORE_KEY_SPENT, (struct bytes){peer->identity.id.bytes, ID_BYTES});
    store_batch_delete(&batch, STORE_KEY_CHAIN);
    store_batch_delete(&batch, STORE_KEY_HARD_STATE);
    store_batch_delete(&batch, STORE_KEY_SNAPSHOT);
    store_batch_delete(&batch, STORE_KEY_INTENT);
    store_batch_delete_all(&batch, PEER_FED_PREFIX);
    store_batch_truncate_from(&batch, 1);
    if (rc == 0)
        rc = store_write(peer->store, &batch, on_forgotten, leaving);
    store_batch_done(&batch);
    if (rc < 0) {
        if (error.code == 0)
            error_set_errno(&error, rc, "forgetting the cluster");
        finish(leaving, &error);
    }
}

static void say_goodbye(struct leaving *leaving)
{
    struct peer *peer = leaving->peer;
    int64_t now_ms = peer_now_ms(peer);
    if (leaving->goodbye_ms == 0) {
        tell(leaving, "telling the others");
        peer->phase = PEER_GONE;
        replicas_changed(peer->replicas); /* with --force some may be left */
        agent_leave(peer->agent, now_ms);
        peer_wake(peer);
        leaving->goodbye_ms = now_ms;
    } else if (now_ms >= leaving->goodbye_ms + LEAVE_CLEAR_MS ||
               (now_ms >= leaving->goodbye_ms + LEAVE_GOODBYE_MS &&
                replicas_count(peer->replicas) == 0)) {
        forget_cluster(leaving);
    }
}

static void on_look(uv_timer_t *timer)
{
    struct leaving *leaving = timer->data;
    if (leaving->is_waiting)
        return;
    switch (leaving->step) {
    case LEAVE_DRAIN:
        if (is_last_peer(leaving->peer))
            leaving->step = LEAVE_GOODBYE;
        else
            propose_state(leaving, INTENT_DRAINING);
        break;
    case LEAVE_EMPTY:
        wait_until_empty(leaving);
        break;
    case LEAVE_LEFT:
        propose_state(leaving, INTENT_LEFT);
        break;
    case LEAVE_GOODBYE:
        say_goodbye(leaving);
        break;
    case LEAVE_FORGET:
        break; /* the store answers */
    }
}

int peer_leave(struct peer *peer, bool force, void (*progress)(void *context, const char *words),
               peer_membership_callback *callback, void *context, struct error *error)
{
    if (peer->phase != PEER_MEMBER) {
        error_set(error, -ENOTCONN,
                  peer->phase == PEER_LEAVING ? "this peer is leaving already"
                                              : "this peer is in no cluster");
        return -ENOTCONN;
    }
    if (is_last_peer(peer) && replicas_here(peer) > 0 && !force) {
        error_set(error, -EBUSY, "this is the last peer, and %zu replicas run on it",
                  replicas_here(peer));
        error_hint(error, "remove the services first, or end them with: consort leave --force");
        return -EBUSY;
    }
    struct leaving *leaving = calloc(1, sizeof(*leaving));
    if (!leaving)
        return error_set_errno(error, -ENOMEM, "leaving");
    leaving->peer = peer;
    leaving->is_forced = force;
    leaving->progress = progress;
    leaving->callback = callback;
    leaving->context = context;
    uv_timer_init(peer->loop, &leaving->timer);
    leaving->timer.data = leaving;
    uv_timer_start(&leaving->timer, on_look, 0, LEAVE_LOOK_MS);
    peer->leaving = leaving;
    peer->phase = PEER_LEAVING;
    return 0;
}
