/* simulate: runs clusters from seeds, and says which seed breaks which invariant. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/schedule.h"
#include "tests/sim/seeds.h"

enum {
    EXIT_BROKEN = 1,
    EXIT_USAGE = 2,
    PEERS_MIN = 1,
};

static const char usage[] =
    "usage: simulate --seeds A..B [--peers N] [--faults LIST] [--seconds N] [--break RULE]\n"
    "                       [--verbose]\n"
    "       simulate --seed S [--peers N] [--faults LIST] [--seconds N] [--break RULE]\n"
    "                       [--trace]\n"
    "\n"
    "Runs the shipping agent on N machines (default 3) under a virtual clock: from each seed a\n"
    "schedule of faults and operators' commands, then calm, and a look at whether all is as it\n"
    "shall be. The invariants are checked at every step. The last line counts the seeds; the exit\n"
    "code is 1 if any failed, and 2 if this command makes no sense.\n"
    "\n"
    "  --seeds A..B    all seeds from A to B\n"
    "  --seed S        this one\n"
    "  --peers N       machines, at most %d\n"
    "  --faults LIST   of %s;\n"
    "                  default: all\n"
    "  --seconds N     of faults, in virtual time; default 25\n"
    "  --break RULE    break one on purpose and see it noticed: %s\n"
    "  --trace         print every step; the same to the byte each time\n"
    "  --verbose       a line for each seed that passed, too\n";

struct arguments {
    struct seeds seeds;
    bool has_seeds, traces, is_verbose;
    const char *faults;
    struct schedule_options options;
};

static void print_usage(FILE *file)
{
    char list[256], rules[256];
    faults_list(list, sizeof(list));
    sabotage_list(rules, sizeof(rules));
    fprintf(file, usage, SIM_PARTITION_MAX, list, rules);
}

static int read_option(int option, const char *text, struct arguments *arguments)
{
    uint64_t number = 0;
    int rc = 0;
    switch (option) {
    case 's':
        rc = seeds_parse(text, &arguments->seeds);
        arguments->has_seeds = rc == 0;
        break;
    case 'p':
        rc = seeds_parse_number(text, PEERS_MIN, SIM_PARTITION_MAX, &number);
        arguments->options.peers = (unsigned)number;
        break;
    case 'f':
        rc = faults_parse(text, &arguments->options.faults);
        arguments->faults = text;
        break;
    case 'd':
        rc = seeds_parse_number(text, 1, 100000, &number);
        arguments->options.duration_ms = (int64_t)number * 1000;
        break;
    case 'b':
        rc = sabotage_parse(text, &arguments->options.sabotage);
        break;
    case 't':
        arguments->traces = true;
        break;
    case 'v':
        arguments->is_verbose = true;
        break;
    default:
        return -EINVAL;
    }
    if (rc < 0)
        fprintf(stderr, "simulate: \"%s\" makes no sense there\n", text);
    return rc;
}

/* Ends the process for --help and for what makes no sense. */
static void read_arguments(int count, char **words, struct arguments *arguments)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 's'},   {"seed", required_argument, NULL, 's'},
        {"peers", required_argument, NULL, 'p'},   {"faults", required_argument, NULL, 'f'},
        {"seconds", required_argument, NULL, 'd'}, {"break", required_argument, NULL, 'b'},
        {"trace", no_argument, NULL, 't'},         {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    int option;
    *arguments = (struct arguments){.faults = "all", .options = {.peers = 3, .faults = FAULT_ALL}};
    while ((option = getopt_long(count, words, "h", options, NULL)) != -1) {
        if (option == 'h') {
            print_usage(stdout);
            exit(0);
        }
        if (read_option(option, optarg, arguments) < 0)
            exit(EXIT_USAGE);
    }
    if (optind < count || !arguments->has_seeds) {
        print_usage(stderr);
        exit(EXIT_USAGE);
    }
}

int main(int count, char **words)
{
    struct arguments arguments;
    uint64_t passed = 0, failed = 0;
    read_arguments(count, words, &arguments);
    if (sodium_init() < 0)
        return EXIT_BROKEN;
    struct trace trace = {.file = arguments.traces ? stdout : NULL};
    for (uint64_t seed = arguments.seeds.first;; seed++) {
        struct schedule_outcome outcome;
        schedule_run(seed, &arguments.options, trace, &outcome);
        if (outcome.has_passed) {
            passed++;
            if (arguments.is_verbose)
                printf("seed %" PRIu64 ": settled %.1f s after all was calm\n", seed,
                       (double)outcome.settled_ms / 1000);
        } else {
            failed++;
            printf("seed %" PRIu64 " broke at %.3f s: %s\n  replay: simulate --seed %" PRIu64
                   " --peers %u --faults %s --trace\n",
                   seed, (double)outcome.ended_ms / 1000, outcome.failure, seed,
                   arguments.options.peers, arguments.faults);
        }
        fflush(stdout);
        if (seed == arguments.seeds.last)
            break;
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed > 0 ? EXIT_BROKEN : 0;
}
