#include "runtime/log_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/bounds.h"

enum {
    TIME_BYTES = 19, /* "2026-11-25T04:35:23" */
    TIME_TEXT_MAX = 48,
    NANOSECOND_DIGITS = 9,
    TAIL_TEXT_BYTES = 8192, /* of the log's end, looked at for a text of a few lines */
};

static bool read_digits(const char **at, int count, int *ret)
{
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret = value;
    return true;
}

/* A time zone: "Z", or "+HH:MM". */
static bool read_offset(const char *at, int64_t *ret_seconds)
{
    if (strcmp(at, "Z") == 0) {
        *ret_seconds = 0;
        return true;
    }
    int hours, minutes;
    bool negative = *at == '-';
    if (*at != '+' && *at != '-')
        return false;
    at++;
    if (!read_digits(&at, 2, &hours) || *at++ != ':' || !read_digits(&at, 2, &minutes) || *at)
        return false;
    *ret_seconds = (negative ? -1 : 1) * ((int64_t)hours * 3600 + minutes * 60);
    return true;
}

static int parse_time(const char *text, int64_t *ret_wall_ns)
{
    struct tm tm = {0};
    const char *at = text;
    if (!read_digits(&at, 4, &tm.tm_year) || *at++ != '-' || !read_digits(&at, 2, &tm.tm_mon) ||
        *at++ != '-' || !read_digits(&at, 2, &tm.tm_mday) || *at++ != 'T' ||
        !read_digits(&at, 2, &tm.tm_hour) || *at++ != ':' || !read_digits(&at, 2, &tm.tm_min) ||
        *at++ != ':' || !read_digits(&at, 2, &tm.tm_sec))
        return -EBADMSG;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t fraction_ns = 0;
    if (*at == '.') {
        at++;
        int digits = 0;
        for (; *at >= '0' && *at <= '9'; at++, digits++)
            if (digits < NANOSECOND_DIGITS)
                fraction_ns = fraction_ns * 10 + (*at - '0');
        for (; digits < NANOSECOND_DIGITS; digits++)
            fraction_ns *= 10;
    }
    int64_t offset_s;
    if (!read_offset(at, &offset_s))
        return -EBADMSG;
    int64_t seconds = (int64_t)timegm(&tm) - offset_s;
    int64_t nanoseconds;
    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &nanoseconds) ||
        __builtin_add_overflow(nanoseconds, fraction_ns, &nanoseconds))
        return -EBADMSG;
    *ret_wall_ns = nanoseconds;
    return 0;
}

/* Takes the next word off the line: what is before the next space. */
static bool next_word(struct bytes *line, struct bytes *ret)
{
    const uint8_t *space = line->size ? memchr(line->data, ' ', line->size) : NULL;
    if (!space)
        return false;
    size_t length = (size_t)(space - line->data);
    *ret = (struct bytes){.data = line->data, .size = length};
    *line = (struct bytes){.data = space + 1, .size = line->size - length - 1};
    return true;
}

int log_entry_parse(struct bytes line, struct log_entry *ret)
{
    struct bytes time, stream, tag;
    if (!next_word(&line, &time) || !next_word(&line, &stream) || !next_word(&line, &tag))
        return -EBADMSG;
    char text[TIME_TEXT_MAX];
    if (time.size < TIME_BYTES || time.size >= sizeof(text))
        return -EBADMSG;
    memcpy(text, time.data, time.size);
    text[time.size] = '\0';
    struct log_entry entry = {.text = line};
    if (parse_time(text, &entry.wall_ns) < 0)
        return -EBADMSG;
    entry.is_error = bytes_equal(stream, bytes_of_text("stderr"));
    if (!entry.is_error && !bytes_equal(stream, bytes_of_text("stdout")))
        return -EBADMSG;
    if (tag.size < 1 || (tag.data[0] != 'F' && tag.data[0] != 'P'))
        return -EBADMSG;
    entry.partial = tag.data[0] == 'P';
    *ret = entry;
    return 0;
}

int log_find_tail(int fd, int64_t lines, int64_t *ret_offset)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    int64_t offset = status.st_size;
    int64_t wanted = lines + 1; /* the newline before the first of them */
    cleanup_free uint8_t *chunk = malloc(RUNTIME_LOG_CHUNK_BYTES);
    if (!chunk)
        return -ENOMEM;
    while (offset > 0 && lines > 0) {
        size_t size = offset < RUNTIME_LOG_CHUNK_BYTES ? (size_t)offset : RUNTIME_LOG_CHUNK_BYTES;
        ssize_t got = pread(fd, chunk, size, offset - (int64_t)size);
        if (got != (ssize_t)size)
            return got < 0 ? -errno : -EIO; /* it was emptied meanwhile */
        for (size_t i = size; i > 0; i--) {
            if (chunk[i - 1] == '\n' && --wanted == 0) {
                *ret_offset = offset - (int64_t)size + (int64_t)i;
                return 0;
            }
        }
        offset -= (int64_t)size;
    }
    *ret_offset = lines > 0 ? 0 : status.st_size;
    return 0;
}

/* Appends one entry's text to a joined line, in printable form. */
static size_t join(char *text, size_t length, size_t capacity, struct bytes entry)
{
    static const char separator[] = " | ";
    if (length > 0 && capacity - length > sizeof(separator)) {
        memcpy(text + length, separator, sizeof(separator) - 1);
        length += sizeof(separator) - 1;
    }
    for (size_t i = 0; i < entry.size && length < capacity - 1; i++)
        text[length++] = entry.data[i] < 0x20 || entry.data[i] == 0x7f ? ' ' : (char)entry.data[i];
    text[length] = '\0';
    return length;
}

int log_tail_text(const char *path, int lines, int64_t since_wall_ms, char *ret, size_t capacity)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int64_t offset;
    int result = log_find_tail(fd, lines, &offset);
    struct stat status;
    if (result < 0 || fstat(fd, &status) < 0)
        return result < 0 ? result : -errno;
    if (status.st_size - offset > TAIL_TEXT_BYTES)
        offset = status.st_size - TAIL_TEXT_BYTES;
    uint8_t bytes[TAIL_TEXT_BYTES];
    ssize_t got = pread(fd, bytes, sizeof(bytes), offset);
    size_t length = 0;
    ret[0] = '\0';
    for (struct bytes left = {bytes, got > 0 ? (size_t)got : 0}; left.size > 0;) {
        const uint8_t *end = memchr(left.data, '\n', left.size);
        size_t size = end ? (size_t)(end - left.data) : left.size;
        struct log_entry entry;
        if (log_entry_parse((struct bytes){left.data, size}, &entry) == 0 &&
            entry.wall_ns / 1000000 >= since_wall_ms)
            length = join(ret, length, capacity, entry.text);
        size_t used = end ? size + 1 : size;
        left = (struct bytes){left.data + used, left.size - used};
    }
    return (int)length;
}
