#include "gossip/session_handshake.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char PROLOGUE[] = "consort packets";

enum {
    PROLOGUE_CHARS = sizeof(PROLOGUE) - 1,
    PROLOGUE_BYTES = PROLOGUE_CHARS + SESSION_HEADER_BYTES,
};

/* The prologue binds the first packet's header: version and sender index cannot be changed. */
static struct bytes prologue_of(const uint8_t header[SESSION_HEADER_BYTES],
                                uint8_t storage[PROLOGUE_BYTES])
{
    memcpy(storage, PROLOGUE, PROLOGUE_CHARS);
    memcpy(storage + PROLOGUE_CHARS, header, SESSION_HEADER_BYTES);
    return (struct bytes){storage, PROLOGUE_BYTES};
}

static void handshake_init(const struct sessions *sessions, const uint8_t *header,
                           const uint8_t *remote_static, struct noise_handshake *ret)
{
    uint8_t storage[PROLOGUE_BYTES];
    noise_handshake_init(ret, &(struct noise_config){
                                  .pattern = NOISE_IK,
                                  .initiator = remote_static != NULL,
                                  .prologue = prologue_of(header, storage),
                                  .static_secret = sessions->identity->exchange_secret,
                                  .remote_static = remote_static,
                                  .entropy = sessions->entropy,
                              });
}

size_t session_first_room(const struct sessions *sessions)
{
    return SESSION_DATAGRAM_BYTES_MAX - SESSION_FIRST_OVERHEAD_BYTES - sessions->chain.size;
}

/* Appends a whole first packet for the initiation's handshake. On failure the buffer may have
 * grown, and the caller restores it. */
static int write_first(struct sessions *sessions, int64_t now_ms,
                       struct session_initiation *initiation, struct bytes payload,
                       struct buffer *datagram)
{
    struct session_peer *peer = initiation->slot.peer;
    uint8_t header[SESSION_HEADER_BYTES], inside[SESSION_FIRST_INSIDE_BYTES];
    size_t start = datagram->size;

    session_header_encode(SESSION_FIRST, initiation->slot.index, header);
    handshake_init(sessions, header, peer->exchange_public, &initiation->handshake);
    session_first_encode(
        &(struct session_first){initiation->stamp, buffer_view(&sessions->chain), payload}, inside);
    int rc = buffer_reserve(datagram, SESSION_DATAGRAM_BYTES_MAX);
    if (rc < 0)
        return rc;
    buffer_append(datagram, header, sizeof(header));
    rc = noise_write(&initiation->handshake, (struct bytes){inside, sizeof(inside)}, datagram);
    if (rc < 0)
        return rc;
    uint8_t *first = datagram->bytes + start;
    assert(datagram->size - start == SESSION_FIRST_MACS_OFFSET);
    session_guard_sign(&peer->id, &peer->cookie, now_ms, first);
    memcpy(initiation->mac1, first + SESSION_FIRST_MACS_OFFSET, SESSION_MAC_BYTES);
    datagram->size = start + SESSION_DATAGRAM_BYTES_MAX;
    return 0;
}

int session_initiate(struct sessions *sessions, int64_t now_ms, struct session_peer *peer,
                     struct bytes payload, struct buffer *ret_datagram)
{
    assert(sessions->chain.size > 0);
    assert(payload.size <= session_first_room(sessions));
    struct session_initiation *initiation = calloc(1, sizeof(*initiation));
    if (!initiation)
        return -ENOMEM;
    size_t size_before = ret_datagram->size;
    initiation->slot = (struct session_slot){
        .index = session_table_pick_index(&sessions->table, &sessions->entropy),
        .kind = SESSION_SLOT_INITIATION,
        .peer = peer,
    };
    sessions->stamp.counter++; /* also on failure: a stamp is never used twice */
    initiation->stamp = sessions->stamp;
    initiation->sent_ms = now_ms;
    initiation->known_generation = peer->generation;
    int rc = write_first(sessions, now_ms, initiation, payload, ret_datagram);
    if (rc == 0)
        rc = session_peer_add_initiation(&sessions->table, peer, initiation);
    if (rc < 0) {
        ret_datagram->size = size_before;
        noise_done(&initiation->handshake);
        free(initiation);
        return rc;
    }
    peer->initiated = true;
    peer->initiated_ms = now_ms;
    session_peer_touch(&sessions->table, peer);
    return 0;
}

