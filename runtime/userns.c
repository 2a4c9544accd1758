#include "runtime/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/dweller.h"
#include "runtime/image/disk.h"
#include "runtime/network/namespace.h"
#include "runtime/tree.h"

const struct userns_pool userns_pool_default = {.first = 0x70000000, .range_count = 0xffe};

/* ---- Which ids ---- */

int userns_pool_parse(const char *text, struct userns_pool *ret)
{
    char *end;
    errno = 0;
    unsigned long long first = strtoull(text, &end, 10);
    if (end == text || *end != ':' || errno != 0 || strchr(text, '-'))
        return -EINVAL;
    const char *number = end + 1;
    unsigned long long count = strtoull(number, &end, 10);
    if (end == number || *end || errno != 0 || first < USERNS_IDS || count < USERNS_IDS ||
        first > UINT32_MAX || count > UINT32_MAX - first)
        return -EINVAL;
    *ret = (struct userns_pool){.first = (uint32_t)first,
                                .range_count = (uint32_t)(count / USERNS_IDS)};
    return 0;
}

static void take_range(const struct userns_pool *pool, struct userns_taken *taken, int64_t offset)
{
    if (offset >= 0 && offset / USERNS_IDS < pool->range_count)
        taken->bits[offset / USERNS_IDS / 64] |= UINT64_C(1) << (offset / USERNS_IDS % 64);
}

void userns_take(const struct userns_pool *pool, struct userns_taken *taken, uint32_t first_id)
{
    int64_t offset = (int64_t)first_id - pool->first;
    take_range(pool, taken, offset);
    take_range(pool, taken, offset + USERNS_IDS - 1); /* another one, if the pool was moved since */
}

int userns_choose(const struct userns_pool *pool, const struct userns_taken *taken,
                  uint32_t *ret_first_id)
{
    for (uint32_t i = 0; i < pool->range_count; i++) {
        if (taken->bits[i / 64] >> (i % 64) & 1)
            continue;
        *ret_first_id = pool->first + i * USERNS_IDS;
        return 0;
    }
    return -ENOSPC;
}

uint32_t userns_id_inside(uint32_t first_id, uint32_t id)
{
    return first_id != 0 && id >= first_id && id - first_id < USERNS_IDS ? id - first_id : id;
}

/* ---- The namespace ---- */

static void name_paths(const char *directory, uint32_t first_id, struct userns *ret)
{
    *ret = (struct userns){.first_id = first_id, .fd = -1};
    path_format(ret->path, sizeof(ret->path), "%s/%" PRIu32, directory, first_id);
    path_format(ret->root, sizeof(ret->root), "%s/root", directory);
}

void userns_close(struct userns *userns)
{
    cleanup_close_fd(&userns->fd);
}

int userns_open(const char *directory, uint32_t first_id, struct userns *ret)
{
    struct userns userns;
    name_paths(directory, first_id, &userns);
    int result = namespace_open(userns.path, &userns.fd);
    if (result == 0)
        *ret = userns;
    return result;
}

/* The directory above `directory` that strangers can't pass through, or NULL. In place. */
static const char *find_barrier(char *directory)
{
    struct stat status;
    for (char *slash; (slash = strrchr(directory, '/')) && slash != directory;) {
        *slash = '\0';
        if (stat(directory, &status) == 0 && !(status.st_mode & S_IXOTH))
            return directory;
    }
    return NULL;
}

static int write_maps(pid_t pid, uint32_t first_id)
{
    static const char *const names[] = {"uid_map", "gid_map"};
    char path[64], map[64];
    snprintf(map, sizeof(map), "0 %" PRIu32 " %d\n", first_id, USERNS_IDS);
    int result = 0;
    for (size_t i = 0; i < array_count(names) && result == 0; i++) {
        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, names[i]);
        result = file_write_setting(path, map);
    }
    return result;
}

/* Pinned last, so that what is pinned has its ids. */
static int pin(const struct userns *userns)
{
    struct dweller dweller;
    int result = dweller_start(-1, CLONE_NEWUSER, &dweller);
    if (result < 0)
        return result;
    result = write_maps(dweller.pid, userns->first_id);
    if (result == 0)
        result = dweller_pin(&dweller, "user", userns->path);
    dweller_end(&dweller);
    return result;
}

static int make(const char *directory, struct userns *userns)
{
    int result = userns_remove(directory);
    if (result == 0 && (mkdir(directory, USERNS_DIRECTORY_MODE) < 0 ||
                        chmod(directory, USERNS_DIRECTORY_MODE) < 0))
        result = -errno;
    if (result == 0)
        result = pin(userns);
    return result < 0 ? result : namespace_open(userns->path, &userns->fd);
}

int userns_make(const char *directory, uint32_t first_id, struct userns *ret, struct error *error)
{
    struct userns userns;
    cleanup_free char *above = strdup(directory);
    const char *barrier = above ? find_barrier(above) : NULL;
    if (barrier) {
        error_set(error, -EACCES, "user namespace: others can't pass through %s", barrier);
        error_hint(error, "its root is such a stranger: chmod o+x %s", barrier);
        return -EACCES;
    }
    name_paths(directory, first_id, &userns);
    int result = make(directory, &userns);
    if (result < 0) {
        error_set_errno(error, result, "user namespace: cannot make one at %s", directory);
        if (result == -ENOSPC || result == -EINVAL || result == -EPERM)
            error_hint(error, "does the kernel allow any? See: sysctl user.max_user_namespaces");
        return result;
    }
    *ret = userns;
    return 0;
}

int userns_show_root(const struct userns *userns, const char *rootfs, struct error *error)
{
    umount2(userns->root, MNT_DETACH | UMOUNT_NOFOLLOW); /* of an earlier start */
    if ((mkdir(userns->root, USERNS_DIRECTORY_MODE) < 0 && errno != EEXIST) ||
        mount(rootfs, userns->root, NULL, MS_BIND, NULL) < 0)
        return error_set_errno(error, -errno, "user namespace: cannot mount %s", userns->root);
    return 0;
}

static int unmount_entry(void *context, const char *name)
{
    char path[PATH_BYTES];
    path_format(path, sizeof(path), "%s/%s", (const char *)context, name);
    return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL ? -errno : 0;
}

int userns_remove(const char *directory)
{
    cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int result = disk_each_entry(fd, unmount_entry, (void *)directory);
    return result < 0 ? result : tree_remove_path(directory);
}

/* ---- What crosses its border ---- */

void userns_open_streams(pid_t pid)
{
    struct stat status;
    for (int i = 0; i <= STDERR_FILENO; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, i);
        if (stat(path, &status) == 0 && S_ISFIFO(status.st_mode) && chmod(path, 0666) < 0)
            log_warning("user namespace: process %d can't open its standard stream %d by name: %s",
                        (int)pid, i, strerror(errno));
    }
}

/* Another owner for files takes the capabilities over files away; they are for what the thread may
 * reach, which stays as it is. By the system calls, for the C library would change all threads. */
int userns_act_as_root(uint32_t first_id)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    setfsgid(first_id);
    setfsuid(first_id);
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

void userns_act_as_self(void)
{
    setfsuid(geteuid());
    setfsgid(getegid());
}
