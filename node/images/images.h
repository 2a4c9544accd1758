/* Images between peers: fetched blob by blob from peers that have them, served to those that ask;
 * and pulled from registries when no peer has them.
 *
 * A blob travels on a STREAM_BLOB whose header is the digest's text and, unless it begins there, an
 * offset; the server sends the bytes and ends the stream, or resets it: -ENOENT, or -EBUSY while it
 * serves as many as it does at once. Whatever arrives is hashed by the blob store before it gets
 * its name, so a peer can't pass off anything else.
 *
 * Which peers have an image is gossip: each publishes the digests of the images that it holds
 * whole. Those that are just getting it, as intent says, are asked over a STREAM_SHARE which blobs
 * they have by now (docs/decisions/pulls.md).
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "node/transport/links.h"
#include "runtime/image/image_import.h"
#include "runtime/image/image_store.h"

struct images;

enum images_who {
    IMAGES_WHO_HAVE, /* that says it has the image with that digest */
    IMAGES_WHO_WANT, /* that should run it, and so may have some of it */
    IMAGES_WHO_LIVE, /* any */
};

struct images_config {
    uv_loop_t *loop;
    struct image_store *store; /* borrowed */
    struct links *links;       /* borrowed */
    const char *program;       /* what pulls: this binary (borrowed) */
    const char *registries;    /* the operator's file on them (borrowed): see registry/settings.h */
    uint32_t silence_ms;       /* a peer that sends nothing so long is given up; 0: the default */
    void *context;
    /* Calls `each` for every live peer, other than this one, that is so. */
    void (*peers)(void *context, enum images_who who, const char *digest,
                  void (*each)(void *each_context, const struct id *id,
                               const struct address *address),
                  void *each_context);
    /* An image is here whole, under these names, behind the places where it keeps data
     * ("/data,hello:1,hello:latest", or "" if it has no name), or (NULL) no longer. Called after
     * every change, and soon after images_new(). */
    void (*on_held)(void *context, const char *digest, const char *references);
};

/* NULL when there is no memory. */
struct images *images_new(const struct images_config *config);

/* Fetches end with -ECANCELED, which is told before this returns; frees from the loop. NULL is
 * accepted. */
void images_close(struct images *images);

/* The containers that were here before are known and their images pinned: from now on what nothing
 * needs is removed (collector.h). */
void images_begin_collecting(struct images *images);

/* Whether all blobs of the image are here, as far as is known without the disk: what images_fetch()
 * and imports completed, and what was here at the start. */
bool images_has(const struct images *images, const struct digest *digest);

/* Gets what is missing of an image (pinned by the caller) from peers that hold it, and those that
 * fetch it like this one; with `asks_anybody` from whichever peers happen to have blobs of it.
 * `callback` comes once, from the loop, with NULL or the error, which names the image and says what
 * to type next. What has come until then stays. Fetching one image for several askers is done once.
 * -ENOMEM: the callback does not come. */
int images_fetch(struct images *images, const struct digest *digest, bool asks_anybody,
                 void (*callback)(void *context, const struct error *error), void *context);

struct images_pull_handler {
    /* How far it is; may be NULL. */
    void (*on_progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
    /* Once: it is here and named; or (`digest` NULL) the error, which names the image. */
    void (*on_end)(void *context, const struct digest *digest, const struct error *error);
};

/* Pulls an image from its registry (runtime/registry/). One that is being pulled already is waited
 * for. -ENOMEM; -EBUSY: too many wait; -E2BIG: no image has so long a name. */
int images_pull(struct images *images, const char *reference,
                const struct images_pull_handler *handler, void *context);

/* Imports an archive or layout at `path` (on this machine) and tells `callback`, which comes once
 * from the loop. `imported` is borrowed for the call. -ENOMEM. */
int images_import(struct images *images, const char *path, const char *reference,
                  void (*callback)(void *context, const struct image_imported *imported,
                                   size_t imported_count, const struct error *error),
                  void *context);

/* Removes a reference, with the same ways of answering. */
int images_remove(struct images *images, const char *reference,
                  void (*callback)(void *context, const struct error *error), void *context);

/* Serves a peer's STREAM_BLOB or STREAM_SHARE. */
void images_accept(struct images *images, const struct id *from, struct mux_stream *stream,
                   uint8_t kind, struct bytes header);
