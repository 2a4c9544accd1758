/* A mesh process, run for real in a child of the test, which is its daemon, its replica and its
 * clients, all with blocking sockets.
 *
 *     bench_start(&b, 0);
 *     int daemon = bench_attach(&b);
 *     bench_tell(&b, daemon, &(struct bench_told){0});
 *     int client = bench_connect(&b), replica = bench_accept(&b);
 *     bench_pass(client, replica, "hello");
 *     bench_done(&b);                             kills it; after bench_wait() it has ended by
 * itself
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/mesh_process/channel.h"
#include "node/mesh_process/launch.h"
#include "node/mesh_process/words.h"

struct process_bench {
    char folder[32], path[MESH_SOCKET_PATH_BYTES];
    struct id self;
    pid_t pid;              /* 0: it has ended */
    int replica;            /* where the one replica, of generation 1, listens */
    int datagrams;          /* … and takes datagrams */
    uint16_t port, target;  /* published; the replica's */
    struct address address; /* the replica's */
};

/* What a daemon says of the service s_web, which has the replica. */
struct bench_told {
    bool is_exclusive;
    bool is_elsewhere;  /* the replica, at the peer `bench_other` */
    bool is_gone;       /* there is no replica */
    bool has_datagrams; /* the same port of UDP, too */
};

extern const struct id bench_other;

/* `files_max`: how many files it may open; 0: as many as the test. */
void bench_start(struct process_bench *b, unsigned files_max);
void bench_done(struct process_bench *b);

/* Waits until it has ended: its exit code, or -1 if it was killed. */
int bench_wait(struct process_bench *b);

/* Connects as a daemon, and reads the greeting. */
int bench_attach(struct process_bench *b);

/* Sends one word whole. `passed` (-1: none) stays the caller's. */
void bench_say(int daemon, uint8_t word, struct bytes body, int passed);
void bench_say_peer(int daemon, uint8_t word, const struct id *peer);
void bench_tell(struct process_bench *b, int daemon, const struct bench_told *told);

/* The next word that comes; 0: the other side has closed. */
uint8_t bench_hear(int daemon, struct buffer *ret_body, int *ret_fd);

/* The same, leaving out what comes before that word; `*ret_fd` (may be NULL) is -1 if none came. */
void bench_hear_word(int daemon, uint8_t word, struct buffer *ret_body, int *ret_fd);

/* A client's connection to the published port; tried until somebody listens there. */
int bench_connect(struct process_bench *b);

/* A client of the published port's datagrams. */
int bench_datagram_client(struct process_bench *b);

/* What comes in at the replica. */
int bench_accept(struct process_bench *b);

/* Whether something waits there to be accepted now. */
bool bench_is_asked(struct process_bench *b);

/* From one end of a connection to the other, and the same back. */
void bench_pass(int from, int to, const char *text);

/* Waits until the other side has ended or broken it. */
void bench_wait_broken(int fd);
