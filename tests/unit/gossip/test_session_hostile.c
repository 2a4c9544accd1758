#include "gossip/session_packet.h"
#include "gossip/session_state.h"
#include "tests/unit/gossip/session_fixture.h"

/* Lets peer 0 send a first packet with those bytes as its chain, and says what peer 1 makes of it.
 */
static enum session_refusal send_chain(struct scene *scene, const void *data, size_t size)
{
    cleanup_buffer struct buffer datagram = {0};
    struct buffer *chain = &scene->peers[0].sessions->chain;
    buffer_clear(chain);
    assert_int_equal(buffer_append(chain, data, size), 0);
    scene_seal(scene, 0, 1, "x", &datagram);
    return scene_open(scene, 1, 0, &datagram);
}

/* Breaks if what is inside a well-sealed first packet is trusted before it is checked. */
static void test_chains(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    cleanup_buffer struct buffer good = {0};
    const struct buffer *chain = &scene.peers[0].sessions->chain;
    assert_int_equal(buffer_append(&good, chain->bytes, chain->size), 0);

    assert_int_equal(send_chain(&scene, "\x90", 1), SESSION_CHAIN_BAD);
    assert_int_equal(scene.peers[1].opened.verdict, CERTIFICATE_CHAIN_EMPTY);
    assert_int_equal(send_chain(&scene, "\xdd\xff\xff\xff\xff", 5), SESSION_MALFORMED);
    for (size_t size = 1; size < good.size; size++)
        assert_int_not_equal(send_chain(&scene, good.bytes, size), SESSION_ACCEPTED);
    good.bytes[good.size - 1] ^= 1;
    scene.now_ms += 1000; /* the guard's count starts anew */
    assert_int_equal(send_chain(&scene, good.bytes, good.size), SESSION_CHAIN_BAD);
    assert_int_equal(scene.peers[1].opened.verdict, CERTIFICATE_SIGNATURE_BAD);
    assert_int_equal(sessions_peer_count(scene.peers[1].sessions), 0);
    good.bytes[good.size - 1] ^= 1;
    assert_int_equal(send_chain(&scene, good.bytes, good.size), SESSION_ACCEPTED);

    /* A chain that was verified once is remembered by its hash; another one is verified again. */
    good.bytes[good.size - 1] ^= 1;
    assert_int_equal(send_chain(&scene, good.bytes, good.size), SESSION_CHAIN_BAD);
    scene_done(&scene);
}

/* Breaks if sizes inside a first packet may point past its end. */
static void test_sizes_inside(void **state)
{
    (void)state;
    uint8_t inside[SESSION_FIRST_INSIDE_BYTES] = {0};
    struct session_first first;
    struct session_answer answer;
    inside[16] = inside[17] = 0xff;
    assert_int_equal(session_first_decode((struct bytes){inside, sizeof(inside)}, &first),
                     -EBADMSG);
    inside[16] = 0;
    inside[18] = inside[19] = 0xff;
    assert_int_equal(session_first_decode((struct bytes){inside, sizeof(inside)}, &first),
                     -EBADMSG);
    inside[18] = 0;
    assert_int_equal(session_first_decode((struct bytes){inside, sizeof(inside)}, &first), 0);
    assert_int_equal(session_first_decode((struct bytes){inside, sizeof(inside) - 1}, &first),
                     -EBADMSG);
    assert_int_equal(
        session_answer_decode((struct bytes){inside, SESSION_ANSWER_FIELDS_BYTES - 1}, &answer),
        -EBADMSG);
}

