/* One encrypted TCP link: a Noise handshake with certificates, then sealed frames that carry a mux.
 *
 * Between admitted keys the handshake is IK (the dialer knows whom it dials), or XX where it knows
 * only an address; with a join token it is XXpsk3. Each side shows its certificate chain, checks
 * the other's, and says its verdict, so that both log one clear line. Nobody may open streams
 * before that. On the wire (link_wire.h):
 *
 *     dialer: preamble; then frames: handshake …; hello (sealed verdict); sealed mux frames
 *
 * Streams opened with mux_open(link_mux(link), …) before the link is open wait for it; if it never
 * opens, they close with the reason. A link frees itself after on_close. The process must ignore
 * SIGPIPE, as with anything on libuv that writes to sockets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/address.h"
#include "base/error.h"
#include "base/id.h"
#include "gossip/certificate.h"
#include "gossip/identity.h"
#include "gossip/token.h"
#include "node/transport/fault.h"
#include "node/transport/link_cipher.h"
#include "node/transport/mux.h"

struct link;

/* Why a link was refused; sent to the other side. Numbers are part of the protocol. */
enum link_refusal {
    LINK_ACCEPTED = 0,
    LINK_REFUSED_VERSION = 1,     /* another protocol version */
    LINK_REFUSED_HANDSHAKE = 2,   /* not for this peer's key, or not Noise */
    LINK_REFUSED_TOKEN = 3,       /* unknown, used up, expired or revoked */
    LINK_REFUSED_FOREIGN = 4,     /* a certificate of another cluster */
    LINK_REFUSED_CERTIFICATE = 5, /* a certificate that does not hold, or none */
    LINK_REFUSED_KEY = 6,         /* a certificate for another key */
    LINK_REFUSED_ROLE = 7,        /* an operator's key where a peer's is needed */
    LINK_REFUSED_REVOKED = 8,
    LINK_REFUSED_UNKNOWN = 9, /* never admitted, as far as this peer knows */
    LINK_REFUSED_SELF = 10,   /* the dialer has dialed itself */
};

/* In words that end a sentence: "link to db1 refused: …". */
const char *link_refusal_words(enum link_refusal refusal);

/* The errno that streams waiting for such a link close with: -EACCES, -EKEYREVOKED, … */
int link_refusal_errno(enum link_refusal refusal);

/* Who is at the other end, once the link is open. */
struct link_remote {
    struct id id;
    struct address address;
    bool by_token;                    /* a newcomer: no certificate, see token_id */
    uint8_t token_id[TOKEN_ID_BYTES]; /* by_token */
    struct certificate_chain chain;   /* not by_token: the leaf has the name, role and serial */
};

/* What links have in common; borrowed for their life. `chain` may be changed between calls. */
struct link_config {
    uv_loop_t *loop;
    const struct identity *identity;
    const struct certificate_chain *chain; /* own; count 0 while not admitted */
    struct id cluster;                     /* chains must lead to this root key */
    struct fault *fault;                   /* NULL: none */
    void *context;
    /* The chain is verified and `remote` owns the key; may it link now (known, not revoked)? NULL
     * accepts. Not asked by a newcomer that dials with a token: it knows nothing yet. */
    enum link_refusal (*admit)(void *context, const struct id *remote,
                               const struct certificate_chain *chain);
    /* Finds a token's pre-shared key: 0 or -ENOENT. NULL: no tokens are taken. */
    int (*find_token)(void *context, const uint8_t token_id[TOKEN_ID_BYTES],
                      uint8_t ret_psk[NOISE_PSK_BYTES]);
};

/* An open link that is on its way to another process: all that it takes to go on. */
struct link_given {
    struct id id;
    struct address address;
    bool is_dialer;
    struct link_cipher send, receive;
    struct buffer input; /* what the other side's mesh process has sent already */
};

