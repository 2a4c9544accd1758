/* Peers of one cluster that exchange packets through sessions, by hand: a test says what arrives.
 */
#pragma once

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gossip/session.h"
#include "tests/unit/gossip/crypto_fixture.h"

enum { SCENE_PEERS = 4 };

/* One end, with what it opened last. */
struct scene_peer {
    struct identity identity;
    struct certificate_chain chain;
    struct address address;
    struct sessions *sessions;
    struct sessions_opened opened;
    bool refuse_all; /* what its admit() says */
};

struct scene {
    struct random random;
    struct identity root;
    int64_t now_ms;
    struct scene_peer peers[SCENE_PEERS];
};

static inline bool scene_admit(void *context, const struct id *id,
                               const struct certificate_chain *chain)
{
    const struct scene_peer *peer = context;
    assert_true(id_equal(id, &chain->certificates[0].subject));
    return !peer->refuse_all;
}

/* Starts (again) that peer, with other limits than the default where `limits` says so. */
static inline void scene_start_with(struct scene *scene, int number, uint64_t generation,
                                    const struct sessions_config *limits)
{
    struct scene_peer *peer = &scene->peers[number];
    sessions_free(peer->sessions);
    struct sessions_config config = *limits;
    config.identity = &peer->identity;
    config.chain = &peer->chain;
    config.cluster = scene->root.id;
    config.entropy = fixture_entropy(&scene->random);
    config.generation = generation;
    config.admit = scene_admit;
    config.admit_context = peer;
    peer->sessions = sessions_new(&config);
    assert_non_null(peer->sessions);
}

static inline void scene_start(struct scene *scene, int number, uint64_t generation)
{
    scene_start_with(scene, number, generation, &(struct sessions_config){0});
}

/* All peers are certified by the root, and started. Peers 0 and 1 are in the order of their ids. */
static inline void scene_init(struct scene *scene)
{
    static const struct certificate_chain none;
    memset(scene, 0, sizeof(*scene));
    random_init(&scene->random, 11);
    scene->now_ms = 1000000;
    fixture_identity(&scene->root, 0);
    for (int i = 0; i < SCENE_PEERS; i++)
        fixture_identity(&scene->peers[i].identity, (uint8_t)(i + 1));
    if (id_compare(&scene->peers[0].identity.id, &scene->peers[1].identity.id) > 0) {
        struct identity kept = scene->peers[0].identity;
        scene->peers[0].identity = scene->peers[1].identity;
        scene->peers[1].identity = kept;
    }
    for (int i = 0; i < SCENE_PEERS; i++) {
        struct scene_peer *peer = &scene->peers[i];
        peer->address = address_from_v4(0x0a000001 + (uint32_t)i, 7300);
        assert_int_equal(fixture_certify(&scene->root, &scene->root, &none, &peer->identity,
                                         ROLE_PEER, &peer->chain),
                         0);
        scene_start(scene, i, 1);
    }
}

static inline void scene_done(struct scene *scene)
{
    for (int i = 0; i < SCENE_PEERS; i++)
        sessions_free(scene->peers[i].sessions);
}

static inline const struct id *scene_id(const struct scene *scene, int number)
{
    return &scene->peers[number].identity.id;
}

/* Seals `text` from one peer to another into `ret`, which is emptied first. */
static inline void scene_seal(struct scene *scene, int from, int to, const char *text,
                              struct buffer *ret)
{
    buffer_clear(ret);
    assert_int_equal(sessions_seal(scene->peers[from].sessions, scene->now_ms, scene_id(scene, to),
                                   bytes_of_text(text), ret),
                     0);
    assert_in_range(ret->size, 1, SESSION_DATAGRAM_BYTES_MAX);
}

/* Delivers a datagram; what came of it stands in peers[at].opened. */
static inline enum session_refusal scene_open(struct scene *scene, int at, int source,
                                              const struct buffer *datagram)
{
    struct scene_peer *peer = &scene->peers[at];
    assert_int_equal(sessions_open(peer->sessions, scene->now_ms, &scene->peers[source].address,
                                   buffer_view(datagram), &peer->opened),
                     0);
    assert_true(peer->opened.reply.size <= datagram->size);
    return peer->opened.refusal;
}

/* Appends the bare answer that `at` owes to `to` into `ret`, which is emptied first. */
static inline void scene_answer(struct scene *scene, int at, int to, struct buffer *ret)
{
    buffer_clear(ret);
    assert_int_equal(
        sessions_answer(scene->peers[at].sessions, scene->now_ms, scene_id(scene, to), ret), 0);
}

/* Opens a datagram that must be good and have that payload. */
static inline void scene_expect(struct scene *scene, int at, int source,
                                const struct buffer *datagram, const char *text)
{
    assert_int_equal(scene_open(scene, at, source, datagram), SESSION_ACCEPTED);
    const struct sessions_opened *opened = &scene->peers[at].opened;
    assert_true(id_equal(&opened->from, scene_id(scene, source)));
    assert_true(bytes_equal(opened->payload, bytes_of_text(text)));
}

/* Sends `text` and then lets both answer until nothing is due. */
static inline void scene_send(struct scene *scene, int from, int to, const char *text)
{
    cleanup_buffer struct buffer datagram = {0};
    scene_seal(scene, from, to, text, &datagram);
    scene_expect(scene, to, from, &datagram, text);
    int at = to, other = from;
    while (scene->peers[at].opened.answer_due) {
        scene_answer(scene, at, other, &datagram);
        scene_expect(scene, other, at, &datagram, "");
        int kept = at;
        at = other;
        other = kept;
    }
}

static inline uint8_t datagram_type(const struct buffer *datagram)
{
    return datagram->bytes[0];
}
