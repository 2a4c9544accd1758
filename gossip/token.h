/* Join tokens: what an operator pastes on a new machine.
 *
 *     consort1-<base32 of cluster, secret, addresses and checksum>
 *
 * The cluster's root key proves the cluster to the newcomer; the secret, as the handshake's psk
 * (Noise XXpsk3), proves the newcomer to the cluster, which finds it by the token's id. Base32 is
 * one word without characters that a shell, a terminal or a double click would break at; case and
 * white space do not matter, so that a token wrapped over lines still pastes.
 */
#pragma once

#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/id.h"
#include "gossip/bounds.h"
#include "gossip/noise.h"

enum {
    TOKEN_SECRET_BYTES = 32,
    TOKEN_ID_BYTES = 16,
};

struct token {
    struct id cluster; /* the root public key */
    uint8_t secret[TOKEN_SECRET_BYTES];
    uint32_t address_count;
    struct address addresses[TOKEN_ADDRESS_COUNT_MAX]; /* peers to ask, in order */
};

/* Writes the text form, with the NUL. The addresses are set and at most TOKEN_ADDRESS_COUNT_MAX. */
void token_format(const struct token *token, char ret[TOKEN_TEXT_BYTES_MAX]);

/* -EINVAL with words for the operator in `error` (may be NULL): not a token, cut short, mistyped.
 */
int token_parse(const char *text, struct token *ret, struct error *error);

/* What the cluster stores and looks up; it does not reveal the secret. */
void token_id(const uint8_t secret[TOKEN_SECRET_BYTES], uint8_t ret[TOKEN_ID_BYTES]);

/* The handshake's pre-shared key. The cluster stores it beside the id. */
void token_psk(const uint8_t secret[TOKEN_SECRET_BYTES], uint8_t ret[NOISE_PSK_BYTES]);

/* Wipes the secret. */
void token_done(struct token *token);
