#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "node/transport/mux.h"
#include "node/transport/mux_frame.h"

enum {
    WIRE_FRAMES_MAX = 4, /* what a carrier holds before it says that it is not ready */
    NOW_MS = 1000000,
};

/* One side: a mux, and the frames it has sent that the other has not received. */
struct side {
    struct mux *mux;
    struct side *other;
    uint8_t frames[WIRE_FRAMES_MAX][MUX_FRAME_BYTES_MAX];
    size_t sizes[WIRE_FRAMES_MAX];
    size_t count;
    bool is_awake;
    struct user *accept_as; /* who gets the next incoming stream; NULL: nobody */
    uint8_t opened_kind;
    size_t opened_count;
    struct buffer opened_header;
};

/* The user of one end of a stream. */
struct user {
    struct mux_stream *stream;
    struct buffer received;
    bool is_slow; /* consumes nothing by itself */
    bool reset_on_data, end_on_end;
    unsigned ends, drains, closes;
    int reason;
};

static void wire_wake(void *context)
{
    ((struct side *)context)->is_awake = true;
}

static bool wire_is_ready(void *context)
{
    return ((struct side *)context)->count < WIRE_FRAMES_MAX;
}

static void wire_send(void *context, const uint8_t *frame, size_t size)
{
    struct side *side = context;
    assert_true(side->count < WIRE_FRAMES_MAX);
    memcpy(side->frames[side->count], frame, size);
    side->sizes[side->count++] = size;
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct user *user = context;
    buffer_append(&user->received, data.data, data.size);
    if (user->reset_on_data)
        stream_reset(stream, -ECANCELED);
    else if (!user->is_slow)
        stream_consumed(stream, data.size);
}

static void on_end(void *context, struct mux_stream *stream)
{
    struct user *user = context;
    user->ends++;
    if (user->end_on_end)
        stream_end(stream);
}

static void on_drained(void *context, struct mux_stream *stream)
{
    (void)stream;
    ((struct user *)context)->drains++;
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct user *user = context;
    assert_ptr_equal(stream, user->stream);
    user->stream = NULL;
    user->closes++;
    user->reason = reason;
}

static const struct stream_handler user_handler = {on_data, on_end, on_drained, on_close};

static void on_open(void *context, struct mux_stream *stream, uint8_t kind, struct bytes header)
{
    struct side *side = context;
    side->opened_kind = kind;
    side->opened_count++;
    buffer_clear(&side->opened_header);
    buffer_append(&side->opened_header, header.data, header.size);
    if (!side->accept_as)
        return;
    side->accept_as->stream = stream;
    stream_accept(stream, &user_handler, side->accept_as);
    side->accept_as = NULL;
}

struct pair {
    struct side a, b;
};

static int setup(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    assert_non_null(pair);
    for (int i = 0; i < 2; i++) {
        struct side *side = i == 0 ? &pair->a : &pair->b;
        side->other = i == 0 ? &pair->b : &pair->a;
        const struct mux_config config = {.is_dialer = i == 0,
                                          .carrier = {side, wire_wake, wire_is_ready, wire_send},
                                          .context = side,
                                          .on_open = on_open};
        side->mux = mux_new(&config);
        assert_non_null(side->mux);
    }
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;
    mux_free(pair->a.mux);
    mux_free(pair->b.mux);
    buffer_done(&pair->a.opened_header);
    buffer_done(&pair->b.opened_header);
    free(pair);
    return 0;
}

/* Lets one side send, and the other receive it. False when there was nothing. */
static bool step(struct side *side)
{
    bool was_awake = side->is_awake;
    side->is_awake = false;
    mux_pump(side->mux);
    size_t count = side->count;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(mux_receive(side->other->mux, side->frames[i], side->sizes[i]), 0);
    side->count = 0;
    return was_awake || count > 0;
}

static void settle(struct pair *pair)
{
    bool moved = true;
    while (moved) {
        moved = step(&pair->a);
        moved = step(&pair->b) || moved;
    }
}

static void open_stream(struct pair *pair, struct user *here, struct user *there)
{
    pair->b.accept_as = there;
    assert_int_equal(
        mux_open(pair->a.mux, 5, bytes_of_text("hello"), &user_handler, here, &here->stream), 0);
    settle(pair);
}

static void user_done(struct user *user)
{
    buffer_done(&user->received);
}

