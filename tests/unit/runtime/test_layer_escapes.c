/* Archives that try to get out of their layer: all that two entries can do together, and a sample
 * of what three can, in one layer and in one above another. */
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
#include "base/text_list.h"
#include "runtime/image/disk.h"
#include "runtime/image/layer.h"
#include "runtime/rootfs.h"
#include "runtime/tree.h"
#include "runtime/user.h"
#include "tests/unit/runtime/fixture.h"

enum {
    TRIPLES = 3000,
    LAYERED = 500,
    MOVES_MAX = 128,
};

/* One entry of an archive. */
struct move {
    char type; /* file, directory, link, hard link, pipe, device, whiteout, opaque */
    const char *name, *target;
};

/* SCRATCH/layer and SCRATCH/upper are unpacked into; SCRATCH/outside/secret must stay as it is. */
static char scratch[SCRATCH_PATH_BYTES];
static char outside[SCRATCH_PATH_BYTES + 16], secret[SCRATCH_PATH_BYTES + 16];
static int scratch_fd = -1;
static struct move moves[MOVES_MAX];
static size_t move_count;

static void add_moves(void)
{
    static const char *const names[] = {"x", "x/y", "/x", "./x/y/z"};
    const char *const targets[] = {
        "../outside", "../outside/secret", outside, secret, "x", "x/y", "/", ".."};
    for (const char *type = "fdpcwolh"; *type; type++)
        for (size_t i = 0; i < array_count(names); i++)
            for (size_t j = 0; j < (strchr("lh", *type) ? array_count(targets) : 1); j++) {
                assert_true(move_count < MOVES_MAX);
                moves[move_count++] = (struct move){*type, names[i], targets[j]};
            }
}

