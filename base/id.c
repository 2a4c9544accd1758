#include "base/id.h"

#include <errno.h>
#include <string.h>

const struct id ID_NONE = {{0}};

int id_compare(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_BYTES);
}

bool id_equal(const struct id *a, const struct id *b)
{
    return id_compare(a, b) == 0;
}

bool id_is_none(const struct id *id)
{
    return id_equal(id, &ID_NONE);
}

void id_format(const struct id *id, char ret[ID_TEXT_BYTES])
{
    hex_encode(id->bytes, ID_BYTES, ret);
}

int id_parse(const char *text, struct id *ret)
{
    return hex_decode(text, ret->bytes, ID_BYTES);
}

const char *id_short(const struct id *id)
{
    static _Thread_local char texts[4][ID_SHORT_TEXT_BYTES];
    static _Thread_local unsigned next;
    char *text = texts[next++ % 4];
    hex_encode(id->bytes, (ID_SHORT_TEXT_BYTES - 1) / 2, text);
    return text;
}

void hex_encode(const uint8_t *data, size_t size, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        ret[2 * i] = digits[data[i] >> 4];
        ret[2 * i + 1] = digits[data[i] & 0x0f];
    }
    ret[2 * size] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(const char *text, uint8_t *ret, size_t size)
{
    if (strlen(text) != 2 * size)
        return -EINVAL;
    for (size_t i = 0; i < 2 * size; i++)
        if (hex_digit(text[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < size; i++)
        ret[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return 0;
}
