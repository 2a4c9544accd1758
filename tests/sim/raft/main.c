/* raft_simulate: runs Raft from seeds, and says which seed breaks what, with a trace. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "tests/sim/raft/world.h"
#include "tests/sim/seeds.h"

enum {
    EXIT_BROKEN = 1,
    EXIT_USAGE = 2,
    TRACE_LINES = 60, /* of a seed that failed; --seed S --trace prints all */
    DURATION_S_DEFAULT = 15,
};

static const char usage[] =
    "usage: raft_simulate --seeds A..B [--voters N] [--learners N] [--faults LIST] [--seconds N]\n"
    "                     [--progress] [--verbose] [--keep-going]\n"
    "       raft_simulate --seed S … [--trace]\n"
    "\n"
    "Runs Raft's core from each seed under faults, then in calm, and checks at every step the "
    "five\n"
    "properties of the paper, and that nothing is said before it is stored; at the end, that all\n"
    "works again and that what clients saw is linearizable. A seed that fails is printed with the\n"
    "end of its trace, and the exit code is 1; 2 if this command makes no sense.\n"
    "\n"
    "  --seeds A..B   all seeds from A to B\n"
    "  --voters N     1 to %d; default: each seed draws 3 to 7\n"
    "  --learners N   0 to %d; default: each seed draws 0 to 2\n"
    "  --faults LIST  none, all, or of %s;\n"
    "                 default: each seed draws which\n"
    "  --seconds N    of faults, in virtual time; default %d\n"
    "  --progress     a line every 1,000 seeds\n"
    "  --verbose      a line for every seed\n"
    "  --keep-going   go on after a seed that failed\n"
    "  --trace        print every step\n";

struct arguments {
    struct seeds seeds;
    bool has_seeds, traces, is_verbose, has_progress, keeps_going;
    struct sim_options options;
};

static uint64_t running_seed;

/* An assertion of the core failed: say which seed did that. */
static void on_abort(int number)
{
    char text[64];
    int size =
        snprintf(text, sizeof(text), "seed %" PRIu64 " failed: an assertion\n", running_seed);
    if (size > 0 && write(STDOUT_FILENO, text, (size_t)size) < 0)
        _exit(EXIT_BROKEN);
    signal(number, SIG_DFL);
    raise(number);
}

static void print_usage(FILE *file)
{
    char list[256];
    sim_faults_list(list, sizeof(list));
    fprintf(file, usage, SIM_VOTERS_MAX, SIM_LEARNERS_MAX, list, DURATION_S_DEFAULT);
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
    case 'V':
        rc = seeds_parse_number(text, 1, SIM_VOTERS_MAX, &number);
        if (rc == 0)
            arguments->options.voters = (int)number;
        break;
    case 'l':
        rc = seeds_parse_number(text, 0, SIM_LEARNERS_MAX, &number);
        if (rc == 0)
            arguments->options.learners = (int)number;
        break;
    case 'f':
        rc = sim_faults_parse(text, &arguments->options.faults);
        break;
    case 'd':
        rc = seeds_parse_number(text, 1, 100000, &number);
        arguments->options.duration_us = (int64_t)number * SIM_S;
        break;
    case 't':
        arguments->traces = true;
        break;
    case 'v':
        arguments->is_verbose = true;
        break;
    case 'p':
        arguments->has_progress = true;
        break;
    case 'k':
        arguments->keeps_going = true;
        break;
    default:
        return -EINVAL;
    }
    if (rc < 0)
        fprintf(stderr, "raft_simulate: \"%s\" makes no sense there\n", text);
    return rc;
}

/* Ends the process for --help and for what makes no sense. */
static void read_arguments(int count, char **words, struct arguments *arguments)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 's'},  {"seed", required_argument, NULL, 's'},
        {"voters", required_argument, NULL, 'V'}, {"learners", required_argument, NULL, 'l'},
        {"faults", required_argument, NULL, 'f'}, {"seconds", required_argument, NULL, 'd'},
        {"trace", no_argument, NULL, 't'},        {"verbose", no_argument, NULL, 'v'},
        {"progress", no_argument, NULL, 'p'},     {"keep-going", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},         {0},
    };
    int option;
    *arguments = (struct arguments){.options = {.learners = -1,
                                                .faults = SIM_FAULTS_ALL,
                                                .duration_us = DURATION_S_DEFAULT * SIM_S}};
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

