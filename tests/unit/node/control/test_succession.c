#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/command.h"
#include "node/control/succession.h"
#include "tests/unit/consensus/failing_memory.h"
#include "tests/unit/node/transport/party.h"

enum { KEYS = 6 };

/* The keys, an intent that grows by sealed changes, and what a peer knew at some time. */
struct line {
    struct identity root, keys[KEYS];
    struct intent *intent, *known;
    uint64_t index;
};

static struct intent *copy(const struct intent *intent)
{
    cleanup_buffer struct buffer bytes = {0};
    struct intent *ret;
    assert_int_equal(intent_write(intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &ret), 0);
    return ret;
}

static struct raft_changes change(const struct line *l, const char *text)
{
    struct raft_changes changes = {.transition = RAFT_TRANSITION_AUTO};
    for (; *text; text += 2)
        changes.members[changes.count++] = (struct raft_change){
            text[0] == '+' ? RAFT_ADD_VOTER : RAFT_REMOVE, l->keys[text[1] - '0'].id};
    return changes;
}

/* Applies "+3-0" under the seal of one key; a joint phase stays open. */
static void seal_open(struct line *l, unsigned signer, const char *text)
{
    struct raft_changes changes = change(l, text);
    assert_int_equal(succession_seal(l->intent, ++l->index, &l->keys[signer], &changes), 0);
    intent_apply_changes(l->intent, l->index, 1, &changes);
}

static void settle(struct line *l)
{
    struct raft_changes leave = {.transition = RAFT_TRANSITION_AUTO};
    intent_apply_changes(l->intent, ++l->index, 1, &leave);
    assert_false(raft_configuration_is_joint(&l->intent->configuration));
}

static void seal(struct line *l, unsigned signer, const char *text)
{
    seal_open(l, signer, text);
    if (raft_configuration_is_joint(&l->intent->configuration))
        settle(l);
}

static void admit(struct line *l)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct command command = {.head = {.type = COMMAND_ADMIT}, .admit.id = l->keys[i].id};
        struct intent_result result;
        cleanup_buffer struct buffer bytes = {0};
        snprintf(command.admit.name, sizeof(command.admit.name), "p%u", i);
        assert_int_equal(command_encode(&command, &bytes), 0);
        assert_int_equal(intent_apply(l->intent, ++l->index, 1, buffer_view(&bytes), &result), 0);
        assert_int_equal(result.code, 0);
    }
}

/* Keys 0, 1 and 2 vote, and so is it known. */
static void start(struct line *l)
{
    *l = (struct line){0};
    party_identity(&l->root, 77);
    for (int i = 0; i < KEYS; i++)
        party_identity(&l->keys[i], (uint8_t)(i + 1));
    l->intent = intent_new(&l->root.id);
    assert_non_null(l->intent);
    admit(l);
    struct raft_changes found = change(l, "+0");
    intent_apply_changes(l->intent, ++l->index, 1, &found);
    seal(l, 0, "+1+2");
    l->known = copy(l->intent);
}

static void done(struct line *l)
{
    intent_free(l->intent);
    intent_free(l->known);
}

static void know_now(struct line *l)
{
    intent_free(l->known);
    l->known = copy(l->intent);
}

static int check(const struct line *l, unsigned signer)
{
    return succession_check(l->known, l->intent, &l->keys[signer].id);
}

/* Breaks if a peer that missed every voter's replacement can't follow, at whatever step it was. */
static void test_followed(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    assert_int_equal(l.intent->succession_count, 1); /* the founding has none */
    for (unsigned signer = 0; signer < KEYS; signer++)
        assert_int_equal(check(&l, signer), signer < 3 ? 0 : -EKEYREJECTED);
    seal(&l, 1, "+3-0");
    seal(&l, 3, "+4-1+5-2");
    for (unsigned signer = 0; signer < KEYS; signer++)
        assert_int_equal(check(&l, signer), signer < 3 ? -EKEYREJECTED : 0);
    know_now(&l);
    assert_int_equal(check(&l, 4), 0);
    seal(&l, 5, "-3");
    assert_int_equal(check(&l, 4), 0);
    assert_int_equal(check(&l, 3), -EKEYREJECTED);
    done(&l);
}

