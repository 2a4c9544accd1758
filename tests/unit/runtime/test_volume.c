#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/tree.h"
#include "runtime/volume.h"

static char directory[] = "/tmp/consort-volume-XXXXXX";

static int shell(const char *line)
{
    char command[1024];
    snprintf(command, sizeof(command), "cd %s && { %s; }", directory, line);
    return system(command); /* NOLINT(cert-env33-c): the test's own words */
}

/* A volume over the path of an image whose files are in root/, made for container c/. */
static int make(const char *name, const char *target, bool is_empty)
{
    char volumes[64], container[64], root[64];
    snprintf(volumes, sizeof(volumes), "%s/volumes", directory);
    snprintf(container, sizeof(container), "%s/c", directory);
    snprintf(root, sizeof(root), "%s/root", directory);
    struct volume_use use = {.volumes_dir = volumes,
                             .name = name,
                             .container_dir = container,
                             .rootfs = root,
                             .target = target,
                             .is_empty = is_empty};
    return volume_make(&use);
}

static int begin(void **state)
{
    (void)state;
    strcpy(directory + strlen(directory) - 6, "XXXXXX"); /* NOLINT: of that length */
    assert_non_null(mkdtemp(directory));
    assert_int_equal(shell("mkdir -p volumes c root/data/deep/er root/other && "
                           "echo one > root/data/one && echo two > root/data/deep/er/two && "
                           "chmod 0640 root/data/one && chmod 2750 root/data && "
                           "ln -s /etc/passwd root/data/link && ln -s data root/alias"),
                     0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return tree_remove_path(directory);
}

static void takes_over_what_it_covers(void **state)
{
    (void)state; /* would break: an image's files are hidden by a new volume, or leak in by links */
    assert_int_equal(make("v", "/data", false), 0);
    assert_int_equal(shell("cmp root/data/one volumes/v/one && "
                           "cmp root/data/deep/er/two volumes/v/deep/er/two && "
                           "test $(stat -c %a volumes/v) = 2750 && "
                           "test $(stat -c %a volumes/v/one) = 640 && "
                           "test $(readlink volumes/v/link) = /etc/passwd && test ! -e c/volume"),
                     0);
    assert_int_equal(shell("echo mine > volumes/v/one && rm volumes/v/deep/er/two"), 0);
    assert_int_equal(make("v", "/data", false), 0); /* it is there: nothing is taken over again */
    assert_int_equal(shell("grep -q mine volumes/v/one && test ! -e volumes/v/deep/er/two"), 0);
}

static void may_be_empty(void **state)
{
    (void)state; /* would break: nocopy, a path that the image does not have, a link to a folder */
    assert_int_equal(make("nocopy", "/data", true), 0);
    assert_int_equal(shell("test -z \"$(ls volumes/nocopy)\" && "
                           "test $(stat -c %a volumes/nocopy) = 2750"),
                     0);
    assert_int_equal(make("absent", "/not/there", false), 0);
    assert_int_equal(shell("test -z \"$(ls volumes/absent)\""), 0);
    assert_int_equal(make("alias", "/alias", false), 0);
    assert_int_equal(shell("test -e volumes/alias/one"), 0);
}

static void begins_anew_after_a_kill(void **state)
{
    (void)state; /* would break: half a copy is taken for a volume, or is in the way */
    assert_int_equal(shell("mkdir c/volume && echo half > c/volume/half"), 0);
    assert_int_equal(make("v", "/data", false), 0);
    assert_int_equal(
        shell("test ! -e volumes/v/half && test -e volumes/v/one && test ! -e c/volume"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(takes_over_what_it_covers, begin, end),
        cmocka_unit_test_setup_teardown(may_be_empty, begin, end),
        cmocka_unit_test_setup_teardown(begins_anew_after_a_kill, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
