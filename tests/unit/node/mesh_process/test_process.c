#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <uv.h>

#include "node/mesh/stream_header.h"
#include "node/transport/kinds.h"
#include "tests/unit/node/mesh_process/given_links.h"
#include "tests/unit/node/mesh_process/process_bench.h"

enum {
    FILES_FEW = 48,
    CLIENTS_MANY = 100,
    NOBODY_ELSE = 65533,
};

static const struct bench_told plain = {0}, exclusive = {.is_exclusive = true};

static int setup(void **state)
{
    struct process_bench *b = malloc(sizeof(*b));
    assert_non_null(b);
    bench_start(b, 0);
    *state = b;
    return 0;
}

static int setup_with_few_files(void **state)
{
    struct process_bench *b = malloc(sizeof(*b));
    assert_non_null(b);
    bench_start(b, FILES_FEW);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    bench_done(*state);
    free(*state);
    return 0;
}

/* A client's connection and its other end, at the replica. */
struct pair {
    int client, replica;
};

static struct pair connect_pair(struct process_bench *b)
{
    struct pair pair = {bench_connect(b), bench_accept(b)};
    bench_pass(pair.client, pair.replica, "hello");
    return pair;
}

static void close_pair(const struct pair *pair)
{
    close(pair->client);
    close(pair->replica);
}

/* Breaks if a daemon's end breaks a connection, new ones are refused without it, or the next daemon
 * is not heard. */
static void test_without_daemon(void **state)
{
    struct process_bench *b = *state;
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    struct pair before = connect_pair(b);
    close(daemon);
    struct pair meanwhile = connect_pair(b);
    bench_pass(before.client, before.replica, "goes on");
    daemon = bench_attach(b);
    bench_pass(before.client, before.replica, "and on");
    bench_tell(b, daemon, &(struct bench_told){.is_gone = true});
    bench_pass(meanwhile.client, meanwhile.replica, "though it gets no more");
    close_pair(&before);
    close_pair(&meanwhile);
    close(daemon);
}

/* Breaks if a daemon that has not heard yet that the one before is dead has to wait for it. */
static void test_second_daemon(void **state)
{
    struct process_bench *b = *state;
    int first = bench_attach(b), second = bench_attach(b);
    while (bench_hear(first, NULL, NULL) != 0)
        ;
    bench_tell(b, second, &plain);
    struct pair pair = connect_pair(b);
    close_pair(&pair);
    close(first);
    close(second);
}

/* Waits until it says that there are so many connections; there may never be more than `max`. */
static void wait_for_count(int daemon, uint64_t count, uint64_t max)
{
    cleanup_buffer struct buffer body = {0};
    struct mesh_status status;
    uint64_t said;
    do {
        bench_hear_word(daemon, WORD_STATUS, &body, NULL);
        assert_int_equal(status_decode(buffer_view(&body), &status), 0);
        said = status.connections;
        assert_in_range(said, 0, max);
        status_done(&status);
    } while (said != count);
}

/* Breaks if how many connections there are is not said. */
static void test_status(void **state)
{
    struct process_bench *b = *state;
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    struct pair one = connect_pair(b), two = connect_pair(b);
    wait_for_count(daemon, 2, 2);
    close_pair(&one);
    wait_for_count(daemon, 1, 2);
    close_pair(&two);
    close(daemon);
}

/* Says what no daemon would, with or without a descriptor. */
static void say_nonsense(struct process_bench *b, int daemon)
{
    static const uint8_t nothing[] = {0xc0}, huge[] = {0x96, 0xdd, 0xff, 0xff, 0xff, 0xff},
                         almost[] = {0x98, 0xc4, 32};
    const struct bytes bodies[] = {
        {0}, {nothing, sizeof(nothing)}, {huge, sizeof(huge)}, {almost, sizeof(almost)}};
    for (unsigned word = 0; word < 256; word++) {
        for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
            if (word == WORD_RETIRE || word == WORD_END)
                continue;
            bench_say(daemon, (uint8_t)word, bodies[i], -1);
            bench_say(daemon, (uint8_t)word, bodies[i], b->replica);
        }
    }
}

