#include "runtime/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/image/disk.h"

struct removal {
    int top_fd;      /* the tree's first directory */
    int inner_fd;    /* the directory in it that is being emptied */
    uint64_t lifted; /* directories moved up so far; makes their names */
    bool found_any;  /* in this pass over the first directory */
};

/* Removes a file or an empty directory. 1 if it is a directory with something in it. */
static int remove_shallow(int parent_fd, const char *name)
{
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return -errno;
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0)
        return 0;
    return errno == ENOTEMPTY || errno == EEXIST ? 1 : -errno;
}

static int lift(void *context, const char *name)
{
    struct removal *removal = context;
    int r = remove_shallow(removal->inner_fd, name);
    if (r <= 0)
        return r;
    char unique[32];
    do {
        snprintf(unique, sizeof(unique), ".lifted.%ju", (uintmax_t)removal->lifted++);
        r = renameat2(removal->inner_fd, name, removal->top_fd, unique, RENAME_NOREPLACE);
    } while (r < 0 && errno == EEXIST);
    return r < 0 ? -errno : 0;
}

static int remove_entry(void *context, const char *name)
{
    struct removal *removal = context;
    removal->found_any = true;
    int r = remove_shallow(removal->top_fd, name);
    if (r <= 0)
        return r;
    cleanup_close int fd =
        openat(removal->top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    removal->inner_fd = fd;
    r = disk_each_entry(fd, lift, removal);
    if (r < 0)
        return r;
    /* A directory that changes while it is read may hide an entry: the next pass finds it. */
    r = remove_shallow(removal->top_fd, name);
    return r < 0 ? r : 0;
}

int tree_remove(int parent_fd, const char *name)
{
    int r = remove_shallow(parent_fd, name);
    if (r <= 0)
        return r;
    cleanup_close int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct removal removal = {.top_fd = fd};
    do {
        removal.found_any = false;
        r = disk_each_entry(fd, remove_entry, &removal);
        if (r < 0)
            return r;
    } while (removal.found_any);
    return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int tree_remove_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return tree_remove(AT_FDCWD, path);
    cleanup_free char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!parent)
        return -ENOMEM;
    cleanup_close int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    return tree_remove(fd, slash + 1);
}
