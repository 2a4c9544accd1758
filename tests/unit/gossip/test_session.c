#include "gossip/session_packet.h"
#include "tests/unit/gossip/session_fixture.h"

/* Breaks if a stranger needs an extra round trip, or the answer cannot carry a payload. */
static void test_first_packet_and_answer(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_seal(&scene, 0, 1, "ping", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST);
    scene_expect(&scene, 1, 0, &datagram, "ping");
    assert_true(scene.peers[1].opened.answer_due);

    scene_seal(&scene, 1, 0, "ack", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_ANSWER);
    scene_expect(&scene, 0, 1, &datagram, "ack");
    assert_true(scene.peers[0].opened.answer_due);

    scene_answer(&scene, 1, 0, &datagram); /* it was carried already */
    assert_int_equal(datagram.size, 0);
    scene_answer(&scene, 0, 1, &datagram); /* confirms the keys */
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_expect(&scene, 1, 0, &datagram, "");
    assert_false(scene.peers[1].opened.answer_due);

    for (int i = 0; i < 3; i++) {
        scene_seal(&scene, 1, 0, "data", &datagram);
        assert_int_equal(datagram_type(&datagram), SESSION_DATA);
        scene_expect(&scene, 0, 1, &datagram, "data");
        scene_seal(&scene, 0, 1, "atad", &datagram);
        assert_int_equal(datagram_type(&datagram), SESSION_DATA);
        scene_expect(&scene, 1, 0, &datagram, "atad");
    }
    scene_done(&scene);
}

/* Breaks if the room that is promised for a payload is not there, or a larger one gets through. */
static void test_room(void **state)
{
    (void)state;
    static const uint8_t bytes[SESSION_PAYLOAD_BYTES_MAX + 1];
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    static const enum session_packet_type types[] = {SESSION_FIRST, SESSION_ANSWER, SESSION_DATA,
                                                     SESSION_DATA};
    for (int turn = 0; turn < 4; turn++) {
        int from = turn % 2, to = 1 - from;
        struct sessions *sessions = scene.peers[from].sessions;
        size_t room = sessions_room(sessions, scene.now_ms, scene_id(&scene, to));
        assert_in_range(room, SESSION_FIRST_PAYLOAD_BYTES_MIN, SESSION_PAYLOAD_BYTES_MAX);
        buffer_clear(&datagram);
        if (types[turn] != SESSION_ANSWER)
            assert_int_equal(sessions_seal(sessions, scene.now_ms, scene_id(&scene, to),
                                           (struct bytes){bytes, room + 1}, &datagram),
                             -EMSGSIZE);
        assert_int_equal(datagram.size, 0);
        assert_int_equal(sessions_seal(sessions, scene.now_ms, scene_id(&scene, to),
                                       (struct bytes){bytes, room}, &datagram),
                         0);
        assert_int_equal(datagram_type(&datagram), types[turn]);
        if (types[turn] != SESSION_ANSWER)
            assert_int_equal(datagram.size, SESSION_DATAGRAM_BYTES_MAX);
        assert_int_equal(scene_open(&scene, to, from, &datagram), SESSION_ACCEPTED);
        assert_int_equal(scene.peers[to].opened.payload.size, room);
    }
    scene_done(&scene);
}

/* Breaks if of two packets that were made at once for a new peer, the second is too large. */
static void test_room_for_two(void **state)
{
    (void)state;
    static const uint8_t bytes[SESSION_PAYLOAD_BYTES_MAX];
    struct scene scene;
    cleanup_buffer struct buffer first = {0}, datagram = {0};
    scene_init(&scene);
    scene_seal(&scene, 0, 1, "ping", &first);
    scene_expect(&scene, 1, 0, &first, "ping");
    struct sessions *sessions = scene.peers[1].sessions;
    size_t room = sessions_room(sessions, scene.now_ms, scene_id(&scene, 0));
    for (unsigned i = 0; i < 2; i++) {
        buffer_clear(&datagram);
        assert_int_equal(sessions_seal(sessions, scene.now_ms, scene_id(&scene, 0),
                                       (struct bytes){bytes, room}, &datagram),
                         0);
        assert_int_equal(datagram_type(&datagram), i == 0 ? SESSION_ANSWER : SESSION_FIRST);
    }
    scene_done(&scene);
}

