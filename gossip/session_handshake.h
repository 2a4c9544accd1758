/* The handshakes of packet sessions: first packets and their answers, both ways.
 *
 * A first packet is taken in an order that does the cheap checks first and changes nothing before
 * the last: made for us, load, key exchange, form, certificate owned, newer than the last, chain
 * verified, admitted. Only then is the peer remembered.
 */
#pragma once

#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "gossip/session_state.h"

/* What a first packet of ours has room for. There is a chain. */
size_t session_first_room(const struct sessions *sessions);

/* Appends a first packet to `peer`; the payload fits. -ENOMEM. */
int session_initiate(struct sessions *sessions, int64_t now_ms, struct session_peer *peer,
                     struct bytes payload, struct buffer *ret_datagram);

/* Appends the answer to peer->response, which is then done with; the payload fits. -ENOMEM. */
int session_respond(struct sessions *sessions, int64_t now_ms, struct session_peer *peer,
                    struct bytes payload, struct buffer *ret_datagram);

/* These take a datagram whose header is good, with its index, and fill in `ret`. -ENOMEM. */
int session_open_first(struct sessions *sessions, int64_t now_ms, const struct address *source,
                       struct bytes datagram, uint32_t index, struct sessions_opened *ret);
int session_open_answer(struct sessions *sessions, int64_t now_ms, struct bytes datagram,
                        uint32_t index, struct sessions_opened *ret);
void session_open_cookie(struct sessions *sessions, int64_t now_ms, struct bytes datagram,
                         uint32_t index, struct sessions_opened *ret);
