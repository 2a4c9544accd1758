/* The blocking steps of a container's life, each a straight line from nothing to done.
 *
 * They run on a worker thread, with the container's spec and record held still by its owner, the
 * state machine in container.c. Each starts by clearing away what an earlier try may have left.
 */
#pragma once

#include "base/error.h"
#include "runtime/conmon.h"
#include "runtime/container_spec.h"
#include "runtime/plan.h"
#include "runtime/secrets.h"
#include "runtime/settings.h"
#include "runtime/state.h"

/* Makes directories, network, root file system and configuration, and saves spec and record, all
 * ready for launch_start(). `*ret_plan` (uninitialised; the caller ends it) is what will run. */
int launch_prepare(const struct runtime_settings *settings, const struct container_spec *spec,
                   const struct secrets *secrets, const struct container_record *record,
                   struct container_plan *ret_plan, struct error *error);

/* Creates and starts the container, and saves the record, which then has its process and the time.
 * On failure nothing runs. */
int launch_start(const struct runtime_settings *settings, const struct container_spec *spec,
                 struct container_record *record, struct error *error);

/* After its process has ended: learns how, writes that into the record with the last log lines, and
 * clears away what the OCI runtime keeps. Root file system, network and log stay. */
void launch_collect(const struct runtime_settings *settings, const char *id,
                    struct container_record *record);

/* Removes everything of a container but its volumes. */
int launch_remove(const struct runtime_settings *settings, const char *id,
                  const struct network_ends *ends, struct error *error);

/* Saves spec and record. */
int launch_save_spec(const struct runtime_settings *settings, const struct container_spec *spec,
                     bool synced);
int launch_save_record(const struct runtime_settings *settings, const char *id,
                       const struct container_record *record, bool synced);

/* Completes a spec from its image. */
int launch_plan(const struct runtime_settings *settings, const struct container_spec *spec,
                struct container_plan *ret, struct error *error);