/* Breaks if a stream's kind, header, data, ends or close do not arrive once and in order. */
static void test_life(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {.end_on_end = true};
    open_stream(pair, &here, &there);
    assert_int_equal(pair->b.opened_kind, 5);
    assert_true(bytes_equal(buffer_view(&pair->b.opened_header), bytes_of_text("hello")));
    assert_int_equal(stream_write(here.stream, "ping", 4), 0);
    assert_int_equal(stream_write(there.stream, "pong", 4), 0);
    settle(pair);
    assert_memory_equal(there.received.bytes, "ping", 4);
    assert_memory_equal(here.received.bytes, "pong", 4);
    assert_int_equal(stream_write(here.stream, "!", 1), 0);
    stream_end(here.stream);
    assert_int_equal(stream_write(here.stream, "?", 1), -EPIPE);
    settle(pair);
    assert_int_equal(there.received.size, 5);
    assert_int_equal(here.closes, 1);
    assert_int_equal(there.closes, 1);
    assert_int_equal(here.ends, 1);
    assert_int_equal(there.ends, 1);
    assert_int_equal(here.reason, 0);
    assert_int_equal(mux_stream_count(pair->a.mux), 0);
    assert_int_equal(mux_stream_count(pair->b.mux), 0);
    user_done(&here);
    user_done(&there);
}

/* Breaks if a link that passes one short stream after the other is taken for one that nobody uses:
 * whoever looks now and then never meets a stream. */
static void test_short_streams(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {.end_on_end = true};
    mux_was_busy(pair->a.mux);
    mux_was_busy(pair->b.mux);
    assert_false(mux_was_busy(pair->a.mux));
    open_stream(pair, &here, &there);
    assert_true(mux_was_busy(pair->a.mux));
    assert_true(mux_was_busy(pair->a.mux)); /* it is there */
    stream_end(here.stream);
    settle(pair);
    assert_int_equal(mux_stream_count(pair->a.mux), 0);
    assert_false(mux_was_busy(pair->a.mux));
    assert_true(mux_was_busy(pair->b.mux)); /* not asked meanwhile */
    assert_false(mux_was_busy(pair->b.mux));
    user_done(&here);
    user_done(&there);
}

/* Breaks if a reader that takes nothing lets more than a window pass, or holds up another stream.
 */
static void test_slow_reader(void **state)
{
    struct pair *pair = *state;
    static uint8_t bytes[MUX_QUEUE_BYTES];
    struct user slow = {0}, slow_there = {.is_slow = true}, fast = {0}, fast_there = {0};
    open_stream(pair, &slow, &slow_there);
    open_stream(pair, &fast, &fast_there);
    for (int i = 0; i < 4; i++) {
        int rc = stream_write(slow.stream, bytes, sizeof(bytes));
        assert_int_equal(rc, i < 2 ? 0 : -EAGAIN);
        assert_int_equal(stream_write(fast.stream, bytes, sizeof(bytes)), 0);
        settle(pair);
    }
    assert_int_equal(slow_there.received.size, MUX_WINDOW_BYTES);
    assert_int_equal(fast_there.received.size, 4 * sizeof(bytes));
    assert_int_equal(slow.drains, 0);
    stream_consumed(slow_there.stream, MUX_WINDOW_BYTES);
    settle(pair);
    assert_int_equal(slow_there.received.size, 2 * MUX_WINDOW_BYTES);
    assert_int_equal(slow.drains, 1);
    stream_reset(slow.stream, -ECANCELED);
    settle(pair);
    assert_int_equal(slow_there.reason, -ECANCELED);
    assert_int_equal(slow.closes, 0);
    stream_reset(fast.stream, -EIO);
    settle(pair);
    user_done(&slow_there);
    user_done(&fast_there);
}

/* Breaks if the other side's end, coming while room for more of its data is still to be granted,
 * ends this side too: what it had yet to say was lost. */
static void test_end_while_credit_waits(void **state)
{
    struct pair *pair = *state;
    static uint8_t bytes[MUX_QUEUE_BYTES / 2];
    struct user here = {0}, there = {0};
    open_stream(pair, &here, &there);
    assert_int_equal(stream_write(here.stream, bytes, sizeof(bytes)), 0);
    stream_end(here.stream);
    while (step(&pair->a)) {
    } /* the other side has had no turn to send */
    assert_int_equal(there.ends, 1);
    settle(pair);
    assert_int_equal(there.closes, 0);
    assert_int_equal(here.ends, 0);
    assert_int_equal(stream_write(there.stream, "late", 4), 0);
    stream_end(there.stream);
    settle(pair);
    assert_int_equal(here.received.size, 4);
    assert_int_equal(here.closes, 1);
    assert_int_equal(there.closes, 1);
    user_done(&here);
    user_done(&there);
}

