/* One thing from a web server, by HTTPS (libcurl), blocking.
 *
 * libcurl brings twenty libraries and megabytes with it, which a peer that pulls nothing shall not
 * carry: it is loaded by http_start(), which only the process that pulls calls.
 *
 * Redirects are followed (registries keep blobs elsewhere) by the same scheme; a login goes to the
 * first host only. A transfer that crawls for HTTP_CRAWL_S seconds is given up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "runtime/bounds.h"

/* Loads libcurl; once, before any thread. -ELIBACC with what to install if it is not there. */
int http_start(struct error *error);

struct http_request {
    const char *url;
    const char *accept;        /* NULL: anything */
    const char *authorization; /* the header's value, or NULL */
    const char *ca_file;       /* NULL: the system's */
    bool is_insecure;          /* certificates are not checked, and http: is allowed */
    int64_t from;              /* the first byte that is wanted */
    void *context;
    /* A piece of the body of a 200 or 206; `offset` is where it stands in the whole. A negative
     * errno ends the transfer, and is what http_get() returns. */
    int (*on_data)(void *context, int64_t offset, const void *data, size_t size);
};

struct http_response {
    long status;
    char challenge[REGISTRY_CHALLENGE_BYTES_MAX]; /* WWW-Authenticate, "" if there was none */
    char digest[REGISTRY_TEXT_BYTES_MAX];         /* Docker-Content-Digest */
    int64_t retry_after_s;                        /* 0: not said */
    char problem[REGISTRY_TEXT_BYTES_MAX];        /* the beginning of an error's body */
    bool is_not_tls; /* the server does not speak TLS, or nobody does */
};

/* 0 for any answer, which `ret->status` tells; -EIO when the connection broke or none came about,
 * -EKEYREJECTED for a certificate that can't be trusted, with words; -EPROTO for bytes that were
 * not asked for. */
int http_get(const struct http_request *request, struct http_response *ret, struct error *error);
