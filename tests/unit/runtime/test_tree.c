#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/tree.h"
#include "tests/unit/runtime/fixture.h"

enum {
    DEPTH = 3000, /* far deeper than PATH_MAX lets a path name */
};

static char scratch[SCRATCH_PATH_BYTES];
static int scratch_fd = -1;

static int setup(void **state)
{
    (void)state;
    scratch_make(scratch);
    scratch_write(scratch, "outside/secret", bytes_of_text("secret"));
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return scratch_fd < 0;
}

static int teardown(void **state)
{
    (void)state;
    close(scratch_fd);
    scratch_remove(scratch);
    return 0;
}

static void assert_gone(const char *name)
{
    assert_int_equal(tree_remove(scratch_fd, name), 0);
    assert_int_equal(faccessat(scratch_fd, name, F_OK, AT_SYMLINK_NOFOLLOW), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(faccessat(scratch_fd, "outside/secret", F_OK, 0), 0);
}

/* Breaks if removing a tree follows a symbolic link, and deletes what it points to. */
static void test_links(void **state)
{
    (void)state;
    scratch_write(scratch, "tree/a/b/file", bytes_of_text("x"));
    assert_int_equal(symlinkat("../outside", scratch_fd, "tree/link"), 0);
    assert_int_equal(symlinkat("../../../outside", scratch_fd, "tree/a/b/link"), 0);
    assert_int_equal(symlinkat("outside", scratch_fd, "link"), 0);
    assert_gone("tree");
    assert_gone("link");
    assert_gone("not there");
    assert_int_equal(tree_remove_path("/nowhere/at/all"), 0);
}

/* Breaks if a container can make a tree that cannot be removed: too deep, or with names like ours.
 */
static void test_deep(void **state)
{
    (void)state;
    cleanup_close int fd = dup(scratch_fd);
    for (int i = 0; i < DEPTH; i++) {
        char name[32];
        snprintf(name, sizeof(name), ".lifted.%d", i % 7);
        assert_int_equal(mkdirat(fd, i == 0 ? "tree" : name, 0700), 0);
        int child = openat(fd, i == 0 ? "tree" : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(child >= 0);
        close(fd);
        fd = child;
        int file = openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        close(file);
    }
    assert_gone("tree");
}

/* Breaks if wide trees are left half removed. */
static void test_wide(void **state)
{
    (void)state;
    char name[64];
    for (int i = 0; i < 40; i++) {
        for (int j = 0; j < 25; j++) {
            snprintf(name, sizeof(name), "tree/%d/%d/file", i, j);
            scratch_write(scratch, name, bytes_of_text("x"));
        }
    }
    assert_gone("tree");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wide, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
