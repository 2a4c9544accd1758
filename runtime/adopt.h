/* What a daemon finds when it starts: containers that an earlier one left, and the debris of
 * crashes.
 *
 * adopt_scan() reads every container's directory and sweeps what belongs to none: control groups
 * with what runs in them, network namespaces, veths, mounts, the OCI runtime's states, bundles. It
 * blocks, and runs on a worker before the runtime takes commands.
 */
#pragma once

#include "base/error.h"
#include "base/table.h"
#include "runtime/launch.h"

struct adopted {
    struct container_spec spec;
    struct container_record record;
    struct container_plan plan; /* empty if the image cannot be read or nothing runs */
};

struct adoption {
    struct table found; /* of struct adopted, by id; owned */
};

/* A directory that cannot be understood is no container, and is removed with a warning. */
int adopt_scan(const struct runtime_settings *settings, struct adoption *ret, struct error *error);
void adoption_done(struct adoption *adoption);
