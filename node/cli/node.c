/* consort node: the peer itself */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "node/cli/bounds.h"
#include "node/cli/client.h"
#include "node/cli/options.h"
#include "node/cli/quantity.h"
#include "node/metrics/http.h"
#include "node/peer/own_address.h"
#include "node/peer/peer.h"
#include "node/peer/seeds.h"

static const char data_dir_default[] = "/var/lib/consort";
static const char run_dir_default[] = "/run/consort";
static const char registries_default[] = "/etc/consort/registries.json";

/* The machine's name as a label: lower case, up to the first dot. */
static void default_name(char ret[BASE_NAME_BYTES_MAX + 1])
{
    char host[256] = "";
    size_t length = 0;
    gethostname(host, sizeof(host) - 1);
    for (const char *at = host; *at && *at != '.' && length < BASE_NAME_BYTES_MAX; at++) {
        char c = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
        bool is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (is_good || length > 0)
            ret[length++] = is_good ? c : '-';
    }
    while (length > 0 && ret[length - 1] == '-')
        length--;
    ret[length] = '\0';
    if (length == 0)
        memcpy(ret, "peer", sizeof("peer"));
}

/* IPv4 and IPv6, or IPv4 alone where the kernel has no other. */
static const char *default_listen(void)
{
    cleanup_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? "0.0.0.0:7300" : "[::]:7300";
}

static int compare_labels(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int join_labels(struct cli *cli, struct text_list *labels, char *ret, size_t capacity)
{
    size_t length = 0;
    if (labels->count > 0)
        qsort(labels->items, labels->count, sizeof(*labels->items), compare_labels);
    ret[0] = '\0';
    for (size_t i = 0; i < labels->count; i++) {
        if (!strchr(labels->items[i], '=') || strchr(labels->items[i], ','))
            return cli_usage(cli, "%s: a label is KEY=VALUE, as in zone=a", labels->items[i]);
        length += (size_t)snprintf(ret + length, capacity - length, "%s%s", i > 0 ? "," : "",
                                   labels->items[i]);
        if (length >= capacity)
            return cli_usage(cli, "the labels are longer than %zu bytes together", capacity - 1);
    }
    return OPTIONS_GO_ON;
}

/* Tells systemd that the peer is up, when started by it (sd_notify(3)). */
static void notify_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof(address.sun_path))
        return;
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, strlen(path));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd < 0 || sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0)
        log_warning("systemd could not be told that the peer is up: %s", strerror(errno));
}

static int run_peer(const struct peer_options *options)
{
    struct peer_options next = *options;
    struct peer peer;
    uv_loop_t loop;
    int code;
    do {
        struct error error = {0};
        uv_loop_init(&loop);
        if (peer_start(&peer, &loop, &next, &error) < 0) {
            uv_loop_close(&loop);
            return cli_fail(&error);
        }
        log_notice("consort %s serves %s", CONSORT_VERSION, options->socket_path);
        notify_ready();
        code = peer_run(&peer);
        peer_done(&peer, &next.socket_fd);
        uv_loop_close(&loop);
    } while (peer.starts_anew);
    return code;
}

/* What was typed; the options point into it. */
struct node_words {
    const char *data_dir, *run_dir, *listen, *advertise, *name, *metrics, *runtime, *level;
    const char *registries, *userns_ids;
    struct text_list labels, seeds;
    uint32_t cpus, clock_drift;
    uint64_t memory;
};

/* A port alone is for this machine only: who may look at metrics is not asked. */
static bool parse_metrics(const char *text, struct address *ret)
{
    uint32_t port;
    if (quantity_parse_count(text, &port) == 0) {
        *ret = address_from_v4(INADDR_LOOPBACK, (uint16_t)port);
        return port > 0 && port <= UINT16_MAX;
    }
    return address_parse(text, HTTP_PORT_DEFAULT, ret) == 0;
}

static int make_options(struct cli *cli, struct node_words *words, char *name, char *labels,
                        struct peer_options *options)
{
    enum log_level level;
    if (log_level_parse(words->level, &level) < 0)
        return cli_usage(cli, "%s: error, warning, notice, info or debug is expected",
                         words->level);
    log_setup(level, getenv("JOURNAL_STREAM") != NULL);
    if (!words->name)
        default_name(name);
    else
        snprintf(name, BASE_NAME_BYTES_MAX + 1, "%s", words->name);
    if (!certificate_name_is_valid(name))
        return cli_usage(cli, "%s: a name is 1 to 63 of a-z, 0-9 and -", name);
    int rc = join_labels(cli, &words->labels, labels, VIEW_LABELS_BYTES_MAX + 1);
    if (rc != OPTIONS_GO_ON)
        return rc;
    *options = (struct peer_options){
        .data_dir = words->data_dir,
        .run_dir = words->run_dir,
        .socket_path = client_socket_path(cli),
        .socket_fd = -1,
        .name = name,
        .labels = labels,
        .cpu_millis = words->cpus,
        .memory_bytes = words->memory,
        .oci_runtime = words->runtime,
        .clock_drift_permille = words->clock_drift,
        .registries = words->registries,
        .fault = getenv("CONSORT_FAULT"),
    };
    if (address_parse(words->listen, PEER_PORT_DEFAULT, &options->listen) < 0)
        return cli_usage(cli, "--listen %s: IP:PORT is expected", words->listen);
    if (words->metrics && !parse_metrics(words->metrics, &options->metrics))
        return cli_usage(cli, "--metrics %s: IP:PORT is expected, or PORT for 127.0.0.1",
                         words->metrics);
    bool has_address = words->advertise ? address_parse(words->advertise, options->listen.port,
                                                        &options->advertised) == 0
                                        : own_address_find(&options->advertised);
    if (!has_address)
        return cli_usage(cli, words->advertise ? "--advertise: IP or IP:PORT is expected"
                                               : "no address to be reached at was found: give one "
                                                 "with --advertise IP");
    if (words->clock_drift > CLOCK_DRIFT_PERMILLE_MAX)
        return cli_usage(cli, "--clock-drift is at most %d thousandths", CLOCK_DRIFT_PERMILLE_MAX);
    for (size_t i = 0; i < words->seeds.count; i++)
        if (!seed_is_valid(words->seeds.items[i]))
            return cli_usage(cli, "--seed %s: NAME, NAME:PORT, IP or IP:PORT is expected",
                             words->seeds.items[i]);
    if (words->seeds.count > SEEDS_NAMED_MAX)
        return cli_usage(cli, "--seed may be given %d times at most", SEEDS_NAMED_MAX);
    if (words->userns_ids && userns_pool_parse(words->userns_ids, &options->userns) < 0)
        return cli_usage(cli, "--userns-ids %s: FIRST:COUNT is expected, both at least %d",
                         words->userns_ids, USERNS_IDS);
    options->seeds = (const char *const *)words->seeds.items;
    options->seed_count = words->seeds.count;
    options->advertised_is_found = !words->advertise;
    if (!words->advertise)
        options->advertised.port = options->listen.port;
    return OPTIONS_GO_ON;
}

