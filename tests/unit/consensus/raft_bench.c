#include "raft_bench.h"

#include <errno.h>

struct id bench_peer(int number)
{
    struct id id = {{0}};
    id.bytes[0] = (uint8_t)number;
    return id;
}

struct raft_configuration bench_voters(int first, int last)
{
    struct raft_configuration configuration = {0};
    for (int i = first; i <= last; i++)
        configuration.members[configuration.count++] =
            (struct raft_member){bench_peer(i), RAFT_VOTER};
    return configuration;
}

struct raft_snapshot bench_snapshot(uint64_t index, uint64_t term, const char *text)
{
    struct raft_snapshot snapshot = {.index = index,
                                     .term = term,
                                     .configuration = bench_voters(1, 3),
                                     .data = bytes_of_text(text)};
    size_t size = snapshot.data.size < RAFT_HASH_BYTES ? snapshot.data.size : RAFT_HASH_BYTES;
    memcpy(snapshot.hash, text, size);
    return snapshot;
}

static int verify(void *context, const struct raft_snapshot *snapshot)
{
    size_t size = snapshot->data.size < RAFT_HASH_BYTES ? snapshot->data.size : RAFT_HASH_BYTES;
    (void)context;
    return memcmp(snapshot->hash, snapshot->data.data, size) == 0 ? 0 : -EBADMSG;
}

struct raft_config bench_config(void)
{
    struct raft_config config;
    struct id self = bench_peer(1);
    raft_config_init(&config, &self, 1);
    config.pre_vote = false;
    config.inflight_max = 3;
    config.message_bytes_max = 1;
    config.uncommitted_bytes_max = 100;
    config.chunk_bytes = 4;
    config.chunks_max = 2;
    config.verify = verify;
    return config;
}

void bench_start(struct bench *b, int count, uint64_t term, const struct raft_entry *entries,
                 size_t entry_count)
{
    struct raft_config config = bench_config();
    bench_start_as(b, &config, count, term, entries, entry_count);
}

void bench_start_as(struct bench *b, const struct raft_config *config, int count, uint64_t term,
                    const struct raft_entry *entries, size_t entry_count)
{
    struct raft_snapshot snapshot = {
        .index = 1, .term = 1, .configuration = bench_voters(1, count)};
    struct raft_stored stored = {.hard_state = {.term = term},
                                 .snapshot = &snapshot,
                                 .log_index = 1,
                                 .log_term = 1,
                                 .entries = entries,
                                 .entry_count = entry_count};
    *b = (struct bench){.now_ms = 1000};
    assert_int_equal(raft_new(config, &stored, b->now_ms, &b->raft), 0);
    b->now_ms += config->quiet_after_start_ms;
}

int bench_give(struct bench *b, struct raft_input input)
{
    input.now_ms = b->now_ms;
    return raft_step(b->raft, &input, &b->output);
}

int bench_say(struct bench *b, int from, struct raft_message message)
{
    message.from = bench_peer(from);
    return bench_give(b, (struct raft_input){.type = RAFT_MESSAGE, .message = &message});
}

void bench_store(struct bench *b)
{
    if (b->output.sequence > 0)
        assert_int_equal(
            bench_give(b, (struct raft_input){.type = RAFT_STORED, .sequence = b->output.sequence}),
            0);
}

struct raft_status bench_status(const struct bench *b)
{
    struct raft_status status;
    raft_status(b->raft, &status);
    return status;
}

static const struct raft_message *find(const struct raft_message *messages, size_t count,
                                       enum raft_message_type type, int to)
{
    struct id id = bench_peer(to);
    for (size_t i = count; i-- > 0;)
        if (messages[i].type == type && id_equal(&messages[i].to, &id))
            return &messages[i];
    return NULL;
}

const struct raft_message *bench_sent(const struct bench *b, enum raft_message_type type, int to)
{
    return find(b->output.messages, b->output.message_count, type, to);
}

const struct raft_message *bench_held(const struct bench *b, enum raft_message_type type, int to)
{
    return find(b->output.messages_once_stored, b->output.message_once_stored_count, type, to);
}

void bench_lead(struct bench *b, int count)
{
    assert_int_equal(bench_give(b, (struct raft_input){.type = RAFT_CAMPAIGN}), 0);
    bench_store(b);
    for (int i = 2; i <= count && bench_status(b).role != RAFT_LEADER; i++)
        bench_say(b, i,
                  (struct raft_message){.type = RAFT_VOTE_REPLY, .term = bench_status(b).term});
    assert_int_equal(bench_status(b).role, RAFT_LEADER);
    bench_store(b);
}

int bench_acknowledge(struct bench *b, int from, uint64_t index)
{
    return bench_say(b, from,
                     (struct raft_message){
                         .type = RAFT_APPEND_REPLY, .term = bench_status(b).term, .index = index});
}

int bench_propose(struct bench *b, const char *text)
{
    return bench_give(b, (struct raft_input){.type = RAFT_PROPOSE, .data = bytes_of_text(text)});
}

struct raft_progress_status bench_progress(const struct bench *b, int number)
{
    struct raft_progress_status progress;
    struct id id = bench_peer(number);
    assert_int_equal(raft_progress_of(b->raft, &id, &progress), 0);
    return progress;
}
