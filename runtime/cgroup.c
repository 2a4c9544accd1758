#include "runtime/cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "runtime/file.h"
#include "runtime/runtime.h"

enum {
    REMOVE_ATTEMPTS = 100, /* the kernel takes a moment to bury the dead */
    REMOVE_PAUSE_USEC = 10 * 1000,
    KILLED_AT_ONCE = 4096,
};

static const char cgroup_root[] = "/sys/fs/cgroup";

bool cgroup_is_unified(void)
{
    struct statfs status;
    return statfs(cgroup_root, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

bool cgroup_has_swap_limit(void)
{
    if (cgroup_is_unified())
        return access("/proc/swaps", F_OK) == 0; /* the root group has no file to look for */
    return access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0;
}

uint64_t cgroup_cpu_quota_usec(uint32_t cpu_millicores)
{
    if (cpu_millicores < CGROUP_CPU_MILLICORES_MIN)
        cpu_millicores = CGROUP_CPU_MILLICORES_MIN;
    return (uint64_t)cpu_millicores * CGROUP_CPU_PERIOD_USEC / 1000;
}

/* Where the files of one controller are: all in one place on v2. */
struct group {
    const char *root;
    const char *parent;
    const char *id;
    bool unified;
};

static struct group group_here(const char *parent, const char *id)
{
    return (struct group){
        .root = cgroup_root, .parent = parent, .id = id, .unified = cgroup_is_unified()};
}

static void group_path(const struct group *group, const char *controller, const char *file,
                       char ret[PATH_BYTES])
{
    if (group->unified)
        path_format(ret, PATH_BYTES, "%s/%s/%s/%s", group->root, group->parent, group->id, file);
    else
        path_format(ret, PATH_BYTES, "%s/%s/%s/%s/%s", group->root, controller, group->parent,
                    group->id, file);
}

static int read_number(const struct group *group, const char *controller, const char *file,
                       uint64_t *ret)
{
    char path[PATH_BYTES];
    group_path(group, controller, file, path);
    return file_read_u64(path, ret);
}

/* Finds "KEY NUMBER" in a file of such lines. */
static int read_keyed(const struct group *group, const char *controller, const char *file,
                      const char *key, uint64_t *ret)
{
    char path[PATH_BYTES], text[4096];
    group_path(group, controller, file, path);
    int result = file_read_text(path, text, sizeof(text));
    if (result < 0)
        return result;
    size_t length = strlen(key);
    for (char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            *ret = strtoull(line + length + 1, NULL, 10);
            return 0;
        }
    }
    return -ENOENT;
}

/* v1 says "no limit" with the largest number of whole pages; v2 with "max", which is no number. */
static uint64_t memory_limit(const struct group *group)
{
    uint64_t limit = 0;
    if (group->unified)
        return read_number(group, NULL, "memory.max", &limit) < 0 ? 0 : limit;
    if (read_number(group, "memory", "memory.limit_in_bytes", &limit) < 0)
        return 0;
    return limit >= (uint64_t)INT64_MAX - 65535 ? 0 : limit;
}

static uint32_t cpu_limit(const struct group *group)
{
    char path[PATH_BYTES], text[64];
    group_path(group, "cpu", group->unified ? "cpu.max" : "cpu.cfs_quota_us", path);
    if (file_read_text(path, text, sizeof(text)) < 0)
        return 0;
    char *end;
    long long quota = strtoll(text, &end, 10);
    if (end == text || quota <= 0) /* "max", or -1 */
        return 0;
    uint64_t period = CGROUP_CPU_PERIOD_USEC;
    if (group->unified)
        period = strtoull(end, NULL, 10);
    else
        read_number(group, "cpu", "cpu.cfs_period_us", &period);
    return period == 0 ? 0 : (uint32_t)((uint64_t)quota * 1000 / period);
}

/* The kernel counts page cache as used though it would give it back. */
static uint64_t memory_used(const struct group *group)
{
    uint64_t used = 0, inactive = 0;
    if (group->unified) {
        read_number(group, NULL, "memory.current", &used);
        read_keyed(group, NULL, "memory.stat", "inactive_file", &inactive);
    } else {
        read_number(group, "memory", "memory.usage_in_bytes", &used);
        read_keyed(group, "memory", "memory.stat", "total_inactive_file", &inactive);
    }
    return used > inactive ? used - inactive : 0;
}

static int group_check(const struct group *group)
{
    char path[PATH_BYTES];
    group_path(group, "memory", "", path);
    return access(path, F_OK) < 0 ? -errno : 0;
}

int cgroup_parse_pressure(const char *text, struct container_pressure *ret)
{
    static const char words[] = "some avg10=", total_word[] = " total=";
    char *end;
    if (strncmp(text, words, sizeof(words) - 1) != 0 ||
        !isdigit((unsigned char)text[sizeof(words) - 1]))
        return -EINVAL;
    unsigned long whole = strtoul(text + sizeof(words) - 1, &end, 10);
    if (whole > 100 || *end != '.' || !isdigit((unsigned char)end[1]))
        return -EINVAL;
    int32_t permille = (int32_t)(whole * 10) + (end[1] - '0');
    const char *total = strstr(end, total_word), *line_end = strchr(end, '\n');
    if (!total || (line_end && line_end < total) ||
        !isdigit((unsigned char)total[sizeof(total_word) - 1]))
        return -EINVAL;
    *ret = (struct container_pressure){
        .permille = permille,
        .waited_usec = strtoull(total + sizeof(total_word) - 1, NULL, 10),
    };
    return 0;
}

/* On a hybrid machine, the OCI runtime makes the group also in the unified hierarchy, which has no
 * controllers there, but this. */
static struct container_pressure read_pressure(const struct group *group, const char *file)
{
    char path[PATH_BYTES], text[256];
    struct container_pressure pressure = {.permille = -1};
    group_path(group, "unified", file, path);
    if (file_read_text(path, text, sizeof(text)) == 0)
        cgroup_parse_pressure(text, &pressure);
    return pressure;
}

int cgroup_read_stats_at(const char *root, bool is_unified, const char *parent, const char *id,
                         struct container_stats *ret)
{
    struct group group = {.root = root, .parent = parent, .id = id, .unified = is_unified};
    int result = group_check(&group);
    if (result < 0)
        return result;
    struct container_stats stats = {
        .memory_bytes = memory_used(&group),
        .memory_limit_bytes = memory_limit(&group),
        .cpu_limit_millicores = cpu_limit(&group),
        .cpu_pressure = read_pressure(&group, "cpu.pressure"),
        .memory_pressure = read_pressure(&group, "memory.pressure"),
        .io_pressure = read_pressure(&group, "io.pressure"),
    };
    uint64_t pids = 0, nanoseconds = 0;
    read_number(&group, "pids", "pids.current", &pids);
    stats.pids = (uint32_t)pids;
    if (group.unified) {
        read_keyed(&group, NULL, "cpu.stat", "usage_usec", &stats.cpu_usec);
    } else {
        read_number(&group, "cpuacct", "cpuacct.usage", &nanoseconds);
        stats.cpu_usec = nanoseconds / 1000;
    }
    *ret = stats;
    return 0;
}

int cgroup_read_stats(const char *parent, const char *id, struct container_stats *ret)
{
    return cgroup_read_stats_at(cgroup_root, cgroup_is_unified(), parent, id, ret);
}

static int write_value(const struct group *group, const char *controller, const char *file,
                       const char *value)
{
    char path[PATH_BYTES];
    group_path(group, controller, file, path);
    return file_write_setting(path, value);
}

static int set_cpu(const struct group *group, uint32_t cpu_millicores)
{
    char value[64];
    if (group->unified && cpu_millicores == 0) {
        snprintf(value, sizeof(value), "max %d", CGROUP_CPU_PERIOD_USEC);
    } else if (group->unified) {
        snprintf(value, sizeof(value), "%" PRIu64 " %d", cgroup_cpu_quota_usec(cpu_millicores),
                 CGROUP_CPU_PERIOD_USEC);
    } else if (cpu_millicores == 0) {
        snprintf(value, sizeof(value), "-1");
    } else {
        snprintf(value, sizeof(value), "%" PRIu64, cgroup_cpu_quota_usec(cpu_millicores));
    }
    return write_value(group, "cpu", group->unified ? "cpu.max" : "cpu.cfs_quota_us", value);
}

static int set_memory_unified(const struct group *group, const char *value, uint64_t bytes)
{
    /* v2 would not refuse, but kill until the group fits. */
    if (bytes != 0 && memory_used(group) > bytes)
        return -EBUSY;
    return write_value(group, NULL, "memory.max", value);
}

/* v1 wants memory <= memory and swap at every moment, so growing and shrinking go opposite ways. */
static int set_memory_v1(const struct group *group, const char *value, uint64_t bytes)
{
    static const char *const growing[] = {"memory.memsw.limit_in_bytes", "memory.limit_in_bytes"};
    uint64_t now = memory_limit(group);
    bool grows = bytes == 0 || (now != 0 && bytes > now);
    bool swap = cgroup_has_swap_limit();
    for (int i = 0; i < 2; i++) {
        const char *file = growing[grows ? i : 1 - i];
        if (file == growing[0] && !swap)
            continue;
        int result = write_value(group, "memory", file, value);
        if (result < 0)
            return result;
    }
    return 0;
}

static int set_memory(const struct group *group, uint64_t bytes)
{
    char value[32];
    if (bytes == 0)
        snprintf(value, sizeof(value), "%s", group->unified ? "max" : "-1");
    else
        snprintf(value, sizeof(value), "%" PRIu64, bytes);
    if (group->unified)
        return set_memory_unified(group, value, bytes);
    return set_memory_v1(group, value, bytes);
}

int cgroup_set_limits(const char *parent, const char *id, const struct cgroup_limits *limits,
                      struct error *error)
{
    struct group group = group_here(parent, id);
    int result = group_check(&group);
    if (result < 0)
        return error_set_errno(error, result, "container %s: its control group", id);
    result = set_memory(&group, limits->memory_bytes);
    if (result < 0)
        return error_set_errno(error, result,
                               "container %s: cannot set its memory limit to %" PRIu64
                               " bytes while it uses %" PRIu64,
                               id, limits->memory_bytes, memory_used(&group));
    result = set_cpu(&group, limits->cpu_millicores);
    if (result < 0)
        return error_set_errno(error, result, "container %s: cannot set its CPU limit", id);

    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE); /* the kernel rounds memory down to pages */
    uint64_t memory = memory_limit(&group);
    uint32_t cpu = cpu_limit(&group);
    uint32_t cpu_wanted = limits->cpu_millicores;
    if (cpu_wanted != 0 && cpu_wanted < CGROUP_CPU_MILLICORES_MIN)
        cpu_wanted = CGROUP_CPU_MILLICORES_MIN;
    if (memory / page != limits->memory_bytes / page || cpu != cpu_wanted)
        return error_set(error, -EIO,
                         "container %s: the kernel kept other limits: %" PRIu64
                         " bytes, %u millicores",
                         id, memory, cpu);
    return 0;
}

