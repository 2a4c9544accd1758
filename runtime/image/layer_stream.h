/* The uncompressed bytes of a layer's blob, hashed on their way into libarchive's tar reader.
 *
 * Two readers stand behind one another: the first undoes gzip or zstd, told by the first bytes of
 * the blob and not by what the manifest declared (both are often wrong in the wild); the second
 * reads the tar archive. Between them the bytes are hashed and counted, so that a small blob that
 * unpacks to more than LAYER_BYTES_MAX ends early.
 *
 * It blocks: node comes here on the thread pool only. One stream belongs to one thread.
 */
#pragma once

#include "base/error.h"
#include "runtime/image/digest.h"
#include "runtime/image/image.h"
#include "runtime/libarchive.h"

struct layer_stream {
    struct archive *bytes; /* undoes the compression */
    struct archive *tar;   /* entries are read from this */
    struct digest_hasher hasher;
    int64_t size_bytes; /* uncompressed, so far */
    int failure;        /* why `bytes` ended early: a negative errno */
};

/* What the first bytes of an open file say it is compressed with; its offset stays as it was. */
int layer_sniff(int fd, enum layer_compression *ret);

/* Opens `archive`, which knows its formats by now, at the start of `fd`, and undoes the compression
 * that its first bytes tell. Exactly one: compression within compression is never undone. */
int layer_open_archive(struct archive *archive, int fd, struct error *error);

/* Starts reading at the start of `fd` (borrowed until layer_stream_done), with libarchive in use.
 * The stream must not be moved. layer_stream_done() is right after a failure, too. */
int layer_stream_open(struct layer_stream *stream, int fd, struct error *error);
void layer_stream_done(struct layer_stream *stream);

/* Reads what stands behind the archive's last entry, and gives the digest of all bytes. */
int layer_stream_finish(struct layer_stream *stream, struct digest *ret, struct error *error);

/* After libarchive failed on `stream->tar`: records why, and returns the negative errno. */
int layer_stream_failed(const struct layer_stream *stream, struct error *error);