/* Breaks if heads of old or new voters are refused within a joint phase, or who went counts after.
 */
static void test_joint(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    seal_open(&l, 0, "+3-0");
    assert_true(raft_configuration_is_joint(&l.intent->configuration));
    assert_int_equal(check(&l, 0), 0);
    assert_int_equal(check(&l, 3), 0);
    know_now(&l); /* who knows the open phase follows its end, which has no seal */
    struct intent *open = copy(l.intent);
    settle(&l);
    assert_int_equal(check(&l, 3), 0);
    assert_int_equal(check(&l, 0), -EKEYREJECTED);
    know_now(&l); /* who knows the end does not go back */
    assert_int_equal(succession_check(l.known, open, &l.keys[3].id), -EKEYREJECTED);
    intent_free(open);
    seal(&l, 3, "+4-1");
    assert_int_equal(check(&l, 4), 0);
    done(&l);
}

/* Breaks if somebody who does not vote can put himself into the line. */
static void test_usurper(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    seal(&l, 4, "+4-0-1-2"); /* he seals himself */
    assert_int_equal(check(&l, 4), -EKEYREJECTED);
    assert_int_equal(check(&l, 0), -EKEYREJECTED);
    done(&l);

    start(&l);
    seal(&l, 0, "+3-0");
    seal(&l, 0, "+4-1"); /* he voted once */
    assert_int_equal(check(&l, 4), -EKEYREJECTED);
    done(&l);

    start(&l);
    struct raft_changes plain = change(&l, "+4"); /* nobody sealed it */
    intent_apply_changes(l.intent, ++l.index, 1, &plain);
    assert_int_equal(check(&l, 0), -EKEYREJECTED);
    done(&l);

    start(&l); /* the line says one thing, the configuration another */
    l.intent->configuration = (struct raft_configuration){
        .members = {{.id = l.keys[4].id, .parts = RAFT_VOTER}}, .count = 1};
    assert_int_equal(check(&l, 4), -EKEYREJECTED);
    l.intent->succession_count = 0;
    l.intent->configuration_index = l.index;
    assert_int_equal(check(&l, 4), -EKEYREJECTED);
    done(&l);
}

/* Breaks if a seal is good for anything but the one change that it was made for. */
static void test_seal_is_bound(void **state)
{
    (void)state;
    struct line l;
    for (int what = 0; what < 6; what++) {
        start(&l);
        seal(&l, 0, "+3");
        struct intent_succession *last = &l.intent->successions[l.intent->succession_count - 1];
        struct intent *known = l.known;
        assert_int_equal(check(&l, 3), 0);
        if (what == 0) {
            last->index++;
            l.intent->configuration_index++;
        } else if (what == 1) {
            last->from--;
            last[-1].index--;
            known->configuration_index--;
        } else if (what == 2) {
            last->configuration.members[0].id.bytes[0] ^= 1;
            l.intent->configuration.members[0].id.bytes[0] ^= 1;
        } else if (what == 3) {
            known->cluster.bytes[0] ^= 1;
        } else if (what == 4) {
            last->seal.signature[5] ^= 1;
        } else {
            last->seal.signer = l.keys[1].id;
        }
        for (unsigned signer = 0; signer < KEYS; signer++)
            assert_int_equal(check(&l, signer), -EKEYREJECTED);
        done(&l);
    }
}

/* Breaks if a stolen voter goes on to be believed once it was revoked, before it is replaced. */
static void test_revoked(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    intent_peer_find(l.known, &l.keys[0].id)->state = INTENT_REVOKED;
    assert_int_equal(check(&l, 1), 0);
    assert_int_equal(check(&l, 0), -EKEYREJECTED); /* whatever the newer one says of him */
    seal(&l, 0, "+4");
    assert_int_equal(check(&l, 4), -EKEYREJECTED);
    done(&l);

    start(&l);
    intent_peer_find(l.intent, &l.keys[0].id)->state = INTENT_REVOKED;
    assert_int_equal(check(&l, 0), -EKEYREJECTED);
    assert_int_equal(check(&l, 1), 0);
    done(&l);
}

