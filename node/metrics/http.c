#include "node/metrics/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/library.h"
#include "node/transport/socket.h"

enum {
    SWEEP_MS = 1000, /* between looks at how long connections last, while there are some */
    HANDLES = 3,
};

/* What is used of libmicrohttpd, which is loaded where metrics are wanted: with GnuTLS and what
 * that brings, it would be a sixth of an idle peer's memory. */
#define FUNCTIONS(FUNCTION)                                                                        \
    FUNCTION(MHD_, add_response_header)                                                            \
    FUNCTION(MHD_, create_response_from_buffer)                                                    \
    FUNCTION(MHD_, destroy_response)                                                               \
    FUNCTION(MHD_, get_connection_info)                                                            \
    FUNCTION(MHD_, get_daemon_info)                                                                \
    FUNCTION(MHD_, get_timeout)                                                                    \
    FUNCTION(MHD_, queue_response)                                                                 \
    FUNCTION(MHD_, resume_connection)                                                              \
    FUNCTION(MHD_, run)                                                                            \
    FUNCTION(MHD_, start_daemon)                                                                   \
    FUNCTION(MHD_, stop_daemon)                                                                    \
    FUNCTION(MHD_, suspend_connection)

static struct {
    FUNCTIONS(LIBRARY_POINTER)
} libmicrohttpd;

static struct library library =
    LIBRARY("libmicrohttpd.so.12", "libmicrohttpd12", FUNCTIONS, libmicrohttpd);

/* Someone connected: a slot for each. */
struct visitor {
    struct MHD_Connection *connection; /* NULL: free */
    int64_t since_ms;
    bool waits; /* for numbers; suspended */
    int64_t wait_since_ms;
};

struct http {
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    int listener; /* the daemon's; -1: none */
    struct http_source source;
    uv_poll_t poll;
    uv_timer_t timer; /* when libmicrohttpd has something to do by the clock */
    uv_timer_t sweep;
    unsigned handles; /* not closed yet */
    struct visitor visitors[HTTP_CONNECTIONS_MAX];
};

/* --- Answers --- */

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *type,
                               struct bytes body)
{
    struct MHD_Response *response = libmicrohttpd.create_response_from_buffer(
        body.size, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    libmicrohttpd.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    libmicrohttpd.add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        libmicrohttpd.add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result rc = libmicrohttpd.queue_response(connection, status, response);
    libmicrohttpd.destroy_response(response);
    return rc;
}

static enum MHD_Result respond_text(struct MHD_Connection *connection, unsigned status,
                                    const char *text)
{
    return respond(connection, status, "text/plain; charset=utf-8", bytes_of_text(text));
}

static enum MHD_Result respond_metrics(struct http *http, struct MHD_Connection *connection)
{
    cleanup_buffer struct buffer body = {0};
    if (http->source.write(http->source.context, &body) < 0)
        return respond_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
    return respond(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                   buffer_view(&body));
}

static struct visitor *find_visitor(struct http *http, const struct MHD_Connection *connection)
{
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (http->visitors[i].connection == connection)
            return &http->visitors[i];
    return NULL;
}

/* Numbers may have to be gathered first: true if so. The same request comes again then, once the
 * connection is resumed. */
static bool must_wait(struct http *http, struct MHD_Connection *connection)
{
    struct visitor *visitor = find_visitor(http, connection);
    if (!visitor || !http->source.gather || !http->source.gather(http->source.context))
        return false;
    visitor->waits = true;
    visitor->wait_since_ms = (int64_t)uv_now(http->loop);
    libmicrohttpd.suspend_connection(connection);
    return true;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    (void)version;
    (void)upload;
    (void)upload_size;
    bool is_first = !*request;
    *request = context;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return respond_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is understood\n");
    if (strcmp(url, "/metrics") == 0)
        return is_first && must_wait(context, connection) ? MHD_YES
                                                          : respond_metrics(context, connection);
    if (strcmp(url, "/health") == 0)
        return respond_text(connection, MHD_HTTP_OK, "ok\n");
    return respond_text(connection, MHD_HTTP_NOT_FOUND, "there are /metrics and /health\n");
}

/* --- Who is there --- */

static void on_visitor(void *context, struct MHD_Connection *connection, void **unused,
                       enum MHD_ConnectionNotificationCode code)
{
    struct http *http = context;
    bool is_new = code == MHD_CONNECTION_NOTIFY_STARTED;
    struct visitor *visitor = find_visitor(http, is_new ? NULL : connection);
    (void)unused;
    if (visitor)
        *visitor = (struct visitor){.connection = is_new ? connection : NULL,
                                    .since_ms = (int64_t)uv_now(http->loop)};
}

/* Lets those be answered who wait for at least that long. */
static void resume(struct http *http, int64_t waited_ms)
{
    int64_t now_ms = (int64_t)uv_now(http->loop);
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        struct visitor *visitor = &http->visitors[i];
        if (!visitor->waits || now_ms - visitor->wait_since_ms < waited_ms)
            continue;
        visitor->waits = false;
        libmicrohttpd.resume_connection(visitor->connection);
    }
}

