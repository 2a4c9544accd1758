#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/gossip/crypto_fixture.h"

enum { PEERS = 5 };

/* The root key, and chains of growing length: peer 0's is signed by the root, each by the last. */
struct cluster {
    struct identity root;
    struct identity peers[PEERS];
    struct certificate_chain chains[PEERS];
};

static const struct certificate_chain NO_CHAIN;

static void cluster_init(struct cluster *cluster)
{
    memset(cluster, 0, sizeof(*cluster));
    fixture_identity(&cluster->root, 0);
    for (int i = 0; i < PEERS; i++)
        fixture_identity(&cluster->peers[i], (uint8_t)(i + 1));
    const struct identity *issuer = &cluster->root;
    const struct certificate_chain *chain = &NO_CHAIN;
    for (int i = 0; i < CERTIFICATE_CHAIN_COUNT_MAX; i++) {
        assert_int_equal(fixture_certify(&cluster->root, issuer, chain, &cluster->peers[i],
                                         ROLE_PEER, &cluster->chains[i]),
                         0);
        issuer = &cluster->peers[i];
        chain = &cluster->chains[i];
    }
}

static enum certificate_verdict verify(const struct cluster *cluster,
                                       const struct certificate_chain *chain)
{
    return certificate_chain_verify(chain, &cluster->root.id);
}

/* Breaks if chains of one to four certificates are not accepted, or five are. */
static void test_lengths(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster);
    for (int i = 0; i < CERTIFICATE_CHAIN_COUNT_MAX; i++)
        assert_int_equal(verify(&cluster, &cluster.chains[i]), CERTIFICATE_GOOD);
    assert_int_equal(verify(&cluster, &NO_CHAIN), CERTIFICATE_CHAIN_EMPTY);

    struct certificate_chain longest = cluster.chains[CERTIFICATE_CHAIN_COUNT_MAX - 1], extended;
    assert_int_equal(fixture_certify(&cluster.root, &cluster.peers[3], &longest, &cluster.peers[4],
                                     ROLE_PEER, &extended),
                     -E2BIG);
    longest.count++;
    assert_int_equal(verify(&cluster, &longest), CERTIFICATE_CHAIN_TOO_LONG);
}

/* Breaks if a field can be changed after it was signed, in any link. */
static void test_tampering(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster);
    const struct certificate_chain *good = &cluster.chains[2];
    for (uint32_t i = 0; i < good->count; i++) {
        struct certificate_chain bad = *good;
        bad.certificates[i].serial++;
        assert_int_equal(verify(&cluster, &bad), CERTIFICATE_SIGNATURE_BAD);
        bad = *good;
        bad.certificates[i].log_index--;
        assert_int_equal(verify(&cluster, &bad), CERTIFICATE_SIGNATURE_BAD);
        bad = *good;
        bad.certificates[i].name[0] = 'q';
        assert_int_equal(verify(&cluster, &bad), CERTIFICATE_SIGNATURE_BAD);
        bad = *good;
        bad.certificates[i].signature[40] ^= 1;
        assert_int_equal(verify(&cluster, &bad), CERTIFICATE_SIGNATURE_BAD);
    }
    struct certificate_chain bad = *good;
    bad.certificates[0].role = ROLE_ADMIN;
    assert_int_equal(verify(&cluster, &bad), CERTIFICATE_SIGNATURE_BAD);
    bad = *good;
    bad.certificates[0].subject = cluster.peers[4].id;
    assert_int_equal(verify(&cluster, &bad), CERTIFICATE_SIGNATURE_BAD);
}

/* Breaks if a refusal is not told by its own reason. */
static void test_reasons(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster);
    struct certificate_chain bad = cluster.chains[2];
    assert_int_equal(certificate_chain_verify(&bad, &cluster.peers[4].id),
                     CERTIFICATE_FOREIGN_CLUSTER);
    bad.certificates[1] = cluster.chains[3].certificates[0];
    assert_int_equal(verify(&cluster, &bad), CERTIFICATE_LINK_BROKEN);
    bad = cluster.chains[2];
    bad.count--;
    assert_int_equal(verify(&cluster, &bad), CERTIFICATE_ISSUER_NOT_ROOT);
    bad = cluster.chains[0];
    strcpy(bad.certificates[0].name, "-no-label");
    assert_int_equal(verify(&cluster, &bad), CERTIFICATE_NAME_INVALID);
    bad = cluster.chains[0];
    bad.certificates[0].role = 9;
    assert_int_equal(verify(&cluster, &bad), CERTIFICATE_ROLE_UNKNOWN);
    for (int verdict = CERTIFICATE_GOOD; verdict <= CERTIFICATE_SIGNATURE_BAD; verdict++)
        assert_string_not_equal(certificate_verdict_words(verdict), "unknown");
}

/* Breaks if an operator, even an admin, can admit others with its own key. */
static void test_operators_do_not_issue(void **state)
{
    (void)state;
    struct cluster cluster;
    struct certificate_chain admin, forged;
    cluster_init(&cluster);
    assert_int_equal(fixture_certify(&cluster.root, &cluster.peers[0], &cluster.chains[0],
                                     &cluster.peers[1], ROLE_ADMIN, &admin),
                     0);
    assert_int_equal(verify(&cluster, &admin), CERTIFICATE_GOOD);
    assert_int_equal(fixture_certify(&cluster.root, &cluster.peers[1], &admin, &cluster.peers[2],
                                     ROLE_PEER, &forged),
                     0);
    assert_int_equal(verify(&cluster, &forged), CERTIFICATE_ISSUER_NOT_PEER);
}

