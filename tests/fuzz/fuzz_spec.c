/* A service's spec, as it comes inside commands and snapshots: what is read writes back the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_spec(const struct service_spec *spec, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    service_spec_write(&writer, spec);
    assert(writer_check(&writer) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader reader;
    struct service_spec spec, again, copy;
    cleanup_buffer struct buffer first = {0}, second = {0}, third = {0};
    reader_init(&reader, data, size);
    if (service_spec_read(&reader, &spec) < 0)
        return 0;
    write_spec(&spec, &first);
    reader_init(&reader, first.bytes, first.size);
    assert(service_spec_read(&reader, &again) == 0);
    assert(reader_end(&reader) == 0);
    write_spec(&again, &second);
    assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
    assert(service_spec_copy(&spec, &copy) == 0);
    write_spec(&copy, &third);
    assert(bytes_equal(buffer_view(&first), buffer_view(&third)));
    service_spec_done(&spec);
    service_spec_done(&again);
    service_spec_done(&copy);
    return 0;
}
