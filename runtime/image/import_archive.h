/* Takes an archive of images apart: each of its files becomes a blob, and a table tells which name
 * in the archive is which blob. image_import.c then reads the table like a directory.
 *
 * Nothing from the archive becomes a path on this machine. It blocks: node comes here on the thread
 * pool only.
 */
#pragma once

#include "base/error.h"
#include "base/table.h"
#include "runtime/image/blob_store.h"
#include "runtime/image/image.h"

struct import_archive {
    struct table files; /* of struct import_file, by name */
};

/* Reads the open file `fd`, a tar archive that may be compressed with gzip or zstd. On failure,
 * blobs may have been written already: garbage for image_store_collect(). */
int import_archive_read(int fd, struct blob_store *blobs, struct import_archive *ret,
                        struct error *error);
void import_archive_done(struct import_archive *archive);

/* The blob that is the file `name`, through links; -ENOENT if there is none. */
int import_archive_find(const struct import_archive *archive, const char *name,
                        struct image_descriptor *ret);
