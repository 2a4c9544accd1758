#include "gossip/session.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "gossip/session_handshake.h"
#include "gossip/session_state.h"

const char *session_refusal_words(enum session_refusal refusal)
{
    switch (refusal) {
    case SESSION_ACCEPTED:
        return "it was accepted";
    case SESSION_MALFORMED:
        return "it is not a packet of consort";
    case SESSION_OTHER_VERSION:
        return "it is of another version of the protocol";
    case SESSION_NOT_FOR_US:
        return "it was made for another peer";
    case SESSION_COOKIE_WANTED:
        return "too many first packets at once: its source must prove its address";
    case SESSION_COOKIE_RECEIVED:
        return "the peer is busy and wants the last packet again";
    case SESSION_SOURCE_BUSY:
        return "too many first packets from that source";
    case SESSION_UNKNOWN_INDEX:
        return "it is under keys that are not known here (any more)";
    case SESSION_NOT_AUTHENTIC:
        return "it is not authentic";
    case SESSION_REPLAYED:
        return "it was here before";
    case SESSION_KEYS_EXPIRED:
        return "its keys are too old";
    case SESSION_CHAIN_BAD:
        return "its certificate is not accepted";
    case SESSION_KEY_NOT_OWNED:
        return "its certificate belongs to another key";
    case SESSION_NOT_A_PEER:
        return "its certificate is not a peer's";
    case SESSION_NOT_ADMITTED:
        return "that peer is not admitted (any more)";
    case SESSION_REFUSALS:
        break;
    }
    return "unknown";
}

static int encode_chain(struct sessions *sessions, const struct certificate_chain *chain)
{
    struct writer writer;
    if (!id_equal(&chain->certificates[0].subject, &sessions->identity->id))
        return -EINVAL;
    writer_init(&writer, &sessions->chain);
    certificate_chain_write(&writer, chain);
    return writer_check(&writer);
}

struct sessions *sessions_new(const struct sessions_config *config)
{
    assert(config->identity);
    assert(config->admit);
    assert(config->entropy.fill);
    struct sessions *sessions = calloc(1, sizeof(*sessions));
    if (!sessions)
        return NULL;
    sessions->identity = config->identity;
    sessions->cluster = config->cluster;
    sessions->entropy = config->entropy;
    sessions->admit = config->admit;
    sessions->admit_context = config->admit_context;
    sessions->rekey_after_ms =
        config->rekey_after_ms ? config->rekey_after_ms : SESSION_REKEY_AFTER_MS;
    sessions->rekey_after_messages =
        config->rekey_after_messages ? config->rekey_after_messages : SESSION_REKEY_AFTER_MESSAGES;
    sessions->stamp.generation = config->generation;
    session_guard_init(&sessions->guard, &config->identity->id, &config->entropy);
    session_table_init(&sessions->table, config->peers_max ? config->peers_max : SESSION_PEERS_MAX,
                       config->table_bytes_max ? config->table_bytes_max : SESSION_TABLE_BYTES_MAX);
    if (buffer_reserve(&sessions->opened, SESSION_DATAGRAM_BYTES_MAX) < 0 ||
        (config->chain && config->chain->count > 0 && encode_chain(sessions, config->chain) < 0)) {
        sessions_free(sessions);
        return NULL;
    }
    return sessions;
}

void sessions_free(struct sessions *sessions)
{
    if (!sessions)
        return;
    session_table_done(&sessions->table);
    session_guard_done(&sessions->guard);
    buffer_done(&sessions->chain);
    buffer_done(&sessions->opened);
    free(sessions);
}

static bool keys_are_expired(const struct sessions *sessions, const struct session_keys *keys,
                             int64_t now_ms)
{
    return now_ms - keys->created_ms >= 2 * sessions->rekey_after_ms;
}

/* The keys to send under, or NULL. */
static struct session_keys *usable_keys(const struct sessions *sessions,
                                        const struct session_peer *peer, int64_t now_ms)
{
    struct session_keys *keys = peer->sending;
    if (!keys || keys_are_expired(sessions, keys, now_ms) ||
        keys->sent_count >= 2 * sessions->rekey_after_messages)
        return NULL;
    return keys;
}

