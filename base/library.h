/* A shared library that is loaded when it is first needed.
 *
 * For those that few peers need, and that bring much with them: what is linked costs memory in each
 * process from its start, used or not.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct library_function {
    const char *name;
    void *pointer; /* of a pointer to that function, to be set */
};

/* Loads the library for as long as the process lives, and sets the pointers. -ELIBACC with words in
 * `error`, and a hint to install Debian's `package`, if it is not there or lacks a function. */
int library_load(const char *file, const char *package, const struct library_function *functions,
                 size_t count, struct error *error);
