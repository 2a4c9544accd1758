/* The rest of the peer, for tests of its replicas: one replica may be wanted, of generation 1 in
 * the service s_web, and what is asked for is written down. In one file of a test only.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/images/images.h"
#include "node/mesh_process/host.h"
#include "node/peer/peer.h"
#include "node/peer/replica_spec.h"
#include "node/peer/replicas.h"
#include "tests/unit/consensus/intent_fixture.h"

static const char digest_text[] =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* The rest of the peer, as the replicas see it. */
static struct {
    struct fixture f;
    bool wants;     /* the first replica shall run here */
    bool has_image; /* it is here */
    bool is_old;    /* the intent: a newer one was lost */
    void (*fetched)(void *context, const struct error *error); /* a fetch under way */
    void *fetch_context;
    unsigned fetches, starts, removals, withdrawals;
    int start_result;
    struct view_replica published;
    struct container_spec limits;                              /* of the container that runs */
    void (*limited)(void *context, const struct error *error); /* a change of them under way */
    void *limit_context;
    int pins;
    int64_t skipped_ms;
    const struct container_status *adopted; /* what the runtime finds at the start */
    struct intent_replica stands_in;        /* what was taken over in another's place */
    unsigned listed, begun;                 /* how often it was asked, and collecting was begun */
} rest;

void agent_wanted(const struct agent *agent, int64_t now_ms,
                  void (*each)(void *context, const struct agent_wanted *wanted), void *context)
{
    (void)agent;
    (void)now_ms;
    const struct intent_replica *replica = intent_replica_find(rest.f.intent, 1);
    const struct agent_wanted wanted = {.replica = replica,
                                        .service = fixture_service(&rest.f, "s_web"),
                                        .spec = intent_spec_of(rest.f.intent, replica)};
    if (rest.wants)
        each(context, &wanted);
}

bool agent_intent_is_old(const struct agent *agent)
{
    (void)agent;
    return rest.is_old;
}

const struct intent *agent_intent(const struct agent *agent)
{
    (void)agent;
    return rest.f.intent;
}

const struct view *agent_view(const struct agent *agent)
{
    static struct view nothing_heard;
    (void)agent;
    return &nothing_heard;
}

int agent_publish_replica(struct agent *agent, int64_t now_ms, const struct view_replica *replica)
{
    (void)agent;
    (void)now_ms;
    rest.published = *replica;
    return 0;
}

int agent_withdraw_replica(struct agent *agent, int64_t now_ms, uint64_t generation)
{
    (void)agent;
    (void)now_ms;
    assert_int_equal(generation, 1);
    rest.withdrawals++;
    return 0;
}

int agent_adopt_stand_in(struct agent *agent, uint64_t generation, const char *service,
                         uint32_t slot)
{
    (void)agent;
    rest.stands_in = (struct intent_replica){.generation = generation, .slot = slot};
    snprintf(rest.stands_in.service, sizeof(rest.stands_in.service), "%s", service);
    return 0;
}

bool images_has(const struct images *images, const struct digest *digest)
{
    (void)images;
    char text[DIGEST_TEXT_BYTES];
    digest_format(digest, text);
    assert_string_equal(text, digest_text);
    return rest.has_image;
}

int images_fetch(struct images *images, const struct digest *digest, bool asks_anybody,
                 void (*callback)(void *context, const struct error *error), void *context)
{
    (void)images;
    (void)digest;
    assert_false(asks_anybody);
    assert_null(rest.fetched);
    rest.fetches++;
    rest.fetched = callback;
    rest.fetch_context = context;
    return 0;
}

void images_begin_collecting(struct images *images)
{
    (void)images;
    assert_int_equal(rest.listed, 1); /* what it found is pinned by then */
    rest.begun++;
}

void mesh_host_changed(struct mesh_host *host)
{
    (void)host;
}

void peer_is_busy(struct peer *peer)
{
    (void)peer;
}

int64_t peer_now_ms(const struct peer *peer)
{
    return (int64_t)uv_now(peer->loop) + rest.skipped_ms;
}

void peer_wake(struct peer *peer)
{
    (void)peer;
}

int replica_spec_make(const struct agent_wanted *wanted, const struct intent *intent,
                      const char *container_id, struct container_spec *ret, struct error *error)
{
    (void)wanted;
    (void)intent;
    (void)error;
    container_spec_init(ret);
    assert_string_equal(container_id, "s_web.1.1");
    return 0;
}