/* Breaks if the line grows without bound, or a peer that it no longer reaches back to believes. */
static void test_too_far(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    uint64_t first = l.intent->configuration_index;
    for (int i = 0; i < INTENT_SUCCESSIONS_MAX; i++)
        seal(&l, 0, i % 2 ? "-3" : "+3");
    assert_int_equal(l.intent->succession_count, INTENT_SUCCESSIONS_MAX);
    assert_int_equal(l.intent->successions[0].from, first);
    assert_int_equal(check(&l, 1), 0);
    seal(&l, 0, "+3");
    assert_int_equal(l.intent->succession_count, INTENT_SUCCESSIONS_MAX);
    assert_int_equal(check(&l, 1), -ESTALE);
    know_now(&l);
    assert_int_equal(check(&l, 1), 0);
    done(&l);
}

/* Breaks if a change that is not possible is sealed, or want of memory is taken for a lie. */
static void test_failures(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    struct raft_changes none_left = change(&l, "-0-1-2"), good = change(&l, "+3");
    assert_int_equal(succession_seal(l.intent, l.index + 1, &l.keys[0], &none_left), -EINVAL);
    assert_true(id_is_none(&none_left.seal.signer));
    memory_fail_after(0);
    assert_int_equal(succession_seal(l.intent, l.index + 1, &l.keys[0], &good), -ENOMEM);
    memory_pause();
    assert_true(id_is_none(&good.seal.signer));
    seal(&l, 0, "+3");
    memory_fail_after(0);
    int rc = check(&l, 0);
    memory_pause();
    assert_int_equal(rc, -ENOMEM);
    assert_int_equal(check(&l, 0), 0);
    done(&l);
}

/* A recovery with key `voter` alone, sealed by one of the keys. */
static int recover_sealed(struct line *l, unsigned voter, const struct identity *sealer)
{
    struct intent_recovery recovery = {.voter = l->keys[voter].id, .actor = "ann"};
    assert_int_equal(succession_recovery_seal(&l->root.id, l->intent->epoch + 1, &recovery.voter,
                                              sealer, &recovery.seal),
                     0);
    int rc = succession_recovery_check(l->intent, &recovery.voter, &recovery.seal);
    assert_int_equal(intent_recover(l->intent, &recovery), 0);
    l->index = l->intent->applied_index;
    return rc;
}

static void set_key(struct line *l, unsigned key, uint8_t role, uint8_t state)
{
    struct intent_peer *peer = intent_peer_find(l->intent, &l->keys[key].id);
    peer->role = role;
    peer->state = state;
    know_now(l);
}

/* Breaks if those who know only the epoch before can't follow a voter that recovers, or follow one
 * who never voted: one stolen machine could take the cluster over. */
static void test_recovery(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    assert_int_equal(recover_sealed(&l, 1, &l.keys[1]), 0);
    assert_int_equal(l.intent->epoch, 2);
    for (unsigned signer = 0; signer < KEYS; signer++)
        assert_int_equal(check(&l, signer), signer == 1 ? 0 : -EKEYREJECTED);
    seal(&l, 1, "+4+5");
    assert_int_equal(check(&l, 5), 0);
    assert_int_equal(check(&l, 2), -EKEYREJECTED);
    done(&l);

    start(&l);
    assert_int_equal(recover_sealed(&l, 3, &l.keys[3]), -EKEYREJECTED);
    assert_int_equal(check(&l, 3), -EKEYREJECTED);
    seal(&l, 3, "+4+5");
    assert_int_equal(check(&l, 4), -EKEYREJECTED);
    done(&l);
}

/* Breaks if a voter's seal serves another than it names. */
static void test_recovery_is_bound(void **state)
{
    (void)state;
    struct line l;
    struct raft_seal seal_of_two;
    start(&l);
    assert_int_equal(
        succession_recovery_seal(&l.root.id, 2, &l.keys[2].id, &l.keys[2], &seal_of_two), 0);
    assert_int_equal(succession_recovery_check(l.intent, &l.keys[2].id, &seal_of_two), 0);
    assert_int_equal(succession_recovery_check(l.intent, &l.keys[3].id, &seal_of_two),
                     -EKEYREJECTED);
    assert_int_equal(
        succession_recovery_seal(&l.root.id, 3, &l.keys[2].id, &l.keys[2], &seal_of_two), 0);
    assert_int_equal(succession_recovery_check(l.intent, &l.keys[2].id, &seal_of_two),
                     -EKEYREJECTED); /* it is for another epoch */
    done(&l);
}

