/* Secrets, sealed: what is in one is encrypted by a key of its own (XChaCha20-Poly1305), and that
 * key is sealed to each peer that needs it (crypto_box_seal to the X25519 form of its identity).
 *
 * A key encrypts once: each version of a secret has another, so its nonce is all zeros. The cluster
 * and the secret's name are authenticated with it, so that nothing sealed under one name opens
 * under another. Why so: docs/decisions/sealed-secrets.md.
 *
 * What comes out of here in the clear is the caller's to wipe: seal_wipe().
 */
#pragma once

#include "base/buffer.h"
#include "base/id.h"
#include "consensus/intent.h"
#include "gossip/identity.h"

/* Replaces what is in `blob` (a name, and a content in the clear, which is wiped) by the sealed
 * form, for those peers; a key that none can be addressed by is left out. -ENOMEM, or -EKEYREJECTED
 * when no peer is left; the content is wiped then, too. */
int seal_blob(struct intent_blob *blob, const struct id *cluster, const struct id *peers,
              size_t peer_count);

/* What is in a secret, for a peer that it is sealed to. -EAGAIN: it is not; -EBADMSG: it does not
 * open; -ENOMEM. `ret` is an empty buffer. */
int seal_open(const struct intent_blob *blob, const struct id *cluster,
              const struct identity *identity, struct buffer *ret);

/* Seals the secret's key to another peer. -EAGAIN and -EBADMSG as above; -EKEYREJECTED: nobody can
 * have that peer's id. */
int seal_wrap(const struct intent_blob *blob, const struct identity *identity,
              const struct id *peer, struct intent_wrap *ret);

/* Overwrites and frees. */
void seal_wipe(struct buffer *buffer);