/* Appends the answer for `keys`, whose slot is filled in, and derives them. */
static int write_answer(struct sessions *sessions, struct noise_handshake *handshake,
                        struct session_keys *keys, struct bytes payload, struct buffer *datagram)
{
    uint8_t header[SESSION_HEADER_BYTES];
    uint8_t inside[SESSION_ANSWER_FIELDS_BYTES + SESSION_ANSWER_PAYLOAD_BYTES_MAX];
    session_header_encode(SESSION_ANSWER, keys->remote_index, header);
    session_answer_encode(
        &(struct session_answer){keys->slot.index, sessions->stamp.generation, payload}, inside);
    int rc = buffer_append(datagram, header, sizeof(header));
    if (rc < 0)
        return rc;
    rc = noise_write(handshake, (struct bytes){inside, SESSION_ANSWER_FIELDS_BYTES + payload.size},
                     datagram);
    sodium_memzero(inside, sizeof(inside));
    if (rc < 0)
        return rc;
    noise_split(handshake, &keys->send, &keys->receive);
    return 0;
}

int session_respond(struct sessions *sessions, int64_t now_ms, struct session_peer *peer,
                    struct bytes payload, struct buffer *ret_datagram)
{
    assert(peer->response);
    assert(payload.size <= SESSION_ANSWER_PAYLOAD_BYTES_MAX);
    struct session_response *response = peer->response;
    struct session_keys *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    size_t size_before = ret_datagram->size;
    keys->slot = (struct session_slot){
        .index = session_table_pick_index(&sessions->table, &sessions->entropy),
        .kind = SESSION_SLOT_KEYS,
        .peer = peer,
    };
    keys->remote_index = response->remote_index;
    keys->created_ms = now_ms;
    keys->stamp = response->stamp;
    keys->remote_generation = response->stamp.generation;
    int rc = write_answer(sessions, &response->handshake, keys, payload, ret_datagram);
    if (rc == 0)
        rc = session_peer_add_keys(&sessions->table, peer, keys);
    /* Even if it failed: what was half answered is not answered again under the same keys. */
    session_peer_drop_response(&sessions->table, peer);
    if (rc < 0) {
        ret_datagram->size = size_before;
        sodium_memzero(keys, sizeof(*keys));
        free(keys);
        return rc;
    }
    session_peer_touch(&sessions->table, peer);
    return 0;
}

/* A first packet as it is understood step by step. */
struct arrival {
    struct noise_handshake handshake;
    struct session_first first;
    struct certificate_chain chain;
    uint8_t chain_hash[SESSION_CHAIN_HASH_BYTES];
};

/* Decrypts and decodes; the caller calls noise_done(). */
static enum session_refusal read_first(struct sessions *sessions, struct bytes datagram,
                                       struct arrival *arrival)
{
    handshake_init(sessions, datagram.data, NULL, &arrival->handshake);
    struct bytes message = {datagram.data + SESSION_HEADER_BYTES, SESSION_FIRST_NOISE_BYTES};
    if (noise_read(&arrival->handshake, message, &sessions->opened) < 0)
        return SESSION_NOT_AUTHENTIC;
    if (session_first_decode(buffer_view(&sessions->opened), &arrival->first) < 0)
        return SESSION_MALFORMED;

    struct bytes chain = arrival->first.chain;
    struct reader reader;
    reader_init(&reader, chain.data, chain.size);
    certificate_chain_read(&reader, &arrival->chain);
    if (reader_end(&reader) < 0)
        return SESSION_MALFORMED;
    crypto_generichash(arrival->chain_hash, sizeof(arrival->chain_hash), chain.data, chain.size,
                       NULL, 0);
    return SESSION_ACCEPTED;
}

