#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "node/mesh_process/host.h"
#include "node/mesh_process/process.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/mesh_process/given_links.h"
#include "tests/unit/node/mesh_process/process_bench.h"

enum {
    PULSE_MS = 5,
    REPLICA_IP = 0x7f4d0201, /* 127.77.2.1 */
};

/* A daemon with one service, whose replica, of generation 1, is a socket here. */
struct here {
    uv_loop_t loop;
    uv_timer_t pulse; /* so that what is not the loop's own is looked at again */
    struct fixture f;
    struct view view;
    struct id self;
    char folder[32];
    int replica;
    uint16_t port, target;
    struct mesh_host *host;
    unsigned dials;
    int dial_result;
    bool admits;
};

static const struct intent *get_intent(void *context)
{
    return ((struct here *)context)->f.intent;
}

static const struct view *get_view(void *context)
{
    return &((struct here *)context)->view;
}

static void each_local(void *context,
                       void (*each)(void *each_context, uint64_t generation, const char *service,
                                    const char *network, const struct address *address),
                       void *each_context)
{
    const struct address address = address_from_v4(REPLICA_IP, 0);
    (void)context;
    each(each_context, 1, "s_web", "s_default", &address);
}

static bool admits(void *context, const struct id *peer)
{
    (void)peer;
    return ((struct here *)context)->admits;
}

static int dial(void *context, const struct id *peer)
{
    struct here *h = context;
    assert_true(id_equal(peer, &bench_other));
    h->dials++;
    return h->dial_result;
}

static void start_host(struct here *h)
{
    const struct mesh_host_config config = {.loop = &h->loop,
                                            .run_dir = h->folder,
                                            .program = "/proc/self/exe",
                                            .self = h->self,
                                            .context = h,
                                            .intent = get_intent,
                                            .view = get_view,
                                            .locals = each_local,
                                            .admits = admits,
                                            .dial = dial};
    h->host = mesh_host_new(&config);
    assert_non_null(h->host);
    mesh_host_changed(h->host);
}

static void on_pulse(uv_timer_t *timer)
{
    (void)timer;
}

static int listen_at(uint32_t ip, uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static int setup(void **state)
{
    struct here *h = calloc(1, sizeof(*h));
    struct service_spec spec;
    assert_non_null(h);
    uv_loop_init(&h->loop);
    uv_timer_init(&h->loop, &h->pulse);
    uv_timer_start(&h->pulse, on_pulse, PULSE_MS, PULSE_MS);
    h->replica = listen_at(REPLICA_IP, &h->target);
    close(listen_at(INADDR_ANY, &h->port));
    h->admits = true;
    fixture_init(&h->f, 1);
    view_init(&h->view);
    h->self = fixture_id(0);
    view_peer_get(&h->view, &h->self)->liveness = VIEW_ALIVE;
    fixture_spec(&spec, "web");
    fixture_publish(&spec, h->port);
    spec.ports[0].target = h->target;
    assert_int_equal(fixture_deploy(&h->f, "s", &spec, 1), 0);
    service_spec_done(&spec);
    assert_int_equal(fixture_add(&h->f, "s_web", 1, 1, 0), 0);
    struct view_replica *seen = view_replica_get(&h->view, 1);
    seen->peer = h->self;
    seen->state = VIEW_REPLICA_RUNNING;
    strcpy(h->folder, "/tmp/mesh-host-XXXXXX");
    assert_non_null(mkdtemp(h->folder));
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct here *h = *state;
    mesh_host_close(h->host, true);
    mesh_host_close(NULL, true);
    uv_close((uv_handle_t *)&h->pulse, NULL);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&h->loop), 0);
    close(h->replica);
    view_done(&h->view);
    fixture_done(&h->f);
    assert_int_equal(rmdir(h->folder), 0); /* no socket is left */
    free(h);
    return 0;
}

static void run_until_readable(struct here *h, int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (poll(&wait, 1, 0) == 0)
        uv_run(&h->loop, UV_RUN_ONCE);
}

/* Whether the replica is asked for; false once the client is broken instead. */
static bool gets_there(struct here *h, int client)
{
    struct pollfd wait[2] = {{.fd = h->replica, .events = POLLIN},
                             {.fd = client, .events = POLLIN}};
    while (poll(wait, 2, 0) == 0)
        uv_run(&h->loop, UV_RUN_ONCE);
    return wait[0].revents != 0;
}

/* A connection through the mesh process to the replica, once that process serves the port. One that
 * is being killed may take a last one. */
static int reach(struct here *h, int *ret_replica)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(h->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (connect(client, (struct sockaddr *)&to, sizeof(to)) < 0 || !gets_there(h, client)) {
        close(client);
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uv_run(&h->loop, UV_RUN_ONCE);
    }
    *ret_replica = accept4(h->replica, NULL, NULL, SOCK_CLOEXEC);
    bench_pass(client, *ret_replica, "hello");
    return client;
}

