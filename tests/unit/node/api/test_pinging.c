/* peer.ping: which ways are tried, and what is told of each. */
#include <errno.h>
#include <msgpack.h>
#include <stdio.h>

#include "node/api/pinging.h"
#include "node/peer/pings.h"
#include "tests/unit/node/control/agent_bench.h"

enum {
    PINGS_MAX = 512,
};

void __wrap_api_answer(struct api_call *call, const struct buffer *result);
void __wrap_api_fail_with(struct api_call *call, int code, const char *hint, const char *format,
                          ...) __attribute__((format(printf, 4, 5)));
int __wrap_api_note(struct api_call *call, const char *kind, struct bytes payload);
int __wrap_peer_ping(struct peer *peer, const struct id *id, const struct id *via,
                     ping_callback *callback, void *context);
int __wrap_links_open_stream(struct links *links, const struct id *id,
                             const struct address *address, uint8_t kind, struct bytes header,
                             const struct stream_handler *handler, void *context,
                             struct mux_stream **ret);

static struct {
    char text[65536]; /* the answer */
    int code;         /* of the failure */
    unsigned notes;
    bool is_done;
} said;

/* Pings that were asked for. */
static struct {
    struct id target, via;
    ping_callback *callback;
    void *context;
} pings[PINGS_MAX];
static size_t ping_count;
static int ping_error;

