#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/api/api.h"
#include "node/api/frame.h"
#include "node/peer/peer.h"

/* A peer in no cluster, and its socket. */
struct here {
    uv_loop_t loop;
    struct peer peer;
    struct api_server *server;
    char directory[32], path[64];
};

static int setup(void **state)
{
    struct here *h = calloc(1, sizeof(*h));
    struct error error = {0};
    assert_non_null(h);
    strcpy(h->directory, "/tmp/test-api-XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    snprintf(h->path, sizeof(h->path), "%s/socket", h->directory);
    uv_loop_init(&h->loop);
    h->peer = (struct peer){.loop = &h->loop, .options = {.name = "a"}};
    assert_int_equal(api_server_new(&h->peer, h->path, -1, &h->server, &error), 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct here *h = *state;
    api_server_close(h->server, false);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&h->loop), 0);
    assert_int_equal(access(h->path, F_OK), -1);
    rmdir(h->directory);
    free(h);
    return 0;
}

static int connect_client(struct here *h)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", h->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void run(struct here *h)
{
    for (int i = 0; i < 5; i++)
        uv_run(&h->loop, UV_RUN_NOWAIT);
}

static void add_request(struct buffer *ret, uint64_t id, const char *method)
{
    static const uint8_t empty_map = 0x80;
    assert_int_equal(frame_request(ret, id, method, (struct bytes){&empty_map, 1}), 0);
}

static void say(struct here *h, int fd, const void *bytes, size_t size)
{
    assert_int_equal(write(fd, bytes, size), size);
    run(h);
}

/* Reads what has come; false once the server has closed. */
static bool hear(struct here *h, int fd, struct buffer *ret)
{
    uint8_t bytes[65536];
    ssize_t size;
    run(h);
    while ((size = read(fd, bytes, sizeof(bytes))) > 0) {
        assert_int_equal(buffer_append(ret, bytes, (size_t)size), 0);
        run(h);
    }
    return size < 0 && errno == EAGAIN;
}

/* Takes the next answer off what was heard. */
static struct frame next_answer(struct buffer *heard)
{
    struct frame frame;
    struct bytes bytes;
    assert_int_equal(frame_next(heard, &bytes), 1);
    assert_int_equal(frame_decode(bytes, &frame), 0);
    assert_int_equal(frame.type, FRAME_ANSWER);
    buffer_consume(heard, FRAME_HEAD_BYTES + bytes.size);
    frame.body = (struct bytes){0}; /* it moved */
    return frame;
}

/* Breaks if a request is only understood when it comes in one piece, or is answered as another. */
static void test_requests(void **state)
{
    struct here *h = *state;
    cleanup_buffer struct buffer requests = {0}, heard = {0};
    int fd = connect_client(h);
    add_request(&requests, 7, "version");
    add_request(&requests, 8, "status");
    for (size_t i = 0; i < requests.size; i++)
        say(h, fd, requests.bytes + i, 1);
    say(h, fd, requests.bytes, requests.size);
    assert_true(hear(h, fd, &heard));
    for (unsigned i = 0; i < 4; i++) {
        struct frame answer = next_answer(&heard);
        assert_int_equal(answer.id, i % 2 ? 8 : 7);
        assert_int_equal(answer.error.code, 0);
    }
    assert_int_equal(heard.size, 0);
    close(fd);
}

/* Breaks if a call that can't be is not refused in words, or costs the connection. */
static void test_refused(void **state)
{
    struct here *h = *state;
    static const struct {
        const char *method;
        int code;
    } cases[] = {{"no.such", -ENOSYS}, {"ps", -ENOTCONN}, {"token.ls", -ENOTCONN}, {"version", 0}};
    cleanup_buffer struct buffer request = {0}, heard = {0};
    int fd = connect_client(h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        buffer_clear(&request);
        add_request(&request, i, cases[i].method);
        say(h, fd, request.bytes, request.size);
        assert_true(hear(h, fd, &heard));
        struct frame answer = next_answer(&heard);
        assert_int_equal(answer.error.code, cases[i].code);
        if (cases[i].code < 0)
            assert_true(answer.error.message[0] && answer.error.hint[0]);
    }
    close(fd);
}