/* Breaks if words that are torn or unknown end the process, change what it knows, or cost it a
 * descriptor each. */
static void test_nonsense(void **state)
{
    struct process_bench *b = *state;
    char files[64];
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    struct pair pair = connect_pair(b);
    for (int i = 0; i < 3; i++)
        say_nonsense(b, daemon);
    bench_pass(pair.client, pair.replica, "goes on");
    struct pair later = connect_pair(b);
    close_pair(&later);
    /* Over 6000 descriptors came with what was said; more than one in ten is none too few. */
    snprintf(files, sizeof(files), "/proc/%d/fd/600", (int)b->pid);
    assert_int_equal(access(files, F_OK), -1);
    close_pair(&pair);
    close(daemon);
}

/* Breaks if a daemon that does not keep to the channel's rules is heard any longer, or takes the
 * process with it: flags that are none, an empty message, and one without an end. */
static void test_torn_channel(void **state)
{
    struct process_bench *b = *state;
    static const uint8_t flags[] = {2, WORD_STATE}, empty[] = {0}, endless[32 * 1024] = {1};
    const struct bytes packets[] = {
        {flags, sizeof(flags)}, {empty, sizeof(empty)}, {endless, sizeof(endless)}};
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    struct pair pair = connect_pair(b);
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        size_t sent = 0;
        while (send(daemon, packets[i].data, packets[i].size, MSG_NOSIGNAL) > 0)
            sent += packets[i].size;
        assert_true(sent <=
                    CHANNEL_MESSAGE_BYTES_MAX + 1024 * 1024); /* and what the socket holds */
        close(daemon);
        daemon = bench_attach(b);
        bench_pass(pair.client, pair.replica, "goes on");
    }
    close_pair(&pair);
    close(daemon);
}

