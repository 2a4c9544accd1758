/* leader_work: what one commit costs the leader and how soon all have it, a line for each size. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/leader_work.h"
#include "tests/sim/seeds.h"

enum {
    EXIT_BROKEN = 1,
    EXIT_USAGE = 2,
    PEERS_MIN = 3,
    COMMITS_MAX = 200,
    SIZES_MAX = 16,
    LOSS_MAX = 50,
    SERVICES_MAX = 2000,
};

static const char usage[] =
    "usage: leader_work [--peers N,N,…] [--commits N] [--services N] [--loss PERCENT] [--seed S]\n"
    "\n"
    "Runs fleets of the shipping agent under a virtual clock, and prints for each size what the\n"
    "leader does for one commit beyond what it does at rest, and when the peers have applied it.\n"
    "Exit code 1 if a fleet does not come to that, and 2 if this command makes no sense.\n"
    "\n"
    "  --peers N,N,…   sizes; default 5,20,100,300\n"
    "  --commits N     that the figures are an average of; default 20\n"
    "  --services N    that the intent has already; default 0\n"
    "  --loss PERCENT  of packets; default 0\n"
    "  --seed S        default 5\n";

struct arguments {
    unsigned sizes[SIZES_MAX];
    size_t size_count;
    struct leader_work_options options;
};

static int read_sizes(char *text, struct arguments *arguments)
{
    char *rest = NULL;
    arguments->size_count = 0;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        uint64_t number = 0;
        int rc = seeds_parse_number(word, PEERS_MIN, SIM_MACHINES_MAX, &number);
        if (rc < 0 || arguments->size_count == SIZES_MAX)
            return -EINVAL;
        arguments->sizes[arguments->size_count++] = (unsigned)number;
    }
    return arguments->size_count > 0 ? 0 : -EINVAL;
}

static int read_option(int option, char *text, struct arguments *arguments)
{
    struct leader_work_options *options = &arguments->options;
    uint64_t number = 0;
    int rc = -EINVAL;
    switch (option) {
    case 'p':
        return read_sizes(text, arguments);
    case 'c':
        rc = seeds_parse_number(text, 1, COMMITS_MAX, &number);
        options->commits = (unsigned)number;
        break;
    case 'v':
        rc = seeds_parse_number(text, 0, SERVICES_MAX, &number);
        options->services = (unsigned)number;
        break;
    case 'l':
        rc = seeds_parse_number(text, 0, LOSS_MAX, &number);
        options->loss = (unsigned)number * SIM_PERMILLE / 100;
        break;
    case 's':
        rc = seeds_parse_number(text, 0, UINT64_MAX, &options->seed);
        break;
    }
    return rc;
}

static int parse(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        {"peers", required_argument, NULL, 'p'},    {"commits", required_argument, NULL, 'c'},
        {"services", required_argument, NULL, 'v'}, {"loss", required_argument, NULL, 'l'},
        {"seed", required_argument, NULL, 's'},     {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (read_option(option, optarg, ret) < 0)
            return -EINVAL;
    return optind == argc ? 0 : -EINVAL;
}

static void print(const struct leader_work *work)
{
    printf("%u peers, intent %" PRIu64 " bytes: the leader sends %" PRIu64 " messages (%" PRIu64
           " bytes), of these for the feed %" PRIu64 " (%" PRIu64 "); receives %" PRIu64
           " (%" PRIu64 ")",
           work->peers, work->intent_bytes, work->sent.count, work->sent.bytes,
           work->sent.feed_count, work->sent.feed_bytes, work->received.count,
           work->received.bytes);
    printf("; hashes %" PRIu64 " bytes; %" PRIu64 " us in agent_step; a peer sends %" PRIu64
           " (%" PRIu64 "), the busiest %" PRIu64 " (feed %" PRIu64 " bytes)",
           work->hashed_bytes, work->step_us, work->all_count, work->all_bytes, work->most_count,
           work->most_feed_bytes);
    printf("; applied after median %" PRId64 " ms, p99 %" PRId64 " ms, all %" PRId64
           " ms; at rest %" PRIu64 " bytes/s\n",
           work->median_ms, work->p99_ms, work->max_ms, work->rest_bytes_per_second);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .sizes = {5, 20, 100, 300},
        .size_count = 4,
        .options = {.commits = 20, .seed = 5, .times_steps = true},
    };
    if (sodium_init() < 0 || parse(argc, argv, &arguments) < 0) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < arguments.size_count; i++) {
        struct leader_work work;
        arguments.options.peers = arguments.sizes[i];
        const char *problem = leader_work_measure(&arguments.options, &work);
        if (problem) {
            fprintf(stderr, "%u peers: %s\n", arguments.sizes[i], problem);
            return EXIT_BROKEN;
        }
        print(&work);
    }
    return 0;
}
