/* Join tokens: a text that parses is a token that formats and parses again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "gossip/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text as it is, and behind the prefix, which random bytes would hardly hit. */
static void parse(const char *prefix, const uint8_t *data, size_t size)
{
    size_t prefix_size = strlen(prefix);
    cleanup_free char *text = malloc(prefix_size + size + 1);
    struct error error = {0};
    struct token token, again;
    char formatted[TOKEN_TEXT_BYTES_MAX];

    assert(text);
    memcpy(text, prefix, prefix_size);
    if (size > 0)
        memcpy(text + prefix_size, data, size);
    text[prefix_size + size] = '\0';
    if (token_parse(text, &token, &error) < 0) {
        assert(error.message[0]);
        return;
    }
    assert(token.address_count <= TOKEN_ADDRESS_COUNT_MAX);
    token_format(&token, formatted);
    assert(token_parse(formatted, &again, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse("", data, size);
    parse("consort1-", data, size);
    return 0;
}
