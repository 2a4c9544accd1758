#include "runtime/image/layer.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "runtime/image/layer_path.h"
#include "runtime/image/layer_stream.h"

static const char whiteout_prefix[] = ".wh.";
static const char aufs_prefix[] = ".wh..wh."; /* aufs's own files, which mean nothing elsewhere */
static const char opaque_name[] = ".wh..wh..opq";
static const char opaque_attribute[] = "trusted.overlay.opaque";

enum { IMPLICIT_DIRECTORY_MODE = 0755 }; /* of one that the archive leaves out */

struct unpacking {
    struct layer_stream stream;
    int layer_fd; /* borrowed */
    size_t entries;
    int64_t file_bytes;        /* sizes of all files so far */
    struct buffer directories; /* their names with a NUL, each after its struct timespec */
    bool stream_failed;        /* and `error` says why */
    struct error *error;       /* may be NULL */
};

/* Whether something is an overlayfs whiteout. */
static bool is_whiteout(const struct stat *status)
{
    return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

static int set_opaque(int directory_fd)
{
    return fsetxattr(directory_fd, opaque_attribute, "y", 1, 0) < 0 ? -errno : 0;
}

/* Opens the directory `name` itself, which is no symbolic link. */
static int open_child(int parent_fd, const char *name, int *ret_fd)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

/* Makes the directory `name` unless it is there, and opens it. In the place of a whiteout it
 * becomes opaque: what the layers below have in it was removed. Any other file in its place is
 * replaced only if `replace`; otherwise -ELOOP or -ENOTDIR. */
static int make_directory(int parent_fd, const char *name, bool replace, int *ret_fd)
{
    struct stat status;
    bool opaque = false;
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return -errno;
    } else if (S_ISDIR(status.st_mode)) {
        return open_child(parent_fd, name, ret_fd);
    } else {
        opaque = is_whiteout(&status);
        if (!opaque && !replace)
            return S_ISLNK(status.st_mode) ? -ELOOP : -ENOTDIR;
        if (unlinkat(parent_fd, name, 0) < 0)
            return -errno;
    }
    if (mkdirat(parent_fd, name, 0700) < 0)
        return -errno;
    cleanup_close int fd = -1;
    int r = open_child(parent_fd, name, &fd);
    if (r == 0 && fchmod(fd, IMPLICIT_DIRECTORY_MODE) < 0) /* whatever the umask is */
        r = -errno;
    if (r == 0 && opaque)
        r = set_opaque(fd);
    if (r == 0)
        *ret_fd = take_fd(fd);
    return r;
}

/* Opens the parent of an entry; makes what is missing of it, as some builders leave it out. */
static int open_parent(const struct unpacking *unpacking, const struct layer_path *path,
                       int *ret_fd)
{
    int r = layer_open_directory(unpacking->layer_fd, path->parent, ret_fd);
    if (r != -ENOENT && r != -ENOTDIR)
        return r;
    cleanup_close int fd = -1;
    r = layer_open_directory(unpacking->layer_fd, "", &fd);
    char rest[LAYER_PATH_BYTES_MAX];
    memcpy(rest, path->parent, sizeof(rest));
    char *position = NULL;
    for (char *name = strtok_r(rest, "/", &position); r == 0 && name;
         name = strtok_r(NULL, "/", &position)) {
        int child_fd = -1;
        r = make_directory(fd, name, false, &child_fd);
        if (r == 0) {
            close(fd);
            fd = child_fd;
        }
    }
    if (r == 0)
        *ret_fd = take_fd(fd);
    return r;
}

/* Makes way for an entry that is no directory: of two entries with one name the last counts. */
static int make_way(int parent_fd, const char *name)
{
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EISDIR && unlinkat(parent_fd, name, AT_REMOVEDIR) == 0)
        return 0;
    return -errno;
}

static struct timespec entry_time(struct archive_entry *entry)
{
    struct timespec time = {0};
    if (libarchive.entry_mtime_is_set(entry)) {
        time.tv_sec = libarchive.entry_mtime(entry);
        time.tv_nsec = libarchive.entry_mtime_nsec(entry);
    }
    if (time.tv_nsec < 0 || time.tv_nsec > 999999999)
        time.tv_nsec = 0;
    return time;
}

