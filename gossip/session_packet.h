/* The four packets of a session, byte by byte. Integers are in network order.
 *
 *     all       type u8, version u8, two zero bytes
 *     first     sender index u32, Noise IK message 1, mac1 16, mac2 16;   always the largest size
 *                 inside: generation u64, counter u64, chain size u16, payload size u16, the chain,
 *                 the payload, zeros up to the end
 *     answer    receiver index u32, Noise IK message 2
 *                 inside: sender index u32, generation u64, the payload
 *     cookie    receiver index u32, nonce 24, sealed cookie 32
 *     data      receiver index u32, counter u64, the sealed payload
 *
 * A first packet is always of the largest size, so that whatever answers it is no larger: a forged
 * source address cannot make a peer flood someone. Its header is the handshake's prologue, and a
 * data packet's header is authenticated with the payload.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "gossip/bounds.h"
#include "gossip/identity.h"
#include "gossip/session.h"

enum session_packet_type {
    SESSION_FIRST = 1,
    SESSION_ANSWER = 2,
    SESSION_COOKIE = 3,
    SESSION_DATA = 4,
};

enum {
    SESSION_VERSION = 1,
    SESSION_HEADER_BYTES = 8, /* type, version, zeros, index: what all four begin with */
    SESSION_MAC_BYTES = 16,

    SESSION_FIRST_MACS_OFFSET = SESSION_DATAGRAM_BYTES_MAX - 2 * SESSION_MAC_BYTES,
    SESSION_FIRST_NOISE_BYTES = SESSION_FIRST_MACS_OFFSET - SESSION_HEADER_BYTES,
    SESSION_FIRST_INSIDE_BYTES =
        SESSION_FIRST_NOISE_BYTES - 2 * EXCHANGE_KEY_BYTES - 2 * NOISE_TAG_BYTES,
    SESSION_FIRST_FIELDS_BYTES = 8 + 8 + 2 + 2,

    SESSION_ANSWER_FIELDS_BYTES = 4 + 8,
    SESSION_ANSWER_OVERHEAD_BYTES =
        SESSION_HEADER_BYTES + EXCHANGE_KEY_BYTES + SESSION_ANSWER_FIELDS_BYTES + NOISE_TAG_BYTES,
    SESSION_ANSWER_PAYLOAD_BYTES_MAX = SESSION_DATAGRAM_BYTES_MAX - SESSION_ANSWER_OVERHEAD_BYTES,

    SESSION_COOKIE_NONCE_BYTES = 24,
    SESSION_COOKIE_PACKET_BYTES =
        SESSION_HEADER_BYTES + SESSION_COOKIE_NONCE_BYTES + SESSION_MAC_BYTES + NOISE_TAG_BYTES,

    SESSION_DATA_HEADER_BYTES = SESSION_HEADER_BYTES + 8,
};

/* Orders the first packets of one initiator: (persisted generation, counter since then). */
struct session_stamp {
    uint64_t generation;
    uint64_t counter;
};

/* What a first packet has inside its handshake. */
struct session_first {
    struct session_stamp stamp;
    struct bytes chain; /* encoded; borrowed */
    struct bytes payload;
};

/* What an answer has inside. */
struct session_answer {
    uint32_t sender_index;
    uint64_t generation;
    struct bytes payload; /* borrowed */
};

/* Less than, equal to or greater than 0. */
int session_stamp_compare(const struct session_stamp *a, const struct session_stamp *b);

void session_header_encode(enum session_packet_type type, uint32_t index,
                           uint8_t ret[SESSION_HEADER_BYTES]);

/* Checks what all packets share, and that the size is one that the type can have. */
enum session_refusal session_header_decode(struct bytes datagram,
                                           enum session_packet_type *ret_type, uint32_t *ret_index);

/* The chain and the payload fit: the caller has checked. */
void session_first_encode(const struct session_first *first,
                          uint8_t ret[SESSION_FIRST_INSIDE_BYTES]);
int session_first_decode(struct bytes inside, struct session_first *ret); /* -EBADMSG */

void session_answer_encode(
    const struct session_answer *answer,
    uint8_t ret[SESSION_ANSWER_FIELDS_BYTES + SESSION_ANSWER_PAYLOAD_BYTES_MAX]);
int session_answer_decode(struct bytes inside, struct session_answer *ret); /* -EBADMSG */

void session_data_header_encode(uint32_t index, uint64_t counter,
                                uint8_t ret[SESSION_DATA_HEADER_BYTES]);
uint64_t session_data_counter(struct bytes datagram);
