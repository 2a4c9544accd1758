#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/image/image_import.h"
#include "runtime/image/image_save.h"
#include "tests/unit/runtime/image_fixture.h"

struct scene {
    char directory[SCRATCH_PATH_BYTES];
    char archive[SCRATCH_PATH_BYTES + 16];
    struct image_store *stores[2];
    struct sample sample;
};

static void scene_init(struct scene *scene)
{
    scratch_make(scene->directory);
    snprintf(scene->archive, sizeof(scene->archive), "%s/saved.tar", scene->directory);
    for (unsigned i = 0; i < 2; i++) {
        char path[SCRATCH_PATH_BYTES + 16];
        snprintf(path, sizeof(path), "%s/store%u", scene->directory, i);
        assert_int_equal(image_store_open(path, &scene->stores[i], NULL), 0);
    }
    sample_make("one", ARCHIVE_FILTER_GZIP, &scene->sample);
    sample_store(&scene->sample, scene->stores[0], "team/one:2");
}

static void scene_done(struct scene *scene)
{
    image_store_free(scene->stores[0]);
    image_store_free(scene->stores[1]);
    sample_done(&scene->sample);
    scratch_remove(scene->directory);
}

static int save(struct scene *scene, const char *name, struct error *error)
{
    cleanup_close int fd = open(scene->archive, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return image_save(scene->stores[0], name, fd, error);
}

/* Breaks if a saved image is another one when it is imported elsewhere, or has another name. */
static void test_same_elsewhere(void **state)
{
    (void)state;
    struct scene scene;
    struct image_imported *imported = NULL;
    size_t count = 0;
    scene_init(&scene);
    assert_int_equal(save(&scene, "team/one:2", NULL), 0);
    assert_int_equal(image_import(scene.stores[1], scene.archive, NULL, &imported, &count, NULL),
                     0);
    assert_int_equal(count, 1);
    assert_string_equal(imported[0].reference, "team/one:2");
    assert_true(digest_equal(&imported[0].digest, &scene.sample.digest));
    free(imported);
    scene_done(&scene);
}

/* Breaks if Docker's part of the archive alone does not describe the image. */
static void test_docker_part(void **state)
{
    (void)state;
    struct scene scene;
    char command[8 * SCRATCH_PATH_BYTES];
    scene_init(&scene);
    assert_int_equal(save(&scene, "team/one:2", NULL), 0);
    snprintf(command, sizeof(command),
             "tar -C %s -xf %s && cd %s && grep -q team/one:2 manifest.json "
             "&& rm index.json oci-layout && tar -cf %s manifest.json blobs",
             scene.directory, scene.archive, scene.directory, scene.archive);
    assert_int_equal(system(command), 0);
    assert_int_equal(image_import(scene.stores[1], scene.archive, NULL, NULL, NULL, NULL), 0);
    struct digest digest;
    struct image *image = NULL;
    assert_int_equal(image_store_resolve(scene.stores[1], "team/one:2", &digest, NULL), 0);
    assert_int_equal(image_store_load(scene.stores[1], &digest, &image, NULL), 0);
    assert_int_equal(image->layer_count, SAMPLE_LAYERS);
    assert_true(digest_equal(&image->config_blob.digest, &scene.sample.config_digest));
    image_free(image);
    scene_done(&scene);
}

/* Breaks if an image that was named by its digest gets a name, or can't be saved. */
static void test_by_digest(void **state)
{
    (void)state;
    struct scene scene;
    char text[DIGEST_TEXT_BYTES];
    scene_init(&scene);
    digest_format(&scene.sample.digest, text);
    assert_int_equal(save(&scene, text, NULL), 0);
    assert_int_equal(image_import(scene.stores[1], scene.archive, NULL, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(image_import(scene.stores[1], scene.archive, "mine:1", NULL, NULL, NULL), 0);
    scene_done(&scene);
}

/* Breaks if what is not here, not whole, or can't be written is called saved. */
static void test_fails(void **state)
{
    (void)state;
    struct scene scene;
    struct error error = {0};
    scene_init(&scene);
    assert_int_equal(save(&scene, "none:1", &error), -ENOENT);
    cleanup_close int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(image_save(scene.stores[0], "team/one:2", full, &error), -ENOSPC);
    assert_non_null(strstr(error.message, "saving team/one:2"));
    blob_store_remove(image_store_blobs(scene.stores[0]), &scene.sample.layer_digests[1], NULL);
    assert_int_equal(save(&scene, "team/one:2", &error), -ENOENT);
    scene_done(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_elsewhere),
        cmocka_unit_test(test_docker_part),
        cmocka_unit_test(test_by_digest),
        cmocka_unit_test(test_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
