#include "runtime/seccomp_profile.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/personality.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "runtime/capability.h"

/* All calls of Linux 6.x on x86-64, arm64 and their 32-bit relatives, without those in the other
 * tables below, those that the kernel no longer has, and io_uring, whose operations a filter cannot
 * see. A name that the machine's architecture lacks is passed over by libseccomp. */
static const char *const allowed[] = {
    "_llseek",
    "_newselect",
    "accept",
    "accept4",
    "access",
    "adjtimex",
    "alarm",
    "arch_prctl",
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "bind",
    "breakpoint",
    "brk",
    "cacheflush",
    "cachestat",
    "capget",
    "capset",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fork",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futex",
    "futex_requeue",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "futimesat",
    "get_robust_list",
    "get_thread_area",
    "getcpu",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getitimer",
    "getpeername",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "getuid32",
    "getxattr",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "io_setup",
    "io_submit",
    "ioctl",
    "ioprio_get",
    "ioprio_set",
    "ipc",
    "kcmp",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listen",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "lstat64",
    "madvise",
    "map_shadow_stack",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mincore",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "modify_ldt",
    "mprotect",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "mremap",
    "mseal",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "name_to_handle_at",
    "nanosleep",
    "newfstatat",
    "nice",
    "open",
    "openat",
    "openat2",
    "pause",
    "pidfd_getfd",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe",
    "pipe2",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "poll",
    "ppoll",
    "ppoll_time64",
    "prctl",
    "pread64",
    "preadv",
    "preadv2",
    "prlimit64",
    "process_madvise",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "pselect6",
    "pselect6_time64",
    "ptrace",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readdir",
    "readlink",
    "readlinkat",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "remap_file_pages",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "riscv_flush_icache",
    "riscv_hwprobe",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "select",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_thread_area",
    "set_tid_address",
    "set_tls",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setitimer",
    "setpgid",
    "setpriority",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setrlimit",
    "setsid",
    "setsockopt",
    "setuid",
    "setuid32",
    "setxattr",
    "sgetmask",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shutdown",
    "sigaction",
    "sigaltstack",
    "signal",
    "signalfd",
    "signalfd4",
    "sigpending",
    "sigprocmask",
    "sigreturn",
    "sigsuspend",
    "socketcall",
    "socketpair",
    "splice",
    "ssetmask",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "sync_file_range2",
    "syncfs",
    "sysinfo",
    "tee",
    "tgkill",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
    "tkill",
    "truncate",
    "truncate64",
    "ugetrlimit",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vfork",
    "vmsplice",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
};

/* Never right in a container: other containers' keys, the machine's swap and next kernel, and
 * interfaces that nothing but exploits uses any more. */
static const char *const refused[] = {
    "add_key", "keyctl",  "request_key", "kexec_load", "kexec_file_load",
    "swapon",  "swapoff", "nfsservctl",  "uselib",     "userfaultfd",
    "ustat",   "sysfs",   "vm86",        "vm86old",    "_sysctl",
};

static const char *const admin_calls[] = {
    "bpf",           "fanotify_init",   "fsconfig",   "fsmount",       "fsopen",
    "fspick",        "lookup_dcookie",  "mount",      "mount_setattr", "move_mount",
    "open_tree",     "perf_event_open", "pivot_root", "quotactl",      "quotactl_fd",
    "setdomainname", "sethostname",     "setns",      "umount",        "umount2",
    "unshare",
};

static const char *const boot_calls[] = {"reboot"};
static const char *const chroot_calls[] = {"chroot"};
static const char *const handle_calls[] = {"open_by_handle_at"};
static const char *const io_calls[] = {"ioperm", "iopl"};
static const char *const log_calls[] = {"syslog"};
static const char *const memory_policy_calls[] = {
    "get_mempolicy", "mbind",         "migrate_pages",
    "move_pages",    "set_mempolicy", "set_mempolicy_home_node",
};
static const char *const module_calls[] = {"delete_module", "finit_module", "init_module"};
static const char *const accounting_calls[] = {"acct"};
static const char *const time_calls[] = {"clock_settime", "clock_settime64", "settimeofday",
                                         "stime"};
static const char *const terminal_calls[] = {"vhangup"};

/* Calls that are allowed with a capability and refused without. */
static const struct {
    const char *capability;
    const char *const *calls;
    size_t count;
} conditional[] = {
    {"CAP_DAC_READ_SEARCH", handle_calls, array_count(handle_calls)},
    {"CAP_SYSLOG", log_calls, array_count(log_calls)},
    {"CAP_SYS_ADMIN", admin_calls, array_count(admin_calls)},
    {"CAP_SYS_BOOT", boot_calls, array_count(boot_calls)},
    {"CAP_SYS_CHROOT", chroot_calls, array_count(chroot_calls)},
    {"CAP_SYS_MODULE", module_calls, array_count(module_calls)},
    {"CAP_SYS_NICE", memory_policy_calls, array_count(memory_policy_calls)},
    {"CAP_SYS_PACCT", accounting_calls, array_count(accounting_calls)},
    {"CAP_SYS_RAWIO", io_calls, array_count(io_calls)},
    {"CAP_SYS_TIME", time_calls, array_count(time_calls)},
    {"CAP_SYS_TTY_CONFIG", terminal_calls, array_count(terminal_calls)},
};

