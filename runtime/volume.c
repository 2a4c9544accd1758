#include "runtime/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/bounds.h"
#include "runtime/file.h"
#include "runtime/tree.h"
#include "runtime/userns.h"

enum {
    DEPTH_MAX = 64, /* of folders that are copied; what is deeper is left out */
    CHUNK_BYTES = 1 << 20,
};

/* A folder on the way down: where it is read, and where its copy is. */
struct level {
    DIR *from;
    int to;
    uint32_t first_id; /* struct volume_use */
};

static int copy_owner(int fd, const struct stat *status, uint32_t first_id)
{
    if (fchown(fd, userns_id_inside(first_id, status->st_uid),
               userns_id_inside(first_id, status->st_gid)) < 0 ||
        fchmod(fd, status->st_mode & RUNTIME_MODE_MAX) < 0)
        return -errno;
    return 0;
}

static int copy_file(const struct level *level, const char *name)
{
    struct stat status;
    int from_dir = dirfd(level->from), to_dir = level->to;
    cleanup_close int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0 || fstat(from, &status) < 0)
        return -errno;
    cleanup_close int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    for (;;) {
        ssize_t size = sendfile(to, from, NULL, CHUNK_BYTES);
        if (size < 0)
            return -errno;
        if (size == 0)
            return copy_owner(to, &status, level->first_id);
    }
}

static int copy_link(const struct level *level, const char *name, const struct stat *status)
{
    char target[PATH_BYTES];
    ssize_t size = readlinkat(dirfd(level->from), name, target, sizeof(target));
    if (size < 0 || size == (ssize_t)sizeof(target))
        return size < 0 ? -errno : -ENAMETOOLONG;
    target[size] = '\0';
    if (symlinkat(target, level->to, name) < 0 ||
        fchownat(level->to, name, userns_id_inside(level->first_id, status->st_uid),
                 userns_id_inside(level->first_id, status->st_gid), AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

/* Goes down into the folder. */
static int enter(struct level *levels, size_t *depth, const char *name, const struct stat *status)
{
    struct level *here = &levels[*depth - 1], *next = &levels[*depth];
    cleanup_close int from =
        openat(dirfd(here->from), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0 || mkdirat(here->to, name, 0700) < 0)
        return -errno;
    cleanup_close int to = openat(here->to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = to < 0 ? -errno : copy_owner(to, status, here->first_id);
    if (result < 0)
        return result;
    next->from = fdopendir(from);
    if (!next->from)
        return -errno;
    take_fd(from); /* closedir() closes it */
    next->to = take_fd(to);
    next->first_id = here->first_id;
    (*depth)++;
    return 0;
}

static int copy_entry(struct level *levels, size_t *depth, const char *name)
{
    const struct level *here = &levels[*depth - 1];
    struct stat status;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    if (fstatat(dirfd(here->from), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return *depth < DEPTH_MAX ? enter(levels, depth, name, &status) : 0;
    if (S_ISLNK(status.st_mode))
        return copy_link(here, name, &status);
    return S_ISREG(status.st_mode) ? copy_file(here, name) : 0;
}

/* Takes over both descriptors. */
static int copy_all(int from, int to, uint32_t first_id)
{
    struct level levels[DEPTH_MAX] = {{.from = fdopendir(from), .to = to, .first_id = first_id}};
    size_t depth = 1;
    int result = 0;
    if (!levels[0].from) {
        result = -errno;
        close(from);
        close(to);
        return result;
    }
    while (depth > 0) {
        struct level *here = &levels[depth - 1];
        errno = 0;
        struct dirent *entry = result == 0 ? readdir(here->from) : NULL;
        if (entry) {
            result = copy_entry(levels, &depth, entry->d_name);
            continue;
        }
        result = result == 0 && errno != 0 ? -errno : result;
        closedir(here->from);
        close(here->to);
        depth--;
    }
    return result;
}

/* Fills the new folder with what the image has there. */
static int fill(const struct volume_use *use, const char *made)
{
    struct stat covered;
    cleanup_close int root = open(use->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int to = open(made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int from = -1;
    if (root < 0 || to < 0)
        return -errno;
    int result = file_open_inside(root, use->target, O_RDONLY | O_DIRECTORY, &from);
    if (result < 0 || fstat(from, &covered) < 0)
        return 0; /* the image has no folder there: root's it is */
    result = copy_owner(to, &covered, use->first_id);
    return result < 0 || use->is_empty ? result
                                       : copy_all(take_fd(from), take_fd(to), use->first_id);
}

int volume_make(const struct volume_use *use)
{
    char path[PATH_BYTES], made[PATH_BYTES];
    struct stat status;
    path_format(path, sizeof(path), "%s/%s", use->volumes_dir, use->name);
    path_format(made, sizeof(made), "%s/volume", use->container_dir);
    if (lstat(path, &status) == 0)
        return 0;
    int result = tree_remove_path(made); /* of one who was killed here */
    if (result == 0 && mkdir(made, 0755) < 0)
        result = -errno;
    if (result == 0)
        result = fill(use, made);
    if (result == 0 && renameat2(AT_FDCWD, made, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        result = -errno;
    if (result == 0)
        return 0;
    tree_remove_path(made);
    if (result == -EXDEV) /* the volumes have a file system of their own: without what is in it */
        return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
    return result == -EEXIST ? 0 : result; /* another was first */
}