/* Any may be NULL. */
struct link_handler {
    /* Both sides have accepted; link_remote() is known. */
    void (*on_open)(void *context, struct link *link);
    /* As mux_config.on_open: stream_accept() or it is refused. */
    void (*on_stream)(void *context, struct link *link, struct mux_stream *stream, uint8_t kind,
                      struct bytes header);
    /* A link that is for the mesh is open, and all that this side had to say in the handshake has
     * gone: give it away (link_give_away()) or close it. Nothing else comes of it. */
    void (*on_for_mesh)(void *context, struct link *link);
    /* The link is over, its streams are closed; the last callback, after which the link is freed.
     * `why` has code 0 after link_close(link, 0) here or there; otherwise words for an operator. */
    void (*on_close)(void *context, struct link *link, const struct error *why);
};

/* Dials the peer `remote`. 0 or a negative errno: -EINVAL for an id that is no key, -ENOMEM, or
 * what connecting said at once; then no callback comes. `handler` and `config` are borrowed. */
int link_dial(const struct link_config *config, const struct address *address,
              const struct id *remote, const struct link_handler *handler, void *context,
              struct link **ret);

/* As link_dial; the link is for the two peers' mesh processes. */
int link_dial_for_mesh(const struct link_config *config, const struct address *address,
                       const struct id *remote, const struct link_handler *handler, void *context,
                       struct link **ret);

/* Dials any peer of the token's cluster at `address`, as a newcomer. */
int link_dial_token(const struct link_config *config, const struct address *address,
                    const uint8_t secret[TOKEN_SECRET_BYTES], const struct link_handler *handler,
                    void *context, struct link **ret);

/* Dials whichever peer of this cluster is at `address`; link_remote() tells who, once it is open.
 */
int link_dial_seed(const struct link_config *config, const struct address *address,
                   const struct link_handler *handler, void *context, struct link **ret);

/* Begins a link over a connected stream socket, which passes to it also on failure: to the peer
 * `remote`, for the mesh or not, or as an acceptor (NULL). `via` is what counts as the other side's
 * address. */
int link_over(const struct link_config *config, int fd, const struct address *via,
              const struct id *remote, bool is_for_mesh, const struct link_handler *handler,
              void *context, struct link **ret);

/* Makes a link to `remote` that another process opens and gives away: streams opened meanwhile wait
 * for link_take_over(). Of `config` only the loop and the faults are used. NULL: no memory. */
struct link *link_await(const struct link_config *config, const struct id *remote, bool is_dialer,
                        const struct link_handler *handler, void *context);

/* The awaited link goes on as `state` says, over `fd`, which passes to it also on failure.
 * Callbacks may come before this returns. 0 or a negative errno; then the link is still awaited. */
int link_take_over(struct link *link, int fd, const struct link_given *state);

/* For on_for_mesh: hands over the link's keys and its socket (the caller's, to be closed), and ends
 * this one without a word. The caller wipes `*ret` with link_given_done(). */
int link_give_away(struct link *link, struct link_given *ret, int *ret_fd);
void link_given_done(struct link_given *state);

/* Accepts the connection that waits on `server` (a listening uv_tcp_t). */
int link_accept(const struct link_config *config, uv_stream_t *server,
                const struct link_handler *handler, void *context, struct link **ret);

/* Ends the link: streams close with `reason` at once (-EPIPE for 0), and on_close comes later, from
 * the loop. What was sealed already is still sent, within LINK_LINGER_MS. Calling it again does
 * nothing. */
void link_close(struct link *link, int reason);

/* As link_close, but what was not sent yet is thrown away. */
void link_abort(struct link *link, int reason);

/* Borrowed for the link's life. */
struct mux *link_mux(struct link *link);
const struct link_remote *link_remote(const struct link *link);

/* True between on_open and link_close. */
bool link_is_open(const struct link *link);
bool link_is_closing(const struct link *link);
bool link_broke_off(const struct link *link); /* it failed, or the other side hung up unannounced */
bool link_is_dialed(const struct link *link); /* by this side */

/* Whether it is to be given away; for an acceptor, as far as is known yet. */
bool link_is_for_mesh(const struct link *link);

/* Whether it came to nothing because the other side refused it; why->code says as what. */
bool link_was_refused(const struct link *link);
