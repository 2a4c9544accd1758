#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/bounds.h"
#include "node/mesh_process/held_links.h"
#include "node/transport/kinds.h"
#include "tests/unit/node/mesh_process/given_links.h"

enum { USES = LINKS_PER_PEER_MAX + 3 };

/* A stream, and what came of it. */
struct use {
    struct mux_stream *stream;
    size_t received;
    unsigned closes;
    int reason;
};

/* The links of one of two peers. */
struct side {
    struct id id;
    struct held_links *links;
    unsigned wants;
    int want_result;
    struct use accepted; /* the last stream that came */
};

struct fixture {
    uv_loop_t loop;
    struct side a, b;
    struct use uses[USES];
};

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    ((struct use *)context)->received += data.size;
    stream_consumed(stream, data.size);
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct use *use = context;
    (void)stream;
    use->closes++;
    use->reason = reason;
}

static const struct stream_handler user = {.on_data = on_data, .on_close = on_close};

static int want(void *context, const struct id *peer)
{
    struct side *side = context;
    (void)peer;
    side->wants++;
    return side->want_result;
}

static void on_stream(void *context, struct mux_stream *stream, struct bytes header)
{
    struct side *side = context;
    (void)header;
    side->accepted = (struct use){.stream = stream};
    stream_accept(stream, &user, &side->accepted);
}

