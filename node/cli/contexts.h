/* The fleets that an operator manages from this machine: for each an operator's key, which the
 * cluster has admitted with a role, and where its peers were last.
 *
 *     $XDG_CONFIG_HOME/consort (or ~/.config/consort), mode 0700
 *         current                       the name of the one in use
 *         contexts/NAME/identity.key    the seed of the key
 *         contexts/NAME/membership      cluster, certificates and peers, MessagePack
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/text_list.h"
#include "gossip/certificate.h"
#include "gossip/identity.h"
#include "node/join/join_wire.h"

struct operator_context {
    struct identity identity;
    struct id cluster;
    struct certificate_chain chain;
    struct join_seed seeds[JOIN_SEEDS_MAX];
    uint32_t seed_count;
};

/* -EEXIST, with words, if there is one of that name. */
int context_check_new(const char *name, struct error *error);

/* Stores a new context with the seed of its key; `context->identity` is not read. */
int context_save(const char *name, const uint8_t seed[IDENTITY_SEED_BYTES],
                 const struct operator_context *context, struct error *error);

/* -ENOENT if there is none of that name. The caller frees `*ret`. */
int context_load(const char *name, struct operator_context **ret, struct error *error);

/* Wipes the key. NULL is accepted. */
void context_free(struct operator_context *context);

/* Copies the name of the one in use into `ret`, BASE_NAME_BYTES_MAX + 1 bytes; -ENOENT. */
int context_current(char *ret);
int context_use(const char *name, struct error *error);

/* The names of all, sorted. Nothing is added when there are none. */
int context_list(struct text_list *ret, struct error *error);

/* Removes the key and all; the cluster still knows it until it is revoked. */
int context_remove(const char *name, struct error *error);