/* glibc gives each thread a heap of its own, and keeps in each what that thread once needed. Ours
 * hardly allocate at the same time: one heap for all takes a third less memory. */
static void share_heap(void)
{
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, 1);
#endif
}

/* Requests, links and logs are files by the hundred: take all that the limit lets a process have.
 */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The peer's key and, for moments, secrets are in its memory: no core dump of it is written, and no
 * debugger of another user's attaches. What it starts is not bound by that. */
static void keep_memory_private(void)
{
    prctl(PR_SET_DUMPABLE, 0);
}

int verb_node(struct cli *cli, int argc, char **argv)
{
    struct node_words words = {
        .data_dir = data_dir_default,
        .run_dir = run_dir_default,
        .listen = default_listen(),
        .level = "info",
        .registries = registries_default,
        .cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000,
        .memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
    };
    struct option_row rows[] = {
        OPTION_ROW(0, "data-dir", "DIR", "What must outlive a reboot (/var/lib/consort)",
                   OPTION_TEXT, &words.data_dir),
        OPTION_ROW(0, "run-dir", "DIR", "What a reboot forgets (/run/consort)", OPTION_TEXT,
                   &words.run_dir),
        OPTION_ROW(0, "listen", "IP:PORT", "Where peers reach this one ([::]:7300, UDP and TCP)",
                   OPTION_TEXT, &words.listen),
        OPTION_ROW(0, "advertise", "IP[:PORT]", "The address that others are told", OPTION_TEXT,
                   &words.advertise),
        OPTION_ROW(0, "seed", "HOST[:PORT]", "Where to look for peers; may be given often",
                   OPTION_LIST, &words.seeds),
        OPTION_ROW(0, "name", "NAME", "This peer's name (the machine's)", OPTION_TEXT, &words.name),
        OPTION_ROW(0, "label", "KEY=VALUE", "For placement; may be given often", OPTION_LIST,
                   &words.labels),
        OPTION_ROW(0, "cpus", "N", "CPUs that replicas may reserve", OPTION_CPUS, &words.cpus),
        OPTION_ROW(0, "memory", "SIZE", "Memory that replicas may reserve", OPTION_SIZE,
                   &words.memory),
        OPTION_ROW(0, "metrics", "[IP:]PORT", "Serve /metrics and /health there, by HTTP (nowhere)",
                   OPTION_TEXT, &words.metrics),
        OPTION_ROW(0, "runtime", "PATH", "The OCI runtime (crun)", OPTION_TEXT, &words.runtime),
        OPTION_ROW(0, "userns-ids", "FIRST:COUNT",
                   "The machine's ids for user namespaces (1879048192:268304384)", OPTION_TEXT,
                   &words.userns_ids),
        OPTION_ROW(0, "clock-drift", "N", "Read by leases: clocks differ by N thousandths (never)",
                   OPTION_COUNT, &words.clock_drift),
        OPTION_ROW(0, "registries", "FILE",
                   "Logins, CAs and mirrors of registries (/etc/consort/registries.json)",
                   OPTION_TEXT, &words.registries),
        OPTION_ROW(0, "log-level", "LEVEL", "error, warning, notice, info or debug", OPTION_TEXT,
                   &words.level),
    };
    char name[BASE_NAME_BYTES_MAX + 1], labels[VIEW_LABELS_BYTES_MAX + 1];
    struct peer_options options;
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc == OPTIONS_GO_ON && argc > 0)
        rc = cli_usage(cli, "node takes no argument");
    if (rc == OPTIONS_GO_ON)
        rc = make_options(cli, &words, name, labels, &options);
    if (rc == OPTIONS_GO_ON) {
        umask(0022); /* crun makes mount points by it, and users in containers must get through */
        raise_file_limit();
        share_heap();
        keep_memory_private();
        rc = run_peer(&options);
    }
    text_list_done(&words.labels);
    text_list_done(&words.seeds);
    return rc;
}
