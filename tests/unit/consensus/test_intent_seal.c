/* To whom the keys of secrets are sealed: who gets one, and who loses it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/consensus/intent_fixture.h"

static int set_secret(struct fixture *f, const char *name, const char *content, unsigned peer_count)
{
    struct command command = fixture_command(f, COMMAND_BLOB_SET);
    fixture_secret(&command.blob_set.blob, name, content, peer_count);
    int code = fixture_apply(f, &command);
    intent_blob_done(&command.blob_set.blob);
    return code;
}

static const struct intent_blob *secret(const struct fixture *f, const char *name)
{
    const struct intent_blob *blob = intent_blob_find(f->intent, SPEC_FILE_SECRET, name);
    assert_non_null(blob);
    return blob;
}

static bool holds(const struct fixture *f, const char *name, unsigned peer)
{
    struct id id = fixture_id(peer);
    return intent_wrap_find(secret(f, name), &id);
}

/* Breaks if what a client or an older peer proposes in the clear gets into the state. */
static void test_only_sealed(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 2);
    assert_int_equal(set_secret(&f, "key", "hush", 0), -EKEYREJECTED);
    assert_non_null(strstr(f.result.error.message, "sealed to no peer"));
    struct command command = fixture_command(&f, COMMAND_BLOB_SET);
    struct intent_blob *given = &command.blob_set.blob;
    fixture_secret(given, "key", "", 1);
    given->content.size = INTENT_SEAL_BYTES - 1; /* too short to be sealed */
    assert_int_equal(fixture_apply(&f, &command), -EKEYREJECTED);
    intent_blob_done(given);
    assert_int_equal(fixture_admit(&f, 2, "c"), 0); /* whom all know, and who holds nothing more */
    assert_int_equal(fixture_peer_state(&f, 2, INTENT_LEFT), 0);
    fixture_secret(given, "key", "hush", 1);
    given->wraps[0].peer = fixture_id(2);
    assert_int_equal(fixture_apply(&f, &command), -EKEYREJECTED);
    intent_blob_done(given);

    struct intent_blob blob;
    fixture_spec(&spec, "web");
    fixture_secret(&blob, "hello_key", "hush", 0);
    command = fixture_command(&f, COMMAND_DEPLOY);
    command.deploy = (struct command_deploy){"hello", &spec, 1, &blob, 1};
    assert_int_equal(fixture_apply(&f, &command), -EKEYREJECTED);
    assert_int_equal(f.intent->services.count, 0);
    assert_int_equal(f.intent->blobs.count, 0);
    intent_blob_done(&blob);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a secret is sealed to a stranger, an operator or one that has left. */
static void test_only_to_peers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 3);
    struct command command = fixture_command(&f, COMMAND_ADMIT);
    command.admit =
        (struct command_admit){.id = fixture_id(3), .name = "ann", .role = INTENT_ADMIN};
    assert_int_equal(fixture_apply(&f, &command), 0);
    assert_int_equal(fixture_peer_state(&f, 1, INTENT_LEFT), 0);
    assert_int_equal(set_secret(&f, "key", "hush", 5), 0); /* to the peers 0 to 4 */
    assert_int_equal(secret(&f, "key")->wrap_count, 2);
    assert_true(holds(&f, "key", 0) && holds(&f, "key", 2));
    uint64_t version = secret(&f, "key")->version;
    for (unsigned peer = 1; peer < 5; peer += 2) {
        assert_int_equal(fixture_seal(&f, "key", version, peer, false), 0);
        assert_true(f.result.unchanged);
    }
    assert_int_equal(secret(&f, "key")->wrap_count, 2);
    fixture_done(&f);
}

/* Breaks if a peer that a replica comes to gets no key, or one that has it gets another, which may
 * be one that opens nothing. */
