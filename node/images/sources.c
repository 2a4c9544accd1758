/* The peers that have something of an image: those that say in gossip that they have all of it, and
 * those that fetch it now, which say over a stream of kind SHARE what they have by now.
 */
#include <errno.h>
#include <string.h>

#include "node/images/fetch_private.h"

bool source_has(const struct source *source, const struct part *part)
{
    uint32_t bit = UINT32_C(1) << (source - source->fetch->sources);
    return !source->is_excluded && !(part->failed_at & bit) &&
           (source->is_whole || (part->held_by & bit));
}

bool sources_may_get_more(const struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->source_count; i++)
        if (fetch->sources[i].share)
            return true;
    return false;
}

void sources_add(struct fetch *fetch, const struct id *id, const struct address *address,
                 bool is_whole)
{
    size_t whole_count = 0;
    for (size_t i = 0; i < fetch->source_count; i++) {
        struct source *source = &fetch->sources[i];
        whole_count += source->is_whole;
        if (id_equal(&source->id, id)) {
            source->is_whole = source->is_whole || is_whole;
            return;
        }
    }
    if (fetch->source_count == FETCH_SOURCES_MAX ||
        (is_whole && whole_count >= FETCH_WHOLE_SOURCES_MAX))
        return;
    struct source *source = &fetch->sources[fetch->source_count++];
    *source = (struct source){.fetch = fetch, .id = *id, .is_whole = is_whole};
    if (address) {
        source->address = *address;
        source->has_address = true;
    }
}

/* --- Who has it --- */

/* A fair choice among all that are told, without knowing beforehand how many there are. */
struct choice {
    struct fetch *fetch;
    struct {
        struct id id;
        struct address address;
    } chosen[FETCH_WHOLE_SOURCES_MAX];
    size_t count;
    uint64_t seen;
};

static void choose(void *context, const struct id *id, const struct address *address)
{
    struct choice *choice = context;
    uint64_t place = choice->seen++;
    if (place >= FETCH_WHOLE_SOURCES_MAX)
        place = random_below(&choice->fetch->images->random, choice->seen);
    else
        choice->count++;
    if (place >= FETCH_WHOLE_SOURCES_MAX)
        return;
    choice->chosen[place].id = *id;
    choice->chosen[place].address = *address;
}

static void add_all(struct fetch *fetch, enum images_who who)
{
    const struct images_config *config = &fetch->images->config;
    struct choice choice = {.fetch = fetch};
    char text[DIGEST_TEXT_BYTES];
    digest_format(&fetch->digest, text);
    config->peers(config->context, who, text, choose, &choice);
    for (size_t i = 0; i < choice.count; i++)
        sources_add(fetch, &choice.chosen[i].id, &choice.chosen[i].address, who == IMAGES_WHO_HAVE);
}

void sources_refresh(struct fetch *fetch)
{
    add_all(fetch, IMAGES_WHO_HAVE);
    add_all(fetch, fetch->asks_anybody ? IMAGES_WHO_LIVE : IMAGES_WHO_WANT);
}

/* --- What they have --- */

static void take_digest(struct source *source)
{
    struct fetch *fetch = source->fetch;
    struct digest digest;
    memcpy(digest.bytes, source->digest, sizeof(digest.bytes));
    for (size_t i = 0; i < fetch->part_count; i++)
        if (digest_equal(&fetch->parts[i].blob.digest, &digest))
            fetch->parts[i].held_by |= UINT32_C(1) << (source - fetch->sources);
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct source *source = context;
    for (size_t i = 0; i < data.size; i++) {
        source->digest[source->digest_filled++] = data.data[i];
        if (source->digest_filled == sizeof(source->digest)) {
            take_digest(source);
            source->digest_filled = 0;
        }
    }
    stream_consumed(stream, data.size);
    source->fetch->news_ms = uv_now(source->fetch->images->config.loop);
    fetch_schedule(source->fetch);
}

/* The other side gets no more; or nothing, then what it said still counts. */
static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct source *source = context;
    (void)stream;
    (void)reason;
    source->share = NULL;
    fetch_schedule(source->fetch);
}

static const struct stream_handler handler = {.on_data = on_data, .on_close = on_close};

static void ask(struct source *source)
{
    struct fetch *fetch = source->fetch;
    const struct images_config *config = &fetch->images->config;
    source->is_asked = true;
    source->digest_filled = 0;
    int rc =
        links_open_stream(config->links, &source->id, source->has_address ? &source->address : NULL,
                          STREAM_SHARE, (struct bytes){NULL, 0}, &handler, source, &source->share);
    for (size_t i = 0; rc == 0 && i < fetch->part_count; i++)
        rc = stream_write(source->share, fetch->parts[i].blob.digest.bytes, DIGEST_BYTES);
    if (rc < 0 && source->share) {
        stream_reset(source->share, rc);
        source->share = NULL;
    }
    if (source->share)
        stream_end(source->share);
}

void sources_forget_asked(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->source_count; i++) {
        struct source *source = &fetch->sources[i];
        if (source->share)
            stream_reset(source->share, -ECANCELED);
        source->share = NULL;
        source->is_asked = false;
    }
}

void sources_ask(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->source_count; i++) {
        struct source *source = &fetch->sources[i];
        if (!source->is_whole && !source->is_excluded && !source->is_asked)
            ask(source);
    }
}

void sources_meet(struct fetch *fetch, const struct id *id)
{
    sources_add(fetch, id, NULL, false);
    for (size_t i = 0; i < fetch->source_count; i++)
        if (id_equal(&fetch->sources[i].id, id) && !fetch->sources[i].share)
            fetch->sources[i].is_asked = false; /* it may not have begun when it was */
}
