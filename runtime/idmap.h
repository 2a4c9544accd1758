/* Mounts whose owners are mapped into a user namespace: a file that belongs to 0 on the disk
 * belongs to that namespace's root, and what this root makes belongs to 0 on the disk. Linux 5.12;
 * not all file systems have it.
 */
#pragma once

#include <stdbool.h>

struct idmap {
    int userns_fd;
    bool read_only;
};

/* Mounts the directory `source`, without what is mounted below it, at `target`. -EINVAL if its file
 * system can't; -ENOSYS. */
int idmap_mount(const char *source, const char *target, const struct idmap *idmap);