/* Breaks if two busy streams do not share the link. */
static void test_fair(void **state)
{
    struct pair *pair = *state;
    static uint8_t bytes[MUX_QUEUE_BYTES];
    struct user first = {0}, first_there = {0}, second = {0}, second_there = {0};
    open_stream(pair, &first, &first_there);
    open_stream(pair, &second, &second_there);
    assert_int_equal(stream_write(first.stream, bytes, sizeof(bytes)), 0);
    assert_int_equal(stream_write(second.stream, bytes, sizeof(bytes)), 0);
    for (int i = 0; i < 3; i++)
        step(&pair->a);
    assert_int_equal(first_there.received.size, second_there.received.size);
    assert_true(first_there.received.size > 0);
    mux_fail(pair->a.mux, -EPIPE);
    mux_fail(pair->b.mux, -EPIPE);
    user_done(&first_there);
    user_done(&second_there);
}

/* Breaks if a stream nobody accepts stays open, or a reset inside a callback uses freed memory. */
static void test_refused_and_reset_inside(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {.reset_on_data = true};
    open_stream(pair, &here, NULL);
    assert_int_equal(here.closes, 1);
    assert_int_equal(here.reason, -ENOPROTOOPT);
    open_stream(pair, &here, &there);
    stream_write(here.stream, "x", 1);
    stream_write(here.stream, "y", 1);
    settle(pair);
    assert_int_equal(here.closes, 2);
    assert_int_equal(here.reason, -ECANCELED);
    assert_int_equal(there.closes, 0);
    assert_int_equal(mux_stream_count(pair->b.mux), 0);
    user_done(&there);
}

/* Breaks if data that crosses a reset on the wire is taken for an error. */
static void test_crossing_reset(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {0};
    open_stream(pair, &here, &there);
    stream_write(there.stream, "x", 1);
    stream_end(there.stream);
    mux_pump(pair->b.mux); /* on the wire, not yet received */
    stream_reset(here.stream, -ECANCELED);
    settle(pair);
    assert_int_equal(there.reason, -ECANCELED);
    assert_int_equal(here.received.size, 0);
}

/* Breaks if a failed link leaves a stream without its one on_close, or takes new streams. */
static void test_fail(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {0}, third = {0};
    open_stream(pair, &here, &there);
    mux_fail(pair->a.mux, -ETIMEDOUT);
    assert_int_equal(here.closes, 1);
    assert_int_equal(here.reason, -ETIMEDOUT);
    assert_int_equal(
        mux_open(pair->a.mux, 1, (struct bytes){0}, &user_handler, &third, &third.stream), -EPIPE);
    mux_fail(pair->b.mux, -EPIPE);
    assert_int_equal(there.reason, -EPIPE);
}

/* Breaks if streams over the cap are opened, or a peer that ignores the cap is not caught. */
static void test_cap(void **state)
{
    struct pair *pair = *state;
    static struct user users[MUX_STREAMS_MAX + 1];
    static struct user there[MUX_STREAMS_MAX];
    for (size_t i = 0; i < MUX_STREAMS_MAX; i++)
        open_stream(pair, &users[i], &there[i]);
    assert_int_equal(mux_open(pair->a.mux, 1, (struct bytes){0}, &user_handler,
                              &users[MUX_STREAMS_MAX], &users[MUX_STREAMS_MAX].stream),
                     -EMFILE);
    uint8_t bytes[MUX_FRAME_BYTES_MAX];
    const struct mux_frame over = {.type = MUX_FRAME_OPEN, .stream = 2 * MUX_STREAMS_MAX + 1};
    size_t size = mux_frame_encode(&over, bytes);
    assert_int_equal(mux_receive(pair->b.mux, bytes, size), -EPROTO);
    stream_reset(users[3].stream, -EIO);
    settle(pair);
    assert_int_equal(there[3].reason, -EIO);
    assert_int_equal(
        mux_open(pair->a.mux, 1, (struct bytes){0}, &user_handler, &users[3], &users[3].stream), 0);
}

static int receive(struct mux *mux, struct mux_frame frame)
{
    uint8_t bytes[MUX_FRAME_BYTES_MAX];
    size_t size = mux_frame_encode(&frame, bytes);
    return mux_receive(mux, bytes, size);
}

