#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/file.h"
#include "runtime/process.h"
#include "runtime/sealed_program.h"
#include "tests/unit/runtime/fixture.h"

enum {
    TIMEOUT_MS = 30 * 1000,
    PROGRAM_BYTES_MAX = 4 * 1024 * 1024,
};

struct bench {
    char directory[SCRATCH_PATH_BYTES];
    char file[PATH_BYTES];
    struct sealed_program program;
};

static int make_bench(void **state)
{
    static struct bench bench;
    scratch_make(bench.directory);
    path_format(bench.file, sizeof(bench.file), "%s/program", bench.directory);
    sealed_program_init(&bench.program, bench.file);
    *state = &bench;
    return 0;
}

static int remove_bench(void **state)
{
    struct bench *bench = *state;
    sealed_program_done(&bench->program);
    scratch_remove(bench->directory);
    return 0;
}

static void install(struct bench *bench, struct bytes content)
{
    assert_int_equal(file_replace(bench->file, 0755, content.data, content.size, false), 0);
}

static void install_copy_of(struct bench *bench, const char *original)
{
    struct buffer content = {0};
    assert_int_equal(file_read(original, PROGRAM_BYTES_MAX, &content), 0);
    install(bench, buffer_view(&content));
    buffer_done(&content);
}

static int run(const struct bench *bench)
{
    const char *const argv[] = {sealed_program_path(&bench->program), NULL};
    return process_run(argv, TIMEOUT_MS, NULL);
}

static bool is_copied(const struct bench *bench)
{
    return strcmp(sealed_program_path(&bench->program), bench->file) != 0;
}

static void copy_runs_and_cannot_be_changed(void **state)
{
    /* would break: a start that takes as long as without it, or a container that changes what the
     * next one is started by */
    struct bench *bench = *state;
    install_copy_of(bench, "/bin/true");
    assert_false(is_copied(bench));
    sealed_program_copy(&bench->program, TIMEOUT_MS);
    assert_true(is_copied(bench));
    assert_int_equal(run(bench), 0);
    int fd = sealed_program_descriptor(&bench->program);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
}

static void passed_on_under_its_number(void **state)
{
    /* would break: conmon, which runs the copy by the number that it was passed on as */
    struct bench *bench = *state;
    install_copy_of(bench, "/bin/true");
    sealed_program_copy(&bench->program, TIMEOUT_MS);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int fds[] = {null, sealed_program_descriptor(&bench->program)};
    const char *const argv[] = {"/bin/sh", "-c", "test $NULL = 3 && exec /proc/self/fd/4", NULL};
    assert_int_equal(process_run_with(argv, "/", "NULL", fds, 2, TIMEOUT_MS), 0);
    close(null);
}

static void new_version_is_run(void **state)
{
    struct bench *bench = *state; /* would break: the upgrade of an OCI runtime with a hole */
    install_copy_of(bench, "/bin/true");
    sealed_program_copy(&bench->program, TIMEOUT_MS);
    install_copy_of(bench, "/bin/false");
    assert_false(is_copied(bench));
    assert_int_equal(sealed_program_descriptor(&bench->program), -1);
    assert_int_equal(run(bench), 1);
}

static void what_does_not_run_from_memory_is_not(void **state)
{
    struct bench *bench = *state; /* would break: an OCI runtime that is a script, or refuses */
    install(bench, bytes_of_text("#!/bin/sh\nexit 7\n"));
    sealed_program_copy(&bench->program, TIMEOUT_MS);
    assert_false(is_copied(bench));
    assert_int_equal(run(bench), 7);
    install_copy_of(bench, "/bin/false"); /* as one that says: not from there */
    sealed_program_copy(&bench->program, TIMEOUT_MS);
    assert_false(is_copied(bench));
    assert_int_equal(unlink(bench->file), 0);
    sealed_program_copy(&bench->program, TIMEOUT_MS);
    assert_false(is_copied(bench));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copy_runs_and_cannot_be_changed, make_bench, remove_bench),
        cmocka_unit_test_setup_teardown(passed_on_under_its_number, make_bench, remove_bench),
        cmocka_unit_test_setup_teardown(new_version_is_run, make_bench, remove_bench),
        cmocka_unit_test_setup_teardown(what_does_not_run_from_memory_is_not, make_bench,
                                        remove_bench),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
