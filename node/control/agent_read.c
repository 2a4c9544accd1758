/* Reads that see every change that was agreed on before them, at any peer, without an entry in the
 * log: once such a read is answered, this peer's own intent shows them.
 *
 * What must be applied first is asked in rounds, one at a time: the reads that have come by its
 * beginning share the outcome, later ones wait for the next. A member of Raft asks Raft; any other
 * peer, and a member that Raft leaves without an answer, asks a voter (READ_ASK), which asks its
 * Raft. The state itself then comes as always, by Raft or by the feed. Without a quorum a read ends
 * with words after some seconds.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/reader.h"
#include "node/control/agent_private.h"

static bool takes_part(const struct agent *agent)
{
    return raft_configuration_find(&agent->intent->configuration, &agent->self) &&
           raft_configuration_find(raft_configuration(agent->raft), &agent->self);
}

static void drop_read(struct agent *agent, size_t i)
{
    agent->reads[i] = agent->reads[--agent->read_count];
}

static void answer_here(struct agent *agent, uint64_t request, int code)
{
    struct agent_result *told = agent_add_result(agent, request);
    if (!told)
        return;
    told->result.code = code;
    if (code == -EBUSY)
        error_set(&told->result.error, code, "too many reads are under way");
    else if (code == -EAGAIN)
        error_set(&told->result.error, code,
                  "there is no quorum: a consistent read needs a majority of the voters");
    else if (code < 0)
        error_set(&told->result.error, code, "this peer did not get the newest changes in time");
    if (code < 0)
        error_hint(&told->result.error, "leave out --consistent to see what this peer knows; see "
                                        "who is there with: consort status");
}

static void answer_peer(struct agent *agent, const struct id *to, uint64_t number, int code,
                        uint64_t index)
{
    struct buffer *bytes = agent_add_send(agent, to, NULL, AGENT_READ_ANSWER);
    struct writer writer;
    if (!bytes)
        return;
    writer_init(&writer, bytes);
    writer_array(&writer, 3);
    writer_u64(&writer, number);
    writer_i64(&writer, code);
    writer_u64(&writer, index);
}

static int add_read(struct agent *agent, const struct id *from, uint64_t request)
{
    if (agent->read_count == AGENT_READS_MAX)
        return -EBUSY;
    if (agent->read_count == agent->read_capacity) {
        size_t capacity = agent->read_capacity ? 2 * agent->read_capacity : 16;
        struct agent_read *reads = realloc(agent->reads, capacity * sizeof(*reads));
        if (!reads)
            return -EBUSY;
        agent->reads = reads;
        agent->read_capacity = capacity;
    }
    agent->reads[agent->read_count++] = (struct agent_read){
        .request = request, .from = *from, .expires_ms = agent->now_ms + AGENT_READ_TIMEOUT_MS};
    return 0;
}

/* Reads that are confirmed and whose state has come. */
static void answer_applied(struct agent *agent)
{
    for (size_t i = agent->read_count; i-- > 0;) {
        const struct agent_read *read = &agent->reads[i];
        if (read->step != AGENT_READ_CONFIRMED || read->index > agent->intent->applied_index)
            continue;
        answer_here(agent, read->request, 0);
        drop_read(agent, i);
    }
}

static void round_done(struct agent *agent, uint64_t index)
{
    agent->read_is_asked = false;
    agent->read_tries = 0;
    agent->read_retry_ms = agent->now_ms;
    for (size_t i = agent->read_count; i-- > 0;) {
        struct agent_read *read = &agent->reads[i];
        if (read->step != AGENT_READ_ASKED)
            continue;
        read->step = AGENT_READ_CONFIRMED;
        read->index = index;
        if (id_is_none(&read->from))
            continue;
        answer_peer(agent, &read->from, read->request, 0, index);
        drop_read(agent, i);
    }
    answer_applied(agent);
}

/* Whoever asked from elsewhere asks somebody else; this peer's own reads take part in the next. */
static void round_failed(struct agent *agent)
{
    agent->read_is_asked = false;
    agent->read_tries++;
    agent->read_retry_ms = agent->now_ms + AGENT_READ_RETRY_MS;
    for (size_t i = agent->read_count; i-- > 0;) {
        struct agent_read *read = &agent->reads[i];
        if (read->step != AGENT_READ_ASKED)
            continue;
        read->step = AGENT_READ_WAITS;
        if (id_is_none(&read->from))
            continue;
        answer_peer(agent, &read->from, read->request, -EAGAIN, 0);
        drop_read(agent, i);
    }
}

/* Whom to ask: who leads, as far as is known, has what was agreed on at hand; but if that came to
 * nothing, any voter. */
static bool choose_voter(struct agent *agent, struct id *ret)
{
    uint64_t seen = 0;
    *ret = agent_leader(agent);
    if (agent->read_tries == 0 && !id_is_none(ret) && !id_equal(ret, &agent->self))
        return true;
    for (size_t i = 0; i < agent->view.peers.count; i++) {
        const struct view_peer *peer = agent->view.peers.items[i];
        if (peer->liveness == VIEW_ALIVE && !id_equal(&peer->id, &agent->self) &&
            intent_is_voter(agent->intent, &peer->id) && random_chance(&agent->random, 1, ++seen))
            *ret = peer->id;
    }
    return seen > 0;
}

