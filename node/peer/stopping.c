/* Stopping on a signal: who leads hands that over first, so that a restart or an upgrade of the
 * daemon costs no election. A second signal, or PATIENCE_MS, ends the wait. */
#include "base/log.h"
#include "node/peer/peer.h"

enum {
    PATIENCE_MS = 3000, /* three voters' time to take over */
};

static void stop(struct peer *peer)
{
    uv_timer_stop(&peer->patience);
    peer_stop(peer, 0);
}

static void on_patience(uv_timer_t *timer)
{
    log_notice("no other peer took over the lead in time");
    stop(timer->data);
}

void stopping_look(struct peer *peer)
{
    if (!peer->is_handing_over || peer->is_stopping || agent_is_handing_over(peer->agent))
        return;
    const struct id leader = agent_raft_status(peer->agent)->leader;
    const struct intent_peer *successor = intent_peer_find(agent_intent(peer->agent), &leader);
    if (successor && !id_equal(&leader, &peer->identity.id))
        log_notice("the lead is handed over to peer %s", successor->name);
    stop(peer);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct peer *peer = handle->data;
    bool is_first = !peer->is_handing_over;
    log_notice("stopping on signal %d; containers go on", number);
    if (!is_first || !peer->agent || peer->is_forgetting) {
        stop(peer);
        return;
    }
    peer->is_handing_over = true;
    uv_timer_start(&peer->patience, on_patience, PATIENCE_MS, 0);
    peer_step(peer, &(struct agent_input){.type = AGENT_HAND_OVER});
}

void stopping_start(struct peer *peer)
{
    uv_signal_init(peer->loop, &peer->interrupt);
    uv_signal_init(peer->loop, &peer->terminate);
    uv_timer_init(peer->loop, &peer->patience);
    peer->interrupt.data = peer->terminate.data = peer->patience.data = peer;
    uv_signal_start(&peer->interrupt, on_signal, SIGINT);
    uv_signal_start(&peer->terminate, on_signal, SIGTERM);
}

void stopping_done(struct peer *peer)
{
    uv_close((uv_handle_t *)&peer->interrupt, NULL);
    uv_close((uv_handle_t *)&peer->terminate, NULL);
    uv_close((uv_handle_t *)&peer->patience, NULL);
}
