/* The bytes of a link before its mux: the dialer's preamble, frames, and what the handshake
 * carries.
 *
 *     preamble   "CNST" | version u8 | kind u8 | 16 bytes: a token's id for kind TOKEN, the
 *                cluster's tag for kind SEED
 *     frame      length u16 | that many bytes
 *
 * During the handshake a frame's first byte is its type: NOISE (a handshake message), REFUSAL (code
 * u8, own version u8, in the clear: there are no keys yet) or HELLO (a sealed code u8: 0 accepts).
 * After the two hellos each frame is one sealed mux frame. A Noise message's payload is
 * MessagePack: [id, certificate chain]. "CNST", the frame and REFUSAL stay the same in all protocol
 * versions.
 *
 * Pure: used by link_handshake.c, by tests and by the fuzzer.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/id.h"
#include "gossip/certificate.h"
#include "gossip/token.h"

enum link_kind {
    LINK_KIND_ADMITTED = 1, /* Noise IK */
    LINK_KIND_TOKEN = 2,    /* Noise XXpsk3 */
    LINK_KIND_SEED = 3,     /* Noise XX: an admitted dialer that knows an address and no key */
    LINK_KIND_MESH = 4,     /* as ADMITTED; once open, it belongs to the peers' mesh processes */
};

enum link_frame_type {
    LINK_FRAME_NOISE = 1,
    LINK_FRAME_REFUSAL = 2,
    LINK_FRAME_HELLO = 3,
};

enum {
    LINK_FRAME_HEAD_BYTES = 2,
    LINK_PREAMBLE_HEAD_BYTES = 6,
    LINK_PREAMBLE_BYTES_MAX = LINK_PREAMBLE_HEAD_BYTES + TOKEN_ID_BYTES,
    LINK_CLUSTER_TAG_BYTES = TOKEN_ID_BYTES,
};

struct link_preamble {
    uint8_t version;
    enum link_kind kind;
    uint8_t token_id[TOKEN_ID_BYTES];            /* LINK_KIND_TOKEN */
    uint8_t cluster_tag[LINK_CLUSTER_TAG_BYTES]; /* LINK_KIND_SEED */
};

struct link_payload {
    struct id id;
    struct certificate_chain chain;
};

/* Reads the preamble at the start of `input` and tells its size. -EAGAIN: more bytes are needed;
 * -EPROTONOSUPPORT: another version, which alone is then written to *ret; -EBADMSG: not ours. */
int link_preamble_decode(struct bytes input, struct link_preamble *ret, size_t *ret_size);
size_t link_preamble_encode(const struct link_preamble *preamble,
                            uint8_t ret[LINK_PREAMBLE_BYTES_MAX]);

/* What shows that a dialer knows the cluster's identity, before anything is said to it. */
void link_cluster_tag(const struct id *cluster, uint8_t ret[LINK_CLUSTER_TAG_BYTES]);

/* Finds the frame at the start of `input`: its body (borrowed) and its whole size. -EAGAIN: more
 * bytes are needed; -EMSGSIZE: an empty frame, or one with a body larger than `max`. */
int link_frame_next(struct bytes input, size_t max, struct bytes *ret_body, size_t *ret_size);

/* Appends a frame of that type: 0 or -ENOMEM. `body` and its type fit a frame. */
int link_frame_append(struct buffer *output, enum link_frame_type type, struct bytes body);

/* What the Noise messages carry; -EBADMSG or -ENOMEM. */
int link_payload_decode(struct bytes bytes, struct link_payload *ret);
int link_payload_encode(const struct id *id, const struct certificate_chain *chain,
                        struct buffer *ret);
