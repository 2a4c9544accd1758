#include "runtime/image/layer_stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "runtime/bounds.h"

int layer_sniff(int fd, enum layer_compression *ret)
{
    static const uint8_t gzip_magic[] = {0x1f, 0x8b};
    static const uint8_t zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    uint8_t first[sizeof(zstd_magic)] = {0};
    if (pread(fd, first, sizeof(first), 0) < 0)
        return -errno;
    if (memcmp(first, gzip_magic, sizeof(gzip_magic)) == 0)
        *ret = LAYER_GZIP;
    else if (memcmp(first, zstd_magic, sizeof(zstd_magic)) == 0)
        *ret = LAYER_ZSTD;
    else
        *ret = LAYER_TAR;
    return 0;
}

int layer_open_archive(struct archive *archive, int fd, struct error *error)
{
    static const int filters[] = {
        [LAYER_TAR] = ARCHIVE_FILTER_NONE,
        [LAYER_GZIP] = ARCHIVE_FILTER_GZIP,
        [LAYER_ZSTD] = ARCHIVE_FILTER_ZSTD,
    };
    enum layer_compression compression = LAYER_TAR;
    int r = layer_sniff(fd, &compression);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = -errno;
    if (r < 0)
        return error_set_errno(error, r, "read the archive");
    if (libarchive.read_append_filter(archive, filters[compression]) != ARCHIVE_OK ||
        libarchive.read_open_fd(archive, fd, IMAGE_COPY_CHUNK_BYTES) != ARCHIVE_OK)
        return error_set(error, -EBADMSG, "not an archive: %s", libarchive.error_string(archive));
    return 0;
}

/* libarchive's read callback of `tar`: the next run of uncompressed bytes; 0 at the end. */
static la_ssize_t read_bytes(struct archive *tar, void *context, const void **ret)
{
    struct layer_stream *stream = context;
    size_t size = 0;
    la_int64_t offset;
    int r = libarchive.read_data_block(stream->bytes, ret, &size, &offset);
    if (r == ARCHIVE_EOF)
        return 0;
    if (r != ARCHIVE_OK) {
        stream->failure = -EBADMSG;
        libarchive.set_error(tar, EINVAL, "%s", libarchive.error_string(stream->bytes));
        return -1;
    }
    if (size > (uint64_t)(LAYER_BYTES_MAX - stream->size_bytes)) {
        stream->failure = -E2BIG;
        libarchive.set_error(tar, E2BIG, "it unpacks to more than the limit");
        return -1;
    }
    stream->size_bytes += (int64_t)size;
    digest_hasher_update(&stream->hasher, *ret, size);
    return (la_ssize_t)size;
}

int layer_stream_open(struct layer_stream *stream, int fd, struct error *error)
{
    *stream = (struct layer_stream){.bytes = libarchive.read_new(), .tar = libarchive.read_new()};
    if (!stream->bytes || !stream->tar)
        return error_set_errno(error, -ENOMEM, "read the layer");
    digest_hasher_init(&stream->hasher);
    struct archive_entry *entry;
    libarchive.read_support_format_raw(stream->bytes);
    int r = layer_open_archive(stream->bytes, fd, error);
    if (r < 0)
        return r;
    if (libarchive.read_next_header(stream->bytes, &entry) != ARCHIVE_OK)
        return error_set(error, -EBADMSG, "damaged archive: %s",
                         libarchive.error_string(stream->bytes)
                             ? libarchive.error_string(stream->bytes)
                             : "it is empty");
    if (libarchive.read_support_format_tar(stream->tar) != ARCHIVE_OK ||
        libarchive.read_open(stream->tar, stream, NULL, read_bytes, NULL) != ARCHIVE_OK)
        return layer_stream_failed(stream, error);
    return 0;
}

void layer_stream_done(struct layer_stream *stream)
{
    if (stream->tar)
        libarchive.read_free(stream->tar);
    if (stream->bytes)
        libarchive.read_free(stream->bytes);
    stream->tar = stream->bytes = NULL;
}

int layer_stream_finish(struct layer_stream *stream, struct digest *ret, struct error *error)
{
    const void *data;
    la_ssize_t size;
    do
        size = read_bytes(stream->tar, stream, &data);
    while (size > 0);
    if (size < 0)
        return layer_stream_failed(stream, error);
    digest_hasher_final(&stream->hasher, ret);
    return 0;
}

int layer_stream_failed(const struct layer_stream *stream, struct error *error)
{
    const char *why = libarchive.error_string(stream->tar);
    return error_set(error, stream->failure ? stream->failure : -EBADMSG, "damaged archive: %s",
                     why ? why : "it ends early");
}
