/* Clients that write through consensus, for Consort and etcd alike; one line of JSON.
 *
 *     consensus-load consort|etcd CLIENTS WARMUP_S SECONDS VALUE_BYTES TARGET…
 *         a closed loop: each client has a connection of its own and its own key, and sends its
 * next write once the last was acknowledged; clients take the targets in turn consensus-load
 * consort|etcd outage PID VALUE_BYTES TARGET… one client writes at the first target, kills the
 * process, and tries the other targets in turn until a write is acknowledged that it sent after the
 * kill
 *
 * A target is a UNIX socket's path, or NAMESPACE@ADDRESS:PORT, TCP in a network namespace.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

enum {
    EVENTS_MAX = 256,
    READ_BYTES = 16 * 1024,
    OUTAGE_WARMUP_WRITES = 20,
    OUTAGE_ATTEMPT_MS = 250, /* then the next target is tried */
    OUTAGE_PAUSE_MS = 10,    /* after a target that refuses connections */
    OUTAGE_GIVE_UP_MS = 60 * 1000,
    FAILURES_MAX = 1000,
};

struct client {
    int fd;
    char key[WIRE_KEY_BYTES_MAX + 1];
    struct wire_state state;
    struct buffer in, out;
    int64_t sent_ns;
    bool must_wait; /* for room on its connection */
    uint32_t wants; /* of epoll */
};

struct load {
    const struct wire *wire;
    uint8_t *value; /* its first bytes count the writes, so that each changes something */
    size_t value_size;
    uint64_t writes;
    int epoll;
    int64_t measure_from_ns, until_ns;
    uint32_t *latencies_us;
    size_t count, capacity;
    size_t failures;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void die(const char *what, int code)
{
    fprintf(stderr, "consensus-load: %s: %s\n", what, strerror(-code));
    exit(1);
}

/* --- Connections --- */

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Enters the namespace that stands before '@': sockets stay in the one where they were made. */
static int enter_namespace(const char *target, const char **ret_address)
{
    char path[128];
    const char *at = strchr(target, '@');
    if (!at)
        return -EINVAL;
    snprintf(path, sizeof(path), "/run/netns/%.*s", (int)(at - target), target);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    *ret_address = at + 1;
    return rc;
}

static int connect_tcp(const char *target)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN] = "";
    int one = 1;
    int rc = enter_namespace(target, &target);
    const char *colon = rc == 0 ? strrchr(target, ':') : NULL;
    if (!colon || (size_t)(colon - target) >= sizeof(host))
        return rc < 0 ? rc : -EINVAL;
    memcpy(host, target, (size_t)(colon - target));
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return -EINVAL;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0)
        return fd;
    rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int client_connect(struct client *client, const struct wire *wire, const char *target)
{
    int fd = target[0] == '/' ? connect_unix(target) : connect_tcp(target);
    if (fd < 0)
        return fd;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    client->fd = fd;
    client->state = (struct wire_state){0};
    buffer_clear(&client->in);
    buffer_clear(&client->out);
    return wire->greet(&client->state, &client->out);
}

