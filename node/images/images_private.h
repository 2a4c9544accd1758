/* What the files of node/images/ share. */
#pragma once

#include "node/images/images.h"

struct fetch;
struct pull;

enum {
    IMAGES_SILENCE_MS_DEFAULT = 10000,
};

struct images {
    struct images_config config;
    struct digest_set held; /* images that are here whole */
    struct fetch *fetches;
    struct pull *pulls; /* the newest first */
    unsigned busy;      /* work items and streams that hold on to this */
    bool is_closing;
};

/* Everything that runs on the pool or a stream counts itself here; the last one frees. */
void images_hold(struct images *images);
void images_release(struct images *images);

/* The image is whole from now on: remembered, and told to the node. */
void images_held(struct images *images, const struct digest *digest);

/* Looks anew at what the store holds, tells the node, and then calls `then` (may be NULL), from the
 * loop; at once if it can't look. */
void images_look(struct images *images, void (*then)(void *context), void *context);

/* pull.c: ends all pulls, likewise. */
void pulls_cancel(struct images *images);

/* fetch.c: ends all fetches; their callbacks get -ECANCELED. */
void fetches_cancel(struct images *images);

/* serve.c */
void serve_blob(struct images *images, struct mux_stream *stream, const struct digest *digest);
