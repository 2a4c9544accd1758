#include "runtime/copy_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/bounds.h"
#include "runtime/file.h"
#include "runtime/image/layer_path.h"
#include "runtime/libarchive.h"

enum {
    CHUNK_BYTES = 64 * 1024,
    MODE_KEPT = 07777,
};

static int open_directory(int root_fd, const char *path, uint64_t flags, int *ret_fd)
{
    return file_open_inside(root_fd, *path ? path : ".", flags | O_DIRECTORY, ret_fd);
}

/* Of the kernel's own file systems nothing is read or written: reading some of it has effects. */
static int refuse_kernels(int fd)
{
    struct statfs status;
    if (fstatfs(fd, &status) < 0)
        return -errno;
    switch ((unsigned long)status.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
        return -EPERM;
    default:
        return 0;
    }
}

/* Splits "/a/b" into "/a" and "b"; "b" alone has the parent "". Slashes at the end do not count. */
static int split_path(const char *path, char ret_parent[PATH_MAX], char ret_name[NAME_MAX + 1])
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    size_t start = size;
    while (start > 0 && path[start - 1] != '/')
        start--;
    if (size - start > NAME_MAX || start >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret_parent, path, start);
    ret_parent[start] = '\0';
    memcpy(ret_name, path + start, size - start);
    ret_name[size - start] = '\0';
    return 0;
}

