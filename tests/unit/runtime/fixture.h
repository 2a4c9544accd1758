/* What the runtime's tests share: a scratch directory, and archives made on the spot, honest and
 * hostile ones.
 *
 *     struct tar *tar = tar_new();
 *     tar_file(tar, "etc/motd", "hello\n");
 *     struct buffer archive;
 *     tar_finish(tar, ARCHIVE_FILTER_GZIP, &archive);
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "base/buffer.h"
#include "runtime/image/digest.h"

enum {
    SCRATCH_PATH_BYTES = 64,
};

/* Makes an empty directory and returns its path; scratch_remove() deletes it. */
void scratch_make(char ret[SCRATCH_PATH_BYTES]);
void scratch_remove(const char *path);

/* Writes a file in `directory`; makes the directories above it. */
void scratch_write(const char *directory, const char *name, struct bytes data);

/* True if the process may do what unpacking and mounting need; the tests of these skip otherwise.
 */
bool is_root(void);

struct tar;

/* Starts an archive; tar_finish() ends it and frees `tar`. */
struct tar *tar_new(void);

/* A fresh entry with the name, an AE_IF… type, a mode and owner root; the caller changes it as it
 * likes and passes it to tar_add(), which frees it. */
struct archive_entry *tar_entry(const char *name, unsigned type);
void tar_add(struct tar *tar, struct archive_entry *entry, const void *data, size_t size);

void tar_file(struct tar *tar, const char *name, const char *text);
void tar_bytes(struct tar *tar, const char *name, struct bytes data);
void tar_directory(struct tar *tar, const char *name);
void tar_symlink(struct tar *tar, const char *name, const char *target);
void tar_hard_link(struct tar *tar, const char *name, const char *target);

/* `filter` is ARCHIVE_FILTER_NONE, _GZIP or _ZSTD. `ret` is initialised; the caller frees it. */
void tar_finish(struct tar *tar, int filter, struct buffer *ret);

/* `data` compressed, as one member. */
void compress_bytes(struct bytes data, int filter, struct buffer *ret);
