/* Logs, processes and what containers use: answered by the peer that has the container, which may
 * be another one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/describe.h"
#include "node/api/find.h"
#include "node/api/privilege.h"
#include "node/peer/replicas.h"

enum {
    LOGS_SOURCES_MAX = 256, /* replicas whose logs are merged into one call */
};

/* --- Logs --- */

struct logs_source {
    struct logs *logs;
    struct runtime_logs *stream; /* NULL once it has ended */
    char replica[INTENT_SERVICE_NAME_BYTES_MAX + 16];
};

/* The logs of replicas here. A call for a service asks each other peer by a call of its own, made
 * by the client: it knows from `ps` where the replicas are. */
struct logs {
    struct api_call *call;
    struct logs_source *sources;
    size_t source_count, open_count;
    bool is_starting;
};

static void finish_logs_if_done(struct logs *logs)
{
    if (logs->open_count > 0 || logs->is_starting)
        return;
    api_answer(logs->call, NULL);
    free(logs->sources);
    free(logs);
}

static void on_line(void *context, int64_t wall_ns, bool is_error, struct bytes line)
{
    struct logs_source *source = context;
    struct logs *logs = source->logs;
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_map(&writer, 5);
    put_text(&writer, "replica", source->replica);
    put_text(&writer, "peer", logs->call->peer->options.name);
    put_i64(&writer, "wall_ns", wall_ns);
    put_u64(&writer, "stream", is_error ? 2 : 1);
    writer_text(&writer, "text");
    writer_binary(&writer, line.data, line.size);
    if (api_note(logs->call, "line", buffer_view(&payload)) == 1)
        for (size_t i = 0; i < logs->source_count; i++)
            if (logs->sources[i].stream)
                runtime_logs_pause(logs->sources[i].stream, true);
}

static void close_source(struct logs_source *source)
{
    if (!source->stream)
        return;
    runtime_logs_close(source->stream);
    source->stream = NULL;
    source->logs->open_count--;
}

static void on_logs_end(void *context, int status)
{
    struct logs_source *source = context;
    struct logs *logs = source->logs;
    (void)status; /* a log that can't be read any further has ended */
    close_source(source);
    finish_logs_if_done(logs);
}

static void on_logs_drained(struct api_call *call)
{
    struct logs *logs = call->context;
    for (size_t i = 0; i < logs->source_count; i++)
        if (logs->sources[i].stream)
            runtime_logs_pause(logs->sources[i].stream, false);
}

static void on_logs_cancel(struct api_call *call)
{
    struct logs *logs = call->context;
    for (size_t i = 0; i < logs->source_count; i++)
        close_source(&logs->sources[i]);
    finish_logs_if_done(logs);
}

static void open_source(struct logs *logs, const struct intent_replica *replica,
                        const struct logs_options *options)
{
    struct logs_source *source = &logs->sources[logs->source_count];
    struct logs_callbacks callbacks = {source, on_line, on_logs_end};
    char container[RUNTIME_ID_BYTES_MAX + 1];
    if (!replicas_container_id(logs->call->peer->replicas, replica->generation, container))
        return;
    source->logs = logs;
    snprintf(source->replica, sizeof(source->replica), "%s.%u", replica->service, replica->slot);
    if (runtime_logs_open(logs->call->peer->runtime, container, options, &callbacks,
                          &source->stream) < 0)
        return;
    logs->source_count++;
    logs->open_count++;
}

static void method_logs(struct api_call *call, struct bytes params)
{
    const struct peer *peer = call->peer;
    const struct table *replicas = &agent_intent(peer->agent)->replicas;
    uint64_t tail = 0, since = 0;
    struct logs_options options = {.tail = -1, .follow = frame_flag(params, "follow")};
    if (frame_u64(params, "tail", &tail))
        options.tail = (int64_t)tail;
    if (frame_u64(params, "since_wall_ms", &since))
        options.since_wall_ms = (int64_t)since;
    const struct intent_replica *only;
    const struct intent_service *service = wanted_subject(call, params, &only);
    if (!service)
        return;
    if (only && !id_equal(&only->peer, &peer->identity.id)) {
        api_forward(call, &only->peer, params);
        return;
    }
    struct logs *logs = calloc(1, sizeof(*logs));
    struct logs_source *sources = calloc(LOGS_SOURCES_MAX, sizeof(*sources));
    if (!logs || !sources) {
        free(logs);
        free(sources);
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    *logs = (struct logs){.call = call, .sources = sources, .is_starting = true};
    call->context = logs;
    call->on_cancel = on_logs_cancel;
    call->on_drained = on_logs_drained;
    for (size_t i = 0; i < replicas->count && logs->source_count < LOGS_SOURCES_MAX; i++) {
        const struct intent_replica *replica = replicas->items[i];
        if (only ? replica == only : strcmp(replica->service, service->name) == 0)
            open_source(logs, replica, &options);
    }
    logs->is_starting = false;
    finish_logs_if_done(logs);
}

/* --- Stats --- */

enum { STATS_KEYS = 11 };

static void put_pressure(struct writer *writer, const char *key,
                         const struct container_pressure *pressure)
{
    writer_text(writer, key);
    if (pressure->permille < 0)
        writer_nil(writer);
    else
        writer_u64(writer, (uint64_t)pressure->permille);
}

static void put_stats(struct writer *writer, const struct intent_replica *replica,
                      const struct container_stats *stats)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 16];
    snprintf(name, sizeof(name), "%s.%u", replica->service, replica->slot);
    writer_map(writer, STATS_KEYS);
    put_text(writer, "name", name);
    put_u64(writer, "generation", replica->generation);
    put_text(writer, "service", replica->service);
    put_u64(writer, "cpu_usec", stats->cpu_usec);
    put_u64(writer, "cpu_limit_millis", stats->cpu_limit_millicores);
    put_u64(writer, "memory_bytes", stats->memory_bytes);
    put_u64(writer, "memory_limit_bytes", stats->memory_limit_bytes);
    put_u64(writer, "pids", stats->pids);
    put_pressure(writer, "cpu_pressure", &stats->cpu_pressure);
    put_pressure(writer, "memory_pressure", &stats->memory_pressure);
    put_pressure(writer, "io_pressure", &stats->io_pressure);
}