/* Breaks if who was revoked recovers by its old vote; or an operator without the right to. */
static void test_recovery_of_no_right(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    set_key(&l, 1, INTENT_PEER, INTENT_REVOKED);
    struct raft_seal by_one;
    assert_int_equal(succession_recovery_seal(&l.root.id, 2, &l.keys[2].id, &l.keys[1], &by_one),
                     0);
    assert_int_equal(succession_recovery_check(l.intent, &l.keys[2].id, &by_one), -EKEYREJECTED);
    done(&l);

    static const uint8_t roles[] = {INTENT_VIEWER, INTENT_DEPLOYER, INTENT_ADMIN, INTENT_ADMIN};
    for (unsigned i = 0; i < 4; i++) {
        start(&l);
        set_key(&l, 5, roles[i], i == 3 ? INTENT_REVOKED : INTENT_ACTIVE);
        int expected = i == 2 ? 0 : -EKEYREJECTED;
        assert_int_equal(recover_sealed(&l, 3, &l.keys[5]), expected);
        assert_int_equal(check(&l, 3), expected);
        done(&l);
    }
}

/* Breaks if the cluster's own key can't end what others began: two epochs of one number, that of a
 * thief who votes, one that the peer never could follow. */
static void test_recovery_by_root(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    recover_sealed(&l, 3, &l.keys[3]);
    recover_sealed(&l, 4, &l.root);
    assert_int_equal(check(&l, 4), 0);
    assert_int_equal(check(&l, 3), -EKEYREJECTED);
    done(&l);

    start(&l);
    recover_sealed(&l, 1, &l.keys[1]);
    struct intent *one = l.intent;
    l.intent = copy(l.known);
    recover_sealed(&l, 2, &l.keys[2]);
    assert_int_equal(check(&l, 2), 0);
    assert_int_equal(succession_check(one, l.intent, &l.keys[2].id), -EKEYREJECTED);
    recover_sealed(&l, 2, &l.keys[2]);
    assert_int_equal(succession_check(one, l.intent, &l.keys[2].id), -EKEYREJECTED);
    recover_sealed(&l, 2, &l.root);
    assert_int_equal(succession_check(one, l.intent, &l.keys[2].id), 0);
    intent_free(one);
    done(&l);
}

/* Breaks if a peer that knows of changes which the recovered one never heard of does not follow; or
 * one that misses so many changes that only the recovery can be followed. */
static void test_recovery_from_elsewhere(void **state)
{
    (void)state;
    struct line l;
    start(&l);
    struct intent *behind = copy(l.intent);
    seal(&l, 0, "+3+4");
    know_now(&l);
    intent_free(l.intent);
    l.intent = behind;
    l.index = behind->applied_index;
    assert_int_equal(recover_sealed(&l, 2, &l.keys[2]), 0);
    assert_int_equal(check(&l, 2), 0);
    done(&l);

    start(&l);
    for (unsigned i = 0; i <= INTENT_SUCCESSIONS_MAX; i++)
        seal(&l, 0, i % 2 == 0 ? "+3" : "-3");
    assert_int_equal(check(&l, 0), -ESTALE);
    recover_sealed(&l, 1, &l.keys[1]);
    assert_int_equal(check(&l, 1), 0);
    done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_followed),          cmocka_unit_test(test_joint),
        cmocka_unit_test(test_usurper),           cmocka_unit_test(test_seal_is_bound),
        cmocka_unit_test(test_revoked),           cmocka_unit_test(test_too_far),
        cmocka_unit_test(test_failures),          cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_recovery_is_bound), cmocka_unit_test(test_recovery_of_no_right),
        cmocka_unit_test(test_recovery_by_root),  cmocka_unit_test(test_recovery_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