/* Breaks if a peer that does not follow the protocol is believed. */
static void test_protocol(void **state)
{
    struct pair *pair = *state;
    struct mux *b = pair->b.mux;
    struct user there = {.is_slow = true};
    static uint8_t chunk[MUX_CHUNK_BYTES];
    const struct bytes data = {chunk, sizeof(chunk)};
    pair->b.accept_as = &there;
    assert_int_equal(receive(b, (struct mux_frame){.type = MUX_FRAME_OPEN, .stream = 3}), 0);
    assert_int_equal(receive(b, (struct mux_frame){.type = MUX_FRAME_OPEN, .stream = 3}), -EPROTO);
    assert_int_equal(receive(b, (struct mux_frame){.type = MUX_FRAME_OPEN, .stream = 1}), -EPROTO);
    assert_int_equal(receive(b, (struct mux_frame){.type = MUX_FRAME_OPEN, .stream = 8}), -EPROTO);
    assert_int_equal(receive(b, (struct mux_frame){.type = MUX_FRAME_END, .stream = 2}), -EPROTO);
    assert_int_equal(receive(b, (struct mux_frame){.type = MUX_FRAME_END, .stream = 5}), -EPROTO);
    assert_int_equal(
        receive(b, (struct mux_frame){.type = MUX_FRAME_WINDOW, .stream = 3, .number = 1}),
        -EPROTO); /* more than was used */
    for (size_t i = 0; i < MUX_WINDOW_BYTES / MUX_CHUNK_BYTES; i++)
        assert_int_equal(
            receive(b, (struct mux_frame){.type = MUX_FRAME_DATA, .stream = 3, .body = data}), 0);
    assert_int_equal(
        receive(b, (struct mux_frame){.type = MUX_FRAME_DATA, .stream = 3, .body = data}),
        -EPROTO); /* over the window */
    assert_int_equal(receive(b, (struct mux_frame){.type = MUX_FRAME_END, .stream = 3}), 0);
    assert_int_equal(receive(b, (struct mux_frame){.type = MUX_FRAME_END, .stream = 3}), -EPROTO);
    mux_fail(b, -EPROTO);
    user_done(&there);
}

/* Breaks if a dead link is not found, a live quiet one is killed, or a pause of ours is blamed on
 * the other side. */
static void test_keepalive(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {0};
    int64_t now_ms = NOW_MS;
    open_stream(pair, &here, &there); /* on which words are waited for */
    for (int i = 0; i < 100; i++, now_ms += MUX_TICK_MS) {
        assert_int_equal(mux_tick(pair->a.mux, now_ms), 0);
        assert_int_equal(mux_tick(pair->b.mux, now_ms), 0);
        settle(pair);
    }
    now_ms += 1000 * MUX_DEAD_MS; /* stopped, then continued */
    assert_int_equal(mux_tick(pair->a.mux, now_ms), 0);
    settle(pair);
    int rc = 0, ticks = 0;
    while (rc == 0 && ticks < 100) {
        now_ms += MUX_TICK_MS;
        rc = mux_tick(pair->a.mux, now_ms);
        ticks++;
    }
    assert_int_equal(rc, -ETIMEDOUT);
    assert_in_range(ticks, MUX_PING_MS / MUX_TICK_MS, MUX_DEAD_MS / MUX_TICK_MS);
    user_done(&here);
    user_done(&there);
}

static int run_ticks(struct pair *pair, int64_t *now_ms, int count)
{
    int rc = 0;
    for (int i = 0; i < count && rc == 0; i++) {
        *now_ms += MUX_TICK_MS;
        rc = mux_tick(pair->a.mux, *now_ms);
    }
    return rc;
}

/* Breaks if the long wait between two looks at a link that rests counts as silence once something
 * is sent, or if that link is taken for one that needs looking at often. */
static void test_rests_between_ticks(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {0};
    int64_t now_ms = NOW_MS;
    open_stream(pair, &here, &there);
    assert_false(mux_rests(pair->a.mux));
    stream_set_patient(here.stream);
    assert_int_equal(stream_write(there.stream, "x", 1), 0);
    settle(pair);
    assert_true(mux_rests(pair->a.mux));
    for (int i = 0; i < 3; i++, now_ms += MUX_REST_TICK_MS)
        assert_int_equal(mux_tick(pair->a.mux, now_ms), 0);
    now_ms -= MUX_TICK_MS;
    assert_int_equal(stream_write(here.stream, "y", 1), 0);
    assert_false(mux_rests(pair->a.mux));
    mux_pump(pair->a.mux);
    pair->a.is_awake = false;
    assert_int_equal(run_ticks(pair, &now_ms, MUX_PING_MS / MUX_TICK_MS - 1), 0);
    assert_false(pair->a.is_awake);
    assert_int_equal(run_ticks(pair, &now_ms, 1), 0);
    assert_true(pair->a.is_awake); /* a ping */
    user_done(&here);
    user_done(&there);
}

