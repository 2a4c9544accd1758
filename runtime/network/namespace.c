#include "runtime/network/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/dweller.h"
#include "runtime/network/ipv6.h"

int namespace_run(int netns_fd, int (*function)(const void *context), const void *context)
{
    cleanup_close int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return -errno;
    int entered = netns_fd < 0 ? unshare(CLONE_NEWNET) : setns(netns_fd, CLONE_NEWNET);
    if (entered < 0)
        return -errno;
    int result = function(context);
    if (setns(home, CLONE_NEWNET) < 0) { /* all else would be done in the wrong network */
        log_error("network: cannot return from a container's network namespace: errno %d", errno);
        abort();
    }
    return result;
}

struct pin {
    const char *path;
    bool has_ipv6;
};

static int pin_this(const void *context)
{
    const struct pin *pin = context;
    const char *path = pin->path;
    ipv6_prepare_namespace(pin->has_ipv6);
    cleanup_close int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0400);
    if (fd < 0)
        return -errno;
    return mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int prepare_this(const void *context)
{
    ipv6_prepare_namespace(*(const bool *)context);
    return 0;
}

/* In a process of its own, for a thread can't enter a user namespace. */
static int pin_owned(const char *path, bool has_ipv6, int userns_fd)
{
    struct dweller dweller;
    int result = dweller_start(userns_fd, CLONE_NEWNET, &dweller);
    if (result < 0)
        return result;
    result = dweller_pin(&dweller, "net", path);
    dweller_end(&dweller);
    cleanup_close int fd = -1;
    if (result == 0)
        result = namespace_open(path, &fd);
    return result < 0 ? result : namespace_run(fd, prepare_this, &has_ipv6);
}

int namespace_pin(const char *path, bool has_ipv6, int userns_fd)
{
    const struct pin context = {.path = path, .has_ipv6 = has_ipv6};
    return userns_fd < 0 ? namespace_run(-1, pin_this, &context)
                         : pin_owned(path, has_ipv6, userns_fd);
}

bool namespace_is_owned(int netns_fd, int userns_fd)
{
    struct stat owner, expected;
    cleanup_close int fd = ioctl(netns_fd, NS_GET_USERNS);
    return userns_fd < 0 || (fd >= 0 && fstat(fd, &owner) == 0 &&
                             fstat(userns_fd, &expected) == 0 && owner.st_ino == expected.st_ino);
}

int namespace_open(const char *netns_path, int *ret_fd)
{
    cleanup_close int fd = open(netns_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat status, ours;
    if (fstat(fd, &status) < 0 || stat("/proc/thread-self/ns/net", &ours) < 0)
        return -errno;
    if (status.st_dev != ours.st_dev) /* all namespaces are on the kernel's nsfs */
        return -ENOENT;
    *ret_fd = take_fd(fd);
    return 0;
}