void __wrap_api_answer(struct api_call *call, const struct buffer *result)
{
    msgpack_unpacked unpacked;
    size_t offset = 0;
    assert_false(said.is_done);
    said.is_done = true;
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(
        msgpack_unpack_next(&unpacked, (const char *)result->bytes, result->size, &offset),
        MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(offset, result->size);
    msgpack_object_print_buffer(said.text, sizeof(said.text), unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    free(call);
}

void __wrap_api_fail_with(struct api_call *call, int code, const char *hint, const char *format,
                          ...)
{
    (void)hint;
    (void)format;
    assert_false(said.is_done);
    said.is_done = true;
    said.code = code;
    free(call);
}

int __wrap_api_note(struct api_call *call, const char *kind, struct bytes payload)
{
    (void)call;
    assert_string_equal(kind, "pong");
    assert_true(payload.size > 0);
    said.notes++;
    return 0;
}

int __wrap_peer_ping(struct peer *peer, const struct id *id, const struct id *via,
                     ping_callback *callback, void *context)
{
    (void)peer;
    assert_true(ping_count < PINGS_MAX);
    if (ping_error < 0)
        return ping_error;
    pings[ping_count].target = *id;
    pings[ping_count].via = via ? *via : ID_NONE;
    pings[ping_count].callback = callback;
    pings[ping_count++].context = context;
    return 0;
}

int __wrap_links_open_stream(struct links *links, const struct id *id,
                             const struct address *address, uint8_t kind, struct bytes header,
                             const struct stream_handler *handler, void *context,
                             struct mux_stream **ret)
{
    (void)links, (void)id, (void)address, (void)header, (void)handler, (void)context, (void)ret;
    assert_int_equal(kind, STREAM_API);
    return -ECONNREFUSED;
}

struct here {
    struct fleet f;
    uv_loop_t loop;
    struct peer peer;
};

static void start(struct here *h, unsigned peer_count)
{
    memset(h, 0, sizeof(*h));
    memset(&said, 0, sizeof(said));
    ping_count = 0;
    ping_error = 0;
    fleet_start(&h->f, peer_count, 1);
    fleet_run(&h->f, 5000);
    uv_loop_init(&h->loop);
    h->peer = (struct peer){.loop = &h->loop,
                            .options = {.name = "p0"},
                            .identity = h->f.peers[0].identity,
                            .agent = h->f.peers[0].agent};
}

static void done(struct here *h)
{
    uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(h->peer.pinging_count, 0);
    assert_int_equal(uv_loop_close(&h->loop), 0);
    fleet_done(&h->f);
}

static struct api_call *begin(struct here *h, unsigned target, uint64_t count, bool with_helpers)
{
    struct api_call *call = calloc(1, sizeof(*call));
    struct pinging_options options = {.target = fleet_id(&h->f, target),
                                      .count = count,
                                      .interval_ms = PINGING_INTERVAL_MS_MIN,
                                      .with_helpers = with_helpers};
    assert_non_null(call);
    call->peer = &h->peer;
    pinging_start(call, &options);
    return call;
}

/* Lets rounds go by until so many pings were asked for. */
static void wait_pings(struct here *h, size_t count)
{
    while (ping_count < count)
        uv_run(&h->loop, UV_RUN_ONCE);
}

static void give(size_t index, bool is_lost, bool nacked, uint32_t rtt_us)
{
    struct agent_pong pong = {.is_lost = is_lost, .nacked = nacked, .rtt_us = rtt_us};
    pings[index].callback(pings[index].context, &pong);
}

static void assert_says(const char *text)
{
    if (!strstr(said.text, text))
        fail_msg("%s is not in: %s", text, said.text);
}

/* Breaks if round trips or losses are added up wrongly, or the call ends too early or never. */
static void test_summary(void **state)
{
    (void)state;
    struct here h;
    start(&h, 2);
    begin(&h, 1, 3, false);
    wait_pings(&h, 3);
    give(0, false, false, 200);
    give(2, false, false, 400);
    assert_false(said.is_done);
    give(1, true, false, 0);
    assert_true(said.is_done);
    assert_int_equal(said.notes, 3);
    assert_says("\"from\"=>\"p0\", \"to\"=>\"p1\"");
    assert_says("{\"way\"=>\"packet\", \"via\"=>\"\", \"sent\"=>3, \"received\"=>2, \"nacked\"=>0, "
                "\"min_us\"=>200, \"avg_us\"=>300, \"max_us\"=>400");
    assert_says("{\"way\"=>\"stream\", \"via\"=>\"\", \"sent\"=>0, \"received\"=>0");
    assert_says("\"error\"=>\"no peer runs there\"");
    done(&h);
}

/* Breaks if a helper is left out, is one of the two ends, or its word is lost. */
static void test_helpers(void **state)
{
    (void)state;
    struct here h;
    struct id self, target;
    size_t direct = 0, through = 0;
    start(&h, 5);
    self = fleet_id(&h.f, 0);
    target = fleet_id(&h.f, 1);
    begin(&h, 1, 1, true);
    wait_pings(&h, 4);
    for (size_t i = 0; i < ping_count; i++) {
        assert_true(id_equal(&pings[i].target, &target));
        assert_false(id_equal(&pings[i].via, &self) || id_equal(&pings[i].via, &target));
        direct += id_is_none(&pings[i].via);
        through += !id_is_none(&pings[i].via);
    }
    assert_int_equal(direct, 1);
    assert_int_equal(through, 3);
    for (size_t i = 0; i < 4; i++)
        give(i, !id_is_none(&pings[i].via), !id_is_none(&pings[i].via), 77);
    assert_true(said.is_done);
    assert_says("\"via\"=>\"p4\", \"sent\"=>1, \"received\"=>0, \"nacked\"=>1");
    assert_says("\"via\"=>\"\", \"sent\"=>1, \"received\"=>1");
    done(&h);
}

/* Breaks if a client that goes leaves something that an answer to its ping then touches. */
static void test_canceled(void **state)
{
    (void)state;
    struct here h;
    start(&h, 2);
    struct api_call *call = begin(&h, 1, 5, false);
    wait_pings(&h, 2);
    call->is_canceled = true;
    call->on_cancel(call);
    assert_true(said.is_done);
    assert_int_equal(said.notes, 2); /* what was not answered by then is lost: each is said */
    give(0, false, false, 1);
    uv_run(&h.loop, UV_RUN_NOWAIT);
    assert_int_equal(h.peer.pinging_count, 1); /* an answer is still to come */
    pings[1].callback(pings[1].context, NULL); /* as the peer stops */
    done(&h);
}

/* Breaks if what can't be asked is, or too much at once. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned target;
        uint64_t count;
        int code;
    } bad[] = {{0, 1, -EINVAL}, {1, 0, -EINVAL}, {1, PINGING_COUNT_MAX + 1, -EINVAL}};
    struct here h;
    start(&h, 2);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(&said, 0, sizeof(said));
        begin(&h, bad[i].target, bad[i].count, false);
        assert_true(said.is_done);
        assert_int_equal(said.code, bad[i].code);
    }
    memset(&said, 0, sizeof(said));
    h.peer.pinging_count = PINGING_MAX;
    begin(&h, 1, 1, false);
    assert_int_equal(said.code, -EBUSY);
    h.peer.pinging_count = 0;
    memset(&said, 0, sizeof(said));
    ping_error = -EBUSY; /* gossip has too many under way */
    begin(&h, 1, 3, false);
    assert_true(said.is_done);
    assert_says("\"sent\"=>0, \"received\"=>0");
    assert_says("\"error\"=>\"Device or resource busy\"");
    done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_helpers),
        cmocka_unit_test(test_canceled),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
