#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/mesh_process/channel.h"

enum { LARGE = 3 * 1024 * 1024 + 5 };

struct side {
    struct channel *channel;
    unsigned messages, ends, fds;
    uint8_t kind;
    struct buffer body;
    int fd;
};

struct fixture {
    uv_loop_t loop;
    struct side a, b;
    int raw; /* b's socket, where b has no channel */
};

static void on_message(void *context, struct channel *channel, uint8_t kind, struct bytes body,
                       int fd)
{
    struct side *side = context;
    (void)channel;
    side->messages++;
    side->kind = kind;
    buffer_clear(&side->body);
    assert_int_equal(buffer_append(&side->body, body.data, body.size), 0);
    if (fd >= 0) {
        side->fds++;
        side->fd = fd;
    }
}

static void on_end(void *context, struct channel *channel)
{
    struct side *side = context;
    side->ends++;
    side->channel = NULL;
    channel_close(channel);
}

static const struct channel_handler handler = {.on_message = on_message, .on_end = on_end};

static void start(struct fixture *f, bool is_raw)
{
    int fds[2];
    memset(f, 0, sizeof(*f));
    uv_loop_init(&f->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(channel_open(&f->loop, fds[0], &handler, &f->a, &f->a.channel), 0);
    f->raw = fds[1];
    if (!is_raw)
        assert_int_equal(channel_open(&f->loop, fds[1], &handler, &f->b, &f->b.channel), 0);
}

static void done(struct fixture *f)
{
    channel_close(f->a.channel);
    channel_close(f->b.channel);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    buffer_done(&f->a.body);
    buffer_done(&f->b.body);
}

/* Breaks if a message larger than the socket takes is cut or mixed with the next, or a descriptor
 * comes with another one. */
static void test_messages(void **state)
{
    struct fixture f;
    uint8_t *large = malloc(LARGE);
    int pipes[2];
    (void)state;
    start(&f, false);
    assert_non_null(large);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 7);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(channel_send(f.a.channel, 4, (struct bytes){large, LARGE}, -1), 0);
    assert_int_equal(channel_send(f.a.channel, 5, (struct bytes){large, LARGE - 1}, pipes[1]), 0);
    while (f.b.messages < 1)
        uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(f.b.kind, 4);
    assert_int_equal(f.b.fds, 0);
    assert_int_equal(f.b.body.size, LARGE);
    assert_memory_equal(f.b.body.bytes, large, LARGE);
    while (f.b.messages < 2)
        uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(f.b.kind, 5);
    assert_int_equal(f.b.body.size, LARGE - 1);
    assert_int_equal(f.b.fds, 1);
    char byte = 0;
    assert_int_equal(write(f.b.fd, "x", 1), 1);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    close(f.b.fd);
    assert_int_equal(read(pipes[0], &byte, 1), 0); /* the sender's was closed */
    close(pipes[0]);
    assert_int_equal(channel_send(f.b.channel, 1, (struct bytes){0}, -1), 0);
    while (f.a.messages < 1)
        uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(f.a.body.size, 0);
    free(large);
    done(&f);
}

/* Breaks if what does not keep to the rules is taken for a message, or goes on. */
static void test_not_ours(void **state)
{
    static const char *const bad[] = {"\x02x", "\x00"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fixture f;
        start(&f, true);
        assert_true(send(f.raw, bad[i], i == 0 ? 2 : 1, 0) > 0);
        while (f.a.ends == 0)
            uv_run(&f.loop, UV_RUN_ONCE);
        assert_int_equal(f.a.messages, 0);
        close(f.raw);
        done(&f);
    }
}

/* Breaks if the end of the other side is not heard. */
static void test_end(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    close(f.raw);
    while (f.a.ends == 0)
        uv_run(&f.loop, UV_RUN_ONCE);
    done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