static void assert_serves(struct here *h)
{
    int replica, client = reach(h, &replica);
    close(client);
    close(replica);
}

/* The process that was started with this folder's socket; 0: none. */
static pid_t find_process(const struct here *h)
{
    pid_t found = 0;
    DIR *directory = opendir("/proc");
    const struct dirent *entry;
    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        char path[300], words[300] = "";
        snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
        FILE *file = fopen(path, "r");
        size_t size = file ? fread(words, 1, sizeof(words) - 1, file) : 0;
        if (file)
            fclose(file);
        const char *program = memmem(words, size, "mesh-process", 12);
        if (program && memmem(words, size, h->folder, strlen(h->folder)))
            found = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    closedir(directory);
    return found;
}

/* --- Something that listens where a process should --- */

static int listen_as_process(struct here *h, char path[MESH_SOCKET_PATH_BYTES])
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(path, MESH_SOCKET_PATH_BYTES, "%s/mesh-00.sock", h->folder);
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int accept_host(struct here *h, int listener)
{
    run_until_readable(h, listener);
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

/* The host finds it at its start; what it is told from then on comes from the one that is returned.
 */
static int start_with_process(struct here *h, int *ret_listener)
{
    char path[MESH_SOCKET_PATH_BYTES];
    *ret_listener = listen_as_process(h, path);
    start_host(h);
    return accept_host(h, *ret_listener);
}

static void greet(int host, const char *build, const struct id *self)
{
    cleanup_buffer struct buffer body = {0};
    struct mesh_greeting greeting = {.self = *self};
    if (build)
        strcpy(greeting.build, build);
    else
        assert_int_equal(words_build(greeting.build), 0);
    assert_int_equal(greeting_encode(&greeting, &body), 0);
    bench_say(host, WORD_GREETING, buffer_view(&body), -1);
}

/* The next word but for STATE. */
static uint8_t hear(struct here *h, int host, struct buffer *body, int *ret_fd)
{
    uint8_t word;
    do {
        run_until_readable(h, host);
        word = bench_hear(host, body, ret_fd);
    } while (word == WORD_STATE);
    return word;
}

static void say_peer(int host, uint8_t word)
{
    bench_say_peer(host, word, &bench_other);
}

static void assert_peer_word(struct here *h, int host, uint8_t word, int reason)
{
    cleanup_buffer struct buffer body = {0};
    struct id peer;
    int heard_reason;
    assert_int_equal(hear(h, host, &body, NULL), word);
    assert_int_equal(peer_word_decode(buffer_view(&body), &peer, &heard_reason), 0);
    assert_true(id_equal(&peer, &bench_other));
    assert_int_equal(heard_reason, reason);
}

/* --- Tests --- */

/* Breaks if no process is started, is not told what it is to know, or its death is not made good.
 */
static void test_starts(void **state)
{
    struct here *h = *state;
    int replica;
    start_host(h);
    int client = reach(h, &replica);
    while (mesh_host_connection_count(h->host) != 1)
        uv_run(&h->loop, UV_RUN_ONCE);
    assert_int_equal(kill(find_process(h), SIGKILL), 0);
    bench_wait_broken(client);
    assert_serves(h);
    close(client);
    close(replica);
}

/* Breaks if a daemon that starts does not find the process of the one before. */
static void test_taken_over(void **state)
{
    struct here *h = *state;
    int replica;
    start_host(h);
    int client = reach(h, &replica);
    pid_t pid = find_process(h);
    mesh_host_close(h->host, false);
    bench_pass(client, replica, "meanwhile");
    start_host(h);
    while (mesh_host_connection_count(h->host) != 1)
        uv_run(&h->loop, UV_RUN_ONCE);
    bench_pass(client, replica, "and on");
    assert_int_equal(find_process(h), pid);
    close(client);
    close(replica);
}

/* Breaks if a process of another build, or of which nothing is understood, is told more than that
 * it is to retire, or what it had listening is lost. */
static void test_other_build(void **state)
{
    struct here *h = *state;
    cleanup_buffer struct buffer body = {0};
    for (int is_torn = 0; is_torn < 2; is_torn++) {
        int listener, host = start_with_process(h, &listener);
        uint16_t port;
        if (is_torn)
            bench_say(host, WORD_GREETING, (struct bytes){(const uint8_t *)"\xc1", 1}, -1);
        else
            greet(host, "1 2 3 4", &h->self);
        assert_int_equal(hear(h, host, NULL, NULL), WORD_RETIRE);
        int given = listen_at(INADDR_ANY, &port);
        buffer_clear(&body);
        assert_int_equal(socket_word_encode(MESH_SOCKET_PORT, h->port, &body), 0);
        bench_say(host, WORD_SOCKET, buffer_view(&body), given);
        close(given);
        uint16_t published = h->port;
        h->port = port; /* where that one listens */
        assert_serves(h);
        h->port = published;
        mesh_host_close(h->host, true);
        while (hear(h, host, NULL, NULL) != WORD_END)
            ;
        close(host);
        close(listener);
        while (find_process(h) != 0)
            uv_run(&h->loop, UV_RUN_ONCE);
    }
    start_host(h);
}

/* Breaks if whoever says nothing, or is another peer's, is waited for. */
static void test_no_use(void **state)
{
    struct here *h = *state;
    int listener, host = start_with_process(h, &listener);
    assert_serves(h);
    greet(host, NULL, &bench_other);
    assert_int_equal(hear(h, host, NULL, NULL), WORD_END);
    close(host);
    close(listener);
}

/* Breaks if a socket of which the process has ended is left, or waited for. */
static void test_dead_socket(void **state)
{
    struct here *h = *state;
    char path[MESH_SOCKET_PATH_BYTES];
    close(listen_as_process(h, path));
    start_host(h);
    assert_int_equal(access(path, F_OK), -1);
    assert_serves(h);
}

/* Breaks if links are not dialed for the process, a failure is not told, a link does not get there,
 * or one with a peer that was shut out, now or while no daemon was there, is not dropped. */
static void test_words(void **state)
{
    struct here *h = *state;
    cleanup_buffer struct buffer body = {0};
    struct link_given got;
    int listener, fd = -1, host = start_with_process(h, &listener);
    greet(host, NULL, &h->self);
    say_peer(host, WORD_WANT);
    while (h->dials == 0)
        uv_run(&h->loop, UV_RUN_ONCE);
    mesh_host_failed(h->host, &bench_other, -ETIMEDOUT);
    assert_peer_word(h, host, WORD_FAILED, -ETIMEDOUT);
    h->dial_result = -ECONNREFUSED;
    say_peer(host, WORD_WANT);
    assert_peer_word(h, host, WORD_FAILED, -ECONNREFUSED);
    struct given_ends ends = given_ends_make(&h->self, &bench_other);
    mesh_host_link(h->host, &ends.states[0], ends.fds[0]);
    assert_int_equal(hear(h, host, &body, &fd), WORD_LINK);
    assert_true(fd >= 0);
    assert_int_equal(link_given_decode(buffer_view(&body), &got), 0);
    assert_true(id_equal(&got.id, &bench_other));
    link_given_done(&got);
    say_peer(host, WORD_LINKED); /* belongs */
    mesh_host_drop(h->host, &bench_other);
    assert_peer_word(h, host, WORD_DROP, 0);
    h->admits = false;
    say_peer(host, WORD_LINKED);
    assert_peer_word(h, host, WORD_DROP, 0);
    close(fd);
    close(ends.fds[1]);
    close(host);
    close(listener);
}

static size_t file_count(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* Breaks if words that are torn, unknown, or come with descriptors harm the daemon. */
static void test_nonsense(void **state)
{
    struct here *h = *state;
    static const uint8_t huge[] = {0x92, 0x01, 0xdd, 0xff, 0xff, 0xff, 0xff};
    int listener, host = start_with_process(h, &listener);
    size_t files = file_count();
    greet(host, NULL, &h->self);
    for (unsigned word = WORD_RETIRE; word < 256; word++) {
        bench_say(host, (uint8_t)word, (struct bytes){0}, -1);
        bench_say(host, (uint8_t)word, (struct bytes){huge, sizeof(huge)}, h->replica);
        bench_say(host, (uint8_t)word, (struct bytes){huge, sizeof(huge)}, -1);
        uv_run(&h->loop, UV_RUN_NOWAIT);
    }
    h->dial_result = -EHOSTUNREACH;
    say_peer(host, WORD_WANT); /* it is still heard */
    assert_peer_word(h, host, WORD_FAILED, -EHOSTUNREACH);
    assert_true(file_count() <= files);
    close(host);
    close(listener);
}

/* Breaks if a process that runs is given up, and with it its ports, because the connection to it
 * broke. */
static void test_found_again(void **state)
{
    struct here *h = *state;
    static const uint8_t against_rules[] = {2, 0};
    int listener, host = start_with_process(h, &listener);
    greet(host, NULL, &h->self);
    assert_int_equal(send(host, against_rules, sizeof(against_rules), MSG_NOSIGNAL), 2);
    int again = accept_host(h, listener);
    greet(again, NULL, &h->self);
    h->dial_result = -EHOSTUNREACH;
    say_peer(again, WORD_WANT);
    assert_peer_word(h, again, WORD_FAILED, -EHOSTUNREACH);
    close(host);
    close(again);
    close(listener);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "mesh-process") == 0) { /* as a host starts it */
        struct id self;
        if (id_parse(argv[3], &self) < 0 || fork() != 0)
            _exit(0);
        _exit(mesh_process_run(MESH_PROCESS_FD, &self));
    }
    if (sodium_init() < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_starts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_build, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dead_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_found_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
