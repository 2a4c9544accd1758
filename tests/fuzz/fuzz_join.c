/* What a newcomer asks, and what it is answered: what is read writes back and reads the same. */
#include <assert.h>
#include <stdint.h>

#include "node/join/join_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_request(struct bytes bytes)
{
    struct join_request request, again;
    cleanup_buffer struct buffer first = {0}, second = {0};
    if (join_request_decode(bytes, &request) < 0)
        return;
    assert(join_request_encode(&request, &first) == 0);
    assert(join_request_decode(buffer_view(&first), &again) == 0);
    assert(join_request_encode(&again, &second) == 0);
    assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
}

static void try_answer(struct bytes bytes)
{
    struct join_answer answer, again;
    cleanup_buffer struct buffer first = {0}, second = {0};
    if (join_answer_decode(bytes, &answer) < 0)
        return;
    assert(answer.seed_count <= JOIN_SEEDS_MAX);
    assert(answer.error.code <= 0);
    assert(join_answer_encode(&answer, &first) == 0);
    assert(join_answer_decode(buffer_view(&first), &again) == 0);
    assert(join_answer_encode(&again, &second) == 0);
    assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_request((struct bytes){data, size});
    try_answer((struct bytes){data, size});
    return 0;
}
