#include "node/peer/pings.h"

#include <errno.h>
#include <stdlib.h>

#include "node/peer/peer.h"

struct peer_ping {
    uint64_t token;
    ping_callback *callback;
    void *context;
    struct peer_ping *next;
};

int peer_ping(struct peer *peer, const struct id *id, const struct id *via, ping_callback *callback,
              void *context)
{
    struct peer_ping *ping = malloc(sizeof(*ping));
    if (!ping)
        return -ENOMEM;
    *ping = (struct peer_ping){
        .token = ++peer->next_ping, .callback = callback, .context = context, .next = peer->pings};
    int rc = agent_ping(peer->agent, peer_now_ms(peer), peer_now_us(), id, via, ping->token);
    if (rc < 0) {
        free(ping);
        return rc;
    }
    peer->pings = ping;
    peer_wake(peer);
    return 0;
}

void pings_answered(struct peer *peer, const struct agent_pong *pong)
{
    struct peer_ping **link = &peer->pings;
    while (*link && (*link)->token != pong->token)
        link = &(*link)->next;
    struct peer_ping *ping = *link;
    if (!ping)
        return;
    *link = ping->next;
    ping->callback(ping->context, pong);
    free(ping);
}

void pings_cancel(struct peer *peer)
{
    while (peer->pings) {
        struct peer_ping *ping = peer->pings;
        peer->pings = ping->next;
        ping->callback(ping->context, NULL);
        free(ping);
    }
}
