/* What `consort watch` shows: the peers and services as they are, told when they change and now and
 * then, and events as they happen. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/describe.h"
#include "node/transport/socket.h"

enum {
    WATCH_LOOK_MS = 200,     /* between looks at whether anything changed */
    WATCH_REFRESH_MS = 2000, /* told anew though nothing did: ages and round trips go on */
    WATCH_ROWS_MAX = 256,    /* peers and services told of, each; the troubled ones first */
};

struct watch {
    uv_timer_t timer;
    struct api_call *call;
    struct event_cursor events;
    uint64_t fingerprint;
    int64_t told_ms;
    bool is_full; /* the client reads slower than things happen: states are left out */
};

/* FNV-1a, over what a look is about: not over ages. */
static void mix(uint64_t *hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        *hash = (*hash ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static void mix_number(uint64_t *hash, uint64_t number)
{
    mix(hash, &number, sizeof(number));
}

static uint64_t fingerprint(const struct peer *peer)
{
    const struct intent *intent = agent_intent(peer->agent);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    struct agent_status status;
    agent_status(peer->agent, &status);
    mix(&hash, &status.leader, sizeof(status.leader));
    mix_number(&hash, intent->applied_index);
    for (size_t i = 0; i < intent->peers.count; i++) {
        const char *state = peer_state_text(peer, intent->peers.items[i]);
        mix(&hash, state, strlen(state));
    }
    for (size_t i = 0; i < intent->services.count; i++)
        mix_number(&hash, count_serving(peer, intent->services.items[i]));
    return hash;
}

static bool is_troubled(const struct peer *peer, const struct intent_peer *known)
{
    return known->state != INTENT_LEFT && known->state != INTENT_REVOKED &&
           strcmp(peer_state_text(peer, known), "alive") != 0;
}

/* The peers in three passes: troubled, well, gone. Counts only, without `writer`. */
static size_t put_peers(struct writer *writer, const struct peer *peer)
{
    const struct table *peers = &agent_intent(peer->agent)->peers;
    size_t count = 0;
    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < peers->count && count < WATCH_ROWS_MAX; i++) {
            const struct intent_peer *known = peers->items[i];
            bool is_gone = known->state == INTENT_LEFT || known->state == INTENT_REVOKED;
            int rank = is_gone ? 2 : is_troubled(peer, known) ? 0 : 1;
            if (known->role != INTENT_PEER || rank != pass)
                continue;
            count++;
            if (writer)
                put_peer(writer, peer, known, 0);
        }
    }
    return count;
}

static bool is_short(const struct peer *peer, const struct intent_service *service)
{
    return count_serving(peer, service) < count_wanted(peer, service);
}

static size_t put_services(struct writer *writer, const struct peer *peer)
{
    const struct table *services = &agent_intent(peer->agent)->services;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < services->count && count < WATCH_ROWS_MAX; i++) {
            const struct intent_service *service = services->items[i];
            if (is_short(peer, service) != (pass == 0))
                continue;
            count++;
            if (writer)
                put_service(writer, peer, service, 0);
        }
    }
    return count;
}

static int note_state(const struct watch *watch)
{
    const struct peer *peer = watch->call->peer;
    const struct intent *intent = agent_intent(peer->agent);
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    struct agent_status status;
    agent_status(peer->agent, &status);
    bool has_leader = !id_is_none(&status.leader) &&
                      (status.leader_is_alive || id_equal(&status.leader, &peer->identity.id));
    writer_init(&writer, &payload);
    writer_map(&writer, 8);
    put_text(&writer, "name", peer->options.name);
    put_text(&writer, "leader", has_leader ? peer_name(peer, &status.leader) : "");
    put_flag(&writer, "quorum", has_leader && status.live_voter_count * 2 > status.voter_count);
    put_u64(&writer, "members", status.member_count);
    put_u64(&writer, "live", status.live_count);
    put_u64(&writer, "services_count", intent->services.count);
    writer_text(&writer, "peers");
    writer_array(&writer, put_peers(NULL, peer));
    put_peers(&writer, peer);
    writer_text(&writer, "services");
    writer_array(&writer, put_services(NULL, peer));
    put_services(&writer, peer);
    return writer_check(&writer) < 0 ? 0 : api_note(watch->call, "state", buffer_view(&payload));
}

static void on_look(uv_timer_t *timer)
{
    struct watch *watch = timer->data;
    struct peer *peer = watch->call->peer;
    if (watch->call->is_canceled) {
        api_answer(watch->call, NULL);
        uv_close((uv_handle_t *)timer, socket_free_owner);
        return;
    }
    if (watch->is_full)
        return;
    note_newer_events(watch->call, &watch->events);
    uint64_t now = fingerprint(peer);
    if (now == watch->fingerprint && peer_now_ms(peer) - watch->told_ms < WATCH_REFRESH_MS)
        return;
    watch->fingerprint = now;
    watch->told_ms = peer_now_ms(peer);
    watch->is_full = note_state(watch) == 1;
}

static void on_drained(struct api_call *call)
{
    ((struct watch *)call->context)->is_full = false;
}

static void method_watch(struct api_call *call, struct bytes params)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    (void)params;
    if (!watch) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    watch->call = call;
    watch->told_ms = peer_now_ms(call->peer) - WATCH_REFRESH_MS;
    call->context = watch;
    call->on_drained = on_drained;
    uv_timer_init(call->peer->loop, &watch->timer);
    watch->timer.data = watch;
    uv_timer_start(&watch->timer, on_look, 0, WATCH_LOOK_MS);
}

const struct api_entry api_watch_methods[] = {
    {"watch", ROLE_VIEWER, API_IN_CLUSTER, method_watch},
    {0},
};
