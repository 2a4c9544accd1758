/* Mounts that the runtime makes itself, before the OCI runtime does the others: file systems by
 * type, device and options, images, and parts of volumes. Each is on a place in the container's
 * bundle, from where the OCI runtime binds it, and goes with the bundle.
 *
 *     RUN/containers/ID/mounts/N          of the Nth mount of the spec
 *     RUN/containers/ID/mounts/N.whole    the image of which N is a part
 *
 * All of it blocks: for worker threads.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/text_list.h"
#include "runtime/container_spec.h"
#include "runtime/userns.h"

/* Whether the mount is made here. */
bool own_mount_is_wanted(const struct container_mount *mount);

/* Where the Nth mount is, or will be; `ret` has PATH_BYTES. */
void own_mount_path(const char *bundle_dir, size_t index, char *ret);

/* Mounts what `path` leads to in `volume`, a folder that containers write to: no link leads out of
 * it, and what was looked at is what is mounted. -ENOENT if it is not there. */
int own_mount_part(const char *bundle_dir, size_t index, const char *volume, const char *path,
                   struct error *error);

/* Mounts an image's files, read-only, or what `path` (NULL: all) leads to in them: links in the
 * image lead no further than its root. `layers` as from image_store_unpack(); with a user namespace
 * (else NULL) their owners are as in the image. */
int own_mount_image(const char *bundle_dir, size_t index, const struct text_list *layers,
                    const char *path, const struct userns *userns, struct error *error);

/* Mounts the file system. A server that does not answer is given up after `timeout_ms`. */
int own_mount_device(const char *bundle_dir, size_t index, const struct container_mount *mount,
                     int timeout_ms, struct error *error);

/* Unmounts all of a container's. */
void own_mounts_undo(const char *bundle_dir);
