/* Encrypted packets between peers, one session a pair, after WireGuard (Donenfeld, NDSS 2017).
 *
 * A first packet is a Noise IK handshake that carries the sender's certificate chain and a payload,
 * so that a stranger is probed without an extra round trip; its answer carries a payload too. Later
 * packets carry a receiver index and a 64-bit counter. Nothing is ever queued: while a handshake is
 * under way, each packet is a first packet of its own. A payload may arrive twice or never, as with
 * UDP; a first packet's may also be replayed to a peer that restarted.
 *
 * The caller moves datagrams and says the time:
 *
 *     sessions_seal(sessions, now_ms, &to, payload, &datagram);          send it to `to`'s address
 *     sessions_open(sessions, now_ms, &source, datagram, &opened);
 *     if (opened.reply.size > 0)                                         send it to `source`
 *     … handle opened.payload, sessions_seal() what it leads to …
 *     if (opened.answer_due)
 *         sessions_answer(sessions, now_ms, &opened.from, &datagram);    if not empty: to `source`
 *
 * The responder's own chain is not in its answer: whoever addresses a peer has checked that peer's
 * certificate already (it is part of its record), and the handshake proves that its key answers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/id.h"
#include "gossip/bounds.h"
#include "gossip/certificate.h"
#include "gossip/entropy.h"
#include "gossip/identity.h"

struct sessions;

enum session_refusal {
    SESSION_ACCEPTED,
    SESSION_MALFORMED,       /* no packet of ours, or cut short */
    SESSION_OTHER_VERSION,   /* a newer or older protocol */
    SESSION_NOT_FOR_US,      /* the sender does not know our key */
    SESSION_COOKIE_WANTED,   /* under load: `reply` asks the source to prove its address */
    SESSION_COOKIE_RECEIVED, /* `from` is under load and wants the last packet again */
    SESSION_SOURCE_BUSY,     /* under load: this source sent too many first packets */
    SESSION_UNKNOWN_INDEX,   /* keys that we no longer have, for instance after a restart */
    SESSION_NOT_AUTHENTIC,
    SESSION_REPLAYED, /* a first packet or a counter that was there before */
    SESSION_KEYS_EXPIRED,
    SESSION_CHAIN_BAD,     /* `verdict` says why */
    SESSION_KEY_NOT_OWNED, /* the certificate is another peer's */
    SESSION_NOT_A_PEER,    /* an operator's certificate */
    SESSION_NOT_ADMITTED,  /* the caller's admit() said no: revoked, for instance */
    SESSION_REFUSALS,      /* how many there are */
};

/* In words that end a sentence: "packet from 192.0.2.7:7300 refused: …". */
const char *session_refusal_words(enum session_refusal refusal);

struct sessions_opened {
    enum session_refusal refusal;
    enum certificate_verdict verdict; /* with SESSION_CHAIN_BAD */
    struct id from;                   /* who sent it; ID_NONE if that is not known. With a refusal,
                                       * who it claims or proves to be, for the log only. */
    struct bytes payload;             /* borrowed until the next sessions_open(); may be empty */
    struct bytes reply;               /* the same; to be sent to the source at once, if not empty */
    bool answer_due;                  /* `from` awaits an answer: see sessions_answer() */
};

struct sessions_config {
    const struct identity *identity;       /* borrowed for the sessions' life */
    const struct certificate_chain *chain; /* own chain, copied; NULL while not admitted */
    struct id cluster;
    struct entropy entropy;
    uint64_t generation; /* persisted, larger at every start of this peer */

    /* Whether that peer may talk to us; its chain is verified. Runs inside sessions_open(). */
    bool (*admit)(void *context, const struct id *id, const struct certificate_chain *chain);
    void *admit_context;

    /* 0 means the default of bounds.h. Keys are refused at twice the rekeying bounds. */
    size_t peers_max;
    size_t table_bytes_max;
    int64_t rekey_after_ms;
    uint64_t rekey_after_messages;
};

/* NULL if there is no memory, or the chain is not our identity's. */
struct sessions *sessions_new(const struct sessions_config *config);
void sessions_free(struct sessions *sessions);

/* How large a payload the next sessions_seal() to that peer can take, and those right after it. */
size_t sessions_room(const struct sessions *sessions, int64_t now_ms, const struct id *to);

/* Appends one datagram with `payload` for `to`. -EMSGSIZE if the payload is larger than the room
 * (at most SESSION_FIRST_PAYLOAD_BYTES_MIN always fits), -EINVAL if `to` is our own id or no valid
 * key, -ENOKEY if a first packet is needed and we have no certificate chain, -ENOMEM. */
int sessions_seal(struct sessions *sessions, int64_t now_ms, const struct id *to,
                  struct bytes payload, struct buffer *ret_datagram);

/* The same for what asks for no answer, or is one: while there are keys it is under them, however
 * old they are. A first packet is larger than many that it might answer, and their source may be
 * forged by who has a peer's key. */
int sessions_reply(struct sessions *sessions, int64_t now_ms, const struct id *to,
                   struct bytes payload, struct buffer *ret_datagram);

/* Says that what was just sealed asks for an answer. If nothing is heard for SESSION_SILENCE_MS,
 * the peer may have restarted and lost the keys: the next packet to it is a first one. Silence
 * after what asks for nothing means nothing. */
void sessions_asked(struct sessions *sessions, int64_t now_ms, const struct id *to);

/* Opens one datagram. 0 with `*ret` filled in, also for a refusal (see ret->refusal, which changed
 * nothing); -ENOMEM. */
int sessions_open(struct sessions *sessions, int64_t now_ms, const struct address *source,
                  struct bytes datagram, struct sessions_opened *ret);

/* Appends the answer that `to` awaits, without payload, unless sessions_seal() has carried it in
 * the meantime; then nothing. It is smaller than what it answers. 0 or -ENOMEM. */
int sessions_answer(struct sessions *sessions, int64_t now_ms, const struct id *to,
                    struct buffer *ret_datagram);

/* Drops all that is known of a peer (revoked, removed); its packets are refused unless admit() says
 * yes again. */
void sessions_forget(struct sessions *sessions, const struct id *id);

/* Wipes keys and handshakes that are expired, and keys that newer ones have replaced; to be called
 * every few seconds. Nothing else depends on it. */
void sessions_tick(struct sessions *sessions, int64_t now_ms);

/* What was done since the start, for operators. */
struct sessions_counters {
    uint64_t firsts_sent;   /* first packets: handshakes begun */
    uint64_t firsts_taken;  /* of others, accepted */
    uint64_t answers_taken; /* to ours */
    uint64_t refused[SESSION_REFUSALS];
};

void sessions_counters(const struct sessions *sessions, struct sessions_counters *ret);

/* Peers with usable keys, and peers remembered. */
size_t sessions_keyed_count(const struct sessions *sessions);
size_t sessions_peer_count(const struct sessions *sessions);

/* What is remembered of peers, in bytes; at most table_bytes_max, but for a single peer's. */
size_t sessions_table_bytes(const struct sessions *sessions);
