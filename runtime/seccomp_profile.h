/* Which system calls a container may make: an allowlist for the OCI runtime's seccomp filter.
 *
 * Most calls that programs make are allowed as they are. Those that only help with a capability,
 * and have a history of kernel bugs without one (mount, unshare, bpf, …), are allowed with it and
 * refused with EPERM otherwise. All that the list does not know fails with ENOSYS, so that a C
 * library newer than this list falls back to what it used before.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* The `linux.seccomp` object for a container with these capabilities; NULL: out of memory. The
 * caller owns it. */
json_t *seccomp_profile(uint64_t capabilities);
