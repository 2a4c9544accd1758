#include "runtime/conmon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/bounds.h"
#include "runtime/cgroup.h"
#include "runtime/own_mounts.h"
#include "runtime/process.h"
#include "runtime/secrets.h"
#include "runtime/tree.h"

enum {
    SYNC_BYTES_MAX = 64 * 1024,
    EXIT_POLL_USEC = 5 * 1000,
    CONMON_WORDS = 40, /* of its command line, with the NULL */
};

static const char no_process_hint[] =
    "no process can be made: see how many there are (ps -eLf | wc -l), kernel.pid_max, "
    "kernel.threads-max and the daemon's own limit (systemctl show -p TasksMax consort)";

/* Why a start failed, in words that say what to do about it. */
static int explain(struct error *error, int code, const char *id, const char *message)
{
    size_t length = strlen(message);
    while (length > 0 && strchr("\r\n ", message[length - 1]))
        length--;
    error_set(error, code, "container %s: %.*s", id, (int)length, message);
    if (strstr(message, "hugetlb"))
        error_hint(error, "this machine's cgroup v1 lacks the hugetlb hierarchy that crun wants: "
                          "mkdir -p /sys/fs/cgroup/hugetlb && "
                          "mount -t cgroup -o hugetlb hugetlb /sys/fs/cgroup/hugetlb");
    else if (strstr(message, "mount_setattr"))
        error_hint(error, "in a user namespace a volume must be on a file system with idmapped "
                          "mounts, such as ext4, xfs or btrfs");
    else if (strstr(message, "Resource temporarily unavailable"))
        error_hint(error, "%s", no_process_hint);
    return code;
}

/* A program could not be run at all. */
static int not_run(struct error *error, int code, const char *id, const char *program)
{
    error_set_errno(error, code, "container %s: cannot run %s", id, program);
    if (code == -EAGAIN)
        error_hint(error, "%s", no_process_hint);
    return code;
}

static int hangs(const struct runtime_settings *settings, const char *id, const char *verb,
                 struct error *error)
{
    error_set(error, -ETIMEDOUT, "container %s: %s %s did not end within %d s and was killed", id,
              settings->oci_runtime, verb, settings->launch_timeout_ms / 1000);
    error_hint(error, "is the disk or the machine overloaded? See: dmesg | tail");
    return -ETIMEDOUT;
}

static int run_oci(const struct runtime_settings *settings, const char *verb, const char *option,
                   const char *id, struct error *error)
{
    char root[PATH_BYTES];
    path_format(root, sizeof(root), "--root=%s/oci", settings->run_dir);
    const char *argv[6] = {sealed_program_path(&settings->oci_program), root, verb};
    size_t count = 3;
    if (option)
        argv[count++] = option;
    argv[count++] = id;
    argv[count] = NULL;
    cleanup_buffer struct buffer output;
    buffer_init(&output);
    int code = process_run(argv, settings->launch_timeout_ms, &output);
    if (code == 0)
        return 0;
    if (code == -ETIMEDOUT)
        return hangs(settings, id, verb, error);
    if (code < 0)
        return not_run(error, code, id, settings->oci_runtime);
    cleanup_free char *text = buffer_take_text(&output);
    return explain(error, -EIO, id, text ? text : "");
}

/* Does what `crun start` does, without a process for it: the container's first process waits for a
 * byte in a FIFO, and with the FIFO gone counts as running. Fails, with nothing done, if nobody
 * reads there: it may be that another OCI runtime waits in another way. */
static int open_gate(const struct runtime_settings *settings, const char *id)
{
    struct stat status;
    struct path gate = path_oci(settings, id, "exec.fifo");
    cleanup_close int fd = open(gate.text, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISFIFO(status.st_mode))
        return -ENOTSUP;
    if (unlink(gate.text) < 0)
        return -errno;
    return write(fd, "", 1) == 1 ? 0 : -EIO;
}

int conmon_start(const struct runtime_settings *settings, const char *id, struct error *error)
{
    return open_gate(settings, id) == 0 ? 0 : run_oci(settings, "start", NULL, id, error);
}

/* Whether that descriptor of the process is the FIFO, which is no longer in its folder. Its link
 * alone does not say so, for the process could have a file of that name: but not on our tmpfs. */
static bool is_gate(int fds, const char *name, const char *gate, dev_t device)
{
    char target[PATH_BYTES];
    struct stat status;
    ssize_t size = readlinkat(fds, name, target, sizeof(target) - 1);
    size_t suffix = strlen(gate);
    if (size < 0 || (size_t)size < suffix)
        return false;
    target[size] = '\0';
    return strcmp(target + size - suffix, gate) == 0 && fstatat(fds, name, &status, 0) == 0 &&
           S_ISFIFO(status.st_mode) && status.st_dev == device;
}

