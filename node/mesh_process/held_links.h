/* The links between the mesh processes of two peers, and the streams over them.
 *
 * A link is opened by the daemon, which alone has the peer's key: it shows and checks certificates,
 * and then gives the link away. Streams opened before it is there wait for it.
 */
#pragma once

#include "node/transport/link.h"

struct held_links;

struct held_links_config {
    uv_loop_t *loop;
    struct fault *fault; /* NULL: none */
    void *context;
    /* Asks for a link with that peer: held_links_take() or held_links_failed() follows. A negative
     * errno: nobody can be asked. */
    int (*want)(void *context, const struct id *peer);
    /* Another peer passes something to a replica here: accept it or reset it. */
    void (*on_stream)(void *context, struct mux_stream *stream, struct bytes header);
};

/* NULL when there is no memory. */
struct held_links *held_links_new(const struct held_links_config *config);

/* As links_open_stream(), a STREAM_MESH. */
int held_links_open_stream(struct held_links *links, const struct id *peer, struct bytes header,
                           const struct stream_handler *handler, void *context,
                           struct mux_stream **ret);

/* Takes over a link; `fd` passes, also on failure. */
int held_links_take(struct held_links *links, const struct link_given *state, int fd);

/* No link with that peer can be had (NULL: with any): streams that wait for one end so. */
void held_links_failed(struct held_links *links, const struct id *peer, int reason);

/* That peer was shut out: its links and all they carry break now. */
void held_links_drop(struct held_links *links, const struct id *peer);

/* No streams are opened any more, from either side; those that are open go on. */
void held_links_retire(struct held_links *links);

/* Each peer with which a link is open; one with two comes twice. */
void held_links_each(const struct held_links *links,
                     void (*each)(void *context, const struct id *peer), void *context);

/* Breaks all; frees from the loop. */
void held_links_close(struct held_links *links);
