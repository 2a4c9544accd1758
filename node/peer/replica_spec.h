/* From what the cluster agreed on (a service's spec) to what the runtime runs (a container's spec).
 */
#pragma once

#include "base/error.h"
#include "node/control/agent.h"
#include "runtime/container_spec.h"

/* `ret` is the caller's to release; untouched on failure: -ENOMEM, -ENOENT when a config or secret
 * is not in the intent, -E2BIG for more mounts than a container can have. */
int replica_spec_make(const struct agent_wanted *wanted, const struct intent *intent,
                      const char *container_id, struct container_spec *ret, struct error *error);