/* Breaks if a repeated packet is taken twice: a first packet, an answer, or data. */
static void test_replay(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer first = {0};
    cleanup_buffer struct buffer answer = {0};
    cleanup_buffer struct buffer data = {0};
    scene_init(&scene);
    scene_seal(&scene, 0, 1, "ping", &first);
    scene_expect(&scene, 1, 0, &first, "ping");
    scene_seal(&scene, 1, 0, "ack", &answer);
    scene_expect(&scene, 0, 1, &answer, "ack");
    scene_seal(&scene, 0, 1, "data", &data);
    scene_expect(&scene, 1, 0, &data, "data");

    assert_int_equal(scene_open(&scene, 1, 0, &first), SESSION_REPLAYED);
    assert_false(scene.peers[1].opened.answer_due);
    assert_int_equal(scene.peers[1].opened.payload.size, 0);
    assert_int_equal(scene_open(&scene, 0, 1, &answer), SESSION_UNKNOWN_INDEX);
    assert_int_equal(scene_open(&scene, 1, 0, &data), SESSION_REPLAYED);
    scene_seal(&scene, 1, 0, "on", &data); /* and the keys are what they were */
    assert_int_equal(datagram_type(&data), SESSION_DATA);
    scene_expect(&scene, 0, 1, &data, "on");
    scene_done(&scene);
}

/* Breaks if a first packet from before the sender's last start is taken after that start. */
static void test_replay_of_an_older_generation(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer old = {0};
    scene_init(&scene);
    scene_start(&scene, 0, 8);
    for (int i = 0; i < 5; i++)
        scene_seal(&scene, 0, 1, "old", &old);
    scene_start(&scene, 0, 9);
    scene_send(&scene, 0, 1, "new");
    assert_int_equal(scene_open(&scene, 1, 0, &old), SESSION_REPLAYED);
    scene_done(&scene);
}

/* Breaks if any changed byte of any packet gets through, or does harm. */
static void test_tampering(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    for (int turn = 0; turn < 4; turn++) {
        int from = turn % 2, to = 1 - from;
        scene_seal(&scene, from, to, "message", &datagram);
        /* The last 16 bytes of a first packet are mac2, which counts only under load. */
        size_t size = datagram.size - (turn == 0 ? SESSION_MAC_BYTES : 0);
        for (size_t i = 0; i < size; i++) {
            datagram.bytes[i] ^= 0x80;
            assert_int_not_equal(scene_open(&scene, to, from, &datagram), SESSION_ACCEPTED);
            assert_int_equal(scene.peers[to].opened.payload.size, 0);
            datagram.bytes[i] ^= 0x80;
        }
        scene_expect(&scene, to, from, &datagram, "message");
    }
    struct buffer cut = datagram;
    for (cut.size = 0; cut.size < datagram.size; cut.size++)
        assert_int_not_equal(scene_open(&scene, 0, 1, &cut), SESSION_ACCEPTED);
    scene_done(&scene);
}

/* Breaks if packets of one burst to a stranger are queued or lost: each must stand for itself. */
static void test_burst_to_a_stranger(void **state)
{
    (void)state;
    static const char *const texts[] = {"one", "two", "three"};
    struct scene scene;
    struct buffer datagrams[3] = {{0}}, answers[3] = {{0}};
    scene_init(&scene);
    for (int i = 0; i < 3; i++)
        scene_seal(&scene, 0, 1, texts[i], &datagrams[i]);
    for (int i = 0; i < 3; i++) {
        scene_expect(&scene, 1, 0, &datagrams[i], texts[i]);
        scene_seal(&scene, 1, 0, texts[i], &answers[i]);
    }
    for (int i = 2; i >= 0; i--) /* also when the answers overtake each other */
        scene_expect(&scene, 0, 1, &answers[i], texts[i]);
    scene_seal(&scene, 0, 1, "data", &datagrams[0]);
    assert_int_equal(datagram_type(&datagrams[0]), SESSION_DATA);
    scene_expect(&scene, 1, 0, &datagrams[0], "data");
    scene_seal(&scene, 1, 0, "back", &datagrams[0]);
    assert_int_equal(datagram_type(&datagrams[0]), SESSION_DATA);
    scene_expect(&scene, 0, 1, &datagrams[0], "back");
    for (int i = 0; i < 3; i++) {
        buffer_done(&datagrams[i]);
        buffer_done(&answers[i]);
    }
    scene_done(&scene);
}

