/* The Noise Protocol Framework (revision 34), patterns IK, XX and XXpsk3, with 25519, ChaChaPoly
 * and BLAKE2b, on libsodium's primitives. Checked against the published vectors of cacophony.
 *
 *     noise_handshake_init(&handshake, &config);
 *     noise_write(&handshake, payload, &message);      our turn: send `message`
 *     noise_read(&handshake, message, &payload);       their turn
 *     if (noise_is_done(&handshake))
 *         noise_split(&handshake, &send, &receive);    then noise_seal() and noise_open()
 *
 * Messages have no length of their own: the transport frames them. The first messages' payloads are
 * weakly protected (IK's first may be replayed; XX's first is in the clear).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "gossip/bounds.h"
#include "gossip/entropy.h"
#include "gossip/identity.h"
#include "gossip/noise_cipher.h"
#include "gossip/noise_symmetric.h"

enum {
    NOISE_PSK_BYTES = 32,

    /* What keys and tags add to a payload at most. */
    NOISE_OVERHEAD_BYTES_MAX = 2 * EXCHANGE_KEY_BYTES + 2 * NOISE_TAG_BYTES,
    NOISE_PAYLOAD_BYTES_MAX = NOISE_MESSAGE_BYTES_MAX - NOISE_OVERHEAD_BYTES_MAX,
};

enum noise_pattern {
    NOISE_IK,     /* the initiator knows the responder's key; two messages */
    NOISE_XX,     /* nobody knows anybody; three messages */
    NOISE_XXPSK3, /* as XX, and both hold a secret */
};

/* All of a handshake. The fields are noise.c's own; it is plain memory that may be copied. */
struct noise_handshake {
    enum noise_pattern pattern;
    bool initiator;
    uint8_t message_count; /* written and read so far */
    struct entropy entropy;
    struct noise_symmetric symmetric;
    uint8_t static_secret[EXCHANGE_KEY_BYTES];
    uint8_t static_public[EXCHANGE_KEY_BYTES];
    uint8_t ephemeral_secret[EXCHANGE_KEY_BYTES];
    uint8_t ephemeral_public[EXCHANGE_KEY_BYTES];
    uint8_t remote_static[EXCHANGE_KEY_BYTES];
    uint8_t remote_ephemeral[EXCHANGE_KEY_BYTES];
    bool remote_static_known;
    uint8_t psk[NOISE_PSK_BYTES];
};

struct noise_config {
    enum noise_pattern pattern;
    bool initiator;
    struct bytes prologue;        /* both sides must give the same */
    const uint8_t *static_secret; /* own X25519 secret */
    const uint8_t *remote_static; /* IK's initiator: the responder's key; else NULL */
    const uint8_t *psk;           /* XXpsk3; else NULL */
    struct entropy entropy;       /* for the ephemeral key */
};

/* Copies all that it needs from `config`. The caller calls noise_done(). */
void noise_handshake_init(struct noise_handshake *handshake, const struct noise_config *config);

/* Wipes everything; may be called twice. */
void noise_done(struct noise_handshake *handshake);

/* Appends the next message, with `payload` inside, to `ret_message`. The caller's turn it must be.
 * -EMSGSIZE for a payload over NOISE_PAYLOAD_BYTES_MAX, -ENOMEM, or -EBADMSG if the remote key is
 * one of the few that give no secret; on failure the state and `ret_message` are as before. */
int noise_write(struct noise_handshake *handshake, struct bytes payload,
                struct buffer *ret_message);

/* Reads the next message and appends its payload to `ret_payload`. -EBADMSG if it is not authentic
 * (or the other side has another psk, prologue or key), -ENOMEM; on failure the state and
 * `ret_payload` are as before, so that a forged message does not end a handshake. */
int noise_read(struct noise_handshake *handshake, struct bytes message, struct buffer *ret_payload);

bool noise_is_my_turn(const struct noise_handshake *handshake);
bool noise_is_done(const struct noise_handshake *handshake);

/* The other side's X25519 key (borrowed), or NULL while it is unknown. It is proven to be theirs
 * once noise_read() of a message that carries or uses it succeeded. */
const uint8_t *noise_remote_static(const struct noise_handshake *handshake);

/* The handshake hash, the same on both sides and unique to this handshake: NOISE_HASH_BYTES,
 * borrowed. For binding signatures to the channel, once done. */
const uint8_t *noise_hash(const struct noise_handshake *handshake);

/* The two directions' keys; the handshake is done. The caller wipes them (noise_cipher_done). */
void noise_split(const struct noise_handshake *handshake, struct noise_cipher *ret_send,
                 struct noise_cipher *ret_receive);
