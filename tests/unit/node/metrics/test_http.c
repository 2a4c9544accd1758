/* HTTP from strangers, over real sockets on the loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "node/metrics/http.h"
#include "node/transport/socket.h"

enum {
    ANSWER_BYTES = 64 * 1024,
    PATIENCE_ROUNDS = 400, /* of 5 ms */
    TRICKLE_BYTES = 64 * 1024,
};

static uv_loop_t loop;
static struct http *http;
static struct address address;
static bool is_starving;
static bool is_gathering; /* the numbers are not there yet */
static unsigned gathered;
static char answer[ANSWER_BYTES];

static int write_metrics(void *context, struct buffer *ret)
{
    (void)context;
    return is_starving ? -ENOMEM : buffer_append_text(ret, "consort_up 1\n");
}

static bool gather(void *context)
{
    (void)context;
    gathered++;
    return is_gathering;
}

static const struct http_source source = {.write = write_metrics, .gather = gather};

static void on_nothing(uv_timer_t *timer)
{
    (void)timer;
}

/* Lets the loop run for about 5 ms. */
static void turn(void)
{
    uv_timer_t timer;
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_nothing, 5, 0);
    while (uv_is_active((uv_handle_t *)&timer))
        uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
}

static int start(void **state)
{
    struct error error = {0};
    struct address wanted = address_from_v4(INADDR_LOOPBACK, 0);
    (void)state;
    uv_loop_init(&loop);
    is_starving = is_gathering = false;
    gathered = 0;
    assert_int_equal(http_new(&loop, &wanted, &source, &http, &error), 0);
    assert_int_equal(http_address(http, &address), 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_close(http);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static int dial(void)
{
    struct sockaddr_storage to;
    socket_address_from(&address, &to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(struct sockaddr_in)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Reads until the other side closes; false if it does not in time. */
static bool read_answer(int fd)
{
    size_t size = 0;
    for (int i = 0; i < PATIENCE_ROUNDS; i++) {
        ssize_t got = read(fd, answer + size, sizeof(answer) - 1 - size);
        if (got == 0 || (got < 0 && errno == ECONNRESET)) {
            answer[size] = '\0';
            return true;
        }
        if (got > 0)
            size += (size_t)got;
        else
            turn();
    }
    return false;
}

static void ask(const char *request)
{
    cleanup_close int fd = dial();
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    assert_true(read_answer(fd));
}

/* Breaks if a scraper does not get what it asks for. */
static void test_get(void **state)
{
    (void)state;
    ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    assert_non_null(strstr(answer, "text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "\r\n\r\nconsort_up 1\n"));
    ask("GET /metrics?name=x HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(answer, " 200 "));
    ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, " 200 "));
    assert_null(strstr(answer, "consort_up"));
    ask("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, "\r\n\r\nok\n"));
}

/* Breaks if anything but looking is answered with success. */
static void test_refused(void **state)
{
    (void)state;
    ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, " 404 "));
    ask("GET /metrics/../metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, " 404 "));
    ask("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_non_null(strstr(answer, " 405 "));
    assert_non_null(strstr(answer, "Allow: GET, HEAD"));
    ask("DELETE /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, " 405 "));
    is_starving = true;
    ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, " 503 "));
}

/* Breaks if what is no HTTP is answered with success, or keeps its connection. */
static void test_nonsense(void **state)
{
    (void)state;
    ask("\r\n\r\n\r\n\r\nnonsense\r\n\r\n");
    assert_null(strstr(answer, " 200 "));
    ask("GET /metrics HTTP/9.9\r\nHost: a\r\n\r\n");
    assert_null(strstr(answer, " 200 "));
}

/* Breaks if a request's head may take more memory than it should. */
static void test_huge_head(void **state)
{
    (void)state;
    static const char head[] = "GET /metrics HTTP/1.1\r\nHost: a\r\nX: ";
    static char filler[1024];
    cleanup_close int fd = dial();
    size_t sent = 0;
    memset(filler, 'x', sizeof(filler));
    assert_int_equal(write(fd, head, sizeof(head) - 1), sizeof(head) - 1);
    while (sent < TRICKLE_BYTES) {
        ssize_t written = send(fd, filler, sizeof(filler), MSG_NOSIGNAL);
        if (written < 0 && errno != EAGAIN)
            break;
        sent += written > 0 ? (size_t)written : 0;
        turn();
    }
    assert_true(sent < TRICKLE_BYTES || read_answer(fd));
    assert_null(strstr(answer, " 200 "));
}

/* Breaks if one machine that opens connections and says nothing shuts out all others, or makes the
 * loop spin. */
static void test_many(void **state)
{
    (void)state;
    int fds[2 * HTTP_CONNECTIONS_MAX];
    size_t closed = 0;
    for (size_t i = 0; i < array_count(fds); i++) {
        fds[i] = dial();
        turn();
    }
    for (int i = 0; i < 10; i++)
        turn();
    for (size_t i = 0; i < array_count(fds); i++) {
        char byte;
        ssize_t got = read(fds[i], &byte, 1);
        closed += got == 0 || (got < 0 && errno != EAGAIN);
    }
    assert_true(array_count(fds) - closed <= HTTP_CONNECTIONS_PER_IP);
    unsigned rounds = 0;
    uv_timer_t timer;
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_nothing, 200, 0);
    while (uv_is_active((uv_handle_t *)&timer)) {
        uv_run(&loop, UV_RUN_ONCE);
        rounds++;
    }
    uv_close((uv_handle_t *)&timer, NULL);
    assert_true(rounds < 50);
    for (size_t i = 0; i < array_count(fds); i++)
        close(fds[i]);
    for (int i = 0; i < 10; i++)
        turn();
    ask("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, " 200 "));
}

/* Breaks if a port that is taken is not said in words. */
static void test_port_taken(void **state)
{
    (void)state;
    struct http *second = NULL;
    struct error error = {0};
    assert_int_equal(http_new(&loop, &address, &source, &second, &error), -EADDRINUSE);
    assert_non_null(strstr(error.message, "serving metrics at 127.0.0.1"));
    assert_non_null(strstr(error.hint, "--metrics"));
    assert_null(second);
}

/* Breaks if closing with somebody connected leaks, or touches what is gone. */
static void test_close_while_visited(void **state)
{
    (void)state;
    int fd = dial();
    assert_int_equal(write(fd, "GET /met", 8), 8);
    turn();
    stop(NULL);
    close(fd);
    start(NULL);
}

/* Breaks if the answer does not wait for the numbers of the containers, or is asked for twice. */
static void test_waits_for_numbers(void **state)
{
    (void)state;
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    is_gathering = true;
    cleanup_close int one = dial(), other = dial();
    assert_int_equal(write(one, request, strlen(request)), strlen(request));
    assert_int_equal(write(other, request, strlen(request)), strlen(request));
    for (int i = 0; i < PATIENCE_ROUNDS && gathered < 2; i++)
        turn();
    assert_int_equal(gathered, 2);
    assert_int_equal(read(one, answer, sizeof(answer)), -1);
    ask("GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); /* others need not */
    is_gathering = false;
    http_ready(http);
    assert_true(read_answer(one));
    assert_non_null(strstr(answer, "consort_up 1"));
    assert_true(read_answer(other));
    assert_non_null(strstr(answer, "consort_up 1"));
    assert_int_equal(gathered, 2);
}

/* Breaks if numbers that never come leave a monitor without an answer. */
static void test_does_not_wait_for_ever(void **state)
{
    (void)state;
    is_gathering = true;
    cleanup_close int fd = dial();
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    bool is_answered = false;
    for (int i = 0; i < 10 && !is_answered; i++)
        is_answered = read_answer(fd);
    assert_true(is_answered);
    assert_non_null(strstr(answer, "consort_up 1"));
}

/* Breaks if closing while someone waits hangs, crashes or leaks. */
static void test_closes_while_one_waits(void **state)
{
    (void)state;
    is_gathering = true;
    int fd = dial();
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    for (int i = 0; i < PATIENCE_ROUNDS && gathered < 1; i++)
        turn();
    assert_int_equal(gathered, 1);
    close(fd); /* the teardown closes the server */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_get, start, stop),
        cmocka_unit_test_setup_teardown(test_refused, start, stop),
        cmocka_unit_test_setup_teardown(test_nonsense, start, stop),
        cmocka_unit_test_setup_teardown(test_huge_head, start, stop),
        cmocka_unit_test_setup_teardown(test_many, start, stop),
        cmocka_unit_test_setup_teardown(test_port_taken, start, stop),
        cmocka_unit_test_setup_teardown(test_close_while_visited, start, stop),
        cmocka_unit_test_setup_teardown(test_waits_for_numbers, start, stop),
        cmocka_unit_test_setup_teardown(test_does_not_wait_for_ever, start, stop),
        cmocka_unit_test_setup_teardown(test_closes_while_one_waits, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
