#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "node/transport/messages.h"

enum {
    GATHERED_MAX = 64,
};

/* Two ends of a stream over a carrier that holds anything. */
struct fixture {
    struct mux *a, *b;
    struct buffer frames; /* from a to b: size as size_t, then bytes */
    bool a_awake;
    struct mux_stream *out, *in;
    struct buffer arrived;
    bool is_stuck; /* b consumes nothing */
    size_t count;
    uint8_t kinds[GATHERED_MAX];
    size_t sizes[GATHERED_MAX];
    bool refuses;
};

static void wake(void *context)
{
    ((struct fixture *)context)->a_awake = true;
}

static bool is_ready(void *context)
{
    (void)context;
    return true;
}

static void send_a(void *context, const uint8_t *frame, size_t size)
{
    struct fixture *fixture = context;
    buffer_append(&fixture->frames, &size, sizeof(size));
    buffer_append(&fixture->frames, frame, size);
}

static void send_b(void *context, const uint8_t *frame, size_t size)
{
    struct fixture *fixture = context;
    assert_int_equal(mux_receive(fixture->a, frame, size), 0);
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct fixture *fixture = context;
    buffer_append(&fixture->arrived, data.data, data.size);
    if (!fixture->is_stuck)
        stream_consumed(stream, data.size);
}

static const struct stream_handler handler = {.on_data = on_data};