/* Breaks if a peer that only ever sends first packets fills memory, or ends what is in use. */
static void test_many_first_packets(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "hello");
    struct sessions *kept = scene.peers[0].sessions;
    scene.peers[0].sessions = NULL;
    for (int i = 0; i < 3 * SESSION_KEYS_PER_PEER; i++) {
        scene_start(&scene, 0, 1);
        scene.peers[0].sessions->stamp.counter = 100 + (uint64_t)i;
        scene_seal(&scene, 0, 1, "flood", &datagram);
        scene_expect(&scene, 1, 0, &datagram, "flood");
        scene_answer(&scene, 1, 0, &datagram);
        scene.now_ms++;
    }
    assert_int_equal(scene.peers[1].sessions->table.slots.count, SESSION_KEYS_PER_PEER);
    sessions_free(scene.peers[0].sessions);
    scene.peers[0].sessions = kept;
    scene_seal(&scene, 0, 1, "still here", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_expect(&scene, 1, 0, &datagram, "still here");
    scene_seal(&scene, 1, 0, "me too", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_expect(&scene, 0, 1, &datagram, "me too");
    scene_done(&scene);
}

/* Breaks if a late packet under older keys brings those back into use. */
static void test_late_confirmation(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    cleanup_buffer struct buffer late = {0};
    scene_init(&scene);
    scene_seal(&scene, 0, 1, "first", &datagram);
    scene_expect(&scene, 1, 0, &datagram, "first");
    scene_seal(&scene, 1, 0, "answer", &datagram);
    scene_expect(&scene, 0, 1, &datagram, "answer");
    scene_seal(&scene, 0, 1, "late", &late);
    scene.now_ms += SESSION_SIMULTANEOUS_MS;
    scene_send(&scene, 1, 0, "newer keys");
    scene_expect(&scene, 1, 0, &late, "late");
    const struct session_peer *peer =
        session_table_find(&scene.peers[1].sessions->table, scene_id(&scene, 0));
    assert_true(peer->sending->initiator);
    scene_done(&scene);
}

/* Breaks if answers that overtake each other leave the keys of an older first packet in use: the
 * other side drops those first. */
static void test_overtaking_answers(void **state)
{
    (void)state;
    struct scene scene;
    struct buffer answers[2] = {{0}};
    cleanup_buffer struct buffer first = {0};
    scene_init(&scene);
    for (int i = 0; i < 2; i++) {
        scene_seal(&scene, 0, 1, "first", &first);
        scene_expect(&scene, 1, 0, &first, "first");
        scene_answer(&scene, 1, 0, &answers[i]);
    }
    scene_expect(&scene, 0, 1, &answers[1], "");
    scene_expect(&scene, 0, 1, &answers[0], "");
    const struct session_peer *peer =
        session_table_find(&scene.peers[0].sessions->table, scene_id(&scene, 1));
    assert_int_equal(peer->sending->stamp.counter, 2);
    buffer_done(&answers[0]);
    buffer_done(&answers[1]);
    scene_done(&scene);
}

/* Breaks if a payload too large for an answer is refused although there are keys for it. */
static void test_large_payload_while_an_answer_is_due(void **state)
{
    (void)state;
    static const uint8_t bytes[SESSION_PAYLOAD_BYTES_MAX];
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "hello");
    scene.now_ms += SESSION_REKEY_AFTER_MS;
    scene_seal(&scene, 0, 1, "rekey", &datagram);
    scene_expect(&scene, 1, 0, &datagram, "rekey");
    buffer_clear(&datagram);
    assert_int_equal(sessions_seal(scene.peers[1].sessions, scene.now_ms, scene_id(&scene, 0),
                                   (struct bytes){bytes, sizeof(bytes)}, &datagram),
                     0);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    assert_int_equal(scene_open(&scene, 0, 1, &datagram), SESSION_ACCEPTED);
    scene_answer(&scene, 1, 0, &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_ANSWER);
    scene_expect(&scene, 0, 1, &datagram, "");
    scene_done(&scene);
}

/* Breaks if an answer that never was given is kept, or a cookie from anyone is taken. */
static void test_leftovers(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_seal(&scene, 0, 1, "first", &datagram);
    scene_expect(&scene, 1, 0, &datagram, "first");
    scene.now_ms += SESSION_HANDSHAKE_TIMEOUT_MS;
    sessions_tick(scene.peers[1].sessions, scene.now_ms);
    scene_answer(&scene, 1, 0, &datagram);
    assert_int_equal(datagram.size, 0);

    cleanup_buffer struct buffer forged = {0};
    scene_seal(&scene, 0, 1, "first", &datagram);
    assert_int_equal(buffer_append(&forged, datagram.bytes, SESSION_COOKIE_PACKET_BYTES), 0);
    forged.bytes[0] = SESSION_COOKIE;
    assert_int_equal(scene_open(&scene, 0, 1, &forged), SESSION_NOT_AUTHENTIC);
    scene_answer(&scene, 0, 3, &datagram); /* to someone never heard of */
    assert_int_equal(datagram.size, 0);
    scene_done(&scene);
}

/* Breaks if an answer that a peer gave before it restarted, held back on the way, is taken after
 * its words of now, and the keys that it no longer has are sent under. */
