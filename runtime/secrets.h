/* What the secrets of one container hold, in the clear: for as long as its files are being written,
 * and no longer. A spec only says which version of which secret a file shows; the runtime's owner
 * knows what is in it (runtime_config.on_secret).
 *
 * The files themselves lie in a tmpfs of their own, so that they are on no disk wherever the run
 * directory is, nor (where the kernel knows "noswap", since 6.4) in swap.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "runtime/container_spec.h"

/* Asks for one secret: appends what it holds to `ret`, which is empty and is wiped afterwards. */
typedef int secret_source(void *context, const char *name, uint64_t version, struct buffer *ret,
                          struct error *error);

/* By the number of the mount; `items` is NULL for a spec without secrets. */
struct secrets {
    struct buffer *items;
    size_t count;
};

/* Asks `source` (may be NULL: nobody knows any) for all that the spec shows. What failed says
 * `error`, with nothing left behind. */
int secrets_open(const struct container_spec *spec, secret_source *source, void *context,
                 struct secrets *ret, struct error *error);

/* Overwrites and frees. */
void secrets_wipe(struct secrets *secrets);

/* Makes the directory and mounts the tmpfs on it. Blocks. */
int secrets_mount(const char *directory);

/* Unmounts it, if it is there. Blocks. */
void secrets_unmount(const char *directory);
