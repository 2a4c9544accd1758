#include "killer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Arguments of close() that nobody else calls it with. */
#define MARK   0x6d61726bul
#define UNMARK 0x756e6d6bul

enum {
    NO_PATH = -1,
    SYSCALL_STOP = SIGTRAP | 0x80,
};

/* A system call that changes something outside of the process. */
struct call {
    long number;
    const char *name;
    int path_argument;
};

/* Names that not every architecture has. */
static const struct call calls[] = {
#ifdef SYS_open
    {SYS_open, "open", 0},
    {SYS_creat, "creat", 0},
    {SYS_rename, "rename", 1},
    {SYS_mkdir, "mkdir", 0},
    {SYS_rmdir, "rmdir", 0},
    {SYS_unlink, "unlink", 0},
    {SYS_link, "link", 1},
    {SYS_symlink, "symlink", 1},
    {SYS_mknod, "mknod", 0},
    {SYS_chmod, "chmod", 0},
    {SYS_chown, "chown", 0},
    {SYS_lchown, "lchown", 0},
    {SYS_fork, "fork", NO_PATH},
    {SYS_vfork, "vfork", NO_PATH},
    {SYS_renameat, "renameat", 3},
#endif
    {SYS_openat, "openat", 1},
    {SYS_renameat2, "renameat2", 3},
    {SYS_mkdirat, "mkdirat", 1},
    {SYS_unlinkat, "unlinkat", 1},
    {SYS_linkat, "linkat", 3},
    {SYS_symlinkat, "symlinkat", 2},
    {SYS_mknodat, "mknodat", 1},
    {SYS_fchmod, "fchmod", NO_PATH},
    {SYS_fchmodat, "fchmodat", 1},
    {SYS_fchown, "fchown", NO_PATH},
    {SYS_fchownat, "fchownat", 1},
    {SYS_utimensat, "utimensat", 1},
    {SYS_setxattr, "setxattr", 0},
    {SYS_lsetxattr, "lsetxattr", 0},
    {SYS_fsetxattr, "fsetxattr", NO_PATH},
    {SYS_write, "write", NO_PATH},
    {SYS_writev, "writev", NO_PATH},
    {SYS_pwrite64, "pwrite64", NO_PATH},
    {SYS_ftruncate, "ftruncate", NO_PATH},
    {SYS_fallocate, "fallocate", NO_PATH},
    {SYS_copy_file_range, "copy_file_range", NO_PATH},
    {SYS_fsync, "fsync", NO_PATH},
    {SYS_fdatasync, "fdatasync", NO_PATH},
    {SYS_syncfs, "syncfs", NO_PATH},
    {SYS_mount, "mount", 1},
    {SYS_mount_setattr, "mount_setattr", NO_PATH},
    {SYS_move_mount, "move_mount", 3},
    {SYS_umount2, "umount2", 0},
    {SYS_unshare, "unshare", NO_PATH},
    {SYS_setns, "setns", NO_PATH},
    {SYS_clone, "clone", NO_PATH},
    {SYS_clone3, "clone3", NO_PATH},
    {SYS_sendto, "sendto", NO_PATH},
    {SYS_sendmsg, "sendmsg", NO_PATH},
    {SYS_kill, "kill", NO_PATH},
    {SYS_pidfd_send_signal, "pidfd_send_signal", NO_PATH},
};

static const struct call *find_call(const struct __ptrace_syscall_info *info)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (calls[i].number != (long)info->entry.nr)
            continue;
        int flags_at = strcmp(calls[i].name, "openat") == 0 ? 2
                       : strcmp(calls[i].name, "open") == 0 ? 1
                                                            : -1;
        if (flags_at >= 0 && (info->entry.args[flags_at] & (O_CREAT | O_TRUNC | O_ACCMODE)) == 0)
            return NULL; /* opened for reading */
        return &calls[i];
    }
    return NULL;
}

void killer_trace_me(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(125);
    raise(SIGSTOP);
}

void killer_mark(void)
{
    syscall(SYS_close, MARK);
}

void killer_unmark(void)
{
    syscall(SYS_close, UNMARK);
}

static void describe(pid_t pid, const struct call *call, const struct __ptrace_syscall_info *info,
                     struct killer_report *report)
{
    snprintf(report->call, sizeof(report->call), "%s", call->name);
    report->detail[0] = '\0';
    if (call->path_argument == NO_PATH) {
        char link[64];
        snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, (int)info->entry.args[0]);
        ssize_t size = readlink(link, report->detail, sizeof(report->detail) - 1);
        report->detail[size > 0 ? size : 0] = '\0';
        return;
    }
    struct iovec here = {report->detail, sizeof(report->detail) - 1};
    struct iovec there = {(void *)(uintptr_t)info->entry.args[call->path_argument], here.iov_len};
    ssize_t size = process_vm_readv(pid, &here, 1, &there, 1, 0);
    report->detail[size > 0 ? size : 0] = '\0';
}

struct tracing {
    pid_t pid;
    unsigned nth;
    bool counting;
    struct killer_report report;
};

/* A thread stands before or behind a system call; true if that is where to kill. */
static bool at_syscall(struct tracing *tracing, pid_t thread)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, (void *)sizeof(info), &info) < 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return false;
    if (info.entry.nr == SYS_close && info.entry.args[0] == MARK)
        tracing->counting = true;
    if (info.entry.nr == SYS_close && info.entry.args[0] == UNMARK)
        tracing->counting = false;
    const struct call *call = tracing->counting ? find_call(&info) : NULL;
    if (!call || ++tracing->report.steps != tracing->nth)
        return false;
    describe(thread, call, &info, &tracing->report);
    return true;
}

/* Lets a stopped thread go on, to its next system call; true if the program is to be killed now. */
static bool resume(struct tracing *tracing, pid_t thread, int status)
{
    int signal = WSTOPSIG(status);
    if (signal == SYSCALL_STOP && at_syscall(tracing, thread))
        return true;
    bool own = signal == SYSCALL_STOP || signal == SIGTRAP || signal == SIGSTOP;
    ptrace(PTRACE_SYSCALL, thread, NULL, (void *)(uintptr_t)(own ? 0 : signal));
    return false;
}

int killer_run(pid_t pid, unsigned nth, struct killer_report *ret)
{
    struct tracing tracing = {.pid = pid, .nth = nth};
    int status;
    if (waitpid(pid, &status, __WALL) != pid)
        return -errno;
    if (!WIFSTOPPED(status))
        return -EPERM;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options) < 0)
        return -errno;
    ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0)
            return -errno;
        if (WIFSTOPPED(status)) {
            if (!tracing.report.killed && resume(&tracing, thread, status)) {
                tracing.report.killed = true;
                kill(pid, SIGKILL); /* a call that it stands before is not made any more */
            }
        } else if (thread == pid) {
            tracing.report.status = status;
            *ret = tracing.report;
            return 0;
        }
    }
}
