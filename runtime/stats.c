#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cgroup.h"
#include "runtime/container.h"

struct stats_job {
    struct job job;
    struct stats_callback callback;
    size_t count;
    struct stats_entry entries[];
};

static void read_all(struct job *job)
{
    struct stats_job *stats = (struct stats_job *)job;
    size_t found = 0;
    for (size_t i = 0; i < stats->count; i++) {
        struct stats_entry entry = stats->entries[i];
        if (cgroup_read_stats(job->runtime->settings.instance, entry.id, &entry.stats) == 0)
            stats->entries[found++] = entry; /* the others have ended meanwhile */
    }
    stats->count = found;
}

static void all_read(struct job *job)
{
    struct stats_job *stats = (struct stats_job *)job;
    stats->callback.on_stats(stats->callback.context, stats->entries, stats->count);
    free(stats);
}

int runtime_stats(struct runtime *runtime, const struct stats_callback *callback)
{
    size_t count = runtime->containers.count;
    struct stats_job *stats = calloc(1, sizeof(*stats) + count * sizeof(stats->entries[0]));
    if (!stats)
        return -ENOMEM;
    stats->job.run = read_all;
    stats->job.done = all_read;
    stats->callback = *callback;
    for (size_t i = 0; i < count; i++) {
        const struct container *container = runtime->containers.items[i];
        if (container->record.process.pid != 0)
            snprintf(stats->entries[stats->count++].id, RUNTIME_ID_BYTES_MAX + 1, "%s",
                     container->spec.id);
    }
    runtime_submit(runtime, &stats->job);
    return 0;
}

static int compare_id(const void *id, const void *entry)
{
    return strcmp(id, ((const struct stats_entry *)entry)->id);
}

const struct container_stats *stats_find(const struct stats_entry *entries, size_t count,
                                         const char *id)
{
    const struct stats_entry *entry =
        count > 0 ? bsearch(id, entries, count, sizeof(*entries), compare_id) : NULL;
    return entry ? &entry->stats : NULL;
}
