#include "runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "runtime/bounds.h"
#include "runtime/idmap.h"
#include "runtime/image/disk.h"
#include "runtime/tree.h"

enum {
    UNMOUNTS_MAX = 16, /* mounts on top of one another; more than any mistake makes */
};

static const char upper_name[] = "upper";
static const char work_name[] = "work";
static const char mount_name[] = "rootfs";
/* While an overlay for a user namespace is being mounted: the layers, and the container's own. */
static const char mapped_layers_name[] = "mapped-layers";
static const char mapped_own_name[] = "mapped-own";

/* The directories of one overlay, open while it is mounted. */
struct overlay {
    int layer_fds[IMAGE_LAYERS_MAX];
    size_t layer_count;
    int upper_fd; /* -1: none, it is read-only, and then there is an empty one to be the lowest */
    int work_fd;
    int empty_fd;
};

static void overlay_done(struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->layer_count; i++)
        close(overlay->layer_fds[i]);
    cleanup_close_fd(&overlay->upper_fd);
    cleanup_close_fd(&overlay->work_fd);
    cleanup_close_fd(&overlay->empty_fd);
}

static int open_layers(struct overlay *overlay, const struct text_list *layers, struct error *error)
{
    if (layers->count == 0 || layers->count > IMAGE_LAYERS_MAX)
        return error_set(error, -EINVAL, "%zu layers are not between 1 and %d", layers->count,
                         IMAGE_LAYERS_MAX);
    for (size_t i = 0; i < layers->count; i++) {
        int fd = open(layers->items[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return error_set_errno(error, -errno, "open layer %s", layers->items[i]);
        overlay->layer_fds[overlay->layer_count++] = fd;
    }
    return 0;
}

/* Makes and opens upper and work. The upper directory's owner and mode are what the container sees
 * as those of "/", so they are those of the image's lowest layer. */
static int open_own(struct overlay *overlay, int container_fd)
{
    struct stat root;
    int r = disk_open_directory(container_fd, upper_name, &overlay->upper_fd);
    if (r == 0)
        r = disk_open_directory(container_fd, work_name, &overlay->work_fd);
    if (r == 0 && (fstat(overlay->layer_fds[0], &root) < 0 ||
                   fchown(overlay->upper_fd, root.st_uid, root.st_gid) < 0 ||
                   fchmod(overlay->upper_fd, root.st_mode & 07777) < 0))
        r = -errno;
    return r;
}

/* ---- For a user namespace ---- */

static int unmap(const char *container_dir)
{
    static const char *const names[] = {mapped_layers_name, mapped_own_name};
    int r = 0;
    for (size_t i = 0; i < array_count(names); i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof(path), "%s/%s", container_dir, names[i]) >= PATH_MAX)
            return -ENAMETOOLONG;
        if ((umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
             errno != ENOENT && errno != ENOTDIR) ||
            (rmdir(path) < 0 && errno != ENOENT && errno != ENOTDIR))
            r = -errno;
    }
    return r;
}

/* The folder that all layers are in; the caller frees it. */
static int find_parent(const struct text_list *layers, char **ret)
{
    const char *slash = strrchr(layers->items[0], '/');
    size_t size = slash ? (size_t)(slash - layers->items[0]) : 0;
    for (size_t i = 0; i < layers->count; i++)
        if (size == 0 || strncmp(layers->items[i], layers->items[0], size + 1) != 0 ||
            strchr(layers->items[i] + size + 1, '/'))
            return -EINVAL;
    *ret = strndup(layers->items[0], size);
    return *ret ? 0 : -ENOMEM;
}

/* Mounts `source` once more at `name`, with its owners mapped, and opens that. */
static int map(const char *source, const char *container_dir, int container_fd, const char *name,
               const struct idmap *idmap, int *ret_fd)
{
    char target[PATH_MAX];
    if (snprintf(target, sizeof(target), "%s/%s", container_dir, name) >= PATH_MAX)
        return -ENAMETOOLONG;
    if (mkdirat(container_fd, name, 0700) < 0)
        return -errno;
    int r = idmap_mount(source, target, idmap);
    return r < 0 ? r : disk_open_directory(AT_FDCWD, target, ret_fd);
}

