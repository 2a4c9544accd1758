/* User namespaces: the ids that a container sees, 0 to 65,535, are ids of this machine that nobody
 * else has. So root in it is nobody outside, and nobody in another container.
 *
 * Like Podman's `--userns=auto`: each container has a range of its own, the lowest that no other
 * one on this machine has; its record keeps which. What is on the disk is owned as in the image and
 * as the container sees it: the root file system and volumes are mapped when they are mounted
 * (idmap.h). docs/decisions/user-namespaces.md says why.
 *
 *     RUN/userns/ID/FIRST   its namespace, pinned by a mount; the name is the first of its ids
 *     RUN/userns/ID/root    its root file system once more, for the OCI runtime: its process has
 *                           the container's ids by then, and can't pass through our own directories
 *
 * A namespace lives as long as the container, for it owns the network's. Functions that touch the
 * system block, and need root.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime/file.h"

enum {
    USERNS_IDS = 65536, /* of each container */
    USERNS_RANGES_MAX = 65535,
    USERNS_DIRECTORY_MODE = 0711, /* containers' roots, strangers here, pass through */
};

/* Which ids of the machine containers may have. */
struct userns_pool {
    uint32_t first;
    uint32_t range_count; /* of USERNS_IDS each */
};

/* Which of its ranges are taken. */
struct userns_taken {
    uint64_t bits[USERNS_RANGES_MAX / 64 + 1];
};

struct userns {
    uint32_t first_id;
    int fd; /* of the namespace */
    char path[PATH_BYTES];
    char root[PATH_BYTES];
};

/* Where neither useradd's subordinate ids, nor systemd's for its containers and users, nor those
 * that Podman's manual proposes are: 1,879,048,192 on, 4,094 ranges. */
extern const struct userns_pool userns_pool_default;

/* "FIRST:COUNT", as in /etc/subuid, such as "1879048192:268304384". -EINVAL for less than a range,
 * for ids of the machine's own (below USERNS_IDS) and for what is over 32 bits. */
int userns_pool_parse(const char *text, struct userns_pool *ret);

/* Notes that a container has the ids from `first_id` on, whichever range or ranges these are in. */
void userns_take(const struct userns_pool *pool, struct userns_taken *taken, uint32_t first_id);

/* The first id of the lowest range that is free. -ENOSPC. */
int userns_choose(const struct userns_pool *pool, const struct userns_taken *taken,
                  uint32_t *ret_first_id);

/* Opens the namespace with those ids that is pinned in `directory`. -ENOENT if there is none. The
 * caller ends it with userns_close(). */
int userns_open(const char *directory, uint32_t first_id, struct userns *ret);

/* Makes and pins it, in place of whatever is there. */
int userns_make(const char *directory, uint32_t first_id, struct userns *ret, struct error *error);
void userns_close(struct userns *userns);

/* Mounts the container's root where its own root can reach it. */
int userns_show_root(const struct userns *userns, const char *rootfs, struct error *error);

/* Unmounts and removes all that is in `directory`, and it. 0 also if there is nothing. */
int userns_remove(const char *directory);

/* Lets whoever holds a container's standard streams open them again by name (/dev/stdout): the
 * pipes are of conmon's, thus of a user that the container does not know. Nobody else can reach
 * them. */
void userns_open_streams(pid_t pid);

/* What this thread makes from now on belongs to that namespace's root; until it is back, which it
 * also has to be after a failure. */
int userns_act_as_root(uint32_t first_id);
void userns_act_as_self(void);

/* Who an owner outside is inside; ids that the namespace lacks stay, and all do if `first_id` is 0:
 * no namespace. */
uint32_t userns_id_inside(uint32_t first_id, uint32_t id);
