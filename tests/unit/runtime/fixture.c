#include "tests/unit/runtime/fixture.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/image/disk.h"
#include "runtime/tree.h"

struct tar {
    struct archive *archive;
    struct buffer bytes;
};

void scratch_make(char ret[SCRATCH_PATH_BYTES])
{
    snprintf(ret, SCRATCH_PATH_BYTES, "/tmp/consort-test-XXXXXX");
    char *made = mkdtemp(ret);
    assert(made);
}

void scratch_remove(const char *path)
{
    int r = tree_remove_path(path);
    assert(r == 0);
}

void scratch_write(const char *directory, const char *name, struct bytes data)
{
    char path[512];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof(path), "%s/%.*s", directory, (int)(slash - name), name);
        mkdir(path, 0755);
    }
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert(fd >= 0);
    int r = disk_write_all(fd, data.data, data.size);
    assert(r == 0);
}

bool is_root(void)
{
    return geteuid() == 0;
}

static la_ssize_t append(struct archive *archive, void *context, const void *data, size_t size)
{
    (void)archive;
    int r = buffer_append(context, data, size);
    assert(r == 0);
    return (la_ssize_t)size;
}

struct tar *tar_new(void)
{
    struct tar *tar = calloc(1, sizeof(*tar));
    assert(tar);
    buffer_init(&tar->bytes);
    tar->archive = archive_write_new();
    assert(tar->archive);
    archive_write_set_format_pax_restricted(tar->archive);
    archive_write_set_bytes_per_block(tar->archive, 0);
    archive_write_open(tar->archive, &tar->bytes, NULL, append, NULL);
    return tar;
}

struct archive_entry *tar_entry(const char *name, unsigned type)
{
    struct archive_entry *entry = archive_entry_new();
    assert(entry);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, type == AE_IFDIR ? 0755 : 0644);
    archive_entry_set_size(entry, 0);
    archive_entry_set_mtime(entry, 1, 0);
    return entry;
}

void tar_add(struct tar *tar, struct archive_entry *entry, const void *data, size_t size)
{
    if (size > 0)
        archive_entry_set_size(entry, (la_int64_t)size);
    int r = archive_write_header(tar->archive, entry);
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN) {
        fprintf(stderr, "%s: %s\n", archive_entry_pathname(entry),
                archive_error_string(tar->archive));
        abort();
    }
    la_ssize_t written = size > 0 ? archive_write_data(tar->archive, data, size) : 0;
    assert(written == (la_ssize_t)size);
    archive_entry_free(entry);
}

void tar_file(struct tar *tar, const char *name, const char *text)
{
    tar_add(tar, tar_entry(name, AE_IFREG), text, strlen(text));
}

void tar_bytes(struct tar *tar, const char *name, struct bytes data)
{
    tar_add(tar, tar_entry(name, AE_IFREG), data.data, data.size);
}

void tar_directory(struct tar *tar, const char *name)
{
    tar_add(tar, tar_entry(name, AE_IFDIR), NULL, 0);
}

void tar_symlink(struct tar *tar, const char *name, const char *target)
{
    struct archive_entry *entry = tar_entry(name, AE_IFLNK);
    archive_entry_set_symlink(entry, target);
    tar_add(tar, entry, NULL, 0);
}

void tar_hard_link(struct tar *tar, const char *name, const char *target)
{
    struct archive_entry *entry = tar_entry(name, AE_IFREG);
    archive_entry_set_hardlink(entry, target);
    tar_add(tar, entry, NULL, 0);
}

void tar_finish(struct tar *tar, int filter, struct buffer *ret)
{
    archive_write_close(tar->archive);
    archive_write_free(tar->archive);
    buffer_init(ret);
    if (filter == ARCHIVE_FILTER_NONE) {
        *ret = tar->bytes;
    } else {
        compress_bytes(buffer_view(&tar->bytes), filter, ret);
        buffer_done(&tar->bytes);
    }
    free(tar);
}

void compress_bytes(struct bytes data, int filter, struct buffer *ret)
{
    struct archive *archive = archive_write_new();
    assert(archive);
    archive_write_set_format_raw(archive);
    archive_write_add_filter(archive, filter);
    archive_write_set_bytes_per_block(archive, 0);
    archive_write_open(archive, ret, NULL, append, NULL);
    struct archive_entry *entry = tar_entry("data", AE_IFREG);
    archive_write_header(archive, entry);
    archive_write_data(archive, data.data, data.size);
    archive_entry_free(entry);
    archive_write_close(archive);
    archive_write_free(archive);
}