void conmon_start_again(const struct runtime_settings *settings, const char *id, pid_t pid)
{
    char path[64], gate[RUNTIME_ID_BYTES_MAX + 64];
    struct path directory = path_oci(settings, id, NULL);
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    snprintf(gate, sizeof(gate), "/%s/exec.fifo (deleted)", id);
    DIR *fds = stat(directory.text, &status) == 0 ? opendir(path) : NULL;
    if (!fds)
        return;
    for (struct dirent *entry; (entry = readdir(fds)) != NULL;) {
        if (!is_gate(dirfd(fds), entry->d_name, gate, status.st_dev))
            continue;
        cleanup_close int fd = openat(dirfd(fds), entry->d_name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && write(fd, "", 1) == 1)
            log_notice("container %s: was about to run when its daemon ended; it runs now", id);
    }
    closedir(fds);
}

int conmon_answer_parse(const char *id, const char *text, pid_t *ret_pid, struct error *error)
{
    json_t *root = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    json_int_t pid = json_integer_value(json_object_get(root, "data"));
    const char *message = json_string_value(json_object_get(root, "message"));
    int result = 0;
    if (pid > 0 && pid <= INT32_MAX)
        *ret_pid = (pid_t)pid;
    else
        result = explain(error, -EIO, id,
                         message && *message ? message : "conmon could not create the container");
    json_decref(root);
    return result;
}

/* Reads one line from conmon: what it has to say about the creation. */
static int read_sync(int fd, int timeout_ms, char *ret, size_t capacity)
{
    size_t size = 0;
    while (size < capacity - 1) {
        struct pollfd polls = {.fd = fd, .events = POLLIN};
        int ready = poll(&polls, 1, timeout_ms);
        if (ready == 0)
            return -ETIMEDOUT;
        ssize_t got = ready < 0 ? -1 : read(fd, ret + size, capacity - 1 - size);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        if (got > 0)
            size += (size_t)got;
        if (size > 0 && ret[size - 1] == '\n')
            break;
    }
    ret[size] = '\0';
    return size > 0 ? 0 : -EPIPE;
}

/* The longest command line, for it is built in one place; all paths are made by the caller. */
static int spawn_conmon(const struct runtime_settings *settings, const char *id, const char *name,
                        const struct conmon_options *options, int sync_fd)
{
    struct path bundle = path_run(settings, id, NULL);
    struct path pid_file = path_run(settings, id, "pid");
    struct path conmon_pid_file = path_run(settings, id, "conmon.pid");
    struct path persist = path_run(settings, id, "persist");
    struct path log_path = path_log(settings, id);
    char exits[PATH_BYTES], sockets[PATH_BYTES], root[PATH_BYTES], log[PATH_BYTES], log_size[32];
    /* Found by its number also by the child of conmon that becomes the OCI runtime. */
    int program_fd = sealed_program_descriptor(&settings->oci_program);
    char program_path[32];
    snprintf(program_path, sizeof(program_path), "/proc/self/fd/%d", PROCESS_PASSED_FD + 1);
    path_format(exits, sizeof(exits), "%s/exits", settings->run_dir);
    path_format(sockets, sizeof(sockets), "%s/sockets", settings->run_dir);
    path_format(root, sizeof(root), "--root=%s/oci", settings->run_dir);
    path_format(log, sizeof(log), "k8s-file:%s", log_path.text);
    snprintf(log_size, sizeof(log_size), "%" PRIu64, options->log_bytes_max);
    const char *argv[CONMON_WORDS] = {settings->conmon,
                                      "--api-version",
                                      "1",
                                      "-c",
                                      id,
                                      "-u",
                                      id,
                                      "-n",
                                      name,
                                      "-r",
                                      program_fd < 0 ? settings->oci_runtime : program_path,
                                      "-b",
                                      bundle.text,
                                      "-p",
                                      pid_file.text,
                                      "--conmon-pidfile",
                                      conmon_pid_file.text,
                                      "--exit-dir",
                                      exits,
                                      "--persist-dir",
                                      persist.text,
                                      "--log-path",
                                      log,
                                      "--log-size-max",
                                      log_size,
                                      "--socket-dir-path",
                                      sockets,
                                      "--full-attach",
                                      "--no-sync-log",
                                      "--runtime-arg",
                                      root};
    size_t count = 0;
    while (argv[count])
        count++;
    if (options->tty)
        argv[count++] = "--terminal";
    if (options->stdin_open) { /* also after somebody who had attached has gone */
        argv[count++] = "--stdin";
        argv[count++] = "--leave-stdin-open";
    }
    /* In the bundle, for conmon tells of a kill for want of memory by a file in its own directory.
     */
    const int passed[] = {sync_fd, program_fd};
    return process_run_with(argv, bundle.text, "_OCI_SYNCPIPE", passed, program_fd < 0 ? 1 : 2,
                            settings->launch_timeout_ms);
}