/* A warning only says that a name is not in the locale's alphabet; its bytes are used. */
static bool is_done(int rc)
{
    return rc == ARCHIVE_OK || rc == ARCHIVE_WARN;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* --- Out --- */

struct packing {
    struct archive *archive;
    struct archive_entry *entry;
    char name[PATH_MAX]; /* of the entry, as the archive has it */
    char chunk[CHUNK_BYTES];
};

static int pack_failed(const struct packing *packing)
{
    int code = libarchive._errno(packing->archive);
    return code > 0 ? -code : -EIO;
}

static int pack_header(struct packing *packing, const struct stat *status, const char *target)
{
    libarchive.entry_clear(packing->entry);
    libarchive.entry_set_pathname(packing->entry, packing->name);
    libarchive.entry_set_filetype(packing->entry, status->st_mode & S_IFMT);
    libarchive.entry_set_perm(packing->entry, status->st_mode & MODE_KEPT);
    libarchive.entry_set_mtime(packing->entry, status->st_mtim.tv_sec, status->st_mtim.tv_nsec);
    if (S_ISREG(status->st_mode))
        libarchive.entry_set_size(packing->entry, status->st_size);
    if (target)
        libarchive.entry_set_symlink(packing->entry, target);
    return is_done(libarchive.write_header(packing->archive, packing->entry))
               ? 0
               : pack_failed(packing);
}

static int pack_file(struct packing *packing, int parent_fd, const char *name)
{
    struct stat status;
    cleanup_close int fd =
        openat(parent_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return 0; /* it was exchanged meanwhile */
    int result = refuse_kernels(fd);
    if (result == 0)
        result = pack_header(packing, &status, NULL);
    for (off_t left = status.st_size; result == 0 && left > 0;) {
        size_t wanted = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        ssize_t got = read(fd, packing->chunk, wanted);
        if (got < 0)
            return -errno;
        if (got == 0)
            break; /* it shrank: the rest is zeroes */
        if (libarchive.write_data(packing->archive, packing->chunk, (size_t)got) != got)
            return pack_failed(packing);
        left -= got;
    }
    return result;
}

static int pack_link(struct packing *packing, int parent_fd, const char *name,
                     const struct stat *status)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(parent_fd, name, target, sizeof(target) - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    return pack_header(packing, status, target);
}

static int pack_any(struct packing *packing, int parent_fd, const char *name, int depth);

static int pack_directory(struct packing *packing, int parent_fd, const char *name, int depth)
{
    struct stat status;
    size_t length = strlen(packing->name);
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int code = -errno;
        if (fd >= 0)
            close(fd);
        return code;
    }
    int result = fstat(fd, &status) < 0 ? -errno : pack_header(packing, &status, NULL);
    for (struct dirent *entry; result == 0 && (entry = readdir(directory)) != NULL;) {
        if (is_dots(entry->d_name))
            continue;
        if (length + strlen(entry->d_name) + 2 > sizeof(packing->name))
            result = -ENAMETOOLONG;
        else {
            snprintf(packing->name + length, sizeof(packing->name) - length, "/%s", entry->d_name);
            result = pack_any(packing, fd, entry->d_name, depth + 1);
            packing->name[length] = '\0';
        }
    }
    closedir(directory);
    return result;
}

/* What is neither directory, file nor link is passed over, and so is what is the kernel's, but for
 * the path that was asked for itself. */
static int pack_any(struct packing *packing, int parent_fd, const char *name, int depth)
{
    struct stat status;
    if (depth > LAYER_DEPTH_MAX)
        return -ELOOP;
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT && depth > 0 ? 0 : -errno;
    if (S_ISLNK(status.st_mode))
        return pack_link(packing, parent_fd, name, &status);
    if (S_ISREG(status.st_mode)) {
        int result = pack_file(packing, parent_fd, name);
        return result == -EPERM && depth > 0 ? 0 : result;
    }
    if (!S_ISDIR(status.st_mode))
        return depth > 0 ? 0 : -EOPNOTSUPP;
    cleanup_close int fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = refuse_kernels(fd);
    if (result < 0)
        return result == -EPERM && depth > 0 ? 0 : result;
    return pack_directory(packing, parent_fd, name, depth);
}

static int pack_path(struct packing *packing, int root_fd, const char *path)
{
    char parent[PATH_MAX], name[NAME_MAX + 1];
    cleanup_close int parent_fd = -1;
    int result = split_path(path, parent, name);
    bool is_whole = result == 0 && (!name[0] || is_dots(name));
    if (result == 0)
        result = open_directory(root_fd, is_whole ? path : parent, O_PATH, &parent_fd);
    if (result < 0)
        return result;
    snprintf(packing->name, sizeof(packing->name), "%s", is_whole ? "." : name);
    return pack_any(packing, parent_fd, packing->name, 0);
}

static int pack(int root_fd, const char *path, int archive_fd, struct error *error)
{
    struct packing *packing = calloc(1, sizeof(*packing));
    if (!packing)
        return error_set(error, -ENOMEM, "out of memory");
    int result = -ENOMEM;
    packing->archive = libarchive.write_new();
    packing->entry = libarchive.entry_new();
    if (packing->archive && packing->entry) {
        libarchive.write_set_format_pax_restricted(packing->archive);
        libarchive.write_set_bytes_in_last_block(packing->archive, 1);
        result = libarchive.write_open_fd(packing->archive, archive_fd) == ARCHIVE_OK
                     ? pack_path(packing, root_fd, path)
                     : pack_failed(packing);
        if (result == 0 && libarchive.write_close(packing->archive) != ARCHIVE_OK)
            result = pack_failed(packing);
    }
    libarchive.entry_free(packing->entry);
    libarchive.write_free(packing->archive);
    free(packing);
    return result < 0 ? error_set_errno(error, result, "copying %s", path) : 0;
}

int copy_files_out(int root_fd, const char *path, int archive_fd, struct error *error)
{
    int result = libarchive_use(error);
    if (result < 0)
        return result;
    result = pack(root_fd, path, archive_fd, error);
    libarchive_release();
    return result;
}

/* --- In --- */

struct unpacking {
    struct archive *archive;
    int fd;                    /* the directory to make all in */
    char rename[NAME_MAX + 1]; /* what the archive's first component shall be called; "" as it is */
    char chunk[CHUNK_BYTES];
};

static int unpack_failed(const struct unpacking *unpacking)
{
    int code = libarchive._errno(unpacking->archive);
    return code > 0 && code != EILSEQ /* libarchive: of no format that it knows */ ? -code
                                                                                   : -EBADMSG;
}

/* The directory that shall hold the entry, and the entry's name in it; -EEXIST for what is the
 * destination itself. */
static int open_parent(const struct unpacking *unpacking, struct layer_path *path, int *ret_fd)
{
    char renamed[LAYER_PATH_BYTES_MAX];
    if (unpacking->rename[0]) {
        const char *rest = path->text + strcspn(path->text, "/");
        if (snprintf(renamed, sizeof(renamed), "%s%s", unpacking->rename, rest) >=
            (int)sizeof(renamed))
            return -ENAMETOOLONG;
        int result = layer_path_parse(renamed, path);
        if (result < 0)
            return result;
    }
    if (!path->text[0])
        return -EEXIST;
    return layer_open_directory(unpacking->fd, path->parent, ret_fd);
}

/* Whatever is there and is no file makes way, but for a directory. */
static int open_new_file(int parent_fd, const char *name, mode_t mode, int *ret_fd)
{
    struct stat status;
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(status.st_mode) &&
        unlinkat(parent_fd, name, 0) < 0)
        return -errno;
    int fd =
        openat(parent_fd, name,
               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EEXIST;
}

static int unpack_file(struct unpacking *unpacking, int parent_fd, const char *name,
                       struct archive_entry *entry)
{
    mode_t mode = libarchive.entry_perm(entry) & MODE_KEPT;
    struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = libarchive.entry_mtime(entry), .tv_nsec = libarchive.entry_mtime_nsec(entry)}};
    cleanup_close int fd = -1;
    int result = open_new_file(parent_fd, name, mode, &fd);
    while (result == 0) {
        la_ssize_t got = libarchive.read_data(unpacking->archive, unpacking->chunk, CHUNK_BYTES);
        if (got < 0)
            return unpack_failed(unpacking);
        if (got == 0)
            break;
        result = file_write_all(fd, unpacking->chunk, (size_t)got);
    }
    if (result == 0 && fchmod(fd, mode) < 0)
        result = -errno;
    if (result == 0)
        futimens(fd, times);
    return result;
}

