#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/image/image_import.h"
#include "tests/unit/runtime/image_fixture.h"

static char scratch[SCRATCH_PATH_BYTES];
static char store_path[SCRATCH_PATH_BYTES + 8];
static char archive_path[SCRATCH_PATH_BYTES + 8];
static struct sample one, two;

static int setup(void **state)
{
    scratch_make(scratch);
    snprintf(store_path, sizeof(store_path), "%s/store", scratch);
    snprintf(archive_path, sizeof(archive_path), "%s/a.tar", scratch);
    sample_make("one", ARCHIVE_FILTER_NONE, &one);
    sample_make("two", ARCHIVE_FILTER_NONE, &two);
    struct image_store *store = NULL;
    int r = image_store_open(store_path, &store, NULL);
    *state = store;
    return r;
}

static int teardown(void **state)
{
    image_store_free(*state);
    sample_done(&one);
    sample_done(&two);
    scratch_remove(scratch);
    return 0;
}

static void assert_empty(struct image_store *store)
{
    struct image_summary *list = NULL;
    size_t count = 0;
    struct digest_set blobs = {0};
    assert_int_equal(image_store_list(store, &list, &count, NULL), 0);
    assert_int_equal(count, 0);
    assert_int_equal(blob_store_list(image_store_blobs(store), &blobs, NULL), 0);
    assert_int_equal(blobs.count, 0);
    digest_set_done(&blobs);
    free(list);
}

/* Writes the archive and imports it. */
static int import_tar(struct image_store *store, struct tar *tar, int filter, const char *name,
                      struct error *error)
{
    cleanup_buffer struct buffer archive;
    tar_finish(tar, filter, &archive);
    scratch_write(scratch, "a.tar", buffer_view(&archive));
    return image_import(store, archive_path, name, NULL, NULL, error);
}

/* The command of the image with that name, which tells the samples apart. */
static void assert_command(struct image_store *store, const char *name, const char *command)
{
    struct digest digest;
    struct image *image = NULL;
    struct error error = {0};
    if (image_store_resolve(store, name, &digest, &error) < 0 ||
        image_store_load(store, &digest, &image, &error) < 0)
        fail_msg("%s", error.message);
    assert_string_equal(image->config.command.items[0], command);
    image_free(image);
}

static void add_docker_manifest(struct tar *tar, const struct sample *sample, const char *tags)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    buffer_append_text(&json, "[");
    sample_docker_entry(sample, tags, &json);
    buffer_append_text(&json, "]");
    tar_bytes(tar, "manifest.json", buffer_view(&json));
}

static void add_index(struct tar *tar, const struct sample *sample, const char *name)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    oci_index(&sample->digest, sample->manifest.size, NULL, name, &json);
    tar_bytes(tar, "index.json", buffer_view(&json));
}

/* Breaks if what `docker save` writes cannot be imported, or gives another image each time. */
static void test_docker(void **state)
{
    struct image_store *store = *state;
    static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD};
    struct digest first = {0}, digest;
    for (size_t i = 0; i < array_count(filters); i++) {
        struct error error = {0};
        struct tar *tar = tar_new();
        /* The description may come before or after what it describes. */
        if (i == 1)
            add_docker_manifest(tar, &one, "[\"hello:1\",\"docker.io/library/hello:uno\"]");
        sample_add_docker(&one, tar);
        tar_file(tar, "repositories", "{}");
        if (i != 1)
            add_docker_manifest(tar, &one, "[\"hello:1\",\"docker.io/library/hello:uno\"]");
        if (import_tar(store, tar, filters[i], NULL, &error) < 0)
            fail_msg("%s", error.message);
        assert_command(store, "hello:1", "one");
        assert_command(store, "hello:uno", "one");
        assert_int_equal(image_store_resolve(store, "hello:1", &digest, NULL), 0);
        if (i > 0)
            assert_true(digest_equal(&digest, &first));
        first = digest;
        assert_int_equal(image_store_remove(store, "hello:1", NULL), 0);
        assert_int_equal(image_store_remove(store, "hello:uno", NULL), 0);
        assert_empty(store);
    }
}

/* Breaks if an archive of many images loses one, or links between them are not followed. */
static void test_docker_many(void **state)
{
    struct image_store *store = *state;
    struct tar *tar = tar_new();
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    buffer_append_text(&json, "[");
    sample_docker_entry(&one, "[\"one\"]", &json);
    buffer_append_text(&json,
                       ",{\"Config\":\"b/config\",\"RepoTags\":[\"two\"],\"Layers\":[\"b/c/base\","
                       "\"b/layer\"]}]");
    sample_add_docker(&one, tar);
    tar_bytes(tar, "config", buffer_view(&two.config));
    tar_hard_link(tar, "b/config", "config");
    char target[SAMPLE_NAME_BYTES + 32], hex[DIGEST_HEX_BYTES];
    digest_format_hex(&one.diff_ids[0], hex);
    snprintf(target, sizeof(target), "../../%s/layer.tar", hex);
    tar_symlink(tar, "b/c/base", target);
    tar_bytes(tar, "b/layer", buffer_view(&two.layers[1]));
    tar_bytes(tar, "manifest.json", buffer_view(&json));
    struct error error = {0};
    if (import_tar(store, tar, ARCHIVE_FILTER_NONE, NULL, &error) < 0)
        fail_msg("%s", error.message);
    assert_command(store, "one", "one");
    assert_command(store, "two", "two");
}

