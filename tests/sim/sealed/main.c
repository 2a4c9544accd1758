/* sealed: attacks peers' datagrams from seeds, and says which seed breaks which rule. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sealed/campaign.h"
#include "tests/sim/seeds.h"

enum {
    EXIT_BROKEN = 1,
    EXIT_USAGE = 2,
    PEERS_MIN = 5, /* of fewer, an attacker who cuts single ways can cut all */
    PERMILLE_PER_PERCENT = 10,
};

static const char usage[] =
    "usage: sealed --seeds A..B [--peers N] [--attack LIST] [--seconds N] [--loss PERCENT]\n"
    "              [--verbose]\n"
    "       sealed --seed S [the same]\n"
    "\n"
    "Runs N peers (default 12): swim over real packet sessions under a virtual clock, and "
    "somebody\n"
    "on the network without a key, who does what --attack lists while peers die and restart; then\n"
    "calm. What must hold all the while stands in tests/sim/sealed/rules.h. The last line counts\n"
    "the seeds; the exit code is 1 if any failed, and 2 if this command makes no sense.\n"
    "\n"
    "  --seeds A..B    all seeds from A to B\n"
    "  --seed S        this one\n"
    "  --peers N       5 to 16\n"
    "  --attack LIST   of replay,reflect,flood,forge,cookie,withhold,delay,redirect; default: all\n"
    "  --seconds N     of attack, in virtual time; default 40\n"
    "  --loss PERCENT  of packets that nobody takes; default 2\n"
    "  --verbose       say what happens; the same each time\n";

struct arguments {
    struct seeds seeds;
    bool has_seeds;
    const char *attack;
    struct campaign_options options;
};

static int read_attack(const char *text, unsigned *ret)
{
    unsigned tricks = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        unsigned found = 0;
        for (int i = 0; i < TRICK_COUNT; i++) {
            const char *name = attacker_trick_name((enum attacker_trick)i);
            if (strlen(name) == length && memcmp(name, text, length) == 0)
                found = 1u << i;
        }
        if (found == 0)
            return -EINVAL;
        tricks |= found;
        text += length + (text[length] == ',');
    }
    *ret = tricks;
    return 0;
}

static int read_option(int option, const char *text, struct arguments *arguments)
{
    struct campaign_options *options = &arguments->options;
    uint64_t number = 0;
    int rc = 0;
    switch (option) {
    case 's':
        rc = seeds_parse(text, &arguments->seeds);
        arguments->has_seeds = rc == 0;
        break;
    case 'p':
        rc = seeds_parse_number(text, PEERS_MIN, WORLD_PEERS_MAX, &number);
        options->peers = (unsigned)number;
        break;
    case 'a':
        rc = read_attack(text, &options->tricks);
        arguments->attack = text;
        break;
    case 'd':
        rc = seeds_parse_number(text, 1, 100000, &number);
        options->attack_ms = (int64_t)number * 1000;
        break;
    case 'l':
        rc = seeds_parse_number(text, 0, 50, &number);
        options->loss_permille = (unsigned)number * PERMILLE_PER_PERCENT;
        break;
    case 'v':
        options->is_verbose = true;
        break;
    default:
        return -EINVAL;
    }
    if (rc < 0)
        fprintf(stderr, "sealed: \"%s\" makes no sense there\n", text);
    return rc;
}

/* Ends the process for --help and for what makes no sense. */
static void read_arguments(int count, char **words, struct arguments *arguments)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 's'},
        {"peers", required_argument, NULL, 'p'},
        {"attack", required_argument, NULL, 'a'},
        {"seconds", required_argument, NULL, 'd'},
        {"loss", required_argument, NULL, 'l'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;
    *arguments = (struct arguments){.attack = "all", .options = campaign_defaults()};
    arguments->options.loss_permille = 2 * PERMILLE_PER_PERCENT;
    while ((option = getopt_long(count, words, "h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            exit(0);
        }
        if (read_option(option, optarg, arguments) < 0)
            exit(EXIT_USAGE);
    }
    if (optind < count || !arguments->has_seeds) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
}

static void report(uint64_t seed, const struct campaign_outcome *outcome)
{
    const struct world_counters *counters = &outcome->counters;
    printf("seed %" PRIu64 ": %" PRIu64 " datagrams, %" PRIu64 " more of the attacker's, %" PRIu64
           " payloads, %" PRIu64 " first packets, %" PRIu64 " starts; victims: %" PRIu64
           " bytes for %" PRIu64 ", %" PRIu64 " packets unasked; well %.1f s after it\n",
           seed, counters->datagrams, counters->injected, counters->delivered,
           counters->firsts_sent, counters->starts, counters->victims_bytes,
           counters->victims_asked_bytes, counters->victims_pings,
           (double)outcome->settled_ms / 1000);
}

int main(int count, char **words)
{
    struct arguments arguments;
    uint64_t passed = 0, failed = 0;
    read_arguments(count, words, &arguments);
    if (sodium_init() < 0)
        return EXIT_BROKEN;
    for (uint64_t seed = arguments.seeds.first;; seed++) {
        struct campaign_outcome outcome;
        campaign_run(seed, &arguments.options, &outcome);
        passed += outcome.has_passed;
        failed += !outcome.has_passed;
        if (outcome.has_passed)
            report(seed, &outcome);
        else
            printf("seed %" PRIu64 " broke at %.3f s: %s\n  replay: sealed --seed %" PRIu64
                   " --peers %u --attack %s --seconds %d --verbose\n",
                   seed, (double)outcome.ended_ms / 1000, outcome.failure, seed,
                   arguments.options.peers, arguments.attack,
                   (int)(arguments.options.attack_ms / 1000));
        fflush(stdout);
        if (seed == arguments.seeds.last)
            break;
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed > 0 ? EXIT_BROKEN : 0;
}
