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

static int setup(void **state)
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

static int teardown(void **state)
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

static void look(struct here *h)
{
    replicas_changed(h->peer.replicas);
    uv_update_time(&h->loop);
    uv_run(&h->loop, UV_RUN_NOWAIT);
}

static void report(struct here *h, enum container_state state, enum health_state health)
{
    struct container_status status = {
        .id = "s_web.1.1", .state = state, .health = health, .exit_code = 3, .error = ""};
    status.addresses[0] = address_from_v4(0x0a580002, 0);
    status.addresses[1] = address_from_v4(0x0a580003, 0);
    status.address_count = 2;
    replicas_status(h->peer.replicas, &status);
}

/* Breaks if an intent that is older than what this peer once knew has a container removed, or one
 * started that others may run by now. */
static void test_old_intent(void **state)
{
    struct here *h = *state;
    struct container_spec spec;
    struct container_status found = {
        .id = "s_web.1.1", .state = CONTAINER_RUNNING, .spec = &spec, .error = ""};
    container_spec_init(&spec);
    spec.image = strdup(digest_text);
    rest.adopted = &found;
    rest.is_old = true;
    rest.wants = false;
    look(h);
    assert_int_equal(rest.published.state, VIEW_REPLICA_RUNNING); /* it is told nevertheless */
    assert_int_equal(rest.withdrawals, 0);
    rest.is_old = false;
    look(h);
    assert_int_equal(rest.published.state, VIEW_REPLICA_STOPPING);
    container_spec_done(&spec);
}

struct seen_addresses {
    size_t count;
    uint8_t last_bytes[4];
};

static void see_address(void *context, uint64_t generation, const char *service,
                        const struct address *address)
{
    struct seen_addresses *seen = context;
    assert_int_equal(generation, 1);
    assert_string_equal(service, "s_web");
    assert_true(seen->count < sizeof(seen->last_bytes));
    seen->last_bytes[seen->count++] = address->ip[15];
}

/* Breaks if what is wanted does not start, starts twice, or its state is not told. */
static void test_start(void **state)
{
    struct here *h = *state;
    char id[RUNTIME_ID_BYTES_MAX + 1];
    look(h);
    look(h);
    assert_int_equal(rest.starts, 1);
    assert_int_equal(rest.fetches, 0);
    report(h, CONTAINER_RUNNING, HEALTH_STARTING);
    assert_int_equal(rest.published.state, VIEW_REPLICA_RUNNING);
    assert_int_equal(rest.published.health, VIEW_HEALTH_STARTING);
    report(h, CONTAINER_BACKOFF, HEALTH_NONE);
    assert_int_equal(rest.published.state, VIEW_REPLICA_BACKOFF);
    assert_int_equal(rest.published.exit_code, 3);
    assert_int_equal(rest.starts, 1); /* the runtime starts it again, not we */
    struct seen_addresses seen = {0};
    replicas_each_address(h->peer.replicas, see_address, &seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.last_bytes[0], 2); /* the first, where it takes connections */
    assert_int_equal(seen.last_bytes[1], 3);
    assert_true(replicas_container_id(h->peer.replicas, 1, id));
    assert_string_equal(id, "s_web.1.1");
    assert_int_equal(replicas_count(h->peer.replicas), 1);
}

/* Breaks if a replica starts without its image, or an image that can't be had now is never tried
 * again. */
static void test_fetch(void **state)
{
    struct here *h = *state;
    struct error error = {.code = -ENOENT, .message = "no peer has it"};
    rest.has_image = false;
    look(h);
    look(h);
    assert_int_equal(rest.fetches, 1);
    assert_int_equal(rest.starts, 0);
    assert_int_equal(rest.published.state, VIEW_REPLICA_PENDING);
    assert_string_equal(rest.published.detail, "fetching its image");
    void (*fetched)(void *, const struct error *) = rest.fetched;
    rest.fetched = NULL;
    fetched(rest.fetch_context, &error);
    assert_string_equal(rest.published.detail, "no peer has it");
    look(h);
    assert_int_equal(rest.fetches, 1); /* not at once */
    rest.skipped_ms += 2100;
    look(h);
    assert_int_equal(rest.fetches, 2);
    fetched = rest.fetched;
    rest.fetched = NULL;
    rest.has_image = true;
    fetched(rest.fetch_context, NULL);
    look(h);
    assert_int_equal(rest.starts, 1);
}

