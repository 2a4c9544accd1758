#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gossip/noise.h"
#include "tests/unit/gossip/crypto_fixture.h"

/* Both ends of a handshake; a test changes the configs before pair_start(). */
struct pair {
    struct random random;
    struct identity identities[2];
    struct noise_config configs[2];
    struct noise_handshake sides[2];
    uint8_t psks[2][NOISE_PSK_BYTES];
};

static const enum noise_pattern PATTERNS[] = {NOISE_IK, NOISE_XX, NOISE_XXPSK3};

static void pair_init(struct pair *pair, enum noise_pattern pattern)
{
    memset(pair, 0, sizeof(*pair));
    random_init(&pair->random, 1);
    for (uint8_t i = 0; i < 2; i++) {
        fixture_identity(&pair->identities[i], (uint8_t)(i + 1));
        pair->configs[i] = (struct noise_config){
            .pattern = pattern,
            .initiator = i == 0,
            .prologue = bytes_of_text("prologue"),
            .static_secret = pair->identities[i].exchange_secret,
            .psk = pattern == NOISE_XXPSK3 ? pair->psks[i] : NULL,
            .entropy = fixture_entropy(&pair->random),
        };
    }
    if (pattern == NOISE_IK)
        pair->configs[0].remote_static = pair->identities[1].exchange_public;
}

static void pair_start(struct pair *pair)
{
    for (int i = 0; i < 2; i++)
        noise_handshake_init(&pair->sides[i], &pair->configs[i]);
}

static void pair_done(struct pair *pair)
{
    for (int i = 0; i < 2; i++)
        noise_done(&pair->sides[i]);
}

/* Runs the handshake with a payload in each message; returns the first failure of a read. */
static int pair_run(struct pair *pair)
{
    for (int turn = 0; !noise_is_done(&pair->sides[turn % 2]); turn++) {
        cleanup_buffer struct buffer message = {0};
        cleanup_buffer struct buffer payload = {0};
        struct noise_handshake *writer = &pair->sides[turn % 2];
        struct noise_handshake *reader = &pair->sides[(turn + 1) % 2];
        assert_true(noise_is_my_turn(writer));
        assert_false(noise_is_my_turn(reader));
        assert_int_equal(noise_write(writer, bytes_of_text("payload"), &message), 0);
        int rc = noise_read(reader, buffer_view(&message), &payload);
        if (rc < 0)
            return rc;
        assert_true(bytes_equal(buffer_view(&payload), bytes_of_text("payload")));
    }
    return 0;
}

/* Breaks if the two ends of any pattern do not agree on keys, hash and each other. */
static void test_round_trip(void **state)
{
    (void)state;
    for (size_t p = 0; p < 3; p++) {
        struct pair pair;
        struct noise_cipher send[2], receive[2];
        uint8_t sealed[8 + NOISE_TAG_BYTES], opened[8];
        pair_init(&pair, PATTERNS[p]);
        pair_start(&pair);
        assert_int_equal(pair_run(&pair), 0);
        for (int i = 0; i < 2; i++) {
            assert_true(noise_is_done(&pair.sides[i]));
            assert_memory_equal(noise_remote_static(&pair.sides[i]),
                                pair.identities[1 - i].exchange_public, EXCHANGE_KEY_BYTES);
            noise_split(&pair.sides[i], &send[i], &receive[i]);
        }
        assert_memory_equal(noise_hash(&pair.sides[0]), noise_hash(&pair.sides[1]),
                            NOISE_HASH_BYTES);
        struct bytes plain = bytes_of_text("12345678"), header = bytes_of_text("header");
        for (int i = 0; i < 2; i++) {
            noise_seal(&send[i], 5, header, plain, sealed);
            struct bytes view = {sealed, sizeof(sealed)};
            assert_int_equal(noise_open(&receive[1 - i], 5, header, view, opened), 0);
            assert_memory_equal(opened, plain.data, plain.size);
            assert_int_equal(noise_open(&receive[1 - i], 6, header, view, opened), -EBADMSG);
            assert_int_equal(noise_open(&receive[1 - i], 5, plain, view, opened), -EBADMSG);
            assert_int_equal(noise_open(&receive[i], 5, header, view, opened), -EBADMSG);
        }
        assert_int_equal(noise_open(&receive[0], 0, header, (struct bytes){sealed, 15}, opened),
                         -EBADMSG);
        pair_done(&pair);
    }
}

/* Breaks if the bytes of a handshake change: these hashes are of a version that the published
 * vectors (test_noise_vectors.c) were checked against. */
static void test_known_hashes(void **state)
{
    (void)state;
    static const char *const hashes[] = {"0f7231a5c1f346e78194419884c6d9ef",
                                         "5e05a834dcbe1134b66570748e7e8eca",
                                         "1bac960c62518b259399285b59359292"};
    for (size_t p = 0; p < 3; p++) {
        struct pair pair;
        char text[2 * 16 + 1];
        pair_init(&pair, PATTERNS[p]);
        pair_start(&pair);
        assert_int_equal(pair_run(&pair), 0);
        hex_encode(noise_hash(&pair.sides[0]), 16, text);
        assert_string_equal(text, hashes[p]);
        pair_done(&pair);
    }
}

