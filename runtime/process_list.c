#include "runtime/process_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/file.h"
#include "runtime/process.h"

enum {
    STATUS_BYTES = 8192,
};

static uint64_t usec_of_ticks(uint64_t ticks)
{
    return ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static int parse_stat(const char *stat, struct process_entry *entry)
{
    uint64_t fields[PROCESS_STAT_RSS + 1];
    int result = process_parse_stat(stat, &entry->state, fields, PROCESS_STAT_RSS + 1);
    if (result < 0)
        return result;
    entry->cpu_usec = usec_of_ticks(fields[PROCESS_STAT_UTIME] + fields[PROCESS_STAT_STIME]);
    entry->memory_bytes = fields[PROCESS_STAT_RSS] * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

/* The text behind "\nKEY:\t". */
static const char *find_line(const char *status, const char *key)
{
    size_t length = strlen(key);
    for (const char *line = status; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0)
            return line + length;
    }
    return NULL;
}

int process_entry_parse(const char *stat, const char *status, struct process_entry *ret)
{
    struct process_entry entry = {0};
    const char *name = find_line(status, "Name:\t");
    const char *uids = find_line(status, "Uid:\t");
    const char *pids = find_line(status, "NSpid:\t");
    if (!name || !uids || !pids || parse_stat(stat, &entry) < 0)
        return -EINVAL;
    const char *effective = strchr(uids, '\t');
    entry.uid = (uint32_t)strtoul(effective ? effective : uids, NULL, 10);
    /* One number for each namespace, from the machine's to the process's own. */
    entry.host_pid = (int32_t)strtol(pids, NULL, 10);
    const char *own = pids, *end = pids + strcspn(pids, "\n");
    for (const char *next = pids; next && next < end; next = strchr(next + 1, '\t'))
        own = next;
    entry.pid = (int32_t)strtol(own, NULL, 10);
    snprintf(entry.command, sizeof(entry.command), "[%.*s]", (int)strcspn(name, "\n"), name);
    *ret = entry;
    return 0;
}

void process_entry_command(const char *words, size_t size, struct process_entry *entry)
{
    size_t length = 0;
    while (size > 0 && words[size - 1] == '\0')
        size--;
    if (size == 0)
        return; /* a zombie or a thread of the kernel has its name only */
    for (; length < size && length + 1 < sizeof(entry->command); length++) {
        unsigned char byte = (unsigned char)words[length];
        entry->command[length] = byte == '\0' ? ' ' : byte < ' ' || byte >= 0x7f ? '?' : (char)byte;
    }
    entry->command[length] = '\0';
}

/* False for one that has ended meanwhile. */
static bool read_entry(pid_t pid, struct process_entry *ret)
{
    char path[64], stat[PROCESS_STAT_BYTES], status[STATUS_BYTES];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (file_read_text(path, stat, sizeof(stat)) < 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (file_read_text(path, status, sizeof(status)) < 0 ||
        process_entry_parse(stat, status, ret) < 0)
        return false;
    char command[PROCESS_COMMAND_BYTES] = "";
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "re");
    if (file) {
        process_entry_command(command, fread(command, 1, sizeof(command), file), ret);
        fclose(file);
    }
    return true;
}

struct listing_job {
    struct job job;
    struct processes_callback callback;
    char id[RUNTIME_ID_BYTES_MAX + 1];
    int result; /* how many, or why not */
    pid_t pids[RUNTIME_PROCESSES_MAX];
    struct process_entry entries[RUNTIME_PROCESSES_MAX];
};

static void list_processes(struct job *job)
{
    struct listing_job *listing = (struct listing_job *)job;
    int found = cgroup_read_pids(job->runtime->settings.instance, listing->id, listing->pids,
                                 RUNTIME_PROCESSES_MAX);
    listing->result = found < 0 ? found : 0;
    for (int i = 0; i < found; i++)
        if (read_entry(listing->pids[i], &listing->entries[listing->result]))
            listing->result++;
}

static void listed(struct job *job)
{
    struct listing_job *listing = (struct listing_job *)job;
    listing->callback.on_processes(listing->callback.context, listing->entries, listing->result);
    free(listing);
}

int runtime_processes(struct runtime *runtime, const char *id,
                      const struct processes_callback *callback)
{
    const struct container *container = container_find(runtime, id);
    if (!container)
        return -ENOENT;
    if (container->record.process.pid == 0)
        return -ESRCH;
    struct listing_job *listing = calloc(1, sizeof(*listing));
    if (!listing)
        return -ENOMEM;
    listing->job.run = list_processes;
    listing->job.done = listed;
    listing->callback = *callback;
    snprintf(listing->id, sizeof(listing->id), "%s", id);
    runtime_submit(runtime, &listing->job);
    return 0;
}
