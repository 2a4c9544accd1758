#include "node/peer/join_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/join/join_wire.h"
#include "node/peer/peer.h"
#include "node/peer/proposals.h"

enum {
    JOIN_PATIENCE_MS = 10000,
};

struct admission {
    struct peer *peer;
    struct mux_stream *stream; /* NULL once it is gone */
    struct id id;
    uint8_t token_id[TOKEN_ID_BYTES];
    struct join_request request;
    struct buffer input, output;
    size_t sent;
    bool is_proposed; /* a proposal holds on to this */
};

static void free_admission(struct admission *admission)
{
    buffer_done(&admission->input);
    buffer_done(&admission->output);
    free(admission);
}

static void send_more(struct admission *admission)
{
    while (admission->sent < admission->output.size) {
        size_t left = admission->output.size - admission->sent;
        size_t step = left < MUX_CHUNK_BYTES ? left : MUX_CHUNK_BYTES;
        int rc = stream_write(admission->stream, admission->output.bytes + admission->sent, step);
        if (rc < 0)
            return; /* on_drained or on_close follows */
        admission->sent += step;
    }
    stream_end(admission->stream);
}

static void answer(struct admission *admission, const struct join_answer *answer)
{
    if (!admission->stream)
        return;
    if (join_answer_encode(answer, &admission->output) < 0) {
        stream_reset(admission->stream, -ENOMEM);
        free_admission(admission); /* no on_close follows a reset of ours */
        return;
    }
    send_more(admission);
}

static void refuse(struct admission *admission, int code, const char *message)
{
    struct join_answer refusal = {0};
    error_set(&refusal.error, code, "%s", message);
    answer(admission, &refusal);
}

static void add_seed(struct join_answer *answer, const struct id *id, const struct address *address)
{
    if (answer->seed_count < JOIN_SEEDS_MAX && !address_is_none(address))
        answer->seeds[answer->seed_count++] = (struct join_seed){*id, *address};
}

static void add_seeds(const struct peer *peer, struct join_answer *answer)
{
    const struct swim *swim = agent_swim(peer->agent);
    add_seed(answer, &peer->identity.id, &peer->options.advertised);
    for (size_t i = 0; i < swim_member_count(swim); i++) {
        const struct swim_member member = swim_member_at(swim, i);
        if (member.state == SWIM_ALIVE && !id_equal(&member.id, &peer->identity.id))
            add_seed(answer, &member.id, &member.stream_address);
    }
}

static void on_decided(void *context, const struct agent_result *result)
{
    struct admission *admission = context;
    struct peer *peer = admission->peer;
    cleanup_buffer struct buffer intent = {0};
    struct join_answer admitted = {.chain = result->chain};
    admission->is_proposed = false;
    if (!admission->stream) {
        free_admission(admission);
        return;
    }
    if (result->result.code < 0) {
        log_warning("%s %s was not admitted: %s", role_name(admission->request.role),
                    admission->request.name, result->result.error.message);
        admitted.error = result->result.error;
        answer(admission, &admitted);
        return;
    }
    log_notice("%s %s is admitted, id=%s", role_name(admission->request.role),
               admission->request.name, id_short(&admission->id));
    add_seeds(peer, &admitted);
    if (admission->request.role == ROLE_PEER &&
        intent_write(agent_intent(peer->agent), &intent) < 0)
        refuse(admission, -ENOMEM, "the peer that was asked is out of memory");
    else {
        admitted.intent = buffer_view(&intent);
        answer(admission, &admitted);
    }
}

/* Whether a newcomer knows the cluster's state as it is; what it would agree to stands there. */
static bool knows_level(struct admission *admission)
{
    const struct intent_level *level = &agent_intent(admission->peer->agent)->level;
    struct join_answer refusal = {0};
    if (admission->request.role != ROLE_PEER || admission->request.level >= level->number)
        return true;
    log_warning(
        "peer %s was not admitted: it knows level %u of the cluster's state, which is at %u",
        admission->request.name, admission->request.level, level->number);
    error_set(&refusal.error, -EPROTONOSUPPORT,
              "this machine's consort is too old: the cluster's state is at level %u, which takes "
              "consort %s or a later version",
              level->number, level->version);
    error_hint(&refusal.error, "upgrade consort on this machine, and join again");
    answer(admission, &refusal);
    return false;
}

static void take_request(struct admission *admission)
{
    struct command command = {.head.type = COMMAND_ADMIT};
    int rc = join_request_decode(buffer_view(&admission->input), &admission->request);
    if (rc == -EPROTONOSUPPORT) {
        refuse(admission, rc,
               "this cluster runs an older version of consort: upgrade it first, or "
               "join with its version");
        return;
    }
    if (rc < 0) {
        refuse(admission, rc, "the request to join makes no sense");
        return;
    }
    if (!knows_level(admission))
        return;
    command.admit.id = admission->id;
    command.admit.role = (uint8_t)(admission->request.role - ROLE_PEER);
    command.admit.has_token = true;
    memcpy(command.admit.token_id, admission->token_id, sizeof(command.admit.token_id));
    memcpy(command.admit.name, admission->request.name, sizeof(command.admit.name));
    strncpy(command.head.actor, admission->request.name, sizeof(command.head.actor) - 1);
    admission->is_proposed = true;
    rc = peer_propose(admission->peer, &command, JOIN_PATIENCE_MS, on_decided, admission);
    if (rc < 0) {
        admission->is_proposed = false;
        refuse(admission, rc, "the peer that was asked is out of memory");
    }
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct admission *admission = context;
    if (data.size > JOIN_REQUEST_BYTES_MAX - admission->input.size ||
        buffer_append(&admission->input, data.data, data.size) < 0) {
        stream_reset(stream, -E2BIG);
        free_admission(admission); /* nothing is proposed before the request has ended */
        return;
    }
    stream_consumed(stream, data.size);
}

static void on_end(void *context, struct mux_stream *stream)
{
    (void)stream;
    take_request(context);
}

static void on_drained(void *context, struct mux_stream *stream)
{
    (void)stream;
    send_more(context);
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct admission *admission = context;
    (void)stream;
    (void)reason;
    admission->stream = NULL;
    if (!admission->is_proposed)
        free_admission(admission);
}

static const struct stream_handler handler = {
    .on_data = on_data, .on_end = on_end, .on_drained = on_drained, .on_close = on_close};

void join_server_accept(struct peer *peer, const struct link_remote *remote,
                        struct mux_stream *stream)
{
    struct admission *admission = calloc(1, sizeof(*admission));
    if (!admission) {
        stream_reset(stream, -ENOMEM);
        return;
    }
    admission->peer = peer;
    admission->stream = stream;
    admission->id = remote->id;
    memcpy(admission->token_id, remote->token_id, sizeof(admission->token_id));
    stream_accept(stream, &handler, admission);
}
