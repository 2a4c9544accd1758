/* Peers with image stores in scratch directories, linked on loopback sockets, in one loop.
 *
 *     bench_start(&b);                               peers 0, 1 and 2; 1 and 2 are asked, in order
 *     sample_store(&sample, b.peers[1].store, NULL);
 *     bench_fetch(&b, &sample.digest, &outcome);     peer 0 fetches; done when it returns
 *     b.peers[1].way = WAY_WRONG;                    from now on it serves bad blobs
 *     bench_done(&b);
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/images/images_private.h"
#include "tests/unit/node/transport/loop.h"
#include "tests/unit/node/transport/party.h"
#include "tests/unit/runtime/image_fixture.h"

enum {
    BENCH_PEERS = 3,
    BENCH_HELD_MAX = 16,
    BENCH_SILENCE_MS = 300,
};

/* How a peer serves blobs. */
enum way {
    WAY_GOOD,
    WAY_WRONG, /* other bytes, as many */
    WAY_LONG,  /* the right ones and then more */
    WAY_SHORT, /* half of them, and the end */
    WAY_BREAK, /* half of them, and a reset */
    WAY_TWIST, /* half as many other bytes, and a reset */
    WAY_NONE,  /* a reset: it has none */
    WAY_HANG,  /* nothing */
};

struct bench;

struct bench_peer {
    struct bench *bench;
    struct party party;
    struct links *links;
    struct address address;
    char scratch[SCRATCH_PATH_BYTES];
    struct image_store *store;
    struct images *images;
    enum way way;
    size_t bytes_max; /* of what it serves badly; 0: half of it */
    bool wants;       /* others are told that it should get what they fetch */
    unsigned asked;   /* blobs that others wanted */
    unsigned resumed; /* … from where they had stopped */
    struct mux_stream *hanging;

    /* What it said that it holds: digests and names, in order; a NULL name is "no longer". */
    char held[BENCH_HELD_MAX][DIGEST_TEXT_BYTES];
    char *names[BENCH_HELD_MAX];
    size_t held_count;
};

struct bench {
    uv_loop_t loop;
    struct identity root;
    struct bench_peer peers[BENCH_PEERS];
    unsigned holders[BENCH_PEERS];
    size_t holder_count;
    unsigned only_for; /* the one peer that is told who holds; 0: all */
};

/* How a fetch or a removal ended. */
struct outcome {
    unsigned count;
    struct error error;
};

void bench_start(struct bench *b);
void bench_done(struct bench *b);
void bench_run(struct bench *b, unsigned ms);
void bench_lose(struct bench *b, unsigned peer); /* its links are closed */

void bench_reopen(struct bench *b, unsigned peer); /* its images start anew, the store stays */

/* The callback for images_fetch() and images_remove(). */
void bench_outcome(void *context, const struct error *error);
void bench_wait(struct bench *b, const struct outcome *outcome);
void bench_fetch(struct bench *b, const struct digest *digest, struct outcome *outcome);

/* Whether all of the sample's blobs are at the peer, with the right bytes. */
bool bench_has(struct bench *b, unsigned peer, const struct sample *sample);
bool bench_has_blob(const struct bench *b, unsigned peer, const struct digest *digest);
/* No half-written blob is left. */
void bench_assert_no_rest(const struct bench *b, unsigned peer);

/* The names under which the peer last said that it holds the digest; NULL: it does not. */
const char *bench_names(const struct bench_peer *peer, const struct digest *digest);
