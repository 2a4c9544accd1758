/* Proposals: from this peer's API, from other peers, and the leader's own; and their outcomes. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "node/control/agent_private.h"
#include "node/control/level.h"

enum {
    RESULT_FIELDS = 10,
};

/* Whom to send proposals to: whom Raft follows, else who signed the newest head.
 *
 * The intent says whether this peer takes part in Raft, not Raft's own configuration: nobody tells
 * a peer that was removed so, and its Raft goes on believing in the leader of that time. */
struct id agent_leader(const struct agent *agent)
{
    bool takes_part =
        agent_leads(agent) || raft_configuration_find(&agent->intent->configuration, &agent->self);
    if (takes_part && !id_is_none(&agent->raft_status.leader))
        return agent->raft_status.leader;
    if (takes_part && raft_configuration_find(raft_configuration(agent->raft), &agent->self))
        return ID_NONE; /* a voter knows best that there is none */
    const struct id *signer = &agent->feed.announced.signer;
    return view_is_alive(&agent->view, signer) ? *signer : ID_NONE;
}

/* A peer outside of Raft that knows no leader asks any live voter, which passes it on. */
static struct id forward_target(const struct agent *agent)
{
    struct id leader = agent_leader(agent);
    if (!id_is_none(&leader) && !id_equal(&leader, &agent->self))
        return leader;
    for (size_t i = 0; i < agent->view.peers.count; i++) {
        const struct view_peer *peer = agent->view.peers.items[i];
        if (peer->liveness == VIEW_ALIVE && !id_equal(&peer->id, &agent->self) &&
            intent_is_voter(agent->intent, &peer->id) &&
            !intent_is_voter(agent->intent, &agent->self))
            return peer->id;
    }
    return ID_NONE;
}

static struct pending *add_pending(struct agent *agent)
{
    struct pending *pending = pendings_add(&agent->pendings);
    pending->expires_ms = agent->now_ms + AGENT_PROPOSE_TIMEOUT_MS;
    return pending;
}

static void write_result(struct writer *writer, uint64_t request,
                         const struct intent_result *result, const struct id *leader,
                         const struct certificate_chain *chain)
{
    writer_array(writer, RESULT_FIELDS);
    writer_u64(writer, request);
    writer_i64(writer, result->code);
    writer_text(writer, result->error.message);
    writer_text(writer, result->error.hint);
    writer_u64(writer, result->serial);
    writer_u64(writer, result->version);
    writer_u64(writer, result->revision);
    writer_bool(writer, result->unchanged);
    writer_binary(writer, leader->bytes, ID_BYTES);
    certificate_chain_write(writer, chain);
}

/* Tells whoever asked. `chain` may be NULL. */
static void answer(struct agent *agent, const struct id *from, uint64_t request,
                   const struct intent_result *result, const struct certificate_chain *chain)
{
    static const struct certificate_chain no_chain;
    if (id_is_none(from)) {
        struct agent_result *told = agent_add_result(agent, request);
        if (told) {
            told->result = *result;
            told->chain = chain ? *chain : no_chain;
        }
        return;
    }
    struct buffer *bytes = agent_add_send(agent, from, NULL, AGENT_RESULT);
    struct writer writer;
    struct id leader = agent_leader(agent);
    if (!bytes)
        return;
    writer_init(&writer, bytes);
    write_result(&writer, request, result, &leader, chain ? chain : &no_chain);
}

void agent_answer(struct agent *agent, uint64_t request, int code, const char *message,
                  const char *hint)
{
    struct intent_result result = {.code = code};
    if (code < 0)
        error_set(&result.error, code, "%s", message);
    if (hint)
        error_hint(&result.error, "%s", hint);
    answer(agent, &ID_NONE, request, &result, NULL);
}

static void answer_error(struct agent *agent, const struct id *from, uint64_t request, int code,
                         const char *message)
{
    struct intent_result result = {.code = code};
    error_set(&result.error, code, "%s", message);
    if (code == -EAGAIN)
        error_hint(&result.error,
                   "what runs goes on; see who is there with: consort status; if most voters are "
                   "gone for good: consort recover");
    answer(agent, from, request, &result, NULL);
}

/* Sends the command on to `to` and waits for its answer under a number of our own; `request` and
 * `from` stay in the pending record, so numbers of different askers never meet. */