/* Breaks if links that rest are pinged all the time, which is most of what an idle peer would send;
 * or if on one that rests a death is not found at last, or not soon once something is sent. */
static void test_rest(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {0};
    int64_t now_ms = NOW_MS;
    open_stream(pair, &here, &there);
    stream_set_patient(here.stream);
    assert_int_equal(stream_write(there.stream, "x", 1), 0);
    settle(pair);
    assert_int_equal(here.received.size, 1);
    pair->a.is_awake = false;
    assert_int_equal(mux_tick(pair->a.mux, now_ms), 0);
    assert_int_equal(run_ticks(pair, &now_ms, MUX_REST_MS / MUX_TICK_MS - 1), 0);
    assert_false(pair->a.is_awake);
    assert_int_equal(run_ticks(pair, &now_ms, 1), 0);
    assert_true(pair->a.is_awake); /* a ping */
    settle(pair);
    assert_int_equal(run_ticks(pair, &now_ms, MUX_DEAD_MS / MUX_TICK_MS), 0);

    assert_int_equal(stream_write(here.stream, "y", 1), 0);
    mux_pump(pair->a.mux);
    assert_int_equal(run_ticks(pair, &now_ms, MUX_DEAD_MS / MUX_TICK_MS), -ETIMEDOUT);
    user_done(&here);
    user_done(&there);
}

/* Breaks if goodbye cuts a stream that is open or on its way. */
static void test_goodbye(void **state)
{
    struct pair *pair = *state;
    struct user here = {0}, there = {.end_on_end = true}, late = {0}, late_there = {0};
    open_stream(pair, &here, &there);
    mux_goodbye(pair->b.mux);
    pair->b.accept_as = &late_there;
    assert_int_equal(
        mux_open(pair->a.mux, 1, (struct bytes){0}, &user_handler, &late, &late.stream), 0);
    settle(pair);
    assert_non_null(late_there.stream);
    assert_false(mux_is_usable(pair->a.mux));
    assert_false(mux_is_usable(pair->b.mux));
    assert_false(mux_is_finished(pair->a.mux));
    stream_end(here.stream);
    stream_reset(late.stream, -ECANCELED);
    settle(pair);
    assert_true(mux_is_finished(pair->a.mux));
    assert_false(mux_is_finished(pair->b.mux)); /* it waits for a's close */
    assert_int_equal(here.reason, 0);
}

/* Breaks if any order of operations on many streams loses, repeats or reorders a byte, or leaks. */
static void test_random(void **state)
{
    struct pair *pair = *state;
    enum { USERS = 8, STEPS = 4000, SIZE_MAX_BYTES = 40000 };
    static struct user here[USERS], there[USERS];
    static uint64_t sent[USERS];
    static uint8_t bytes[SIZE_MAX_BYTES];
    struct random random;
    random_init(&random, 42);
    for (int i = 0; i < STEPS; i++) {
        size_t n = random_below(&random, USERS);
        if (!here[n].stream) {
            user_done(&there[n]);
            there[n] = (struct user){.is_slow = random_chance(&random, 1, 2)};
            here[n] = (struct user){0};
            sent[n] = 0;
            open_stream(pair, &here[n], &there[n]);
        }
        size_t size = random_below(&random, SIZE_MAX_BYTES);
        for (size_t k = 0; k < size; k++)
            bytes[k] = (uint8_t)(sent[n] + k);
        if (stream_write(here[n].stream, bytes, size) == 0)
            sent[n] += size;
        if (random_chance(&random, 1, 2))
            step(random_chance(&random, 1, 2) ? &pair->a : &pair->b);
        if (random_chance(&random, 1, 50)) {
            settle(pair);
            if (there[n].is_slow)
                assert_true(there[n].received.size <= MUX_WINDOW_BYTES);
            else
                assert_int_equal(there[n].received.size, sent[n]);
            for (size_t k = 0; k < there[n].received.size; k++)
                assert_int_equal(there[n].received.bytes[k], (uint8_t)k);
            stream_reset(here[n].stream, -ECANCELED);
            here[n].stream = NULL;
            settle(pair);
            assert_int_equal(there[n].closes, 1);
        }
    }
    mux_fail(pair->a.mux, -EPIPE);
    mux_fail(pair->b.mux, -EPIPE);
    for (size_t n = 0; n < USERS; n++)
        user_done(&there[n]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_while_credit_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fair, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_and_reset_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crossing_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protocol, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keepalive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rests_between_ticks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_goodbye, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
