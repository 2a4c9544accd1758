#include "tests/unit/node/mesh_process/process_bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "node/mesh_process/process.h"
#include "node/transport/socket.h"

enum {
    REPLICA_IP = 0x7f4d0101, /* 127.77.1.1 */
    PATIENCE_S = 60,
    BACKLOG = 512,
};

const struct id bench_other = {.bytes = {2}};

/* --- Sockets --- */

static int open_socket(int type)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    return fd;
}

static struct sockaddr_in at(uint32_t ip, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip), .sin_port = htons(port)};
}

static uint16_t bind_any(int fd, uint32_t ip)
{
    struct sockaddr_in address = at(ip, 0);
    socklen_t size = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

int bench_connect(struct process_bench *b)
{
    const struct sockaddr_in to = at(INADDR_LOOPBACK, b->port);
    for (;;) {
        int fd = open_socket(SOCK_STREAM);
        if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
            return fd;
        assert_int_equal(errno, ECONNREFUSED);
        close(fd);
        usleep(1000);
    }
}

int bench_datagram_client(struct process_bench *b)
{
    const struct sockaddr_in to = at(INADDR_LOOPBACK, b->port);
    int fd = open_socket(SOCK_DGRAM);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

bool bench_is_asked(struct process_bench *b)
{
    struct pollfd wait = {.fd = b->replica, .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

int bench_accept(struct process_bench *b)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = accept4(b->replica, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    return fd;
}

static void pass_one_way(int from, int to, const char *text)
{
    char got[64];
    size_t size = strlen(text);
    assert_true(size < sizeof(got));
    assert_int_equal(send(from, text, size, MSG_NOSIGNAL), size);
    assert_int_equal(recv(to, got, size, MSG_WAITALL), size);
    assert_memory_equal(got, text, size);
}

void bench_pass(int from, int to, const char *text)
{
    pass_one_way(from, to, text);
    pass_one_way(to, from, text);
}

void bench_wait_broken(int fd)
{
    char byte;
    ssize_t size = recv(fd, &byte, 1, 0);
    assert_true(size == 0 || (size < 0 && errno == ECONNRESET));
}

/* --- Words --- */

int bench_attach(struct process_bench *b)
{
    cleanup_buffer struct buffer body = {0};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct mesh_greeting greeting;
    char build[WORDS_BUILD_BYTES_MAX + 1];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, b->path, strlen(b->path) + 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(bench_hear(fd, &body, NULL), WORD_GREETING);
    assert_int_equal(greeting_decode(buffer_view(&body), &greeting), 0);
    assert_int_equal(words_build(build), 0);
    assert_string_equal(greeting.build, build);
    assert_true(id_equal(&greeting.self, &b->self));
    return fd;
}

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

void bench_say(int daemon, uint8_t word, struct bytes body, int passed)
{
    uint8_t head[2] = {0, word};
    union control control = {0};
    struct iovec parts[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)body.data, body.size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (passed >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *item = CMSG_FIRSTHDR(&message);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(item), &passed, sizeof(int));
    }
    assert_int_equal(sendmsg(daemon, &message, MSG_NOSIGNAL), body.size + sizeof(head));
}

void bench_say_peer(int daemon, uint8_t word, const struct id *peer)
{
    cleanup_buffer struct buffer body = {0};
    assert_int_equal(peer_word_encode(peer, 0, &body), 0);
    bench_say(daemon, word, buffer_view(&body), -1);
}

uint8_t bench_hear(int daemon, struct buffer *ret_body, int *ret_fd)
{
    uint8_t bytes[CHANNEL_PACKET_BYTES_MAX];
    union control control;
    struct iovec vector = {bytes, sizeof(bytes)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t size = recvmsg(daemon, &message, MSG_CMSG_CLOEXEC);
    if (size == 0)
        return 0;
    assert_true(size >= 2);
    assert_int_equal(bytes[0], 0); /* nothing large is said here */
    int fd = -1;
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);
    if (item)
        memcpy(&fd, CMSG_DATA(item), sizeof(int));
    if (ret_fd)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    if (ret_body) {
        buffer_clear(ret_body);
        assert_int_equal(buffer_append(ret_body, bytes + 2, (size_t)size - 2), 0);
    }
    return bytes[1];
}

void bench_hear_word(int daemon, uint8_t word, struct buffer *ret_body, int *ret_fd)
{
    uint8_t heard;
    do {
        heard = bench_hear(daemon, ret_body, ret_fd);
        assert_int_not_equal(heard, 0);
    } while (heard != word);
}

void bench_tell(struct process_bench *b, int daemon, const struct bench_told *told)
{
    cleanup_buffer struct buffer body = {0};
    struct spec_port ports[] = {{b->port, b->target, SPEC_TCP}, {b->port, b->target, SPEC_UDP}};
    struct endpoint endpoint = {1, told->is_elsewhere ? bench_other : b->self};
    struct mesh_local local = {
        .generation = 1, .is_exclusive = told->is_exclusive, .address = b->address};
    struct route route = {.service = "s_web",
                          .stack = "s",
                          .virtual_ip = 1,
                          .ports = ports,
                          .port_count = told->has_datagrams ? 2 : 1,
                          .endpoints = &endpoint,
                          .endpoint_count = told->is_gone ? 0 : 1,
                          .is_exclusive = told->is_exclusive};
    const struct mesh_state state = {.locals = &local,
                                     .local_count = told->is_elsewhere || told->is_gone ? 0 : 1,
                                     .routes = {&route, 1}};
    strcpy(local.service, "s_web");
    assert_int_equal(state_encode(&state, &body), 0);
    bench_say(daemon, WORD_STATE, buffer_view(&body), -1);
}

/* --- The process --- */

static void run_process(const struct process_bench *b, int listener, unsigned files_max)
{
    const struct rlimit files = {files_max, files_max};
    if (files_max > 0 && setrlimit(RLIMIT_NOFILE, &files) < 0)
        _exit(2);
    close(b->replica);
    close(b->datagrams);
    _exit(mesh_process_run(listener, &b->self));
}

static int listen_for_daemons(struct process_bench *b)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    strcpy(b->folder, "/tmp/mesh-process-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->path, sizeof(b->path), "%s/mesh-1.sock", b->folder);
    memcpy(address.sun_path, b->path, strlen(b->path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

void bench_start(struct process_bench *b, unsigned files_max)
{
    memset(b, 0, sizeof(*b));
    b->self = (struct id){.bytes = {1}};
    int listener = listen_for_daemons(b), placeholder = open_socket(SOCK_STREAM);
    b->replica = open_socket(SOCK_STREAM);
    b->target = bind_any(b->replica, REPLICA_IP);
    b->address = address_from_v4(REPLICA_IP, 0);
    assert_int_equal(listen(b->replica, BACKLOG), 0);
    b->datagrams = open_socket(SOCK_DGRAM);
    const struct sockaddr_in datagrams = at(REPLICA_IP, b->target);
    assert_int_equal(bind(b->datagrams, (const struct sockaddr *)&datagrams, sizeof(datagrams)), 0);
    b->port = bind_any(placeholder, INADDR_ANY);
    close(placeholder);
    b->pid = fork();
    assert_true(b->pid >= 0);
    if (b->pid == 0)
        run_process(b, listener, files_max);
    close(listener);
}

int bench_wait(struct process_bench *b)
{
    int status;
    assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
    b->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void bench_done(struct process_bench *b)
{
    if (b->pid > 0) {
        kill(b->pid, SIGKILL);
        bench_wait(b);
    }
    close(b->replica);
    close(b->datagrams);
    unlink(b->path);
    assert_int_equal(rmdir(b->folder), 0);
}
