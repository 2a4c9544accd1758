/* Two peers' meshes on one loop, replicas that are sockets on loopback addresses, and clients.
 *
 *     bench_start(&b);                          peers a and b, linked; the service s_web on a port
 *     bench_replica(&b, 0, BACKEND_ECHO);       generation 1, at peer a; it says "1:" and echoes
 *     bench_update(&b);                         a has seen it
 *     bench_connect(&b, &client);
 *     bench_say(&client, "hello"); bench_wait_for(&b, &client, "1:hello");
 *     bench_done(&b);
 *
 * Only peer a listens on the published port (they share a machine); b takes what a passes to it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/mesh/mesh.h"
#include "node/transport/links.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/transport/loop.h"
#include "tests/unit/node/transport/party.h"

enum {
    BENCH_REPLICAS_MAX = 6,
    BENCH_CONNECTIONS_MAX = 32, /* a replica takes */
};

enum backend_kind {
    BACKEND_ECHO,     /* says its generation and a colon, echoes, says "." after the other's end */
    BACKEND_CLOSED,   /* nothing listens there */
    BACKEND_UNKNOWN,  /* its peer does not know it any more */
    BACKEND_IPV6,     /* as ECHO, at IPv6 alone: one of a bench */
    BACKEND_HANGS_UP, /* resets as soon as it has read something */
};

struct bench;

struct backend_connection {
    uv_tcp_t tcp;
    struct backend *backend;
    bool is_open;
};

/* A replica's container. */
struct backend {
    struct bench *bench;
    enum backend_kind kind;
    unsigned peer;
    uint64_t generation;
    const char *network; /* the only one that it is on; NULL: none */
    uv_tcp_t listener;
    uv_udp_t datagrams; /* the same port: answers each with its generation, a colon and the same */
    unsigned datagram_count;
    struct backend_connection connections[BENCH_CONNECTIONS_MAX];
    unsigned connection_count;        /* ever */
    unsigned ends, failures, is_open; /* connections that the other side ended; broke; now open */
};

struct client {
    uv_tcp_t tcp;
    uv_connect_t request;
    struct bench *bench;
    struct buffer received;
    bool is_connected, has_ended, is_closed;
    int error;
};

struct bench_side {
    struct bench *bench;
    struct party party;
    struct links *links;
    struct address address;
    struct mesh *mesh;
};

struct bench {
    uv_loop_t loop;
    struct identity root;
    struct bench_side sides[2]; /* a and b */
    struct fixture f;
    struct view view;
    struct backend *replicas[BENCH_REPLICAS_MAX]; /* by generation - 1 */
    unsigned replica_count;
    uint16_t published, target;
    bool has_ipv6; /* both peers; false at first */
    /* Who asks for a name, or connects: a service, "?" for an unknown container, "" the machine. */
    char asker[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    char asker_network[SPEC_NETWORK_NAME_MAX + 1];
    struct address asked; /* about whom the mesh asked last */
};

void bench_start(struct bench *b);
void bench_done(struct bench *b);

/* One more replica of s_web, placed at peer 0 or 1, which says that it runs. */
struct backend *bench_replica(struct bench *b, unsigned peer, enum backend_kind kind);

/* Its container ends; it is not known yet. */
void bench_stop_listening(struct backend *backend);
void bench_see(struct bench *b, struct backend *backend, enum view_replica_state state);

/* The meshes look at the intent and the view; done when it returns. */
void bench_update(struct bench *b);

/* Peer b is gone: its links are closed, and nothing listens at its address. */
void bench_lose_b(struct bench *b);

void bench_run(struct bench *b, unsigned ms);

/* Connects to the published port, or to `address`. */
void bench_connect(struct bench *b, struct client *client);
void bench_connect_to(struct bench *b, struct client *client, const char *ip, uint16_t port);
void bench_say(struct client *client, const char *text);
void bench_say_bytes(struct client *client, const void *bytes, size_t size);
void bench_end(struct client *client); /* writes no more */
void bench_close(struct client *client);

/* Runs until exactly that was received; the test fails after 5 s. */
void bench_wait_for(struct bench *b, struct client *client, const char *text);
void bench_wait_end(struct bench *b, struct client *client);