/* Whether the next packet should be a first one although there are keys: they are old, or the other
 * side has been silent for long enough to have lost them. */
static bool first_is_due(const struct sessions *sessions, const struct session_peer *peer,
                         const struct session_keys *keys, int64_t now_ms)
{
    if (sessions->chain.size == 0)
        return false;
    if (peer->initiated && now_ms - peer->initiated_ms < SESSION_REKEY_RETRY_MS)
        return false;
    if (peer->unanswered && now_ms - peer->unanswered_since_ms >= SESSION_SILENCE_MS)
        return true;
    /* The initiator of the last handshake begins the next; the other side only if it does not. */
    int64_t limit_ms = sessions->rekey_after_ms;
    if (!keys->initiator)
        limit_ms += limit_ms / 8;
    return now_ms - keys->created_ms >= limit_ms ||
           keys->sent_count >= sessions->rekey_after_messages;
}

/* How the next packet to a peer goes. */
enum way {
    WAY_DATA,
    WAY_FIRST,
    WAY_ANSWER,
};

static enum way choose_way(const struct sessions *sessions, const struct session_peer *peer,
                           int64_t now_ms)
{
    if (!peer)
        return WAY_FIRST;
    if (peer->response)
        return WAY_ANSWER;
    struct session_keys *keys = usable_keys(sessions, peer, now_ms);
    if (!keys || first_is_due(sessions, peer, keys, now_ms))
        return WAY_FIRST;
    return WAY_DATA;
}

static size_t room_of(const struct sessions *sessions, enum way way)
{
    switch (way) {
    case WAY_DATA:
        return SESSION_PAYLOAD_BYTES_MAX;
    case WAY_FIRST:
        return session_first_room(sessions);
    case WAY_ANSWER:
        return SESSION_ANSWER_PAYLOAD_BYTES_MAX;
    }
    return 0;
}

size_t sessions_room(const struct sessions *sessions, int64_t now_ms, const struct id *to)
{
    enum way way = choose_way(sessions, session_table_find(&sessions->table, to), now_ms);
    /* Of several packets that are made before the first is sealed, one is the answer. */
    return room_of(sessions, way == WAY_ANSWER ? WAY_FIRST : way);
}

static int seal_data(struct sessions *sessions, struct session_peer *peer,
                     struct session_keys *keys, struct bytes payload, struct buffer *ret_datagram)
{
    uint8_t header[SESSION_DATA_HEADER_BYTES];
    int rc = buffer_reserve(ret_datagram, SESSION_DATA_OVERHEAD_BYTES + payload.size);
    if (rc < 0)
        return rc;
    session_data_header_encode(keys->remote_index, keys->sent_count, header);
    buffer_append(ret_datagram, header, sizeof(header));
    noise_seal(&keys->send, keys->sent_count, (struct bytes){header, sizeof(header)}, payload,
               ret_datagram->bytes + ret_datagram->size);
    ret_datagram->size += payload.size + NOISE_TAG_BYTES;
    keys->sent_count++;
    session_peer_touch(&sessions->table, peer);
    peer->confirmation_due = false;
    return 0;
}

static int seal(struct sessions *sessions, int64_t now_ms, const struct id *to, bool may_begin,
                struct bytes payload, struct buffer *ret_datagram)
{
    if (payload.size > SESSION_PAYLOAD_BYTES_MAX)
        return -EMSGSIZE;
    if (id_equal(to, &sessions->identity->id))
        return -EINVAL;
    struct session_peer *peer = session_table_find(&sessions->table, to);
    enum way way = choose_way(sessions, peer, now_ms);
    struct session_keys *keys = peer ? usable_keys(sessions, peer, now_ms) : NULL;
    /* What is too large for a handshake goes under the keys that there are. */
    if (keys && (payload.size > room_of(sessions, way) || (way == WAY_FIRST && !may_begin)))
        way = WAY_DATA;
    else if (payload.size > room_of(sessions, way))
        way = WAY_FIRST;

