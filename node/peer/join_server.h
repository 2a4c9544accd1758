/* Admitting newcomers: serves STREAM_JOIN, which a link by token may open, and nothing else.
 *
 * The token has been proved by the handshake. The request becomes a proposal; the leader that
 * commits it signs the certificate, and the newcomer gets that, some live peers, and the intent.
 */
#pragma once

#include "node/transport/links.h"

struct peer;

/* Takes the stream over. */
void join_server_accept(struct peer *peer, const struct link_remote *remote,
                        struct mux_stream *stream);
