#include "runtime/libarchive.h"

struct libarchive libarchive;

static struct library library =
    LIBRARY("libarchive.so.13", "libarchive13", LIBARCHIVE_FUNCTIONS, libarchive);

int libarchive_use(struct error *error)
{
    return library_use(&library, error);
}

void libarchive_release(void)
{
    library_release(&library);
}
