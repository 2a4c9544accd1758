/* What tests on a whole cluster begin and end with, in cmocka's words. */
#pragma once

#include "tests/sim/cluster.h"

/* For cmocka_run_group_tests_name(). */
int scene_set_up(void **state);

/* A cluster that is to be set before it forms; scene_form() then fails the test unless it does. */
struct cluster *scene_new(unsigned count, uint64_t seed);
void scene_form(struct cluster *c);

/* Both. */
struct cluster *scene_start(unsigned count, uint64_t seed);

/* Fails the test if it is not settled within that time, and says why. */
void scene_settle(struct cluster *c, int64_t bound_ms);

/* Fails the test if an invariant broke; frees the cluster. */
void scene_end(struct cluster *c);