    if (way == WAY_ANSWER)
        return session_respond(sessions, now_ms, peer, payload, ret_datagram);
    if (way == WAY_DATA)
        return seal_data(sessions, peer, keys, payload, ret_datagram);
    if (sessions->chain.size == 0)
        return -ENOKEY;
    if (payload.size > session_first_room(sessions))
        return -EMSGSIZE;
    int rc = session_table_obtain(&sessions->table, to, &peer);
    if (rc < 0)
        return rc;
    rc = session_initiate(sessions, now_ms, peer, payload, ret_datagram);
    sessions->counters.firsts_sent += rc == 0;
    return rc;
}

int sessions_seal(struct sessions *sessions, int64_t now_ms, const struct id *to,
                  struct bytes payload, struct buffer *ret_datagram)
{
    return seal(sessions, now_ms, to, true, payload, ret_datagram);
}

int sessions_reply(struct sessions *sessions, int64_t now_ms, const struct id *to,
                   struct bytes payload, struct buffer *ret_datagram)
{
    return seal(sessions, now_ms, to, false, payload, ret_datagram);
}

void sessions_asked(struct sessions *sessions, int64_t now_ms, const struct id *to)
{
    struct session_peer *peer = session_table_find(&sessions->table, to);
    if (!peer || !peer->sending || peer->unanswered)
        return;
    peer->unanswered = true;
    peer->unanswered_since_ms = now_ms;
}

int sessions_answer(struct sessions *sessions, int64_t now_ms, const struct id *to,
                    struct buffer *ret_datagram)
{
    struct bytes nothing = {NULL, 0};
    struct session_peer *peer = session_table_find(&sessions->table, to);
    if (!peer)
        return 0;
    if (peer->response)
        return session_respond(sessions, now_ms, peer, nothing, ret_datagram);
    struct session_keys *keys = usable_keys(sessions, peer, now_ms);
    if (keys && peer->confirmation_due)
        return seal_data(sessions, peer, keys, nothing, ret_datagram);
    return 0;
}

static struct session_keys *keys_of(const struct sessions *sessions, uint32_t index)
{
    struct session_slot *slot = session_table_slot(&sessions->table, index);
    if (!slot || slot->kind != SESSION_SLOT_KEYS)
        return NULL;
    return (struct session_keys *)slot;
}

static void open_data(struct sessions *sessions, int64_t now_ms, struct bytes datagram,
                      uint32_t index, struct sessions_opened *ret)
{
    struct session_keys *keys = keys_of(sessions, index);
    uint64_t counter = session_data_counter(datagram);
    if (!keys) {
        ret->refusal = SESSION_UNKNOWN_INDEX;
        return;
    }
    struct session_peer *peer = keys->slot.peer;
    ret->from = peer->id;
    if (keys_are_expired(sessions, keys, now_ms) || counter >= 2 * sessions->rekey_after_messages) {
        ret->refusal = SESSION_KEYS_EXPIRED;
        return;
    }
    if (!session_replay_is_new(&keys->replay, counter)) {
        ret->refusal = SESSION_REPLAYED;
        return;
    }
    struct bytes header = {datagram.data, SESSION_DATA_HEADER_BYTES};
    struct bytes sealed = {datagram.data + SESSION_DATA_HEADER_BYTES,
                           datagram.size - SESSION_DATA_HEADER_BYTES};
    if (noise_open(&keys->receive, counter, header, sealed, sessions->opened.bytes) < 0) {
        ret->refusal = SESSION_NOT_AUTHENTIC;
        return;
    }
    sessions->opened.size = sealed.size - NOISE_TAG_BYTES;
    session_replay_mark(&keys->replay, counter);
    if (!keys->confirmed)
        session_peer_confirm(peer, &sessions->identity->id, keys);
    peer->unanswered = false;
    session_peer_touch(&sessions->table, peer);
    ret->payload = buffer_view(&sessions->opened);
}