/* Prints the last lines of the seed's trace: it is run once more for that. */
static void print_trace(uint64_t seed, const struct sim_options *options)
{
    char *text = NULL;
    size_t size = 0;
    struct sim_options traced = *options;
    struct sim_world world;
    traced.trace = open_memstream(&text, &size);
    if (!traced.trace)
        return;
    sim_run(&world, seed, &traced);
    sim_done(&world);
    fclose(traced.trace);
    const char *from = text + size;
    for (int lines = 0; from > text && lines <= TRACE_LINES; from--)
        lines += from[-1] == '\n';
    fputs(from > text ? from + 1 : text, stdout);
    free(text);
}

struct totals {
    uint64_t passed, failed, steps, operations, digest;
    uint64_t counts[SIM_COUNTS];
};

static void run_seed(uint64_t seed, const struct arguments *arguments, struct totals *totals)
{
    struct sim_world world;
    struct sim_options options = arguments->options;
    options.trace = arguments->traces ? stdout : NULL;
    running_seed = seed;
    bool has_passed = sim_run(&world, seed, &options);
    totals->passed += has_passed;
    totals->failed += !has_passed;
    totals->steps += world.steps;
    totals->operations += world.history.count;
    totals->digest = sim_mix(totals->digest, world.digest);
    for (int i = 0; i < SIM_COUNTS; i++)
        totals->counts[i] += world.counts[i];
    if (arguments->is_verbose && has_passed)
        printf("seed %" PRIu64 ": %d voters, %" PRIu64 " steps, %" PRIu64
               " committed, %zu operations\n",
               seed, world.options.voters, world.steps, world.counts[SIM_COUNT_COMMITTED],
               world.history.count);
    if (!has_passed) {
        printf("seed %" PRIu64 " failed at %.3f s: %s\n", seed, (double)world.now_us / SIM_S,
               world.failure);
        if (!arguments->traces && !arguments->keeps_going)
            print_trace(seed, &arguments->options);
        printf("replay: raft_simulate --seed %" PRIu64 " --trace, with the same options\n", seed);
    }
    sim_done(&world);
}

static void print_totals(const struct totals *totals)
{
    const uint64_t *counts = totals->counts;
    printf("%" PRIu64 " steps; %" PRIu64 " entries committed, %" PRIu64 " leaders, %" PRIu64
           " changes of members, %" PRIu64 " transfers, %" PRIu64 " crashes, %" PRIu64
           " disks spoilt, %" PRIu64 " snapshots installed, in %" PRIu64 " chunks sent, %" PRIu64
           " refused as rubbish\n",
           totals->steps, counts[SIM_COUNT_COMMITTED], counts[SIM_COUNT_ELECTIONS],
           counts[SIM_COUNT_CHANGES], counts[SIM_COUNT_TRANSFERS], counts[SIM_COUNT_CRASHES],
           counts[SIM_COUNT_SPOILT], counts[SIM_COUNT_SNAPSHOTS], counts[SIM_COUNT_CHUNKS],
           counts[SIM_COUNT_REFUSED]);
    printf("%" PRIu64 " operations of clients: %" PRIu64 " writes, %" PRIu64
           " reads at leaders, %" PRIu64 " at followers; the rest given up; digest %016" PRIx64
           "\n",
           totals->operations, counts[SIM_COUNT_WRITES], counts[SIM_COUNT_READS],
           counts[SIM_COUNT_FOLLOWER_READS], totals->digest);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", totals->passed, totals->failed);
}

int main(int count, char **words)
{
    struct arguments arguments;
    struct totals totals = {0};
    read_arguments(count, words, &arguments);
    if (sodium_init() < 0)
        return EXIT_BROKEN;
    signal(SIGABRT, on_abort);
    for (uint64_t seed = arguments.seeds.first;; seed++) {
        run_seed(seed, &arguments, &totals);
        if (arguments.has_progress && (seed - arguments.seeds.first + 1) % 1000 == 0)
            printf("… seed %" PRIu64 ": %" PRIu64 " passed, %" PRIu64 " failed\n", seed,
                   totals.passed, totals.failed);
        fflush(stdout);
        if (seed == arguments.seeds.last || (totals.failed > 0 && !arguments.keeps_going))
            break;
    }
    print_totals(&totals);
    return totals.failed > 0 ? EXIT_BROKEN : 0;
}
