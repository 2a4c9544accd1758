/* What peers say of themselves and their replicas: what is read writes back the same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "node/control/stand_in.h"
#include "node/control/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_capacity(struct bytes bytes)
{
    struct view_capacity capacity, again;
    cleanup_buffer struct buffer first = {0}, second = {0};
    if (view_capacity_decode(bytes, &capacity) < 0)
        return;
    assert(view_capacity_encode(&capacity, &first) == 0);
    assert(view_capacity_decode(buffer_view(&first), &again) == 0);
    assert(view_capacity_encode(&again, &second) == 0);
    assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
}

static void fuzz_disk(struct bytes bytes)
{
    struct view_disk disk, again;
    cleanup_buffer struct buffer first = {0}, second = {0};
    if (view_disk_decode(bytes, &disk) < 0)
        return;
    assert(view_disk_encode(&disk, &first) == 0);
    assert(view_disk_decode(buffer_view(&first), &again) == 0);
    assert(view_disk_encode(&again, &second) == 0);
    assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
}

static void fuzz_replica(struct bytes bytes)
{
    struct view_replica replica, again;
    struct intent_replica stand_in, same;
    cleanup_buffer struct buffer first = {0}, second = {0};
    if (view_replica_decode(bytes, &replica, &stand_in) < 0)
        return;
    const struct intent_replica *said = stand_in_is(replica.generation) ? &stand_in : NULL;
    assert(replica.state <= VIEW_REPLICA_FAILED);
    assert(view_replica_encode(&replica, said, &first) == 0);
    assert(view_replica_decode(buffer_view(&first), &again, &same) == 0);
    assert(view_replica_encode(&again, said ? &same : NULL, &second) == 0);
    assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_capacity((struct bytes){data, size});
    fuzz_disk((struct bytes){data, size});
    fuzz_replica((struct bytes){data, size});
    return 0;
}
