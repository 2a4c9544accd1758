/* How keys are replaced: by age and count, where one side has lost them, and when they are to serve
 * no more. */
#include "gossip/session_packet.h"
#include "tests/unit/gossip/session_fixture.h"

/* Breaks if rekeying by age loses packets: those under way under the old keys must still open. */
static void test_rekey_by_age(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer late = {0};
    cleanup_buffer struct buffer first = {0};
    cleanup_buffer struct buffer data = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "hello");
    scene_seal(&scene, 1, 0, "late", &late);
    scene.now_ms += SESSION_REKEY_AFTER_MS;
    scene_seal(&scene, 0, 1, "rekey", &first);
    assert_int_equal(datagram_type(&first), SESSION_FIRST);
    scene_seal(&scene, 0, 1, "meanwhile", &data); /* not a handshake a packet */
    assert_int_equal(datagram_type(&data), SESSION_DATA);
    scene_expect(&scene, 1, 0, &data, "meanwhile");
    scene_expect(&scene, 1, 0, &first, "rekey");
    scene_seal(&scene, 1, 0, "answer", &data);
    scene_expect(&scene, 0, 1, &data, "answer");
    scene_expect(&scene, 0, 1, &late, "late");
    scene_send(&scene, 0, 1, "under the new keys");
    scene.now_ms += SESSION_REKEY_AFTER_MS; /* the old keys' end */
    scene_seal(&scene, 0, 1, "again", &first);
    assert_int_equal(datagram_type(&first), SESSION_FIRST);
    scene_done(&scene);
}

/* Breaks if keys that newer ones have replaced are kept until they expire, or go while something
 * under them may be under way, or before the other side is known to have the newer ones. */
static void test_replaced_keys(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer late = {0};
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    struct sessions *initiator = scene.peers[0].sessions, *responder = scene.peers[1].sessions;
    scene_send(&scene, 0, 1, "hello");
    scene_send(&scene, 1, 0, "hello");
    size_t settled = sessions_table_bytes(responder);
    scene_seal(&scene, 0, 1, "late", &late);
    scene.now_ms += SESSION_REKEY_AFTER_MS;
    scene_send(&scene, 0, 1, "rekey");
    assert_true(sessions_table_bytes(responder) > settled);
    assert_true(sessions_table_bytes(initiator) > settled);

    scene.now_ms += SESSION_OVERLAP_MS - 1;
    sessions_tick(responder, scene.now_ms);
    scene_expect(&scene, 1, 0, &late, "late");
    scene.now_ms += 1;
    sessions_tick(responder, scene.now_ms);
    assert_int_equal(sessions_table_bytes(responder), settled);

    /* The initiator has heard nothing under the new keys yet: for all that it knows, the other side
     * still sends under the old ones. */
    sessions_tick(initiator, scene.now_ms);
    assert_true(sessions_table_bytes(initiator) > settled);
    scene_send(&scene, 1, 0, "new");
    sessions_tick(initiator, scene.now_ms);
    assert_int_equal(sessions_table_bytes(initiator), settled);

    scene_seal(&scene, 0, 1, "still there", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_expect(&scene, 1, 0, &datagram, "still there");
    scene_done(&scene);
}

/* Breaks if keys are used for longer than allowed when the handshake that replaces them is lost. */
static void test_expiry(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer late = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "hello");
    scene_seal(&scene, 0, 1, "late", &late);
    scene.now_ms += 2 * SESSION_REKEY_AFTER_MS;
    assert_int_equal(scene_open(&scene, 1, 0, &late), SESSION_KEYS_EXPIRED);
    assert_int_equal(sessions_keyed_count(scene.peers[1].sessions), 1);
    sessions_tick(scene.peers[1].sessions, scene.now_ms);
    assert_int_equal(sessions_keyed_count(scene.peers[1].sessions), 0);
    assert_int_equal(scene_open(&scene, 1, 0, &late), SESSION_UNKNOWN_INDEX);
    assert_int_equal(sessions_peer_count(scene.peers[1].sessions), 1);
    scene_done(&scene);
}

/* Breaks if the count of packets under one set of keys is not bounded. */
static void test_rekey_by_count(void **state)
{
    (void)state;
    struct scene scene;
    struct sessions_config limits = {.rekey_after_messages = 10};
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_start_with(&scene, 0, 2, &limits);
    scene_start_with(&scene, 1, 2, &limits);
    scene_send(&scene, 0, 1, "hello"); /* its confirmation is packet 0 */
    scene.now_ms += SESSION_REKEY_RETRY_MS;
    for (int i = 1; i < 10; i++) {
        scene_seal(&scene, 0, 1, "data", &datagram);
        assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    }
    scene_seal(&scene, 0, 1, "rekey", &datagram); /* lost */
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST);
    for (int i = 10; i < 20; i++) {
        scene_seal(&scene, 0, 1, "data", &datagram);
        assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    }
    scene_seal(&scene, 0, 1, "no more", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST);
    scene_expect(&scene, 1, 0, &datagram, "no more");
    scene_done(&scene);
}

/* Breaks if a peer that restarted, and lost its keys, cannot be reached until they expire. */
static void test_silence(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "hello");
    scene.now_ms += 60000;
    scene_start(&scene, 1, 2);
    scene_seal(&scene, 0, 1, "ping", &datagram);
    sessions_asked(scene.peers[0].sessions, scene.now_ms, scene_id(&scene, 1));
    assert_int_equal(scene_open(&scene, 1, 0, &datagram), SESSION_UNKNOWN_INDEX);
    scene.now_ms += SESSION_SILENCE_MS;
    scene_send(&scene, 0, 1, "ping");
    scene_seal(&scene, 0, 1, "data", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_expect(&scene, 1, 0, &datagram, "data");
    scene_done(&scene);
}

/* Breaks if who asks and is answered, as in every probe, takes the quiet until the next for a loss
 * of keys, on either side: then each probe would be a handshake. */
static void test_quiet(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "hello");
    for (int i = 0; i < 10; i++) {
        int asker = i % 2;
        scene.now_ms += 60000;
        scene_seal(&scene, asker, 1 - asker, "ping", &datagram);
        assert_int_equal(datagram_type(&datagram), SESSION_DATA);
        sessions_asked(scene.peers[asker].sessions, scene.now_ms, scene_id(&scene, 1 - asker));
        scene_expect(&scene, 1 - asker, asker, &datagram, "ping");
        scene_seal(&scene, 1 - asker, asker, "ack", &datagram);
        assert_int_equal(datagram_type(&datagram), SESSION_DATA);
        scene_expect(&scene, asker, 1 - asker, &datagram, "ack");
    }
    scene_done(&scene);
}

/* Breaks if keys agreed with a peer before it restarted are used after it has spoken. */
static void test_restarted(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "hello");
    scene_seal(&scene, 0, 1, "data", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);

    scene_start(&scene, 1, 2);
    scene_send(&scene, 1, 0, "back");
    scene_seal(&scene, 0, 1, "data", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_expect(&scene, 1, 0, &datagram, "data");
    scene_done(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rekey_by_age), cmocka_unit_test(test_replaced_keys),
        cmocka_unit_test(test_expiry),       cmocka_unit_test(test_rekey_by_count),
        cmocka_unit_test(test_silence),      cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_restarted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
