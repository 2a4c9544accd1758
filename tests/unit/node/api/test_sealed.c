#include <errno.h>
#include <stdio.h>

#include "node/api/sealed.h"
#include "node/peer/seal.h"
#include "tests/unit/node/control/agent_bench.h"

void __wrap_api_forward(struct api_call *call, const struct id *peer, struct bytes params);

static const char canary[] = "quicksilver-4711";

static struct {
    unsigned count;
    struct id to;
} forwarded;

void __wrap_api_forward(struct api_call *call, const struct id *peer, struct bytes params)
{
    (void)call;
    (void)params;
    forwarded.count++;
    forwarded.to = *peer;
}

/* Peer 0 votes, peer 1 does not. */
static void peer_of(struct fleet *f, unsigned number, struct peer *ret)
{
    *ret = (struct peer){.identity = f->peers[number].identity,
                         .cluster = f->root.id,
                         .agent = f->peers[number].agent};
}

static void fill(struct intent_blob *blob, uint8_t kind, const char *content)
{
    *blob = (struct intent_blob){.name = "key", .kind = kind};
    assert_int_equal(buffer_append_text(&blob->content, content), 0);
}

static bool seal(struct peer *peer, bool is_passed_on, const char *content, struct intent_blob *ret)
{
    struct api_call call = {.peer = peer, .is_passed_on = is_passed_on};
    fill(ret, SPEC_FILE_SECRET, content);
    return api_seal(&call, (struct bytes){0}, ret, 1);
}

/* Has the cluster agree on what was sealed. */
static void set(struct fleet *f, const struct intent_blob *blob)
{
    struct command command = fleet_command(COMMAND_BLOB_SET);
    command.blob_set.blob = *blob;
    fleet_agree(f, 0, &command);
    fleet_run(f, 2000);
}

static const struct intent_blob *present(const struct peer *peer)
{
    return intent_blob_find(agent_intent(peer->agent), SPEC_FILE_SECRET, "key");
}

/* Breaks if a secret is proposed in the clear, or to others than those who take part in Raft; or a
 * config is not as it was given. */
static void test_seals(void **state)
{
    (void)state;
    struct fleet f;
    struct peer peer;
    struct intent_blob blobs[2];
    cleanup_buffer struct buffer opened = {0};
    fleet_start(&f, 2, 1);
    for (unsigned i = 0; i < 2; i++) {
        peer_of(&f, i, &peer);
        struct api_call call = {.peer = &peer};
        fill(&blobs[0], SPEC_FILE_CONFIG, "plain");
        fill(&blobs[1], SPEC_FILE_SECRET, canary);
        assert_true(api_seal(&call, (struct bytes){0}, blobs, 2));
        assert_true(bytes_equal(buffer_view(&blobs[0].content), bytes_of_text("plain")));
        assert_null(memmem(blobs[1].content.bytes, blobs[1].content.size, canary, 4));
        assert_int_equal(blobs[1].wrap_count, 1);
        assert_true(id_equal(&blobs[1].wraps[0].peer, &f.peers[0].identity.id));
        intent_blob_done(&blobs[0]);
        if (i == 0)
            intent_blob_done(&blobs[1]);
    }
    assert_int_equal(seal_open(&blobs[1], &f.root.id, &f.peers[0].identity, &opened), 0);
    assert_true(bytes_equal(buffer_view(&opened), bytes_of_text(canary)));
    intent_blob_done(&blobs[1]);
    fleet_done(&f);
}

/* Breaks if a deploy of what is there already counts as a change, or one of something else does
 * not.
 */
static void test_unchanged(void **state)
{
    (void)state;
    struct fleet f;
    struct peer peer;
    struct intent_blob blob;
    fleet_start(&f, 2, 1);
    peer_of(&f, 0, &peer);
    assert_true(seal(&peer, false, canary, &blob));
    set(&f, &blob);
    intent_blob_done(&blob);
    uint64_t version = present(&peer)->version;

    assert_true(seal(&peer, false, canary, &blob));
    assert_true(bytes_equal(buffer_view(&blob.content), buffer_view(&present(&peer)->content)));
    set(&f, &blob);
    intent_blob_done(&blob);
    assert_int_equal(present(&peer)->version, version);

    assert_true(seal(&peer, false, "quicksilver-4712", &blob));
    set(&f, &blob);
    intent_blob_done(&blob);
    assert_true(present(&peer)->version > version);
    fleet_done(&f);
}

/* Breaks if a peer that can't open a secret takes each deploy for a change, sends calls to and fro,
 * or keeps in memory what it passed on. */
static void test_passed_on(void **state)
{
    (void)state;
    struct fleet f;
    struct peer voter, other;
    struct intent_blob blob;
    fleet_start(&f, 2, 1);
    peer_of(&f, 0, &voter);
    peer_of(&f, 1, &other);
    assert_true(seal(&voter, false, canary, &blob));
    set(&f, &blob);
    intent_blob_done(&blob);
    assert_non_null(present(&other));

    assert_false(seal(&other, false, canary, &blob));
    assert_int_equal(forwarded.count, 1);
    assert_true(id_equal(&forwarded.to, &f.peers[0].identity.id));
    assert_null(blob.content.bytes);
    assert_true(seal(&other, true, canary, &blob)); /* whoever passed it on knew no better */
    assert_int_equal(forwarded.count, 1);
    assert_int_equal(blob.wrap_count, 1);
    intent_blob_done(&blob);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_unchanged),
        cmocka_unit_test(test_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
