/* What an experiment has found: named numbers, for people or as one line of JSON, and samples of
 * which the middle and the ends are told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct report {
    bool is_json;
    const char *separator; /* before the next number, in JSON */
    const char *indent;    /* likewise, for people */
};

/* Begins with what was asked for. */
void report_begin(struct report *report, const char *experiment);
void report_number(struct report *report, const char *name, double value);

/* The numbers that follow stand together under that name (borrowed); NULL ends it. */
void report_heading(struct report *report, const char *name);
void report_end(struct report *report);

struct samples {
    double *values;
    size_t count, capacity;
};

void samples_add(struct samples *samples, double value);
void samples_done(struct samples *samples);

/* The least value that `permille` of all don't exceed; 0 if there are none. Sorts them. */
double samples_quantile(struct samples *samples, unsigned permille);

/* Median, 99th percentile and maximum, as NAME_median and so on. */
void report_samples(struct report *report, const char *name, struct samples *samples);