/* Calls `each` with every hierarchy's root: the only one of v2, or each controller's of v1. */
static int each_hierarchy(int (*each)(void *context, const char *root), void *context)
{
    if (cgroup_is_unified())
        return each(context, cgroup_root);
    DIR *directory = opendir(cgroup_root);
    if (!directory)
        return -errno;
    int result = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[PATH_BYTES];
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        path_format(path, sizeof(path), "%s/%s", cgroup_root, entry->d_name);
        /* "cpu" and "cpuacct" are often links to one hierarchy */
        if (lstat(path, &status) < 0 || !S_ISDIR(status.st_mode))
            continue;
        int one = each(context, path);
        result = one < 0 ? one : result;
    }
    closedir(directory);
    return result;
}

/* Reads a cgroup.procs: how many, at most `max`. */
static int read_pids(const char *path, pid_t *ret, int max)
{
    FILE *members = fopen(path, "re");
    if (!members)
        return -errno;
    char line[32];
    int count = 0;
    while (count < max && fgets(line, sizeof(line), members)) {
        long pid = strtol(line, NULL, 10);
        if (pid > 0)
            ret[count++] = (pid_t)pid;
    }
    fclose(members);
    return count;
}

int cgroup_read_pids(const char *parent, const char *id, pid_t *ret, int max)
{
    struct group group = group_here(parent, id);
    char path[PATH_BYTES];
    group_path(&group, "pids", "cgroup.procs", path);
    return read_pids(path, ret, max);
}

