/* Specs and records of containers, as read from disk. What is understood is written again, and must
 * read the same. */
#include <stdlib.h>

#include "runtime/container_spec.h"
#include "runtime/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_spec(const uint8_t *data, size_t size)
{
    struct reader reader;
    struct container_spec spec, copy;
    reader_init(&reader, data, size);
    if (container_spec_read(&reader, &spec) < 0)
        return;
    container_spec_check(&spec, NULL);
    if (container_spec_copy(&copy, &spec) < 0)
        abort();
    container_spec_done(&copy);
    container_spec_done(&spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader reader;
    struct container_record record;
    try_spec(data, size);
    reader_init(&reader, data, size);
    container_record_read(&reader, &record);
    return 0;
}
