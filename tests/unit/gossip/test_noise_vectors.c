#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "gossip/noise.h"
#include "tests/unit/gossip/crypto_fixture.h"

enum { FIELD_BYTES_MAX = 512 };

/* One field of a vector as bytes. */
struct field {
    uint8_t bytes[FIELD_BYTES_MAX];
    size_t size;
};

/* The two ends, with what their configs borrow. */
struct end {
    struct field prologue, secret, ephemeral, remote, psk;
    struct noise_handshake handshake;
    struct noise_cipher send, receive;
};

/* Decodes a hex field; false if the vector has none of that name. */
static bool field_of(const json_t *object, const char *prefix, const char *name, struct field *ret)
{
    char key[64];
    snprintf(key, sizeof(key), "%s%s", prefix, name);
    const json_t *value = json_object_get(object, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    const char *text = json_string_value(value);
    if (!text)
        return false;
    ret->size = strlen(text) / 2;
    assert_in_range(ret->size, 0, FIELD_BYTES_MAX);
    assert_int_equal(hex_decode(text, ret->bytes, ret->size), 0);
    return true;
}

/* Entropy that gives the vector's ephemeral key. */
static void fill_ephemeral(void *context, void *ret, size_t size)
{
    const struct field *ephemeral = context;
    assert_int_equal(size, ephemeral->size);
    memcpy(ret, ephemeral->bytes, size);
}

static void end_init(struct end *end, const json_t *vector, enum noise_pattern pattern,
                     bool initiator)
{
    const char *prefix = initiator ? "init_" : "resp_";
    assert_true(field_of(vector, prefix, "prologue", &end->prologue));
    assert_true(field_of(vector, prefix, "static", &end->secret));
    assert_true(field_of(vector, prefix, "ephemeral", &end->ephemeral));
    bool remote = field_of(vector, prefix, "remote_static", &end->remote);
    bool psk = field_of(vector, prefix, "psks", &end->psk);
    noise_handshake_init(&end->handshake, &(struct noise_config){
                                              .pattern = pattern,
                                              .initiator = initiator,
                                              .prologue = {end->prologue.bytes, end->prologue.size},
                                              .static_secret = end->secret.bytes,
                                              .remote_static = remote ? end->remote.bytes : NULL,
                                              .psk = psk ? end->psk.bytes : NULL,
                                              .entropy = {fill_ephemeral, &end->ephemeral},
                                          });
}

static void check_handshake_message(struct end *writer, struct end *reader,
                                    const struct field *payload, const struct field *ciphertext)
{
    cleanup_buffer struct buffer message = {0};
    cleanup_buffer struct buffer read = {0};
    assert_int_equal(
        noise_write(&writer->handshake, (struct bytes){payload->bytes, payload->size}, &message),
        0);
    assert_int_equal(message.size, ciphertext->size);
    assert_memory_equal(message.bytes, ciphertext->bytes, ciphertext->size);
    assert_int_equal(noise_read(&reader->handshake, buffer_view(&message), &read), 0);
    assert_int_equal(read.size, payload->size);
    assert_memory_equal(read.bytes, payload->bytes, payload->size);
}

static void check_transport_message(struct end *writer, struct end *reader, uint64_t nonce,
                                    const struct field *payload, const struct field *ciphertext)
{
    uint8_t sealed[FIELD_BYTES_MAX + NOISE_TAG_BYTES], opened[FIELD_BYTES_MAX];
    struct bytes nothing = {NULL, 0};
    assert_int_equal(payload->size + NOISE_TAG_BYTES, ciphertext->size);
    noise_seal(&writer->send, nonce, nothing, (struct bytes){payload->bytes, payload->size},
               sealed);
    assert_memory_equal(sealed, ciphertext->bytes, ciphertext->size);
    assert_int_equal(noise_open(&reader->receive, nonce, nothing,
                                (struct bytes){sealed, ciphertext->size}, opened),
                     0);
    assert_memory_equal(opened, payload->bytes, payload->size);
}

static void check_split(struct end ends[2], const json_t *vector)
{
    struct field hash;
    assert_true(field_of(vector, "", "handshake_hash", &hash));
    for (int i = 0; i < 2; i++) {
        assert_true(noise_is_done(&ends[i].handshake));
        assert_memory_equal(noise_hash(&ends[i].handshake), hash.bytes, NOISE_HASH_BYTES);
        noise_split(&ends[i].handshake, &ends[i].send, &ends[i].receive);
    }
}

static void check_vector(const json_t *vector, enum noise_pattern pattern)
{
    struct end ends[2] = {0};
    uint64_t nonces[2] = {0, 0};
    bool transport = false;
    end_init(&ends[0], vector, pattern, true);
    end_init(&ends[1], vector, pattern, false);
    size_t index;
    json_t *message;
    json_array_foreach(json_object_get(vector, "messages"), index, message)
    {
        struct field payload, ciphertext;
        size_t side = index % 2;
        assert_true(field_of(message, "", "payload", &payload));
        assert_true(field_of(message, "", "ciphertext", &ciphertext));
        if (!transport && noise_is_done(&ends[0].handshake)) {
            check_split(ends, vector);
            transport = true;
        }
        if (transport)
            check_transport_message(&ends[side], &ends[1 - side], nonces[side]++, &payload,
                                    &ciphertext);
        else
            check_handshake_message(&ends[side], &ends[1 - side], &payload, &ciphertext);
    }
    assert_true(transport);
    noise_done(&ends[0].handshake);
    noise_done(&ends[1].handshake);
}

static enum noise_pattern pattern_of(const char *name)
{
    if (strcmp(name, "Noise_IK_25519_ChaChaPoly_BLAKE2b") == 0)
        return NOISE_IK;
    if (strcmp(name, "Noise_XX_25519_ChaChaPoly_BLAKE2b") == 0)
        return NOISE_XX;
    assert_string_equal(name, "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b");
    return NOISE_XXPSK3;
}

/* Breaks if any byte differs from what other implementations of Noise send. */
static void test_published_vectors(void **state)
{
    (void)state;
    const char *path = getenv("CONSORT_NOISE_VECTORS");
    if (!path)
        path = NOISE_VECTORS;
    if (access(path, R_OK) < 0) {
        print_message("skipped: no %s (or set CONSORT_NOISE_VECTORS)\n", path);
        skip();
    }
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    assert_non_null(root);
    size_t index;
    json_t *vector;
    bool seen[3] = {false};
    const json_t *vectors = json_is_array(root) ? root : json_object_get(root, "vectors");
    json_array_foreach(vectors, index, vector)
    {
        enum noise_pattern pattern =
            pattern_of(json_string_value(json_object_get(vector, "protocol_name")));
        check_vector(vector, pattern);
        seen[pattern] = true;
    }
    assert_true(seen[NOISE_IK] && seen[NOISE_XX] && seen[NOISE_XXPSK3]);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