int runtime_start(struct runtime *runtime, const struct container_spec *spec, struct error *error)
{
    (void)runtime;
    (void)spec;
    assert_true(rest.pins > 0); /* else its image could be collected under it */
    if (rest.start_result < 0)
        return error_set(error, rest.start_result, "no room");
    rest.starts++;
    return 0;
}

int runtime_status(const struct runtime *runtime, const char *id, struct container_status *ret)
{
    (void)runtime;
    assert_string_equal(id, "s_web.1.1");
    *ret = (struct container_status){.id = id, .spec = &rest.limits};
    return 0;
}

int runtime_update_limits(struct runtime *runtime, const char *id, uint32_t cpu_millicores,
                          uint64_t memory_bytes,
                          void (*callback)(void *context, const struct error *error), void *context)
{
    (void)runtime;
    assert_string_equal(id, "s_web.1.1");
    assert_null(rest.limited);
    rest.limits.cpu_millicores = cpu_millicores;
    rest.limits.memory_bytes = memory_bytes;
    rest.limited = callback;
    rest.limit_context = context;
    return 0;
}

int runtime_remove(struct runtime *runtime, const char *id)
{
    (void)runtime;
    assert_string_equal(id, "s_web.1.1");
    rest.removals++;
    return 0;
}

const struct container_stats *stats_find(const struct stats_entry *entries, size_t count,
                                         const char *id)
{
    (void)entries;
    (void)count;
    (void)id;
    return NULL;
}

void runtime_list(const struct runtime *runtime,
                  void (*each)(void *context, const struct container_status *status), void *context)
{
    (void)runtime;
    rest.listed++;
    if (rest.adopted)
        each(context, rest.adopted);
}

int image_store_pin(struct image_store *store, const struct digest *digest)
{
    (void)store;
    (void)digest;
    rest.pins++;
    return 0;
}

void image_store_unpin(struct image_store *store, const struct digest *digest)
{
    (void)store;
    (void)digest;
    rest.pins--;
}

struct here {
    uv_loop_t loop;
    struct peer peer;
};

static inline int setup(void **state)
{
    struct here *h = calloc(1, sizeof(*h));
    struct service_spec spec;
    assert_non_null(h);
    memset(&rest, 0, sizeof(rest));
    uv_loop_init(&h->loop);
    fixture_init(&rest.f, 1);
    fixture_spec(&spec, "web");
    spec.image_digest = strdup(digest_text);
    assert_int_equal(fixture_deploy(&rest.f, "s", &spec, 1), 0);
    service_spec_done(&spec);
    assert_int_equal(fixture_add(&rest.f, "s_web", 1, 1, 0), 0);
    h->peer = (struct peer){.loop = &h->loop,
                            .phase = PEER_MEMBER,
                            .agent = (struct agent *)h, /* never looked into */
                            .runtime_is_ready = true};
    h->peer.replicas = replicas_new(&h->peer);
    assert_non_null(h->peer.replicas);
    rest.wants = true;
    rest.has_image = true;
    *state = h;
    return 0;
}

static inline int teardown(void **state)
{
    struct here *h = *state;
    replicas_free(h->peer.replicas);
    replicas_free(NULL);
    replicas_changed(NULL);
    if (rest.fetched)
        rest.fetched(rest.fetch_context, NULL); /* late: nobody waits for it any more */
    uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&h->loop), 0);
    fixture_done(&rest.f);
    free(h);
    return 0;
}

static inline void look(struct here *h)
{
    replicas_changed(h->peer.replicas);
    uv_update_time(&h->loop);
    uv_run(&h->loop, UV_RUN_NOWAIT);
}

static inline void report(struct here *h, enum container_state state, enum health_state health)
{
    struct container_status status = {
        .id = "s_web.1.1", .state = state, .health = health, .exit_code = 3, .error = ""};
    status.addresses[0] = address_from_v4(0x0a580002, 0);
    status.addresses[1] = address_from_v4(0x0a580003, 0);
    status.networks[0] = "s_front";
    status.networks[1] = "s_back";
    status.address_count = 2;
    replicas_status(h->peer.replicas, &status);
}