static void forward(struct agent *agent, const struct id *from, uint64_t request, uint8_t hops,
                    struct bytes command, const struct id *to)
{
    struct buffer *bytes = agent_add_send(agent, to, NULL, AGENT_PROPOSE);
    struct writer writer;
    if (!bytes)
        return;
    struct pending *pending = add_pending(agent);
    pending->from = *from;
    pending->request = request;
    pending->sent_to = *to;
    pending->sent_as = ++agent->next_request;
    writer_init(&writer, bytes);
    writer_array(&writer, 3);
    writer_u64(&writer, pending->sent_as);
    writer_u64(&writer, hops + 1u);
    writer_binary(&writer, command.data, command.size);
    if (writer_check(&writer) < 0)
        agent->failed = true;
}

/* What has no effect, or makes no sense, is not worth an entry: 0, or why it is refused. */
static int check_command(const struct agent *agent, struct bytes bytes, struct error *ret_error)
{
    struct command command;
    uint32_t level = 0;
    if (command_level_peek(bytes, &level) == 0 && level > agent->intent->level.number)
        return level_refuse(agent->intent, &agent->view, level, ret_error);
    int rc = command_decode(bytes, &command);
    if (rc == -ENOMEM)
        return error_set(ret_error, rc, "the leading peer is out of memory");
    if (rc < 0)
        return error_set(ret_error, rc, "the change makes no sense to the leading peer");
    command_done(&command);
    return 0;
}

void agent_propose(struct agent *agent, const struct id *from, uint64_t request, uint8_t hops,
                   struct bytes command)
{
    uint64_t index, term;
    struct raft_input input = {.type = RAFT_PROPOSE,
                               .now_ms = agent->now_ms,
                               .data = command,
                               .defer_apply = true,
                               .more = true};
    /* First of all: what has gone into the log can't be refused any more. */
    if (pendings_reserve(&agent->pendings) < 0) {
        answer_error(agent, from, request, -EBUSY, "too many changes are under way");
        return;
    }
    bool is_ours = agent_leads(agent) && command.size <= COMMAND_BYTES_MAX; /* else Raft refuses */
    struct intent_result refused = {0};
    int rc = is_ours ? check_command(agent, command, &refused.error) : 0;
    if (rc < 0) {
        refused.code = rc;
        answer(agent, from, request, &refused, NULL);
        return;
    }
    rc = agent_raft_step(agent, &input, &index, &term);
    if (rc == 0) {
        struct pending *pending = add_pending(agent);
        pending->from = *from;
        pending->request = request;
        pending->index = index;
        pending->term = term;
        return;
    }
    struct id target = rc == -EREMOTE ? forward_target(agent) : ID_NONE;
    if (!id_is_none(&target) && !id_equal(&target, from) && hops < AGENT_PROPOSE_HOPS_MAX) {
        forward(agent, from, request, hops, command, &target);
        return;
    }
    if (rc == -E2BIG)
        answer_error(agent, from, request, rc, "the change is too large to be agreed on");
    else if (rc == -EBUSY)
        answer_error(agent, from, request, rc, "the leader has too many changes under way");
    else
        answer_error(agent, from, request, -EAGAIN,
                     "there is no quorum: no peer leads at the moment");
}

int agent_propose_control(struct agent *agent, const struct command *command)
{
    cleanup_buffer struct buffer bytes = {0};
    uint64_t index, term;
    int rc = pendings_reserve(&agent->pendings);
    if (rc == 0)
        rc = command_encode(command, &bytes);
    if (rc < 0)
        return rc;
    struct raft_input input = {.type = RAFT_PROPOSE,
                               .now_ms = agent->now_ms,
                               .data = buffer_view(&bytes),
                               .defer_apply = true,
                               .more = true};
    rc = agent_raft_step(agent, &input, &index, &term);
    if (rc < 0)
        return rc;
    struct pending *pending = add_pending(agent);
    pending->is_control = true;
    pending->index = index;
    pending->term = term;
    agent->control_outstanding++;
    return 0;
}

int agent_propose_message(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    struct bytes command;
    uint64_t request = 0;
    uint8_t hops = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 3);
    reader_u64(&reader, &request);
    reader_u8(&reader, &hops);
    reader_binary(&reader, &command);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    agent_propose(agent, from, request, hops, command);
    return 0;
}