static void test_seal(void **state)
{
    (void)state;
    struct fixture f;
    struct id zero = fixture_id(0);
    fixture_init(&f, 3);
    assert_int_equal(set_secret(&f, "key", "hush", 1), 0);
    uint64_t version = f.result.version;
    assert_int_equal(fixture_seal(&f, "key", version, 2, false), 0);
    assert_int_equal(fixture_seal(&f, "key", version, 1, false), 0);
    assert_false(f.result.unchanged);
    assert_int_equal(secret(&f, "key")->wrap_count, 3);
    assert_true(holds(&f, "key", 1) && holds(&f, "key", 2));
    assert_int_equal(fixture_seal(&f, "key", version, 0, false), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(intent_wrap_find(secret(&f, "key"), &zero)->box[0], 1); /* the first one */
    assert_int_equal(fixture_seal(&f, "key", version + 1, 1, false), 0);
    assert_true(f.result.unchanged); /* there is no such version */
    assert_int_equal(fixture_seal(&f, "none", version, 1, false), 0);
    assert_true(f.result.unchanged);

    assert_int_equal(fixture_seal(&f, "key", version, 1, true), 0);
    assert_false(holds(&f, "key", 1));
    assert_int_equal(fixture_seal(&f, "key", version, 1, true), 0);
    assert_true(f.result.unchanged);
    assert_int_equal(fixture_seal(&f, "key", version, 2, true), 0);
    assert_int_equal(fixture_seal(&f, "key", version, 0, true), 0);
    assert_true(f.result.unchanged && holds(&f, "key", 0)); /* nobody could read it any more */
    fixture_done(&f);
}

/* Breaks if a peer that left or was revoked could still read a secret out of a snapshot. */
static void test_gone(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 4);
    assert_int_equal(set_secret(&f, "a", "one", 4), 0);
    assert_int_equal(set_secret(&f, "b", "two", 2), 0);
    assert_int_equal(fixture_peer_state(&f, 1, INTENT_DRAINING), 0);
    assert_true(holds(&f, "a", 1)); /* it still runs what it ran */
    assert_int_equal(fixture_peer_state(&f, 1, INTENT_LEFT), 0);
    assert_int_equal(fixture_peer_state(&f, 2, INTENT_REVOKED), 0);
    assert_non_null(strstr(fixture_last_event(&f)->text, "could read secrets, 1 with"));
    assert_false(holds(&f, "a", 1) || holds(&f, "b", 1) || holds(&f, "a", 2));
    assert_int_equal(secret(&f, "a")->wrap_count, 2);
    assert_int_equal(secret(&f, "b")->wrap_count, 1);
    fixture_done(&f);
}

/* Breaks if the voters that a recovery revokes keep their keys. */
static void test_recovery(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 3);
    for (unsigned i = 0; i < 3; i++) {
        struct raft_changes changes = {.members = {{RAFT_ADD_VOTER, fixture_id(i)}}, .count = 1};
        intent_apply_changes(f.intent, ++f.index, 1, &changes);
    }
    assert_int_equal(set_secret(&f, "key", "hush", 3), 0);
    struct intent_recovery recovery = {.voter = fixture_id(2), .revokes_the_others = true};
    assert_int_equal(intent_recover(f.intent, &recovery), 0);
    assert_int_equal(secret(&f, "key")->wrap_count, 1);
    assert_true(holds(&f, "key", 2));
    fixture_done(&f);
}

static int read_back(const struct fixture *f)
{
    cleanup_buffer struct buffer bytes = {0};
    struct intent *read;
    assert_int_equal(intent_write(f->intent, &bytes), 0);
    int rc = intent_read(buffer_view(&bytes), &read);
    if (rc == 0) {
        fixture_assert_same(f->intent, read);
        intent_free(read);
    }
    return rc;
}

/* Breaks if a snapshot loses a key, or brings one for a peer that may have none. */
static void test_snapshot(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 3);
    assert_int_equal(set_secret(&f, "key", "hush", 2), 0);
    assert_int_equal(read_back(&f), 0);
    struct intent_blob *blob = (struct intent_blob *)secret(&f, "key");
    struct id stranger = fixture_id(1);
    stranger.bytes[5] = 0xee;
    blob->wraps[1].peer = stranger;
    assert_int_equal(read_back(&f), -EBADMSG);
    blob->wraps[1].peer = fixture_id(1);
    intent_peer_find(f.intent, &blob->wraps[1].peer)->state = INTENT_LEFT;
    assert_int_equal(read_back(&f), -EBADMSG);
    blob->wrap_count = 1;
    assert_int_equal(read_back(&f), 0);
    blob->content.size = INTENT_SEAL_BYTES - 1;
    assert_int_equal(read_back(&f), -EBADMSG);
    fixture_done(&f);
}

/* Breaks if keys can fill up the state. */
static void test_bounds(void **state)
{
    (void)state;
    struct fixture f;
    struct intent_wrap one;
    fixture_init(&f, 2);
    assert_int_equal(set_secret(&f, "key", "hush", 1), 0);
    uint64_t version = f.result.version;
    struct intent_blob *blob = (struct intent_blob *)secret(&f, "key");
    one = blob->wraps[0];
    free(blob->wraps);
    blob->wraps = calloc(INTENT_WRAPS_MAX, sizeof(*blob->wraps));
    assert_non_null(blob->wraps);
    blob->wraps[INTENT_WRAPS_MAX - 1] = one; /* the others are of ids that nobody has */
    blob->wrap_count = INTENT_WRAPS_MAX;
    assert_int_equal(fixture_seal(&f, "key", version, 1, false), -ENOSPC);
    assert_int_equal(set_secret(&f, "more", "hush", 1), -ENOSPC);
    blob->wraps[INTENT_WRAPS_MAX - 2] = one;
    blob->wrap_count--;
    assert_int_equal(fixture_seal(&f, "key", version, 1, false), 0);
    assert_int_equal(blob->wrap_count, INTENT_WRAPS_MAX);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_sealed), cmocka_unit_test(test_only_to_peers),
        cmocka_unit_test(test_seal),        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_recovery),    cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
