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

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "runtime/copy_files.h"
#include "runtime/file.h"
#include "runtime/tree.h"

/* Two roots, each with a host around it that nothing may touch: FOLDER/outside is out of both. */
struct scene {
    char folder[64];
    int from, to;
    char archive[96];
    struct error error;
};

static const char *at(const struct scene *scene, const char *path)
{
    static char text[4][256];
    static unsigned next;
    char *ret = text[next++ % 4];
    snprintf(ret, sizeof(text[0]), "%s/%s", scene->folder, path);
    return ret;
}

static void put(const struct scene *scene, const char *path, const char *content)
{
    assert_int_equal(file_write(at(scene, path), 0640, content, strlen(content)), 0);
}

static void expect(const struct scene *scene, const char *path, const char *content)
{
    char text[256];
    assert_int_equal(file_read_text(at(scene, path), text, sizeof(text)), 0);
    assert_string_equal(text, content);
}

static int open_root(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static struct scene begin(void)
{
    struct scene scene = {.folder = "/tmp/consort-copy-XXXXXX"};
    assert_non_null(mkdtemp(scene.folder));
    snprintf(scene.archive, sizeof(scene.archive), "%s/archive", scene.folder);
    scene.from = open_root(at(&scene, "from"));
    scene.to = open_root(at(&scene, "to"));
    put(&scene, "outside", "untouched");
    return scene;
}

static void end(struct scene *scene)
{
    expect(scene, "outside", "untouched");
    close(scene->from);
    close(scene->to);
    assert_int_equal(tree_remove_path(scene->folder), 0);
}

static int copy_out(struct scene *scene, const char *path)
{
    int fd = open(scene->archive, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = copy_files_out(scene->from, path, fd, &scene->error);
    close(fd);
    return rc;
}

static int copy_in(struct scene *scene, const char *path)
{
    int fd = open(scene->archive, O_RDONLY | O_CLOEXEC);
    int rc = copy_files_in(scene->to, path, fd, &scene->error);
    close(fd);
    return rc;
}

static void copies_trees(void **state)
{
    (void)state; /* would break: what arrives, under which name, with which mode */
    struct scene scene = begin();
    struct stat status;
    char target[64] = "";
    mkdir(at(&scene, "from/d"), 0750);
    mkdir(at(&scene, "from/d/empty"), 0700);
    put(&scene, "from/d/\xc3\xa9\xff", "a name in no alphabet");
    put(&scene, "from/d/run", "#!");
    chmod(at(&scene, "from/d/run"), 04755);
    assert_int_equal(symlink("../nowhere", at(&scene, "from/d/link")), 0);
    assert_int_equal(mkfifo(at(&scene, "from/d/fifo"), 0600), 0);
    mkdir(at(&scene, "to/tmp"), 0755);

    assert_int_equal(copy_out(&scene, "/d"), 0);
    assert_int_equal(copy_in(&scene, "/tmp"), 0); /* there: into it */
    expect(&scene, "to/tmp/d/\xc3\xa9\xff", "a name in no alphabet");
    assert_int_equal(stat(at(&scene, "to/tmp/d/run"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 04755);
    assert_int_equal(stat(at(&scene, "to/tmp/d/empty"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_true(readlink(at(&scene, "to/tmp/d/link"), target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "../nowhere");
    assert_int_equal(access(at(&scene, "to/tmp/d/fifo"), F_OK), -1);

    assert_int_equal(copy_in(&scene, "/tmp/new/"), 0); /* not there: under that name */
    expect(&scene, "to/tmp/new/run", "#!");
    assert_int_equal(copy_out(&scene, "/d/."), 0);
    assert_int_equal(copy_in(&scene, "/"), 0); /* what is in it */
    expect(&scene, "to/run", "#!");
    end(&scene);
}

static void copies_files(void **state)
{
    (void)state; /* would break: a file over a file, under another name, into a directory */
    struct scene scene = begin();
    mkdir(at(&scene, "to/etc"), 0755);
    put(&scene, "from/motd", "new");
    put(&scene, "to/etc/motd", "old, and longer");
    assert_int_equal(copy_out(&scene, "motd"), 0);
    assert_int_equal(copy_in(&scene, "/etc"), 0);
    expect(&scene, "to/etc/motd", "new");
    put(&scene, "to/etc/motd", "old, and longer");
    assert_int_equal(copy_in(&scene, "/etc/motd"), 0);
    expect(&scene, "to/etc/motd", "new");
    assert_int_equal(copy_in(&scene, "/etc/other"), 0);
    expect(&scene, "to/etc/other", "new");
    assert_int_equal(copy_in(&scene, "/no/such/place"), -ENOENT);
    assert_int_equal(copy_out(&scene, "/none"), -ENOENT);
    assert_int_equal(copy_out(&scene, "/motd/x"), -ENOTDIR);
    end(&scene);
}

static void links_lead_nowhere(void **state)
{
    (void)state; /* would break: a hostile container that has a path lead out of it */
    struct scene scene = begin();
    put(&scene, "from/outside", "the container's own");
    mkdir(at(&scene, "to/d"), 0755);
    assert_int_equal(symlink("..", at(&scene, "from/up")), 0);
    assert_int_equal(symlink(scene.folder, at(&scene, "from/absolute")), 0);
    assert_int_equal(symlink("../outside", at(&scene, "to/d/outside")), 0);
    assert_int_equal(symlink("../..", at(&scene, "to/d/up")), 0);

    assert_int_equal(copy_out(&scene, "/up/../../outside"), 0); /* its own root is above all */
    assert_int_equal(copy_in(&scene, "/d"), 0);                 /* the link there makes way */
    expect(&scene, "to/d/outside", "the container's own");
    assert_int_equal(copy_out(&scene, "/absolute/outside"), -ENOENT);
    assert_int_equal(copy_out(&scene, "/outside"), 0);
    assert_int_equal(copy_in(&scene, "/d/up"), 0);
    expect(&scene, "to/outside", "the container's own");
    end(&scene);
}

/* An archive of one entry each: what a hostile peer, or container, may send. */
static int take(struct scene *scene, const char *name, unsigned type, const char *target)
{
    struct archive *archive = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    archive_write_set_format_pax_restricted(archive);
    assert_int_equal(archive_write_open_filename(archive, scene->archive), ARCHIVE_OK);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_filetype(entry, type);
    if (target && type == AE_IFLNK)
        archive_entry_set_symlink(entry, target);
    else if (target)
        archive_entry_set_hardlink(entry, target);
    else if (type == AE_IFREG)
        archive_entry_set_size(entry, 4);
    archive_write_header(archive, entry);
    if (type == AE_IFREG && !target)
        archive_write_data(archive, "evil", 4);
    archive_entry_free(entry);
    archive_write_free(archive);
    return copy_in(scene, "/d");
}

static void archives_stay_inside(void **state)
{
    (void)state; /* would break: an archive that reaches beside its destination */
    struct scene scene = begin();
    mkdir(at(&scene, "to/d"), 0755);
    assert_int_equal(symlink("..", at(&scene, "to/d/up")), 0);
    assert_int_equal(symlink(scene.folder, at(&scene, "to/d/out")), 0);
    assert_int_equal(take(&scene, "../outside", AE_IFREG, NULL), -EBADMSG);
    assert_int_equal(take(&scene, "up/outside", AE_IFREG, NULL), -ENOTDIR);
    assert_int_equal(take(&scene, "out/outside", AE_IFREG, NULL), -ENOTDIR);
    assert_int_equal(take(&scene, "hard", AE_IFREG, "../../outside"), -EOPNOTSUPP);
    assert_int_equal(take(&scene, "device", AE_IFCHR, NULL), -EOPNOTSUPP);
    assert_int_equal(take(&scene, "", AE_IFREG, NULL), -EBADMSG);
    assert_int_equal(take(&scene, "/outside", AE_IFREG, NULL), 0); /* its own */
    expect(&scene, "to/d/outside", "evil");
    assert_int_equal(take(&scene, "link", AE_IFLNK, "../../outside"), 0);
    assert_int_equal(take(&scene, "link", AE_IFREG, NULL), 0); /* not through it */
    expect(&scene, "to/d/link", "evil");
    put(&scene, "archive", "no archive, but some text that goes on and on");
    assert_int_equal(copy_in(&scene, "/d"), -EBADMSG);
    end(&scene);
}

static void keeps_out_of_the_kernel(void **state)
{
    (void)state; /* would break: files of /proc and /sys, whose reading and writing have effects */
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct error error = {0};
    assert_int_equal(copy_files_out(root, "/proc/version", null, &error), -EPERM);
    assert_int_equal(copy_files_out(root, "/proc/sys", null, &error), -EPERM);
    assert_int_equal(copy_files_in(root, "/proc/sys", null, &error), -EPERM);
    assert_int_equal(copy_files_out(root, "/dev/null", null, &error), -EOPNOTSUPP);
    close(null);
    close(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_trees),
        cmocka_unit_test(copies_files),
        cmocka_unit_test(links_lead_nowhere),
        cmocka_unit_test(archives_stay_inside),
        cmocka_unit_test(keeps_out_of_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
