/* /etc/resolv.conf, which others write. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>

#include "node/mesh/resolver.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    struct address ip;
    int fd = scratch_input(data, size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int rc = resolver_find(path, &ip);
    assert(rc == 0 || rc == -ENOENT);
    close(fd);
    return 0;
}
