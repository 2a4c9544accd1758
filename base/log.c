#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bounds.h"

static enum log_level log_maximum = LOG_INFO;
static int log_systemd_prefix;

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
    [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

void log_setup(enum log_level level, int systemd_prefix)
{
    log_maximum = level;
    log_systemd_prefix = systemd_prefix;
}

int log_level_parse(const char *text, enum log_level *ret)
{
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        if (strcmp(text, level_names[level]) == 0) {
            *ret = (enum log_level)level;
            return 0;
        }
    }
    return -EINVAL;
}

static size_t write_head(char *line, size_t capacity, enum log_level level)
{
    if (log_systemd_prefix)
        return (size_t)snprintf(line, capacity, "<%d>", (int)level);
    struct timespec now;
    struct tm broken_down;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &broken_down);
    size_t length = strftime(line, capacity, "%Y-%m-%dT%H:%M:%S", &broken_down);
    return length + (size_t)snprintf(line + length, capacity - length, ".%03ldZ %-7s ",
                                     now.tv_nsec / 1000000, level_names[level]);
}

/* Control bytes that a stranger sent must not forge lines or drive a terminal. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static void log_arguments(enum log_level level, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void log_arguments(enum log_level level, const char *format, va_list arguments)
{
    char line[BASE_LOG_LINE_BYTES_MAX];
    size_t head = write_head(line, sizeof(line), level);
    vsnprintf(line + head, sizeof(line) - head - 1, format, arguments);
    make_printable(line + head);
    size_t length = strlen(line);
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; /* there is nowhere left to say that the log is lost */
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level > log_maximum)
        return;
    va_list arguments;
    va_start(arguments, format);
    log_arguments(level, format, arguments);
    va_end(arguments);
}

void log_line_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
    if (level > log_maximum)
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec != limit->second) {
        if (limit->left_out > 0)
            log_line(level, "(%u similar lines left out)", limit->left_out);
        *limit = (struct log_limit){.second = now.tv_sec};
    }
    if (limit->count >= LOG_LIMIT_BURST) {
        limit->left_out++;
        return;
    }
    limit->count++;
    va_list arguments;
    va_start(arguments, format);
    log_arguments(level, format, arguments);
    va_end(arguments);
}
