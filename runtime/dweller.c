#include "runtime/dweller.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The child, with all signals blocked, for their handlers are the daemon's. It has one thread of
 * many, so that only system calls are safe. */
static _Noreturn void dwell(int fd, int userns_fd, int flags)
{
    int result = 0;
    char end;
    if (userns_fd >= 0 && setns(userns_fd, CLONE_NEWUSER) < 0)
        result = -errno;
    if (result == 0 && unshare(flags) < 0)
        result = -errno;
    /* Nothing else is kept open: least of all another dweller's end. */
    if (dup2(fd, STDIN_FILENO) == STDIN_FILENO && close_range(STDOUT_FILENO, ~0U, 0) == 0 &&
        write(STDIN_FILENO, &result, sizeof(result)) == sizeof(result))
        while (read(STDIN_FILENO, &end, sizeof(end)) < 0 && errno == EINTR)
            continue;
    _exit(0);
}

int dweller_start(int userns_fd, int flags, struct dweller *ret)
{
    int ends[2];
    sigset_t all, before;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        dwell(ends[1], userns_fd, flags);
    int result = pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    struct dweller dweller = {.pid = pid, .fd = ends[0]};
    if (pid < 0) {
        close(dweller.fd);
        return result;
    }
    ssize_t got;
    do
        got = read(dweller.fd, &result, sizeof(result));
    while (got < 0 && errno == EINTR);
    if (got != sizeof(result))
        result = -EPIPE;
    if (result < 0)
        dweller_end(&dweller);
    else
        *ret = dweller;
    return result;
}

int dweller_pin(const struct dweller *dweller, const char *name, const char *path)
{
    char from[64];
    snprintf(from, sizeof(from), "/proc/%d/ns/%s", (int)dweller->pid, name);
    cleanup_close int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0400);
    if (fd < 0)
        return -errno;
    return mount(from, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

void dweller_end(struct dweller *dweller)
{
    close(dweller->fd);
    while (waitpid(dweller->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}
