/* A shared library that is loaded while somebody uses it.
 *
 * What is linked costs memory in each process from its start, used or not: pages that nobody else
 * shares, for its data, its relocations, and those of all that it needs. So what a peer needs
 * seldom is loaded when it is, and given up after the last use.
 *
 * What is used of a library is one list. It makes a struct of pointers, which have the types that
 * the library's own header says:
 *
 *     #define FUNCTIONS(FUNCTION) FUNCTION(nft_, ctx_new) FUNCTION(nft_, ctx_free)
 *     static struct { FUNCTIONS(LIBRARY_POINTER) } nft;
 *     static struct library library = LIBRARY("libnftables.so.1", "libnftables1", FUNCTIONS, nft);
 *
 * Between library_use() and library_release() nft.ctx_new() is then nft_ctx_new(). Thread-safe.
 */
#pragma once

#include "base/error.h"

struct library {
    const char *file;
    const char *package; /* Debian's */
    const char *names;   /* of functions, each with its NUL; "" ends them */
    void *pointers;      /* to them, in this order */
    /* library.c's own: */
    void *handle;
    unsigned users;
};

#define LIBRARY_POINTER(prefix, name) __typeof__ (&(prefix##name))(name);
#define LIBRARY_NAME(prefix, name)    #prefix #name "\0"
#define LIBRARY(file_, package_, functions, struct_)                                               \
    {                                                                                              \
        .file = (file_), .package = (package_), .names = functions(LIBRARY_NAME),                  \
        .pointers = &(struct_)                                                                     \
    }

/* Loads the library unless it is. -ELIBACC with words in `error`, and a hint to install the
 * package, if it is not there or lacks a function. */
int library_use(struct library *library, struct error *error);

/* After the last user it is unloaded; a process that needs it till its end does not call this. */
void library_release(struct library *library);
