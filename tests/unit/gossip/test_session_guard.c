#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gossip/session_guard.h"
#include "tests/unit/gossip/crypto_fixture.h"

/* A guard, and a first packet to it without a handshake inside, which the guard does not look at.
 */
struct scene {
    struct random random;
    struct identity identity;
    struct session_guard guard;
    struct session_cookie cookie; /* that the source has */
    struct address source;
    uint8_t first[SESSION_DATAGRAM_BYTES_MAX];
};

static void scene_init(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    random_init(&scene->random, 5);
    fixture_identity(&scene->identity, 1);
    struct entropy entropy = fixture_entropy(&scene->random);
    session_guard_init(&scene->guard, &scene->identity.id, &entropy);
    scene->source = address_from_v4(0xc0000207, 7300);
    session_header_encode(SESSION_FIRST, 77, scene->first);
}

static enum session_refusal check(struct scene *scene, int64_t now_ms)
{
    session_guard_sign(&scene->identity.id, &scene->cookie, now_ms, scene->first);
    return session_guard_check(&scene->guard, now_ms, &scene->source,
                               (struct bytes){scene->first, sizeof(scene->first)});
}

/* Uses up what a second allows without cookies. */
static void load(struct scene *scene, int64_t now_ms)
{
    for (int i = 0; i < SESSION_HANDSHAKES_PER_SECOND; i++)
        assert_int_equal(check(scene, now_ms), SESSION_ACCEPTED);
}

/* Asks for a cookie and takes it. */
static void fetch_cookie(struct scene *scene, int64_t now_ms)
{
    uint8_t reply[SESSION_COOKIE_PACKET_BYTES];
    session_guard_reply(&scene->guard, now_ms, &scene->source,
                        (struct bytes){scene->first, sizeof(scene->first)}, 77, reply);
    assert_int_equal(
        session_cookie_open(&scene->identity.id, scene->first + SESSION_FIRST_MACS_OFFSET,
                            (struct bytes){reply, sizeof(reply)}, now_ms, &scene->cookie),
        0);
}

/* Breaks if packets that were not made for us reach the key exchange. */
static void test_not_for_us(void **state)
{
    (void)state;
    struct scene scene;
    struct identity other;
    scene_init(&scene);
    fixture_identity(&other, 2);
    assert_int_equal(check(&scene, 0), SESSION_ACCEPTED);
    session_guard_sign(&other.id, &scene.cookie, 0, scene.first);
    struct bytes first = {scene.first, sizeof(scene.first)};
    assert_int_equal(session_guard_check(&scene.guard, 0, &scene.source, first),
                     SESSION_NOT_FOR_US);
    check(&scene, 0);
    scene.first[100] ^= 1;
    assert_int_equal(session_guard_check(&scene.guard, 0, &scene.source, first),
                     SESSION_NOT_FOR_US);
}

/* Breaks if a flood from forged addresses costs a key exchange a packet, or lasts past the load. */
static void test_load(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    load(&scene, 1000);
    assert_int_equal(check(&scene, 1999), SESSION_COOKIE_WANTED);
    assert_int_equal(check(&scene, 2000), SESSION_ACCEPTED);
}

/* Breaks if a cookie does not let its source through, or lets another through. */
static void test_cookie(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    load(&scene, 1000);
    assert_int_equal(check(&scene, 1000), SESSION_COOKIE_WANTED);
    fetch_cookie(&scene, 1000);
    assert_int_equal(check(&scene, 1000), SESSION_ACCEPTED);
    scene.source.port++;
    assert_int_equal(check(&scene, 1000), SESSION_COOKIE_WANTED);
}

/* Breaks if a cookie works for ever. */
static void test_cookie_ages(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    load(&scene, 0);
    check(&scene, 0);
    fetch_cookie(&scene, 0);
    scene.cookie.received_ms =
        SESSION_COOKIE_LIFE_MS; /* as if it had come later than it was made */
    load(&scene, SESSION_COOKIE_LIFE_MS);
    assert_int_equal(check(&scene, SESSION_COOKIE_LIFE_MS), SESSION_COOKIE_WANTED);
}