/* Breaks if another user of the machine is heard. */
static void test_stranger(void **state)
{
    struct process_bench *b = *state;
    int status;
    if (getuid() != 0)
        skip();
    close(bench_attach(b)); /* it listens */
    assert_int_equal(chmod(b->folder, 0777), 0);
    assert_int_equal(chmod(b->path, 0777), 0);
    pid_t stranger = fork();
    if (stranger == 0) {
        int fd = -1;
        char byte;
        if (setuid(NOBODY_ELSE) < 0 || mesh_connect(b->path, &fd) < 0)
            _exit(2);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        poll(&wait, 1, -1);
        _exit(recv(fd, &byte, 1, 0) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(stranger, &status, 0), stranger);
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Breaks if clients can use up the descriptors, so that no daemon is heard any more, or there is no
 * room for a link; or if it does not serve any more once they are gone. */
static void test_few_files(void **state)
{
    struct process_bench *b = *state;
    const uint64_t max = FILES_FEW / 4;
    int clients[CLIENTS_MANY], daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    struct pair first = connect_pair(b);
    for (size_t i = 0; i < CLIENTS_MANY; i++)
        clients[i] = bench_connect(b);
    wait_for_count(daemon, max, max);
    bench_pass(first.client, first.replica, "goes on");
    for (int i = 0; i < CLIENTS_MANY; i++) /* for none of these there is room */
        bench_say(daemon, WORD_LINK, (struct bytes){0}, b->replica);
    close(daemon);
    daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    for (size_t i = 0; i < CLIENTS_MANY; i++)
        close(clients[i]);
    while (bench_is_asked(b))
        close(bench_accept(b));
    wait_for_count(daemon, 1, max);
    bench_pass(first.client, first.replica, "and on");
    struct pair later = connect_pair(b);
    close_pair(&first);
    close_pair(&later);
    close(daemon);
}

/* Breaks if one that retires drops a connection, keeps the port from the next one, or stays when
 * its last connection has ended. */
static void test_retires(void **state)
{
    struct process_bench *b = *state;
    cleanup_buffer struct buffer body = {0};
    enum mesh_socket kind;
    uint16_t port;
    int given, daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    struct pair pair = connect_pair(b);
    bench_say(daemon, WORD_RETIRE, (struct bytes){0}, -1);
    bench_hear_word(daemon, WORD_SOCKET, &body, &given);
    assert_int_equal(socket_word_decode(buffer_view(&body), &kind, &port), 0);
    assert_int_equal(kind, MESH_SOCKET_PORT);
    assert_int_equal(port, b->port);
    int waiting = bench_connect(b), taken = accept4(given, NULL, NULL, SOCK_CLOEXEC);
    while (taken < 0) /* it does not block */
        taken = accept4(given, NULL, NULL, SOCK_CLOEXEC);
    bench_tell(b, daemon, &plain); /* not for it any more */
    bench_pass(pair.client, pair.replica, "goes on");
    close(daemon);
    bench_pass(pair.client, pair.replica, "without a daemon, too");
    close_pair(&pair);
    assert_int_equal(bench_wait(b), 0);
    close(waiting);
    close(taken);
    close(given);
}

/* Asks until the replica hears it, which answers: from which port it came. */
static uint16_t exchange(struct process_bench *b, int client)
{
    struct pollfd wait = {.fd = b->datagrams, .events = POLLIN};
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    char byte;
    do
        send(client, "?", 1, MSG_NOSIGNAL); /* refused, while nobody has the port */
    while (poll(&wait, 1, 10) == 0);
    while (poll(&wait, 1, 0) == 1) /* it may have been asked more than once */
        assert_int_equal(recvfrom(b->datagrams, &byte, 1, 0, (struct sockaddr *)&from, &size), 1);
    assert_int_equal(sendto(b->datagrams, "!", 1, 0, (struct sockaddr *)&from, size), 1);
    while (recv(client, &byte, 1, 0) != 1 && errno == ECONNREFUSED) /* from before */
        ;
    assert_int_equal(byte, '!');
    return ntohs(from.sin_port);
}

/* What the next process opens. */
static int open_next(struct process_bench *b)
{
    const int on = 1;
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(b->port)};
    int next = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(next, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(next, (struct sockaddr *)&any, sizeof(any)), 0);
    return next;
}

/* Breaks if a client's datagrams come to another replica, or from another port, once the next
 * process has the port; if that one gets none; or if one that retired stays when nothing comes any
 * more. */
static void test_flows_retire(void **state)
{
    struct process_bench *b = *state;
    int given, daemon = bench_attach(b);
    bench_tell(b, daemon, &(struct bench_told){.has_datagrams = true});
    int client = bench_datagram_client(b), other = bench_datagram_client(b);
    uint16_t port = exchange(b, client);
    bench_say(daemon, WORD_RETIRE, (struct bytes){0}, -1);
    bench_hear_word(daemon, WORD_SOCKET, NULL, &given);
    struct pollfd next = {.fd = open_next(b), .events = POLLIN};
    do
        send(other, "?", 1, MSG_NOSIGNAL); /* to either, until the old one has closed the port */
    while (poll(&next, 1, 10) == 0);
    assert_int_equal(exchange(b, client), port); /* a third would make it last for minutes */
    close(daemon);
    assert_int_equal(bench_wait(b), 0);
    close(next.fd);
    close(given);
    close(client);
    close(other);
}

/* Breaks if a socket that the one before gave is not used, or one that is of no use stays open. */
static void test_inherits(void **state)
{
    struct process_bench *b = *state;
    cleanup_buffer struct buffer body = {0}, other = {0};
    int daemon = bench_attach(b), ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(listen(listener, 8), 0); /* at a port that nobody would find */
    assert_int_equal(socket_word_encode(MESH_SOCKET_PORT, b->port, &body), 0);
    bench_say(daemon, WORD_SOCKET, buffer_view(&body), listener);
    assert_int_equal(socket_word_encode(MESH_SOCKET_PORT, 1, &other), 0);
    bench_say(daemon, WORD_SOCKET, buffer_view(&other), ends[1]);
    close(ends[1]);
    struct sockaddr_storage at;
    socklen_t size = sizeof(at);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    close(listener);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&at, size), 0); /* it waits there */
    bench_tell(b, daemon, &plain);
    int replica = bench_accept(b);
    bench_pass(client, replica, "hello");
    close(client);
    close(replica);
    close(daemon);
    close(ends[0]);
}

