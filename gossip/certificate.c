#include "gossip/certificate.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

static const char PURPOSE[] = "consort certificate";

enum {
    /* The signed form: three ids, role, serial, index, the name's length and the name. */
    SIGNED_BYTES_MAX = 3 * ID_BYTES + 1 + 8 + 8 + 1 + BASE_NAME_BYTES_MAX,

    CERTIFICATE_FIELD_COUNT = 8,
    CHAIN_FIELD_COUNT = 6, /* without cluster and issuer, which the chain implies */
};

/* MessagePack: array head, subject, name, role, serial, index, signature; then the chain's heads
 * and the cluster. */
_Static_assert(CERTIFICATE_CHAIN_BYTES_MAX >=
                   1 + (2 + ID_BYTES) +
                       CERTIFICATE_CHAIN_COUNT_MAX *
                           (1 + (2 + ID_BYTES) + (2 + BASE_NAME_BYTES_MAX) + 1 + 9 + 9 +
                            (2 + SIGNATURE_BYTES)),
               "the longest chain fits its bound");

static const char *const ROLE_NAMES[] = {
    [ROLE_PEER] = "peer",
    [ROLE_VIEWER] = "viewer",
    [ROLE_DEPLOYER] = "deployer",
    [ROLE_ADMIN] = "admin",
};

static bool role_is_known(uint64_t role)
{
    return role >= ROLE_PEER && role <= ROLE_ADMIN;
}

const char *role_name(enum role role)
{
    return role_is_known(role) ? ROLE_NAMES[role] : "unknown";
}

int role_parse(const char *text, enum role *ret)
{
    for (enum role role = ROLE_PEER; role <= ROLE_ADMIN; role++) {
        if (strcmp(text, ROLE_NAMES[role]) == 0) {
            *ret = role;
            return 0;
        }
    }
    return -EINVAL;
}

const char *certificate_verdict_words(enum certificate_verdict verdict)
{
    switch (verdict) {
    case CERTIFICATE_GOOD:
        return "the certificate is good";
    case CERTIFICATE_CHAIN_EMPTY:
        return "there is no certificate";
    case CERTIFICATE_CHAIN_TOO_LONG:
        return "the certificate chain is too long";
    case CERTIFICATE_FOREIGN_CLUSTER:
        return "the certificate is of another cluster";
    case CERTIFICATE_NAME_INVALID:
        return "a certificate's name is not a DNS label";
    case CERTIFICATE_ROLE_UNKNOWN:
        return "a certificate's role is unknown to this version";
    case CERTIFICATE_LINK_BROKEN:
        return "a certificate was not issued by the next one's subject";
    case CERTIFICATE_ISSUER_NOT_PEER:
        return "a certificate was issued by a key that may not issue any";
    case CERTIFICATE_ISSUER_NOT_ROOT:
        return "the certificate chain does not lead to the cluster's root key";
    case CERTIFICATE_SIGNATURE_BAD:
        return "a certificate's signature is wrong";
    }
    return "unknown";
}

