/* Amounts as operators write them ("512M", "1h30m", "0.5"), and as they like to read them.
 *
 * The parsers take the whole text or return -EINVAL, -ERANGE when it is too large; `*ret` is then
 * as it was.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    QUANTITY_TEXT_BYTES = 24,
};

/* Bytes: a number, perhaps with a fraction, and k, M, G or T (powers of 1024), perhaps with B or
 * iB: "512M", "1.5GiB", "4096". */
int quantity_parse_size(const char *text, uint64_t *ret);

/* Milliseconds: numbers with ms, s, m, h or d: "10s", "1h30m". A bare number has no unit and is
 * refused, but for 0. */
int quantity_parse_duration(const char *text, int64_t *ret);

/* Thousandths of a core: "0.5", "2". At most three digits after the point. */
int quantity_parse_cpus(const char *text, uint32_t *ret);

/* A whole number of at most 32 bits, decimal. */
int quantity_parse_count(const char *text, uint32_t *ret);

/* "1.5G"; "3m", "2h", "5d" (one unit: for tables). */
void quantity_format_size(uint64_t bytes, char ret[QUANTITY_TEXT_BYTES]);
/* Microseconds as milliseconds: "0.213", "14.2", "1250". */
void quantity_format_rtt(uint64_t microseconds, char ret[QUANTITY_TEXT_BYTES]);
void quantity_format_age(int64_t milliseconds, char ret[QUANTITY_TEXT_BYTES]);
