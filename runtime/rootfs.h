/* A container's root file system: an overlay of shared read-only layers and a directory of its own.
 *
 *     CONTAINER_DIR/upper    what the container has written; kept across its restarts
 *     CONTAINER_DIR/work     overlayfs's own
 *     CONTAINER_DIR/rootfs   where it is mounted
 *
 * overlayfs takes its layers in one string of at most a page, too short for the paths of 128
 * layers, and commas and colons in paths would need escapes; so each directory is opened and named
 * as /proc/self/fd/N, which is short, on every kernel.
 *
 * Everything blocks: node calls it on the thread pool. Thread-safe for different containers. Needs
 * root.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text_list.h"
#include "runtime/userns.h"

/* Mounts the overlay of `layers` (paths, lowest first, at least one; see image_store_unpack) in
 * `container_dir`, an existing absolute path. Directories are made as needed. Is it mounted
 * already, that is left as it is. With a user namespace (else NULL) its owners are as in
 * the image; on the disk, too. `*ret_path` is CONTAINER_DIR/rootfs, which the caller frees. */
int rootfs_mount(const char *container_dir, const struct text_list *layers,
                 const struct userns *userns, char **ret_path, struct error *error);

/* Mounts the files of an image at `target`, a folder, read-only. `directory` is where layers are
 * mounted meanwhile with mapped owners, if there is a user namespace (else NULL). */
int rootfs_mount_image(const char *directory, const struct text_list *layers,
                       const struct userns *userns, const char *target, struct error *error);

/* Unmounts; 0 also if nothing is mounted or `container_dir` is not there. What still uses it keeps
 * it alive unseen until it lets go. Keeps what the container has written. */
int rootfs_unmount(const char *container_dir, struct error *error);

/* Unmounts, and deletes rootfs, upper and work. Other files in `container_dir` stay. */
int rootfs_remove(const char *container_dir, struct error *error);

/* True if CONTAINER_DIR/rootfs is a mount. */
bool rootfs_mounted(const char *container_dir);

/* Calls `each` with the directory of every container beneath `dir` (absolute, without a slash at
 * the end) whose rootfs is mounted: "DIR/x" for a mount DIR/x/rootfs. After a crash, whatever of
 * these is no container any more is for rootfs_remove(). `each` must not mount or unmount. */
int rootfs_list(const char *dir, void (*each)(void *context, const char *container_dir),
                void *context, struct error *error);