/* Adds a map for each container that runs here; how many there are. */
static uint32_t list_stats(const struct peer *peer, const struct stats_entry *entries, size_t count,
                           struct writer *writer)
{
    const struct intent *intent = agent_intent(peer->agent);
    uint32_t listed = 0;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        const struct container_stats *stats =
            replicas_stats(peer->replicas, replica, entries, count);
        if (!stats)
            continue;
        put_stats(writer, replica, stats);
        listed++;
    }
    return listed;
}

static void on_stats(void *context, const struct stats_entry *entries, size_t count)
{
    struct api_call *call = context;
    const struct peer *peer = call->peer;
    cleanup_buffer struct buffer replicas = {0}, result = {0};
    struct writer writer;
    if (peer->is_stopping || !peer->replicas) {
        api_fail_with(call, -ESHUTDOWN, NULL, "the peer is stopping");
        return;
    }
    writer_init(&writer, &replicas);
    uint32_t listed = list_stats(peer, entries, count, &writer);
    if (writer_check(&writer) < 0) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    writer_init(&writer, &result);
    writer_map(&writer, 2);
    put_u64(&writer, "at_usec", uv_hrtime() / 1000);
    writer_text(&writer, "replicas");
    writer_array(&writer, listed);
    if (writer_check(&writer) < 0 || buffer_append(&result, replicas.bytes, replicas.size) < 0)
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
    else
        api_answer(call, &result);
}

static void method_stats(struct api_call *call, struct bytes params)
{
    const struct peer *peer = call->peer;
    const struct intent_peer *wanted = wanted_peer(call, params);
    const struct stats_callback callback = {call, on_stats};
    if (!wanted)
        return;
    if (!id_equal(&wanted->id, &peer->identity.id)) {
        api_forward(call, &wanted->id, params);
        return;
    }
    if (runtime_stats(peer->runtime, &callback) < 0)
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
}

/* --- Processes --- */

static void put_process(struct writer *writer, const struct process_entry *entry)
{
    const char state[] = {entry->state, '\0'};
    writer_map(writer, 7);
    put_i64(writer, "pid", entry->pid);
    put_i64(writer, "host_pid", entry->host_pid);
    put_u64(writer, "uid", entry->uid);
    put_text(writer, "state", state);
    put_u64(writer, "cpu_usec", entry->cpu_usec);
    put_u64(writer, "memory_bytes", entry->memory_bytes);
    put_text(writer, "command", entry->command);
}

static void on_processes(void *context, const struct process_entry *entries, int count)
{
    struct api_call *call = context;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    if (count < 0) {
        api_fail_with(call, count, "see its state with: consort ps", "its processes: %s",
                      strerror(-count));
        return;
    }
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    writer_text(&writer, "processes");
    writer_array(&writer, (uint32_t)count);
    for (int i = 0; i < count; i++)
        put_process(&writer, &entries[i]);
    if (writer_check(&writer) < 0)
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
    else
        api_answer(call, &result);
}

static void method_processes(struct api_call *call, struct bytes params)
{
    struct processes_callback callback = {call, on_processes};
    char container[RUNTIME_ID_BYTES_MAX + 1];
    if (!find_container_here(call, params, container))
        return;
    int rc = runtime_processes(call->peer->runtime, container, &callback);
    if (rc < 0)
        api_fail_with(call, rc, "see its state with: consort ps", "its processes: %s",
                      strerror(-rc));
}

const struct api_entry api_container_methods[] = {
    {"logs", ROLE_VIEWER, API_IN_CLUSTER, method_logs},
    {"processes", ROLE_VIEWER, API_IN_CLUSTER, method_processes},
    {"stats", ROLE_VIEWER, API_IN_CLUSTER, method_stats},
    {0},
};
