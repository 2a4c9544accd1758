/* A stream of control messages from an admitted peer: cut as the first byte says, it gives the same
 * messages as in one piece. */
#include <assert.h>
#include <stdint.h>

#include "node/bounds.h"
#include "node/transport/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t count, bytes;
    uint32_t sum;
};

static bool on_message(void *context, uint8_t kind, struct bytes data)
{
    struct seen *seen = context;
    assert(data.size <= LINKS_MESSAGE_BYTES_MAX);
    seen->count++;
    seen->bytes += data.size;
    seen->sum = seen->sum * 31 + kind;
    for (size_t i = 0; i < data.size; i++)
        seen->sum = seen->sum * 31 + data.data[i];
    return seen->sum % 251 != 0; /* now and then the receiver has enough */
}

static int receive(struct bytes bytes, size_t step, struct seen *ret)
{
    struct inbox inbox = {0};
    int rc = 0;
    *ret = (struct seen){0};
    for (size_t offset = 0; offset < bytes.size && rc == 0; offset += step) {
        size_t left = bytes.size - offset;
        rc = inbox_receive(&inbox, (struct bytes){bytes.data + offset, left < step ? left : step},
                           on_message, ret);
    }
    inbox_done(&inbox);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, pieces;
    if (size < 2)
        return 0;
    struct bytes bytes = {data + 1, size - 1};
    int rc = receive(bytes, bytes.size, &whole);
    int piecewise = receive(bytes, (size_t)data[0] + 1, &pieces);
    assert(rc == piecewise);
    assert(whole.count == pieces.count && whole.bytes == pieces.bytes && whole.sum == pieces.sum);
    return 0;
}
