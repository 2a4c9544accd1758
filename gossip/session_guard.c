#include "gossip/session_guard.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

enum {
    SEAL_KEY_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    IPV6_NETWORK_BYTES = 8,
};

_Static_assert(SESSION_COOKIE_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
               "one nonce size");
_Static_assert(SESSION_COOKIE_SECRET_BYTES >= crypto_shorthash_KEYBYTES,
               "the secret also keys the hash of sources");

void session_guard_init(struct session_guard *guard, const struct id *id,
                        const struct entropy *entropy)
{
    *guard = (struct session_guard){.id = *id, .entropy = *entropy, .second = INT64_MIN};
}

void session_guard_done(struct session_guard *guard)
{
    if (guard)
        sodium_memzero(guard, sizeof(*guard));
}

/* The key of one purpose that anyone who knows `id` can compute. */
static void key_of(const char *purpose, const struct id *id, uint8_t ret[SEAL_KEY_BYTES])
{
    crypto_generichash(ret, SEAL_KEY_BYTES, (const uint8_t *)purpose, strlen(purpose), id->bytes,
                       ID_BYTES);
}

static void mac1_of(const struct id *to, const uint8_t *first, uint8_t ret[SESSION_MAC_BYTES])
{
    uint8_t key[SEAL_KEY_BYTES];
    key_of("consort mac1", to, key);
    crypto_generichash(ret, SESSION_MAC_BYTES, first, SESSION_FIRST_MACS_OFFSET, key, sizeof(key));
}

static void mac2_of(const uint8_t cookie[SESSION_MAC_BYTES], const uint8_t *first,
                    uint8_t ret[SESSION_MAC_BYTES])
{
    crypto_generichash(ret, SESSION_MAC_BYTES, first, SESSION_FIRST_MACS_OFFSET + SESSION_MAC_BYTES,
                       cookie, SESSION_MAC_BYTES);
}

static void refresh_secret(struct session_guard *guard, int64_t now_ms)
{
    if (guard->secret_made && now_ms - guard->secret_made_ms < SESSION_COOKIE_LIFE_MS)
        return;
    entropy_fill(&guard->entropy, guard->secret, sizeof(guard->secret));
    guard->secret_made = true;
    guard->secret_made_ms = now_ms;
}

static void cookie_of(const struct session_guard *guard, const struct address *source,
                      uint8_t ret[SESSION_MAC_BYTES])
{
    uint8_t text[sizeof(source->ip) + 2];
    memcpy(text, source->ip, sizeof(source->ip));
    text[sizeof(source->ip)] = (uint8_t)(source->port >> 8);
    text[sizeof(source->ip) + 1] = (uint8_t)source->port;
    crypto_generichash(ret, SESSION_MAC_BYTES, text, sizeof(text), guard->secret,
                       sizeof(guard->secret));
}

/* Counts a source that has proven its address; false once it had its share of this second. Whoever
 * has one IPv6 address has as many as it likes of the same /64. */
static bool source_has_share(struct session_guard *guard, const struct address *source)
{
    uint8_t hash[crypto_shorthash_BYTES];
    size_t size = address_is_v4(source) ? sizeof(source->ip) : IPV6_NETWORK_BYTES;
    crypto_shorthash(hash, source->ip, size, guard->secret);
    uint16_t *count = &guard->counts_by_source[(hash[0] | hash[1] << 8) % SESSION_SOURCE_BUCKETS];
    if (*count > 0 && (*count >= SESSION_SOURCE_HANDSHAKES_PER_SECOND ||
                       guard->proven_count >= SESSION_PROVEN_HANDSHAKES_PER_SECOND))
        return false;
    if (*count > 0)
        guard->proven_count++;
    (*count)++;
    return true;
}