/* Breaks if what a peer signed in one cluster counts in another that it belongs to as well. */
static void test_peer_of_two_clusters(void **state)
{
    (void)state;
    struct cluster cluster;
    struct identity other_root;
    struct certificate_chain other_chain, moved = {0};
    cluster_init(&cluster);
    fixture_identity(&other_root, 50);
    assert_int_equal(fixture_certify(&other_root, &other_root, &NO_CHAIN, &cluster.peers[0],
                                     ROLE_PEER, &other_chain),
                     0);
    struct certificate leaf = cluster.chains[1].certificates[0];
    leaf.cluster = other_root.id;
    assert_int_equal(certificate_chain_extend(&leaf, &other_chain, &moved), 0);
    assert_int_equal(certificate_chain_verify(&moved, &other_root.id), CERTIFICATE_SIGNATURE_BAD);
}

/* Breaks if names other than DNS labels are signed, or labels are not. */
static void test_names(void **state)
{
    (void)state;
    char longest[BASE_NAME_BYTES_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[BASE_NAME_BYTES_MAX] = '\0';
    assert_true(certificate_name_is_valid(longest));
    longest[BASE_NAME_BYTES_MAX] = 'x';
    longest[BASE_NAME_BYTES_MAX + 1] = '\0';
    assert_false(certificate_name_is_valid(longest));
    assert_true(certificate_name_is_valid("a"));
    assert_true(certificate_name_is_valid("db-1"));
    static const char *const bad[] = {"", "-a", "a-", "A", "a.b", "a b", "ä", "a_b", "a\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(certificate_name_is_valid(bad[i]));

    struct identity root;
    fixture_identity(&root, 0);
    struct certificate certificate = {.name = "Bad", .role = ROLE_PEER};
    assert_int_equal(certificate_sign(&certificate, &root), -EINVAL);
    strcpy(certificate.name, "good");
    certificate.role = 0;
    assert_int_equal(certificate_sign(&certificate, &root), -EINVAL);

    enum role role;
    assert_int_equal(role_parse("deployer", &role), 0);
    assert_int_equal(role, ROLE_DEPLOYER);
    assert_int_equal(role_parse("root", &role), -EINVAL);
    assert_string_equal(role_name(ROLE_ADMIN), "admin");
    assert_string_equal(role_name(77), "unknown");
}

static void encode(const struct certificate_chain *chain, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    certificate_chain_write(&writer, chain);
    assert_int_equal(writer_check(&writer), 0);
}

/* Breaks if a chain does not survive the wire, or the longest does not fit its bound. */
static void test_chain_round_trip(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster);
    for (int i = 0; i < CERTIFICATE_CHAIN_COUNT_MAX; i++) {
        cleanup_buffer struct buffer encoded = {0};
        struct certificate_chain chain = {0};
        struct reader reader;
        encode(&cluster.chains[i], &encoded);
        reader_init(&reader, encoded.bytes, encoded.size);
        assert_int_equal(certificate_chain_read(&reader, &chain), 0);
        assert_int_equal(reader_end(&reader), 0);
        assert_int_equal(verify(&cluster, &chain), CERTIFICATE_GOOD);
        cleanup_buffer struct buffer again = {0};
        encode(&chain, &again);
        assert_true(bytes_equal(buffer_view(&again), buffer_view(&encoded)));
    }
    struct certificate_chain longest = cluster.chains[CERTIFICATE_CHAIN_COUNT_MAX - 1];
    for (uint32_t i = 0; i < longest.count; i++) {
        memset(longest.certificates[i].name, 'x', BASE_NAME_BYTES_MAX);
        longest.certificates[i].serial = UINT64_MAX;
    }
    cleanup_buffer struct buffer encoded = {0};
    encode(&longest, &encoded);
    assert_in_range(encoded.size, 1, CERTIFICATE_CHAIN_BYTES_MAX);
}

/* Breaks if a chain that is cut short anywhere is accepted or half written to the result. */
static void test_cut_short(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster);
    cleanup_buffer struct buffer encoded = {0};
    encode(&cluster.chains[2], &encoded);
    for (size_t size = 0; size < encoded.size; size++) {
        struct certificate_chain chain = {0};
        struct reader reader;
        reader_init(&reader, encoded.bytes, size);
        assert_int_equal(certificate_chain_read(&reader, &chain), -EBADMSG);
        assert_int_equal(chain.count, 0);
    }
}

/* Breaks if a single certificate, as the intent keeps it, does not survive its encoding. */
static void test_certificate_round_trip(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster);
    cleanup_buffer struct buffer encoded = {0};
    struct certificate certificate = {0};
    struct writer writer;
    struct reader reader;
    writer_init(&writer, &encoded);
    certificate_write(&writer, &cluster.chains[1].certificates[0]);
    assert_int_equal(writer_check(&writer), 0);
    reader_init(&reader, encoded.bytes, encoded.size);
    assert_int_equal(certificate_read(&reader, &certificate), 0);
    assert_int_equal(reader_end(&reader), 0);
    struct certificate_chain chain = cluster.chains[1];
    chain.certificates[0] = certificate;
    assert_int_equal(verify(&cluster, &chain), CERTIFICATE_GOOD);
    reader_init(&reader, encoded.bytes, encoded.size - 1);
    assert_int_equal(certificate_read(&reader, &certificate), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_tampering),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_operators_do_not_issue),
        cmocka_unit_test(test_peer_of_two_clusters),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_chain_round_trip),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_certificate_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