static void kill_members(const char *path)
{
    char file[PATH_BYTES];
    pid_t pids[KILLED_AT_ONCE];
    path_format(file, sizeof(file), "%s/cgroup.procs", path);
    int count = read_pids(file, pids, KILLED_AT_ONCE); /* the next attempt finds the others */
    for (int i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
}

static int remove_group(void *context, const char *root)
{
    const struct group *group = context;
    char path[PATH_BYTES];
    if (!group->id) {
        path_format(path, sizeof(path), "%s/%s", root, group->parent);
        return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
    }
    path_format(path, sizeof(path), "%s/%s/%s", root, group->parent, group->id);
    for (int i = 0; i < REMOVE_ATTEMPTS; i++) {
        if (rmdir(path) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY)
            return -errno;
        kill_members(path);
        usleep(REMOVE_PAUSE_USEC);
    }
    return -EBUSY;
}

int cgroup_remove(const char *parent, const char *id)
{
    struct group group = {.parent = parent, .id = id};
    return each_hierarchy(remove_group, &group);
}

struct listing {
    const char *parent;
    void (*each)(void *context, const char *id);
    void *context;
};

static int list_groups(void *context, const char *root)
{
    const struct listing *listing = context;
    char path[PATH_BYTES];
    path_format(path, sizeof(path), "%s/%s", root, listing->parent);
    DIR *directory = opendir(path);
    if (!directory)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            listing->each(listing->context, entry->d_name);
    closedir(directory);
    return 0;
}

void cgroup_list(const char *parent, void (*each)(void *context, const char *id), void *context)
{
    struct listing listing = {.parent = parent, .each = each, .context = context};
    each_hierarchy(list_groups, &listing);
}
