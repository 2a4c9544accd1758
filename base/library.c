#include "base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

int library_load(const char *file, const char *package, const struct library_function *functions,
                 size_t count, struct error *error)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    bool is_whole = library != NULL;
    for (size_t i = 0; is_whole && i < count; i++) {
        void *function = dlsym(library, functions[i].name);
        is_whole = function != NULL;
        memcpy(functions[i].pointer, &function, sizeof(function));
    }
    if (is_whole)
        return 0;
    error_set(error, -ELIBACC, "%s can't be used: %s", file, dlerror());
    error_hint(error, "install it on this machine: apt-get install %s", package);
    return -ELIBACC;
}
