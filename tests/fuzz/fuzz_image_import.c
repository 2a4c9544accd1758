/* Importing an archive of images: any bytes. What is refused leaves nothing in the store; what is
 * taken can be loaded, and is gone once its names are. */
#include <string.h>

#include "base/cleanup.h"
#include "runtime/image/image_import.h"
#include "runtime/libarchive.h"
#include "runtime/tree.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_empty(struct image_store *store)
{
    struct digest_set blobs = {0};
    int r = blob_store_list(image_store_blobs(store), &blobs, NULL);
    assert(r == 0);
    assert(blobs.count == 0);
    digest_set_done(&blobs);
}

static void check_imported(struct image_store *store, const struct image_imported *imported,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct image *image = NULL;
        int r = image_store_load(store, &imported[i].digest, &image, NULL);
        assert(r == 0);
        image_free(image);
    }
    /* An archive may give two images one name: then the second removal finds nothing. */
    for (size_t i = 0; i < count; i++)
        image_store_remove(store, imported[i].reference, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_loaded; /* once, which takes longer than an input */
    if (!is_loaded)
        is_loaded = libarchive_use(NULL) == 0;
    assert(is_loaded);
    scratch_make();
    cleanup_close int fd = scratch_input(data, size);
    char store_path[SCRATCH_PATH_BYTES + 8], path[32];
    snprintf(store_path, sizeof(store_path), "%s/store", scratch);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct image_store *store = NULL;
    struct image_imported *imported = NULL;
    size_t count = 0;
    int r = image_store_open(store_path, &store, NULL);
    assert(r == 0);
    if (image_import(store, path, NULL, &imported, &count, NULL) == 0)
        check_imported(store, imported, count);
    assert_empty(store);
    free(imported);
    image_store_free(store);
    r = tree_remove_path(store_path);
    assert(r == 0);
    return 0;
}
