#include "node/peer/proposals.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/peer/peer.h"

struct proposal {
    struct peer *peer;
    uint64_t request;      /* as the agent knows it; a new one each try */
    struct buffer command; /* empty: a recovery */
    struct client client;  /* who proposes it */
    struct agent_recovery recovery;
    struct raft_seal seal;
    int64_t give_up_ms;
    proposal_callback *callback;
    void *context;
    uv_timer_t timer; /* the next try */
    struct proposal *next;
};

enum {
    PROPOSAL_RETRY_MS = 150,
};

static void free_proposal(uv_handle_t *handle)
{
    struct proposal *proposal = handle->data;
    buffer_done(&proposal->command);
    free(proposal);
}

static void finish(struct proposal *proposal, const struct agent_result *result)
{
    struct proposal **link = &proposal->peer->proposals;
    while (*link && *link != proposal)
        link = &(*link)->next;
    if (*link)
        *link = proposal->next;
    if (proposal->command.size > 0)
        clients_give_back(&proposal->peer->clients, &proposal->client);
    proposal->callback(proposal->context, result);
    uv_close((uv_handle_t *)&proposal->timer, free_proposal);
}

static void on_try(uv_timer_t *timer)
{
    struct proposal *proposal = timer->data;
    struct peer *peer = proposal->peer;
    proposal->request = ++peer->next_request;
    bool recovers = proposal->command.size == 0;
    peer_step(peer, &(struct agent_input){.type = recovers ? AGENT_RECOVER : AGENT_PROPOSE_LOCAL,
                                          .request = proposal->request,
                                          .bytes = buffer_view(&proposal->command),
                                          .recovery = &proposal->recovery,
                                          .more = !recovers});
}

static void start(struct peer *peer, struct proposal *proposal, int64_t give_up_ms,
                  proposal_callback *callback, void *context)
{
    proposal->peer = peer;
    proposal->give_up_ms = give_up_ms;
    proposal->callback = callback;
    proposal->context = context;
    proposal->next = peer->proposals;
    peer->proposals = proposal;
    uv_timer_init(peer->loop, &proposal->timer);
    proposal->timer.data = proposal;
    uv_timer_start(&proposal->timer, on_try, 0, 0);
}

int peer_recover(struct peer *peer, const struct agent_recovery *recovery,
                 proposal_callback *callback, void *context)
{
    struct proposal *proposal = calloc(1, sizeof(*proposal));
    if (!proposal)
        return -ENOMEM;
    proposal->recovery = *recovery;
    if (recovery->seal) {
        proposal->seal = *recovery->seal;
        proposal->recovery.seal = &proposal->seal;
    }
    start(peer, proposal, 0, callback, context);
    return 0;
}

int peer_propose(struct peer *peer, struct command *command, int64_t patience_ms,
                 proposal_callback *callback, void *context)
{
    struct proposal *proposal = calloc(1, sizeof(*proposal));
    if (!proposal)
        return -ENOMEM;
    uint64_t fresh;
    randombytes_buf(&fresh, sizeof(fresh));
    clients_take(&peer->clients, fresh | 1, &proposal->client);
    command->head.client = proposal->client.id;
    command->head.sequence = proposal->client.sequence;
    command->head.since = agent_intent(peer->agent)->applied_index;
    command->head.wall_ms = peer_wall_ms();
    int rc = command_encode(command, &proposal->command);
    if (rc < 0) {
        clients_give_back(&peer->clients, &proposal->client);
        buffer_done(&proposal->command);
        free(proposal);
        return rc;
    }
    start(peer, proposal, peer_now_ms(peer) + patience_ms, callback, context);
    return 0;
}

static struct proposal *find(struct peer *peer, uint64_t request)
{
    struct proposal *proposal = peer->proposals;
    while (proposal && proposal->request != request)
        proposal = proposal->next;
    return proposal;
}

void proposals_decided(struct peer *peer, const struct agent_result *result)
{
    struct proposal *proposal = find(peer, result->request);
    if (!proposal)
        return;
    int code = result->result.code;
    bool may_retry = code == -EAGAIN || code == -EREMOTE || code == -EBUSY || code == -ETIMEDOUT;
    if (may_retry && peer_now_ms(peer) + PROPOSAL_RETRY_MS < proposal->give_up_ms) {
        uv_timer_start(&proposal->timer, on_try, PROPOSAL_RETRY_MS, 0);
        return;
    }
    finish(proposal, result);
}

void proposals_retry(struct peer *peer)
{
    for (struct proposal *proposal = peer->proposals; proposal; proposal = proposal->next)
        if (uv_is_active((uv_handle_t *)&proposal->timer))
            uv_timer_start(&proposal->timer, on_try, 0, 0);
}

void proposals_cancel(struct peer *peer)
{
    while (peer->proposals) {
        struct agent_result result = {.result.code = -ECANCELED};
        error_set(&result.result.error, -ECANCELED, "this peer is stopping");
        finish(peer->proposals, &result);
    }
    clients_done(&peer->clients);
}
