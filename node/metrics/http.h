/* HTTP for monitoring: GET /metrics and /health, and nothing else.
 *
 * libmicrohttpd does the protocol. It has no thread of its own here: the loop runs it when its
 * sockets have something to say, so that it never meets the rest of the peer half-way. Whoever
 * connects is a stranger: at most HTTP_CONNECTIONS_MAX at once, HTTP_MEMORY_BYTES each, and none
 * for longer than HTTP_LIFE_MS.
 */
#pragma once

#include <uv.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/error.h"

enum {
    HTTP_PORT_DEFAULT = 7302,
    HTTP_CONNECTIONS_MAX = 16,
    HTTP_CONNECTIONS_PER_IP = 8,
    HTTP_MEMORY_BYTES = 16 * 1024, /* for a request's head */
    HTTP_IDLE_S = 10,
    HTTP_LIFE_MS = 30 * 1000, /* then its socket is shut, whatever it does */
    HTTP_WAIT_MS = 3 * 1000,  /* for numbers that are gathered; then with those that there are */
    HTTP_BACKLOG = 16,
};

struct http;

struct http_source {
    void *context;
    /* Appends what /metrics says. -ENOMEM: 503 is answered. */
    int (*write)(void *context, struct buffer *ret);
    /* Asked before; true if numbers are gathered first: then whoever asks waits for http_ready(),
     * HTTP_WAIT_MS at most. May be NULL. */
    bool (*gather)(void *context);
};

/* A negative errno with words in `error`. */
int http_new(uv_loop_t *loop, const struct address *address, const struct http_source *source,
             struct http **ret, struct error *error);

/* Answers those who wait. Not to be called within a callback of the source. */
void http_ready(struct http *http);

/* Where it listens: what the port is, if it was asked for any. */
int http_address(const struct http *http, struct address *ret);

/* Drops all connections; frees from the loop. NULL is accepted. */
void http_close(struct http *http);