static void ask_voter(struct agent *agent)
{
    struct buffer *bytes = NULL;
    struct writer writer;
    if (choose_voter(agent, &agent->read_asked))
        bytes = agent_add_send(agent, &agent->read_asked, NULL, AGENT_READ_ASK);
    if (!bytes) {
        round_failed(agent);
        return;
    }
    agent->read_retry_ms = agent->now_ms + AGENT_READ_ROUND_MS;
    writer_init(&writer, bytes);
    writer_u64(&writer, agent->read_round);
}

/* Begins a round for the reads that wait, unless one is under way or the last one has just failed.
 */
static void begin_round(struct agent *agent)
{
    size_t count = 0;
    if (agent->read_is_asked || agent->now_ms < agent->read_retry_ms)
        return;
    for (size_t i = 0; i < agent->read_count; i++) {
        if (agent->reads[i].step != AGENT_READ_WAITS)
            continue;
        agent->reads[i].step = AGENT_READ_ASKED;
        count++;
    }
    if (count == 0)
        return;
    agent->read_is_asked = true;
    agent->read_round++;
    agent->read_asked = ID_NONE;
    bool asks_raft = takes_part(agent) && (agent_leads(agent) || agent->read_tries % 2 == 0);
    if (!asks_raft) {
        ask_voter(agent);
        return;
    }
    struct raft_input input = {
        .type = RAFT_READ, .now_ms = agent->now_ms, .context = agent->read_round};
    agent->read_retry_ms = INT64_MAX; /* Raft answers each */
    if (agent_raft_step(agent, &input, NULL, NULL) < 0)
        round_failed(agent);
}

void agent_read_start(struct agent *agent, uint64_t request)
{
    if (add_read(agent, &ID_NONE, request) < 0)
        answer_here(agent, request, -EBUSY);
}

void agent_read_outcome(struct agent *agent, const struct raft_read *outcome)
{
    if (!agent->read_is_asked || outcome->context != agent->read_round ||
        !id_is_none(&agent->read_asked))
        return;
    if (outcome->rc < 0)
        round_failed(agent);
    else
        round_done(agent, outcome->index);
}

/* One question of each peer waits: it asks for all its reads at once. An older one of it has been
 * given up there; it is not moved into the new one's place, since its round may have begun before
 * the new one was asked. */
int agent_read_asked(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    uint64_t number = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_u64(&reader, &number);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    for (size_t i = agent->read_count; i-- > 0;)
        if (id_equal(&agent->reads[i].from, from))
            drop_read(agent, i);
    if (!takes_part(agent) || add_read(agent, from, number) < 0)
        answer_peer(agent, from, number, -EAGAIN, 0);
    return 0;
}

/* What this peer lacks lies with whom it asked: no need to wait until gossip says so. */
int agent_read_answered(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    uint64_t number = 0, index = 0;
    int64_t code = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 3);
    reader_u64(&reader, &number);
    reader_i64(&reader, &code);
    reader_u64(&reader, &index);
    if (reader_end(&reader) < 0 || code > 0 || code < -4095)
        return -EBADMSG;
    if (!agent->read_is_asked || number != agent->read_round || !id_equal(&agent->read_asked, from))
        return 0;
    if (code < 0 || intent_epoch_of(index) < agent->intent->epoch) {
        round_failed(agent);
        return 0;
    }
    round_done(agent, index);
    if (index > agent->intent->applied_index)
        agent_feed_pull(agent, from);
    return 0;
}

void agent_read_lost(struct agent *agent)
{
    if (agent->read_is_asked)
        round_failed(agent);
}

void agent_read_unreached(struct agent *agent, const struct id *id)
{
    if (agent->read_is_asked && id_equal(&agent->read_asked, id))
        round_failed(agent);
}

static void expire(struct agent *agent)
{
    for (size_t i = agent->read_count; i-- > 0;) {
        const struct agent_read *read = &agent->reads[i];
        if (read->expires_ms > agent->now_ms)
            continue;
        if (id_is_none(&read->from))
            answer_here(agent, read->request,
                        read->step == AGENT_READ_CONFIRMED ? -ETIMEDOUT : -EAGAIN);
        drop_read(agent, i);
    }
}

void agent_read_tick(struct agent *agent)
{
    if (agent->read_count == 0)
        return;
    answer_applied(agent);
    if (agent->read_is_asked && agent->now_ms >= agent->read_retry_ms)
        round_failed(agent); /* whom it asked does not answer */
    expire(agent);
    begin_round(agent);
}

int64_t agent_read_deadline(const struct agent *agent)
{
    bool waits = agent->read_is_asked;
    int64_t deadline = INT64_MAX;
    for (size_t i = 0; i < agent->read_count; i++) {
        const struct agent_read *read = &agent->reads[i];
        waits = waits || read->step == AGENT_READ_WAITS;
        if (read->expires_ms < deadline)
            deadline = read->expires_ms;
    }
    if (agent->read_count > 0 && waits && agent->read_retry_ms < deadline)
        deadline = agent->read_retry_ms;
    return deadline;
}
