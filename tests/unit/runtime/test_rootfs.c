#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/bounds.h"
#include "runtime/rootfs.h"
#include "tests/unit/runtime/image_fixture.h"

static char scratch[SCRATCH_PATH_BYTES];
static char container[SCRATCH_PATH_BYTES + 32];

static int setup(void **state)
{
    (void)state;
    scratch_make(scratch);
    /* What a mount option would have to escape. */
    snprintf(container, sizeof(container), "%s/a b,c:d\\e", scratch);
    return mkdir(container, 0700);
}

static int teardown(void **state)
{
    (void)state;
    rootfs_unmount(container, NULL);
    scratch_remove(scratch);
    return 0;
}

/* Adds SCRATCH/<name>, made with one file, to the layers. */
static void add_layer(struct text_list *layers, const char *name, const char *file,
                      const char *text)
{
    char path[SCRATCH_PATH_BYTES + 128];
    snprintf(path, sizeof(path), "%s/%s", name, file);
    scratch_write(scratch, path, bytes_of_text(text));
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    chmod(path, 0751);
    assert_int_equal(text_list_add(layers, path), 0);
}

/* Mounts, or skips the test where overlayfs is not to be had. */
static void mount_or_skip(const struct text_list *layers, char **ret)
{
    struct error error = {0};
    if (!is_root())
        skip();
    int r = rootfs_mount(container, layers, NULL, ret, &error);
    if (r == -ENODEV || r == -EPERM)
        skip();
    if (r < 0)
        fail_msg("%s", error.message);
}

static void assert_content(const char *root, const char *name, const char *text)
{
    char path[512], found[64] = {0};
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *file = fopen(path, "re");
    if (!file) {
        assert_null(text);
        return;
    }
    assert_non_null(text);
    size_t size = fread(found, 1, sizeof(found) - 1, file);
    fclose(file);
    assert_int_equal(size, strlen(text));
    assert_string_equal(found, text);
}