/* Breaks if first packets that cross lose a payload, or leave the two on different keys. */
static void test_crossed_first_packets(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer from_0 = {0};
    cleanup_buffer struct buffer from_1 = {0};
    scene_init(&scene);
    scene_seal(&scene, 0, 1, "a", &from_0);
    scene_seal(&scene, 1, 0, "b", &from_1);
    scene_expect(&scene, 1, 0, &from_0, "a");
    scene_expect(&scene, 0, 1, &from_1, "b");
    scene_seal(&scene, 0, 1, "a2", &from_0);
    scene_seal(&scene, 1, 0, "b2", &from_1);
    scene_expect(&scene, 1, 0, &from_0, "a2");
    scene_expect(&scene, 0, 1, &from_1, "b2");
    for (int i = 0; i < 3; i++) {
        scene_seal(&scene, 0, 1, "a3", &from_0);
        scene_seal(&scene, 1, 0, "b3", &from_1);
        assert_int_equal(datagram_type(&from_0), SESSION_DATA);
        assert_int_equal(datagram_type(&from_1), SESSION_DATA);
        scene_expect(&scene, 1, 0, &from_0, "a3");
        scene_expect(&scene, 0, 1, &from_1, "b3");
    }
    /* Both settled on the keys of the smaller id's first packet, so one rekeying is enough. */
    scene.now_ms += SESSION_REKEY_AFTER_MS;
    scene_seal(&scene, 1, 0, "b4", &from_1);
    assert_int_equal(datagram_type(&from_1), SESSION_DATA);
    scene_expect(&scene, 0, 1, &from_1, "b4");
    scene_seal(&scene, 0, 1, "a4", &from_0);
    assert_int_equal(datagram_type(&from_0), SESSION_FIRST);
    scene_done(&scene);
}

/* Breaks if a session ends with the address that it began at (its peer moved, or NAT gave it
 * another port), or if what was taken is taken again because it comes from elsewhere. */
static void test_roaming(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "before");
    scene.peers[0].address = address_from_v4(0xc6336407, 40001);
    scene_seal(&scene, 0, 1, "moved", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_expect(&scene, 1, 0, &datagram, "moved");
    scene.peers[0].address = address_from_v4(0x08080808, 53);
    assert_int_equal(scene_open(&scene, 1, 0, &datagram), SESSION_REPLAYED);

    assert_int_equal(address_parse("[2001:db8::7]:40002", 0, &scene.peers[0].address), 0);
    scene.now_ms += SESSION_REKEY_AFTER_MS;
    scene_seal(&scene, 0, 1, "rekeyed", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST);
    scene_expect(&scene, 1, 0, &datagram, "rekeyed");
    scene.peers[0].address = address_from_v4(0x08080808, 53);
    assert_int_equal(scene_open(&scene, 1, 0, &datagram), SESSION_REPLAYED);
    scene_done(&scene);
}

