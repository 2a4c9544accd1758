#include "tests/unit/node/images/images_bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>

enum {
    ROOT = 1,
    PATIENCE_MS = 10000,
};

/* --- Peers that serve badly --- */

static void on_bad_close(void *context, struct mux_stream *stream, int reason)
{
    struct bench_peer *peer = context;
    (void)reason;
    if (peer->hanging == stream)
        peer->hanging = NULL;
}

static const struct stream_handler bad_handler = {.on_close = on_bad_close};

static void write_all(struct mux_stream *stream, struct bytes bytes)
{
    assert_int_equal(stream_write(stream, bytes.data, bytes.size), 0);
}

static void serve_badly(struct bench_peer *peer, struct mux_stream *stream, struct bytes header)
{
    char text[DIGEST_TEXT_BYTES] = {0};
    struct digest digest;
    cleanup_buffer struct buffer blob = {0};
    assert_in_range(header.size, DIGEST_TEXT_BYTES - 1, BLOB_HEADER_BYTES_MAX);
    memcpy(text, header.data, sizeof(text) - 1);
    assert_int_equal(digest_parse(text, &digest), 0);
    assert_int_equal(blob_store_read(image_store_blobs(peer->store), &digest, 1 << 20, &blob, NULL),
                     0);
    struct bytes all = buffer_view(&blob);
    stream_accept(stream, &bad_handler, peer);
    switch (peer->way) {
    case WAY_WRONG:
        blob.bytes[blob.size / 2] ^= 1;
        write_all(stream, all);
        stream_end(stream);
        break;
    case WAY_LONG:
        write_all(stream, all);
        write_all(stream, bytes_of_text("and more"));
        stream_end(stream);
        break;
    case WAY_SHORT:
    case WAY_BREAK:
    case WAY_TWIST:
    case WAY_HANG:
        blob.bytes[0] ^= peer->way == WAY_TWIST;
        write_all(stream,
                  (struct bytes){all.data, peer->bytes_max ? peer->bytes_max : all.size / 2});
        if (peer->way == WAY_SHORT)
            stream_end(stream);
        else
            peer->hanging = stream; /* WAY_BREAK: reset once the half has arrived */
        break;
    case WAY_NONE:
        stream_reset(stream, -ENOENT);
        break;
    case WAY_GOOD:
        fail();
    }
}

static void on_stream(void *context, const struct link_remote *remote, struct mux_stream *stream,
                      uint8_t kind, struct bytes header)
{
    struct bench_peer *peer = context;
    peer->asked += kind == STREAM_BLOB;
    if (kind == STREAM_BLOB && header.size > DIGEST_TEXT_BYTES - 1)
        peer->resumed++;
    if (peer->way == WAY_GOOD || kind == STREAM_SHARE)
        images_accept(peer->images, &remote->id, stream, kind, header);
    else
        serve_badly(peer, stream, header);
}

/* --- Peers --- */

static void tell_peers(void *context, enum images_who who, const char *digest,
                       void (*each)(void *each_context, const struct id *id,
                                    const struct address *address),
                       void *each_context)
{
    struct bench_peer *peer = context;
    struct bench *b = peer->bench;
    assert_int_equal(strlen(digest), DIGEST_TEXT_BYTES - 1);
    bool is_told = b->only_for == 0 || peer == &b->peers[b->only_for];
    for (unsigned i = 0; i < BENCH_PEERS; i++) {
        const struct bench_peer *other = &b->peers[i];
        bool is_so = who == IMAGES_WHO_LIVE || (who == IMAGES_WHO_WANT && other->wants);
        for (size_t j = 0; j < b->holder_count && who == IMAGES_WHO_HAVE && is_told; j++)
            is_so = is_so || b->holders[j] == i;
        if (is_so && other != peer && other->links)
            each(each_context, &other->party.identity.id, &other->address);
    }
}

static void on_held(void *context, const char *digest, const char *references)
{
    struct bench_peer *peer = context;
    assert_true(peer->held_count < BENCH_HELD_MAX);
    snprintf(peer->held[peer->held_count], DIGEST_TEXT_BYTES, "%s", digest);
    peer->names[peer->held_count++] = references ? strdup(references) : NULL;
}

static void open_images(struct bench_peer *peer)
{
    const struct images_config images = {.loop = &peer->bench->loop,
                                         .store = peer->store,
                                         .links = peer->links,
                                         .silence_ms = BENCH_SILENCE_MS,
                                         .context = peer,
                                         .peers = tell_peers,
                                         .on_held = on_held};
    peer->images = images_new(&images);
    assert_non_null(peer->images);
    images_begin_collecting(peer->images);
}

void bench_reopen(struct bench *b, unsigned peer)
{
    images_close(b->peers[peer].images);
    bench_run(b, 20);
    open_images(&b->peers[peer]);
}

