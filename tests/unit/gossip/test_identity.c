#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/gossip/crypto_fixture.h"

/* Breaks if a signature made for one purpose, message or key verifies for another. */
static void test_signatures(void **state)
{
    (void)state;
    struct identity alice, bob;
    uint8_t signature[SIGNATURE_BYTES];
    fixture_identity(&alice, 1);
    fixture_identity(&bob, 2);
    struct bytes message = bytes_of_text("alive"), other = bytes_of_text("alivf");
    identity_sign(&alice, "record", message, signature);
    assert_true(identity_verify(&alice.id, "record", message, signature));
    assert_false(identity_verify(&alice.id, "accusation", message, signature));
    assert_false(identity_verify(&alice.id, "record", other, signature));
    assert_false(identity_verify(&bob.id, "record", message, signature));
    assert_false(identity_verify(&ID_NONE, "record", message, signature));
    for (size_t i = 0; i < SIGNATURE_BYTES; i++) {
        signature[i] ^= 0x20;
        assert_false(identity_verify(&alice.id, "record", message, signature));
        signature[i] ^= 0x20;
    }
    identity_done(&alice);
    identity_done(&bob);
}

/* Breaks if the purpose and the message can run together: "ab" + "c" is not "a" + "bc". */
static void test_purpose_boundary(void **state)
{
    (void)state;
    struct identity alice;
    uint8_t signature[SIGNATURE_BYTES];
    fixture_identity(&alice, 1);
    identity_sign(&alice, "ab", bytes_of_text("c"), signature);
    assert_false(identity_verify(&alice.id, "a", bytes_of_text("bc"), signature));
    identity_sign(&alice, "ab", (struct bytes){NULL, 0}, signature);
    assert_true(identity_verify(&alice.id, "ab", (struct bytes){NULL, 0}, signature));
    identity_done(&alice);
}

/* Breaks if what others compute from an id is not the key that its owner holds. */
static void test_exchange_key(void **state)
{
    (void)state;
    struct identity alice;
    uint8_t derived[EXCHANGE_KEY_BYTES];
    fixture_identity(&alice, 1);
    assert_int_equal(id_to_exchange(&alice.id, derived), 0);
    assert_memory_equal(derived, alice.exchange_public, EXCHANGE_KEY_BYTES);
    identity_done(&alice);
}

/* Breaks if an id without a secret is taken for a peer: small order, off the curve, no encoding. */
static void test_invalid_points(void **state)
{
    (void)state;
    uint8_t kept[EXCHANGE_KEY_BYTES];
    memset(kept, 0x55, sizeof(kept));
    struct id ids[] = {
        ID_NONE,               /* order 4 */
        {{1}},                 /* the neutral element */
        {{2}},                 /* off the curve */
        {{[0 ... 31] = 0xff}}, /* no canonical encoding */
    };
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        uint8_t ret[EXCHANGE_KEY_BYTES];
        memset(ret, 0x55, sizeof(ret));
        assert_int_equal(id_to_exchange(&ids[i], ret), -EINVAL);
        assert_memory_equal(ret, kept, sizeof(kept));
    }
}

/* Breaks if secrets stay in memory after they are done with. */
static void test_wiped(void **state)
{
    (void)state;
    struct identity alice;
    static const struct identity none;
    fixture_identity(&alice, 1);
    identity_done(&alice);
    assert_memory_equal(&alice, &none, sizeof(none));
    identity_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),   cmocka_unit_test(test_purpose_boundary),
        cmocka_unit_test(test_exchange_key), cmocka_unit_test(test_invalid_points),
        cmocka_unit_test(test_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
