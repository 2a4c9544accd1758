#include "tests/sim/fleet/report.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/timeline.h"

enum {
    PERMILLE = 1000,
    MEDIAN_PERMILLE = 500,
    P99_PERMILLE = 990,
    NAME_BYTES = 96,
};

void report_begin(struct report *report, const char *experiment)
{
    report->separator = ", ";
    report->indent = "  ";
    if (report->is_json)
        printf("{\"experiment\": \"%s\"", experiment);
    else
        printf("%s\n", experiment);
}

void report_heading(struct report *report, const char *name)
{
    if (report->is_json)
        printf("%s%s%s", name ? ", \"" : "}", name ? name : "", name ? "\": {" : "");
    else if (name)
        printf("  %s\n", name);
    report->separator = name ? "" : ", ";
    report->indent = name ? "    " : "  ";
}

void report_number(struct report *report, const char *name, double value)
{
    if (report->is_json)
        printf("%s\"%s\": %.10g", report->separator, name, value);
    else
        printf("%s%-32s %.10g\n", report->indent, name, value);
    report->separator = ", ";
}

void report_end(struct report *report)
{
    if (report->is_json)
        puts("}");
    fflush(stdout);
}

void samples_add(struct samples *samples, double value)
{
    samples->values =
        sim_grow(samples->values, samples->count, &samples->capacity, sizeof(*samples->values));
    samples->values[samples->count++] = value;
}

void samples_done(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return one < other ? -1 : one > other;
}

double samples_quantile(struct samples *samples, unsigned permille)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->values, samples->count, sizeof(*samples->values), compare);
    size_t enough = (samples->count * permille + PERMILLE - 1) / PERMILLE;
    return samples->values[enough > 0 ? enough - 1 : 0];
}

void report_samples(struct report *report, const char *name, struct samples *samples)
{
    static const struct {
        const char *suffix;
        unsigned permille;
    } told[] = {{"median", MEDIAN_PERMILLE}, {"p99", P99_PERMILLE}, {"max", PERMILLE}};
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        char full_name[NAME_BYTES];
        snprintf(full_name, sizeof(full_name), "%s_%s", name, told[i].suffix);
        report_number(report, full_name, samples_quantile(samples, told[i].permille));
    }
}
