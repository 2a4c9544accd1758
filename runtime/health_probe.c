#include "runtime/health_probe.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/socket_address.h"
#include "runtime/bounds.h"

enum {
    LINE_BYTES = 256, /* of the answer's first line, with the NUL; the reason in it may be cut */
    STATUS_LEAST = 200,
    STATUS_MOST = 399,
};

struct health_probe {
    uv_tcp_t socket;
    uv_connect_t connect;
    uv_write_t write;
    health_probe_done *on_done;
    void *context;
    char request[RUNTIME_PROBE_PATH_BYTES + 128];
    char line[LINE_BYTES];
    size_t length;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void health_probe_cancel(struct health_probe *probe)
{
    if (!probe)
        return;
    probe->on_done = NULL;
    uv_close((uv_handle_t *)&probe->socket, on_closed);
}

static void finish(struct health_probe *probe, enum health_probe_outcome outcome,
                   const char *reason)
{
    health_probe_done *on_done = probe->on_done;
    void *context = probe->context;
    char words[LINE_BYTES + 64];
    snprintf(words, sizeof(words), "%s", reason); /* it may be the probe's own */
    health_probe_cancel(probe);
    on_done(context, outcome, words);
}

int health_probe_status(const char *line)
{
    char *end;
    if ((strncmp(line, "HTTP/1.1 ", 9) != 0 && strncmp(line, "HTTP/1.0 ", 9) != 0) ||
        !isdigit((unsigned char)line[9]))
        return -EBADMSG;
    unsigned long status = strtoul(line + 9, &end, 10);
    return end == line + 12 && status >= 100 ? (int)status : -EBADMSG;
}

static void judge(struct health_probe *probe)
{
    char reason[64];
    int status = health_probe_status(probe->line);
    if (status < 0)
        finish(probe, HEALTH_PROBE_FAILED, "what answers is no HTTP server");
    else if (status >= STATUS_LEAST && status <= STATUS_MOST)
        finish(probe, HEALTH_PROBE_PASSED, "");
    else {
        snprintf(reason, sizeof(reason), "status %d", status);
        finish(probe, HEALTH_PROBE_FAILED, reason);
    }
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct health_probe *probe = handle->data;
    *ret = uv_buf_init(probe->line + probe->length,
                       (unsigned)(sizeof(probe->line) - 1 - probe->length));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct health_probe *probe = stream->data;
    (void)buffer;
    if (got < 0) {
        finish(probe, HEALTH_PROBE_FAILED,
               got == UV_EOF ? "it closed without an answer" : strerror((int)-got));
        return;
    }
    probe->length += (size_t)got;
    probe->line[probe->length] = '\0';
    if (strchr(probe->line, '\n') || probe->length == sizeof(probe->line) - 1)
        judge(probe);
}

static void on_written(uv_write_t *write, int status)
{
    (void)write, (void)status; /* a failure is seen where it is read */
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct health_probe *probe = connect->data;
    if (!probe->on_done)
        return; /* given up */
    if (status < 0) {
        finish(probe, HEALTH_PROBE_NOBODY, strerror(-status));
        return;
    }
    if (!probe->request[0]) {
        finish(probe, HEALTH_PROBE_PASSED, "");
        return;
    }
    uv_buf_t buffer = uv_buf_init(probe->request, (unsigned)strlen(probe->request));
    status = uv_write(&probe->write, (uv_stream_t *)&probe->socket, &buffer, 1, on_written);
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&probe->socket, on_allocate, on_read);
    if (status < 0)
        finish(probe, HEALTH_PROBE_FAILED, strerror(-status));
}

int health_probe_start(uv_loop_t *loop, const struct address *address, const char *path,
                       health_probe_done *on_done, void *context, struct health_probe **ret)
{
    char host[ADDRESS_TEXT_BYTES];
    struct health_probe *probe = calloc(1, sizeof(*probe));
    if (!probe)
        return -ENOMEM;
    probe->on_done = on_done;
    probe->context = context;
    probe->socket.data = probe->connect.data = probe;
    address_format(address, host);
    if (path)
        snprintf(probe->request, sizeof(probe->request),
                 "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: consort\r\nConnection: close\r\n\r\n",
                 path, host);
    int result = uv_tcp_init(loop, &probe->socket);
    if (result < 0) {
        free(probe);
        return result;
    }
    struct sockaddr_storage to;
    socket_address_from(address, &to);
    result =
        uv_tcp_connect(&probe->connect, &probe->socket, (const struct sockaddr *)&to, on_connected);
    if (result < 0) {
        health_probe_cancel(probe);
        return result;
    }
    *ret = probe;
    return 0;
}