int agent_result_message(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    uint64_t number = 0;
    int64_t code = 0;
    struct intent_result result = {0};
    struct id leader = ID_NONE;
    struct certificate_chain chain = {0};

    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, RESULT_FIELDS);
    reader_u64(&reader, &number);
    reader_i64(&reader, &code);
    reader_copy_text(&reader, result.error.message, sizeof(result.error.message));
    reader_copy_text(&reader, result.error.hint, sizeof(result.error.hint));
    reader_u64(&reader, &result.serial);
    reader_u64(&reader, &result.version);
    reader_u32(&reader, &result.revision);
    reader_bool(&reader, &result.unchanged);
    reader_fixed(&reader, leader.bytes, ID_BYTES);
    certificate_chain_read(&reader, &chain);
    if (reader_end(&reader) < 0 || code > 0 || code < -4095)
        return -EBADMSG;
    result.code = result.error.code = (int)code;

    size_t at = 0;
    for (struct pending *pending; (pending = pendings_next(&agent->pendings, &at));) {
        if (pending->sent_as != number || !id_equal(&pending->sent_to, from))
            continue; /* a number alone is easily guessed */
        answer(agent, &pending->from, pending->request, &result, &chain);
        pendings_drop(&agent->pendings, pending);
        return 0;
    }
    return 0;
}

/* The leader that committed an admission signs the newcomer's certificate. */
static int sign_admission(struct agent *agent, const struct id *admitted,
                          struct certificate_chain *ret)
{
    const struct intent_peer *peer = intent_peer_find(agent->intent, admitted);
    if (!peer)
        return -ENOENT;
    struct certificate leaf = {
        .cluster = agent->config.cluster,
        .subject = *admitted,
        .role = (enum role)(ROLE_PEER + peer->role),
        .serial = peer->serial,
        .log_index = peer->admitted_index,
    };
    __builtin_memcpy(leaf.name, peer->name, sizeof(leaf.name));
    int rc = certificate_sign(&leaf, agent->config.identity);
    return rc < 0 ? rc : certificate_chain_extend(&leaf, &agent->chain, ret);
}

void agent_pending_applied(struct agent *agent, uint64_t index, uint64_t term,
                           const struct intent_result *result, const struct id *admitted)
{
    size_t at = 0;
    for (struct pending *pending; (pending = pendings_next(&agent->pendings, &at));) {
        if (pending->index != index || !id_is_none(&pending->sent_to))
            continue;
        struct certificate_chain chain = {0};
        if (pending->is_control) {
            agent->control_outstanding--;
        } else if (pending->term != term) {
            answer_error(agent, &pending->from, pending->request, -EAGAIN,
                         "another peer took the lead before the change was agreed on");
        } else if (!id_is_none(admitted) && sign_admission(agent, admitted, &chain) < 0) {
            answer_error(agent, &pending->from, pending->request, -ELOOP,
                         "admitted, but this leader is too far from the root key to sign a "
                         "certificate");
        } else {
            answer(agent, &pending->from, pending->request, result, &chain);
        }
        pendings_drop(&agent->pendings, pending);
        return;
    }
}

void agent_pending_expire(struct agent *agent)
{
    size_t at = 0;
    for (struct pending *pending; (pending = pendings_next(&agent->pendings, &at));) {
        if (pending->expires_ms > agent->now_ms)
            return; /* so do all behind it */
        if (pending->is_control)
            agent->control_outstanding--;
        else
            answer_error(agent, &pending->from, pending->request, -ETIMEDOUT,
                         "no majority of the voters agreed in time; the change may still come "
                         "into force");
        pendings_drop(&agent->pendings, pending);
    }
}

void agent_pending_refuse(struct agent *agent)
{
    size_t at = 0;
    for (struct pending *pending; (pending = pendings_next(&agent->pendings, &at));) {
        if (pending->is_control)
            agent->control_outstanding--;
        else if (id_is_none(&pending->sent_to))
            answer_error(agent, &pending->from, pending->request, -EAGAIN,
                         "a new epoch of the cluster begins; the change may be lost");
        else
            continue;
        pendings_drop(&agent->pendings, pending);
    }
}

void agent_pending_lost(struct agent *agent)
{
    size_t at = 0;
    for (struct pending *pending; (pending = pendings_next(&agent->pendings, &at));)
        if (pending->is_control)
            pendings_drop(&agent->pendings, pending);
    agent->control_outstanding = 0;
}

/* Who was asked to pass them on leads no more. Whoever asked may ask again: a command that was
 * agreed on is not applied twice. */
void agent_pending_unanswered(struct agent *agent, const struct id *leader)
{
    size_t at = 0;
    for (struct pending *pending; (pending = pendings_next(&agent->pendings, &at));) {
        if (id_is_none(&pending->sent_to) || !id_equal(&pending->sent_to, leader))
            continue;
        answer_error(agent, &pending->from, pending->request, -ETIMEDOUT,
                     "the leading peer was lost before it answered; the change may still come "
                     "into force");
        pendings_drop(&agent->pendings, pending);
    }
}

int64_t agent_pending_deadline(const struct agent *agent)
{
    size_t at = 0;
    const struct pending *first = pendings_next(&agent->pendings, &at);
    return first ? first->expires_ms : INT64_MAX;
}
