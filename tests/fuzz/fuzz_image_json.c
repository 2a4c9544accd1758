/* Manifests, indexes, configurations and references: the first byte chooses which the rest shall
 * be. What is taken must keep to the bounds, and a manifest that was taken must survive being
 * written. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/image/image.h"
#include "runtime/image/image_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_same_layer(const struct image_layer *a, const struct image_layer *b)
{
    return digest_equal(&a->blob.digest, &b->blob.digest) &&
           a->blob.size_bytes == b->blob.size_bytes && digest_equal(&a->diff_id, &b->diff_id) &&
           a->compression == b->compression;
}

static void try_manifest(struct bytes json)
{
    struct image *image = image_new(), *again = image_new();
    cleanup_buffer struct buffer written;
    buffer_init(&written);
    if (image && again && image_manifest_parse(json, image, NULL) == 0) {
        assert(image->layer_count >= 1 && image->layer_count <= IMAGE_LAYERS_MAX);
        int r = image_manifest_write(image, &written);
        assert(r == 0);
        r = image_manifest_parse(buffer_view(&written), again, NULL);
        assert(r == 0);
        assert(again->layer_count == image->layer_count);
        for (size_t i = 0; i < image->layer_count; i++)
            assert(is_same_layer(&image->layers[i], &again->layers[i]));
    }
    image_free(image);
    image_free(again);
}

static void try_index(struct bytes json)
{
    struct image_index index;
    if (image_index_parse(json, &index, NULL) < 0)
        return;
    assert(index.count <= IMAGE_INDEX_ENTRIES_MAX);
    image_index_choose(&index);
    image_index_done(&index);
}

static void try_config(struct bytes json, size_t layer_count)
{
    struct image *image = image_new();
    assert(image);
    image->layer_count = layer_count;
    if (image_config_parse(json, image, NULL) == 0)
        assert(!image->config.working_dir || image->config.working_dir[0] == '/');
    image_free(image);
}

static void try_reference(struct bytes text)
{
    struct image_reference reference, again;
    char brief[IMAGE_REFERENCE_BYTES_MAX], second[IMAGE_REFERENCE_BYTES_MAX];
    cleanup_free char *copy = strndup((const char *)text.data, text.size);
    assert(copy);
    if (image_reference_parse(copy, &reference, NULL) < 0 || !*reference.tag)
        return;
    image_reference_format(&reference, brief);
    int r = image_reference_parse(brief, &again, NULL);
    assert(r == 0);
    image_reference_format(&again, second);
    assert(strcmp(brief, second) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes rest = {data + 1, size - 1};
    switch (data[0] % 4) {
    case 0:
        try_manifest(rest);
        break;
    case 1:
        try_index(rest);
        break;
    case 2:
        try_config(rest, (data[0] / 4) % 4);
        break;
    default:
        try_reference(rest);
    }
    return 0;
}
