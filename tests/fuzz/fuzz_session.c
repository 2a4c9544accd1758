/* Packet sessions: whatever arrives, nothing forged is accepted, and the true packet still is.
 *
 * The first byte picks what the rest is: a raw datagram; the certificate chain inside a first
 * packet that is otherwise good; or changes (offset u16, value u8) to a first packet, an answer or
 * data; the same with replies. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "gossip/session_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct address SOURCE = {.ip = {[10] = 0xff, 0xff, 10, 0, 0, 1}, .port = 7300};

struct scene {
    struct random random;
    struct identity root;
    struct identity identities[2];
    struct sessions *peers[2];
};

static void fill(void *context, void *ret, size_t size)
{
    random_fill(context, ret, size);
}

static bool admit(void *context, const struct id *id, const struct certificate_chain *chain)
{
    (void)context;
    assert(id_equal(id, &chain->certificates[0].subject));
    return true;
}

static void scene_init(struct scene *scene)
{
    static const struct certificate_chain none;
    static const uint8_t seeds[3][IDENTITY_SEED_BYTES] = {{1}, {2}, {3}};

    random_init(&scene->random, 1);
    identity_init(&scene->root, seeds[2]);
    for (int i = 0; i < 2; i++) {
        struct certificate_chain chain;
        struct certificate leaf = {.name = "peer", .role = ROLE_PEER};

        identity_init(&scene->identities[i], seeds[i]);
        leaf.cluster = scene->root.id;
        leaf.subject = scene->identities[i].id;
        assert(certificate_sign(&leaf, &scene->root) == 0);
        assert(certificate_chain_extend(&leaf, &none, &chain) == 0);
        scene->peers[i] = sessions_new(&(struct sessions_config){
            .identity = &scene->identities[i],
            .chain = &chain,
            .cluster = scene->root.id,
            .entropy = {fill, &scene->random},
            .generation = 1,
            .admit = admit,
        });
        assert(scene->peers[i]);
    }
}

static void scene_done(struct scene *scene)
{
    sessions_free(scene->peers[0]);
    sessions_free(scene->peers[1]);
}

static void seal(struct scene *scene, int from, struct buffer *ret)
{
    buffer_clear(ret);
    int rc = sessions_seal(scene->peers[from], 0, &scene->identities[1 - from].id,
                           bytes_of_text("payload"), ret);
    assert(rc == 0);
}

static void reply(struct scene *scene, int from, struct buffer *ret)
{
    buffer_clear(ret);
    int rc = sessions_reply(scene->peers[from], 0, &scene->identities[1 - from].id,
                            bytes_of_text("payload"), ret);
    assert(rc == 0);
}

static enum session_refusal open_at(struct scene *scene, int at, struct bytes datagram)
{
    struct sessions_opened opened;
    int rc = sessions_open(scene->peers[at], 0, &SOURCE, datagram, &opened);

    assert(rc == 0);
    assert(opened.reply.size <= datagram.size);
    assert(opened.refusal == SESSION_ACCEPTED || !opened.answer_due);
    return opened.refusal;
}

/* A raw datagram at a peer that has keys with another. */
static void run_raw(struct scene *scene, const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer datagram = {0};

    seal(scene, 0, &datagram);
    open_at(scene, 1, buffer_view(&datagram));
    assert(open_at(scene, 1, (struct bytes){data, size}) != SESSION_ACCEPTED);
}

static void run_chain(struct scene *scene, const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer datagram = {0};
    struct buffer *chain = &scene->peers[0]->chain;

    if (size == 0 || size > CERTIFICATE_CHAIN_BYTES_MAX)
        return;
    buffer_clear(chain);
    assert(buffer_append(chain, data, size) == 0);
    seal(scene, 0, &datagram);
    assert(open_at(scene, 1, buffer_view(&datagram)) != SESSION_ACCEPTED);
    assert(sessions_peer_count(scene->peers[1]) == 0);
}

/* With `is_reply`, what follows the first packet asks for no answer. */
static void run_changes(struct scene *scene, int changed_turn, bool is_reply, const uint8_t *data,
                        size_t size)
{
    cleanup_buffer struct buffer datagram = {0};

    for (int turn = 0; turn < 3; turn++) {
        int from = turn % 2;

        if (is_reply && turn > 0)
            reply(scene, from, &datagram);
        else
            seal(scene, from, &datagram);
        cleanup_buffer struct buffer forged = {0};
        assert(buffer_append(&forged, datagram.bytes, datagram.size) == 0);
        for (size_t i = 0; turn == changed_turn && i + 3 <= size; i += 3)
            forged.bytes[(data[i] << 8 | data[i + 1]) % forged.size] ^= data[i + 2];
        size_t proven = turn == 0 ? datagram.size - SESSION_MAC_BYTES : datagram.size;
        bool same = memcmp(forged.bytes, datagram.bytes, proven) == 0;
        assert((open_at(scene, 1 - from, buffer_view(&forged)) == SESSION_ACCEPTED) == same);
        if (!same)
            assert(open_at(scene, 1 - from, buffer_view(&datagram)) == SESSION_ACCEPTED);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene;

    if (size == 0)
        return 0;
    scene_init(&scene);
    int kind = data[0] % 8;
    if (kind == 0)
        run_raw(&scene, data + 1, size - 1);
    else if (kind == 1)
        run_chain(&scene, data + 1, size - 1);
    else
        run_changes(&scene, (kind - 2) % 3, kind >= 5, data + 1, size - 1);
    scene_done(&scene);
    return 0;
}
