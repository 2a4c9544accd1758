#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "node/peer/seal.h"

enum { PEERS = 3 };

static const struct id cluster = {{0xcc}};
static const char canary[] = "quicksilver-4711";

struct bench {
    struct identity peers[PEERS];
    struct id ids[PEERS];
    struct intent_blob blob;
};

static void fill(struct intent_blob *blob, const char *content)
{
    *blob = (struct intent_blob){.name = "shop_key", .kind = SPEC_FILE_SECRET};
    assert_int_equal(buffer_append_text(&blob->content, content), 0);
}

/* Sealed to the first two peers. */
static void bench_init(struct bench *bench)
{
    for (uint8_t i = 0; i < PEERS; i++) {
        uint8_t seed[IDENTITY_SEED_BYTES] = {i + 1};
        identity_init(&bench->peers[i], seed);
        bench->ids[i] = bench->peers[i].id;
    }
    fill(&bench->blob, canary);
    assert_int_equal(seal_blob(&bench->blob, &cluster, bench->ids, 2), 0);
}

static void bench_done(struct bench *bench)
{
    for (size_t i = 0; i < PEERS; i++)
        identity_done(&bench->peers[i]);
    intent_blob_done(&bench->blob);
}

static void assert_opens(const struct bench *bench, size_t peer)
{
    struct buffer content = {0};
    assert_int_equal(seal_open(&bench->blob, &cluster, &bench->peers[peer], &content), 0);
    assert_true(bytes_equal(buffer_view(&content), bytes_of_text(canary)));
    seal_wipe(&content);
    assert_null(content.bytes);
}

static int open_as(const struct bench *bench, const struct id *id, size_t peer)
{
    cleanup_buffer struct buffer content = {0};
    int rc = seal_open(&bench->blob, id, &bench->peers[peer], &content);
    if (rc < 0)
        assert_int_equal(content.size, 0);
    return rc;
}

/* Breaks if a secret can be read where it is stored, or by a peer that it is not sealed to. */
static void test_sealed(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    assert_int_equal(bench.blob.content.size, strlen(canary) + INTENT_SEAL_BYTES);
    assert_int_equal(intent_blob_size(&bench.blob), strlen(canary));
    assert_null(memmem(bench.blob.content.bytes, bench.blob.content.size, canary, 4));
    assert_int_equal(bench.blob.wrap_count, 2);
    assert_true(id_compare(&bench.blob.wraps[0].peer, &bench.blob.wraps[1].peer) < 0);
    assert_opens(&bench, 0);
    assert_opens(&bench, 1);
    assert_int_equal(open_as(&bench, &cluster, 2), -EAGAIN);
    bench_done(&bench);
}

/* Breaks if two secrets with one content can be told to be the same, or share a key. */
static void test_never_the_same(void **state)
{
    (void)state;
    struct bench bench;
    struct intent_blob again;
    bench_init(&bench);
    fill(&again, canary);
    assert_int_equal(seal_blob(&again, &cluster, bench.ids, 2), 0);
    assert_false(bytes_equal(buffer_view(&again.content), buffer_view(&bench.blob.content)));
    memcpy(again.wraps, bench.blob.wraps, 2 * sizeof(*again.wraps));
    cleanup_buffer struct buffer content = {0};
    assert_int_equal(seal_open(&again, &cluster, &bench.peers[0], &content), -EBADMSG);
    intent_blob_done(&again);
    bench_done(&bench);
}

/* Breaks if a sealed secret opens under another name, in another cluster or after it was changed.
 */
static void test_bound(void **state)
{
    (void)state;
    struct bench bench;
    struct id other = {{0xcd}};
    bench_init(&bench);
    assert_int_equal(open_as(&bench, &other, 0), -EBADMSG);
    bench.blob.name[0] ^= 1;
    assert_int_equal(open_as(&bench, &cluster, 0), -EBADMSG);
    bench.blob.name[0] ^= 1;
    for (size_t i = 0; i < bench.blob.content.size; i++) {
        bench.blob.content.bytes[i] ^= 1;
        assert_int_equal(open_as(&bench, &cluster, 0), -EBADMSG);
        bench.blob.content.bytes[i] ^= 1;
    }
    for (size_t i = 0; i < INTENT_WRAP_BYTES; i++) {
        bench.blob.wraps[0].box[i] ^= 1;
        size_t peer = id_equal(&bench.blob.wraps[0].peer, &bench.ids[0]) ? 0 : 1;
        assert_int_equal(open_as(&bench, &cluster, peer), -EBADMSG);
        bench.blob.wraps[0].box[i] ^= 1;
    }
    for (size_t size = 0; size < bench.blob.content.size; size++) {
        struct intent_blob cut = bench.blob;
        cleanup_buffer struct buffer content = {0};
        cut.content.size = size;
        assert_int_equal(seal_open(&cut, &cluster, &bench.peers[0], &content), -EBADMSG);
    }
    assert_opens(&bench, 0);
    bench_done(&bench);
}

/* Breaks if a holder can't seal the key to one more peer, or one without the key seems to. */
static void test_wrap(void **state)
{
    (void)state;
    struct bench bench;
    struct intent_wrap wrap;
    struct id nobody = {{0}};
    bench_init(&bench);
    assert_int_equal(seal_wrap(&bench.blob, &bench.peers[2], &bench.ids[2], &wrap), -EAGAIN);
    assert_int_equal(seal_wrap(&bench.blob, &bench.peers[0], &nobody, &wrap), -EKEYREJECTED);
    assert_int_equal(seal_wrap(&bench.blob, &bench.peers[0], &bench.ids[2], &wrap), 0);
    bench.blob.wraps[0] = wrap;
    bench.blob.wrap_count = 1;
    assert_opens(&bench, 2);
    bench_done(&bench);
}

/* Breaks if a secret without a byte, or one that can be sealed to nobody, is left in the clear. */
static void test_edges(void **state)
{
    (void)state;
    struct bench bench;
    struct intent_blob blob;
    struct id nobody = {{0}};
    cleanup_buffer struct buffer content = {0};
    bench_init(&bench);
    fill(&blob, "");
    assert_int_equal(seal_blob(&blob, &cluster, bench.ids, 1), 0);
    assert_int_equal(blob.content.size, INTENT_SEAL_BYTES);
    assert_int_equal(seal_open(&blob, &cluster, &bench.peers[0], &content), 0);
    assert_int_equal(content.size, 0);
    intent_blob_done(&blob);
    fill(&blob, canary);
    assert_int_equal(seal_blob(&blob, &cluster, &nobody, 1), -EKEYREJECTED);
    assert_null(blob.content.bytes);
    assert_int_equal(blob.wrap_count, 0);
    fill(&blob, canary);
    assert_int_equal(seal_blob(&blob, &cluster, NULL, 0), -EKEYREJECTED);
    assert_null(blob.content.bytes);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed), cmocka_unit_test(test_never_the_same),
        cmocka_unit_test(test_bound),  cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_edges),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
