/* Sets of Linux capabilities: what a container's root may do of what the machine's root may.
 * A set is a bit for each capability, by the kernel's number.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text_list.h"

/* The eleven that Podman leaves to a container, too: enough for packages' set-up and to become
 * another user; not raw sockets, devices or the network's configuration. */
uint64_t capability_defaults(void);

/* The defaults with changes: names as "CAP_NET_ADMIN" or "net_admin", or "ALL". What is dropped
 * wins over what is added, but "ALL" gives way to names of the other list. -EINVAL for an unknown
 * name. */
int capability_resolve(const struct text_list *add, const struct text_list *drop, uint64_t *ret,
                       struct error *error);

/* -EINVAL for an unknown name. */
int capability_parse(const char *name, int *ret_number);

bool capability_has(uint64_t set, const char *name);

/* A JSON array of the names; NULL: out of memory. The caller owns it. */
json_t *capability_json(uint64_t set);