/* Breaks if a replica starts without its secret, or goes on waiting once that is sealed to its
 * peer.
 */
static void test_secret(void **state)
{
    struct here *h = *state;
    struct intent_revision *revision = fixture_service(&rest.f, "s_web")->revisions.items[0];
    struct command command = fixture_command(&rest.f, COMMAND_BLOB_SET);
    fixture_secret(&command.blob_set.blob, "key", "hush", 1);
    assert_int_equal(fixture_apply(&rest.f, &command), 0);
    intent_blob_done(&command.blob_set.blob);
    revision->spec.files = calloc(1, sizeof(*revision->spec.files));
    assert_non_null(revision->spec.files);
    revision->spec.file_count = 1;
    revision->spec.files[0] = (struct spec_file){.kind = SPEC_FILE_SECRET,
                                                 .source = strdup("key"),
                                                 .target = strdup("/run/secrets/key"),
                                                 .version = rest.f.result.version};
    h->peer.identity.id = fixture_id(1);
    look(h);
    look(h);
    assert_int_equal(rest.starts, 0);
    assert_int_equal(rest.published.state, VIEW_REPLICA_PENDING);
    assert_non_null(strstr(rest.published.detail, "secret key to be sealed"));
    h->peer.identity.id = fixture_id(0); /* to whom it is sealed */
    look(h);
    assert_int_equal(rest.starts, 1);
}

static void set_limits(uint32_t cpu_millis, uint64_t memory_bytes)
{
    struct intent_revision *revision = fixture_service(&rest.f, "s_web")->revisions.items[0];
    revision->spec.resources.cpu_limit_millis = cpu_millis;
    revision->spec.resources.memory_limit_bytes = memory_bytes;
}

static void end_limiting(const struct error *error)
{
    void (*limited)(void *, const struct error *) = rest.limited;
    assert_non_null(limited);
    rest.limited = NULL;
    limited(rest.limit_context, error);
}

/* Breaks if a container that runs does not get other limits, is started anew for them, or is asked
 * without a pause when it can't have them. */
static void test_limits(void **state)
{
    struct here *h = *state;
    struct error error = {.code = -EBUSY, .message = "it uses more"};
    look(h);
    report(h, CONTAINER_RUNNING, HEALTH_NONE);
    look(h);
    assert_null(rest.limited);
    set_limits(500, 1 << 20);
    look(h);
    look(h);
    assert_int_equal(rest.limits.cpu_millicores, 500);
    assert_int_equal(rest.limits.memory_bytes, 1 << 20);
    set_limits(0, 2 << 20); /* meanwhile */
    end_limiting(NULL);
    look(h);
    assert_int_equal(rest.limits.cpu_millicores, 0);
    end_limiting(NULL);
    look(h);
    assert_null(rest.limited);
    set_limits(0, 4096);
    look(h);
    rest.limits.memory_bytes = 2 << 20; /* as it is when it was refused */
    end_limiting(&error);
    assert_int_equal(rest.published.state, VIEW_REPLICA_RUNNING);
    assert_string_equal(rest.published.detail, "its limits can't be changed: it uses more");
    look(h);
    assert_null(rest.limited);
    rest.skipped_ms += 2100;
    look(h);
    assert_non_null(rest.limited);
    assert_int_equal(rest.starts, 1);
    h->peer.is_stopping = true;
    end_limiting(NULL); /* late */
    h->peer.is_stopping = false;
}

/* Breaks if a start that is refused is not told with its reason, or is tried without a pause. */
static void test_start_refused(void **state)
{
    struct here *h = *state;
    rest.start_result = -ENOSPC;
    look(h);
    assert_int_equal(rest.published.state, VIEW_REPLICA_FAILED);
    assert_string_equal(rest.published.detail, "no room");
    rest.start_result = 0;
    look(h);
    assert_int_equal(rest.starts, 0);
    rest.skipped_ms += 2100;
    look(h);
    assert_int_equal(rest.starts, 1);
}

/* Breaks if a replica that serves is stopped before others have heard that it gets no new
 * connections, or is told to serve again meanwhile, or its entry stays when it is gone. */
