#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gossip/token.h"
#include "tests/unit/gossip/crypto_fixture.h"

static struct token example(uint32_t address_count)
{
    struct token token = {.address_count = address_count};
    memset(token.cluster.bytes, 0x1b, ID_BYTES);
    for (size_t i = 0; i < TOKEN_SECRET_BYTES; i++)
        token.secret[i] = (uint8_t)(i * 37);
    for (uint32_t i = 0; i < address_count; i++)
        address_parse(i % 2 ? "[2001:db8::7]:7301" : "192.0.2.7:7300", 0, &token.addresses[i]);
    return token;
}

/* Breaks if a token does not survive its text form, with any number of addresses. */
static void test_round_trip(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= TOKEN_ADDRESS_COUNT_MAX; count++) {
        struct token token = example(count), parsed = {0};
        char text[TOKEN_TEXT_BYTES_MAX];
        token_format(&token, text);
        assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(text));
        assert_int_equal(token_parse(text, &parsed, NULL), 0);
        assert_memory_equal(&parsed, &token, sizeof(token));
    }
}

/* Breaks if a token of all IPv6 addresses, the longest, does not fit its bound. */
static void test_longest(void **state)
{
    (void)state;
    struct token token = example(TOKEN_ADDRESS_COUNT_MAX), parsed;
    for (uint32_t i = 0; i < token.address_count; i++)
        address_parse("[ffff:ffff:ffff::1]:65535", 0, &token.addresses[i]);
    char text[TOKEN_TEXT_BYTES_MAX];
    token_format(&token, text);
    assert_true(strlen(text) < TOKEN_TEXT_BYTES_MAX);
    assert_int_equal(token_parse(text, &parsed, NULL), 0);
}

/* Breaks if a token wrapped over lines, with spaces around, or in capitals does not paste. */
static void test_pasting(void **state)
{
    (void)state;
    struct token token = example(1), parsed = {0};
    char text[TOKEN_TEXT_BYTES_MAX], pasted[2 * TOKEN_TEXT_BYTES_MAX] = "  \n";
    token_format(&token, text);
    size_t size = strlen(pasted);
    for (size_t i = 0; text[i]; i++) {
        char c = text[i];
        pasted[size++] = c >= 'a' && c <= 'z' && i % 2 ? (char)(c - 'a' + 'A') : c;
        if (i % 40 == 4)
            pasted[size++] = '\n';
    }
    memcpy(pasted + size, " \r\n", 4);
    assert_int_equal(token_parse(pasted, &parsed, NULL), 0);
    assert_memory_equal(&parsed, &token, sizeof(token));
}

/* Breaks if one wrong, missing or doubled character is not noticed and said as such. */
static void test_typos(void **state)
{
    (void)state;
    struct token token = example(1), parsed = {.address_count = 99};
    char text[TOKEN_TEXT_BYTES_MAX];
    struct error error = {0};
    token_format(&token, text);
    size_t size = strlen(text);
    for (size_t i = 9; i + 1 < size; i++) {
        char kept = text[i];
        text[i] = kept == 'a' ? 'b' : 'a';
        assert_int_equal(token_parse(text, &parsed, &error), -EINVAL);
        assert_non_null(strstr(error.message, "mistyped"));
        text[i] = kept;
    }
    for (size_t cut = 0; cut < size; cut++) {
        char kept = text[cut];
        text[cut] = '\0';
        assert_int_equal(token_parse(text, &parsed, &error), -EINVAL);
        text[cut] = kept;
    }
    assert_int_equal(parsed.address_count, 99);

    text[20] = '!';
    assert_int_equal(token_parse(text, &parsed, &error), -EINVAL);
    assert_non_null(strstr(error.message, "character"));
    assert_int_equal(token_parse("SWMTKN-1-3pu6", &parsed, &error), -EINVAL);
    assert_non_null(strstr(error.message, "consort1-"));
    assert_int_equal(token_parse("", &parsed, &error), -EINVAL);
    assert_int_equal(token_parse("consort1-", &parsed, &error), -EINVAL);
    assert_non_null(strstr(error.message, "cut short"));

    char twice[2 * TOKEN_TEXT_BYTES_MAX];
    token_format(&token, text);
    snprintf(twice, sizeof(twice), "%s%s%s", text, text + 9, text + 9);
    assert_int_equal(token_parse(twice, &parsed, &error), -EINVAL);
}

/* Breaks if the id, which is public, gives away the psk, or either changes between versions. */
static void test_derived(void **state)
{
    (void)state;
    struct token token = example(0);
    uint8_t id[TOKEN_ID_BYTES], psk[NOISE_PSK_BYTES], again[NOISE_PSK_BYTES];
    char text[2 * TOKEN_ID_BYTES + 1];
    token_id(token.secret, id);
    token_psk(token.secret, psk);
    assert_memory_not_equal(id, psk, TOKEN_ID_BYTES);
    hex_encode(id, sizeof(id), text);
    assert_string_equal(text, "ea05f00fce92f6def1ae3a669951d722");
    token.secret[0] ^= 1;
    token_psk(token.secret, again);
    assert_memory_not_equal(psk, again, sizeof(psk));
    token_done(&token);
    assert_true(id_is_none(&token.cluster));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_longest),
        cmocka_unit_test(test_pasting),    cmocka_unit_test(test_typos),
        cmocka_unit_test(test_derived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