static int flush(struct client *client)
{
    while (client->out.size > 0) {
        ssize_t sent = send(client->fd, client->out.bytes, client->out.size, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN ? 0 : -errno;
        buffer_consume(&client->out, (size_t)sent);
    }
    return 0;
}

/* Reads what has come; -ECONNRESET at the end. */
static int receive(struct client *client)
{
    uint8_t bytes[READ_BYTES];
    for (;;) {
        ssize_t size = recv(client->fd, bytes, sizeof(bytes), 0);
        if (size == 0)
            return -ECONNRESET;
        if (size < 0)
            return errno == EAGAIN ? 0 : -errno;
        int rc = buffer_append(&client->in, bytes, (size_t)size);
        if (rc < 0 || (size_t)size < sizeof(bytes))
            return rc;
    }
}

/* --- The closed loop --- */

static struct bytes next_value(struct load *load)
{
    load->writes++;
    if (load->value_size >= sizeof(load->writes))
        memcpy(load->value, &load->writes, sizeof(load->writes));
    return (struct bytes){load->value, load->value_size};
}

static int next_write(struct load *load, struct client *client)
{
    client->sent_ns = now_ns();
    struct bytes value = next_value(load);
    int rc = load->wire->request(&client->state, client->key, value, &client->out);
    client->must_wait = rc == -EAGAIN;
    return rc == -EAGAIN ? 0 : rc;
}

static int note_latency(struct load *load, int64_t from_ns, int64_t to_ns)
{
    if (to_ns < load->measure_from_ns || to_ns > load->until_ns)
        return 0;
    if (load->count == load->capacity) {
        size_t capacity = load->capacity ? 2 * load->capacity : 65536;
        uint32_t *grown = reallocarray(load->latencies_us, capacity, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        load->latencies_us = grown;
        load->capacity = capacity;
    }
    load->latencies_us[load->count++] = (uint32_t)((to_ns - from_ns) / 1000);
    return 0;
}

static int take_answers(struct load *load, struct client *client)
{
    int rc = load->wire->take(&client->state, &client->in, &client->out);
    if (rc == 0)
        return client->must_wait ? next_write(load, client) : 0;
    if (rc == -EREMOTEIO && ++load->failures < FAILURES_MAX)
        return next_write(load, client);
    if (rc < 0)
        return rc;
    rc = note_latency(load, client->sent_ns, now_ns());
    return rc < 0 ? rc : next_write(load, client);
}

static void watch(const struct load *load, struct client *client)
{
    uint32_t wants = EPOLLIN | (client->out.size > 0 ? (uint32_t)EPOLLOUT : 0);
    struct epoll_event event = {.events = wants, .data.ptr = client};
    if (wants != client->wants &&
        epoll_ctl(load->epoll, client->wants ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, client->fd, &event) <
            0)
        die("epoll_ctl", -errno);
    client->wants = wants;
}

static void serve(struct load *load, struct client *client, uint32_t events)
{
    int rc = events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? receive(client) : 0;
    if (rc == 0)
        rc = take_answers(load, client);
    if (rc == 0)
        rc = flush(client);
    if (rc < 0)
        die(client->key, rc);
    watch(load, client);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static double percentile_ms(const struct load *load, unsigned permille)
{
    if (load->count == 0)
        return 0;
    size_t at = load->count * permille / 1000;
    return load->latencies_us[at < load->count ? at : load->count - 1] / 1000.0;
}

static void report(struct load *load, double seconds)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(load->latencies_us, load->count, sizeof(*load->latencies_us), compare_u32);
    printf("{\"commits\": %zu, \"seconds\": %.1f, \"commits_per_s\": %.1f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"max_ms\": %.3f, \"refused\": %zu, \"load_cpu_s\": %.2f}\n",
           load->count, seconds, (double)load->count / seconds, percentile_ms(load, 500),
           percentile_ms(load, 990), percentile_ms(load, 1000), load->failures,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

static void run_clients(struct load *load, struct client *clients, size_t count, char **targets,
                        size_t target_count)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < count; i++) {
        struct client *client = &clients[i];
        snprintf(client->key, sizeof(client->key), "bench-%zu", i);
        int rc = client_connect(client, load->wire, targets[i % target_count]);
        if (rc == 0)
            rc = next_write(load, client);
        if (rc < 0)
            die(targets[i % target_count], rc);
    }
    for (size_t i = 0; i < count; i++)
        serve(load, &clients[i], 0);
    struct epoll_event events[EVENTS_MAX];
    while (now_ns() < load->until_ns) {
        int ready = epoll_wait(load->epoll, events, EVENTS_MAX, 100);
        for (int i = 0; i < ready; i++)
            serve(load, events[i].data.ptr, events[i].events);
    }
}

static int run_load(struct load *load, char **words, int count)
{
    size_t client_count = strtoul(words[0], NULL, 10);
    double warmup_s = strtod(words[1], NULL), seconds = strtod(words[2], NULL);
    struct client *clients = calloc(client_count + 1, sizeof(*clients));
    if (!clients)
        die("clients", -ENOMEM);
    load->measure_from_ns = now_ns() + (int64_t)(warmup_s * 1e9);
    load->until_ns = load->measure_from_ns + (int64_t)(seconds * 1e9);
    run_clients(load, clients, client_count, words + 4, (size_t)(count - 4));
    report(load, seconds);
    for (size_t i = 0; i < client_count; i++) {
        close(clients[i].fd);
        buffer_done(&clients[i].in);
        buffer_done(&clients[i].out);
    }
    free(clients);
    free(load->latencies_us);
    close(load->epoll);
    return 0;
}

/* --- The outage --- */

/* One write on a connection that is open: 0, or why it was not acknowledged by then. */
static int write_once(struct load *load, struct client *client, int64_t until_ns)
{
    const struct wire *wire = load->wire;
    int rc = wire->request(&client->state, client->key, next_value(load), &client->out);
    while (rc == 0) {
        rc = flush(client);
        int64_t left_ms = (until_ns - now_ns()) / 1000000;
        struct pollfd poll_fd = {client->fd, POLLIN, 0};
        if (rc == 0 && (left_ms < 0 || poll(&poll_fd, 1, (int)left_ms + 1) == 0))
            rc = -ETIMEDOUT;
        if (rc == 0)
            rc = receive(client);
        if (rc == 0)
            rc = wire->take(&client->state, &client->in, &client->out);
    }
    return rc == 1 ? 0 : rc;
}

static int attempt(struct load *load, struct client *client, const char *target)
{
    int64_t until_ns = now_ns() + (int64_t)OUTAGE_ATTEMPT_MS * 1000000;
    int rc = client->fd >= 0 ? 0 : client_connect(client, load->wire, target);
    if (rc == 0)
        rc = write_once(load, client, until_ns);
    if (rc < 0 && client->fd >= 0) {
        close(client->fd);
        client->fd = -1;
    }
    return rc;
}

static int run_outage(struct load *load, char **words, int count)
{
    pid_t pid = (pid_t)strtol(words[1], NULL, 10);
    char **targets = words + 3;
    size_t others = (size_t)(count - 3) - 1, attempts = 0;
    struct client client = {.fd = -1, .key = "bench-outage"};
    if (pid <= 1 || others == 0)
        die("outage", -EINVAL);
    for (int i = 0; i < OUTAGE_WARMUP_WRITES; i++) {
        int rc = attempt(load, &client, targets[0]);
        if (rc < 0)
            die(targets[0], rc);
    }
    int64_t start_ns = now_ns();
    if (kill(pid, SIGKILL) < 0)
        die("kill", -errno);
    close(client.fd);
    client.fd = -1;
    int rc;
    while ((rc = attempt(load, &client, targets[1 + attempts++ % others])) < 0) {
        if (now_ns() - start_ns > (int64_t)OUTAGE_GIVE_UP_MS * 1000000)
            die("no write was acknowledged", rc);
        if (rc != -ETIMEDOUT)
            usleep(OUTAGE_PAUSE_MS * 1000);
    }
    printf("{\"outage_ms\": %.1f, \"attempts\": %zu}\n", (double)(now_ns() - start_ns) / 1e6,
           attempts);
    close(client.fd);
    buffer_done(&client.in);
    buffer_done(&client.out);
    return 0;
}

int main(int argc, char **argv)
{
    uint8_t value[WIRE_VALUE_BYTES_MAX];
    if (argc < 6 || (strcmp(argv[1], "etcd") != 0 && strcmp(argv[1], "consort") != 0)) {
        fprintf(stderr, "usage: see tests/bench/consensus_load/load.c\n");
        return 2;
    }
    const struct wire *wire = strcmp(argv[1], "etcd") == 0 ? &wire_etcd : &wire_consort;
    bool is_outage = strcmp(argv[2], "outage") == 0;
    size_t size = strtoul(is_outage ? argv[4] : argv[5], NULL, 10);
    if (size > sizeof(value) || argc < 7)
        die("value", -EINVAL);
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(i * 131 + 7);
    struct load load = {.wire = wire, .value = value, .value_size = size};
    return is_outage ? run_outage(&load, argv + 2, argc - 2) : run_load(&load, argv + 2, argc - 2);
}
