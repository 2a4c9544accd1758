/* A Raft message from the network: decoded, encoded again, and given to a core in each role, and
 * what it is a chunk of to the end. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "consensus/raft.h"

enum {
    CHUNKS_MAX = 8,
};

static const struct id self = {{1}}, other = {{2}};

/* Some snapshots are what their hash says, others are not. */
static int verify(void *context, const struct raft_snapshot *snapshot)
{
    uint8_t sum = 0;
    (void)context;
    for (size_t i = 0; i < snapshot->data.size; i++)
        sum ^= snapshot->data.data[i];
    return (snapshot->hash[0] ^ sum) % 2 == 0 ? 0 : -EBADMSG;
}

static struct raft *start(bool leads)
{
    struct raft_snapshot snapshot = {
        .index = 1,
        .term = 1,
        .configuration = {.members = {{self, RAFT_VOTER}, {other, RAFT_VOTER}}, .count = 2},
    };
    struct raft_stored stored = {.snapshot = &snapshot, .log_index = 1, .log_term = 1};
    struct raft_config config;
    struct raft *raft = NULL;
    struct raft_output output;
    if (!leads)
        snapshot.configuration.members[0].id = (struct id){{3}};
    raft_config_init(&config, &self, 1);
    config.pre_vote = false;
    config.verify = verify;
    if (raft_new(&config, &stored, 0, &raft) < 0 || !leads)
        return raft;
    struct raft_message grant = {.type = RAFT_VOTE_REPLY, .from = other, .term = 1};
    raft_step(raft, &(struct raft_input){.type = RAFT_CAMPAIGN}, &output);
    raft_step(raft, &(struct raft_input){.type = RAFT_STORED, .sequence = 1}, &output);
    raft_step(raft, &(struct raft_input){.type = RAFT_MESSAGE, .message = &grant}, &output);
    return raft;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raft_message message;
    struct bytes bytes = {data, size};
    bool is_short = raft_heartbeat_is(bytes);
    if ((is_short ? raft_heartbeat_decode(bytes, &message) : raft_message_decode(bytes, &message)) <
        0)
        return 0;
    struct buffer buffer;
    buffer_init(&buffer);
    if ((is_short ? raft_heartbeat_encode(&message, &buffer)
                  : raft_message_encode(&message, &buffer)) < 0)
        abort();
    buffer_done(&buffer);
    message.from = other;
    for (int leads = 0; leads < 2; leads++) {
        struct raft *raft = start(leads);
        struct raft_output output;
        struct raft_input inputs[] = {{.type = RAFT_MESSAGE, .message = &message},
                                      {.type = RAFT_STORED, .sequence = 2},
                                      {.type = RAFT_TICK, .now_ms = 700}};
        for (size_t i = 0; raft && i < 3; i++)
            raft_step(raft, &inputs[i], &output);
        for (int i = 0; raft && message.type == RAFT_SNAPSHOT && i < CHUNKS_MAX; i++) {
            struct raft_message more = message;
            more.offset = message.chunk.size * (size_t)i;
            raft_step(raft, &(struct raft_input){.type = RAFT_MESSAGE, .message = &more}, &output);
        }
        raft_free(raft);
    }
    raft_message_done(&message);
    return 0;
}