static void open_side(struct fixture *f, struct side *side, uint8_t number)
{
    const struct held_links_config config = {
        .loop = &f->loop, .context = side, .want = want, .on_stream = on_stream};
    side->id = (struct id){.bytes = {number}};
    side->links = held_links_new(&config);
    assert_non_null(side->links);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    uv_loop_init(&f->loop);
    open_side(f, &f->a, 1);
    open_side(f, &f->b, 2);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    held_links_close(f->a.links);
    held_links_close(f->b.links);
    held_links_close(NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

/* Both sides are given a link that `from` dialed. */
static void give(struct side *from, struct side *to)
{
    struct given_ends ends = given_ends_make(&from->id, &to->id);
    assert_int_equal(held_links_take(from->links, &ends.states[0], ends.fds[0]), 0);
    assert_int_equal(held_links_take(to->links, &ends.states[1], ends.fds[1]), 0);
}

static int ask(struct side *from, struct side *to, struct use *use)
{
    *use = (struct use){0};
    return held_links_open_stream(from->links, &to->id, (struct bytes){0}, &user, use,
                                  &use->stream);
}

static void run_until_closed(struct fixture *f, const struct use *use)
{
    while (use->closes == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
}

/* Opens a stream and waits until a byte of it is there. */
static void reach(struct fixture *f, struct side *from, struct side *to, struct use *use)
{
    to->accepted = (struct use){0};
    assert_int_equal(ask(from, to, use), 0);
    assert_int_equal(stream_write(use->stream, "x", 1), 0);
    while (to->accepted.received == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void count_one(void *context, const struct id *peer)
{
    (void)peer;
    ++*(unsigned *)context;
}

static unsigned link_count(const struct side *side)
{
    unsigned count = 0;
    held_links_each(side->links, count_one, &count);
    return count;
}

/* Breaks if a stream does not wait for the link that it needs, each asks for one of its own, or
 * the other side can't use the link as well. */
static void test_wait_for_a_link(void **state)
{
    struct fixture *f = *state;
    struct use *one = &f->uses[0], *two = &f->uses[1], *back = &f->uses[2];
    assert_int_equal(ask(&f->a, &f->b, one), 0);
    assert_int_equal(ask(&f->a, &f->b, two), 0);
    assert_int_equal(f->a.wants, 1);
    assert_int_equal(link_count(&f->a), 0); /* none is open */
    assert_int_equal(stream_write(one->stream, "early", 5), 0);
    give(&f->a, &f->b);
    while (f->b.accepted.received < 5)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(link_count(&f->a), 1);
    reach(f, &f->b, &f->a, back);
    assert_int_equal(f->b.wants, 0);
    assert_int_equal(one->closes + two->closes + back->closes, 0);
}

/* Breaks if streams wait on for a link that can't be had, or don't learn why; or if that one fails
 * the next. */
static void test_no_link(void **state)
{
    struct fixture *f = *state;
    struct use *use = &f->uses[0];
    f->a.want_result = -EHOSTDOWN;
    assert_int_equal(ask(&f->a, &f->b, use), -EHOSTDOWN);
    f->a.want_result = 0;
    assert_int_equal(ask(&f->a, &f->b, use), 0);
    held_links_failed(f->a.links, &f->a.id, -ECONNREFUSED); /* another peer */
    held_links_failed(f->a.links, &f->b.id, -ECONNREFUSED);
    run_until_closed(f, use);
    assert_int_equal(use->reason, -ECONNREFUSED);
    assert_int_equal(ask(&f->a, &f->b, use), 0);
    assert_int_equal(f->a.wants, 3);
    held_links_failed(f->a.links, NULL, 0);
    run_until_closed(f, use);
    assert_int_equal(use->reason, -EHOSTUNREACH);
}

/* Breaks if links with a peer that is shut out go on, at either side, or others break with them. */
static void test_drop(void **state)
{
    struct fixture *f = *state;
    struct side other = {0};
    struct use *use = &f->uses[0], *with_other = &f->uses[1];
    open_side(f, &other, 3);
    give(&f->a, &f->b);
    give(&f->a, &other);
    reach(f, &f->a, &f->b, use);
    reach(f, &f->a, &other, with_other);
    held_links_drop(f->a.links, &f->b.id);
    run_until_closed(f, use);
    assert_int_equal(use->reason, -EKEYREVOKED);
    run_until_closed(f, &f->b.accepted);
    while (link_count(&f->b) > 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(link_count(&f->a), 1);
    assert_int_equal(with_other->closes, 0);
    held_links_close(other.links);
    run_until_closed(f, with_other);
}

/* Breaks if one that retires takes streams or links, breaks what is open, or keeps a link without
 * streams. */
static void test_retire(void **state)
{
    struct fixture *f = *state;
    struct use *use = &f->uses[0], *refused = &f->uses[1];
    give(&f->a, &f->b);
    reach(f, &f->a, &f->b, use);
    held_links_retire(f->b.links);
    assert_int_equal(ask(&f->b, &f->a, refused), -ESHUTDOWN);
    struct given_ends ends = given_ends_make(&f->a.id, &f->b.id);
    assert_int_equal(held_links_take(f->b.links, &ends.states[1], ends.fds[1]), -ESHUTDOWN);
    close(ends.fds[0]);
    assert_int_equal(stream_write(use->stream, "y", 1), 0);
    while (f->b.accepted.received < 2)
        uv_run(&f->loop, UV_RUN_ONCE);
    stream_end(use->stream);
    stream_end(f->b.accepted.stream);
    while (link_count(&f->a) + link_count(&f->b) > 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(use->reason, 0);
}

/* Breaks if a peer can have more links than it has use for; its latest serve. */
static void test_many_links(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < USES; i++) {
        give(&f->a, &f->b);
        reach(f, &f->a, &f->b, &f->uses[i]);
    }
    while (link_count(&f->a) > LINKS_PER_PEER_MAX || link_count(&f->b) > LINKS_PER_PEER_MAX)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->uses[USES - 1].closes, 0);
}

/* Breaks if bytes that are not sealed with the link's key are taken for the peer's. */
static void test_wrong_key(void **state)
{
    struct fixture *f = *state;
    struct given_ends ends = given_ends_make(&f->a.id, &f->b.id);
    struct use *use = &f->uses[0];
    memset(&ends.states[0].send.cipher, 9, sizeof(ends.states[0].send.cipher));
    assert_int_equal(held_links_take(f->a.links, &ends.states[0], ends.fds[0]), 0);
    assert_int_equal(held_links_take(f->b.links, &ends.states[1], ends.fds[1]), 0);
    assert_int_equal(ask(&f->a, &f->b, use), 0);
    run_until_closed(f, use);
    assert_null(f->b.accepted.stream);
    assert_int_equal(link_count(&f->b), 0);
}

/* Breaks if another kind of stream than the mesh's is taken over such a link. */
static void test_other_kind(void **state)
{
    struct fixture *f = *state;
    const struct link_config config = {.loop = &f->loop};
    static const struct link_handler nothing = {0};
    struct given_ends ends = given_ends_make(&f->a.id, &f->b.id);
    struct use use = {0};
    assert_int_equal(held_links_take(f->b.links, &ends.states[1], ends.fds[1]), 0);
    struct link *link = link_await(&config, &f->b.id, true, &nothing, NULL);
    assert_non_null(link);
    assert_int_equal(link_take_over(link, ends.fds[0], &ends.states[0]), 0);
    assert_int_equal(
        mux_open(link_mux(link), STREAM_MESSAGES, (struct bytes){0}, &user, &use, &use.stream), 0);
    run_until_closed(f, &use);
    assert_int_equal(use.reason, -EACCES);
    link_close(link, 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wait_for_a_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retire, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_kind, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