/* Breaks if it does not end when it is told to, or when nothing is left that it is for. */
static void test_ends(void **state)
{
    struct process_bench *b = *state;
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &(struct bench_told){.is_elsewhere = true});
    close(daemon); /* no container here, no connection */
    assert_int_equal(bench_wait(b), 0);
}

static void test_is_ended(void **state)
{
    struct process_bench *b = *state;
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    struct pair pair = connect_pair(b);
    bench_say(daemon, WORD_END, (struct bytes){0}, -1);
    bench_wait_broken(pair.client);
    assert_int_equal(bench_wait(b), 0);
    close_pair(&pair);
    close(daemon);
}

/* Breaks if an exclusive service is passed new connections while no daemon can tell whether its
 * lease runs, or the one that waits is not passed on once one can. */
static void test_exclusive_waits(void **state)
{
    struct process_bench *b = *state;
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &exclusive);
    struct pair pair = connect_pair(b);
    close(daemon);
    daemon = bench_attach(b); /* so that the end of the first was heard */
    int waiting = bench_connect(b);
    bench_pass(pair.client, pair.replica, "what is open goes on");
    assert_false(bench_is_asked(b));
    bench_tell(b, daemon, &exclusive);
    int replica = bench_accept(b);
    bench_pass(waiting, replica, "now");
    close_pair(&pair);
    close(waiting);
    close(replica);
    close(daemon);
}

/* Breaks if connections to an exclusive replica go on when its lease must be over, and nobody is
 * there who would stop it; or others break with them. */
static void test_exclusive_is_cut(void **state)
{
    struct process_bench *b = *state;
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &exclusive);
    struct pair pair = connect_pair(b);
    close(daemon);
    bench_wait_broken(pair.client);
    bench_wait_broken(pair.replica);
    daemon = bench_attach(b); /* it goes on itself */
    bench_tell(b, daemon, &exclusive);
    struct pair later = connect_pair(b);
    close_pair(&pair);
    close_pair(&later);
    close(daemon);
}

/* Another peer's stream to the replica here, over a link that was given to the process. */
struct remote {
    uv_loop_t loop;
    struct link_config config;
    struct link *link;
    struct mux_stream *stream;
    size_t received;
    unsigned stream_closes, link_closes;
};

static void on_stream_data(void *context, struct mux_stream *stream, struct bytes data)
{
    ((struct remote *)context)->received += data.size;
    stream_consumed(stream, data.size);
}

static void on_stream_close(void *context, struct mux_stream *stream, int reason)
{
    (void)stream;
    (void)reason;
    ((struct remote *)context)->stream_closes++;
}

static void on_link_close(void *context, struct link *link, const struct error *why)
{
    (void)link;
    (void)why;
    ((struct remote *)context)->link_closes++;
}

static const struct stream_handler remote_user = {.on_data = on_stream_data,
                                                  .on_close = on_stream_close};
static const struct link_handler remote_handler = {.on_close = on_link_close};

