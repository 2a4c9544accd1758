#include "base/library.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of all libraries' users */

static int load(struct library *library, struct error *error)
{
    char *pointer = library->pointers;
    void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    bool is_whole = handle != NULL;
    for (const char *name = library->names; is_whole && *name; name += strlen(name) + 1) {
        void *function = dlsym(handle, name);
        is_whole = function != NULL;
        memcpy(pointer, &function, sizeof(function));
        pointer += sizeof(function);
    }
    if (is_whole) {
        library->handle = handle;
        return 0;
    }
    error_set(error, -ELIBACC, "%s can't be used: %s", library->file, dlerror());
    error_hint(error, "install it on this machine: apt-get install %s", library->package);
    if (handle)
        dlclose(handle);
    return -ELIBACC;
}

int library_use(struct library *library, struct error *error)
{
    pthread_mutex_lock(&mutex);
    int rc = library->handle ? 0 : load(library, error);
    if (rc == 0)
        library->users++;
    pthread_mutex_unlock(&mutex);
    return rc;
}

void library_release(struct library *library)
{
    pthread_mutex_lock(&mutex);
    assert(library->users > 0);
    if (--library->users == 0) {
        dlclose(library->handle);
        library->handle = NULL;
    }
    pthread_mutex_unlock(&mutex);
}
