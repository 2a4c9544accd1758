#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/health_probe.h"

/* A server on the loop that says one thing to each who connects, and closes. */
struct server {
    uv_loop_t loop;
    uv_tcp_t listener, client;
    struct address address;
    const char *answer; /* NULL: it says nothing, and stays */
    char asked[256];
    bool done, passed;
    enum health_probe_outcome outcome;
    char reason[128];
};

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct server *server = handle->data;
    (void)suggested;
    *ret = uv_buf_init(server->asked, sizeof(server->asked) - 1);
}

static void on_asked(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct server *server = stream->data;
    (void)buffer;
    if (got > 0 && server->answer) {
        uv_buf_t answer = uv_buf_init((char *)server->answer, (unsigned)strlen(server->answer));
        assert_int_equal(uv_try_write(stream, &answer, 1), (int)answer.len);
    }
    if ((got < 0 || server->answer) && !uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, NULL);
}

static void on_client(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    assert_int_equal(status, 0);
    uv_tcp_init(&server->loop, &server->client);
    server->client.data = server;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&server->client), 0);
    uv_read_start((uv_stream_t *)&server->client, on_allocate, on_asked);
}

static void server_begin(struct server *server, const char *answer)
{
    struct sockaddr_in address;
    int size = sizeof(address);
    memset(server, 0, sizeof(*server));
    server->answer = answer;
    uv_loop_init(&server->loop);
    uv_tcp_init(&server->loop, &server->listener);
    server->listener.data = server;
    uv_ip4_addr("127.0.0.1", 0, &address);
    assert_int_equal(uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server->listener, 8, on_client), 0);
    uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &size);
    server->address = address_from_v4(0x7f000001, ntohs(address.sin_port));
}

static void on_done(void *context, enum health_probe_outcome outcome, const char *reason)
{
    struct server *server = context;
    assert_false(server->done);
    server->done = true;
    server->outcome = outcome;
    server->passed = outcome == HEALTH_PROBE_PASSED;
    snprintf(server->reason, sizeof(server->reason), "%s", reason);
    uv_close((uv_handle_t *)&server->listener, NULL);
}

static void server_end(struct server *server)
{
    uv_run(&server->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&server->loop), 0); /* the probe left nothing */
}

static void judge(const char *path, const char *answer, struct server *server)
{
    struct health_probe *probe;
    server_begin(server, answer);
    assert_int_equal(
        health_probe_start(&server->loop, &server->address, path, on_done, server, &probe), 0);
    server_end(server);
    assert_true(server->done);
}

static void asks_by_http(void **state)
{
    (void)state; /* would break: which answers are well, and what a failure says */
    struct server server;
    judge("/healthz?full", "HTTP/1.1 204 No Content\r\n\r\n", &server);
    assert_true(server.passed);
    assert_true(strncmp(server.asked, "GET /healthz?full HTTP/1.1\r\nHost: 127.0.0.1:", 44) == 0);
    assert_non_null(strstr(server.asked, "\r\n\r\n"));
    judge("/", "HTTP/1.0 301 Moved\r\n", &server);
    assert_true(server.passed);
    judge("/", "HTTP/1.1 503 Service Unavailable\r\n\r\n", &server);
    assert_int_equal(server.outcome, HEALTH_PROBE_FAILED); /* somebody is there */
    assert_string_equal(server.reason, "status 503");
    judge("/", "SSH-2.0-OpenSSH\r\n", &server);
    assert_false(server.passed);
    assert_string_equal(server.reason, "what answers is no HTTP server");
    judge("/", "", &server);
    assert_false(server.passed);
    assert_string_equal(server.reason, "it closed without an answer");
}

static void reads_no_more_than_a_line(void **state)
{
    (void)state; /* would break: a container that answers without end */
    static char endless[64 * 1024];
    struct server server;
    memset(endless, 'x', sizeof(endless) - 1);
    memcpy(endless, "HTTP/1.1 200 ", 13);
    judge("/", endless, &server);
    assert_true(server.passed);
}

static void sees_an_open_port(void **state)
{
    (void)state; /* would break: a check by TCP alone; one that finds nobody */
    struct server server;
    struct health_probe *probe;
    judge(NULL, NULL, &server);
    assert_true(server.passed);
    server_begin(&server, NULL);
    uint16_t port = server.address.port;
    uv_close((uv_handle_t *)&server.listener, NULL);
    uv_run(&server.loop, UV_RUN_DEFAULT);
    uv_tcp_init(&server.loop, &server.listener); /* for on_done to close */
    assert_int_equal(
        health_probe_start(&server.loop,
                           &(struct address){.ip = {[10] = 0xff, 0xff, 127, 0, 0, 1}, .port = port},
                           NULL, on_done, &server, &probe),
        0);
    server_end(&server);
    assert_int_equal(server.outcome, HEALTH_PROBE_NOBODY);
    assert_string_equal(server.reason, "Connection refused");
}

static void is_given_up(void **state)
{
    (void)state; /* would break: a check that takes too long, before and after it connected */
    struct server server;
    struct health_probe *probe;
    for (int turns = 0; turns < 8; turns++) {
        server_begin(&server, NULL);
        assert_int_equal(
            health_probe_start(&server.loop, &server.address, "/", on_done, &server, &probe), 0);
        for (int i = 0; i < turns; i++)
            uv_run(&server.loop, UV_RUN_NOWAIT);
        health_probe_cancel(probe);
        uv_close((uv_handle_t *)&server.listener, NULL);
        server_end(&server);
        assert_false(server.done);
    }
}

static void parses_the_status(void **state)
{
    (void)state; /* would break: a line of rubbish that counts as well */
    assert_int_equal(health_probe_status("HTTP/1.1 200 OK"), 200);
    assert_int_equal(health_probe_status("HTTP/1.0 404"), 404);
    static const char *const bad[] = {
        "",           "HTTP/1.1",     "HTTP/1.1 ",     "HTTP/1.1 2",
        "HTTP/2 200", "HTTP/1.2 200", "HTTP/1.1 -200", "http/1.1 200"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(health_probe_status(bad[i]), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_by_http),      cmocka_unit_test(reads_no_more_than_a_line),
        cmocka_unit_test(sees_an_open_port), cmocka_unit_test(is_given_up),
        cmocka_unit_test(parses_the_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
