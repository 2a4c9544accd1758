/* fleet: measures what a fleet of gossiping peers does, in virtual time, from a seed. */
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fleet/experiment.h"

enum {
    EXIT_MISSED = 1,
    EXIT_USAGE = 2,
    PEERS_MIN = 2,
    DELAY_MAX_MS = 10000,
    REPEATS_MAX = 100000,
    PERMILLE_PER_PERCENT = 10,
};

static const char usage[] =
    "usage: fleet EXPERIMENT [--peers N] [--seed S] [--loss PERCENT] [--delay MIN..MAX]\n"
    "             [--repeats N] [--disturbed N] [--duration MS] [--blocked] [--plain] [--limit X]\n"
    "             [--format text|json]\n"
    "\n"
    "Runs the shipping swim_step of N peers that know one another, under a virtual clock, and\n"
    "reports what it measured. The same seed gives the same numbers, but for CPU and memory.\n"
    "\n"
    "  death      peers die one after the other: until the living hold each dead\n"
    "  change     peers say something new, one after the other: until all others know\n"
    "  idle       nothing happens: bytes per second that a peer sends, all headers included\n"
    "  partition  two halves, cut off for a minute, meet again: until all see all\n"
    "  mass       30 %% die at once: until the living hold them dead, and no living one\n"
    "  lifeguard  members are stopped again and again: who of the healthy ones is held dead, with\n"
    "             Lifeguard and without (the paper's section 5); usually with --peers 128\n"
    "\n"
    "  --peers N        default 20, at most %d\n"
    "  --seed S         default 1\n"
    "  --loss PERCENT   of packets; default 0\n"
    "  --delay MIN..MAX one way, in ms; default 1..3\n"
    "  --repeats N      deaths, changes, or runs of each kind; default 10 (lifeguard: 1)\n"
    "  --disturbed N    lifeguard: members stopped at a time, of 1, 4, 8, 16, 32; default: each\n"
    "  --duration MS    lifeguard: for how long, of 512, 2048, 8192, 32768; default: each\n"
    "  --blocked        lifeguard: their timers run on, only packets are held back\n"
    "  --plain          SWIM without Lifeguard, to compare with\n"
    "  --limit X        exit with 1 unless the result is below (lifeguard: at least) that: ms\n"
    "                   until 99.9 %% know, or all (partition, mass); bytes per second; times "
    "fewer\n"
    "  --format F       words (the default), or a line of JSON\n";

static const struct {
    const char *name;
    bool (*run)(const struct experiment_options *options, struct report *report);
    unsigned repeats;
} experiments[] = {
    {"death", experiment_death, 10}, {"change", experiment_change, 10},
    {"idle", experiment_idle, 1},    {"partition", experiment_partition, 1},
    {"mass", experiment_mass, 1},    {"lifeguard", experiment_lifeguard, 1},
};

static int read_number(const char *text, uint64_t most, char end, const char **ret_end,
                       uint64_t *ret)
{
    char *rest;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    uint64_t number = strtoull(text, &rest, 10);
    if (errno || number > most || *rest != end)
        return -EINVAL;
    *ret = number;
    if (ret_end)
        *ret_end = rest;
    return 0;
}

static int read_delay(const char *text, struct fleet_options *options)
{
    uint64_t least, most;
    const char *rest;
    if (read_number(text, DELAY_MAX_MS, '.', &rest, &least) < 0 || strncmp(rest, "..", 2) != 0 ||
        read_number(rest + 2, DELAY_MAX_MS, '\0', NULL, &most) < 0 || most < least)
        return -EINVAL;
    options->delay_min_ms = (int64_t)least;
    options->delay_max_ms = (int64_t)most;
    return 0;
}

static int read_positive(const char *text, double *ret)
{
    char *end;
    double number = strtod(text, &end);
    if (*end || end == text || !(number >= 0))
        return -EINVAL;
    *ret = number;
    return 0;
}

static int read_format(const char *text, struct report *report)
{
    report->is_json = strcmp(text, "json") == 0;
    return report->is_json || strcmp(text, "text") == 0 ? 0 : -EINVAL;
}

static int read_option(int option, const char *text, struct experiment_options *options,
                       struct report *report)
{
    uint64_t number = 0;
    double part = 0;
    int rc = -EINVAL;
    switch (option) {
    case 'p':
        rc = read_number(text, FLEET_PEERS_MAX, '\0', NULL, &number);
        options->fleet.peers = (unsigned)number;
        return options->fleet.peers < PEERS_MIN ? -EINVAL : rc;
    case 's':
        return read_number(text, UINT64_MAX, '\0', NULL, &options->fleet.seed);
    case 'l':
        rc = read_positive(text, &part);
        options->fleet.loss_permille = (unsigned)(part * PERMILLE_PER_PERCENT);
        return options->fleet.loss_permille > FLEET_PERMILLE ? -EINVAL : rc;
    case 'd':
        return read_delay(text, &options->fleet);
    case 'r':
        rc = read_number(text, REPEATS_MAX, '\0', NULL, &number);
        options->repeats = (unsigned)number;
        return rc;
    case 'c':
        rc = read_number(text, FLEET_PEERS_MAX, '\0', NULL, &number);
        options->disturbed = (unsigned)number;
        return rc;
    case 't':
        rc = read_number(text, INT32_MAX, '\0', NULL, &number);
        options->duration_ms = (int64_t)number;
        return rc;
    case 'b':
        options->anomaly = FLEET_BLOCKED;
        return 0;
    case 'n':
        options->fleet.config.plain = true;
        return 0;
    case 'm':
        return read_positive(text, &options->limit);
    case 'f':
        return read_format(text, report);
    default:
        return rc;
    }
}

/* Ends the process for --help and for what makes no sense; returns the experiment's index. */
static size_t read_arguments(int count, char **words, struct experiment_options *options,
                             struct report *report)
{
    static const struct option known[] = {
        {"peers", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 's'},
        {"loss", required_argument, NULL, 'l'},
        {"delay", required_argument, NULL, 'd'},
        {"repeats", required_argument, NULL, 'r'},
        {"disturbed", required_argument, NULL, 'c'},
        {"duration", required_argument, NULL, 't'},
        {"blocked", no_argument, NULL, 'b'},
        {"plain", no_argument, NULL, 'n'},
        {"limit", required_argument, NULL, 'm'},
        {"format", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;
    while ((option = getopt_long(count, words, "h", known, NULL)) != -1) {
        if (option == 'h') {
            printf(usage, FLEET_PEERS_MAX);
            exit(0);
        }
        if (read_option(option, optarg, options, report) < 0) {
            if (option != '?')
                fprintf(stderr, "fleet: \"%s\" makes no sense there\n", optarg);
            exit(EXIT_USAGE);
        }
    }
    for (size_t i = 0; optind == count - 1 && i < sizeof(experiments) / sizeof(*experiments); i++)
        if (strcmp(words[optind], experiments[i].name) == 0)
            return i;
    fprintf(stderr, usage, FLEET_PEERS_MAX);
    exit(EXIT_USAGE);
}

int main(int count, char **words)
{
    struct experiment_options options = {.fleet = fleet_defaults(), .anomaly = FLEET_STOPPED};
    struct report report = {0};
    size_t chosen = read_arguments(count, words, &options, &report);
    if (sodium_init() < 0)
        return EXIT_MISSED;
    if (options.repeats == 0)
        options.repeats = experiments[chosen].repeats;
    if (experiments[chosen].run(&options, &report))
        return 0;
    fprintf(stderr, "fleet: %s missed its limit, %g\n", experiments[chosen].name, options.limit);
    return EXIT_MISSED;
}
