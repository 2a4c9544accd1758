#include "gossip/token.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

static const char PREFIX[] = "consort1-";
static const char DIGITS[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648's base32 */

enum {
    PREFIX_CHARS = sizeof(PREFIX) - 1,
    CHECKSUM_BYTES = 4,
    FAMILY_V4 = 4,
    FAMILY_V6 = 6,
    V4_OFFSET = 12, /* of the IPv4 address inside an IPv4-mapped one */

    BODY_BYTES_MAX =
        ID_BYTES + TOKEN_SECRET_BYTES + 1 + TOKEN_ADDRESS_COUNT_MAX * (1 + 16 + 2) + CHECKSUM_BYTES,
};

_Static_assert(TOKEN_TEXT_BYTES_MAX > PREFIX_CHARS + (BODY_BYTES_MAX * 8 + 4) / 5,
               "the longest token fits its bound");

/* The bytes of a token while it is read or written. */
struct body {
    uint8_t bytes[BODY_BYTES_MAX];
    size_t size;
};

static void put(struct body *body, const void *data, size_t size)
{
    assert(size <= BODY_BYTES_MAX - body->size);
    memcpy(body->bytes + body->size, data, size);
    body->size += size;
}

static void checksum_of(const struct body *body, uint8_t ret[CHECKSUM_BYTES])
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    crypto_generichash(hash, sizeof(hash), body->bytes, body->size, NULL, 0);
    memcpy(ret, hash, CHECKSUM_BYTES);
}

static void put_address(struct body *body, const struct address *address)
{
    bool v4 = address_is_v4(address);
    uint8_t family = v4 ? FAMILY_V4 : FAMILY_V6;
    uint8_t port[2] = {(uint8_t)(address->port >> 8), (uint8_t)address->port};
    size_t offset = v4 ? V4_OFFSET : 0;
    put(body, &family, 1);
    put(body, address->ip + offset, sizeof(address->ip) - offset);
    put(body, port, sizeof(port));
}