static void remote_open(struct remote *remote, struct process_bench *b, int daemon)
{
    cleanup_buffer struct buffer body = {0};
    struct given_ends ends = given_ends_make(&bench_other, &b->self);
    memset(remote, 0, sizeof(*remote));
    uv_loop_init(&remote->loop);
    remote->config.loop = &remote->loop;
    assert_int_equal(link_given_encode(&ends.states[1], &body), 0);
    bench_say(daemon, WORD_LINK, buffer_view(&body), ends.fds[1]);
    close(ends.fds[1]);
    remote->link = link_await(&remote->config, &b->self, true, &remote_handler, remote);
    assert_non_null(remote->link);
    assert_int_equal(link_take_over(remote->link, ends.fds[0], &ends.states[0]), 0);
}

static void remote_close(struct remote *remote)
{
    if (remote->link_closes == 0)
        link_close(remote->link, 0);
    uv_run(&remote->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&remote->loop), 0);
}

static void remote_ask(struct remote *remote, struct process_bench *b)
{
    cleanup_buffer struct buffer header = {0};
    const struct mesh_header fields = {.generation = 1, .port = b->target, .protocol = SPEC_TCP};
    assert_int_equal(mesh_header_encode(&fields, &header), 0);
    assert_int_equal(mux_open(link_mux(remote->link), STREAM_MESH, buffer_view(&header),
                              &remote_user, remote, &remote->stream),
                     0);
}

/* Waits until the replica has taken it, of which one byte tells. */
static int remote_reach(struct remote *remote, struct process_bench *b)
{
    remote->received = 0;
    remote_ask(remote, b);
    while (remote->received == 0)
        uv_run(&remote->loop, UV_RUN_ONCE);
    return bench_accept(b);
}

/* Breaks if a link that was handed over goes on after its peer was shut out, or a daemon that comes
 * later does not hear that there is one. */
static void test_revoked(void **state)
{
    struct process_bench *b = *state;
    cleanup_buffer struct buffer body = {0};
    struct remote remote;
    struct id peer;
    int reason, daemon = bench_attach(b);
    bench_tell(b, daemon, &plain);
    remote_open(&remote, b, daemon);
    int replica = remote_reach(&remote, b);
    close(daemon);
    daemon = bench_attach(b);
    bench_hear_word(daemon, WORD_LINKED, &body, NULL);
    assert_int_equal(peer_word_decode(buffer_view(&body), &peer, &reason), 0);
    assert_true(id_equal(&peer, &bench_other));
    assert_int_equal(send(replica, "x", 1, MSG_NOSIGNAL), 1);
    while (remote.received < 2)
        uv_run(&remote.loop, UV_RUN_ONCE);
    bench_say_peer(daemon, WORD_DROP, &bench_other);
    while (remote.link_closes == 0)
        uv_run(&remote.loop, UV_RUN_ONCE);
    assert_int_equal(remote.stream_closes, 1);
    bench_wait_broken(replica);
    remote_close(&remote);
    close(replica);
    close(daemon);
}

/* Breaks if other peers' connections reach an exclusive replica whose lease nobody can tell, or
 * those that they have go on when it must be over. */
static void test_exclusive_from_elsewhere(void **state)
{
    struct process_bench *b = *state;
    struct remote remote;
    int daemon = bench_attach(b);
    bench_tell(b, daemon, &exclusive);
    remote_open(&remote, b, daemon);
    int replica = remote_reach(&remote, b);
    close(daemon);
    close(bench_attach(b)); /* so that the end of the first was heard */
    remote_ask(&remote, b);
    while (remote.stream_closes == 0)
        uv_run(&remote.loop, UV_RUN_ONCE);
    assert_int_equal(remote.link_closes, 0);
    while (remote.stream_closes == 1)
        uv_run(&remote.loop, UV_RUN_ONCE);
    bench_wait_broken(replica);
    assert_int_equal(remote.link_closes, 0);
    remote_close(&remote);
    close(replica);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_daemon, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_daemon, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_few_files, setup_with_few_files, teardown),
        cmocka_unit_test_setup_teardown(test_retires, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flows_retire, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inherits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exclusive_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exclusive_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exclusive_from_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
