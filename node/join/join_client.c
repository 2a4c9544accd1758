#include "node/join/join_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/transport/kinds.h"
#include "node/transport/link.h"

struct join_client {
    struct link_config config;
    struct certificate_chain no_chain;
    struct token token;
    uint32_t next_address;
    struct buffer request;
    struct buffer answer;
    struct link *link; /* the try under way */
    bool is_answered, is_decided;
    struct error error; /* of the last try */
    join_callback *callback;
    void *context;
};

static void dial_next(struct join_client *client);

static void free_client(struct join_client *client)
{
    token_done(&client->token);
    buffer_done(&client->request);
    buffer_done(&client->answer);
    free(client);
}

static void decide(struct join_client *client, const struct join_answer *answer)
{
    client->is_decided = true;
    client->callback(client->context, answer, answer ? NULL : &client->error);
}

/* The whole answer is there: an admission, or the cluster's refusal with its reason. */
static void take_answer(struct join_client *client)
{
    struct join_answer answer;
    if (join_answer_decode(buffer_view(&client->answer), &answer) < 0) {
        error_set(&client->error, -EBADMSG, "the cluster's answer makes no sense");
        decide(client, NULL);
        return;
    }
    if (answer.error.code < 0) {
        client->error = answer.error;
        decide(client, NULL);
        return;
    }
    enum certificate_verdict verdict =
        certificate_chain_verify(&answer.chain, &client->token.cluster);
    if (verdict != CERTIFICATE_GOOD ||
        !id_equal(&answer.chain.certificates[0].subject, &client->config.identity->id)) {
        error_set(&client->error, -EKEYREJECTED, "the certificate that was sent does not hold: %s",
                  verdict != CERTIFICATE_GOOD ? certificate_verdict_words(verdict)
                                              : "it is for another key");
        decide(client, NULL);
        return;
    }
    decide(client, &answer);
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct join_client *client = context;
    if (data.size > JOIN_ANSWER_BYTES_MAX - client->answer.size ||
        buffer_append(&client->answer, data.data, data.size) < 0) {
        error_set(&client->error, -E2BIG, "the cluster's answer is too large");
        stream_reset(stream, -E2BIG);
        return;
    }
    stream_consumed(stream, data.size);
}

static void on_end(void *context, struct mux_stream *stream)
{
    struct join_client *client = context;
    (void)stream;
    client->is_answered = true;
}

static void on_stream_close(void *context, struct mux_stream *stream, int reason)
{
    struct join_client *client = context;
    (void)stream;
    if (client->is_answered)
        take_answer(client);
    else if (client->error.code == 0)
        error_set_errno(&client->error, reason < 0 ? reason : -EPIPE, "asking to be admitted");
    link_close(client->link, 0);
}

static const struct stream_handler stream_handler = {
    .on_data = on_data, .on_end = on_end, .on_close = on_stream_close};

static void on_open(void *context, struct link *link)
{
    struct join_client *client = context;
    struct mux_stream *stream;
    int rc =
        mux_open(link_mux(link), STREAM_JOIN, (struct bytes){0}, &stream_handler, client, &stream);
    if (rc == 0)
        rc = stream_write(stream, client->request.bytes, client->request.size);
    if (rc == 0)
        stream_end(stream);
    else
        link_close(link, rc);
}

static void on_link_close(void *context, struct link *link, const struct error *why)
{
    struct join_client *client = context;
    (void)link;
    if (client->is_decided) {
        free_client(client);
        return;
    }
    if (why->code < 0)
        client->error = *why;
    dial_next(client);
}

static const struct link_handler link_handler = {.on_open = on_open, .on_close = on_link_close};

static void dial_next(struct join_client *client)
{
    while (client->next_address < client->token.address_count) {
        const struct address *address = &client->token.addresses[client->next_address++];
        char text[ADDRESS_TEXT_BYTES];
        buffer_clear(&client->answer);
        client->is_answered = false;
        int rc = link_dial_token(&client->config, address, client->token.secret, &link_handler,
                                 client, &client->link);
        if (rc == 0)
            return;
        address_format(address, text);
        error_set_errno(&client->error, rc, "connecting to %s", text);
    }
    if (client->error.code == 0)
        error_set(&client->error, -EHOSTUNREACH, "none of the token's peers answered");
    decide(client, NULL);
    free_client(client);
}

int join_start(uv_loop_t *loop, const struct identity *identity, const struct token *token,
               const struct join_request *request, struct fault *fault, join_callback *callback,
               void *context)
{
    struct join_client *client = calloc(1, sizeof(*client));
    int rc = client ? join_request_encode(request, &client->request) : -ENOMEM;
    if (rc < 0) {
        free(client);
        return rc;
    }
    client->token = *token;
    client->config = (struct link_config){.loop = loop,
                                          .identity = identity,
                                          .chain = &client->no_chain,
                                          .cluster = token->cluster,
                                          .fault = fault};
    client->callback = callback;
    client->context = context;
    dial_next(client);
    return 0;
}
