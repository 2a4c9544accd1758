/* A service's spec, as it comes inside commands and snapshots: what is read writes back the same,
 * by each level. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/level.h"
#include "consensus/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_spec(const struct service_spec *spec, uint32_t level, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    service_spec_write(&writer, level, spec);
    assert(writer_check(&writer) == 0);
}

static void check(const uint8_t *data, size_t size, uint32_t level)
{
    struct reader reader;
    struct service_spec spec, again, copy;
    cleanup_buffer struct buffer first = {0}, second = {0}, third = {0};
    reader_init(&reader, data, size);
    if (service_spec_read(&reader, level, &spec) < 0)
        return;
    assert(service_spec_level(&spec) <= level);
    write_spec(&spec, level, &first);
    reader_init(&reader, first.bytes, first.size);
    assert(service_spec_read(&reader, level, &again) == 0);
    assert(reader_end(&reader) == 0);
    write_spec(&again, level, &second);
    assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
    assert(service_spec_copy(&spec, &copy) == 0);
    write_spec(&copy, level, &third);
    assert(bytes_equal(buffer_view(&first), buffer_view(&third)));
    service_spec_done(&spec);
    service_spec_done(&again);
    service_spec_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (uint32_t level = 1; level <= level_newest; level++)
        check(data, size, level);
    return 0;
}