static int check_owner(struct archive_entry *entry)
{
    /* The last one, (uid_t)-1, would mean "leave it" to chown(). */
    bool fits = libarchive.entry_uid(entry) >= 0 && libarchive.entry_uid(entry) < UINT32_MAX &&
                libarchive.entry_gid(entry) >= 0 && libarchive.entry_gid(entry) < UINT32_MAX;
    return fits ? 0 : -EBADMSG;
}

/* The attributes that mean the same in a container: not trusted.* (overlayfs obeys it, and it could
 * point out of the layer) nor the labels of the builder's own security module. */
static int set_attributes(struct archive_entry *entry, int fd)
{
    const char *name;
    const void *value;
    size_t size;
    libarchive.entry_xattr_reset(entry);
    while (libarchive.entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
        bool keep = strcmp(name, "security.capability") == 0 ||
                    (strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0);
        if (!keep)
            continue;
        if (size > LAYER_XATTR_BYTES_MAX)
            return -E2BIG;
        if (fsetxattr(fd, name, value, size, 0) < 0 && errno != EOPNOTSUPP)
            return -errno;
    }
    return 0;
}

/* Owner, mode and attributes, in this order: chown() takes away set-user-id and capabilities. */
static int set_metadata(struct archive_entry *entry, int fd)
{
    if (fchown(fd, (uid_t)libarchive.entry_uid(entry), (gid_t)libarchive.entry_gid(entry)) < 0 ||
        fchmod(fd, libarchive.entry_perm(entry) & 07777) < 0)
        return -errno;
    return set_attributes(entry, fd);
}

static int unpack_directory(struct unpacking *unpacking, struct archive_entry *entry,
                            const struct layer_path *path, int parent_fd)
{
    cleanup_close int fd = -1;
    int r = *path->text ? make_directory(parent_fd, path->name, true, &fd)
                        : layer_open_directory(unpacking->layer_fd, "", &fd);
    if (r == 0)
        r = set_metadata(entry, fd);
    if (r < 0)
        return r;
    /* What is put into it later would change its time again. */
    struct timespec time = entry_time(entry);
    struct buffer *list = &unpacking->directories;
    size_t size = strlen(path->text) + 1;
    if (sizeof(time) + size > LAYER_DIRECTORY_LIST_BYTES_MAX - list->size)
        return -E2BIG;
    r = buffer_append(list, &time, sizeof(time));
    return r < 0 ? r : buffer_append(list, path->text, size);
}

static int set_directory_times(struct unpacking *unpacking)
{
    const struct buffer *list = &unpacking->directories;
    size_t offset = 0;
    while (offset < list->size) {
        struct timespec times[2];
        memcpy(&times[0], list->bytes + offset, sizeof(times[0]));
        times[1] = times[0];
        const char *path = (const char *)list->bytes + offset + sizeof(times[0]);
        offset += sizeof(times[0]) + strlen(path) + 1;
        cleanup_close int fd = -1;
        int r = layer_open_directory(unpacking->layer_fd, path, &fd);
        if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
            continue; /* a later entry took its place */
        if (r == 0 && futimens(fd, times) < 0)
            r = -errno;
        if (r < 0)
            return error_set_errno(unpacking->error, r, "set the times of its directories");
    }
    return 0;
}

