/* What the files of a fetch share.
 *
 *     fetch.c     what is missing, and who is asked for which part next
 *     sources.c   the peers that have something of the image
 *     transfer.c  one part from one peer into the store
 *
 * A part is a blob of the image. It comes from one peer at a time; when that one breaks off, the
 * next goes on where it stopped.
 */
#pragma once

#include "node/images/images_private.h"
#include "runtime/image/image.h"

enum {
    FETCH_SOURCES_MAX = 32,       /* peers known to have something of one image: bits of a mask */
    FETCH_WHOLE_SOURCES_MAX = 16, /* … of which have it all */
    FETCH_AT_ONCE_MAX = 4,        /* parts on their way, of one image */
    FETCH_PER_SOURCE_MAX = 2,     /* … from one peer */
    FETCH_BREAKS_MAX = 3,         /* in a row, after which a peer is not asked again */
    FETCH_TICK_MS = 100,
    FETCH_REFRESH_TICKS = 5,  /* after so many, gossip is asked again who has it */
    FETCH_ANYBODY_MS = 2000,  /* likewise those that need not have anything: a registry has it */
    FETCH_STUCK_SILENCES = 4, /* without news, until those that may still get a part are given up */
    FETCH_BUSY_MS = 100,      /* a busy peer is asked again after this or twice as long */
    FETCH_BREAK_MS = 200,     /* likewise one that broke off; doubles */
};

/* A peer that has the image, or fetches it like this one and says what it has by now. */
struct source {
    struct fetch *fetch;
    struct id id;
    struct address address;
    bool has_address;
    bool is_whole;
    bool is_excluded;         /* it lied, or can't be reached */
    bool is_asked;            /* what it has, by a share of its own */
    struct mux_stream *share; /* open while it may still get more */
    uint8_t digest[DIGEST_BYTES];
    size_t digest_filled; /* of one that is arriving */
    unsigned active;      /* transfers */
    unsigned breaks;      /* since it last sent a whole part */
    uint64_t wait_until_ms;
};

enum part_state {
    PART_MISSING,
    PART_UNDER_WAY,
    PART_HERE,
};

struct part {
    struct image_descriptor blob;
    enum part_state state;
    uint32_t held_by;   /* sources that said so; those that have all are not in it */
    uint32_t failed_at; /* sources that don't have it after all */
    struct blob_writer *writer;
    int64_t written_bytes; /* by it */
    bool is_mixed;         /* from several sources: who lied can't be told */
    bool is_judged;        /* it came out wrong when mixed: now from one source, from its start */
};

struct transfer {
    uv_work_t work;
    struct fetch *fetch;
    struct part *part;     /* NULL: none under way */
    struct source *source; /* … and from whom */
    struct mux_stream *stream;
    uint64_t heard_ms;
    struct buffer arrived; /* not yet given to the pool */
    struct buffer writing; /* on the pool */
    bool is_writing;
    bool is_last;   /* of the write under way: it ends with the commit */
    bool has_ended; /* all that the peer sends has arrived */
    bool is_over;   /* and ends with `outcome` once the write is done */
    enum transfer_outcome {
        TRANSFER_DONE,
        TRANSFER_BUSY,     /* the source has too many askers */
        TRANSFER_ABSENT,   /* the source does not have it */
        TRANSFER_BROKEN,   /* off by the source, or it is silent */
        TRANSFER_WRONG,    /* other bytes than were asked for */
        TRANSFER_UNSTORED, /* this peer's own disk failed */
        TRANSFER_CANCELED,
    } outcome;
    int rc; /* of the write */
    struct error error;
};

struct fetch_waiter {
    void (*callback)(void *context, const struct error *error);
    void *context;
    struct fetch_waiter *next;
};

struct fetch {
    uv_work_t work; /* the look */
    uv_timer_t timer;
    struct images *images;
    struct digest digest;
    struct fetch_waiter *waiters;
    struct fetch *next;
    bool asks_anybody; /* not only peers that should have or get it */
    bool is_looking;
    bool is_over; /* it ends with `error` once nothing is under way */
    uint64_t salt;
    unsigned ticks;
    uint64_t news_ms; /* when somebody last said anything */
    struct source sources[FETCH_SOURCES_MAX];
    size_t source_count;
    struct part *parts; /* from the last look */
    size_t part_count;
    struct transfer transfers[FETCH_AT_ONCE_MAX];
    struct image_descriptor *missing; /* of the look */
    size_t missing_count;
    struct error look_error;
    struct error error; /* the last that a source did, or what ends the fetch */
};

/* fetch.c */
void fetch_transfer_ended(struct transfer *transfer, enum transfer_outcome outcome);
void fetch_schedule(struct fetch *fetch);

/* transfer.c. Starting fails only by what fetch_transfer_ended() is told, from the loop or at once.
 */
void transfer_start(struct transfer *transfer, struct part *part, struct source *source);
void transfer_tick(struct transfer *transfer, uint64_t now_ms);
void transfer_cancel(struct transfer *transfer);

/* sources.c */
void sources_refresh(struct fetch *fetch);
void sources_add(struct fetch *fetch, const struct id *id, const struct address *address,
                 bool is_whole);
/* Asks those that do not have all which of the parts they have; ends what was asked before. */
void sources_ask(struct fetch *fetch);
void sources_forget_asked(struct fetch *fetch);
/* A peer asks what this one has: it fetches the same, and may be asked in turn. */
void sources_meet(struct fetch *fetch, const struct id *id);
bool source_has(const struct source *source, const struct part *part);
bool sources_may_get_more(const struct fetch *fetch);