static void test_late_answer_of_an_earlier_life(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer first = {0}, late = {0}, datagram = {0};
    scene_init(&scene);
    scene_seal(&scene, 0, 1, "hello", &first);
    scene_expect(&scene, 1, 0, &first, "hello");
    scene_seal(&scene, 1, 0, "old", &late);
    assert_int_equal(datagram_type(&late), SESSION_ANSWER);

    scene_start(&scene, 1, 2);
    scene_send(&scene, 1, 0, "new");
    assert_int_equal(scene_open(&scene, 0, 1, &late), SESSION_REPLAYED);
    assert_int_equal(scene_open(&scene, 0, 1, &late), SESSION_UNKNOWN_INDEX);
    scene_seal(&scene, 0, 1, "data", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_expect(&scene, 1, 0, &datagram, "data");
    scene_done(&scene);
}

/* Breaks if a first packet that a peer sent before it restarted, held back on the way, is taken
 * although the peer's answer has shown its present life, or answered once that was shown. */
static void test_late_first_of_an_earlier_life(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer late = {0}, later = {0}, first = {0}, answer = {0};
    scene_init(&scene);
    scene_seal(&scene, 1, 0, "old", &late);
    scene_seal(&scene, 1, 0, "old", &later);
    scene_seal(&scene, 0, 1, "hello", &first);
    scene_start(&scene, 1, 2);
    scene_expect(&scene, 1, 0, &first, "hello");
    scene_answer(&scene, 1, 0, &answer);

    scene_expect(&scene, 0, 1, &late, "old"); /* nothing newer was heard */
    scene_expect(&scene, 0, 1, &answer, "");
    assert_int_equal(scene_open(&scene, 0, 1, &later), SESSION_REPLAYED);
    scene_seal(&scene, 0, 1, "data", &first);
    assert_int_equal(datagram_type(&first), SESSION_DATA);
    scene_expect(&scene, 1, 0, &first, "data");
    scene_done(&scene);
}

/* Breaks if what asks for nothing begins a handshake while there are keys: then a small packet, of
 * who has the key of a peer and says that it is elsewhere, would be answered there by a large one.
 */
static void test_replies_begin_nothing(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    struct sessions *sessions = scene.peers[0].sessions;
    const struct id *to = scene_id(&scene, 1);
    assert_int_equal(sessions_reply(sessions, scene.now_ms, to, bytes_of_text("hi"), &datagram), 0);
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST); /* there is no other way */
    scene_send(&scene, 0, 1, "hello");

    scene.now_ms += SESSION_REKEY_AFTER_MS;
    sessions_asked(sessions, scene.now_ms, to);
    scene.now_ms += SESSION_SILENCE_MS;
    buffer_clear(&datagram);
    assert_int_equal(sessions_reply(sessions, scene.now_ms, to, bytes_of_text("hi"), &datagram), 0);
    assert_int_equal(datagram.size, 2 + SESSION_DATA_OVERHEAD_BYTES);
    scene_expect(&scene, 1, 0, &datagram, "hi");
    scene_seal(&scene, 0, 1, "there?", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST);

    /* The answer that is awaited is no larger than the first packet. */
    scene_expect(&scene, 1, 0, &datagram, "there?");
    buffer_clear(&datagram);
    assert_int_equal(sessions_reply(scene.peers[1].sessions, scene.now_ms, scene_id(&scene, 0),
                                    bytes_of_text("here"), &datagram),
                     0);
    assert_int_equal(datagram_type(&datagram), SESSION_ANSWER);

    scene.now_ms += 2 * SESSION_REKEY_AFTER_MS; /* too old to be used at all */
    buffer_clear(&datagram);
    assert_int_equal(sessions_reply(sessions, scene.now_ms, to, bytes_of_text("hi"), &datagram), 0);
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST);
    scene_done(&scene);
}

/* Breaks if a peer whose data directory was put back from a backup is not heard any more, although
 * it answers what it is asked now. */
static void test_put_back_from_a_backup(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0}, answer = {0};
    scene_init(&scene);
    scene_start(&scene, 1, 5);
    scene_send(&scene, 1, 0, "hello");
    scene_start(&scene, 1, 3);
    scene_seal(&scene, 1, 0, "hello", &datagram);
    assert_int_equal(scene_open(&scene, 0, 1, &datagram), SESSION_REPLAYED);

    scene.now_ms += SESSION_REKEY_RETRY_MS;
    sessions_asked(scene.peers[0].sessions, scene.now_ms, scene_id(&scene, 1));
    scene.now_ms += SESSION_SILENCE_MS;
    scene_seal(&scene, 0, 1, "there?", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST);
    scene_expect(&scene, 1, 0, &datagram, "there?");
    scene_seal(&scene, 1, 0, "here", &answer);
    scene_expect(&scene, 0, 1, &answer, "here");
    scene_send(&scene, 0, 1, "good");
    scene_send(&scene, 1, 0, "good");
    scene_done(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_sizes_inside),
        cmocka_unit_test(test_many_first_packets),
        cmocka_unit_test(test_late_confirmation),
        cmocka_unit_test(test_large_payload_while_an_answer_is_due),
        cmocka_unit_test(test_overtaking_answers),
        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_late_answer_of_an_earlier_life),
        cmocka_unit_test(test_late_first_of_an_earlier_life),
        cmocka_unit_test(test_replies_begin_nothing),
        cmocka_unit_test(test_put_back_from_a_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
