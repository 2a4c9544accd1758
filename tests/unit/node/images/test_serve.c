#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/node/images/images_bench.h"

/* Somebody who asks for a blob, and reads as it likes. */
struct asker {
    struct mux_stream *stream;
    struct buffer received;
    bool is_slow; /* gives nothing back by itself */
    unsigned ends, closes;
    int reason;
};

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct asker *asker = context;
    assert_int_equal(buffer_append(&asker->received, data.data, data.size), 0);
    if (!asker->is_slow)
        stream_consumed(stream, data.size);
}

static void on_end(void *context, struct mux_stream *stream)
{
    struct asker *asker = context;
    (void)stream;
    asker->ends++;
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct asker *asker = context;
    (void)stream;
    asker->stream = NULL;
    asker->closes++;
    asker->reason = reason;
}

static const struct stream_handler handler = {
    .on_data = on_data, .on_end = on_end, .on_close = on_close};

static void ask(struct bench *b, struct bytes header, struct asker *asker)
{
    const struct bench_peer *server = &b->peers[1];
    assert_int_equal(links_open_stream(b->peers[0].links, &server->party.identity.id,
                                       &server->address, STREAM_BLOB, header, &handler, asker,
                                       &asker->stream),
                     0);
    stream_end(asker->stream);
}

static void wait_closed(struct bench *b, const struct asker *asker)
{
    for (int i = 0; i < 1000 && asker->closes == 0; i++)
        bench_run(b, 5);
    assert_int_equal(asker->closes, 1);
}

/* A blob of that many bytes at the serving peer; its digest's text. */
static struct bytes put(struct bench *b, size_t size, struct buffer *ret_bytes, char *ret_text)
{
    struct digest digest;
    buffer_clear(ret_bytes);
    assert_int_equal(buffer_reserve(ret_bytes, size + 1), 0);
    for (size_t i = 0; i < size; i++)
        ret_bytes->bytes[i] = (uint8_t)(i * 13 + i / 255);
    ret_bytes->size = size;
    struct blob_store *blobs = image_store_blobs(b->peers[1].store);
    assert_int_equal(blob_store_put(blobs, ret_bytes->bytes, size, &digest, NULL), 0);
    digest_format(&digest, ret_text);
    return bytes_of_text(ret_text);
}

/* Breaks if a blob of any size is not sent as it is, up to its end. */
static void test_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,
                                   1,
                                   MUX_CHUNK_BYTES - 1,
                                   MUX_CHUNK_BYTES * 4,
                                   MUX_CHUNK_BYTES * 4 + 1,
                                   MUX_WINDOW_BYTES * 3 + 17};
    struct bench b;
    cleanup_buffer struct buffer blob = {0};
    char text[DIGEST_TEXT_BYTES];
    bench_start(&b);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct asker asker = {0};
        ask(&b, put(&b, sizes[i], &blob, text), &asker);
        wait_closed(&b, &asker);
        assert_int_equal(asker.reason, 0);
        assert_int_equal(asker.ends, 1);
        assert_true(bytes_equal(buffer_view(&asker.received), buffer_view(&blob)));
        buffer_done(&asker.received);
    }
    bench_done(&b);
}

/* Breaks if a slow reader makes the server read ahead without bound, or is not served to the end.
 */
static void test_slow(void **state)
{
    (void)state;
    struct bench b;
    cleanup_buffer struct buffer blob = {0};
    char text[DIGEST_TEXT_BYTES];
    struct asker slow = {.is_slow = true}, fast = {0};
    bench_start(&b);
    struct bytes header = put(&b, 4 * MUX_WINDOW_BYTES, &blob, text);
    ask(&b, header, &slow);
    bench_run(&b, 200);
    assert_int_equal(slow.received.size, MUX_WINDOW_BYTES);
    ask(&b, header, &fast); /* it does not hold up others */
    wait_closed(&b, &fast);
    assert_int_equal(fast.received.size, blob.size);
    slow.is_slow = false;
    stream_consumed(slow.stream, slow.received.size);
    wait_closed(&b, &slow);
    assert_true(bytes_equal(buffer_view(&slow.received), buffer_view(&blob)));
    buffer_done(&slow.received);
    buffer_done(&fast.received);
    bench_done(&b);
}

