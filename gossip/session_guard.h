/* What stands between a stranger's first packet and the key exchange that it costs us.
 *
 * As in WireGuard: mac1, keyed by the receiver's id, drops what was not made for us. Once more than
 * SESSION_HANDSHAKES_PER_SECOND came in one second, a first packet also needs mac2, keyed by a
 * cookie that we sent to its source address; so a forged address gets nowhere, and an honest one is
 * limited: each source (an IPv4 address, or an IPv6 /64) to one in a second, and to some more while
 * all together leave room. So one second costs no more than
 * SESSION_HANDSHAKES_PER_SECOND + SESSION_PROVEN_HANDSHAKES_PER_SECOND + SESSION_SOURCE_BUCKETS key
 * exchanges, whoever asks, and an honest source still gets one. It holds no memory for a stranger:
 * a cookie is a MAC of the address under a secret of ours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/id.h"
#include "gossip/bounds.h"
#include "gossip/entropy.h"
#include "gossip/session.h"
#include "gossip/session_packet.h"

enum { SESSION_COOKIE_SECRET_BYTES = 32 };

struct session_guard {
    struct id id; /* our own */
    struct entropy entropy;
    uint8_t secret[SESSION_COOKIE_SECRET_BYTES];
    int64_t secret_made_ms;
    bool secret_made;
    int64_t second; /* that the counts are of */
    uint32_t count;
    uint32_t proven_count;
    uint16_t counts_by_source[SESSION_SOURCE_BUCKETS]; /* by a hash of the IP, only under load */
};

/* A cookie that a peer gave us. */
struct session_cookie {
    uint8_t bytes[SESSION_MAC_BYTES];
    int64_t received_ms;
    bool known;
};

void session_guard_init(struct session_guard *guard, const struct id *id,
                        const struct entropy *entropy);
void session_guard_done(struct session_guard *guard);

/* Whether to go on with a first packet (of the right size). SESSION_ACCEPTED, SESSION_NOT_FOR_US,
 * SESSION_SOURCE_BUSY, or SESSION_COOKIE_WANTED: then session_guard_reply() is to be sent. */
enum session_refusal session_guard_check(struct session_guard *guard, int64_t now_ms,
                                         const struct address *source, struct bytes first);

/* Writes the cookie packet that answers `first`, whose sender index is `index`. */
void session_guard_reply(struct session_guard *guard, int64_t now_ms, const struct address *source,
                         struct bytes first, uint32_t index,
                         uint8_t ret[SESSION_COOKIE_PACKET_BYTES]);

/* Sets mac1 and mac2 of a first packet to `to`; the rest of it is complete. */
void session_guard_sign(const struct id *to, const struct session_cookie *cookie, int64_t now_ms,
                        uint8_t first[SESSION_DATAGRAM_BYTES_MAX]);

/* Takes the cookie out of the packet with which `from` answered the first packet of that mac1.
 * -EBADMSG. */
int session_cookie_open(const struct id *from, const uint8_t mac1[SESSION_MAC_BYTES],
                        struct bytes datagram, int64_t now_ms, struct session_cookie *ret);
