/* Consort's API: MessagePack-RPC, as docs/api.md has it. */
#include <errno.h>
#include <stdio.h>

#include "node/api/frame.h"
#include "wire.h"

static int greet(struct wire_state *state, struct buffer *out)
{
    (void)state;
    (void)out;
    return 0;
}

static int request(struct wire_state *state, const char *key, struct bytes value,
                   struct buffer *out)
{
    cleanup_buffer struct buffer params = {0};
    struct writer writer;
    writer_init(&writer, &params);
    writer_map(&writer, 2);
    writer_text(&writer, "name");
    writer_text(&writer, key);
    writer_text(&writer, "data");
    writer_binary(&writer, value.data, value.size);
    if (writer_check(&writer) < 0)
        return -ENOMEM;
    return frame_request(out, ++state->number, "config.set", buffer_view(&params));
}

static int take(struct wire_state *state, struct buffer *in, struct buffer *out)
{
    struct bytes bytes;
    struct frame frame;
    int rc;
    (void)out;
    while ((rc = frame_next(in, &bytes)) == 1) {
        rc = frame_decode(bytes, &frame);
        if (rc < 0)
            return rc;
        bool is_answer = frame.type == FRAME_ANSWER && frame.id == state->number;
        buffer_consume(in, FRAME_HEAD_BYTES + bytes.size);
        if (!is_answer)
            continue;
        if (frame.error.code == 0)
            return 1;
        fprintf(stderr, "refused: %s\n", frame.error.message);
        return -EREMOTEIO;
    }
    return rc;
}

const struct wire wire_consort = {"consort", greet, request, take};