/* Breaks if one honest address can use up everyone's share under load. */
static void test_share_of_a_source(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    load(&scene, 1000);
    check(&scene, 1000);
    fetch_cookie(&scene, 1000);
    for (int i = 0; i < SESSION_SOURCE_HANDSHAKES_PER_SECOND; i++)
        assert_int_equal(check(&scene, 1000), SESSION_ACCEPTED);
    assert_int_equal(check(&scene, 1000), SESSION_SOURCE_BUSY);
}

/* Breaks if a cookie can be forged, changed, or sent by who did not see the first packet. */
static void test_forged_cookie(void **state)
{
    (void)state;
    struct scene scene;
    uint8_t reply[SESSION_COOKIE_PACKET_BYTES];
    scene_init(&scene);
    check(&scene, 0);
    session_guard_reply(&scene.guard, 0, &scene.source,
                        (struct bytes){scene.first, sizeof(scene.first)}, 77, reply);
    uint8_t *mac1 = scene.first + SESSION_FIRST_MACS_OFFSET;
    for (size_t i = SESSION_HEADER_BYTES; i < sizeof(reply); i++) {
        reply[i] ^= 1;
        assert_int_equal(session_cookie_open(&scene.identity.id, mac1,
                                             (struct bytes){reply, sizeof(reply)}, 0,
                                             &scene.cookie),
                         -EBADMSG);
        reply[i] ^= 1;
    }
    mac1[3] ^= 1;
    assert_int_equal(session_cookie_open(&scene.identity.id, mac1,
                                         (struct bytes){reply, sizeof(reply)}, 0, &scene.cookie),
                     -EBADMSG);
    assert_false(scene.cookie.known);
    session_guard_done(&scene.guard);
}

/* Sends first packets from that address, with its cookie, and counts how many go on. */
static unsigned flood_from(struct scene *scene, int64_t now_ms, struct address source, int count)
{
    unsigned accepted = 0;
    scene->source = source;
    scene->cookie.known = false;
    check(scene, now_ms);
    fetch_cookie(scene, now_ms);
    for (int i = 0; i < count; i++)
        accepted += check(scene, now_ms) == SESSION_ACCEPTED;
    return accepted;
}

/* Breaks if many real addresses, or the many of one IPv6 host, can have as many key exchanges of us
 * as they like, or if an honest source gets none meanwhile. */
static void test_many_sources(void **state)
{
    (void)state;
    enum { SOURCES = 2000, EACH = 25 };
    struct scene scene;
    scene_init(&scene);
    load(&scene, 5000);
    unsigned accepted = 0;
    for (uint32_t i = 0; i < SOURCES; i++)
        accepted += flood_from(&scene, 5000, address_from_v4(0x0b000000 + i, 7300), EACH);
    print_message("%d sources: %u handshakes in a second\n", (int)SOURCES, accepted);
    assert_true(accepted <= SESSION_PROVEN_HANDSHAKES_PER_SECOND + SESSION_SOURCE_BUCKETS);

    load(&scene, 7000);
    accepted = 0;
    for (uint8_t i = 0; i < 100; i++) {
        struct address source = {.ip = {0x20, 1, 0xd, 0xb8, [15] = i}, .port = 7300};
        accepted += flood_from(&scene, 7000, source, EACH);
    }
    assert_int_equal(accepted, SESSION_SOURCE_HANDSHAKES_PER_SECOND);
    for (uint32_t i = 0; i < 100;
         i++) /* and so much that there is no room for more than one each */
        flood_from(&scene, 7000, address_from_v4(0x0c000000 + i, 7300), EACH);
    assert_true(flood_from(&scene, 7000, address_from_v4(0xc0000201, 7300), 1) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_for_us),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_cookie),
        cmocka_unit_test(test_cookie_ages),
        cmocka_unit_test(test_share_of_a_source),
        cmocka_unit_test(test_many_sources),
        cmocka_unit_test(test_forged_cookie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
