/* The API that the CLI speaks: MessagePack-RPC over the UNIX socket (whoever may open it is an
 * admin) or over a STREAM_API from an operator or a peer (the role in the certificate counts).
 *
 * docs/api.md has the frames and every method. A method runs on the loop; one that takes long
 * answers later, and may send notifications before. A connection that goes away cancels what it
 * asked for.
 */
#pragma once

#include "base/error.h"
#include "node/transport/links.h"

struct api_server;
struct peer;

/* Listens at `socket_path`, mode 0660, group `consort` if there is one. A socket that a dead
 * process left is replaced; -EADDRINUSE if a living one answers at it.
 * With `socket_fd` other than -1 takes that over, which listens there already. */
int api_server_new(struct peer *peer, const char *socket_path, int socket_fd,
                   struct api_server **ret, struct error *error);

/* Drops all connections; frees from the loop. NULL is accepted. Removes the socket and returns -1,
 * or, with `keep_socket`, returns a descriptor of it that listens on: who connects waits. */
int api_server_close(struct api_server *server, bool keep_socket);

/* Takes over a STREAM_API. A peer that passes on an operator's call says for whom in the header. */
void api_accept(struct api_server *server, const struct link_remote *remote,
                struct mux_stream *stream, struct bytes header);
