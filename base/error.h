/* What went wrong, in words for an operator: what was being done to what, why it failed, and what
 * to type next. Functions whose failure reaches a person take a `struct error *` beside returning a
 * negative errno; a NULL error is accepted and ignored.
 */
#pragma once

#include "base/bounds.h"

struct error {
    int code;                           /* negative errno; 0 while nothing failed */
    char message[BASE_ERROR_BYTES_MAX]; /* "import hello.tar: no manifest.json in the archive" */
    char hint[BASE_ERROR_BYTES_MAX];    /* what to do next; may be empty */
};

/* Records `code` and the message, and returns `code`: return error_set(error, -ENOENT, "…"); */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, and appends ": " and the system's words for the errno. */
int error_set_errno(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void error_hint(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the message that is there. */
void error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