static void test_drained_first(void **state)
{
    struct here *h = *state;
    look(h);
    report(h, CONTAINER_RUNNING, HEALTH_HEALTHY);
    rest.wants = false;
    look(h);
    assert_int_equal(rest.published.state, VIEW_REPLICA_STOPPING);
    assert_int_equal(rest.removals, 0);
    report(h, CONTAINER_RUNNING, HEALTH_HEALTHY);
    assert_int_equal(rest.published.state, VIEW_REPLICA_STOPPING);
    rest.skipped_ms += 900;
    look(h);
    assert_int_equal(rest.removals, 0);
    rest.skipped_ms += 200;
    look(h);
    look(h);
    assert_int_equal(rest.removals, 1);
    assert_int_equal(rest.withdrawals, 0);
    report(h, CONTAINER_REMOVED, HEALTH_NONE);
    assert_int_equal(rest.withdrawals, 1);
    assert_int_equal(replicas_count(h->peer.replicas), 0);
    assert_int_equal(rest.pins, 0);
}

/* Breaks if what does not serve is waited for, or an exclusive replica without a lease runs on
 * while others could start theirs. */
static void test_stopped_at_once(void **state)
{
    struct here *h = *state;
    look(h);
    report(h, CONTAINER_STARTING, HEALTH_NONE);
    rest.wants = false;
    look(h);
    assert_int_equal(rest.removals, 1);
    report(h, CONTAINER_REMOVED, HEALTH_NONE);

    rest.wants = true;
    look(h);
    report(h, CONTAINER_RUNNING, HEALTH_NONE);
    struct intent_revision *revision = fixture_service(&rest.f, "s_web")->revisions.items[0];
    revision->spec.exclusive = true;
    rest.wants = false;
    look(h);
    assert_int_equal(rest.removals, 2);
}

/* Breaks if a replica that is no longer wanted starts once its image has come. */
static void test_unwanted_while_fetching(void **state)
{
    struct here *h = *state;
    rest.has_image = false;
    look(h);
    assert_int_equal(rest.fetches, 1);
    rest.wants = false;
    look(h);
    void (*fetched)(void *, const struct error *) = rest.fetched;
    rest.fetched = NULL;
    rest.has_image = true;
    fetched(rest.fetch_context, NULL);
    look(h);
    assert_int_equal(rest.starts, 0);
    assert_int_equal(replicas_count(h->peer.replicas), 0);
    assert_int_equal(rest.withdrawals, 1);
    assert_int_equal(rest.pins, 0);
}

/* Breaks if a container from before a restart is started a second time, or one that nobody wants
 * any more is left. */
static void test_adopts(void **state)
{
    struct here *h = *state;
    struct container_spec spec;
    struct container_status found = {
        .id = "s_web.1.1", .state = CONTAINER_RUNNING, .spec = &spec, .error = ""};
    container_spec_init(&spec);
    spec.image = strdup(digest_text);
    rest.adopted = &found;
    look(h);
    assert_int_equal(rest.starts, 0);
    assert_int_equal(rest.pins, 1);
    assert_int_equal(rest.published.state, VIEW_REPLICA_RUNNING);
    rest.wants = false;
    look(h);
    rest.skipped_ms += 1100;
    look(h);
    assert_int_equal(rest.removals, 1);
    container_spec_done(&spec);
}

/* Breaks if a peer that was revoked keeps its containers, or one without a runtime touches any. */
static void test_phases(void **state)
{
    struct here *h = *state;
    h->peer.runtime_is_ready = false;
    look(h);
    assert_int_equal(rest.starts, 0);
    h->peer.runtime_is_ready = true;
    look(h);
    assert_int_equal(rest.starts, 1);
    h->peer.phase = PEER_GONE;
    look(h);
    assert_int_equal(rest.removals, 1);
}

/* Breaks if a container's id is read as another replica's. */
static void test_generation(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        uint64_t generation;
    } cases[] = {
        {"s_web.2.17", 17}, {"s_web.v2.1.5", 5}, {"s_web.2.", 0},   {"s_web", 0}, {"s_web.2.x", 0},
        {"s_web.2.0", 0},   {"s_web.2.-1", 0},   {"s_web.2.1x", 0}, {"", 0},      {"s_web.2.+1", 0},
        {".9", 9}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(replicas_generation_of(cases[i].id), cases[i].generation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_old_intent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drained_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopped_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unwanted_while_fetching, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_phases, setup, teardown),
        cmocka_unit_test(test_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
