#include "runtime/strays.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/bounds.h"
#include "runtime/container_spec.h"

enum {
    COMMAND_BYTES_MAX = 64 * 1024,
};

struct hunt {
    const struct runtime_settings *settings;
    bool (*is_kept)(void *context, const char *id);
    void *context;
    char root[PATH_BYTES]; /* the argument by which ours are known: "--root=RUN/oci" */
};

/* The argument after the given one, or NULL. Arguments end with a NUL each. */
static const char *argument_after(const struct buffer *command, const char *option)
{
    const char *at = (const char *)command->bytes, *end = at + command->size;
    while (at < end) {
        const char *next = at + strlen(at) + 1;
        if (strcmp(at, option) == 0)
            return next < end ? next : NULL;
        at = next;
    }
    return NULL;
}

static bool has_argument(const struct buffer *command, const char *argument)
{
    const char *at = (const char *)command->bytes, *end = at + command->size;
    for (; at < end; at += strlen(at) + 1)
        if (strcmp(at, argument) == 0)
            return true;
    return false;
}

static int read_command(pid_t pid, struct buffer *ret)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    int result = file_read(path, COMMAND_BYTES_MAX, ret);
    return result < 0 ? result : buffer_append(ret, "", 1);
}

/* Another peer on this machine may have a directory of the same name, in a mount namespace of its
 * own. */
static bool sees_our_directory(pid_t pid, const char *run_dir)
{
    char path[PATH_BYTES + 64];
    struct stat theirs, ours;
    snprintf(path, sizeof(path), "/proc/%d/root%s", (int)pid, run_dir);
    return stat(path, &theirs) == 0 && stat(run_dir, &ours) == 0 && theirs.st_dev == ours.st_dev &&
           theirs.st_ino == ours.st_ino;
}

static bool is_stray(const struct hunt *hunt, pid_t pid)
{
    cleanup_buffer struct buffer command;
    buffer_init(&command);
    if (read_command(pid, &command) < 0 || !has_argument(&command, hunt->root))
        return false;
    /* Only a monitor's command line has this option. */
    const char *id =
        argument_after(&command, "--conmon-pidfile") ? argument_after(&command, "-c") : NULL;
    if (id && hunt->is_kept(hunt->context, id))
        return false;
    return sees_our_directory(pid, hunt->settings->run_dir);
}

static void end(const struct hunt *hunt, pid_t pid)
{
    cleanup_close int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 || !is_stray(hunt, pid)) /* looked at after opening: it means nobody else now */
        return;
    log_notice("process %d: a monitor or an OCI runtime that a daemon left on its way; ending it",
               (int)pid);
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
        return;
    struct pollfd polls = {.fd = fd, .events = POLLIN};
    while (poll(&polls, 1, RUNTIME_EXIT_FILE_WAIT_MS) < 0 && errno == EINTR)
        continue;
}

void strays_end(const struct runtime_settings *settings,
                bool (*is_kept)(void *context, const char *id), void *context)
{
    struct hunt hunt = {.settings = settings, .is_kept = is_kept, .context = context};
    path_format(hunt.root, sizeof(hunt.root), "--root=%s/oci", settings->run_dir);
    DIR *directory = opendir("/proc");
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char *rest;
        long pid = strtol(entry->d_name, &rest, 10);
        if (*rest == '\0' && pid > 1 && pid <= INT32_MAX && pid != getpid() &&
            is_stray(&hunt, (pid_t)pid))
            end(&hunt, (pid_t)pid);
    }
    closedir(directory);
}
