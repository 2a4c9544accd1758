/* A fact: something that one peer says, signed by it, so that anyone may pass it on.
 *
 * A presence says "I am here (or leaving), at this address"; an accusation says "I can't reach that
 * peer"; a record says anything else that a peer tells about itself. A fact is relayed and stored
 * as the very bytes that were signed. fact_parse() checks that bytes are well-formed; only
 * fact_pool_admit() makes a struct fact of them, after checking the signature, so whoever holds a
 * struct fact knows that its signer said it.
 *
 * On the wire: a MessagePack array, then the signature's 64 bytes.
 *     presence    [1, id, incarnation, left, address]
 *     accusation  [2, accuser, accused, the accused's incarnation]
 *     record      [3, owner, version, age, sum, table, key, value or nil if withdrawn]
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/id.h"

struct fact_pool;
struct identity;

enum fact_kind {
    FACT_PRESENCE = 1,
    FACT_ACCUSATION = 2,
    FACT_RECORD = 3,
};

/* Orders an owner's records: by table, then by the key's bytes, a prefix first. */
struct record_key {
    uint32_t table;
    struct bytes key;
};

struct fact_view {
    struct bytes raw; /* all of it, with the signature */
    enum fact_kind kind;
    struct id signer;
    uint64_t version; /* the presence's or the accused's incarnation, or the record's version */
    uint64_t mix;     /* of the signature, as good as random: what records' sums are made of */
    union {
        struct {
            struct address address;
            bool left;
        } presence;
        struct {
            struct id accused;
        } accusation;
        struct {
            struct record_key key;
            struct bytes value; /* empty if withdrawn */
            bool withdrawn;
            uint64_t floor; /* the owner's records with lower versions are void */
            uint64_t sum;   /* of the mixes of the owner's other records, as of this one */
        } record;
    };
};

struct fact {
    struct fact_view view; /* points into `bytes` */
    struct fact *next;     /* in its bucket of the pool */
    uint32_t references;
    uint8_t bytes[];
};

int record_key_compare(const struct record_key *a, const struct record_key *b);

/* Reads the bytes of one fact; `*ret` borrows from them. -EBADMSG. The signature is not checked. */
int fact_parse(struct bytes raw, struct fact_view *ret);

/* Makes a fact of parsed bytes: finds it if the pool has it, else checks its signature and copies
 * it. -EBADMSG if the signature is not the signer's; -ENOMEM. The caller owns a reference. */
int fact_pool_admit(struct fact_pool *pool, const struct fact_view *view, struct fact **ret);

/* Says what `view` tells (raw, signer and mix are ignored) in the name of `identity`. -ENOMEM. The
 * caller owns a reference. */
int fact_sign(struct fact_pool *pool, const struct identity *identity, const struct fact_view *view,
              struct fact **ret);

struct fact *fact_retain(struct fact *fact);

/* Gives a reference back; NULL is fine. */
void fact_release(struct fact_pool *pool, struct fact *fact);
