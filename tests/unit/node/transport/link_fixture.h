/* Two ends of a link on one loop, the server's listener between them, and what came of it at each.
 */
#pragma once

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "node/transport/link.h"
#include "party.h"

enum {
    ROOT = 1,
    OTHER_ROOT = 2,
    SERVER = 10,
    CLIENT = 11,
    STRANGER = 12,
};

/* One end: its key, its configuration, and what its one link came to. */
struct end {
    struct link_given given; /* by on_for_mesh */
    int given_fd, gifts;
    struct party party;
    struct link_config config;
    struct link *link;
    unsigned opens, closes;
    struct error why;
    struct link_remote remote;
    enum link_refusal admits; /* what its admit says */
    struct mux_stream *stream;
    struct buffer received;
    unsigned stream_closes;
    int stream_reason;
};

struct fixture {
    uv_loop_t loop;
    struct identity root, other_root;
    struct end server, client;
    struct fault fault;
    struct link_config bare; /* of who is given links */
    uv_tcp_t listener;
    struct address address;
    uint8_t secret[TOKEN_SECRET_BYTES];
};

static struct fixture *now;

static inline void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct end *end = context;
    buffer_append(&end->received, data.data, data.size);
    stream_consumed(stream, data.size);
}

static inline void on_end(void *context, struct mux_stream *stream)
{
    (void)context;
    stream_end(stream);
}

static inline void on_stream_close(void *context, struct mux_stream *stream, int reason)
{
    struct end *end = context;
    (void)stream;
    end->stream = NULL;
    end->stream_closes++;
    end->stream_reason = reason;
}

static const struct stream_handler stream_handler = {
    .on_data = on_data,
    .on_end = on_end,
    .on_close = on_stream_close,
};

static inline void on_open(void *context, struct link *link)
{
    struct end *end = context;
    end->opens++;
    end->remote = *link_remote(link);
}

static inline void on_stream(void *context, struct link *link, struct mux_stream *stream,
                             uint8_t kind, struct bytes header)
{
    struct end *end = context;
    (void)link;
    (void)kind;
    (void)header;
    end->stream = stream;
    stream_accept(stream, &stream_handler, end);
}

static inline void on_close(void *context, struct link *link, const struct error *why)
{
    struct end *end = context;
    (void)link;
    end->link = NULL;
    end->closes++;
    end->why = *why;
}

static inline void on_for_mesh(void *context, struct link *link)
{
    struct end *end = context;
    assert_int_equal(link_give_away(link, &end->given, &end->given_fd), 0);
    end->gifts++;
}

static const struct link_handler handler = {
    .on_open = on_open, .on_stream = on_stream, .on_for_mesh = on_for_mesh, .on_close = on_close};

static inline void on_connection(uv_stream_t *listener, int status)
{
    assert_int_equal(status, 0);
    assert_int_equal(
        link_accept(&now->server.config, listener, &handler, &now->server, &now->server.link), 0);
}

static inline enum link_refusal admit(void *context, const struct id *remote,
                                      const struct certificate_chain *chain)
{
    struct end *end = context;
    assert_true(id_equal(remote, &chain->certificates[0].subject));
    return end->admits;
}

static inline int find_token(void *context, const uint8_t wanted[TOKEN_ID_BYTES],
                             uint8_t ret_psk[NOISE_PSK_BYTES])
{
    uint8_t id[TOKEN_ID_BYTES];
    (void)context;
    token_id(now->secret, id);
    if (memcmp(id, wanted, sizeof(id)) != 0)
        return -ENOENT;
    token_psk(now->secret, ret_psk);
    return 0;
}

static inline void end_init(struct fixture *fixture, struct end *end, uint8_t number,
                            const char *name)
{
    party_init(&end->party, number, name, ROLE_PEER, &fixture->root);
    end->config = (struct link_config){.loop = &fixture->loop,
                                       .identity = &end->party.identity,
                                       .chain = &end->party.chain,
                                       .cluster = fixture->root.id,
                                       .fault = end == &fixture->client ? &fixture->fault : NULL,
                                       .context = end,
                                       .admit = admit,
                                       .find_token = find_token};
}

static inline int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct sockaddr_in any = {.sin_family = AF_INET}, bound;
    int size = sizeof(bound);
    assert_non_null(fixture);
    now = fixture;
    uv_loop_init(&fixture->loop);
    party_identity(&fixture->root, ROOT);
    party_identity(&fixture->other_root, OTHER_ROOT);
    end_init(fixture, &fixture->server, SERVER, "server");
    end_init(fixture, &fixture->client, CLIENT, "client");
    fault_init(&fixture->fault, 1);
    memset(fixture->secret, 5, sizeof(fixture->secret));
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uv_tcp_init(&fixture->loop, &fixture->listener);
    assert_int_equal(uv_tcp_bind(&fixture->listener, (struct sockaddr *)&any, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fixture->listener, 8, on_connection), 0);
    uv_tcp_getsockname(&fixture->listener, (struct sockaddr *)&bound, &size);
    fixture->address = address_from_v4(INADDR_LOOPBACK, ntohs(bound.sin_port));
    *state = fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    uv_close((uv_handle_t *)&fixture->listener, NULL);
    if (fixture->server.link)
        link_close(fixture->server.link, 0);
    if (fixture->client.link)
        link_close(fixture->client.link, 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    buffer_done(&fixture->server.received);
    buffer_done(&fixture->client.received);
    free(fixture);
    return 0;
}

static inline void dial(struct fixture *fixture)
{
    assert_int_equal(link_dial(&fixture->client.config, &fixture->address,
                               &fixture->server.party.identity.id, &handler, &fixture->client,
                               &fixture->client.link),
                     0);
}

/* Dials, and runs until both ends are open or closed. */
static inline void settle(struct fixture *fixture)
{
    struct end *server = &fixture->server, *client = &fixture->client;
    while (server->opens + server->closes == 0 || client->opens + client->closes == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
}

static inline void run_until_closed(struct fixture *fixture)
{
    while (fixture->server.closes == 0 || fixture->client.closes == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
}