enum {
    NAMESPACE_FLAGS = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                      CLONE_NEWPID | CLONE_NEWNET,
};

/* Adds one rule for some calls. `arguments` (may be NULL) is taken over. */
static int add_rule(json_t *rules, const char *const *calls, size_t count, const char *action,
                    json_t *arguments)
{
    json_t *names = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(names, json_string(calls[i]));
    json_t *rule = json_pack("{s:o, s:s}", "names", names, "action", action);
    if (rule && arguments)
        json_object_set_new(rule, "args", arguments);
    return json_array_append_new(rules, rule);
}

static int allow(json_t *rules, const char *const *calls, size_t count)
{
    return add_rule(rules, calls, count, "SCMP_ACT_ALLOW", NULL);
}

static int allow_if(json_t *rules, const char *call, const char *operation, uint32_t value)
{
    json_t *arguments =
        json_pack("[{s:i, s:I, s:s}]", "index", 0, "value", (json_int_t)value, "op", operation);
    return add_rule(rules, &call, 1, "SCMP_ACT_ALLOW", arguments);
}

static int refuse(json_t *rules, const char *const *calls, size_t count)
{
    int result = add_rule(rules, calls, count, "SCMP_ACT_ERRNO", NULL);
    json_t *rule = json_array_get(rules, json_array_size(rules) - 1);
    return result < 0 ? result : json_object_set_new(rule, "errnoRet", json_integer(EPERM));
}

/* A new namespace would give a process all capabilities within it, and with them the kernel's less
 * tested half. clone3's flags are in memory, where a filter cannot look: as the default, it fails
 * with ENOSYS, and callers go on to clone. */
static int add_clone(json_t *rules, uint64_t capabilities)
{
    static const char *const calls[] = {"clone", "clone3"};
    if (capability_has(capabilities, "CAP_SYS_ADMIN"))
        return allow(rules, calls, array_count(calls));
    json_t *arguments =
        json_pack("[{s:i, s:I, s:I, s:s}]", "index", 0, "value", (json_int_t)NAMESPACE_FLAGS,
                  "valueTwo", (json_int_t)0, "op", "SCMP_CMP_MASKED_EQ");
    return add_rule(rules, calls, 1, "SCMP_ACT_ALLOW", arguments);
}

static int add_with_arguments(json_t *rules)
{
    static const uint32_t personalities[] = {PER_LINUX, PER_LINUX32, UNAME26, UNAME26 | PER_LINUX32,
                                             UINT32_MAX /* asks only */};
    int result = 0;
    for (size_t i = 0; i < array_count(personalities); i++)
        result |= allow_if(rules, "personality", "SCMP_CMP_EQ", personalities[i]);
    /* All families but the kernel's cryptography (38) and virtual machines' sockets (40): the first
     * is a frequent way into the kernel, the second leads past the network to the host. */
    result |= allow_if(rules, "socket", "SCMP_CMP_LT", AF_ALG);
    result |= allow_if(rules, "socket", "SCMP_CMP_EQ", AF_ALG + 1);
    result |= allow_if(rules, "socket", "SCMP_CMP_GT", AF_VSOCK);
    return result;
}

static json_t *architectures(void)
{
#if defined(__x86_64__)
    return json_pack("[s, s, s]", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32");
#elif defined(__aarch64__)
    return json_pack("[s, s]", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM");
#else
    return json_array(); /* the OCI runtime takes the machine's own */
#endif
}

json_t *seccomp_profile(uint64_t capabilities)
{
    json_t *rules = json_array();
    int result = allow(rules, allowed, array_count(allowed));
    result |= refuse(rules, refused, array_count(refused));
    for (size_t i = 0; i < array_count(conditional); i++) {
        if (capability_has(capabilities, conditional[i].capability))
            result |= allow(rules, conditional[i].calls, conditional[i].count);
        else
            result |= refuse(rules, conditional[i].calls, conditional[i].count);
    }
    result |= add_clone(rules, capabilities);
    result |= add_with_arguments(rules);
    json_t *profile =
        json_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet",
                  ENOSYS, "architectures", architectures(), "syscalls", rules);
    if (result < 0) {
        json_decref(profile);
        return NULL;
    }
    return profile;
}
