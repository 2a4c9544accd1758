/* Certificates: "this key belongs to this cluster, under this name, in this role", signed by the
 * root key or by an admitted peer. A chain, leaf first, leads from a key to the root key.
 *
 * There are no dates: a certificate is good until its serial is revoked, which the caller checks
 * against the intent (certificate_chain_verify checks signatures and links only).
 *
 * In a chain, the cluster is written once and issuers not at all: each is the next one's subject,
 * the last one's the root. So four certificates fit a first packet and leave room (bounds.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bounds.h"
#include "base/id.h"
#include "base/reader.h"
#include "base/writer.h"
#include "gossip/bounds.h"
#include "gossip/identity.h"

enum role {
    ROLE_PEER = 1,     /* a machine of the cluster; may issue certificates */
    ROLE_VIEWER = 2,   /* an operator who may look */
    ROLE_DEPLOYER = 3, /* … and change services */
    ROLE_ADMIN = 4,    /* … and peers, operators and secrets */
};

struct certificate {
    struct id cluster; /* the root public key */
    struct id subject;
    char name[BASE_NAME_BYTES_MAX + 1]; /* a DNS label: a-z, 0-9, '-' inside */
    enum role role;
    uint64_t serial;    /* unique in the cluster, for revocation */
    uint64_t log_index; /* of the intent that admitted the subject */
    struct id issuer;
    uint8_t signature[SIGNATURE_BYTES];
};

struct certificate_chain {
    uint32_t count;                                               /* 0: no certificate (yet) */
    struct certificate certificates[CERTIFICATE_CHAIN_COUNT_MAX]; /* leaf first */
};

enum certificate_verdict {
    CERTIFICATE_GOOD,
    CERTIFICATE_CHAIN_EMPTY,
    CERTIFICATE_CHAIN_TOO_LONG,
    CERTIFICATE_FOREIGN_CLUSTER,
    CERTIFICATE_NAME_INVALID,
    CERTIFICATE_ROLE_UNKNOWN,
    CERTIFICATE_LINK_BROKEN,     /* an issuer is not the next certificate's subject */
    CERTIFICATE_ISSUER_NOT_PEER, /* an operator's key signed a certificate */
    CERTIFICATE_ISSUER_NOT_ROOT, /* the chain ends before the root key */
    CERTIFICATE_SIGNATURE_BAD,
};

/* What is wrong, in words that end a sentence: "peer db1 was refused: …". */
const char *certificate_verdict_words(enum certificate_verdict verdict);

bool certificate_name_is_valid(const char *name);

/* "peer", "viewer", "deployer", "admin"; "unknown" for what is no role. */
const char *role_name(enum role role);
int role_parse(const char *text, enum role *ret); /* -EINVAL for any other text */

/* Sets the issuer and the signature; all else is filled in. -EINVAL for an invalid name or role. */
int certificate_sign(struct certificate *certificate, const struct identity *issuer);

/* Puts `leaf`, signed by the subject of `issuer_chain`'s leaf (an empty one for the root key),
 * before that chain. -E2BIG if the chain would be too long: let a peer nearer to the root sign
 * instead. */
int certificate_chain_extend(const struct certificate *leaf,
                             const struct certificate_chain *issuer_chain,
                             struct certificate_chain *ret);

/* Checks that every link up to `cluster`'s root key is good. Costs a signature check a certificate.
 */
enum certificate_verdict certificate_chain_verify(const struct certificate_chain *chain,
                                                  const struct id *cluster);

/* As MessagePack. The readers bound and check the form, not the signatures; -EBADMSG. */
void certificate_write(struct writer *writer, const struct certificate *certificate);
int certificate_read(struct reader *reader, struct certificate *ret);
void certificate_chain_write(struct writer *writer, const struct certificate_chain *chain);
int certificate_chain_read(struct reader *reader, struct certificate_chain *ret);
