/* The files that a container is given from outside its image: resolv.conf, hosts, hostname, secrets
 * and configs; and the directories of its volumes. All below the run directory, secrets in memory
 * alone. Blocks.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "runtime/network/network_pool.h"
#include "runtime/oci_spec.h"
#include "runtime/secrets.h"

/* Writes them for a container with those ends (none: it has no network of its own); `gateway`
 * serves DNS unless the spec says other. */
int container_files_write(const struct oci_input *input, const struct secrets *secrets,
                          const struct network_ends *ends, uint32_t gateway, struct error *error);

/* Finds a static init on this machine (catatonit, tini); -ENOENT with a hint. `*ret` is static. */
int container_files_find_init(const char **ret, struct error *error);
