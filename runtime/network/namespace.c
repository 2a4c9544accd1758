#include "runtime/network/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
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

int namespace_pin(const char *path, bool has_ipv6)
{
    const struct pin context = {.path = path, .has_ipv6 = has_ipv6};
    return namespace_run(-1, pin_this, &context);
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