/* Breaks if a stranger, a foreigner, an operator or a revoked peer leaves anything behind. */
static void test_not_admitted(void **state)
{
    (void)state;
    static const struct certificate_chain none;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    struct scene_peer *server = &scene.peers[1], *client = &scene.peers[0];

    server->refuse_all = true;
    scene_seal(&scene, 0, 1, "x", &datagram);
    assert_int_equal(scene_open(&scene, 1, 0, &datagram), SESSION_NOT_ADMITTED);
    assert_true(id_equal(&server->opened.from, scene_id(&scene, 0)));
    server->refuse_all = false;

    assert_int_equal(fixture_certify(&scene.root, &scene.root, &none, &client->identity, ROLE_ADMIN,
                                     &client->chain),
                     0);
    scene_start(&scene, 0, 2);
    scene_seal(&scene, 0, 1, "x", &datagram);
    assert_int_equal(scene_open(&scene, 1, 0, &datagram), SESSION_NOT_A_PEER);

    struct identity other;
    fixture_identity(&other, 99);
    assert_int_equal(
        fixture_certify(&other, &other, &none, &client->identity, ROLE_PEER, &client->chain), 0);
    scene_start(&scene, 0, 3);
    scene_seal(&scene, 0, 1, "x", &datagram);
    assert_int_equal(scene_open(&scene, 1, 0, &datagram), SESSION_CHAIN_BAD);
    assert_int_equal(server->opened.verdict, CERTIFICATE_FOREIGN_CLUSTER);

    struct sessions_config config = {.identity = &client->identity,
                                     .chain = &scene.peers[2].chain, /* somebody else's */
                                     .cluster = scene.root.id,
                                     .entropy = fixture_entropy(&scene.random),
                                     .admit = scene_admit};
    assert_null(sessions_new(&config));
    assert_int_equal(sessions_peer_count(server->sessions), 0);
    scene_done(&scene);
}

/* Breaks if a stolen certificate is of use without its key. */
static void test_key_not_owned(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    struct scene_peer *thief = &scene.peers[2];
    struct id own = thief->identity.id;
    thief->identity.id = *scene_id(&scene, 0); /* claims peer 0's, with its own secrets */
    thief->chain = scene.peers[0].chain;
    scene_start(&scene, 2, 5);
    thief->identity.id = own;
    scene_seal(&scene, 2, 1, "x", &datagram);
    assert_int_equal(scene_open(&scene, 1, 2, &datagram), SESSION_KEY_NOT_OWNED);
    assert_int_equal(sessions_peer_count(scene.peers[1].sessions), 0);
    scene_done(&scene);
}

/* Breaks if a forgotten (revoked) peer's keys still open or seal anything. */
static void test_forget(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_send(&scene, 0, 1, "hello");
    sessions_forget(scene.peers[1].sessions, scene_id(&scene, 0));
    scene.peers[1].refuse_all = true;
    scene_seal(&scene, 0, 1, "data", &datagram);
    assert_int_equal(scene_open(&scene, 1, 0, &datagram), SESSION_UNKNOWN_INDEX);
    assert_int_equal(sessions_peer_count(scene.peers[1].sessions), 0);
    sessions_forget(scene.peers[1].sessions, scene_id(&scene, 0));
    scene_done(&scene);
}

/* Breaks if the table grows past its bound, or not the idlest peer makes room. */
static void test_eviction(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    scene_start_with(&scene, 0, 2, &(struct sessions_config){.peers_max = 2});
    scene_send(&scene, 0, 1, "one");
    scene.now_ms++;
    scene_send(&scene, 0, 2, "two");
    scene.now_ms++;
    scene_send(&scene, 1, 0, "one is busy");
    scene.now_ms++;
    scene_send(&scene, 0, 3, "three");
    assert_int_equal(sessions_peer_count(scene.peers[0].sessions), 2);
    scene_seal(&scene, 0, 1, "kept", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_DATA);
    scene_seal(&scene, 0, 2, "gone", &datagram);
    assert_int_equal(datagram_type(&datagram), SESSION_FIRST);
    scene_done(&scene);
}

/* Breaks if a caller's mistakes are not told apart, or leave a datagram behind. */
static void test_refused_seals(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    scene_init(&scene);
    struct bytes text = bytes_of_text("x");
    struct sessions *sessions = scene.peers[0].sessions;
    assert_int_equal(sessions_seal(sessions, 0, scene_id(&scene, 0), text, &datagram), -EINVAL);
    assert_int_equal(sessions_seal(sessions, 0, &ID_NONE, text, &datagram), -EINVAL);
    scene.peers[0].chain.count = 0;
    scene_start(&scene, 0, 2);
    sessions = scene.peers[0].sessions;
    assert_int_equal(sessions_seal(sessions, 0, scene_id(&scene, 1), text, &datagram), -ENOKEY);
    assert_int_equal(sessions_peer_count(sessions), 0);
    assert_int_equal(datagram.size, 0);

    scene_send(&scene, 1, 0, "come in"); /* a peer without a certificate can still answer */
    scene_seal(&scene, 0, 1, "thanks", &datagram);
    scene_expect(&scene, 1, 0, &datagram, "thanks");
    for (int refusal = SESSION_ACCEPTED; refusal <= SESSION_NOT_ADMITTED; refusal++)
        assert_string_not_equal(session_refusal_words(refusal), "unknown");
    scene_done(&scene);
}