int conmon_create(const struct runtime_settings *settings, const char *id, const char *name,
                  const struct conmon_options *options, pid_t *ret_pid, struct error *error)
{
    struct path persist = path_run(settings, id, "persist");
    int result = file_make_directories(persist.text, 0700);
    int ends[2] = {-1, -1};
    if (result == 0 && pipe2(ends, O_CLOEXEC) < 0)
        result = -errno;
    if (result < 0)
        return error_set_errno(error, result, "container %s: cannot prepare for conmon", id);
    cleanup_close int read_end = ends[0];
    cleanup_close int write_end = ends[1];
    result = spawn_conmon(settings, id, name, options, write_end);
    close(take_fd(write_end));
    if (result < 0)
        return not_run(error, result, id, settings->conmon);
    if (result > 0) {
        error_set(error, -EIO, "container %s: conmon ended with exit code %d", id, result);
        error_hint(error, "it says why in the journal (journalctl -t conmon); did it find no room "
                          "for another process?");
        return -EIO;
    }
    cleanup_free char *text = malloc(SYNC_BYTES_MAX);
    if (!text)
        return -ENOMEM;
    result = read_sync(read_end, settings->launch_timeout_ms, text, SYNC_BYTES_MAX);
    if (result == -ETIMEDOUT)
        return hangs(settings, id, "create", error);
    if (result == -EPIPE) {
        error_set(error, -EIO, "container %s: %s ended without creating it, and did not say why",
                  id, settings->oci_runtime);
        error_hint(error, "does it work? Try: %s --version", settings->oci_runtime);
        return -EIO;
    }
    if (result < 0)
        return error_set_errno(error, result, "container %s: conmon did not answer", id);
    return conmon_answer_parse(id, text, ret_pid, error);
}

/* The monitor of that container, if it lives: its pid file could be old, so its command line must
 * name the bundle. */
static pid_t find_conmon(const struct runtime_settings *settings, const char *id)
{
    struct path pid_file = path_run(settings, id, "conmon.pid");
    uint64_t pid;
    if (file_read_u64(pid_file.text, &pid) < 0 || pid == 0 || pid > INT32_MAX)
        return 0;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/cmdline", pid);
    cleanup_buffer struct buffer command;
    buffer_init(&command);
    if (file_read(path, SYNC_BYTES_MAX, &command) < 0 || command.size == 0)
        return 0;
    return memmem(command.bytes, command.size, pid_file.text, strlen(pid_file.text)) ? (pid_t)pid
                                                                                     : 0;
}

/* conmon ends by itself once its container has; only one that is stuck is killed. */
static void await_conmon(const struct runtime_settings *settings, const char *id)
{
    pid_t pid = 0;
    for (int waited = 0; waited < RUNTIME_EXIT_FILE_WAIT_MS * 1000; waited += EXIT_POLL_USEC) {
        pid = find_conmon(settings, id);
        if (pid == 0)
            return;
        usleep(EXIT_POLL_USEC);
    }
    log_warning("container %s: conmon does not end; killing it", id);
    kill(pid, SIGKILL);
}

int conmon_delete(const struct runtime_settings *settings, const char *id, struct error *error)
{
    int result = 0;
    struct path oci = path_oci(settings, id, NULL);
    if (access(oci.text, F_OK) == 0)
        result = run_oci(settings, "delete", "--force", id, error);
    int left = cgroup_remove(settings->instance, id);
    if (left < 0)
        result = error_set_errno(error, left, "container %s: cannot remove its control group", id);
    await_conmon(settings, id);
    struct path exit_file = path_exit(settings, id);
    unlink(exit_file.text);
    struct path secrets = path_run(settings, id, "secrets");
    secrets_unmount(secrets.text);
    struct path bundle = path_run(settings, id, NULL);
    own_mounts_undo(bundle.text);
    int removed = tree_remove_path(bundle.text);
    if (removed < 0 && result == 0)
        result = error_set_errno(error, removed, "container %s: cannot remove %s", id, bundle.text);
    return result;
}

void conmon_read_exit(const struct runtime_settings *settings, const char *id,
                      struct conmon_exit *ret)
{
    struct path exit_file = path_exit(settings, id);
    struct path oom_file = path_run(settings, id, "oom");
    uint64_t code;
    int result = file_read_u64(exit_file.text, &code);
    for (int waited = 0; result < 0 && waited < RUNTIME_EXIT_FILE_WAIT_MS * 1000;
         waited += EXIT_POLL_USEC) {
        bool lives = find_conmon(settings, id) != 0;
        usleep(lives ? EXIT_POLL_USEC : 0);
        result = file_read_u64(exit_file.text, &code);
        if (!lives)
            break;
    }
    *ret = (struct conmon_exit){
        .code = result == 0 && code <= 255 ? (int)code : -1,
        .oom_killed = access(oom_file.text, F_OK) == 0,
    };
}