static void count_opened(struct sessions *sessions, enum session_refusal refusal,
                         enum session_packet_type type)
{
    struct sessions_counters *counters = &sessions->counters;
    if (refusal != SESSION_ACCEPTED)
        counters->refused[refusal]++;
    else if (type == SESSION_FIRST)
        counters->firsts_taken++;
    else if (type == SESSION_ANSWER)
        counters->answers_taken++;
}

int sessions_open(struct sessions *sessions, int64_t now_ms, const struct address *source,
                  struct bytes datagram, struct sessions_opened *ret)
{
    struct sessions_opened opened = {0};
    enum session_packet_type type = SESSION_DATA;
    uint32_t index;
    int rc = 0;
    buffer_clear(&sessions->opened);
    opened.refusal = session_header_decode(datagram, &type, &index);
    if (opened.refusal == SESSION_ACCEPTED) {
        switch (type) {
        case SESSION_FIRST:
            rc = session_open_first(sessions, now_ms, source, datagram, index, &opened);
            break;
        case SESSION_ANSWER:
            rc = session_open_answer(sessions, now_ms, datagram, index, &opened);
            break;
        case SESSION_COOKIE:
            session_open_cookie(sessions, now_ms, datagram, index, &opened);
            break;
        case SESSION_DATA:
            open_data(sessions, now_ms, datagram, index, &opened);
            break;
        }
    }
    if (rc < 0)
        return rc;
    count_opened(sessions, opened.refusal, type);
    *ret = opened;
    return 0;
}

void sessions_forget(struct sessions *sessions, const struct id *id)
{
    struct session_peer *peer = session_table_find(&sessions->table, id);
    if (peer)
        session_table_remove(&sessions->table, peer);
}

/* Whether both sides have used newer keys for so long that nothing under these is under way. Who
 * began the handshake does not know that the other side has its keys until it has heard so. */
static bool keys_are_replaced(const struct session_peer *peer, const struct session_keys *keys,
                              int64_t now_ms)
{
    const struct session_keys *newer = peer->sending;
    return newer && keys != newer && newer->replay.next > 0 &&
           keys->created_ms <= newer->created_ms &&
           now_ms - newer->created_ms >= SESSION_OVERLAP_MS;
}

static void expire(struct sessions *sessions, struct session_peer *peer, int64_t now_ms)
{
    struct session_table *table = &sessions->table;
    for (size_t i = 0; i < SESSION_KEYS_PER_PEER; i++)
        if (peer->keys[i] && (keys_are_expired(sessions, peer->keys[i], now_ms) ||
                              keys_are_replaced(peer, peer->keys[i], now_ms)))
            session_peer_drop_keys(table, peer->keys[i]);
    for (size_t i = 0; i < SESSION_INITIATIONS_PER_PEER; i++) {
        struct session_initiation *initiation = peer->initiations[i];
        if (initiation && now_ms - initiation->sent_ms >= SESSION_HANDSHAKE_TIMEOUT_MS)
            session_peer_drop_initiation(table, initiation);
    }
    if (peer->response && now_ms - peer->response->received_ms >= SESSION_HANDSHAKE_TIMEOUT_MS)
        session_peer_drop_response(table, peer);
}

void sessions_tick(struct sessions *sessions, int64_t now_ms)
{
    for (size_t i = 0; i < sessions->table.peers.count; i++)
        expire(sessions, sessions->table.peers.items[i], now_ms);
}

void sessions_counters(const struct sessions *sessions, struct sessions_counters *ret)
{
    *ret = sessions->counters;
}

size_t sessions_keyed_count(const struct sessions *sessions)
{
    size_t count = 0;
    for (size_t i = 0; i < sessions->table.peers.count; i++) {
        const struct session_peer *peer = sessions->table.peers.items[i];
        count += peer->sending != NULL;
    }
    return count;
}

size_t sessions_table_bytes(const struct sessions *sessions)
{
    return sessions->table.bytes;
}

size_t sessions_peer_count(const struct sessions *sessions)
{
    return sessions->table.peers.count;
}
