#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void set(struct error *error, int code,
                                                      const char *format, va_list arguments)
{
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    error->hint[0] = '\0';
    error->code = code;
}

int error_set(struct error *error, int code, const char *format, ...)
{
    if (!error)
        return code;
    va_list arguments;
    va_start(arguments, format);
    set(error, code, format, arguments);
    va_end(arguments);
    return code;
}

int error_set_errno(struct error *error, int code, const char *format, ...)
{
    if (!error)
        return code;
    va_list arguments;
    va_start(arguments, format);
    set(error, code, format, arguments);
    va_end(arguments);
    size_t length = strlen(error->message);
    snprintf(error->message + length, sizeof(error->message) - length, ": %s", strerror(-code));
    return code;
}

void error_hint(struct error *error, const char *format, ...)
{
    if (!error)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->hint, sizeof(error->hint), format, arguments);
    va_end(arguments);
}

void error_prefix(struct error *error, const char *format, ...)
{
    if (!error)
        return;
    char old[BASE_ERROR_BYTES_MAX];
    memcpy(old, error->message, sizeof(old));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    size_t length = strlen(error->message);
    snprintf(error->message + length, sizeof(error->message) - length, ": %s", old);
}
