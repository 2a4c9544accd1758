/* Unpacking a layer: any bytes, compressed or not. Whatever they are, nothing appears beside the
 * layer's directory. Needs root to get past the first file with an owner. */
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/image/disk.h"
#include "runtime/image/layer.h"
#include "runtime/libarchive.h"
#include "runtime/tree.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check_entry(void *context, const char *name)
{
    (void)context;
    assert(strcmp(name, "layer") == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_loaded; /* once, which takes longer than an input */
    if (!is_loaded)
        is_loaded = libarchive_use(NULL) == 0;
    assert(is_loaded);
    scratch_make();
    cleanup_close int blob_fd = scratch_input(data, size);
    cleanup_close int scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int layer_fd = -1;
    int r = disk_open_directory(scratch_fd, "layer", &layer_fd);
    assert(r == 0);
    struct digest diff_id;
    digest_of(data, size, &diff_id);
    layer_unpack(blob_fd, layer_fd, &diff_id, NULL);
    r = disk_each_entry(scratch_fd, check_entry, NULL);
    assert(r == 0);
    r = tree_remove(scratch_fd, "layer");
    assert(r == 0);
    return 0;
}
