/* Lines of a container's log file. */
#include "runtime/log_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log_entry entry;
    log_entry_parse((struct bytes){.data = data, .size = size}, &entry);
    return 0;
}
