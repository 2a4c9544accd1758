/* Two or three peers with their pools of links, on one loop: what one sends, the other echoes and
 * counts. */
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

#include "node/transport/links.h"
#include "party.h"

enum {
    ROOT = 1,
};

/* One peer: its pool, and what came to it. */
struct end {
    struct party party;
    struct links *links;
    struct address address;
    size_t streams; /* incoming, accepted and echoed */
    struct link_remote remote;
    size_t messages, message_bytes;
    uint32_t next_small, next_large; /* messages carry a counter */
    bool drops_sender;               /* inside on_message */
    struct id vital;                 /* whose end it wants to know of */
    struct id refused_by;
    unsigned refusals;
};

/* A stream that this side opened. */
struct user {
    struct mux_stream *stream;
    struct buffer received;
    unsigned closes;
    int reason;
};

struct fixture {
    uv_loop_t loop;
    struct identity root;
    struct end a, b, c; /* c: only where a test opens it */
    struct links_helpers helpers;
    bool is_located;   /* b, by whoever asks */
    struct id refused; /* whom all others hold revoked */
    uint8_t secret[TOKEN_SECRET_BYTES];
};

static struct fixture *now;

/* --- The serving side: echoes each stream --- */

static inline void echo_data(void *context, struct mux_stream *stream, struct bytes data)
{
    (void)context;
    assert_int_equal(stream_write(stream, data.data, data.size), 0);
    stream_consumed(stream, data.size);
}

static inline void echo_end(void *context, struct mux_stream *stream)
{
    (void)context;
    stream_end(stream);
}

static const struct stream_handler echo_handler = {.on_data = echo_data, .on_end = echo_end};

static inline void on_stream(void *context, const struct link_remote *remote,
                             struct mux_stream *stream, uint8_t kind, struct bytes header)
{
    struct end *end = context;
    (void)kind;
    (void)header;
    end->streams++;
    end->remote = *remote;
    stream_accept(stream, &echo_handler, end);
}

static inline void on_message(void *context, const struct id *from, uint8_t kind, struct bytes data)
{
    struct end *end = context;
    uint32_t number;
    assert_true(data.size >= sizeof(number));
    memcpy(&number, data.data, sizeof(number));
    assert_int_equal(number,
                     data.size > LINKS_SMALL_BYTES_MAX ? end->next_large++ : end->next_small++);
    assert_int_equal(kind, (uint8_t)number);
    end->messages++;
    end->message_bytes += data.size;
    if (end->drops_sender)
        links_drop(end->links, from);
}

static inline bool is_vital(void *context, const struct id *id)
{
    const struct end *end = context;
    return id_equal(&end->vital, id);
}

static inline void on_refused(void *context, const struct id *id)
{
    struct end *end = context;
    end->refused_by = *id;
    end->refusals++;
}

static inline int find_token(void *context, const uint8_t wanted[TOKEN_ID_BYTES],
                             uint8_t ret_psk[NOISE_PSK_BYTES])
{
    (void)context;
    (void)wanted;
    token_psk(now->secret, ret_psk);
    return 0;
}

static inline void help(void *context, const struct id *id, struct links_helpers *ret)
{
    (void)context;
    *ret = id_equal(id, &now->b.party.identity.id) ? now->helpers : (struct links_helpers){0};
}

static inline bool locate(void *context, const struct id *id, struct address *ret)
{
    (void)context;
    *ret = now->b.address;
    return now->is_located && id_equal(id, &now->b.party.identity.id);
}

static inline enum link_refusal admit(void *context, const struct id *id,
                                      const struct certificate_chain *chain)
{
    (void)context;
    (void)chain;
    return id_equal(id, &now->refused) ? LINK_REFUSED_REVOKED : LINK_ACCEPTED;
}

static inline struct link_config link_config(struct fixture *fixture, const struct party *party)
{
    return (struct link_config){.loop = &fixture->loop,
                                .identity = &party->identity,
                                .chain = &party->chain,
                                .cluster = fixture->root.id,
                                .admit = admit,
                                .find_token = find_token};
}

static inline void end_open(struct fixture *fixture, struct end *end, uint16_t port)
{
    const struct links_config config = {.link = link_config(fixture, &end->party),
                                        .context = end,
                                        .on_stream = on_stream,
                                        .locate = locate,
                                        .helpers = help,
                                        .is_vital = is_vital,
                                        .on_refused = on_refused,
                                        .on_message = on_message};
    const struct address any = address_from_v4(INADDR_LOOPBACK, port);
    end->links = links_new(&config);
    assert_non_null(end->links);
    assert_int_equal(links_listen(end->links, &any, &end->address, NULL), 0);
}

static inline int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    now = fixture;
    uv_loop_init(&fixture->loop);
    party_identity(&fixture->root, ROOT);
    party_init(&fixture->a.party, 10, "a", ROLE_PEER, &fixture->root);
    party_init(&fixture->b.party, 11, "b", ROLE_PEER, &fixture->root);
    party_init(&fixture->c.party, 12, "c", ROLE_PEER, &fixture->root);
    end_open(fixture, &fixture->a, 0);
    end_open(fixture, &fixture->b, 0);
    *state = fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    links_close(fixture->a.links, NULL, NULL);
    links_close(fixture->b.links, NULL, NULL);
    if (fixture->c.links)
        links_close(fixture->c.links, NULL, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
    return 0;
}

/* --- The asking side --- */

static inline void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct user *user = context;
    buffer_append(&user->received, data.data, data.size);
    stream_consumed(stream, data.size);
}

static inline void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct user *user = context;
    (void)stream;
    user->stream = NULL;
    user->closes++;
    user->reason = reason;
}

static const struct stream_handler user_handler = {.on_data = on_data, .on_close = on_close};

static inline int ask(struct end *from, struct end *to, uint8_t kind, struct user *user)
{
    int rc = links_open_stream(from->links, &to->party.identity.id, &to->address, kind,
                               (struct bytes){0}, &user_handler, user, &user->stream);
    if (rc == 0) {
        assert_int_equal(stream_write(user->stream, "hello", 5), 0);
        stream_end(user->stream);
    }
    return rc;
}

static inline void run_until_closed(struct fixture *fixture, const struct user *user)
{
    while (user->closes == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
}

static inline void assert_echoed(struct user *user)
{
    assert_int_equal(user->closes, 1);
    assert_int_equal(user->reason, 0);
    assert_int_equal(user->received.size, 5);
    buffer_done(&user->received);
    *user = (struct user){0};
}

static inline void send_messages(struct end *from, struct end *to, uint32_t first, uint32_t count,
                                 size_t size)
{
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    for (uint32_t i = first; i < first + count; i++) {
        memcpy(bytes, &i, sizeof(i));
        assert_int_equal(links_send_message(from->links, &to->party.identity.id, (uint8_t)i,
                                            (struct bytes){bytes, size}),
                         0);
    }
    free(bytes);
}

static inline void know_each_other(struct fixture *fixture)
{
    struct end *a = &fixture->a, *b = &fixture->b;
    assert_int_equal(links_set_address(a->links, &b->party.identity.id, &b->address), 0);
    assert_int_equal(links_set_address(b->links, &a->party.identity.id, &a->address), 0);
}