enum session_refusal session_guard_check(struct session_guard *guard, int64_t now_ms,
                                         const struct address *source, struct bytes first)
{
    assert(first.size == SESSION_DATAGRAM_BYTES_MAX);
    const uint8_t *macs = first.data + SESSION_FIRST_MACS_OFFSET;
    uint8_t expected[SESSION_MAC_BYTES], cookie[SESSION_MAC_BYTES];
    mac1_of(&guard->id, first.data, expected);
    if (sodium_memcmp(expected, macs, SESSION_MAC_BYTES) != 0)
        return SESSION_NOT_FOR_US;

    int64_t second = now_ms / 1000;
    if (second != guard->second) {
        guard->second = second;
        guard->count = guard->proven_count = 0;
        memset(guard->counts_by_source, 0, sizeof(guard->counts_by_source));
    }
    if (guard->count < SESSION_HANDSHAKES_PER_SECOND) {
        guard->count++;
        return SESSION_ACCEPTED;
    }
    refresh_secret(guard, now_ms);
    cookie_of(guard, source, cookie);
    mac2_of(cookie, first.data, expected);
    if (sodium_memcmp(expected, macs + SESSION_MAC_BYTES, SESSION_MAC_BYTES) != 0)
        return SESSION_COOKIE_WANTED;
    return source_has_share(guard, source) ? SESSION_ACCEPTED : SESSION_SOURCE_BUSY;
}

void session_guard_reply(struct session_guard *guard, int64_t now_ms, const struct address *source,
                         struct bytes first, uint32_t index,
                         uint8_t ret[SESSION_COOKIE_PACKET_BYTES])
{
    uint8_t key[SEAL_KEY_BYTES], cookie[SESSION_MAC_BYTES];
    uint8_t *nonce = ret + SESSION_HEADER_BYTES, *sealed = nonce + SESSION_COOKIE_NONCE_BYTES;
    refresh_secret(guard, now_ms);
    cookie_of(guard, source, cookie);
    key_of("consort cookie", &guard->id, key);
    session_header_encode(SESSION_COOKIE, index, ret);
    entropy_fill(&guard->entropy, nonce, SESSION_COOKIE_NONCE_BYTES);
    /* mac1 as associated data: only who saw the first packet can send a cookie for it. */
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, cookie, sizeof(cookie),
                                               first.data + SESSION_FIRST_MACS_OFFSET,
                                               SESSION_MAC_BYTES, NULL, nonce, key);
}

void session_guard_sign(const struct id *to, const struct session_cookie *cookie, int64_t now_ms,
                        uint8_t first[SESSION_DATAGRAM_BYTES_MAX])
{
    uint8_t *mac1 = first + SESSION_FIRST_MACS_OFFSET, *mac2 = mac1 + SESSION_MAC_BYTES;
    mac1_of(to, first, mac1);
    if (cookie->known && now_ms - cookie->received_ms < SESSION_COOKIE_LIFE_MS)
        mac2_of(cookie->bytes, first, mac2);
    else
        memset(mac2, 0, SESSION_MAC_BYTES);
}

int session_cookie_open(const struct id *from, const uint8_t mac1[SESSION_MAC_BYTES],
                        struct bytes datagram, int64_t now_ms, struct session_cookie *ret)
{
    assert(datagram.size == SESSION_COOKIE_PACKET_BYTES);
    struct session_cookie cookie = {.received_ms = now_ms, .known = true};
    uint8_t key[SEAL_KEY_BYTES];
    const uint8_t *nonce = datagram.data + SESSION_HEADER_BYTES;
    const uint8_t *sealed = nonce + SESSION_COOKIE_NONCE_BYTES;
    key_of("consort cookie", from, key);
    int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(cookie.bytes, NULL, NULL, sealed,
                                                        SESSION_MAC_BYTES + NOISE_TAG_BYTES, mac1,
                                                        SESSION_MAC_BYTES, nonce, key);
    if (rc < 0)
        return -EBADMSG;
    *ret = cookie;
    return 0;
}