/* Breaks if what is not there, or no digest, is not refused at once. */
static void test_refused(void **state)
{
    (void)state;
    struct bench b;
    struct digest digest;
    char text[DIGEST_TEXT_BYTES];
    bench_start(&b);
    digest_of("nothing", 7, &digest);
    digest_format(&digest, text);
    struct asker asker = {0};
    ask(&b, bytes_of_text(text), &asker);
    wait_closed(&b, &asker);
    assert_int_equal(asker.reason, -ENOENT);
    asker = (struct asker){0};
    text[10] = '/';
    ask(&b, bytes_of_text(text), &asker);
    wait_closed(&b, &asker);
    assert_int_equal(asker.reason, -EBADMSG);
    asker = (struct asker){0};
    ask(&b, bytes_of_text("../../etc/passwd"), &asker);
    wait_closed(&b, &asker);
    assert_int_equal(asker.reason, -EBADMSG);
    bench_done(&b);
}

static size_t open_files(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        char path[32];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        count += access(path, F_OK) == 0;
    }
    return count;
}

/* Breaks if an asker that goes away in the middle leaves the blob's file open. */
static void test_asker_goes(void **state)
{
    (void)state;
    struct bench b;
    cleanup_buffer struct buffer blob = {0};
    char text[DIGEST_TEXT_BYTES];
    bench_start(&b);
    struct bytes header = put(&b, 4 * MUX_WINDOW_BYTES, &blob, text);
    struct asker first = {0};
    ask(&b, header, &first); /* the link and the pool's threads are there from now on */
    wait_closed(&b, &first);
    buffer_done(&first.received);
    size_t before = open_files();
    for (unsigned i = 0; i < 8; i++) {
        struct asker asker = {.is_slow = true};
        ask(&b, header, &asker);
        bench_run(&b, i * 3);
        stream_reset(asker.stream, -ECANCELED);
        buffer_done(&asker.received);
    }
    bench_run(&b, 200);
    assert_int_equal(open_files(), before);
    struct asker last = {.is_slow = true};
    ask(&b, header, &last);
    bench_run(&b, 50);
    bench_done(&b); /* and with one under way */
    buffer_done(&last.received);
}

/* The same, from an offset on. */
static struct bytes from_offset(struct bytes text, uint64_t offset, uint8_t *ret)
{
    memcpy(ret, text.data, text.size);
    for (size_t i = 0; i < 8; i++)
        ret[text.size + i] = (uint8_t)(offset >> (56 - 8 * i));
    return (struct bytes){ret, text.size + 8};
}

/* Breaks if what broke off can't be gone on with, or an offset reaches behind the end. */
static void test_offsets(void **state)
{
    (void)state;
    enum { SIZE = MUX_CHUNK_BYTES * 5 };
    static const uint64_t offsets[] = {0,    1,        MUX_CHUNK_BYTES * 4, SIZE - 1,
                                       SIZE, SIZE + 1, UINT64_MAX};
    struct bench b;
    cleanup_buffer struct buffer blob = {0};
    char text[DIGEST_TEXT_BYTES];
    uint8_t header[BLOB_HEADER_BYTES_MAX];
    bench_start(&b);
    struct bytes digest = put(&b, SIZE, &blob, text);
    for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
        struct asker asker = {0};
        ask(&b, from_offset(digest, offsets[i], header), &asker);
        wait_closed(&b, &asker);
        if (offsets[i] > SIZE) {
            assert_int_equal(asker.reason, offsets[i] == UINT64_MAX ? -EBADMSG : -ERANGE);
            continue;
        }
        assert_int_equal(asker.reason, 0);
        struct bytes rest = {blob.bytes + offsets[i], SIZE - offsets[i]};
        assert_true(bytes_equal(buffer_view(&asker.received), rest));
        buffer_done(&asker.received);
    }
    bench_done(&b);
}