static int unpack_directory(int parent_fd, const char *name, mode_t mode)
{
    struct stat status;
    if (mkdirat(parent_fd, name, mode) == 0)
        return 0;
    if (errno != EEXIST || fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

static int unpack_link(int parent_fd, const char *name, const char *target)
{
    if (!target)
        return -EBADMSG;
    if (unlinkat(parent_fd, name, 0) < 0 && errno != ENOENT)
        return -errno;
    return symlinkat(target, parent_fd, name) < 0 ? -errno : 0;
}

static int unpack_entry(struct unpacking *unpacking, struct archive_entry *entry)
{
    struct layer_path path;
    cleanup_close int parent_fd = -1;
    const char *text = libarchive.entry_pathname(entry);
    if (!text || libarchive.entry_hardlink(entry))
        return text ? -EOPNOTSUPP : -EBADMSG;
    int result = layer_path_parse(text, &path);
    if (result == 0)
        result = open_parent(unpacking, &path, &parent_fd);
    if (result == -EEXIST)
        return libarchive.entry_filetype(entry) == AE_IFDIR ? 0 : -EBADMSG;
    if (result < 0)
        return result;
    switch (libarchive.entry_filetype(entry)) {
    case AE_IFREG:
        return unpack_file(unpacking, parent_fd, path.name, entry);
    case AE_IFDIR:
        return unpack_directory(parent_fd, path.name, libarchive.entry_perm(entry) & MODE_KEPT);
    case AE_IFLNK:
        return unpack_link(parent_fd, path.name, libarchive.entry_symlink(entry));
    default:
        return -EOPNOTSUPP;
    }
}

/* Where all is made: in the path if it is a directory, else beside it and under its name. */
static int open_destination(struct unpacking *unpacking, int root_fd, const char *path)
{
    char parent[PATH_MAX];
    int result = open_directory(root_fd, path, O_RDONLY, &unpacking->fd);
    if (result == -ENOENT || result == -ENOTDIR) {
        result = split_path(path, parent, unpacking->rename);
        if (result == 0 && (!unpacking->rename[0] || is_dots(unpacking->rename)))
            result = -ENOENT;
        if (result == 0)
            result = open_directory(root_fd, parent, O_RDONLY, &unpacking->fd);
    }
    return result < 0 ? result : refuse_kernels(unpacking->fd);
}

static int unpack_all(struct unpacking *unpacking, const char *path, struct error *error)
{
    struct archive_entry *entry;
    for (;;) {
        int rc = libarchive.read_next_header(unpacking->archive, &entry);
        if (rc == ARCHIVE_EOF)
            return 0;
        if (!is_done(rc))
            return error_set_errno(error, unpack_failed(unpacking), "what comes for %s", path);
        rc = unpack_entry(unpacking, entry);
        if (rc < 0)
            return error_set_errno(
                error, rc, "making \"%s\" in %s",
                libarchive.entry_pathname(entry) ? libarchive.entry_pathname(entry) : "", path);
    }
}

static int unpack(int root_fd, const char *path, int archive_fd, struct error *error)
{
    struct unpacking *unpacking = calloc(1, sizeof(*unpacking));
    if (!unpacking)
        return error_set(error, -ENOMEM, "out of memory");
    unpacking->fd = -1;
    unpacking->archive = libarchive.read_new();
    int result = unpacking->archive ? open_destination(unpacking, root_fd, path) : -ENOMEM;
    if (result < 0) {
        error_set_errno(error, result, "copying to %s", path);
    } else {
        libarchive.read_support_format_tar(unpacking->archive);
        result = libarchive.read_open_fd(unpacking->archive, archive_fd, CHUNK_BYTES) == ARCHIVE_OK
                     ? unpack_all(unpacking, path, error)
                     : error_set_errno(error, unpack_failed(unpacking), "what comes for %s", path);
    }
    if (unpacking->fd >= 0)
        close(unpacking->fd);
    libarchive.read_free(unpacking->archive);
    free(unpacking);
    return result;
}

int copy_files_in(int root_fd, const char *path, int archive_fd, struct error *error)
{
    int result = libarchive_use(error);
    if (result < 0)
        return result;
    result = unpack(root_fd, path, archive_fd, error);
    libarchive_release();
    return result;
}
