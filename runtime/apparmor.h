/* AppArmor, on machines that have it: which profile a container is confined by.
 *
 * As with Podman, one that the service names (security_opt: apparmor=PROFILE) must be there, else
 * the container does not start; a service that names none gets a profile of our own, which the
 * daemon loads when it starts, if apparmor_parser is installed. A privileged one gets none.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "runtime/container_spec.h"

struct apparmor {
    bool is_on;                  /* the kernel enforces profiles */
    const char *loaded;          /* the file that lists those that are loaded */
    const char *default_profile; /* of our own; NULL: it could not be loaded */
};

/* Our own profile's name; it changes whenever the profile does. */
extern const char apparmor_profile_name[];
extern const char apparmor_profile_text[];

/* Looks whether this machine has AppArmor, and loads our own profile unless it is there. Says in
 * the log if that can't be. `directory` is where the profile may be written meanwhile. Blocks. */
void apparmor_setup(struct apparmor *apparmor, const char *directory);

/* The profile for a container; NULL: none. Borrowed from either. -ENOTSUP without AppArmor, or
 * -ENOENT for a profile that is not loaded, with words. */
int apparmor_choose(const struct apparmor *apparmor, const struct container_sandbox *sandbox,
                    const char **ret, struct error *error);