/* Breaks if one peer can have more large blobs at once than is its share, if it is refused small
 * ones for that, or if those who take nothing keep the others out. */
static void test_turns(void **state)
{
    (void)state;
    struct bench b;
    cleanup_buffer struct buffer blob = {0}, small = {0};
    char text[DIGEST_TEXT_BYTES], small_text[DIGEST_TEXT_BYTES];
    struct asker slow[IMAGES_SERVINGS_PER_PEER] = {{.is_slow = true}, {.is_slow = true}};
    struct asker third = {0}, last = {0}, little = {0};
    bench_start(&b);
    struct bytes header = put(&b, 8 * MUX_WINDOW_BYTES, &blob, text);
    struct bytes small_header = put(&b, 100, &small, small_text);
    for (size_t i = 0; i < IMAGES_SERVINGS_PER_PEER; i++) {
        ask(&b, header, &slow[i]);
        for (int turn = 0; turn < 1000 && slow[i].received.size < MUX_WINDOW_BYTES; turn++)
            bench_run(&b, 1);
    }
    ask(&b, header, &third);
    wait_closed(&b, &third);
    assert_int_equal(third.reason, -EBUSY);
    ask(&b, small_header, &little);
    wait_closed(&b, &little);
    assert_int_equal(little.received.size, 100);
    bench_run(&b, 2 * BENCH_SILENCE_MS);
    ask(&b, header, &last);
    wait_closed(&b, &last);
    assert_int_equal(last.received.size, blob.size);
    for (size_t i = 0; i < IMAGES_SERVINGS_PER_PEER; i++) {
        wait_closed(&b, &slow[i]);
        assert_int_equal(slow[i].reason, -ETIMEDOUT);
        buffer_done(&slow[i].received);
    }
    buffer_done(&last.received);
    buffer_done(&little.received);
    bench_done(&b);
}

static void ask_share(struct bench *b, const void *wanted, size_t size, struct asker *asker)
{
    const struct bench_peer *server = &b->peers[1];
    assert_int_equal(links_open_stream(b->peers[0].links, &server->party.identity.id,
                                       &server->address, STREAM_SHARE, (struct bytes){NULL, 0},
                                       &handler, asker, &asker->stream),
                     0);
    assert_int_equal(stream_write(asker->stream, wanted, size), 0);
    stream_end(asker->stream);
}

/* Breaks if a peer does not say which blobs it has, says more than was asked, or takes questions
 * without bound. */
static void test_share(void **state)
{
    (void)state;
    enum { COUNT_MAX = IMAGE_LAYERS_MAX + 1 };
    struct bench b;
    cleanup_buffer struct buffer blob = {0};
    char text[DIGEST_TEXT_BYTES];
    struct digest here;
    uint8_t wanted[(COUNT_MAX + 1) * DIGEST_BYTES] = {0};
    struct asker asker = {0}, none = {0}, many = {0};
    bench_start(&b);
    put(&b, 10, &blob, text);
    assert_int_equal(digest_parse(text, &here), 0);
    memcpy(wanted + DIGEST_BYTES, here.bytes, DIGEST_BYTES);
    ask_share(&b, wanted, COUNT_MAX * DIGEST_BYTES - 1, &asker); /* the last one is cut off */
    wait_closed(&b, &asker);
    assert_int_equal(asker.reason, 0);
    assert_int_equal(asker.received.size, DIGEST_BYTES);
    assert_memory_equal(asker.received.bytes, here.bytes, DIGEST_BYTES);
    ask_share(&b, wanted, 0, &none);
    wait_closed(&b, &none);
    assert_int_equal(none.received.size, 0);
    ask_share(&b, wanted, sizeof(wanted), &many);
    wait_closed(&b, &many);
    assert_int_equal(many.reason, -EMSGSIZE);
    buffer_done(&asker.received);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),   cmocka_unit_test(test_slow),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_asker_goes),
        cmocka_unit_test(test_offsets), cmocka_unit_test(test_turns),
        cmocka_unit_test(test_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
