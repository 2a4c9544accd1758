/* What the tests of gossip's cryptography share: seeded entropy, identities, clusters. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "gossip/certificate.h"
#include "gossip/entropy.h"
#include "gossip/identity.h"

static inline void fixture_fill(void *context, void *ret, size_t size)
{
    random_fill(context, ret, size);
}

static inline struct entropy fixture_entropy(struct random *random)
{
    return (struct entropy){fixture_fill, random};
}

/* The identity of that number; 0 stands for the root key. */
static inline void fixture_identity(struct identity *identity, uint8_t number)
{
    uint8_t seed[IDENTITY_SEED_BYTES] = {number, 0xc0};
    identity_init(identity, seed);
}

/* A certificate for `subject`, signed by `issuer` and put before `issuer_chain`. */
static inline int fixture_certify(const struct identity *root, const struct identity *issuer,
                                  const struct certificate_chain *issuer_chain,
                                  const struct identity *subject, enum role role,
                                  struct certificate_chain *ret)
{
    struct certificate leaf = {
        .cluster = root->id,
        .subject = subject->id,
        .role = role,
        .serial = 7,
        .log_index = UINT64_MAX,
    };
    snprintf(leaf.name, sizeof(leaf.name), "peer-%u", subject->id.bytes[0]);
    int rc = certificate_sign(&leaf, issuer);
    return rc < 0 ? rc : certificate_chain_extend(&leaf, issuer_chain, ret);
}
