/* Secrets on their way in: sealed by the peer that takes the call, before anything is proposed. */
#pragma once

#include "node/api/call.h"

/* Replaces what the secrets among the blobs hold, in the clear, by the sealed form, for the peers
 * that take part in Raft. One that is in the cluster already with the same content keeps its form,
 * so that it counts as unchanged; who can't open that passes the call on to a peer that can. False
 * when the call was passed on or failed: it is gone then, and nothing in the clear is left. */
bool api_seal(struct api_call *call, struct bytes params, struct intent_blob *blobs, size_t count);
