/* What a client sends to the API: frames taken off the front of what arrived, and their params
 * looked up. A frame that is read writes back and reads the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "node/api/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int write_again(const struct frame *frame, struct buffer *ret)
{
    switch (frame->type) {
    case FRAME_REQUEST:
        return frame_request(ret, frame->id, frame->name, frame->body);
    case FRAME_NOTE:
        return frame_note(ret, frame->id, frame->name, frame->body);
    case FRAME_ANSWER:
        break;
    }
    return frame->error.code < 0 ? frame_failure(ret, frame->id, &frame->error)
                                 : frame_answer(ret, frame->id, frame->body);
}

static void check_again(const struct frame *frame)
{
    cleanup_buffer struct buffer written = {0};
    struct bytes bytes;
    struct frame again;
    if (write_again(frame, &written) < 0)
        return; /* packed as short as can be it fits, but a failure's result is left out */
    assert(frame_next(&written, &bytes) == 1);
    assert(frame_decode(bytes, &again) == 0);
    assert(again.type == frame->type && again.id == frame->id);
    assert(strcmp(again.name, frame->name) == 0);
    assert(again.error.code == frame->error.code);
    assert(frame->error.code < 0 || bytes_equal(again.body, frame->body));
}

static void look_up(struct bytes params)
{
    static const char *const keys[] = {"", "service", "follow", "argv"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct reader reader;
        char text[16];
        uint64_t number;
        bool is_there = frame_find(params, keys[i], &reader);
        assert(!frame_text(params, keys[i], text, sizeof(text)) ||
               (is_there && strlen(text) < sizeof(text)));
        assert(!frame_u64(params, keys[i], &number) || is_there);
        assert(!frame_flag(params, keys[i]) || is_there);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer input = {0};
    struct bytes bytes;
    struct frame frame;
    if (buffer_append(&input, data, size) < 0)
        return 0;
    look_up((struct bytes){data, size});
    while (frame_next(&input, &bytes) == 1) {
        if (frame_decode(bytes, &frame) == 0) {
            look_up(frame.body);
            check_again(&frame);
        }
        buffer_consume(&input, FRAME_HEAD_BYTES + bytes.size);
    }
    return 0;
}
