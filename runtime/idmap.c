#include "runtime/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"

int idmap_mount(const char *source, const char *target, const struct idmap *idmap)
{
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_IDMAP | (idmap->read_only ? MOUNT_ATTR_RDONLY : 0),
        .propagation = MS_PRIVATE,
        .userns_fd = (unsigned)idmap->userns_fd,
    };
    cleanup_close int fd = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0 ||
        move_mount(fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}