/* Breaks if an OCI archive or layout cannot be imported under the digest that it has elsewhere. */
static void test_oci(void **state)
{
    struct image_store *store = *state;
    struct error error = {0};
    struct digest digest;
    struct tar *tar = tar_new();
    add_index(tar, &one, "registry.example:5000/team/one:v1");
    sample_add_oci(&one, tar);
    if (import_tar(store, tar, ARCHIVE_FILTER_ZSTD, NULL, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(image_store_resolve(store, "registry.example:5000/team/one:v1", &digest, NULL),
                     0);
    assert_true(digest_equal(&digest, &one.digest));

    char layout[SCRATCH_PATH_BYTES + 16];
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    snprintf(layout, sizeof(layout), "%s/layout", scratch);
    mkdir(layout, 0755);
    oci_index(&two.digest, two.manifest.size, NULL, "two:latest", &json);
    scratch_write(layout, "index.json", buffer_view(&json));
    sample_write_oci(&two, layout);
    struct image_imported *imported = NULL;
    size_t count = 0;
    if (image_import(store, layout, NULL, &imported, &count, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(count, 1);
    assert_string_equal(imported[0].reference, "two:latest");
    assert_true(digest_equal(&imported[0].digest, &two.digest));
    free(imported);
    /* Our own store is a layout, too. */
    assert_command(store, "two", "two");
}

/* Breaks if images without a name of their own cannot be given one, or several get the same. */
static void test_names(void **state)
{
    struct image_store *store = *state;
    struct error error = {0};
    struct tar *tar = tar_new();
    add_index(tar, &one, "latest"); /* as many tools write the tag alone */
    sample_add_oci(&one, tar);
    assert_int_equal(import_tar(store, tar, ARCHIVE_FILTER_NONE, NULL, &error), -EINVAL);
    assert_non_null(strstr(error.hint, "image import FILE NAME"));
    assert_empty(store);
    assert_int_equal(image_import(store, archive_path, "my/one", NULL, NULL, &error), 0);
    assert_command(store, "my/one:latest", "one");
    assert_int_equal(image_import(store, archive_path, "Not A Name", NULL, NULL, &error), -EINVAL);
    assert_int_equal(image_store_remove(store, "my/one", NULL), 0);

    /* docker save writes both descriptions since 25; the names may be in its own only. */
    tar = tar_new();
    add_index(tar, &one, NULL);
    sample_add_oci(&one, tar);
    sample_add_docker(&one, tar);
    add_docker_manifest(tar, &one, "[\"both\"]");
    if (import_tar(store, tar, ARCHIVE_FILTER_NONE, NULL, &error) < 0)
        fail_msg("%s", error.message);
    assert_command(store, "both", "one");
    assert_int_equal(image_store_remove(store, "both", NULL), 0);

    tar = tar_new();
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    buffer_append_text(&json, "[");
    sample_docker_entry(&one, "null", &json);
    buffer_append_text(&json, ",");
    sample_docker_entry(&two, "null", &json);
    buffer_append_text(&json, "]");
    sample_add_docker(&one, tar);
    sample_add_docker(&two, tar);
    tar_bytes(tar, "manifest.json", buffer_view(&json));
    assert_int_equal(import_tar(store, tar, ARCHIVE_FILTER_NONE, "both", &error), -EINVAL);
    assert_empty(store);
}

/* Breaks if an image for several platforms loses the others, or one that is not whole is taken. */
static void test_platforms(void **state)
{
    struct image_store *store = *state;
    struct error error = {0};
    char text[2][DIGEST_TEXT_BYTES];
    digest_format(&one.digest, text[0]);
    digest_format(&two.digest, text[1]);
    cleanup_buffer struct buffer index, top;
    buffer_init(&index);
    buffer_init(&top);
    buffer_printf(&index,
                  "{\"schemaVersion\":2,\"manifests\":["
                  "{\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\","
                  "\"architecture\":\"%s\"}},{\"digest\":\"%s\",\"size\":%zu,\"platform\":"
                  "{\"os\":\"linux\",\"architecture\":\"vax\"}}]}",
                  text[0], one.manifest.size, image_host_architecture(), text[1],
                  two.manifest.size);
    struct digest digest;
    char name[SAMPLE_NAME_BYTES];
    digest_of(index.bytes, index.size, &digest);
    blob_name(&digest, name);
    oci_index(&digest, index.size, NULL, "multi:1", &top);
    for (int with_other = 1; with_other >= 0; with_other--) {
        struct tar *tar = tar_new();
        tar_bytes(tar, "index.json", buffer_view(&top));
        tar_bytes(tar, name, buffer_view(&index));
        sample_add_oci(&one, tar);
        if (with_other)
            sample_add_oci(&two, tar);
        if (import_tar(store, tar, ARCHIVE_FILTER_NONE, NULL, &error) < 0)
            fail_msg("%s", error.message);
        assert_command(store, "multi:1", "one");
        assert_int_equal(blob_store_has(image_store_blobs(store), &two.digest), with_other);
        assert_int_equal(blob_store_has(image_store_blobs(store), &two.layer_digests[1]),
                         with_other);
        assert_int_equal(image_store_remove(store, "multi:1", NULL), 0);
    }
    struct tar *tar = tar_new();
    tar_bytes(tar, "index.json", buffer_view(&top));
    tar_bytes(tar, name, buffer_view(&index));
    sample_add_oci(&two, tar);
    assert_int_equal(import_tar(store, tar, ARCHIVE_FILTER_NONE, NULL, &error), -EBADMSG);
    assert_empty(store);
}

/* Breaks if an archive that lies about its contents is taken, or a refused one leaves anything. */
static void test_refused(void **state)
{
    struct image_store *store = *state;
    char name[SAMPLE_NAME_BYTES];
    for (int i = 0;; i++) {
        struct error error = {0};
        struct tar *tar = tar_new();
        if (i == 0) {
            tar_file(tar, "etc/passwd", "the archive of a file system");
        } else if (i == 1) { /* a blob is missing */
            add_docker_manifest(tar, &one, "[\"x\"]");
        } else if (i == 2) { /* a layer is another than the configuration names */
            sample_add_docker(&one, tar);
            char hex[DIGEST_HEX_BYTES], path[SAMPLE_NAME_BYTES];
            digest_format_hex(&one.diff_ids[0], hex);
            snprintf(path, sizeof(path), "%s/layer.tar", hex);
            tar_bytes(tar, path, buffer_view(&two.layers[1]));
            add_docker_manifest(tar, &one, "[\"x\"]");
        } else if (i == 3) { /* a blob is not what its name says */
            add_index(tar, &one, "x:1");
            sample_add_oci(&two, tar);
            blob_name(&one.digest, name);
            tar_bytes(tar, name, buffer_view(&two.manifest));
        } else if (i == 4) { /* a link in a circle, out, and to nothing */
            tar_symlink(tar, "index.json", "a");
            tar_symlink(tar, "a", "index.json");
            tar_symlink(tar, "manifest.json", "nothing");
        } else if (i == 5) {
            tar_symlink(tar, "x/manifest.json", "../../../etc/passwd");
        } else if (i == 6) {
            tar_file(tar, "../manifest.json", "[]");
        } else if (i == 7) {
            tar_file(tar, "manifest.json", "[]");
        } else if (i == 8) {
            tar_file(tar, "manifest.json", "[7]");
        } else if (i == 9) {
            tar_file(tar, "index.json", "{\"manifests\":[]}");
        } else if (i == 10) { /* a name that is none */
            sample_add_docker(&one, tar);
            add_docker_manifest(tar, &one, "[\"../x\"]");
        } else {
            cleanup_buffer struct buffer rest;
            tar_finish(tar, ARCHIVE_FILTER_NONE, &rest);
            break;
        }
        int r = import_tar(store, tar, ARCHIVE_FILTER_NONE, NULL, &error);
        if (r != -EBADMSG && r != -EINVAL)
            fail_msg("case %d: %d %s", i, r, error.message);
        assert_true(strncmp(error.message, "import ", 7) == 0);
        assert_empty(store);
    }
    struct error error = {0};
    assert_int_equal(image_import(store, "/nowhere/x.tar", NULL, NULL, NULL, &error), -ENOENT);
    assert_int_equal(image_import(store, "/dev/null", NULL, NULL, NULL, &error), -EINVAL);
    scratch_write(scratch, "a.tar", bytes_of_text("this is not an archive"));
    assert_int_equal(image_import(store, archive_path, NULL, NULL, NULL, &error), -EBADMSG);
    scratch_write(scratch, "a.tar", bytes_of_text(""));
    assert_int_equal(image_import(store, archive_path, NULL, NULL, NULL, &error), -EBADMSG);
}

/* Breaks if an archive that was cut off is taken for whole, or leaves something behind. */
static void test_truncated(void **state)
{
    struct image_store *store = *state;
    struct tar *tar = tar_new();
    cleanup_buffer struct buffer archive;
    sample_add_docker(&one, tar);
    add_docker_manifest(tar, &one, "[\"x\"]");
    tar_finish(tar, ARCHIVE_FILTER_GZIP, &archive);
    for (size_t size = 0; size < archive.size; size += archive.size / 16) {
        scratch_write(scratch, "a.tar", (struct bytes){archive.bytes, size});
        assert_int_equal(image_import(store, archive_path, NULL, NULL, NULL, NULL), -EBADMSG);
        assert_empty(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_docker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_docker_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_oci, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_platforms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
