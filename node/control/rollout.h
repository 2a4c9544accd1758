/* Rolling updates: replicas of the wanted revision take over from older ones, batch by batch.
 *
 * A batch is `parallelism` slots. With start-first a slot's new replica is placed beside the old
 * one, which stops once the new one is trusted to serve; where no peer has room for both, and with
 * stop-first, the old one stops first, but only while enough others serve: never fewer than all
 * slots less `parallelism`. The next batch begins `delay` after the last one is well.
 *
 * A new replica is watched until it has served for `monitor`. If it fails before (it can't be
 * started, exits although it should run, crashes again and again, or its health is bad), and more
 * than `max_failure_ratio` of the slots have, the rollout rolls back, pauses or goes on, as the
 * spec says. A service's first revision has nothing to go back to: it is left as it is, and marked
 * as failed.
 */
#pragma once

#include "node/control/decision.h"

/* Judges the replicas that are watched; sets has_rollout when the rollout takes another course. */
void rollout_watch(struct decision *decision);

/* Begins the next batch, or says that the rollout is done. */
void rollout_advance(struct decision *decision);