static void open_peer(struct bench *b, unsigned number)
{
    struct bench_peer *peer = &b->peers[number];
    char name[] = {(char)('a' + number), '\0'};
    peer->bench = b;
    party_init(&peer->party, (uint8_t)(10 + number), name, ROLE_PEER, &b->root);
    scratch_make(peer->scratch);
    assert_int_equal(image_store_open(peer->scratch, &peer->store, NULL), 0);
    const struct links_config links = {.link = {.loop = &b->loop,
                                                .identity = &peer->party.identity,
                                                .chain = &peer->party.chain,
                                                .cluster = b->root.id},
                                       .context = peer,
                                       .on_stream = on_stream};
    const struct address any = address_from_v4(INADDR_LOOPBACK, 0);
    peer->links = links_new(&links);
    assert_non_null(peer->links);
    assert_int_equal(links_listen(peer->links, &any, &peer->address, NULL), 0);
    open_images(peer);
}

void bench_start(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    uv_loop_init(&b->loop);
    party_identity(&b->root, ROOT);
    for (unsigned i = 0; i < BENCH_PEERS; i++)
        open_peer(b, i);
    b->holders[b->holder_count++] = 1;
    b->holders[b->holder_count++] = 2;
    bench_run(b, 20);
}

void bench_lose(struct bench *b, unsigned peer)
{
    links_close(b->peers[peer].links, NULL, NULL);
    b->peers[peer].links = NULL;
}

void bench_done(struct bench *b)
{
    for (unsigned i = 0; i < BENCH_PEERS; i++) {
        images_close(b->peers[i].images);
        if (b->peers[i].links)
            links_close(b->peers[i].links, NULL, NULL);
    }
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    for (unsigned i = 0; i < BENCH_PEERS; i++) {
        struct bench_peer *peer = &b->peers[i];
        image_store_free(peer->store);
        scratch_remove(peer->scratch);
        for (size_t j = 0; j < peer->held_count; j++)
            free(peer->names[j]);
    }
}

/* Peers that break off do so here: what they had sent has arrived by then. */
static void break_off(struct bench *b)
{
    for (unsigned i = 0; i < BENCH_PEERS; i++) {
        struct bench_peer *peer = &b->peers[i];
        if (peer->way != WAY_BREAK && peer->way != WAY_TWIST)
            continue;
        if (peer->hanging)
            stream_reset(peer->hanging, -EIO);
        peer->hanging = NULL;
    }
}

void bench_run(struct bench *b, unsigned ms)
{
    loop_run(&b->loop, ms);
    break_off(b);
}

void bench_outcome(void *context, const struct error *error)
{
    struct outcome *outcome = context;
    outcome->count++;
    if (error)
        outcome->error = *error;
}

void bench_wait(struct bench *b, const struct outcome *outcome)
{
    for (int i = 0; i < PATIENCE_MS / 5 && outcome->count == 0; i++)
        bench_run(b, 5);
    assert_int_equal(outcome->count, 1);
}

void bench_fetch(struct bench *b, const struct digest *digest, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    assert_int_equal(images_fetch(b->peers[0].images, digest, false, bench_outcome, outcome), 0);
    assert_int_equal(outcome->count, 0); /* from the loop, never from inside */
    bench_wait(b, outcome);
}

static bool has_blob(struct bench *b, unsigned peer, const struct digest *digest,
                     const struct buffer *expected)
{
    cleanup_buffer struct buffer blob = {0};
    int rc = blob_store_read(image_store_blobs(b->peers[peer].store), digest, 1 << 22, &blob, NULL);
    return rc == 0 && bytes_equal(buffer_view(&blob), buffer_view(expected));
}

bool bench_has(struct bench *b, unsigned peer, const struct sample *sample)
{
    bool has_all = has_blob(b, peer, &sample->digest, &sample->manifest) &&
                   has_blob(b, peer, &sample->config_digest, &sample->config);
    for (int i = 0; i < SAMPLE_LAYERS; i++)
        has_all = has_all && has_blob(b, peer, &sample->layer_digests[i], &sample->layers[i]);
    return has_all;
}

bool bench_has_blob(const struct bench *b, unsigned peer, const struct digest *digest)
{
    return blob_store_has(image_store_blobs(b->peers[peer].store), digest);
}

void bench_assert_no_rest(const struct bench *b, unsigned peer)
{
    char path[SCRATCH_PATH_BYTES + 8];
    const struct dirent *entry;
    snprintf(path, sizeof(path), "%s/tmp", b->peers[peer].scratch);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)))
        assert_int_equal(entry->d_name[0], '.');
    closedir(directory);
}

const char *bench_names(const struct bench_peer *peer, const struct digest *digest)
{
    char text[DIGEST_TEXT_BYTES];
    digest_format(digest, text);
    for (size_t i = peer->held_count; i-- > 0;)
        if (strcmp(peer->held[i], text) == 0)
            return peer->names[i];
    return NULL;
}
