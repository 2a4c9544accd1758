/* Parties for the transport's tests: a cluster's root key, and keys with certificates of it. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "gossip/certificate.h"
#include "gossip/identity.h"

struct party {
    struct identity identity;
    struct certificate_chain chain;
};

/* The key pair of a small number: the same in every test. */
static inline void party_identity(struct identity *identity, uint8_t number)
{
    uint8_t seed[IDENTITY_SEED_BYTES];
    memset(seed, number, sizeof(seed));
    identity_init(identity, seed);
}

/* A key that the root `root` has certified under that name and role. */
static inline void party_init(struct party *party, uint8_t number, const char *name, enum role role,
                              const struct identity *root)
{
    static const struct certificate_chain none;
    struct certificate leaf = {.cluster = root->id, .role = role, .serial = number};
    party_identity(&party->identity, number);
    leaf.subject = party->identity.id;
    strncpy(leaf.name, name, sizeof(leaf.name) - 1);
    certificate_sign(&leaf, root);
    certificate_chain_extend(&leaf, &none, &party->chain);
}