/* Whether the sender owns the certificate, is new, and may talk to us. `peer` is NULL for a
 * stranger. */
static enum session_refusal judge_first(struct sessions *sessions, const struct arrival *arrival,
                                        const struct session_peer *peer,
                                        enum certificate_verdict *ret_verdict)
{
    const struct certificate *leaf = &arrival->chain.certificates[0];
    uint8_t exchange_public[EXCHANGE_KEY_BYTES];
    if (id_to_exchange(&leaf->subject, exchange_public) < 0 ||
        memcmp(exchange_public, noise_remote_static(&arrival->handshake), EXCHANGE_KEY_BYTES) != 0)
        return SESSION_KEY_NOT_OWNED;
    if (peer &&
        (arrival->first.stamp.generation < peer->generation ||
         (peer->stamped && session_stamp_compare(&arrival->first.stamp, &peer->stamp) <= 0)))
        return SESSION_REPLAYED;

    bool verified = peer && peer->stamped &&
                    memcmp(peer->chain_hash, arrival->chain_hash, SESSION_CHAIN_HASH_BYTES) == 0;
    enum certificate_verdict verdict = CERTIFICATE_GOOD;
    if (!verified)
        verdict = certificate_chain_verify(&arrival->chain, &sessions->cluster);
    if (verdict != CERTIFICATE_GOOD) {
        *ret_verdict = verdict;
        return SESSION_CHAIN_BAD;
    }
    if (leaf->role != ROLE_PEER)
        return SESSION_NOT_A_PEER;
    if (id_equal(&leaf->subject, &sessions->identity->id) ||
        !sessions->admit(sessions->admit_context, &leaf->subject, &arrival->chain))
        return SESSION_NOT_ADMITTED;
    return SESSION_ACCEPTED;
}

/* Remembers an admitted first packet until it is answered; an unanswered earlier one gives way. */
static int accept_first(struct sessions *sessions, int64_t now_ms, uint32_t index,
                        const struct arrival *arrival)
{
    struct session_peer *peer;
    struct session_response *response = calloc(1, sizeof(*response));
    if (!response)
        return -ENOMEM;
    int rc = session_table_obtain(&sessions->table, &arrival->chain.certificates[0].subject, &peer);
    if (rc < 0) {
        free(response);
        return rc;
    }
    response->handshake = arrival->handshake;
    response->remote_index = index;
    response->stamp = arrival->first.stamp;
    response->received_ms = now_ms;
    session_peer_lives(&sessions->table, peer, arrival->first.stamp.generation);
    session_peer_set_response(&sessions->table, peer, response);
    peer->stamped = true;
    peer->stamp = arrival->first.stamp;
    session_peer_touch(&sessions->table, peer);
    memcpy(peer->chain_hash, arrival->chain_hash, SESSION_CHAIN_HASH_BYTES);
    return 0;
}

int session_open_first(struct sessions *sessions, int64_t now_ms, const struct address *source,
                       struct bytes datagram, uint32_t index, struct sessions_opened *ret)
{
    struct arrival arrival = {0};
    ret->refusal = session_guard_check(&sessions->guard, now_ms, source, datagram);
    if (ret->refusal == SESSION_COOKIE_WANTED) {
        session_guard_reply(&sessions->guard, now_ms, source, datagram, index, sessions->reply);
        ret->reply = (struct bytes){sessions->reply, sizeof(sessions->reply)};
    }
    if (ret->refusal != SESSION_ACCEPTED)
        return 0;

    int rc = 0;
    ret->refusal = read_first(sessions, datagram, &arrival);
    if (ret->refusal != SESSION_ACCEPTED)
        goto out;
    if (arrival.chain.count == 0) {
        ret->refusal = SESSION_CHAIN_BAD;
        ret->verdict = CERTIFICATE_CHAIN_EMPTY;
        goto out;
    }
    ret->from = arrival.chain.certificates[0].subject;
    ret->refusal = judge_first(sessions, &arrival, session_table_find(&sessions->table, &ret->from),
                               &ret->verdict);
    if (ret->refusal != SESSION_ACCEPTED)
        goto out;
    rc = accept_first(sessions, now_ms, index, &arrival);
    if (rc < 0)
        goto out;
    ret->payload = arrival.first.payload;
    ret->answer_due = true;
out:
    noise_done(&arrival.handshake);
    return rc;
}