void token_format(const struct token *token, char ret[TOKEN_TEXT_BYTES_MAX])
{
    assert(token->address_count <= TOKEN_ADDRESS_COUNT_MAX);
    struct body body = {0};
    uint8_t count = (uint8_t)token->address_count, checksum[CHECKSUM_BYTES];
    put(&body, token->cluster.bytes, ID_BYTES);
    put(&body, token->secret, TOKEN_SECRET_BYTES);
    put(&body, &count, 1);
    for (uint32_t i = 0; i < token->address_count; i++)
        put_address(&body, &token->addresses[i]);
    checksum_of(&body, checksum);
    put(&body, checksum, CHECKSUM_BYTES);

    memcpy(ret, PREFIX, PREFIX_CHARS);
    char *end = ret + PREFIX_CHARS;
    uint32_t bits = 0, bit_count = 0;
    for (size_t i = 0; i < body.size; i++) {
        bits = bits << 8 | body.bytes[i];
        for (bit_count += 8; bit_count >= 5; bit_count -= 5)
            *end++ = DIGITS[bits >> (bit_count - 5) & 31];
    }
    if (bit_count > 0)
        *end++ = DIGITS[bits << (5 - bit_count) & 31];
    *end = '\0';
    sodium_memzero(&body, sizeof(body));
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Passes over the prefix, and white space before or inside it; NULL if the text has another start.
 */
static const char *skip_prefix(const char *text)
{
    size_t matched = 0;
    for (; matched < PREFIX_CHARS; text++) {
        if (is_space(*text))
            continue;
        if (to_lower(*text) != PREFIX[matched])
            return NULL;
        matched++;
    }
    return text;
}

/* Reads base32 up to the end of the text; -EINVAL for a character that is none, with words. */
static int decode_digits(const char *text, struct body *ret, struct error *error)
{
    struct body body = {0};
    uint32_t bits = 0, bit_count = 0;
    for (; *text; text++) {
        if (is_space(*text))
            continue;
        const char *digit = strchr(DIGITS, to_lower(*text));
        if (!digit)
            return error_set(error, -EINVAL, "join token: it has a character that no token has");
        bits = bits << 5 | (uint32_t)(digit - DIGITS);
        bit_count += 5;
        if (bit_count < 8)
            continue;
        bit_count -= 8;
        if (body.size == BODY_BYTES_MAX)
            return error_set(error, -EINVAL, "join token: it is too long; was it pasted twice?");
        body.bytes[body.size++] = (uint8_t)(bits >> bit_count);
    }
    *ret = body;
    return 0;
}

/* Takes `size` bytes at `*offset`; -EINVAL if there are fewer. */
static int take(const struct body *body, size_t *offset, void *ret, size_t size)
{
    if (size > body->size - *offset)
        return -EINVAL;
    memcpy(ret, body->bytes + *offset, size);
    *offset += size;
    return 0;
}

static int take_address(const struct body *body, size_t *offset, struct address *ret)
{
    struct address address = address_from_v4(0, 0);
    uint8_t family, port[2];
    if (take(body, offset, &family, 1) < 0)
        return -EINVAL;
    if (family != FAMILY_V4 && family != FAMILY_V6)
        return -EINVAL;
    size_t skip = family == FAMILY_V4 ? V4_OFFSET : 0;
    if (take(body, offset, address.ip + skip, sizeof(address.ip) - skip) < 0)
        return -EINVAL;
    if (take(body, offset, port, sizeof(port)) < 0)
        return -EINVAL;
    address.port = (uint16_t)(port[0] << 8 | port[1]);
    *ret = address;
    return 0;
}

/* Reads the fields of a body whose checksum has been taken off; -EINVAL unless they fill it. */
static int decode_fields(const struct body *body, struct token *ret)
{
    struct token token = {0};
    size_t offset = 0;
    uint8_t count;
    if (take(body, &offset, token.cluster.bytes, ID_BYTES) < 0 ||
        take(body, &offset, token.secret, TOKEN_SECRET_BYTES) < 0 ||
        take(body, &offset, &count, 1) < 0 || count > TOKEN_ADDRESS_COUNT_MAX)
        return -EINVAL;
    token.address_count = count;
    for (uint32_t i = 0; i < count; i++)
        if (take_address(body, &offset, &token.addresses[i]) < 0)
            return -EINVAL;
    if (offset != body->size)
        return -EINVAL;
    *ret = token;
    return 0;
}

int token_parse(const char *text, struct token *ret, struct error *error)
{
    struct body body;
    uint8_t expected[CHECKSUM_BYTES];
    const char *digits = skip_prefix(text);
    if (!digits) {
        error_set(error, -EINVAL, "this is not a join token: one starts with \"%s\"", PREFIX);
        error_hint(error, "consort token create, on any peer of the cluster, makes one");
        return -EINVAL;
    }
    int rc = decode_digits(digits, &body, error);
    if (rc < 0)
        return rc;
    if (body.size < ID_BYTES + TOKEN_SECRET_BYTES + 1 + CHECKSUM_BYTES)
        return error_set(error, -EINVAL, "join token: it is cut short");
    body.size -= CHECKSUM_BYTES;
    checksum_of(&body, expected);
    if (memcmp(expected, body.bytes + body.size, CHECKSUM_BYTES) != 0)
        rc = error_set(error, -EINVAL, "join token: it is mistyped or cut short (bad checksum)");
    else if (decode_fields(&body, ret) < 0)
        rc = error_set(error, -EINVAL, "join token: a newer version of consort made it");
    sodium_memzero(&body, sizeof(body));
    return rc;
}

static void derive(const uint8_t secret[TOKEN_SECRET_BYTES], const char *purpose, uint8_t ret[32])
{
    crypto_generichash(ret, 32, (const uint8_t *)purpose, strlen(purpose), secret,
                       TOKEN_SECRET_BYTES);
}

void token_id(const uint8_t secret[TOKEN_SECRET_BYTES], uint8_t ret[TOKEN_ID_BYTES])
{
    uint8_t derived[32];
    derive(secret, "token id", derived);
    memcpy(ret, derived, TOKEN_ID_BYTES);
}

void token_psk(const uint8_t secret[TOKEN_SECRET_BYTES], uint8_t ret[NOISE_PSK_BYTES])
{
    derive(secret, "psk", ret);
}

void token_done(struct token *token)
{
    if (token)
        sodium_memzero(token, sizeof(*token));
}