static int write_at(int fd, const char *data, size_t size_bytes, int64_t offset)
{
    while (size_bytes > 0) {
        ssize_t written = pwrite(fd, data, size_bytes, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        data += written;
        offset += written;
        size_bytes -= (size_t)written;
    }
    return 0;
}

/* Writes a file's data; holes stay holes. */
static int write_data(struct unpacking *unpacking, int fd, int64_t size_bytes)
{
    const void *data;
    size_t size;
    la_int64_t offset;
    for (;;) {
        int r = libarchive.read_data_block(unpacking->stream.tar, &data, &size, &offset);
        if (r == ARCHIVE_EOF)
            break;
        if (r != ARCHIVE_OK) {
            unpacking->stream_failed = true;
            return layer_stream_failed(&unpacking->stream, unpacking->error);
        }
        if (offset < 0 || offset > size_bytes || size > (uint64_t)(size_bytes - offset))
            return -EBADMSG;
        r = write_at(fd, data, size, offset);
        if (r < 0)
            return r;
    }
    return ftruncate(fd, size_bytes) < 0 ? -errno : 0;
}

static int unpack_file(struct unpacking *unpacking, struct archive_entry *entry,
                       const struct layer_path *path, int parent_fd)
{
    int64_t size_bytes = libarchive.entry_size(entry);
    if (size_bytes < 0)
        return -EBADMSG;
    if (size_bytes > LAYER_BYTES_MAX - unpacking->file_bytes)
        return -E2BIG;
    unpacking->file_bytes += size_bytes;
    int r = make_way(parent_fd, path->name);
    if (r < 0)
        return r;
    cleanup_close int fd =
        openat(parent_fd, path->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = write_data(unpacking, fd, size_bytes);
    if (r == 0)
        r = set_metadata(entry, fd);
    struct timespec time = entry_time(entry);
    if (r == 0 && futimens(fd, (struct timespec[2]){time, time}) < 0)
        r = -errno;
    return r;
}

/* A symbolic link or FIFO: what has no data, is never opened, and so is changed by name. */
static int unpack_special(struct archive_entry *entry, const struct layer_path *path, int parent_fd)
{
    const char *target = libarchive.entry_symlink(entry);
    bool link = libarchive.entry_filetype(entry) == AE_IFLNK;
    if (link && (!target || !*target))
        return -EBADMSG;
    int r = make_way(parent_fd, path->name);
    if (r < 0)
        return r;
    mode_t mode = libarchive.entry_perm(entry) & 07777;
    if ((link ? symlinkat(target, parent_fd, path->name) : mkfifoat(parent_fd, path->name, 0600)) <
            0 ||
        fchownat(parent_fd, path->name, (uid_t)libarchive.entry_uid(entry),
                 (gid_t)libarchive.entry_gid(entry), AT_SYMLINK_NOFOLLOW) < 0 ||
        (!link && fchmodat(parent_fd, path->name, mode, 0) < 0))
        return -errno;
    struct timespec time = entry_time(entry);
    struct timespec times[2] = {time, time};
    return utimensat(parent_fd, path->name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Links to what an earlier entry of this layer made. */
static int unpack_hard_link(const struct unpacking *unpacking, const char *target_text,
                            const struct layer_path *path, int parent_fd)
{
    struct layer_path target;
    cleanup_close int target_fd = -1;
    struct stat status;
    int r = layer_path_parse(target_text, &target);
    if (r == 0 && strcmp(target.text, path->text) == 0)
        r = -EBADMSG;
    if (r == 0)
        r = layer_open_directory(unpacking->layer_fd, target.parent, &target_fd);
    if (r == 0 && fstatat(target_fd, target.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    if (r == 0 && !S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode) && !S_ISFIFO(status.st_mode))
        r = -EBADMSG;
    if (r == 0)
        r = make_way(parent_fd, path->name);
    if (r == 0 && linkat(target_fd, target.name, parent_fd, path->name, 0) < 0)
        r = -errno;
    return r;
}

/* ".wh.x" hides what the layers below have under the name x. This layer's own x stays, before or
 * after it in the archive. */
static int unpack_whiteout(const struct layer_path *path, int parent_fd)
{
    const char *name = path->name + strlen(whiteout_prefix);
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EBADMSG;
    struct stat status;
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return -errno;
        return mknodat(parent_fd, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
    }
    if (!S_ISDIR(status.st_mode))
        return 0;
    cleanup_close int fd = -1;
    int r = open_child(parent_fd, name, &fd);
    return r < 0 ? r : set_opaque(fd);
}

static int unpack_by_type(struct unpacking *unpacking, struct archive_entry *entry,
                          const struct layer_path *path, int parent_fd)
{
    if (strcmp(path->name, opaque_name) == 0)
        return set_opaque(parent_fd);
    if (strncmp(path->name, aufs_prefix, strlen(aufs_prefix)) == 0)
        return 0;
    if (strncmp(path->name, whiteout_prefix, strlen(whiteout_prefix)) == 0)
        return unpack_whiteout(path, parent_fd);
    int r = check_owner(entry);
    if (r < 0)
        return r;
    if (libarchive.entry_hardlink(entry))
        return unpack_hard_link(unpacking, libarchive.entry_hardlink(entry), path, parent_fd);
    switch (libarchive.entry_filetype(entry)) {
    case AE_IFDIR:
        return unpack_directory(unpacking, entry, path, parent_fd);
    case AE_IFREG:
        return unpack_file(unpacking, entry, path, parent_fd);
    case AE_IFLNK:
    case AE_IFIFO:
        return unpack_special(entry, path, parent_fd);
    default:
        return -EPERM; /* a device would reach the host's hardware */
    }
}

static bool is_skipped(struct archive_entry *entry, const struct layer_path *path)
{
    bool device = libarchive.entry_filetype(entry) == AE_IFCHR ||
                  libarchive.entry_filetype(entry) == AE_IFBLK;
    return layer_path_passes(path, aufs_prefix) ||
           (device && !libarchive.entry_hardlink(entry) && strncmp(path->parent, "dev", 3) == 0 &&
            (path->parent[3] == '/' || path->parent[3] == '\0'));
}

/* Says which entry failed and why. Names come from strangers: what would steer a terminal is
 * masked. */
static int entry_failed(struct unpacking *unpacking, int r, const char *name)
{
    static const struct {
        int code;
        const char *why;
    } reasons[] = {
        {-ELOOP, "its path leads through a symbolic link"},
        {-ENOTDIR, "its path leads through a file"},
        {-EPERM, "device nodes are not allowed, or the daemon does not run as root"},
        {-ENOTEMPTY, "it would replace a directory that has files"},
        {-ENOENT, "it links to what is not in the layer"},
        {-EBADMSG, "its name, link, owner or size is not acceptable"},
        {-E2BIG, "it passes a limit on names, attributes or sizes"},
    };
    char masked[128];
    snprintf(masked, sizeof(masked), "%s", name ? name : "");
    for (char *c = masked; *c; c++) {
        if (iscntrl((unsigned char)*c))
            *c = '?';
    }
    if (unpacking->stream_failed) {
        error_prefix(unpacking->error, "entry '%s'", masked);
        return r;
    }
    for (size_t i = 0; i < array_count(reasons); i++) {
        if (reasons[i].code == r) {
            error_set(unpacking->error, r, "entry '%s': %s", masked, reasons[i].why);
            /* Whatever the system called it, the archive is at fault. */
            return r == -E2BIG || r == -EPERM ? r : -EBADMSG;
        }
    }
    return error_set_errno(unpacking->error, r, "entry '%s'", masked);
}

static int unpack_entry(struct unpacking *unpacking, struct archive_entry *entry)
{
    const char *name = libarchive.entry_pathname(entry);
    if (!name || ++unpacking->entries > LAYER_ENTRIES_MAX)
        return entry_failed(unpacking, name ? -E2BIG : -EBADMSG, name);
    struct layer_path path;
    cleanup_close int parent_fd = -1;
    int r = layer_path_parse(name, &path);
    if (r == 0 && is_skipped(entry, &path))
        return 0;
    /* The layer's own root can only be a directory. */
    if (r == 0 && !*path.text && libarchive.entry_filetype(entry) != AE_IFDIR)
        r = -EBADMSG;
    if (r == 0)
        r = open_parent(unpacking, &path, &parent_fd);
    if (r == 0)
        r = unpack_by_type(unpacking, entry, &path, parent_fd);
    return r < 0 ? entry_failed(unpacking, r, name) : 0;
}

static int unpack_entries(struct unpacking *unpacking)
{
    for (;;) {
        struct archive_entry *entry;
        int r = libarchive.read_next_header(unpacking->stream.tar, &entry);
        if (r == ARCHIVE_EOF)
            return 0;
        /* A warning only says that a name is not in the locale's alphabet; its bytes are used. */
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return layer_stream_failed(&unpacking->stream, unpacking->error);
        r = unpack_entry(unpacking, entry);
        if (r < 0)
            return r;
    }
}

int layer_unpack(int blob_fd, int directory_fd, const struct digest *diff_id, struct error *error)
{
    struct unpacking unpacking = {.layer_fd = directory_fd, .error = error};
    struct digest found;
    int r = libarchive_use(error);
    if (r < 0)
        return r;
    buffer_init(&unpacking.directories);
    r = layer_stream_open(&unpacking.stream, blob_fd, error);
    if (r == 0)
        r = unpack_entries(&unpacking);
    if (r == 0)
        r = layer_stream_finish(&unpacking.stream, &found, error);
    if (r == 0 && !digest_equal(&found, diff_id)) {
        char text[DIGEST_TEXT_BYTES];
        digest_format(&found, text);
        r = error_set(error, -EBADMSG, "its uncompressed bytes have digest %s", text);
    }
    if (r == 0)
        r = set_directory_times(&unpacking);
    layer_stream_done(&unpacking.stream);
    libarchive_release();
    buffer_done(&unpacking.directories);
    if (r < 0) {
        char text[DIGEST_TEXT_BYTES];
        digest_format(diff_id, text);
        error_prefix(error, "unpack layer %s", text);
    }
    return r;
}