static int setup(void **state)
{
    (void)state;
    if (!is_root())
        return 0;
    scratch_make(scratch);
    scratch_write(scratch, "outside/secret", bytes_of_text("secret"));
    snprintf(outside, sizeof(outside), "%s/outside", scratch);
    snprintf(secret, sizeof(secret), "%s/outside/secret", scratch);
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    move_count = 0;
    add_moves();
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

static void skip_unless_root(void)
{
    if (!is_root())
        skip();
}

/* A whiteout's name has the prefix in its last component. */
static void marked(const char *name, char ret[64])
{
    const char *slash = strrchr(name, '/');
    size_t parent = slash ? (size_t)(slash - name) + 1 : 0;
    snprintf(ret, 64, "%.*s.wh.%s", (int)parent, name, name + parent);
}

static void add_move(struct tar *tar, const struct move *move)
{
    char name[64];
    switch (move->type) {
    case 'f':
        tar_file(tar, move->name, "hostile");
        break;
    case 'd':
        tar_directory(tar, move->name);
        break;
    case 'p':
        tar_add(tar, tar_entry(move->name, AE_IFIFO), NULL, 0);
        break;
    case 'c':
        tar_add(tar, tar_entry(move->name, AE_IFCHR), NULL, 0);
        break;
    case 'w':
        marked(move->name, name);
        tar_file(tar, name, "");
        break;
    case 'o':
        snprintf(name, sizeof(name), "%s/.wh..wh..opq", move->name);
        tar_file(tar, name, "");
        break;
    case 'l':
        tar_symlink(tar, move->name, move->target);
        break;
    case 'h':
        tar_hard_link(tar, move->name, move->target);
        break;
    default:
        fail();
    }
}

static int unpack(const char *directory, const struct move *const *chosen, size_t count)
{
    struct tar *tar = tar_new();
    cleanup_buffer struct buffer archive;
    struct digest diff_id;
    struct error error = {0};
    for (size_t i = 0; i < count; i++)
        add_move(tar, chosen[i]);
    tar_finish(tar, ARCHIVE_FILTER_NONE, &archive);
    digest_of(archive.bytes, archive.size, &diff_id);
    assert_int_equal(tree_remove(scratch_fd, directory), 0);
    cleanup_close int directory_fd = -1;
    cleanup_close int blob_fd = openat(scratch_fd, "blob", O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(disk_open_directory(scratch_fd, directory, &directory_fd), 0);
    assert_int_equal(disk_write_all(blob_fd, archive.bytes, archive.size), 0);
    int r = layer_unpack(blob_fd, directory_fd, &diff_id, &error);
    assert_true(r == 0 || (r < 0 && error.message[0]));
    return r;
}

static int count_entry(void *context, const char *name)
{
    (void)name;
    (*(int *)context)++;
    return 0;
}

static void describe(const struct move *const *chosen, size_t count)
{
    for (size_t i = 0; i < count; i++)
        print_error("  %c %s %s\n", chosen[i]->type, chosen[i]->name, chosen[i]->target);
}

static bool is_untouched(int expected_entries)
{
    char value;
    struct stat status, directory;
    cleanup_close int outside_fd = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_buffer struct buffer text;
    buffer_init(&text);
    int entries = 0, beside = 0;
    return outside_fd >= 0 && disk_each_entry(outside_fd, count_entry, &entries) == 0 &&
           entries == 1 && disk_each_entry(scratch_fd, count_entry, &beside) == 0 &&
           beside == expected_entries && fstat(outside_fd, &directory) == 0 &&
           (directory.st_mode & 07777) == 0755 && lstat(secret, &status) == 0 &&
           S_ISREG(status.st_mode) && status.st_nlink == 1 && (status.st_mode & 07777) == 0644 &&
           disk_read_file(outside_fd, "secret", 100, &text) == 0 && text.size == 6 &&
           memcmp(text.bytes, "secret", 6) == 0 &&
           lgetxattr(outside, "trusted.overlay.opaque", &value, 1) < 0;
}

/* No device came of it but what overlayfs takes for a whiteout. */
static bool has_no_device(const char *directory)
{
    static const char *const names[] = {"x", "x/y", "x/y/z"};
    for (size_t i = 0; i < array_count(names); i++) {
        char path[64];
        struct stat status;
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        if (fstatat(scratch_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            (S_ISBLK(status.st_mode) ||
             (S_ISCHR(status.st_mode) && status.st_rdev != makedev(0, 0))))
            return false;
    }
    return true;
}

static void try_moves(const struct move *const *chosen, size_t count)
{
    unpack("layer", chosen, count);
    if (is_untouched(3) && has_no_device("layer"))
        return;
    describe(chosen, count);
    fail_msg("it got out");
}

/* Breaks if any two entries of one layer can do together what neither can alone. */
static void test_pairs(void **state)
{
    (void)state;
    skip_unless_root();
    for (size_t i = 0; i < move_count; i++)
        for (size_t j = 0; j < move_count; j++)
            try_moves((const struct move *[]){&moves[i], &moves[j]}, 2);
}

static const struct move *any_move(struct random *random)
{
    return &moves[random_below(random, move_count)];
}

/* Breaks if three can. */
static void test_triples(void **state)
{
    (void)state;
    skip_unless_root();
    struct random random;
    random_init(&random, 7);
    for (int round = 0; round < TRIPLES; round++)
        try_moves((const struct move *[]){any_move(&random), any_move(&random), any_move(&random)},
                  3);
}

/* Whether a path in the container's root leads to what is outside of it. */
static bool leads_out(const char *rootfs, const char *path)
{
    struct stat found, file, directory;
    assert_int_equal(stat(secret, &file), 0);
    assert_int_equal(stat(outside, &directory), 0);
    return user_stat_inside(rootfs, path, &found) == 0 &&
           ((found.st_ino == file.st_ino && found.st_dev == file.st_dev) ||
            (found.st_ino == directory.st_ino && found.st_dev == directory.st_dev));
}

/* Breaks if what one layer has lets one above it, or the container's root that both make, get out.
 */
static void test_layers(void **state)
{
    (void)state;
    skip_unless_root();
    static const char *const paths[] = {"x", "x/secret", "x/y", "x/y/secret", "/etc/passwd"};
    struct random random;
    random_init(&random, 8);
    char container[SCRATCH_PATH_BYTES + 16], lower[sizeof(container)], upper[sizeof(container)];
    snprintf(container, sizeof(container), "%s/container", scratch);
    snprintf(lower, sizeof(lower), "%s/layer", scratch);
    snprintf(upper, sizeof(upper), "%s/upper", scratch);
    for (int round = 0; round < LAYERED; round++) {
        const struct move *chosen[] = {any_move(&random), any_move(&random), any_move(&random)};
        unpack("layer", chosen, 2);
        unpack("upper", chosen + 2, 1);
        struct text_list layers = {0};
        char *rootfs = NULL;
        struct error error = {0};
        assert_int_equal(mkdir(container, 0700), 0);
        assert_int_equal(text_list_add(&layers, lower), 0);
        assert_int_equal(text_list_add(&layers, upper), 0);
        if (rootfs_mount(container, &layers, NULL, &rootfs, &error) < 0)
            fail_msg("%s", error.message);
        for (size_t i = 0; i < array_count(paths); i++) {
            if (leads_out(rootfs, paths[i])) {
                describe(chosen, 3);
                fail_msg("%s leads out", paths[i]);
            }
        }
        assert_int_equal(rootfs_remove(container, &error), 0);
        free(rootfs);
        text_list_done(&layers);
        assert_int_equal(tree_remove(scratch_fd, "container"), 0);
        if (!is_untouched(4)) {
            describe(chosen, 3);
            fail_msg("it got out");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_triples, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
