/* Pulls an image from its registry into the blob store: its index or manifest, this machine's
 * manifest, the configuration and the layers, several at a time; what is there already is not asked
 * for. Each blob is verified while it is written and named once it is whole, so that whatever
 * interrupts a pull leaves only whole blobs.
 *
 * Blocks for as long as the network takes: a process of its own runs it (docs/decisions/pulls.md).
 */
#pragma once

#include "runtime/image/blob_store.h"

struct pull_options {
    const char *settings_path; /* see settings.h */
    const char *docker_path;   /* NULL: none */
    void *context;
    /* How many bytes of how many are here; from any thread, one at a time. May be NULL. */
    void (*on_progress)(void *context, int64_t done_bytes, int64_t total_bytes);
    /* The image's manifest is in the store and something of it is missing: it returns once that was
     * looked for elsewhere; what it brought is not asked for. May be NULL. */
    void (*on_missing)(void *context, const struct digest *image);
};

/* `*ret` is the digest that the reference names: of an index or a manifest. -EINVAL: it is no
 * reference; -ENOEXEC: there is nothing for this machine's platform; -EBADMSG: what came makes no
 * sense; else as registry_client_manifest() and blob_writer_commit(). http_start() was called. */
int registry_pull(struct blob_store *blobs, const struct pull_options *options,
                  const char *reference, struct digest *ret, struct error *error);
