#include "runtime/image/import_archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/image/layer_path.h"
#include "runtime/image/layer_stream.h"
#include "runtime/libarchive.h"

struct import_file {
    char *name;
    char *link; /* another file's name, or NULL */
    struct image_descriptor blob;
};

static int compare_name(const void *item, const void *key)
{
    return strcmp(((const struct import_file *)item)->name, key);
}

static const void *name_of(const void *item)
{
    return ((const struct import_file *)item)->name;
}

static void file_free(struct import_file *file)
{
    if (!file)
        return;
    free(file->name);
    free(file->link);
    free(file);
}

void import_archive_done(struct import_archive *archive)
{
    for (size_t i = 0; i < archive->files.count; i++)
        file_free(archive->files.items[i]);
    table_done(&archive->files);
}

int import_archive_find(const struct import_archive *archive, const char *name,
                        struct image_descriptor *ret)
{
    for (int i = 0; name && i <= IMPORT_LINKS_MAX; i++) {
        const struct import_file *file = table_find(&archive->files, name);
        if (!file)
            return -ENOENT;
        if (!file->link) {
            *ret = file->blob;
            return 0;
        }
        name = file->link;
    }
    return -ENOENT;
}

/* Adds a file; of two with one name the last counts, as in tar. Takes `link`. */
static int add_file(struct import_archive *archive, const char *name, char *link,
                    const struct image_descriptor *blob)
{
    struct import_file *file = calloc(1, sizeof(*file));
    if (!file) {
        free(link);
        return -ENOMEM;
    }
    *file = (struct import_file){.name = strdup(name), .link = link, .blob = *blob};
    int r = -ENOMEM;
    if (file->name) {
        file_free(table_remove(&archive->files, name));
        r = table_insert(&archive->files, file);
    }
    if (r < 0)
        file_free(file);
    return r;
}

/* What a link in the directory `parent` leads to, as a name in the archive. `docker save` before 25
 * has "a/layer.tar -> ../b/layer.tar" for layers that two images share. */
static int resolve_link(const char *parent, const char *target, struct layer_path *ret)
{
    size_t size = strlen(parent);
    while (strncmp(target, "../", 3) == 0) {
        if (size == 0)
            return -EBADMSG;
        while (size > 0 && parent[size - 1] != '/')
            size--;
        size -= size > 0;
        target += 3;
    }
    cleanup_free char *joined = NULL;
    if (asprintf(&joined, "%.*s/%s", (int)size, parent, target) < 0) {
        joined = NULL;
        return -ENOMEM;
    }
    return layer_path_parse(joined, ret);
}

static int store_file(struct archive *archive, struct blob_store *blobs, int64_t *bytes_left,
                      struct image_descriptor *ret, struct error *error)
{
    struct blob_writer *writer = NULL;
    int64_t expected_offset = 0;
    int r = blob_writer_new(blobs, NULL, -1, &writer, error);
    while (r == 0) {
        const void *data;
        size_t size;
        la_int64_t offset;
        int status = libarchive.read_data_block(archive, &data, &size, &offset);
        if (status == ARCHIVE_EOF)
            break;
        if (status != ARCHIVE_OK)
            r = error_set(error, -EBADMSG, "damaged archive: %s", libarchive.error_string(archive));
        else if (offset != expected_offset)
            r = error_set(error, -ENOTSUP, "the archive has a sparse file; make it without");
        else if (size > (uint64_t)*bytes_left)
            r = error_set(error, -E2BIG, "it unpacks to more than the limit");
        else
            r = blob_writer_write(writer, data, size, error);
        if (r == 0) {
            expected_offset += (int64_t)size;
            *bytes_left -= (int64_t)size;
        }
    }
    if (r == 0)
        r = blob_writer_commit(writer, &ret->digest, &ret->size_bytes, error);
    blob_writer_free(writer);
    return r;
}

static int read_entry(struct import_archive *files, struct archive *archive,
                      struct archive_entry *entry, struct blob_store *blobs, int64_t *bytes_left,
                      struct error *error)
{
    const char *name = libarchive.entry_pathname(entry);
    const char *hard_link = libarchive.entry_hardlink(entry);
    const char *symbolic_link = libarchive.entry_symlink(entry);
    struct layer_path path, target;
    struct image_descriptor blob = {0};
    int r = name ? layer_path_parse(name, &path) : -EBADMSG;
    if (r == 0 && hard_link)
        r = layer_path_parse(hard_link, &target);
    else if (r == 0 && symbolic_link)
        r = resolve_link(path.parent, symbolic_link, &target);
    if (r < 0)
        return error_set(error, r, "a name or link in the archive is not acceptable");
    if (hard_link || symbolic_link) {
        char *link = strdup(target.text);
        r = link ? add_file(files, path.text, link, &blob) : -ENOMEM;
    } else if (libarchive.entry_filetype(entry) == AE_IFREG) {
        r = store_file(archive, blobs, bytes_left, &blob, error);
        if (r < 0)
            return r;
        r = add_file(files, path.text, NULL, &blob);
    }
    return r < 0 ? error_set_errno(error, r, "read the archive") : 0;
}

static int read_archive(int fd, struct blob_store *blobs, struct import_archive *ret,
                        struct error *error)
{
    struct import_archive files;
    table_init(&files.files, compare_name, name_of);
    struct archive *archive = libarchive.read_new();
    if (!archive)
        return error_set_errno(error, -ENOMEM, "read the archive");
    int64_t bytes_left = IMPORT_BYTES_MAX;
    libarchive.read_support_format_tar(archive);
    int r = layer_open_archive(archive, fd, error);
    for (size_t entries = 0; r == 0; entries++) {
        struct archive_entry *entry;
        int status = libarchive.read_next_header(archive, &entry);
        if (status == ARCHIVE_EOF)
            break;
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
            r = error_set(error, -EBADMSG, "damaged archive: %s", libarchive.error_string(archive));
        else if (entries == IMPORT_ENTRIES_MAX)
            r = error_set(error, -E2BIG, "it has more than %d files", IMPORT_ENTRIES_MAX);
        else
            r = read_entry(&files, archive, entry, blobs, &bytes_left, error);
    }
    libarchive.read_free(archive);
    if (r < 0)
        import_archive_done(&files);
    else
        *ret = files;
    return r;
}

int import_archive_read(int fd, struct blob_store *blobs, struct import_archive *ret,
                        struct error *error)
{
    int r = libarchive_use(error);
    if (r < 0)
        return r;
    r = read_archive(fd, blobs, ret, error);
    libarchive_release();
    return r;
}
