/* The OCI runtime's config.json for one container.
 *
 * Defaults are Podman's: few capabilities, no new privileges, a seccomp allowlist, masked and
 * read-only paths in /proc and /sys, no devices but the harmless ones, and namespaces of its own:
 * for users, too, if the spec wants one.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "runtime/container_spec.h"
#include "runtime/image/image_store.h"
#include "runtime/plan.h"
#include "runtime/user.h"
#include "runtime/userns.h"

struct oci_input {
    const struct container_spec *spec;
    const struct container_plan *plan;
    const struct user *user;
    const char *hostname;
    const char *rootfs; /* where it is mounted */
    const char *netns_path;
    const char *cgroup_path; /* "/PARENT/ID" */
    const char *files_dir;   /* has "resolv.conf", "hosts", "hostname", and file mounts by number */
    const char *secrets_dir; /* in memory: has those that show secrets */
    const char *volumes_dir, *anonymous_dir;
    int mount_timeout_ms; /* for one that a server must answer */
    const char
        *filters_dir; /* where compiled seccomp filters are kept; NULL: the OCI runtime compiles */
    const char *init_path;        /* of an init on this machine; NULL unless the spec wants one */
    const char *apparmor_profile; /* NULL: none */
    const struct userns *userns;  /* NULL: the machine's own */
    struct image_store *images;   /* of the images that it mounts */
};

/* Writes the document, and its "process" once more, for commands that are run in the container
 * later; the caller frees both. -EINVAL for unknown capabilities, -ENOMEM. */
int oci_spec_write(const struct oci_input *input, char **ret, char **ret_process,
                   struct error *error);

/* Prints the path of the folder that backs the mount, for MOUNT_VOLUME. */
void oci_volume_path(const struct oci_input *input, const struct container_mount *mount, char *ret,
                     size_t capacity);

/* Prints the path of the file that backs the mount with that index, for MOUNT_FILE. */
void oci_file_mount_path(const struct oci_input *input, size_t index, char *ret, size_t capacity);
