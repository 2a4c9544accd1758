#include "runtime/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/file.h"

const char *const process_environment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=C",
    NULL,
};

int process_parse_stat(const char *text, char *ret_state, uint64_t *ret_fields, int count)
{
    const char *at = strrchr(text, ')'); /* the name before it may hold anything */
    if (!at || at[1] != ' ' || !at[2])
        return -EINVAL;
    *ret_state = at[2];
    at += 2;
    for (int i = 0; i < count; i++) {
        at = strchr(at, ' ');
        if (!at)
            return -EINVAL;
        ret_fields[i] = strtoull(++at, NULL, 10);
    }
    return 0;
}

/* The state and start time of a process: -ESRCH if there is no such one, or what reading failed
 * with. */
static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_start_ticks)
{
    char path[64], text[PROCESS_STAT_BYTES];
    uint64_t fields[PROCESS_STAT_START + 1];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int result = file_read_text(path, text, sizeof(text));
    if (result < 0)
        return result == -ENOENT ? -ESRCH : result;
    if (process_parse_stat(text, ret_state, fields, PROCESS_STAT_START + 1) < 0)
        return -ESRCH;
    *ret_start_ticks = fields[PROCESS_STAT_START];
    return 0;
}

static int read_boot_id(char ret[BOOT_ID_BYTES])
{
    return file_read_text("/proc/sys/kernel/random/boot_id", ret, BOOT_ID_BYTES);
}

int process_identify(pid_t pid, struct process *ret)
{
    struct process process = {.pid = pid};
    char state;
    int result = read_stat(pid, &state, &process.start_ticks);
    if (result < 0)
        return result;
    result = read_boot_id(process.boot_id);
    if (result < 0)
        return result;
    *ret = process;
    return 0;
}

int process_check(const struct process *process)
{
    if (process->pid <= 0)
        return -ESRCH;
    char boot_id[BOOT_ID_BYTES];
    int result = read_boot_id(boot_id);
    if (result < 0)
        return result;
    if (strcmp(boot_id, process->boot_id) != 0)
        return -ESRCH;
    char state;
    uint64_t start_ticks;
    result = read_stat(process->pid, &state, &start_ticks);
    if (result < 0)
        return result;
    return start_ticks == process->start_ticks && state != 'Z' && state != 'X' ? 0 : -ESRCH;
}

int process_open(const struct process *process, int *ret_pidfd)
{
    if (process->pid <= 0)
        return -ESRCH;
    cleanup_close int fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (fd < 0)
        return -errno;
    /* Checked after opening: the descriptor cannot change whom it means any more. */
    int result = process_check(process);
    if (result < 0)
        return result;
    *ret_pidfd = take_fd(fd);
    return 0;
}

int64_t process_age_ms(const struct process *process)
{
    char boot_id[BOOT_ID_BYTES];
    if (read_boot_id(boot_id) < 0 || strcmp(boot_id, process->boot_id) != 0)
        return -1;
    int64_t ticks_a_second = sysconf(_SC_CLK_TCK);
    int64_t age_ms = clock_boot_ms() - (int64_t)(process->start_ticks * 1000) / ticks_a_second;
    return age_ms > 0 ? age_ms : 0;
}

int process_signal(const struct process *process, int signal)
{
    cleanup_close int fd = -1;
    int result = process_open(process, &fd);
    if (result < 0)
        return result;
    return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* What a child gets beyond its arguments. */
struct inheritance {
    int output_fd;  /* its standard output and error; -1: /dev/null */
    const int *fds; /* passed on as PROCESS_PASSED_FD and following */
    size_t fd_count;
    const char *const *environment;
    const char *directory; /* NULL: the daemon's */
};

static int spawn(const char *const *argv, const struct inheritance *inheritance, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    if (inheritance->directory)
        posix_spawn_file_actions_addchdir_np(&actions, inheritance->directory);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (inheritance->output_fd >= 0)
        posix_spawn_file_actions_adddup2(&actions, inheritance->output_fd, STDOUT_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    for (size_t i = 0; i < inheritance->fd_count; i++)
        posix_spawn_file_actions_adddup2(&actions, inheritance->fds[i], PROCESS_PASSED_FD + (int)i);
    int result = posix_spawnp(ret, argv[0], &actions, &attributes, (char *const *)argv,
                              (char *const *)inheritance->environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -result;
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads until the child has closed its output. A daemon that it left behind may keep the pipe open,
 * so the child's own end, seen by its pidfd, counts as well. */
static int collect(int pipe_fd, int pidfd, int64_t deadline_ms, struct buffer *output)
{
    for (;;) {
        int64_t left_ms = deadline_ms - monotonic_ms();
        if (left_ms <= 0)
            return -ETIMEDOUT;
        struct pollfd polls[2] = {{.fd = pipe_fd, .events = POLLIN},
                                  {.fd = pidfd, .events = POLLIN}};
        int ready = poll(polls, 2, (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        if (polls[0].revents == 0)
            return 0; /* it has ended, and all that it said is read */
        char chunk[4096];
        ssize_t got = read(pipe_fd, chunk, sizeof(chunk));
        if (got <= 0)
            return 0;
        if (output && output->size < PROCESS_OUTPUT_BYTES_MAX)
            buffer_append(output, chunk, (size_t)got);
    }
}

static int wait_until(int pidfd, int64_t deadline_ms)
{
    for (;;) {
        int64_t left_ms = deadline_ms - monotonic_ms();
        if (left_ms <= 0)
            return -ETIMEDOUT;
        struct pollfd polls = {.fd = pidfd, .events = POLLIN};
        if (poll(&polls, 1, (int)left_ms) > 0)
            return 0;
    }
}

/* Waits for the child as long as it may take, kills it after that, and tells how it ended. */
static int wait_for(pid_t pid, int pidfd, int result, int64_t deadline_ms)
{
    if (result == 0)
        result = wait_until(pidfd, deadline_ms);
    if (result < 0)
        kill(pid, SIGKILL);
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (result < 0)
        return result;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_run(const char *const *argv, int timeout_ms, struct buffer *output)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    cleanup_close int read_end = ends[0];
    cleanup_close int write_end = ends[1];
    struct inheritance inheritance = {.output_fd = write_end, .environment = process_environment};
    pid_t pid;
    int result = spawn(argv, &inheritance, &pid);
    if (result < 0)
        return result;
    close(take_fd(write_end));
    int64_t deadline_ms = monotonic_ms() + timeout_ms;
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    result = pidfd < 0 ? -errno : collect(read_end, pidfd, deadline_ms, output);
    return wait_for(pid, pidfd, result, deadline_ms);
}

int process_run_with(const char *const *argv, const char *directory, const char *name,
                     const int *fds, size_t fd_count, int timeout_ms)
{
    char variable[64];
    snprintf(variable, sizeof(variable), "%s=%d", name, PROCESS_PASSED_FD);
    const char *environment[8] = {variable};
    for (size_t i = 0; process_environment[i]; i++)
        environment[i + 1] = process_environment[i];
    struct inheritance inheritance = {.output_fd = -1,
                                      .fds = fds,
                                      .fd_count = fd_count,
                                      .environment = environment,
                                      .directory = directory};
    pid_t pid;
    int result = spawn(argv, &inheritance, &pid);
    if (result < 0)
        return result;
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return wait_for(pid, pidfd, pidfd < 0 ? -errno : 0, monotonic_ms() + timeout_ms);
}
