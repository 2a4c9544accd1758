#include "node/peer/reads.h"

#include <errno.h>
#include <stdlib.h>

#include "node/peer/peer.h"

struct peer_read {
    struct peer *peer;
    uint64_t request; /* as the agent knows it; 0: not asked yet */
    read_callback *callback;
    void *context;
    uv_timer_t timer;
    struct peer_read *next;
};

static void free_read(uv_handle_t *handle)
{
    free(handle->data);
}

static void finish(struct peer_read *read, const struct intent_result *result)
{
    struct peer_read **link = &read->peer->reads;
    while (*link != read)
        link = &(*link)->next;
    *link = read->next;
    read->callback(read->context, result);
    uv_close((uv_handle_t *)&read->timer, free_read);
}

static void on_begin(uv_timer_t *timer)
{
    struct peer_read *read = timer->data;
    struct peer *peer = read->peer;
    read->request = ++peer->next_request;
    peer_step(peer, &(struct agent_input){.type = AGENT_READ_LOCAL, .request = read->request});
}

int peer_read(struct peer *peer, read_callback *callback, void *context)
{
    struct peer_read *read = calloc(1, sizeof(*read));
    if (!read)
        return -ENOMEM;
    read->peer = peer;
    read->callback = callback;
    read->context = context;
    read->next = peer->reads;
    peer->reads = read;
    uv_timer_init(peer->loop, &read->timer);
    read->timer.data = read;
    uv_timer_start(&read->timer, on_begin, 0, 0);
    return 0;
}

bool reads_decided(struct peer *peer, const struct agent_result *result)
{
    struct peer_read *read = peer->reads;
    while (read && read->request != result->request)
        read = read->next;
    if (read)
        finish(read, &result->result);
    return read != NULL;
}

void reads_cancel(struct peer *peer)
{
    while (peer->reads) {
        struct intent_result result = {.code = -ECANCELED};
        error_set(&result.error, -ECANCELED, "this peer is stopping");
        finish(peer->reads, &result);
    }
}