/* Breaks if upper layers do not win over lower ones, or a container's own files over both. */
static void test_mount(void **state)
{
    (void)state;
    struct text_list layers = {0};
    cleanup_free char *root = NULL, *again = NULL;
    add_layer(&layers, "low", "file", "low");
    add_layer(&layers, "low2", "other", "other");
    add_layer(&layers, "high", "file", "high");
    mount_or_skip(&layers, &root);
    assert_true(rootfs_mounted(container));
    assert_content(root, "file", "high");
    assert_content(root, "other", "other");
    struct stat status;
    assert_int_equal(stat(root, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0751);
    scratch_write(root, "file", bytes_of_text("own"));
    assert_int_equal(rootfs_mount(container, &layers, NULL, &again, NULL), 0);
    assert_content(again, "file", "own");
    assert_content(scratch, "high/file", "high");
    assert_int_equal(rootfs_unmount(container, NULL), 0);
    assert_false(rootfs_mounted(container));
    assert_content(root, "file", NULL);
    /* Kept over a restart, until it is removed. */
    free(take_pointer(again));
    assert_int_equal(rootfs_mount(container, &layers, NULL, &again, NULL), 0);
    assert_content(root, "file", "own");
    assert_int_equal(rootfs_remove(container, NULL), 0);
    assert_int_equal(rootfs_remove(container, NULL), 0);
    assert_int_equal(rmdir(container), 0);
    assert_int_equal(rootfs_remove(container, NULL), 0);
    assert_content(scratch, "high/file", "high");
    text_list_done(&layers);
}

/* Breaks if what is shown of an image is not what a container of it would see, or can be written.
 */
static void test_image(void **state)
{
    (void)state;
    struct text_list layers = {0};
    char target[SCRATCH_PATH_BYTES + 64], path[SCRATCH_PATH_BYTES + 96];
    struct error error = {0};
    if (!is_root())
        skip();
    add_layer(&layers, "low", "file", "low");
    snprintf(target, sizeof(target), "%s/shown", container);
    snprintf(path, sizeof(path), "%s/file", target);
    assert_int_equal(mkdir(target, 0700), 0);
    for (int round = 0; round < 2; round++) {
        int r = rootfs_mount_image(container, &layers, NULL, target, &error);
        if (r == -ENODEV || r == -EPERM)
            skip();
        if (r < 0)
            fail_msg("%s", error.message);
        struct stat status;
        assert_content(target, "file", round == 0 ? "low" : "high");
        assert_content(target, "other", round == 0 ? NULL : "other");
        assert_int_equal(stat(target, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0751);
        assert_int_equal(unlink(path), -1);
        assert_int_equal(errno, EROFS);
        assert_int_equal(umount2(target, MNT_DETACH), 0);
        if (round == 0) {
            add_layer(&layers, "low2", "other", "other");
            add_layer(&layers, "high", "file", "high");
        }
    }
    text_list_done(&layers);
}

/* Breaks if an image of as many layers as there may be does not fit the kernel's page of options.
 */
static void test_many_layers(void **state)
{
    (void)state;
    struct text_list layers = {0};
    cleanup_free char *root = NULL;
    for (int i = 0; i < IMAGE_LAYERS_MAX; i++) {
        char name[100], text[16];
        snprintf(name, sizeof(name), "%064d", i);
        snprintf(text, sizeof(text), "%d", i);
        add_layer(&layers, name, "file", text);
    }
    mount_or_skip(&layers, &root);
    assert_content(root, "file", "127");
    add_layer(&layers, "one-more", "file", "too many");
    assert_int_equal(rootfs_remove(container, NULL), 0);
    cleanup_free char *refused = NULL;
    assert_int_equal(rootfs_mount(container, &layers, NULL, &refused, NULL), -EINVAL);
    assert_null(refused);
    text_list_done(&layers);
}

struct found {
    int count;
    char last[512];
};

static void note(void *context, const char *container_dir)
{
    struct found *found = context;
    found->count++;
    snprintf(found->last, sizeof(found->last), "%s", container_dir);
}

/* Breaks if mounts that a crash left behind are not found again. */
static void test_list(void **state)
{
    (void)state;
    struct text_list layers = {0};
    struct found found = {0};
    cleanup_free char *root = NULL;
    add_layer(&layers, "low", "file", "low");
    assert_int_equal(rootfs_list(scratch, note, &found, NULL), 0);
    assert_int_equal(found.count, 0);
    mount_or_skip(&layers, &root);
    assert_int_equal(rootfs_list(scratch, note, &found, NULL), 0);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.last, container);
    /* Twice on one another: both go. */
    assert_int_equal(mount("tmpfs", root, "tmpfs", 0, NULL), 0);
    assert_int_equal(rootfs_unmount(container, NULL), 0);
    assert_int_equal(rootfs_unmount(container, NULL), 0);
    found.count = 0;
    assert_int_equal(rootfs_list(scratch, note, &found, NULL), 0);
    assert_int_equal(found.count, 0);
    assert_int_equal(rootfs_list("/nowhere", note, &found, NULL), 0);
    text_list_done(&layers);
}

/* Breaks if an image does not come out of its layers as it went in, deletions included. */
static void test_whole_way(void **state)
{
    (void)state;
    struct text_list layers = {0};
    cleanup_free char *root = NULL;
    struct image_store *store = NULL;
    struct image *image = NULL;
    struct sample sample;
    struct error error = {0};
    char path[SCRATCH_PATH_BYTES + 8];
    if (!is_root())
        skip();
    sample_make("whole", ARCHIVE_FILTER_ZSTD, &sample);
    snprintf(path, sizeof(path), "%s/store", scratch);
    assert_int_equal(image_store_open(path, &store, NULL), 0);
    sample_store(&sample, store, "whole");
    if (image_store_load(store, &sample.digest, &image, &error) < 0 ||
        image_store_unpack(store, image, &layers, &error) < 0)
        fail_msg("%s", error.message);
    mount_or_skip(&layers, &root);
    assert_content(root, "etc/base", "the same for all");
    assert_content(root, "etc/word", "whole");
    assert_content(root, "etc/gone", NULL);
    assert_content(root, "etc/old/gone", NULL);
    assert_content(root, "etc/old/new", "new");
    assert_int_equal(rootfs_remove(container, NULL), 0);
    text_list_done(&layers);
    image_free(image);
    image_store_free(store);
    sample_done(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mount, setup, teardown),
        cmocka_unit_test_setup_teardown(test_image, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_layers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
