/* Who a container's process shall be: "user", "user:group" or "uid:gid", looked up in the
 * container's own /etc/passwd and /etc/group.
 *
 * Those files come from an image and are hostile: they are opened so that no symbolic link leads
 * out of the root file system, and read with a bound.
 */
#pragma once

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text_list.h"

enum {
    USER_GROUPS_MAX = 64,
    USER_FILE_BYTES_MAX = 1024 * 1024, /* /etc/passwd or /etc/group */
    USER_HOME_BYTES = 256,
};

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[USER_GROUPS_MAX]; /* supplementary ones */
    size_t group_count;
    char home[USER_HOME_BYTES]; /* "/" if not known */
};

/* As stat(), of a path inside the root file system, with no way out of it. */
int user_stat_inside(const char *rootfs, const char *path, struct stat *ret);

/* Adds supplementary groups, by name or number. -ENOENT for a name that the image does not know;
 * -E2BIG. */
int user_add_groups(const char *rootfs, const struct text_list *groups, struct user *user,
                    struct error *error);

/* An empty `text` is root. -ENOENT for a name that the image does not know; -EINVAL. */
int user_resolve(const char *rootfs, const char *text, struct user *ret, struct error *error);