/* Breaks if under load a peer is shut out rather than asked for a cookie first. */
static void test_cookie_under_load(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer datagram = {0};
    cleanup_buffer struct buffer reply = {0};
    scene_init(&scene);
    scene_seal(&scene, 2, 1, "flood", &datagram);
    for (int i = 0; i < SESSION_HANDSHAKES_PER_SECOND; i++)
        scene_open(&scene, 1, 2, &datagram);
    scene_seal(&scene, 0, 1, "ping", &datagram);
    assert_int_equal(scene_open(&scene, 1, 0, &datagram), SESSION_COOKIE_WANTED);
    struct bytes cookie = scene.peers[1].opened.reply;
    assert_int_equal(cookie.size, SESSION_COOKIE_PACKET_BYTES);
    assert_int_equal(buffer_append(&reply, cookie.data, cookie.size), 0);
    assert_int_equal(scene_open(&scene, 2, 1, &reply), SESSION_UNKNOWN_INDEX);
    assert_int_equal(scene_open(&scene, 0, 1, &reply), SESSION_COOKIE_RECEIVED);
    assert_true(id_equal(&scene.peers[0].opened.from, scene_id(&scene, 1)));
    scene_seal(&scene, 0, 1, "ping", &datagram);
    scene_expect(&scene, 1, 0, &datagram, "ping");
    scene_done(&scene);
}

/* Breaks if handshakes that nobody answers pile up. */
static void test_unanswered_handshakes(void **state)
{
    (void)state;
    struct scene scene;
    cleanup_buffer struct buffer first = {0};
    cleanup_buffer struct buffer answer = {0};
    scene_init(&scene);
    scene_seal(&scene, 0, 1, "oldest", &first);
    scene_expect(&scene, 1, 0, &first, "oldest");
    scene_seal(&scene, 1, 0, "answer", &answer);
    for (int i = 0; i < SESSION_INITIATIONS_PER_PEER; i++)
        scene_seal(&scene, 0, 1, "more", &first);
    assert_int_equal(scene_open(&scene, 0, 1, &answer), SESSION_UNKNOWN_INDEX);
    scene_expect(&scene, 1, 0, &first, "more");
    scene_seal(&scene, 1, 0, "answer", &answer);
    scene.now_ms += SESSION_HANDSHAKE_TIMEOUT_MS;
    sessions_tick(scene.peers[0].sessions, scene.now_ms);
    assert_int_equal(scene_open(&scene, 0, 1, &answer), SESSION_UNKNOWN_INDEX);
    scene_done(&scene);
}

/* Breaks if the same seed and inputs do not give the same bytes. */
static void test_deterministic(void **state)
{
    (void)state;
    struct buffer datagrams[2] = {{0}};
    for (int run = 0; run < 2; run++) {
        struct scene scene;
        scene_init(&scene);
        scene_send(&scene, 0, 1, "hello");
        scene_send(&scene, 2, 1, "hello");
        scene_seal(&scene, 1, 2, "data", &datagrams[run]);
        scene_done(&scene);
    }
    assert_true(bytes_equal(buffer_view(&datagrams[0]), buffer_view(&datagrams[1])));
    buffer_done(&datagrams[0]);
    buffer_done(&datagrams[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_packet_and_answer),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_room_for_two),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_replay_of_an_older_generation),
        cmocka_unit_test(test_tampering),
        cmocka_unit_test(test_burst_to_a_stranger),
        cmocka_unit_test(test_crossed_first_packets),
        cmocka_unit_test(test_roaming),
        cmocka_unit_test(test_not_admitted),
        cmocka_unit_test(test_key_not_owned),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_refused_seals),
        cmocka_unit_test(test_cookie_under_load),
        cmocka_unit_test(test_unanswered_handshakes),
        cmocka_unit_test(test_deterministic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
