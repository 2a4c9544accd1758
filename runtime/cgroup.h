/* Containers' control groups: what they use, and limits changed while they run.
 *
 * A container's group is /PARENT/ID, with PARENT of this peer alone, in the one hierarchy of cgroup
 * v2 or in each hierarchy of v1 (also hybrid ones). The OCI runtime makes it; here it is read,
 * changed, and swept. Reading is quick. Setting limits may take the kernel a while (it reclaims
 * memory), so that belongs on a worker thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct container_pressure;
struct container_stats;

/* True where /sys/fs/cgroup is one unified hierarchy (v2). */
bool cgroup_is_unified(void);

/* Whether the kernel can limit swap, so that the OCI runtime may be asked to. */
bool cgroup_has_swap_limit(void);

/* The first line of a file as cpu.pressure, "some avg10=1.25 … total=12"; -EINVAL for any other. */
int cgroup_parse_pressure(const char *text, struct container_pressure *ret);

/* -ENOENT if there is no such group. Values that the kernel does not tell stay 0. */
int cgroup_read_stats(const char *parent, const char *id, struct container_stats *ret);

/* The same of a tree that is mounted elsewhere: one of v2 or hierarchies of v1. */
int cgroup_read_stats_at(const char *root, bool is_unified, const char *parent, const char *id,
                         struct container_stats *ret);

/* The processes in the group itself, at most `max`: how many, or -ENOENT. */
int cgroup_read_pids(const char *parent, const char *id, pid_t *ret, int max);

struct cgroup_limits {
    uint32_t cpu_millicores; /* 0: none */
    uint64_t memory_bytes;
};

/* Sets both limits and reads them back. -ENOENT; -EBUSY if more memory is in use than
 * `memory_bytes`; -EIO if the kernel kept something else. What was set before a failure stays set.
 */
int cgroup_set_limits(const char *parent, const char *id, const struct cgroup_limits *limits,
                      struct error *error);

/* Kills what is left in the group and removes it everywhere; 0 if there is none. Blocks up to a
 * second for the kernel. With `id` NULL: the parent, if no group is left in it. */
int cgroup_remove(const char *parent, const char *id);

/* Calls `each` for every group below the parent, possibly more than once for the same. */
void cgroup_list(const char *parent, void (*each)(void *context, const char *id), void *context);

enum {
    CGROUP_CPU_PERIOD_USEC = 100 * 1000,
    CGROUP_CPU_MILLICORES_MIN = 10, /* the kernel wants a quota of at least a millisecond */
};

/* The quota in a period of CGROUP_CPU_PERIOD_USEC for that limit. */
uint64_t cgroup_cpu_quota_usec(uint32_t cpu_millicores);