/* Breaks if bytes that make no sense are not the end of their connection, or of any other. */
static void test_junk(void **state)
{
    struct here *h = *state;
    cleanup_buffer struct buffer request = {0}, heard = {0};
    static const uint8_t junk[] = {0, 0, 0, 3, 0xc1, 0xc1, 0xc1};
    static const uint8_t huge[] = {0x7f, 0xff, 0xff, 0xff};
    int good = connect_client(h), bad = connect_client(h), greedy = connect_client(h);
    say(h, bad, junk, sizeof(junk));
    assert_false(hear(h, bad, &heard));
    say(h, greedy, huge, sizeof(huge));
    assert_false(hear(h, greedy, &heard));
    assert_int_equal(heard.size, 0);
    add_request(&request, 1, "version");
    say(h, good, request.bytes, request.size);
    assert_true(hear(h, good, &heard));
    assert_int_equal(next_answer(&heard).error.code, 0);
    close(good);
    close(bad);
    close(greedy);
}

/* Breaks if a client that asks and asks and reads nothing makes the peer keep all the answers; or
 * loses one when it reads at last. */
static void test_reads_nothing(void **state)
{
    struct here *h = *state;
    enum { REQUESTS_BYTES_MAX = 8 * 1024 * 1024, ENOUGH_BYTES = 2 * 1024 * 1024 };
    cleanup_buffer struct buffer request = {0}, heard = {0};
    uint64_t id = 0, answered = 0;
    size_t sent = 0;
    int fd = connect_client(h), idle = 0;
    add_request(&request, id++, "version");
    while (sent < REQUESTS_BYTES_MAX && idle < 20) {
        ssize_t size = write(fd, request.bytes, request.size);
        if (size < 0) {
            assert_int_equal(errno, EAGAIN);
            run(h);
            idle++;
            continue;
        }
        idle = 0;
        sent += (size_t)size;
        buffer_consume(&request, (size_t)size);
        if (request.size == 0)
            add_request(&request, id++, "version");
    }
    assert_true(sent < ENOUGH_BYTES);
    while (answered < id) { /* now it reads, and ends what it was about to say */
        ssize_t size = request.size > 0 ? write(fd, request.bytes, request.size) : 0;
        buffer_consume(&request, size > 0 ? (size_t)size : 0);
        size_t before = heard.size;
        assert_true(hear(h, fd, &heard));
        assert_true(heard.size > before || request.size > 0 || answered < id);
        struct bytes bytes;
        while (frame_next(&heard, &bytes) == 1)
            assert_int_equal(next_answer(&heard).id, answered++);
    }
    assert_int_equal(heard.size, 0);
    close(fd);
}

/* Breaks if a client that goes away leaves something behind, whatever it was about to say. */
static void test_goes_away(void **state)
{
    struct here *h = *state;
    cleanup_buffer struct buffer request = {0};
    add_request(&request, 1, "version");
    for (size_t size = 0; size <= request.size; size++) {
        int fd = connect_client(h);
        if (size > 0)
            say(h, fd, request.bytes, size);
        close(fd);
        run(h);
    }
}

/* Breaks if a socket that a dead process left is in the way, or a living one's is taken over. */
static void test_socket(void **state)
{
    struct here *h = *state;
    struct api_server *other = NULL;
    struct error error = {0};
    struct stat status;
    char stale[96];
    assert_int_equal(stat(h->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
    assert_int_equal(api_server_new(&h->peer, h->path, -1, &other, &error), -EADDRINUSE);
    assert_non_null(strstr(error.message, h->path));
    assert_null(other);

    snprintf(stale, sizeof(stale), "%s/stale", h->directory);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", stale);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    assert_int_equal(api_server_new(&h->peer, stale, -1, &other, &error), 0);
    assert_int_equal(api_server_close(other, false), -1);
    assert_int_equal(access(stale, F_OK), -1);

    char long_path[200];
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(api_server_new(&h->peer, long_path, -1, &other, &error), -ENAMETOOLONG);
    assert_int_equal(api_server_close(NULL, false), -1);
}

/* Breaks if a client finds no socket while the peer starts anew, or its words are lost then. */
static void test_handed_on(void **state)
{
    struct here *h = *state;
    struct error error = {0};
    cleanup_buffer struct buffer request = {0}, heard = {0};
    int socket_fd = api_server_close(h->server, true);
    assert_true(socket_fd >= 0);
    run(h);
    int fd = connect_client(h);
    add_request(&request, 5, "version");
    say(h, fd, request.bytes, request.size);
    assert_int_equal(api_server_new(&h->peer, h->path, socket_fd, &h->server, &error), 0);
    assert_true(hear(h, fd, &heard));
    assert_int_equal(next_answer(&heard).id, 5);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_junk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reads_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handed_on, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