bool certificate_name_is_valid(const char *name)
{
    size_t length = strnlen(name, BASE_NAME_BYTES_MAX + 1);
    if (length == 0 || length > BASE_NAME_BYTES_MAX)
        return false;
    if (name[0] == '-' || name[length - 1] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static size_t put(uint8_t *to, size_t offset, const void *data, size_t size)
{
    memcpy(to + offset, data, size);
    return offset + size;
}

static size_t put_u64(uint8_t *to, size_t offset, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[offset + (size_t)i] = (uint8_t)(value >> (56 - 8 * i));
    return offset + 8;
}

/* What is signed: a fixed layout with nothing optional, so that it has one reading only. */
static struct bytes signed_form(const struct certificate *certificate,
                                uint8_t storage[SIGNED_BYTES_MAX])
{
    size_t length = strlen(certificate->name);
    uint8_t role = (uint8_t)certificate->role, name_size = (uint8_t)length;
    size_t size = 0;
    size = put(storage, size, certificate->cluster.bytes, ID_BYTES);
    size = put(storage, size, certificate->subject.bytes, ID_BYTES);
    size = put(storage, size, certificate->issuer.bytes, ID_BYTES);
    size = put(storage, size, &role, 1);
    size = put_u64(storage, size, certificate->serial);
    size = put_u64(storage, size, certificate->log_index);
    size = put(storage, size, &name_size, 1);
    size = put(storage, size, certificate->name, length);
    return (struct bytes){storage, size};
}

int certificate_sign(struct certificate *certificate, const struct identity *issuer)
{
    if (!certificate_name_is_valid(certificate->name) || !role_is_known(certificate->role))
        return -EINVAL;
    uint8_t storage[SIGNED_BYTES_MAX];
    certificate->issuer = issuer->id;
    identity_sign(issuer, PURPOSE, signed_form(certificate, storage), certificate->signature);
    return 0;
}

int certificate_chain_extend(const struct certificate *leaf,
                             const struct certificate_chain *issuer_chain,
                             struct certificate_chain *ret)
{
    if (issuer_chain->count >= CERTIFICATE_CHAIN_COUNT_MAX)
        return -E2BIG;
    struct certificate_chain chain = {.count = issuer_chain->count + 1};
    chain.certificates[0] = *leaf;
    for (uint32_t i = 0; i < issuer_chain->count; i++)
        chain.certificates[i + 1] = issuer_chain->certificates[i];
    *ret = chain;
    return 0;
}

/* Checks the certificate at `index` and its link to the next one, or to the root key. */
static enum certificate_verdict verify_link(const struct certificate_chain *chain, uint32_t index,
                                            const struct id *cluster)
{
    const struct certificate *certificate = &chain->certificates[index];
    if (!id_equal(&certificate->cluster, cluster))
        return CERTIFICATE_FOREIGN_CLUSTER;
    if (!certificate_name_is_valid(certificate->name))
        return CERTIFICATE_NAME_INVALID;
    if (!role_is_known(certificate->role))
        return CERTIFICATE_ROLE_UNKNOWN;
    if (index > 0 && certificate->role != ROLE_PEER)
        return CERTIFICATE_ISSUER_NOT_PEER;
    if (index + 1 == chain->count) {
        if (!id_equal(&certificate->issuer, cluster))
            return CERTIFICATE_ISSUER_NOT_ROOT;
    } else if (!id_equal(&certificate->issuer, &chain->certificates[index + 1].subject)) {
        return CERTIFICATE_LINK_BROKEN;
    }
    return CERTIFICATE_GOOD;
}

enum certificate_verdict certificate_chain_verify(const struct certificate_chain *chain,
                                                  const struct id *cluster)
{
    if (chain->count == 0)
        return CERTIFICATE_CHAIN_EMPTY;
    if (chain->count > CERTIFICATE_CHAIN_COUNT_MAX)
        return CERTIFICATE_CHAIN_TOO_LONG;
    for (uint32_t i = 0; i < chain->count; i++) {
        enum certificate_verdict verdict = verify_link(chain, i, cluster);
        if (verdict != CERTIFICATE_GOOD)
            return verdict;
    }
    /* Signatures last: they are what costs, and a stranger may send any number of chains. */
    for (uint32_t i = chain->count; i-- > 0;) {
        const struct certificate *certificate = &chain->certificates[i];
        uint8_t storage[SIGNED_BYTES_MAX];
        if (!identity_verify(&certificate->issuer, PURPOSE, signed_form(certificate, storage),
                             certificate->signature))
            return CERTIFICATE_SIGNATURE_BAD;
    }
    return CERTIFICATE_GOOD;
}

/* The six fields that both forms have. */
static void write_fields(struct writer *writer, const struct certificate *certificate)
{
    writer_binary(writer, certificate->subject.bytes, ID_BYTES);
    writer_text(writer, certificate->name);
    writer_u64(writer, certificate->role);
    writer_u64(writer, certificate->serial);
    writer_u64(writer, certificate->log_index);
    writer_binary(writer, certificate->signature, SIGNATURE_BYTES);
}

static int read_fields(struct reader *reader, struct certificate *ret)
{
    uint8_t role = 0;
    reader_fixed(reader, ret->subject.bytes, ID_BYTES);
    reader_copy_text(reader, ret->name, sizeof(ret->name));
    reader_u8(reader, &role);
    reader_u64(reader, &ret->serial);
    reader_u64(reader, &ret->log_index);
    reader_fixed(reader, ret->signature, SIGNATURE_BYTES);
    if (reader_check(reader) < 0)
        return -EBADMSG;
    if (!certificate_name_is_valid(ret->name) || !role_is_known(role))
        return reader_refuse(reader);
    ret->role = role;
    return 0;
}

void certificate_write(struct writer *writer, const struct certificate *certificate)
{
    writer_array(writer, CERTIFICATE_FIELD_COUNT);
    writer_binary(writer, certificate->cluster.bytes, ID_BYTES);
    writer_binary(writer, certificate->issuer.bytes, ID_BYTES);
    write_fields(writer, certificate);
}

int certificate_read(struct reader *reader, struct certificate *ret)
{
    struct certificate certificate = {0};
    reader_array_exact(reader, CERTIFICATE_FIELD_COUNT);
    reader_fixed(reader, certificate.cluster.bytes, ID_BYTES);
    reader_fixed(reader, certificate.issuer.bytes, ID_BYTES);
    if (read_fields(reader, &certificate) < 0)
        return -EBADMSG;
    *ret = certificate;
    return 0;
}

void certificate_chain_write(struct writer *writer, const struct certificate_chain *chain)
{
    assert(chain->count <= CERTIFICATE_CHAIN_COUNT_MAX);
    if (chain->count == 0) {
        writer_array(writer, 0);
        return;
    }
    writer_array(writer, 1 + chain->count);
    writer_binary(writer, chain->certificates[0].cluster.bytes, ID_BYTES);
    for (uint32_t i = 0; i < chain->count; i++) {
        writer_array(writer, CHAIN_FIELD_COUNT);
        write_fields(writer, &chain->certificates[i]);
    }
}

int certificate_chain_read(struct reader *reader, struct certificate_chain *ret)
{
    struct certificate_chain chain = {0};
    uint32_t count = 0;
    if (reader_array(reader, &count) < 0)
        return -EBADMSG;
    if (count == 0) {
        *ret = chain;
        return 0;
    }
    struct id cluster;
    if (count == 1 || count > 1 + CERTIFICATE_CHAIN_COUNT_MAX)
        return reader_refuse(reader);
    if (reader_fixed(reader, cluster.bytes, ID_BYTES) < 0)
        return -EBADMSG;
    chain.count = count - 1;
    for (uint32_t i = 0; i < chain.count; i++) {
        struct certificate *certificate = &chain.certificates[i];
        reader_array_exact(reader, CHAIN_FIELD_COUNT);
        if (read_fields(reader, certificate) < 0)
            return -EBADMSG;
        certificate->cluster = cluster;
        certificate->issuer = cluster;
        if (i > 0)
            chain.certificates[i - 1].issuer = certificate->subject;
    }
    *ret = chain;
    return 0;
}