/* The first packet of ours that a packet answers, or NULL. */
static struct session_initiation *initiation_of(const struct sessions *sessions, uint32_t index)
{
    struct session_slot *slot = session_table_slot(&sessions->table, index);
    if (!slot || slot->kind != SESSION_SLOT_INITIATION)
        return NULL;
    return (struct session_initiation *)slot;
}

/* Whether the answer was held back until we heard of a later life of the peer. If we knew of that
 * when we asked, the answer is of now all the same: the peer was put back from a backup. */
static bool is_of_earlier_life(const struct session_initiation *initiation,
                               const struct session_answer *answer)
{
    uint64_t known = initiation->slot.peer->generation;
    return answer->generation < known && initiation->known_generation < known;
}

/* Turns an answered first packet into keys. */
static void complete(struct sessions *sessions, int64_t now_ms,
                     struct session_initiation *initiation, const struct session_answer *answer,
                     struct session_keys *keys)
{
    struct session_peer *peer = initiation->slot.peer;
    keys->slot = initiation->slot;
    keys->slot.kind = SESSION_SLOT_KEYS;
    keys->remote_index = answer->sender_index;
    keys->created_ms = now_ms;
    keys->initiator = true;
    keys->stamp = initiation->stamp;
    keys->remote_generation = answer->generation;
    noise_split(&initiation->handshake, &keys->send, &keys->receive);
    session_peer_lives(&sessions->table, peer, answer->generation);
    session_peer_promote(&sessions->table, initiation, keys);
    session_peer_confirm(peer, &sessions->identity->id, keys);
    peer->confirmation_due = peer->sending == keys;
    peer->unanswered = false;
    session_peer_touch(&sessions->table, peer);
}

int session_open_answer(struct sessions *sessions, int64_t now_ms, struct bytes datagram,
                        uint32_t index, struct sessions_opened *ret)
{
    struct session_initiation *initiation = initiation_of(sessions, index);
    if (!initiation) {
        ret->refusal = SESSION_UNKNOWN_INDEX;
        return 0;
    }
    struct session_peer *peer = initiation->slot.peer;
    struct session_answer answer;
    struct session_keys *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    ret->from = peer->id;
    struct bytes message = {datagram.data + SESSION_HEADER_BYTES,
                            datagram.size - SESSION_HEADER_BYTES};
    if (noise_read(&initiation->handshake, message, &sessions->opened) < 0)
        ret->refusal = SESSION_NOT_AUTHENTIC;
    else if (session_answer_decode(buffer_view(&sessions->opened), &answer) < 0)
        ret->refusal = SESSION_MALFORMED;
    else if (is_of_earlier_life(initiation, &answer))
        ret->refusal = SESSION_REPLAYED;
    if (ret->refusal != SESSION_ACCEPTED) {
        free(keys);
        if (noise_is_done(&initiation->handshake)) /* there can't be another answer */
            session_peer_drop_initiation(&sessions->table, initiation);
        return 0;
    }
    complete(sessions, now_ms, initiation, &answer, keys);
    ret->payload = answer.payload;
    ret->answer_due = peer->confirmation_due;
    return 0;
}

void session_open_cookie(struct sessions *sessions, int64_t now_ms, struct bytes datagram,
                         uint32_t index, struct sessions_opened *ret)
{
    struct session_initiation *initiation = initiation_of(sessions, index);
    if (!initiation) {
        ret->refusal = SESSION_UNKNOWN_INDEX;
        return;
    }
    struct session_peer *peer = initiation->slot.peer;
    ret->from = peer->id;
    ret->refusal = SESSION_COOKIE_RECEIVED;
    if (session_cookie_open(&peer->id, initiation->mac1, datagram, now_ms, &peer->cookie) < 0)
        ret->refusal = SESSION_NOT_AUTHENTIC;
}
