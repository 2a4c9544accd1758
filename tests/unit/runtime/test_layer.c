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
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/random.h"
#include "runtime/bounds.h"
#include "runtime/image/disk.h"
#include "runtime/image/layer.h"
#include "runtime/tree.h"
#include "tests/unit/runtime/fixture.h"

/* Each test has SCRATCH/layer to unpack into, and SCRATCH/outside/secret, which no archive may
 * touch. */
static char scratch[SCRATCH_PATH_BYTES];
static int scratch_fd = -1;

static int setup(void **state)
{
    (void)state;
    if (!is_root())
        return 0;
    umask(0022);
    scratch_make(scratch);
    scratch_write(scratch, "outside/secret", bytes_of_text("secret"));
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return scratch_fd < 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!is_root())
        return 0;
    close(scratch_fd);
    scratch_remove(scratch);
    return 0;
}

/* Unpacks an archive into a fresh SCRATCH/layer. */
static int unpack_bytes(struct bytes archive, const struct digest *diff_id, struct error *error)
{
    assert_int_equal(tree_remove(scratch_fd, "layer"), 0);
    cleanup_close int layer_fd = -1;
    cleanup_close int blob_fd = openat(scratch_fd, "blob", O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(disk_open_directory(scratch_fd, "layer", &layer_fd), 0);
    assert_int_equal(disk_write_all(blob_fd, archive.data, archive.size), 0);
    mode_t before = umask(0077); /* what is unpacked has its own modes */
    int r = layer_unpack(blob_fd, layer_fd, diff_id, error);
    umask(before);
    return r;
}

static int unpack(struct tar *tar, struct error *error)
{
    cleanup_buffer struct buffer archive;
    struct digest diff_id;
    tar_finish(tar, ARCHIVE_FILTER_NONE, &archive);
    digest_of(archive.bytes, archive.size, &diff_id);
    return unpack_bytes(buffer_view(&archive), &diff_id, error);
}

static struct stat status_of(const char *path)
{
    struct stat status = {0};
    if (fstatat(scratch_fd, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
        status.st_mode = 0;
    return status;
}

static bool is_whiteout(const char *path)
{
    struct stat status = status_of(path);
    return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

static bool is_opaque(const char *path)
{
    char full[512], value;
    snprintf(full, sizeof(full), "%s/%s", scratch, path);
    return lgetxattr(full, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static int count_entry(void *context, const char *name)
{
    (void)name;
    (*(int *)context)++;
    return 0;
}

/* Nothing outside the layer has changed, and nothing was added there. */
static void assert_outside_untouched(void)
{
    cleanup_buffer struct buffer secret;
    buffer_init(&secret);
    int entries = 0;
    cleanup_close int outside_fd =
        openat(scratch_fd, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(outside_fd >= 0);
    assert_int_equal(disk_each_entry(outside_fd, count_entry, &entries), 0);
    assert_int_equal(entries, 1);
    assert_int_equal(disk_read_file(outside_fd, "secret", 100, &secret), 0);
    assert_int_equal(secret.size, 6);
    assert_memory_equal(secret.bytes, "secret", 6);
    assert_int_equal(status_of("outside/secret").st_nlink, 1);
    assert_int_equal(status_of("outside/secret").st_mode & 07777, 0644);
    assert_int_equal(status_of("outside").st_mode & 07777, 0755);
    assert_false(is_opaque("outside"));
    entries = 0;
    assert_int_equal(disk_each_entry(scratch_fd, count_entry, &entries), 0);
    assert_int_equal(entries, 3); /* blob, layer, outside */
}

static void skip_unless_root(void)
{
    if (!is_root())
        skip();
}

/* Breaks if files lose their owners, modes, times, links or attributes on the way to a container.
 */
static void test_metadata(void **state)
{
    (void)state;
    skip_unless_root();
    struct tar *tar = tar_new();
    struct archive_entry *entry = tar_entry("bin", AE_IFDIR);
    archive_entry_set_perm(entry, 01777);
    archive_entry_set_mtime(entry, 1000, 0);
    tar_add(tar, entry, NULL, 0);
    entry = tar_entry("bin/su", AE_IFREG);
    archive_entry_set_perm(entry, 04755);
    archive_entry_set_uid(entry, 12);
    archive_entry_set_gid(entry, 34);
    archive_entry_set_mtime(entry, 2000, 5);
    archive_entry_xattr_add_entry(entry, "user.note", "kept", 4);
    archive_entry_xattr_add_entry(entry, "trusted.overlay.redirect", "/outside", 8);
    archive_entry_xattr_add_entry(entry, "security.selinux", "label", 5);
    tar_add(tar, entry, "program", 7);
    tar_symlink(tar, "bin/sh", "/bin/su");
    tar_hard_link(tar, "bin/hard", "bin/su");
    tar_file(tar, "bin/caf\xc3\xa9", "utf8");
    tar_file(tar, "bin/\xff\xfe", "no utf8");
    tar_add(tar, tar_entry("run/fifo", AE_IFIFO), NULL, 0);
    struct error error = {0};
    if (unpack(tar, &error) < 0)
        fail_msg("%s", error.message);
    struct stat su = status_of("layer/bin/su");
    assert_int_equal(su.st_mode, S_IFREG | 04755);
    assert_int_equal(su.st_uid, 12);
    assert_int_equal(su.st_gid, 34);
    assert_int_equal(su.st_mtim.tv_sec, 2000);
    assert_int_equal(su.st_nlink, 2);
    assert_int_equal(su.st_size, 7);
    assert_int_equal(status_of("layer/bin/hard").st_ino, su.st_ino);
    assert_true(S_ISLNK(status_of("layer/bin/sh").st_mode));
    assert_int_equal(status_of("layer/bin").st_mode, S_IFDIR | 01777);
    assert_int_equal(status_of("layer/bin").st_mtim.tv_sec, 1000);
    assert_true(S_ISREG(status_of("layer/bin/caf\xc3\xa9").st_mode));
    assert_true(S_ISREG(status_of("layer/bin/\xff\xfe").st_mode));
    assert_true(S_ISFIFO(status_of("layer/run/fifo").st_mode));
    assert_int_equal(status_of("layer/run").st_mode, S_IFDIR | 0755);
    char path[512], value[16];
    snprintf(path, sizeof(path), "%s/layer/bin/su", scratch);
    assert_int_equal(getxattr(path, "user.note", value, sizeof(value)), 4);
    assert_int_equal(getxattr(path, "trusted.overlay.redirect", value, sizeof(value)), -1);
}

/* Breaks if what an upper layer deleted shows again in a container, or what it kept does not. */
static void test_whiteouts(void **state)
{
    (void)state;
    skip_unless_root();
    struct tar *tar = tar_new();
    tar_file(tar, ".wh.gone", "");
    tar_file(tar, "a/.wh..wh..opq", "");
    tar_file(tar, "b/.wh.both", "");
    tar_file(tar, "b/both/file", "made anew after its removal");
    tar_file(tar, "c/both/file", "made before its removal is told");
    tar_file(tar, "c/.wh.both", "");
    tar_file(tar, "d/.wh.file", "");
    tar_file(tar, "d/file", "replaced");
    tar_file(tar, "e/file", "replaced");
    tar_file(tar, "e/.wh.file", "");
    tar_file(tar, ".wh..wh.plnk/1.2", "aufs's own");
    struct error error = {0};
    if (unpack(tar, &error) < 0)
        fail_msg("%s", error.message);
    assert_true(is_whiteout("layer/gone"));
    assert_true(is_opaque("layer/a"));
    assert_true(is_opaque("layer/b/both"));
    assert_true(is_opaque("layer/c/both"));
    assert_true(S_ISREG(status_of("layer/b/both/file").st_mode));
    assert_true(S_ISREG(status_of("layer/c/both/file").st_mode));
    assert_true(S_ISREG(status_of("layer/d/file").st_mode));
    assert_true(S_ISREG(status_of("layer/e/file").st_mode));
    assert_int_equal(status_of("layer/.wh..wh.plnk").st_mode, 0);
    assert_false(is_opaque("layer"));
}

/* Breaks if a compression is not undone, or the digest is not that of the uncompressed archive. */
static void test_compression(void **state)
{
    (void)state;
    skip_unless_root();
    cleanup_buffer struct buffer plain, members;
    struct digest diff_id, other;
    struct tar *tar = tar_new();
    char *large = malloc(1000 * 1000);
    memset(large, 'x', 1000 * 1000);
    tar_bytes(tar, "large", (struct bytes){(uint8_t *)large, 1000 * 1000});
    free(large);
    tar_finish(tar, ARCHIVE_FILTER_NONE, &plain);
    digest_of(plain.bytes, plain.size, &diff_id);
    digest_of("other", 5, &other);
    static const int filters[] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD};
    for (size_t i = 0; i < array_count(filters); i++) {
        struct error error = {0};
        /* In two members, as parallel compressors and lazy-pulling formats write it. */
        buffer_init(&members);
        compress_bytes((struct bytes){plain.bytes, 700}, filters[i], &members);
        compress_bytes((struct bytes){plain.bytes + 700, plain.size - 700}, filters[i], &members);
        assert_true(members.size < plain.size / 10);
        if (unpack_bytes(buffer_view(&members), &diff_id, &error) < 0)
            fail_msg("%s", error.message);
        assert_int_equal(status_of("layer/large").st_size, 1000 * 1000);
        assert_int_equal(unpack_bytes(buffer_view(&members), &other, &error), -EBADMSG);
        /* Compressed twice is not an archive: the second compression is not undone. */
        struct buffer twice;
        buffer_init(&twice);
        compress_bytes(buffer_view(&members), filters[i], &twice);
        assert_int_equal(unpack_bytes(buffer_view(&twice), &diff_id, &error), -EBADMSG);
        buffer_done(&twice);
        buffer_done(&members);
    }
    buffer_init(&members);
}

struct hostile_entry {
    char type; /* f: file, d: directory, l: symbolic link, h: hard link, c, b: devices, p: FIFO */
    const char *name;
    const char *target;
};

struct hostile {
    const char *what;
    int result;
    struct hostile_entry entries[4];
};

static const struct hostile corpus[] = {
    {"a name that climbs out", -EBADMSG, {{'f', "../outside/secret", NULL}}},
    {"a name that climbs out from below", -EBADMSG, {{'f', "a/../../outside/new", NULL}}},
    {"a directory that climbs out", -EBADMSG, {{'d', "a/..", NULL}}},
    {"an absolute name stays inside", 0, {{'f', "/outside/secret", NULL}}},
    {"slashes and dots", 0, {{'f', "//./a//./b", NULL}}},
    {"through a link out", -EBADMSG, {{'l', "x", "../outside"}, {'f', "x/new", NULL}}},
    {"through an absolute link", -EBADMSG, {{'l', "x", "/tmp"}, {'f', "x/consort-escape", NULL}}},
    {"through a link inside", -EBADMSG, {{'d', "y", NULL}, {'l', "x", "y"}, {'f', "x/new", NULL}}},
    {"through two links",
     -EBADMSG,
     {{'l', "x", "y/.."}, {'l', "y", "../outside"}, {'f', "x/outside/new", NULL}}},
    {"onto a link out", 0, {{'l', "x", "../outside/secret"}, {'f', "x", NULL}}},
    {"a directory onto a link out", 0, {{'l', "x", "../outside"}, {'d', "x", NULL}}},
    {"a directory onto a link, then a file in it",
     0,
     {{'l', "x", "../outside"}, {'d', "x", NULL}, {'f', "x/new", NULL}}},
    {"a link onto a directory", 0, {{'d', "x", NULL}, {'l', "x", "../outside"}}},
    {"a link onto a full directory, then a file in it",
     -EBADMSG,
     {{'f', "x/y", NULL}, {'l', "x", "../outside"}, {'f', "x/new", NULL}}},
    {"a hard link out", -EBADMSG, {{'h', "x", "../outside/secret"}}},
    {"an absolute hard link", -EBADMSG, {{'h', "x", "/etc/passwd"}}},
    {"a hard link through a link", -EBADMSG, {{'l', "y", "../outside"}, {'h', "x", "y/secret"}}},
    {"a hard link to a link, then written",
     0,
     {{'l', "y", "../outside/secret"}, {'h', "x", "y"}, {'f', "x", NULL}}},
    {"a hard link to itself", -EBADMSG, {{'f', "x", NULL}, {'h', "x", "x"}}},
    {"a hard link to a directory", -EBADMSG, {{'d', "y", NULL}, {'h', "x", "y"}}},
    {"a hard link to the root", -EBADMSG, {{'h', "x", "/"}}},
    {"a hard link to a whiteout", -EBADMSG, {{'f', ".wh.y", NULL}, {'h', "x", "y"}}},
    {"a hard link through a file", -EBADMSG, {{'f', "y", NULL}, {'h', "x", "y/z"}}},
    {"a file below a file", -EBADMSG, {{'f', "x", NULL}, {'f', "x/y", NULL}}},
    {"a file instead of the root", -EBADMSG, {{'f', "./", NULL}}},
    {"a link instead of the root", -EBADMSG, {{'l', ".", "../outside"}}},
    {"a device", -EPERM, {{'b', "disk", NULL}}},
    {"a device with a whiteout's numbers", -EPERM, {{'c', "x", NULL}}},
    {"a device in /dev is skipped", 0, {{'c', "dev/null", NULL}, {'b', "dev/x/y", NULL}}},
    {"a device beside /dev", -EPERM, {{'c', "devil/x", NULL}}},
    {"a whiteout of nothing", -EBADMSG, {{'f', ".wh.", NULL}}},
    {"a whiteout of .", -EBADMSG, {{'f', ".wh..", NULL}}},
    {"a whiteout of ..", -EBADMSG, {{'f', "a/.wh...", NULL}}},
    {"a whiteout through a link",
     -EBADMSG,
     {{'l', "x", "../outside"}, {'f', "x/.wh.secret", NULL}}},
    {"opaque through a link", -EBADMSG, {{'l', "x", "../outside"}, {'f', "x/.wh..wh..opq", NULL}}},
    {"a file below a whiteout", 0, {{'f', ".wh.x", NULL}, {'f', "x/y", NULL}}},
};

static void add_hostile(struct tar *tar, const struct hostile_entry *hostile)
{
    static const struct {
        char letter;
        unsigned type;
    } types[] = {{'d', AE_IFDIR}, {'c', AE_IFCHR}, {'b', AE_IFBLK}, {'p', AE_IFIFO}};
    if (hostile->type == 'f')
        tar_file(tar, hostile->name, "hostile");
    else if (hostile->type == 'l')
        tar_symlink(tar, hostile->name, hostile->target);
    else if (hostile->type == 'h')
        tar_hard_link(tar, hostile->name, hostile->target);
    for (size_t i = 0; i < array_count(types); i++) {
        if (types[i].letter == hostile->type)
            tar_add(tar, tar_entry(hostile->name, types[i].type), NULL, 0);
    }
}

/* Breaks if any archive can read, write or change anything outside its layer. */
static void test_hostile(void **state)
{
    (void)state;
    skip_unless_root();
    for (size_t i = 0; i < array_count(corpus); i++) {
        struct tar *tar = tar_new();
        for (size_t j = 0; j < array_count(corpus[i].entries) && corpus[i].entries[j].type; j++)
            add_hostile(tar, &corpus[i].entries[j]);
        struct error error = {0};
        int r = unpack(tar, &error);
        if (r != corpus[i].result)
            fail_msg("%s: %d, %s", corpus[i].what, r, error.message);
        assert_outside_untouched();
        assert_int_equal(access("/tmp/consort-escape", F_OK), -1);
    }
}

/* Breaks if names, depth or owners past their bounds are taken or overrun a buffer. */
static void test_bounds(void **state)
{
    (void)state;
    skip_unless_root();
    static char name[2 * LAYER_PATH_BYTES_MAX];
    struct error error = {0};
    static const struct {
        size_t size, component;
        int result;
    } cases[] = {{255, 255, 0},    {256, 256, -EBADMSG}, {511, 2, 0},
                 {513, 2, -E2BIG}, {2999, 200, 0},       {4999, 200, -E2BIG}};
    for (size_t i = 0; i < array_count(cases); i++) {
        for (size_t j = 0; j < cases[i].size; j++)
            name[j] = (j + 1) % cases[i].component == 0 && cases[i].component < 255 ? '/' : 'n';
        name[cases[i].size] = '\0';
        struct tar *tar = tar_new();
        tar_file(tar, name, "x");
        int r = unpack(tar, &error);
        if (r != cases[i].result)
            fail_msg("%zu bytes: %d, %s", cases[i].size, r, error.message);
    }
    static const int64_t owners[] = {UINT32_MAX, INT64_C(1) << 40};
    for (size_t i = 0; i < array_count(owners); i++) {
        struct tar *tar = tar_new();
        struct archive_entry *entry = tar_entry("x", AE_IFREG);
        archive_entry_set_uid(entry, owners[i]);
        tar_add(tar, entry, NULL, 0);
        assert_int_equal(unpack(tar, &error), -EBADMSG);
    }
}

static void make_sample(struct buffer *ret)
{
    struct tar *tar = tar_new();
    tar_directory(tar, "a");
    tar_file(tar, "a/file", "some text");
    tar_symlink(tar, "a/link", "../outside/secret");
    tar_hard_link(tar, "a/hard", "a/file");
    tar_file(tar, "a/.wh.x", "");
    tar_finish(tar, ARCHIVE_FILTER_NONE, ret);
}

/* Breaks if an archive that was cut off passes for whole. */
static void test_truncated(void **state)
{
    (void)state;
    skip_unless_root();
    cleanup_buffer struct buffer sample;
    make_sample(&sample);
    struct digest diff_id;
    digest_of(sample.bytes, sample.size, &diff_id);
    for (size_t size = 0; size < sample.size; size += 256) {
        struct error error = {0};
        int r = unpack_bytes((struct bytes){sample.bytes, size}, &diff_id, &error);
        assert_true(r < 0);
        assert_true(strlen(error.message) > 0);
        assert_outside_untouched();
    }
}

/* Breaks if bits that flip on the way do more than fail. */
static void test_flipped(void **state)
{
    (void)state;
    skip_unless_root();
    cleanup_buffer struct buffer sample;
    make_sample(&sample);
    struct digest diff_id;
    digest_of(sample.bytes, sample.size, &diff_id);
    struct random random;
    random_init(&random, 1);
    for (int round = 0; round < 300; round++) {
        size_t at = (size_t)random_below(&random, sample.size);
        uint8_t before = sample.bytes[at];
        sample.bytes[at] ^= (uint8_t)(1 + random_below(&random, 255));
        assert_true(unpack_bytes(buffer_view(&sample), &diff_id, NULL) < 0);
        assert_outside_untouched();
        sample.bytes[at] = before;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_metadata, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whiteouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compression, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flipped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
