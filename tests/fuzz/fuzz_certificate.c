/* Certificates and chains: what is read is written back the same, and no chain made of input bytes
 * passes for one that the root key signed. */
#include <assert.h>
#include <stdint.h>

#include "gossip/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_chain(const uint8_t *data, size_t size, const struct id *cluster)
{
    cleanup_buffer struct buffer written = {0};
    struct certificate_chain chain, again;
    struct reader reader;
    struct writer writer;

    reader_init(&reader, data, size);
    if (certificate_chain_read(&reader, &chain) < 0)
        return;
    assert(chain.count <= CERTIFICATE_CHAIN_COUNT_MAX);
    assert(certificate_chain_verify(&chain, cluster) != CERTIFICATE_GOOD);
    writer_init(&writer, &written);
    certificate_chain_write(&writer, &chain);
    assert(writer_check(&writer) == 0);
    assert(written.size <= CERTIFICATE_CHAIN_BYTES_MAX);
    reader_init(&reader, written.bytes, written.size);
    assert(certificate_chain_read(&reader, &again) == 0);
    assert(again.count == chain.count);
}

static void read_certificate(const uint8_t *data, size_t size)
{
    struct certificate certificate;
    struct reader reader;

    reader_init(&reader, data, size);
    if (certificate_read(&reader, &certificate) == 0)
        assert(certificate_name_is_valid(certificate.name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {1};
    struct identity root;

    identity_init(&root, seed);
    read_chain(data, size, &root.id);
    read_certificate(data, size);
    return 0;
}
