/* A command from the log: what is read writes back the same, and applying it breaks no state. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/command.h"
#include "consensus/intent.h"
#include "consensus/level.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(struct bytes bytes, uint32_t level)
{
    struct intent_result result;
    struct intent *intent = intent_new(&ID_NONE), *read = NULL;
    cleanup_buffer struct buffer snapshot = {0}, again = {0};
    assert(intent);
    intent->level.number = level;
    for (uint64_t index = 1; index <= 2; index++)
        assert(intent_apply(intent, index, 1, bytes, &result) == 0);
    assert(intent_write(intent, &snapshot) == 0);
    assert(intent_read(buffer_view(&snapshot), &read) == 0);
    assert(intent_write(read, &again) == 0);
    assert(bytes_equal(buffer_view(&snapshot), buffer_view(&again)));
    intent_free(read);
    intent_free(intent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct command command, again;
    cleanup_buffer struct buffer first = {0}, second = {0};
    if (command_decode((struct bytes){data, size}, &command) < 0)
        return 0;
    /* a sloppy sender's integers may take fewer bytes than ours, so ours may be too long */
    if (command_encode(&command, &first) == 0) {
        assert(command_decode(buffer_view(&first), &again) == 0);
        assert(command_encode(&again, &second) == 0);
        assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
        command_done(&again);
    }
    command_done(&command);
    for (uint32_t level = 1; level <= level_newest; level++)
        apply((struct bytes){data, size}, level);
    return 0;
}
