/* All that an admitted peer can say to this one's brain: gossip, Raft, the feed, proposals, reads,
 * leases.
 *
 * The first byte says whether this peer leads (alone) or follows. Then come steps: a kind (that of
 * agent_message_kind, or one of those below), a length of two bytes, and that many bytes. What the
 * agent would store is stored at once, and all that it publishes of itself stays in order.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <sodium.h>

#include "consensus/command.h"
#include "node/control/agent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    KIND_PACKET = 0,
    KIND_TICK = AGENT_READ_ANSWER + 1, /* the length is the time that passes */
    KIND_LOCAL,                        /* a proposal from this peer's own API */
    KIND_READ,                         /* a read from there */
    KIND_COUNT,
    STEP_HEAD_BYTES = 3,
    STEPS_MAX = 64,
    ELECTION_MS = 3000, /* after which a peer alone leads */
};

static struct identity self, other;
static struct certificate_chain chain;

static void prepare(void)
{
    static const uint8_t seeds[2][IDENTITY_SEED_BYTES] = {{1}, {2}};
    struct certificate leaf = {.name = "a", .role = ROLE_PEER, .serial = 1, .log_index = 1};
    static const struct certificate_chain empty;
    if (chain.count > 0)
        return;
    int rc = sodium_init();
    assert(rc >= 0);
    identity_init(&self, seeds[0]);
    identity_init(&other, seeds[1]);
    leaf.cluster = leaf.subject = self.id; /* the root key is its own, for brevity */
    assert(certificate_sign(&leaf, &self) == 0);
    assert(certificate_chain_extend(&leaf, &empty, &chain) == 0);
}

static void apply(struct intent *intent, const struct command *command)
{
    cleanup_buffer struct buffer bytes = {0};
    struct intent_result result = {0};
    assert(command_encode(command, &bytes) == 0);
    assert(intent_apply(intent, intent->applied_index + 1, 1, buffer_view(&bytes), &result) == 0);
    assert(result.code == 0);
}

/* Both are admitted; the one that leads is the only voter, the one that follows is none. */
static void make_snapshot(bool leads, struct buffer *state, struct raft_snapshot *ret)
{
    const struct id ids[] = {self.id, other.id};
    struct raft_changes changes = {.members = {{RAFT_ADD_VOTER, leads ? self.id : other.id}},
                                   .count = 1,
                                   .transition = RAFT_TRANSITION_AUTO};
    struct intent *intent = intent_new(&self.id);
    assert(intent);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct command command = {.head = {.type = COMMAND_ADMIT, .wall_ms = 1, .actor = "ann"}};
        command.admit.id = ids[i];
        command.admit.name[0] = (char)('a' + i);
        apply(intent, &command);
    }
    intent_apply_changes(intent, intent->applied_index + 1, 1, &changes);
    assert(intent_write(intent, state) == 0);
    *ret = (struct raft_snapshot){.index = intent->applied_index,
                                  .term = 1,
                                  .configuration = intent->configuration,
                                  .data = buffer_view(state)};
    intent_free(intent);
}

static struct agent *make_agent(bool leads)
{
    cleanup_buffer struct buffer state = {0};
    struct raft_snapshot snapshot;
    struct agent_config config = {.identity = &self,
                                  .chain = &chain,
                                  .cluster = self.id,
                                  .name = "a",
                                  .advertised = address_from_v4(0x7f000001, 1),
                                  .generation = 1,
                                  .seed = 1,
                                  .swim = swim_config_lan()};
    struct agent *agent = NULL;
    make_snapshot(leads, &state, &snapshot);
    struct agent_stored stored = {
        .raft = {.snapshot = &snapshot, .log_index = snapshot.index, .log_term = 1}};
    stored.raft.hard_state.term = 1;
    int rc = agent_new(&config, &stored, 0, &agent);
    assert(rc == 0);
    return agent;
}

/* Takes a step, and says of each write that it is durable until no more come. False if the agent
 * has to stop: a leader said that a change was agreed on that this version does not know. */
static bool step(struct agent *agent, const struct agent_input *input)
{
    struct agent_output output;
    agent_output_init(&output);
    int rc = agent_step(agent, input, &output);
    assert(rc != -ENOMEM);
    for (int i = 0; i < STEPS_MAX && rc != -ENOTRECOVERABLE; i++) {
        uint64_t sequence = 0;
        for (size_t j = 0; j < output.write_count; j++)
            if (output.writes[j].sequence > sequence)
                sequence = output.writes[j].sequence;
        assert(output.next_deadline_ms > 0);
        if (sequence == 0)
            break;
        struct agent_input stored = {.now_ms = input->now_ms,
                                     .wall_ms = input->wall_ms,
                                     .type = AGENT_STORED,
                                     .sequence = sequence};
        rc = agent_step(agent, &stored, &output);
        assert(rc == 0 || rc == -ENOTRECOVERABLE);
    }
    agent_output_done(&output);
    return rc != -ENOTRECOVERABLE;
}

static bool play(struct agent *agent, int64_t *now_ms, uint8_t kind, struct bytes bytes)
{
    struct agent_input input = {.type = AGENT_MESSAGE,
                                .from = other.id,
                                .source = address_from_v4(0x7f000001, 2),
                                .kind = kind,
                                .bytes = bytes,
                                .request = 1};
    if (kind == KIND_PACKET)
        input.type = AGENT_PACKET;
    else if (kind == KIND_LOCAL)
        input.type = AGENT_PROPOSE_LOCAL;
    else if (kind == KIND_READ)
        input.type = AGENT_READ_LOCAL;
    else if (kind == KIND_TICK)
        input.type = AGENT_TICK;
    *now_ms += kind == KIND_TICK ? (int64_t)bytes.size * 10 : 1;
    input.now_ms = input.wall_ms = *now_ms;
    return step(agent, &input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t now_ms = 0;
    if (size == 0)
        return 0;
    prepare();
    bool leads = data[0] & 1;
    struct agent *agent = make_agent(leads);
    for (; leads && now_ms < ELECTION_MS; now_ms += 100)
        step(agent, &(struct agent_input){.type = AGENT_TICK, .now_ms = now_ms, .wall_ms = now_ms});
    struct agent_status status;
    agent_status(agent, &status);
    assert(!leads || status.role == RAFT_LEADER);
    size_t offset = 1;
    for (int i = 0; i < STEPS_MAX && size - offset >= STEP_HEAD_BYTES; i++) {
        uint8_t kind = data[offset] % KIND_COUNT;
        size_t length = (size_t)data[offset + 1] << 8 | data[offset + 2];
        offset += STEP_HEAD_BYTES;
        if (length > size - offset)
            length = size - offset;
        if (!play(agent, &now_ms, kind, (struct bytes){data + offset, length})) {
            assert(!leads);
            break;
        }
        offset += length;
    }
    agent_free(agent);
    return 0;
}
