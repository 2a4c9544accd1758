/* The addresses of sockets, the options that they get, and the end of handles. */
#pragma once

#include <uv.h>

#include "base/socket_address.h"

/* What the socket is bound to, and who is at its other end: 0 or a negative errno. */
int socket_local_address(const uv_tcp_t *tcp, struct address *ret);
int socket_remote_address(const uv_tcp_t *tcp, struct address *ret);

/* No delay for small frames, and little unsent in the kernel, so that a ping and a small stream
 * never wait behind megabytes of a large one. A system that refuses is only slower. */
void socket_tune_link(uv_tcp_t *tcp);

/* For uv_close(): free a handle that is memory of its own, or what its `data` points to, which is
 * where the handle lives. */
void socket_free(uv_handle_t *handle);
void socket_free_owner(uv_handle_t *handle);