/* Breaks if a changed bit anywhere in a message passes, or spoils the state for the true one. */
static void test_tampering(void **state)
{
    (void)state;
    for (size_t p = 0; p < 3; p++) {
        struct pair pair;
        pair_init(&pair, PATTERNS[p]);
        pair_start(&pair);
        for (int turn = 0; !noise_is_done(&pair.sides[turn % 2]); turn++) {
            cleanup_buffer struct buffer message = {0};
            cleanup_buffer struct buffer payload = {0};
            struct noise_handshake *reader = &pair.sides[(turn + 1) % 2];
            assert_int_equal(noise_write(&pair.sides[turn % 2], bytes_of_text("payload"), &message),
                             0);
            /* XX's first message is in the clear by design: a change only shows at the next. */
            bool authentic = PATTERNS[p] == NOISE_IK || turn > 0;
            for (size_t i = 0; authentic && i < message.size; i++) {
                struct noise_handshake before = *reader;
                message.bytes[i] ^= 0x40;
                assert_int_equal(noise_read(reader, buffer_view(&message), &payload), -EBADMSG);
                message.bytes[i] ^= 0x40;
                assert_memory_equal(reader, &before, sizeof(before));
                assert_int_equal(payload.size, 0);
            }
            for (size_t size = 0; authentic && size < message.size; size++)
                assert_int_equal(noise_read(reader, (struct bytes){message.bytes, size}, &payload),
                                 -EBADMSG);
            assert_int_equal(noise_read(reader, buffer_view(&message), &payload), 0);
        }
        pair_done(&pair);
    }
}

/* Breaks if someone without the token's secret joins, or joins a cluster that does not know it. */
static void test_wrong_psk(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, NOISE_XXPSK3);
    pair.psks[1][31] = 1;
    pair_start(&pair);
    assert_int_equal(pair_run(&pair), -EBADMSG);
    pair_done(&pair);
}

/* Breaks if a first packet for one peer can be read by another. */
static void test_wrong_static(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, NOISE_IK);
    pair.configs[0].remote_static = pair.identities[0].exchange_public;
    pair_start(&pair);
    assert_int_equal(pair_run(&pair), -EBADMSG);
    pair_done(&pair);
}

/* Breaks if ends with different prologues (versions, clusters) come to terms. */
static void test_wrong_prologue(void **state)
{
    (void)state;
    for (size_t p = 0; p < 3; p++) {
        struct pair pair;
        pair_init(&pair, PATTERNS[p]);
        pair.configs[1].prologue = bytes_of_text("another");
        pair_start(&pair);
        assert_int_equal(pair_run(&pair), -EBADMSG);
        pair_done(&pair);
    }
}

/* Breaks if a key that voids the secret (a point of small order) is taken as an ephemeral. */
static void test_small_order(void **state)
{
    (void)state;
    struct pair pair;
    cleanup_buffer struct buffer payload = {0};
    uint8_t message[EXCHANGE_KEY_BYTES + EXCHANGE_KEY_BYTES + 2 * NOISE_TAG_BYTES] = {0};
    pair_init(&pair, NOISE_IK);
    pair_start(&pair);
    assert_int_equal(noise_read(&pair.sides[1], (struct bytes){message, sizeof(message)}, &payload),
                     -EBADMSG);
    assert_null(noise_remote_static(&pair.sides[1]));
    pair_done(&pair);
}

/* Breaks if the framework's limit on a message is passed. */
static void test_sizes(void **state)
{
    (void)state;
    static uint8_t big[NOISE_MESSAGE_BYTES_MAX + 1];
    struct pair pair;
    cleanup_buffer struct buffer message = {0};
    pair_init(&pair, NOISE_IK);
    pair_start(&pair);
    assert_int_equal(
        noise_write(&pair.sides[0], (struct bytes){big, NOISE_PAYLOAD_BYTES_MAX + 1}, &message),
        -EMSGSIZE);
    assert_int_equal(noise_read(&pair.sides[1], (struct bytes){big, sizeof(big)}, &message),
                     -EBADMSG);
    assert_int_equal(message.size, 0);
    assert_int_equal(
        noise_write(&pair.sides[0], (struct bytes){big, NOISE_PAYLOAD_BYTES_MAX}, &message), 0);
    assert_int_equal(message.size, NOISE_MESSAGE_BYTES_MAX);
    pair_done(&pair);
}

/* Breaks if a finished handshake's secrets stay in memory. */
static void test_wiped(void **state)
{
    (void)state;
    static const struct noise_handshake none;
    struct pair pair;
    pair_init(&pair, NOISE_XX);
    pair_start(&pair);
    pair_done(&pair);
    assert_memory_equal(&pair.sides[0], &none, sizeof(none));
    noise_done(NULL);
    noise_cipher_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_known_hashes),
        cmocka_unit_test(test_tampering),    cmocka_unit_test(test_wrong_psk),
        cmocka_unit_test(test_wrong_static), cmocka_unit_test(test_wrong_prologue),
        cmocka_unit_test(test_small_order),  cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
