#include "replicas_fixture.h"

#include "node/control/stand_in.h"

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
    const char *networks[4];
};

static void see_address(void *context, uint64_t generation, const char *service,
                        const char *network, const struct address *address)
{
    struct seen_addresses *seen = context;
    assert_int_equal(generation, 1);
    assert_string_equal(service, "s_web");
    assert_true(seen->count < sizeof(seen->last_bytes));
    seen->networks[seen->count] = network;
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
    assert_string_equal(seen.networks[0], "s_front");
    assert_string_equal(seen.networks[1], "s_back");
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

/* Breaks if what a peer ran in another's place is not known again after a restart of the daemon, by
 * the container alone: the id has no room for a long name. */
static void test_adopt_stand_in(void **state)
{
    struct here *h = *state;
    struct id self = fixture_id(0);
    char id[RUNTIME_ID_BYTES_MAX + 1];
    uint64_t generation = stand_in_number(1, &self);
    struct container_spec spec;
    struct container_status found = {
        .id = id, .spec = &spec, .state = CONTAINER_RUNNING, .error = ""};
    snprintf(id, sizeof(id), "s_w.2.%llu", (unsigned long long)generation);
    container_spec_init(&spec);
    spec.image = strdup(digest_text);
    spec.name = strdup("s_web.2");
    rest.adopted = &found;
    rest.wants = false;
    rest.is_old = true;
    look(h);
    assert_int_equal(rest.stands_in.generation, generation);
    assert_string_equal(rest.stands_in.service, "s_web");
    assert_int_equal(rest.stands_in.slot, 2);
    assert_int_equal(rest.published.generation, generation);
    assert_int_equal(rest.pins, 1);
    container_spec_done(&spec);
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
        cmocka_unit_test_setup_teardown(test_adopts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt_stand_in, setup, teardown),
        cmocka_unit_test(test_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
