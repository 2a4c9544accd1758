#include "node/cli/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    THOUSAND = 1000,
    THOUSANDTH_DIGITS = 3,
    MS_SECOND = 1000,
    MS_MINUTE = 60 * MS_SECOND,
    MS_HOUR = 60 * MS_MINUTE,
    MS_DAY = 24 * MS_HOUR,
};

/* Reads digits, and a point with up to three more, as thousandths; moves `*text` past them. */
static int take_thousandths(const char **text, uint64_t *ret)
{
    const char *at = *text;
    uint64_t value = 0;
    int fraction = -1; /* digits after the point; -1: there was no point yet */
    bool has_digit = false;
    for (; isdigit((unsigned char)*at) || (*at == '.' && fraction < 0); at++) {
        if (*at == '.') {
            fraction = 0;
            continue;
        }
        has_digit = true;
        if (fraction == THOUSANDTH_DIGITS)
            return -EINVAL;
        if (fraction >= 0)
            fraction++;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return -ERANGE;
    }
    if (!has_digit || fraction == 0)
        return -EINVAL;
    for (int i = fraction < 0 ? 0 : fraction; i < THOUSANDTH_DIGITS; i++)
        if (__builtin_mul_overflow(value, 10, &value))
            return -ERANGE;
    *text = at;
    *ret = value;
    return 0;
}

/* The shift of a size's unit, whole text; -1 for no unit. */
static int size_shift(const char *unit)
{
    static const char letters[] = "kmgt";
    if (*unit == '\0' || strcasecmp(unit, "b") == 0)
        return 0;
    const char *found = strchr(letters, tolower((unsigned char)*unit));
    if (!found || *found == '\0')
        return -1;
    if (unit[1] != '\0' && strcasecmp(unit + 1, "b") != 0 && strcasecmp(unit + 1, "ib") != 0)
        return -1;
    return 10 * (int)(found - letters + 1);
}

int quantity_parse_size(const char *text, uint64_t *ret)
{
    uint64_t thousandths;
    int rc = take_thousandths(&text, &thousandths);
    int shift = rc < 0 ? -1 : size_shift(text);
    if (rc < 0)
        return rc;
    if (shift < 0 || (shift == 0 && thousandths % THOUSAND != 0))
        return -EINVAL;
    uint64_t whole = thousandths / THOUSAND, part = thousandths % THOUSAND;
    if (whole > UINT64_MAX >> (shift + 1))
        return -ERANGE;
    *ret = (whole << shift) + (part << shift) / THOUSAND;
    return 0;
}

/* The unit at the front of `*text`, in milliseconds; 0 if there is none. */
static int64_t take_time_unit(const char **text)
{
    static const struct {
        const char *name;
        int64_t milliseconds;
    } units[] = {/* "ms" before "m" */
                 {"ms", 1},
                 {"s", MS_SECOND},
                 {"m", MS_MINUTE},
                 {"h", MS_HOUR},
                 {"d", MS_DAY}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t size = strlen(units[i].name);
        if (strncmp(*text, units[i].name, size) == 0) {
            *text += size;
            return units[i].milliseconds;
        }
    }
    return 0;
}

int quantity_parse_duration(const char *text, int64_t *ret)
{
    int64_t total = 0;
    if (strcmp(text, "0") == 0) {
        *ret = 0;
        return 0;
    }
    do {
        uint64_t thousandths, part;
        int rc = take_thousandths(&text, &thousandths);
        uint64_t unit = rc < 0 ? 0 : (uint64_t)take_time_unit(&text);
        if (rc < 0)
            return rc;
        if (unit == 0)
            return -EINVAL;
        if (__builtin_mul_overflow(thousandths, unit, &part) || part / THOUSAND > INT64_MAX / 2 ||
            __builtin_add_overflow(total, (int64_t)(part / THOUSAND), &total))
            return -ERANGE;
    } while (*text != '\0');
    *ret = total;
    return 0;
}

int quantity_parse_cpus(const char *text, uint32_t *ret)
{
    uint64_t millis;
    int rc = take_thousandths(&text, &millis);
    if (rc < 0)
        return rc;
    if (*text != '\0')
        return -EINVAL;
    if (millis > UINT32_MAX)
        return -ERANGE;
    *ret = (uint32_t)millis;
    return 0;
}

int quantity_parse_count(const char *text, uint32_t *ret)
{
    uint64_t value = 0;
    if (*text == '\0')
        return -EINVAL;
    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text))
            return -EINVAL;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > UINT32_MAX)
            return -ERANGE;
    }
    *ret = (uint32_t)value;
    return 0;
}

void quantity_format_size(uint64_t bytes, char ret[QUANTITY_TEXT_BYTES])
{
    static const char letters[] = "BkMGTPE";
    unsigned unit = 0;
    uint64_t scaled = bytes;
    for (; scaled >= 1024; scaled >>= 10)
        unit++;
    if (unit == 0) {
        snprintf(ret, QUANTITY_TEXT_BYTES, "%" PRIu64 "B", bytes);
        return;
    }
    uint64_t tenths = ((bytes >> (10 * (unit - 1))) * 10) >> 10;
    if (tenths >= 100 || tenths % 10 == 0)
        snprintf(ret, QUANTITY_TEXT_BYTES, "%" PRIu64 "%c", tenths / 10, letters[unit]);
    else
        snprintf(ret, QUANTITY_TEXT_BYTES, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10, tenths % 10,
                 letters[unit]);
}

void quantity_format_age(int64_t milliseconds, char ret[QUANTITY_TEXT_BYTES])
{
    static const struct {
        int64_t milliseconds;
        char letter;
    } units[] = {{MS_DAY, 'd'}, {MS_HOUR, 'h'}, {MS_MINUTE, 'm'}};
    int64_t age = milliseconds < 0 ? 0 : milliseconds;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (age >= 2 * units[i].milliseconds) { /* "90m" says more than "1h" */
            snprintf(ret, QUANTITY_TEXT_BYTES, "%" PRId64 "%c", age / units[i].milliseconds,
                     units[i].letter);
            return;
        }
    }
    snprintf(ret, QUANTITY_TEXT_BYTES, "%" PRId64 "s", age / MS_SECOND);
}

void quantity_format_rtt(uint64_t microseconds, char ret[QUANTITY_TEXT_BYTES])
{
    int decimals = microseconds < 10 * 1000 ? 3 : microseconds < 1000 * 1000 ? 1 : 0;
    snprintf(ret, QUANTITY_TEXT_BYTES, "%.*f", decimals, (double)microseconds / 1000);
}
