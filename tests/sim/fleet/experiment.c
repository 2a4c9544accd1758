#include "tests/sim/fleet/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PERCENT = 100,
    MOST_PERMILLE = 990,
    NEARLY_ALL_PERMILLE = 999,
};

/* The most memory that the process had, in MiB; 0 if the kernel does not say. */
static double peak_memory_mib(void)
{
    unsigned long kib = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtoul(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return (double)kib / 1024;
}

void report_fleet(struct report *report, const struct experiment_options *options)
{
    report_number(report, "peers", options->fleet.peers);
    report_number(report, "seed", (double)options->fleet.seed);
    report_number(report, "loss_percent",
                  (double)options->fleet.loss_permille * PERCENT / FLEET_PERMILLE);
    report_number(report, "plain", options->fleet.config.plain);
    report_number(report, "cpu_seconds", (double)clock() / CLOCKS_PER_SEC);
    report_number(report, "memory_mib", peak_memory_mib());
}

void spread_begin(struct spread *spread, struct fleet *fleet, unsigned except)
{
    *spread = (struct spread){
        .fleet = fleet,
        .knows = sim_allocate(fleet->count),
        .begun_ms = fleet->timeline.now_ms,
        .most_ms = -1,
        .nearly_all_ms = -1,
        .all_ms = -1,
    };
    for (unsigned i = 0; i < fleet->count; i++) {
        spread->knows[i] = i == except || fleet->peers[i].condition == FLEET_DEAD;
        spread->wanted += !spread->knows[i];
    }
}

void spread_done(struct spread *spread)
{
    free(spread->knows);
}

static void note(const struct spread *spread, unsigned permille, int64_t *time_ms)
{
    if (*time_ms < 0 &&
        (uint64_t)spread->knowing * FLEET_PERMILLE >= (uint64_t)spread->wanted * permille)
        *time_ms = spread->fleet->timeline.now_ms - spread->begun_ms;
}

void spread_learnt(struct spread *spread, unsigned number)
{
    if (spread->knows[number])
        return;
    spread->knows[number] = true;
    spread->knowing++;
    note(spread, MOST_PERMILLE, &spread->most_ms);
    note(spread, NEARLY_ALL_PERMILLE, &spread->nearly_all_ms);
    note(spread, FLEET_PERMILLE, &spread->all_ms);
}

bool spread_is_over(void *context)
{
    const struct spread *spread = context;
    return spread->all_ms >= 0;
}

void spread_samples_add(struct spread_samples *samples, const struct spread *spread)
{
    samples_add(&samples->most, (double)spread->most_ms);
    samples_add(&samples->nearly_all, (double)spread->nearly_all_ms);
    samples_add(&samples->all, (double)spread->all_ms);
}

void spread_samples_done(struct spread_samples *samples)
{
    samples_done(&samples->most);
    samples_done(&samples->nearly_all);
    samples_done(&samples->all);
}

void report_spread(struct report *report, struct spread_samples *samples)
{
    report_samples(report, "known_by_99_percent_ms", &samples->most);
    report_samples(report, "known_by_99.9_percent_ms", &samples->nearly_all);
    report_samples(report, "known_by_all_ms", &samples->all);
}
