/* The logger: one line an event, to standard error, with a level that systemd understands.
 *
 * Lines say who did what to what, with key=value details last. log_limited() is for what a stranger
 * can provoke: at most LOG_LIMIT_BURST lines a second from one place in the code, then a count of
 * what was left out.
 */
#pragma once

#include <stdint.h>

enum log_level {
    LOG_ERROR = 3,
    LOG_WARNING = 4,
    LOG_NOTICE = 5,
    LOG_INFO = 6,
    LOG_DEBUG = 7,
};

enum {
    LOG_LIMIT_BURST = 5, /* lines a second from one place */
};

struct log_limit {
    int64_t second; /* of the monotonic clock */
    unsigned count;
    unsigned left_out;
};

/* Lines above `level` are dropped. With `systemd_prefix`, each line starts with "<N>" instead of
 * the time, as journald reads it. The default is LOG_INFO with the time. */
void log_setup(enum log_level level, int systemd_prefix);

/* Parses "error", "warning", "notice", "info" or "debug"; -EINVAL otherwise. */
int log_level_parse(const char *text, enum log_level *ret);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_line_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)
#define log_limited(level, ...)                                                                    \
    do {                                                                                           \
        static struct log_limit limit_;                                                            \
        log_line_limited(&limit_, (level), __VA_ARGS__);                                           \
    } while (0)