static void on_open(void *context, struct mux_stream *stream, uint8_t kind, struct bytes header)
{
    (void)kind;
    (void)header;
    ((struct fixture *)context)->in = stream;
    stream_accept(stream, &handler, context);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    const struct mux_config a = {.is_dialer = true, .carrier = {fixture, wake, is_ready, send_a}};
    const struct mux_config b = {
        .carrier = {fixture, wake, is_ready, send_b}, .context = fixture, .on_open = on_open};
    fixture->a = mux_new(&a);
    fixture->b = mux_new(&b);
    assert_int_equal(mux_open(fixture->a, 0, (struct bytes){0}, &handler, fixture, &fixture->out),
                     0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    mux_fail(fixture->a, -EPIPE);
    mux_fail(fixture->b, -EPIPE);
    mux_free(fixture->a);
    mux_free(fixture->b);
    buffer_done(&fixture->frames);
    buffer_done(&fixture->arrived);
    free(fixture);
    return 0;
}

static void move(struct fixture *fixture)
{
    mux_pump(fixture->a);
    for (size_t offset = 0, size; offset < fixture->frames.size; offset += sizeof(size) + size) {
        memcpy(&size, fixture->frames.bytes + offset, sizeof(size));
        assert_int_equal(
            mux_receive(fixture->b, fixture->frames.bytes + offset + sizeof(size), size), 0);
    }
    buffer_clear(&fixture->frames);
    mux_pump(fixture->b);
}

static bool on_message(void *context, uint8_t kind, struct bytes data)
{
    struct fixture *fixture = context;
    if (fixture->refuses)
        return false;
    for (size_t i = 0; i < data.size; i++)
        assert_int_equal(data.data[i], kind);
    assert_true(fixture->count < GATHERED_MAX);
    fixture->kinds[fixture->count] = kind;
    fixture->sizes[fixture->count++] = data.size;
    return true;
}

static void push(struct outbox *outbox, uint8_t kind, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    memset(bytes, kind, size);
    assert_int_equal(outbox_push(outbox, 0, kind, (struct bytes){bytes, size}), 0);
    free(bytes);
}

static void pump_all(struct fixture *fixture, struct outbox *outbox)
{
    while (!outbox_is_empty(outbox)) {
        assert_int_equal(outbox_pump(outbox, 0, fixture->out), 0);
        move(fixture);
    }
    move(fixture);
}

/* Breaks if messages of any size do not arrive whole and in order, however the bytes are cut. */
static void test_round_trip(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {0, 1, 100, 1024 * 1024, 3, LINKS_MESSAGE_BYTES_MAX};
    struct outbox outbox;
    struct inbox inbox = {0};
    struct random random;
    random_init(&random, 3);
    outbox_init(&outbox);
    for (uint8_t i = 0; i < 5; i++)
        push(&outbox, i, sizes[i]);
    pump_all(fixture, &outbox);
    push(&outbox, 5, sizes[5]); /* an empty queue takes it, though it is larger than the queue */
    pump_all(fixture, &outbox);
    for (size_t offset = 0; offset < fixture->arrived.size;) {
        size_t size = 1 + random_below(&random, 3000);
        if (size > fixture->arrived.size - offset)
            size = fixture->arrived.size - offset;
        const struct bytes part = {fixture->arrived.bytes + offset, size};
        assert_int_equal(inbox_receive(&inbox, part, on_message, fixture), 0);
        offset += size;
    }
    assert_int_equal(fixture->count, 6);
    for (uint8_t i = 0; i < 6; i++) {
        assert_int_equal(fixture->kinds[i], i);
        assert_int_equal(fixture->sizes[i], sizes[i]);
    }
    assert_int_equal(inbox.bytes.size, 0);
    inbox_done(&inbox);
    outbox_clear(&outbox);
}

/* Breaks if a peer that takes nothing makes the queue grow over its bound, or the newest message,
 * or one that is half sent, is what gets dropped. */
static void test_stuck(void **state)
{
    struct fixture *fixture = *state;
    enum { SIZE = 512 * 1024, COUNT = 20 };
    struct outbox outbox;
    struct inbox inbox = {0};
    fixture->is_stuck = true;
    outbox_init(&outbox);
    for (int i = 0; i < COUNT; i++) {
        push(&outbox, (uint8_t)i, SIZE);
        assert_int_equal(outbox_pump(&outbox, 0, fixture->out), 0);
        move(fixture);
        assert_true(outbox.bytes <= LINKS_MESSAGE_QUEUE_BYTES);
    }
    assert_int_equal(fixture->arrived.size, MUX_WINDOW_BYTES);
    fixture->is_stuck = false;
    stream_consumed(fixture->in, MUX_WINDOW_BYTES);
    pump_all(fixture, &outbox);
    assert_int_equal(inbox_receive(&inbox, buffer_view(&fixture->arrived), on_message, fixture), 0);
    assert_int_equal(fixture->count + outbox.dropped, COUNT);
    assert_true(outbox.dropped > 0);
    assert_int_equal(fixture->kinds[0], 0); /* half sent: kept */
    for (size_t i = 1; i < fixture->count; i++)
        assert_int_equal(fixture->kinds[i], COUNT - fixture->count + i);
    inbox_done(&inbox);
}

/* Breaks if a message over the bound is queued, or one from the wire is believed. */
static void test_bounds(void **state)
{
    struct fixture *fixture = *state;
    struct outbox outbox;
    struct inbox inbox = {0};
    static uint8_t large[LINKS_MESSAGE_BYTES_MAX + 1];
    outbox_init(&outbox);
    assert_int_equal(outbox_push(&outbox, 0, 1, (struct bytes){large, sizeof(large)}), -EMSGSIZE);
    static const uint8_t empty[] = {0, 0, 0, 0}, huge[] = {1, 16, 0, 2};
    assert_int_equal(inbox_receive(&inbox, (struct bytes){empty, 4}, on_message, fixture),
                     -EBADMSG);
    inbox_done(&inbox);
    assert_int_equal(inbox_receive(&inbox, (struct bytes){huge, 4}, on_message, fixture), -EBADMSG);
    inbox_done(&inbox);
    static const uint8_t two[] = {0, 0, 0, 1, 7, 0, 0, 0, 1, 8};
    fixture->refuses = true;
    assert_int_equal(inbox_receive(&inbox, (struct bytes){two, 10}, on_message, fixture),
                     -ECANCELED);
    inbox_done(&inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stuck, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