static int reopen(int parent_fd, const char *name, int *fd)
{
    int mapped = openat(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (mapped < 0)
        return -errno;
    close(*fd);
    *fd = mapped;
    return 0;
}

/* Puts directories with mapped owners in the place of the layers. */
static int map_layers(struct overlay *overlay, const char *container_dir, int container_fd,
                      const struct text_list *layers, const struct userns *userns)
{
    const struct idmap idmap = {.userns_fd = userns->fd, .read_only = true};
    cleanup_free char *parent = NULL;
    cleanup_close int layers_fd = -1;
    int r = find_parent(layers, &parent);
    if (r == 0)
        r = map(parent, container_dir, container_fd, mapped_layers_name, &idmap, &layers_fd);
    for (size_t i = 0; i < overlay->layer_count && r == 0; i++)
        r = reopen(layers_fd, strrchr(layers->items[i], '/') + 1, &overlay->layer_fds[i]);
    return r;
}

/* The same for upper and work, too: on the disk the container's files are owned as it sees them,
 * whichever ids it has. */
static int map_all(struct overlay *overlay, const char *container_dir, int container_fd,
                   const struct text_list *layers, const struct userns *userns)
{
    const struct idmap for_own = {.userns_fd = userns->fd};
    cleanup_close int own_fd = -1;
    int r = map_layers(overlay, container_dir, container_fd, layers, userns);
    if (r == 0)
        r = map(container_dir, container_dir, container_fd, mapped_own_name, &for_own, &own_fd);
    if (r == 0)
        r = reopen(own_fd, upper_name, &overlay->upper_fd);
    return r < 0 ? r : reopen(own_fd, work_name, &overlay->work_fd);
}

/* index and metacopy would tie layers to one container; other settings are the kernel's. Without an
 * upper directory overlayfs wants two layers, of which images may have one. */
static int mount_overlay(const struct overlay *overlay, const char *target)
{
    bool is_writable = overlay->upper_fd >= 0;
    cleanup_buffer struct buffer options;
    buffer_init(&options);
    int r = buffer_append_text(&options, "index=off,metacopy=off,");
    if (r == 0 && is_writable)
        r = buffer_printf(&options, "upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,",
                          overlay->upper_fd, overlay->work_fd);
    if (r == 0)
        r = buffer_append_text(&options, "lowerdir=");
    for (size_t i = overlay->layer_count; r == 0 && i-- > 0;)
        r = buffer_printf(&options, "/proc/self/fd/%d%s", overlay->layer_fds[i], i > 0 ? ":" : "");
    if (r == 0 && !is_writable)
        r = buffer_printf(&options, ":/proc/self/fd/%d", overlay->empty_fd);
    cleanup_free char *text = r == 0 ? buffer_take_text(&options) : NULL;
    if (!text)
        return -ENOMEM;
    unsigned long flags = MS_NODEV | (is_writable ? 0 : MS_RDONLY);
    return mount("consort", target, "overlay", flags, text) < 0 ? -errno : 0;
}

/* What overlayfs makes for itself belongs to whoever mounts it, who must be known in upper. */
static int mount_mapped(const struct overlay *overlay, const char *target,
                        const struct userns *userns)
{
    int r = userns_act_as_root(userns->first_id);
    if (r == 0)
        r = mount_overlay(overlay, target);
    userns_act_as_self();
    return r;
}

static bool is_mount(int directory_fd, const char *name)
{
    struct statx status;
    return statx(directory_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &status) == 0 &&
           (status.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int open_container(const char *container_dir, int *ret_fd)
{
    int fd = open(container_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static void explain(int r, bool is_mapped, struct error *error)
{
    if (is_mapped && (r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP))
        error_hint(error, "a user namespace needs Linux 5.19 and a data directory on a file system "
                          "with idmapped mounts, such as ext4, xfs or btrfs");
    else if (r == -EINVAL)
        error_hint(error,
                   "is the data directory on a file system that overlayfs can write to, such "
                   "as ext4, xfs or btrfs? The kernel's log says more: dmesg | tail");
    else if (r == -ENODEV)
        error_hint(error, "the kernel has no overlayfs: modprobe overlay");
    else if (r == -EPERM)
        error_hint(error, "the daemon must run as root");
}

static int mount_in(int container_fd, const char *container_dir, const char *target,
                    const struct text_list *layers, const struct userns *userns,
                    struct error *error)
{
    struct overlay overlay = {.upper_fd = -1, .work_fd = -1, .empty_fd = -1};
    cleanup_close int mount_fd = -1;
    int r = open_layers(&overlay, layers, error);
    if (r < 0)
        goto out;
    r = open_own(&overlay, container_fd);
    if (r == 0)
        r = disk_open_directory(container_fd, mount_name, &mount_fd);
    if (r == 0 && userns)
        r = map_all(&overlay, container_dir, container_fd, layers, userns);
    if (r == 0)
        r = userns ? mount_mapped(&overlay, target, userns) : mount_overlay(&overlay, target);
    if (r < 0) {
        error_set_errno(error, r, userns ? "overlayfs with mapped owners" : "overlayfs");
        explain(r, userns, error);
    }
out:
    overlay_done(&overlay);
    return r;
}

int rootfs_mount(const char *container_dir, const struct text_list *layers,
                 const struct userns *userns, char **ret_path, struct error *error)
{
    cleanup_close int fd = -1;
    cleanup_free char *target = NULL;
    int r = open_container(container_dir, &fd);
    if (r == 0 && asprintf(&target, "%s/%s", container_dir, mount_name) < 0) {
        target = NULL;
        r = -ENOMEM;
    }
    if (r < 0)
        return error_set_errno(error, r, "mount the root file system in %s", container_dir);
    if (userns)
        r = unmap(container_dir); /* what a daemon left that was killed here */
    if (r < 0)
        error_set_errno(error, r, "unmount its mapped layers");
    else if (!is_mount(fd, mount_name))
        r = mount_in(fd, container_dir, target, layers, userns, error);
    int unmapped = userns ? unmap(container_dir) : 0;
    if (r == 0 && unmapped < 0)
        r = error_set_errno(error, unmapped, "unmount its mapped layers");
    if (r < 0) {
        error_prefix(error, "mount the root file system in %s", container_dir);
        return r;
    }
    *ret_path = take_pointer(target);
    return 0;
}

int rootfs_mount_image(const char *directory, const struct text_list *layers,
                       const struct userns *userns, const char *target, struct error *error)
{
    struct overlay overlay = {.upper_fd = -1, .work_fd = -1, .empty_fd = -1};
    cleanup_close int directory_fd = -1;
    int r = open_layers(&overlay, layers, error);
    if (r < 0)
        goto out;
    r = open_container(directory, &directory_fd);
    if (r == 0)
        r = disk_open_directory(AT_FDCWD, target, &overlay.empty_fd); /* it is covered then */
    if (r == 0 && userns)
        r = unmap(directory);
    if (r == 0 && userns)
        r = map_layers(&overlay, directory, directory_fd, layers, userns);
    if (r == 0)
        r = mount_overlay(&overlay, target);
    if (r < 0) {
        error_set_errno(error, r, userns ? "overlayfs with mapped owners" : "overlayfs");
        explain(r, userns, error);
    }
out:
    overlay_done(&overlay);
    int unmapped = userns ? unmap(directory) : 0;
    return r == 0 && unmapped < 0 ? error_set_errno(error, unmapped, "unmount its mapped layers")
                                  : r;
}

int rootfs_unmount(const char *container_dir, struct error *error)
{
    char target[PATH_MAX];
    int r = unmap(container_dir);
    if (r < 0)
        return error_set_errno(error, r, "unmount the mapped layers in %s", container_dir);
    if (snprintf(target, sizeof(target), "%s/%s", container_dir, mount_name) >= PATH_MAX)
        return error_set_errno(error, -ENAMETOOLONG, "unmount %s/%s", container_dir, mount_name);
    for (int i = 0; i < UNMOUNTS_MAX; i++) {
        /* Lazily: a process that lingers in it, or a reader of its files, shall not hold us up. */
        if (umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            continue;
        if (errno == EINVAL || errno == ENOENT || errno == ENOTDIR)
            return 0; /* nothing is mounted there (any more) */
        break;
    }
    return error_set_errno(error, -errno, "unmount %s", target);
}

int rootfs_remove(const char *container_dir, struct error *error)
{
    int r = rootfs_unmount(container_dir, error);
    if (r < 0)
        return r;
    cleanup_close int fd = -1;
    r = open_container(container_dir, &fd);
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = tree_remove(fd, mount_name);
    if (r == 0)
        r = tree_remove(fd, work_name);
    if (r == 0)
        r = tree_remove(fd, upper_name);
    return r < 0 ? error_set_errno(error, r, "remove the root file system in %s", container_dir)
                 : 0;
}

bool rootfs_mounted(const char *container_dir)
{
    cleanup_close int fd = -1;
    return open_container(container_dir, &fd) == 0 && is_mount(fd, mount_name);
}

/* Undoes the kernel's "\040" for a space, in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* The mount point of a line of mountinfo (proc(5)) if it is an overlay's, within the line. */
static char *overlay_mount_point(char *line)
{
    if (!strstr(line, " - overlay "))
        return NULL;
    char *position = NULL, *field = strtok_r(line, " ", &position);
    for (int i = 1; field && i < 5; i++)
        field = strtok_r(NULL, " ", &position);
    if (field)
        unescape(field);
    return field;
}

int rootfs_list(const char *dir, void (*each)(void *context, const char *container_dir),
                void *context, struct error *error)
{
    /* The kernel shows where symbolic links led. */
    cleanup_free char *real = realpath(dir, NULL);
    if (!real)
        return errno == ENOENT ? 0 : error_set_errno(error, -errno, "list mounts in %s", dir);
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    if (!mounts)
        return error_set_errno(error, -errno, "read /proc/self/mountinfo");
    cleanup_free char *line = NULL;
    size_t capacity = 0, prefix = strlen(real), suffix = strlen(mount_name) + 1;
    while (getline(&line, &capacity, mounts) > 0) {
        char *point = overlay_mount_point(line);
        if (!point || strncmp(point, real, prefix) != 0 || point[prefix] != '/')
            continue;
        char *last = strrchr(point, '/');
        if (strcmp(last + 1, mount_name) != 0 || strlen(point) <= prefix + suffix)
            continue;
        *last = '\0';
        char container_dir[PATH_MAX];
        if (snprintf(container_dir, sizeof(container_dir), "%s%s", dir, point + prefix) < PATH_MAX)
            each(context, container_dir);
    }
    fclose(mounts);
    return 0;
}
