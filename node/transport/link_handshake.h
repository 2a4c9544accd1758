/* A link's handshake as a state machine without sockets: bytes in, bytes out, until both sides have
 * said hello or one has refused. See link_wire.h for the bytes.
 *
 *     admitted:  dialer → preamble, IK 1          newcomer:  dialer → preamble, XX 1
 *                ← IK 2, hello                               ← XX 2
 *                → hello                                     → XX 3, hello
 *                                                            ← hello
 *
 * An admitted dialer that knows an address but no key (a seed's) says the cluster's tag in the
 * preamble, and then XX without a psk: the acceptor shows itself first, only to who knows the
 * cluster; the dialer only to a peer of its own cluster.
 *
 * IK's first message can be replayed by anyone who recorded it; so nothing comes of it until the
 * dialer's hello shows that it holds the key. A refusal is said in the hello, sealed, where there
 * are keys; in the clear where there are none yet.
 */
#pragma once

#include "gossip/noise.h"
#include "node/transport/link.h"
#include "node/transport/link_cipher.h"
#include "node/transport/link_wire.h"

/* The fields are link_handshake.c's own but for `remote`, and `send` and `receive` once it is done.
 */
struct link_handshake {
    const struct link_config *config; /* borrowed */
    bool is_dialer;
    bool has_preamble, has_keys, has_hello;
    bool was_refused; /* by the other side */
    enum link_kind kind;
    struct id expected; /* whom an IK dialer dials */
    struct noise_handshake noise;
    struct link_remote remote; /* its address is set by the owner */
    struct link_cipher send, receive;
};

/* These begin a dialer's side and append its first bytes to `output`. -EINVAL for an id that is no
 * key, -ENOMEM. What is `is_for_mesh` is given away once open, see link_give_away(). */
int link_handshake_dial(struct link_handshake *handshake, const struct link_config *config,
                        const struct id *remote, bool is_for_mesh, struct buffer *output);
int link_handshake_dial_token(struct link_handshake *handshake, const struct link_config *config,
                              const uint8_t secret[TOKEN_SECRET_BYTES], struct buffer *output);

/* As an admitted key, to whichever peer answers. */
int link_handshake_dial_seed(struct link_handshake *handshake, const struct link_config *config,
                             struct buffer *output);

/* Begins an acceptor's side: it waits for the preamble. */
void link_handshake_accept(struct link_handshake *handshake, const struct link_config *config);

/* Wipes the keys; may be called twice, and on zeroed memory. */
void link_handshake_done(struct link_handshake *handshake);

/* Takes the preamble or one frame from the start of `input`: 0 and its size. What is to be sent is
 * appended to `output`, also on failure (the refusal). -EAGAIN: more bytes are needed. Otherwise
 * the handshake has failed, with words in `error`. */
int link_handshake_receive(struct link_handshake *handshake, struct bytes input, size_t *ret_size,
                           struct buffer *output, struct error *error);

/* True once both have accepted. */
bool link_handshake_is_done(const struct link_handshake *handshake);

/* "peer 1a2b3c4d5e6f (web1) at 192.0.2.7:7300", as far as it is known, into `ret`. */
void link_remote_describe(const struct link_remote *remote, char *ret, size_t size);