/* One that sends a byte now and then is never idle, and would keep its place for ever. */
static bool shut_old(struct http *http)
{
    int64_t now_ms = (int64_t)uv_now(http->loop);
    bool is_visited = false;
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        const struct visitor *visitor = &http->visitors[i];
        if (!visitor->connection)
            continue;
        is_visited = true;
        if (now_ms - visitor->since_ms < HTTP_LIFE_MS)
            continue;
        const union MHD_ConnectionInfo *info = libmicrohttpd.get_connection_info(
            visitor->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info)
            shutdown(info->connect_fd, SHUT_RDWR);
    }
    return is_visited;
}

/* --- The loop --- */

static void on_timer(uv_timer_t *timer);
static void on_sweep(uv_timer_t *timer);

static void run(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    libmicrohttpd.run(http->daemon);
    if (libmicrohttpd.get_timeout(http->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&http->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&http->timer);
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (http->visitors[i].connection && !uv_is_active((uv_handle_t *)&http->sweep))
            uv_timer_start(&http->sweep, on_sweep, SWEEP_MS, 0);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_sweep(uv_timer_t *timer)
{
    struct http *http = timer->data;
    resume(http, HTTP_WAIT_MS);
    if (shut_old(http))
        uv_timer_start(timer, on_sweep, SWEEP_MS, 0);
    run(http);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

/* --- The beginning and the end --- */

static int open_listener(const struct address *address)
{
    struct sockaddr_storage socket_address;
    int one = 1;
    socket_address_from(address, &socket_address);
    socklen_t size = socket_address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                         : sizeof(struct sockaddr_in6);
    int fd = socket(socket_address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int rc = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (rc == 0)
        rc = bind(fd, (const struct sockaddr *)&socket_address, size);
    if (rc == 0)
        rc = listen(fd, HTTP_BACKLOG);
    if (rc == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

static int start_daemon(struct http *http, const struct address *address)
{
    http->listener = open_listener(address);
    if (http->listener < 0)
        return http->listener;
    http->daemon = libmicrohttpd.start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, http,
        MHD_OPTION_LISTEN_SOCKET, http->listener, MHD_OPTION_NOTIFY_CONNECTION, on_visitor, http,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_PER_IP,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_MEMORY_BYTES, MHD_OPTION_END);
    if (http->daemon)
        return 0;
    close(http->listener);
    return -ENOMEM;
}

int http_new(uv_loop_t *loop, const struct address *address, const struct http_source *source,
             struct http **ret, struct error *error)
{
    char text[ADDRESS_TEXT_BYTES];
    int rc = library_use(&library, error);
    if (rc < 0)
        return rc;
    struct http *http = calloc(1, sizeof(*http));
    address_format(address, text);
    if (!http)
        return error_set_errno(error, -ENOMEM, "serving metrics at %s", text);
    http->loop = loop;
    http->source = *source;
    rc = start_daemon(http, address);
    const union MHD_DaemonInfo *info =
        rc == 0 ? libmicrohttpd.get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (rc == 0)
        rc = info ? uv_poll_init(loop, &http->poll, info->epoll_fd) : -ENOTSUP;
    if (rc < 0) {
        if (http->daemon)
            libmicrohttpd.stop_daemon(http->daemon);
        free(http);
        error_set_errno(error, rc, "serving metrics at %s", text);
        if (rc == -EADDRINUSE)
            error_hint(error, "another program has this port (see: ss -lntp); choose another with "
                              "--metrics");
        return rc;
    }
    uv_timer_init(loop, &http->timer);
    uv_timer_init(loop, &http->sweep);
    http->handles = HANDLES;
    http->poll.data = http->timer.data = http->sweep.data = http;
    uv_poll_start(&http->poll, UV_READABLE, on_ready);
    *ret = http;
    return 0;
}

int http_address(const struct http *http, struct address *ret)
{
    struct sockaddr_storage socket_address;
    socklen_t size = sizeof(socket_address);
    if (getsockname(http->listener, (struct sockaddr *)&socket_address, &size) < 0)
        return -errno;
    return socket_address_to((const struct sockaddr *)&socket_address, ret);
}

void http_ready(struct http *http)
{
    resume(http, 0);
    run(http);
}

static void on_closed(uv_handle_t *handle)
{
    struct http *http = handle->data;
    if (--http->handles == 0)
        free(http);
}

void http_close(struct http *http)
{
    if (!http)
        return;
    /* First the poll: the daemon closes what is polled. */
    uv_poll_stop(&http->poll);
    resume(http, 0);
    libmicrohttpd.stop_daemon(http->daemon);
    uv_close((uv_handle_t *)&http->poll, on_closed);
    uv_close((uv_handle_t *)&http->timer, on_closed);
    uv_close((uv_handle_t *)&http->sweep, on_closed);
}
