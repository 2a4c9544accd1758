/* The newcomer's side: dials the peers that a token names, one after the other, and asks to be
 * admitted. Used by a peer (`consort join`) and by the CLI (`consort context create`).
 */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "gossip/identity.h"
#include "gossip/token.h"
#include "node/join/join_wire.h"
#include "node/transport/fault.h"

struct join_client;

/* `answer` is NULL when `error` says what failed. Both are borrowed for the call. */
typedef void join_callback(void *context, const struct join_answer *answer,
                           const struct error *error);

/* The token and request are copied; `identity` and `fault` (may be NULL) are borrowed until the
 * callback, which comes once, perhaps from inside this call. The answer's chain is verified, and is
 * `identity`'s. -ENOMEM. */
int join_start(uv_loop_t *loop, const struct identity *identity, const struct token *token,
               const struct join_request *request, struct fault *fault, join_callback *callback,
               void *context);
