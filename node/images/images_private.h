/* What the files of node/images/ share. */
#pragma once

#include "base/random.h"
#include "node/images/collector.h"
#include "node/images/images.h"

struct fetch;
struct pull;
struct serving;
struct share;

enum {
    IMAGES_SILENCE_MS_DEFAULT = 10000,
    IMAGES_TRANSFERS_MAX = 8, /* blobs on their way here, of all images */
    IMAGES_SERVINGS_MAX = 4,  /* blobs on their way from here: few, so that each is whole soon */
    IMAGES_SERVINGS_PER_PEER = 2,                      /* … to one peer */
    BLOB_HEADER_BYTES_MAX = DIGEST_TEXT_BYTES - 1 + 8, /* a digest's text and an offset */
};

struct images {
    struct images_config config;
    struct digest_set held; /* images that are here whole */
    struct fetch *fetches;
    struct collector *collector;
    struct share *shares;
    struct serving *servings;
    unsigned transfers, share_count;
    struct random random; /* spreads what is asked over those that are asked */
    struct pull *pulls;   /* the newest first */
    unsigned busy;        /* work items and streams that hold on to this */
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

/* … and one hears that another peer looks for a blob that it may want, too. */
void fetches_meet(struct images *images, const struct id *id, const struct digest *wanted);

/* serve.c */
void serve_blob(struct images *images, const struct id *from, struct mux_stream *stream,
                struct bytes header);

/* share.c */
void share_accept(struct images *images, const struct id *from, struct mux_stream *stream);
/* A blob has come; a fetch has ended. */
void share_blob_here(struct images *images, const struct digest *digest);
void share_fetch_ended(struct images *images);
/* Something is coming in: worth waiting for, to those that were told of nothing for a while. */
void share_goes_on(struct images *images);
