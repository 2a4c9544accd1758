/* The experiments: each builds a fleet, does something to it, and reports what came of it. One a
 * file. They return whether the goal that was asked for (0: none) was met.
 */
#pragma once

#include "tests/sim/fleet/fleet.h"
#include "tests/sim/fleet/report.h"

struct experiment_options {
    struct fleet_options fleet;
    unsigned repeats; /* deaths, changes, or runs */
    double limit;     /* the most (of lifeguard's factor: the least) that is a success; 0: any */

    /* lifeguard */
    unsigned disturbed;  /* members in an anomaly at a time; 0: all that the paper tries */
    int64_t duration_ms; /* of an anomaly; 0: likewise */
    enum fleet_condition anomaly;
};

bool experiment_death(const struct experiment_options *options, struct report *report);
bool experiment_change(const struct experiment_options *options, struct report *report);
bool experiment_idle(const struct experiment_options *options, struct report *report);
bool experiment_partition(const struct experiment_options *options, struct report *report);
bool experiment_mass(const struct experiment_options *options, struct report *report);
bool experiment_lifeguard(const struct experiment_options *options, struct report *report);

/* experiment.c: what several of them need. */

/* Tells what the fleet is and how much time and memory the process has taken so far. */
void report_fleet(struct report *report, const struct experiment_options *options);

/* Who of the fleet knows something, since when it is true. */
struct spread {
    struct fleet *fleet;
    bool *knows; /* by number */
    unsigned knowing, wanted;
    int64_t begun_ms;
    int64_t most_ms, nearly_all_ms, all_ms; /* 99 %, 99.9 %, all; -1: not yet */
};

/* `except` need not know (the victim, the owner). */
void spread_begin(struct spread *spread, struct fleet *fleet, unsigned except);
void spread_done(struct spread *spread);
void spread_learnt(struct spread *spread, unsigned number);
bool spread_is_over(void *spread);

/* How long each part took, over several of them. */
struct spread_samples {
    struct samples most, nearly_all, all;
};
void spread_samples_add(struct spread_samples *samples, const struct spread *spread);
void spread_samples_done(struct spread_samples *samples);
void report_spread(struct report *report, struct spread_samples *samples);
