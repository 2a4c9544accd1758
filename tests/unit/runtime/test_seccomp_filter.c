#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/capability.h"
#include "runtime/file.h"
#include "runtime/seccomp_filter.h"
#include "runtime/seccomp_profile.h"
#include "tests/unit/runtime/fixture.h"

/* What a system call with one argument comes to under the filter: 0, or an errno. */
static int try_call(const struct buffer *filter, long call, long argument)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sock_fprog program = {
            .len = (unsigned short)(filter->size / sizeof(struct sock_filter)),
            .filter = (struct sock_filter *)(void *)filter->bytes,
        };
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, &program) < 0)
            _exit(255);
        errno = 0;
        _exit(syscall(call, argument, 0, 0, 0, 0, 0) < 0 ? errno : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 255);
    return WEXITSTATUS(status);
}

static void compile(uint64_t capabilities, struct buffer *ret)
{
    json_t *profile = seccomp_profile(capabilities);
    assert_non_null(profile);
    assert_int_equal(seccomp_filter_compile(profile, ret), 0);
    json_decref(profile);
}

/* Breaks if the filter that containers get is not what the profile says. */
static void filters(void **state)
{
    (void)state;
    cleanup_buffer struct buffer plain = {0}, admin = {0};
    compile(capability_defaults(), &plain);
    compile(UINT64_MAX, &admin);
    assert_int_equal(try_call(&plain, SYS_getpid, 0), 0);
    assert_int_equal(try_call(&plain, SYS_keyctl, 0), EPERM);
    assert_int_equal(try_call(&plain, SYS_unshare, CLONE_NEWUSER), EPERM);
    assert_int_equal(try_call(&plain, SYS_mount, 0), EPERM);
    assert_int_equal(try_call(&plain, SYS_clone3, 0), ENOSYS);
    assert_int_equal(try_call(&plain, 4000, 0), ENOSYS);
    assert_int_equal(try_call(&plain, SYS_clone, CLONE_NEWUSER), ENOSYS);
    assert_int_equal(try_call(&plain, SYS_socket, AF_ALG), ENOSYS);
    assert_int_equal(try_call(&plain, SYS_socket, AF_VSOCK), ENOSYS);
    assert_int_not_equal(try_call(&plain, SYS_socket, AF_INET), ENOSYS);
    assert_int_equal(try_call(&plain, SYS_personality, 0xffffffff), 0);
    assert_int_equal(try_call(&plain, SYS_personality, 0x0400000 /* ADDR_COMPAT_LAYOUT */), ENOSYS);
    assert_int_equal(try_call(&admin, SYS_mount, 0), EFAULT);
    assert_int_equal(try_call(&admin, SYS_keyctl, 0), EPERM);
}

/* Breaks if a filter is not kept, if a kept one is not what was compiled, or if two profiles are
 * taken for one. */
static void keeps(void **state)
{
    (void)state;
    char scratch[SCRATCH_PATH_BYTES], directory[PATH_BYTES];
    scratch_make(scratch);
    path_format(directory, sizeof(directory), "%s/below/filters", scratch);
    json_t *profiles[] = {seccomp_profile(capability_defaults()), seccomp_profile(UINT64_MAX)};
    for (size_t i = 0; i < 2; i++) {
        cleanup_buffer struct buffer filter = {0};
        cleanup_free char *first = NULL, *again = NULL, *elsewhere = NULL;
        uint8_t decoded[64 * 1024];
        size_t size;
        assert_int_equal(seccomp_filter_compile(profiles[i], &filter), 0);
        assert_int_equal(seccomp_filter_text(profiles[i], directory, &first), 0);
        assert_int_equal(seccomp_filter_text(profiles[i], directory, &again), 0);
        assert_int_equal(seccomp_filter_text(profiles[i], "/proc/no/such", &elsewhere), 0);
        assert_string_equal(first, again);
        assert_string_equal(first, elsewhere);
        assert_int_equal(sodium_base642bin(decoded, sizeof(decoded), first, strlen(first), NULL,
                                           &size, NULL, sodium_base64_VARIANT_ORIGINAL),
                         0);
        assert_int_equal(size, filter.size);
        assert_memory_equal(decoded, filter.bytes, size);
        json_decref(profiles[i]);
    }
    struct stat status;
    assert_int_equal(stat(directory, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    scratch_remove(scratch);
}

/* Breaks if what crun would refuse becomes a filter with a hole. */
static void refuses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_PDP11\"]}",
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],"
        "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_GE\"}]}"
        "]}",
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],"
        "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
        "{\"index\":1,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cleanup_buffer struct buffer filter = {0};
        json_t *profile = json_loads(wrong[i], 0, NULL);
        assert_non_null(profile);
        assert_int_equal(seccomp_filter_compile(profile, &filter), -ENOTSUP);
        assert_int_equal(filter.size, 0);
        json_decref(profile);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters),
        cmocka_unit_test(keeps),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
