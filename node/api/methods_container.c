/* Logs and exec: answered by the peer that has the container, which may be another one. */
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
    EXEC_ARGUMENTS_MAX = 256,
    EXEC_USER_BYTES = 256, /* "user:group" */
    EXEC_DIRECTORY_BYTES = 4096,
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

/* --- Exec --- */

struct exec {
    struct api_call *call;
    struct runtime_exec *exec;
};

static void on_output(void *context, bool is_error, struct bytes output)
{
    struct exec *exec = context;
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_array(&writer, 2);
    writer_u64(&writer, is_error ? 2 : 1);
    writer_binary(&writer, output.data, output.size);
    if (api_note(exec->call, "output", buffer_view(&payload)) == 1)
        runtime_exec_pause(exec->exec, true);
}

static void on_exit_code(void *context, int exit_code)
{
    struct exec *exec = context;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    put_i64(&writer, "exit_code", exit_code);
    api_answer(exec->call, &result);
    runtime_exec_close(exec->exec);
    free(exec);
}

static void on_exec_note(struct api_call *call, const char *kind, struct bytes payload)
{
    struct exec *exec = call->context;
    struct reader reader;
    struct bytes input;
    uint16_t rows = 0, columns = 0;
    reader_init(&reader, payload.data, payload.size);
    if (strcmp(kind, "input") == 0 && reader_binary(&reader, &input) == 0)
        runtime_exec_write(exec->exec, input);
    else if (strcmp(kind, "end_input") == 0)
        runtime_exec_end_input(exec->exec);
    else if (strcmp(kind, "resize") == 0 && reader_array_exact(&reader, 2) == 0 &&
             reader_u16(&reader, &rows) == 0 && reader_u16(&reader, &columns) == 0)
        runtime_exec_resize(exec->exec, rows, columns);
}

static void on_exec_drained(struct api_call *call)
{
    runtime_exec_pause(((struct exec *)call->context)->exec, false);
}

/* The client is gone: the command is ended with it. */
static void on_exec_cancel(struct api_call *call)
{
    struct exec *exec = call->context;
    runtime_exec_close(exec->exec);
    free(exec);
    api_answer(call, NULL);
}

struct exec_params {
    struct text_list argv, environment;
    char user[EXEC_USER_BYTES], working_dir[EXEC_DIRECTORY_BYTES];
};

static void exec_params_done(struct exec_params *params)
{
    text_list_done(&params->argv);
    text_list_done(&params->environment);
}

/* A text that is too long is no parameter that is missing. */
static int read_text(struct bytes params, const char *key, char *ret, size_t capacity)
{
    struct reader unused;
    return frame_text(params, key, ret, capacity) || !frame_find(params, key, &unused) ? 0
                                                                                       : -EINVAL;
}

static int read_words(struct bytes params, const char *key, struct text_list *ret)
{
    struct reader reader;
    if (!frame_find(params, key, &reader))
        return 0;
    text_list_read(&reader, EXEC_ARGUMENTS_MAX, SPEC_TEXT_BYTES_MAX, ret);
    return reader_check(&reader);
}

static int read_exec(struct bytes params, struct exec_params *ret)
{
    int rc = read_words(params, "argv", &ret->argv);
    if (rc == 0 && ret->argv.count == 0)
        rc = -EINVAL;
    if (rc == 0)
        rc = read_words(params, "environment", &ret->environment);
    if (rc == 0)
        rc = read_text(params, "user", ret->user, sizeof(ret->user));
    if (rc == 0)
        rc = read_text(params, "working_dir", ret->working_dir, sizeof(ret->working_dir));
    if (rc == 0 && ret->working_dir[0] && ret->working_dir[0] != '/')
        rc = -EINVAL;
    return rc;
}

static int run_exec(struct exec *exec, const char *container, struct bytes params,
                    struct error *error)
{
    struct exec_params read = {0};
    uint64_t rows = 0, columns = 0;
    int rc = read_exec(params, &read);
    if (rc == 0) {
        frame_u64(params, "rows", &rows);
        frame_u64(params, "columns", &columns);
        struct exec_options options = {.argv = (const char *const *)read.argv.items,
                                       .environment = (const char *const *)read.environment.items,
                                       .user = read.user[0] ? read.user : NULL,
                                       .working_dir = read.working_dir[0] ? read.working_dir : NULL,
                                       .tty = frame_flag(params, "tty"),
                                       .rows = (uint16_t)rows,
                                       .columns = (uint16_t)columns};
        struct exec_callbacks callbacks = {exec, on_output, on_exit_code};
        rc = runtime_exec(exec->call->peer->runtime, container, &options, &callbacks, &exec->exec,
                          error);
    }
    exec_params_done(&read);
    if (rc < 0 && !error->message[0])
        error_set_errno(error, rc, "exec in %s", container);
    return rc;
}

static void run_here(struct api_call *call, const char *container, struct bytes params)
{
    struct error error = {0};
    struct exec *exec = calloc(1, sizeof(*exec));
    if (!exec) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    exec->call = call;
    if (run_exec(exec, container, params, &error) < 0) {
        free(exec);
        api_fail_with(call, error.code, "see its state with: consort ps", "%s", error.message);
        return;
    }
    call->context = exec;
    call->on_note = on_exec_note;
    call->on_drained = on_exec_drained;
    call->on_cancel = on_exec_cancel;
}

/* True once the call was failed. */
static bool enters_privileged(struct api_call *call, const struct intent_replica *replica)
{
    const struct intent_service *service =
        intent_service_find(agent_intent(call->peer->agent), replica->service);
    const struct intent_revision *revision =
        service ? intent_revision_find(service, replica->revision) : NULL;
    return revision && api_refuse_privileged(call, &revision->spec, 1);
}

static void method_exec(struct api_call *call, struct bytes params)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 32] = "";
    struct error error = {0};
    char container[RUNTIME_ID_BYTES_MAX + 1];
    frame_text(params, "replica", name, sizeof(name));
    const struct intent_replica *replica = find_replica(call->peer, name, &error);
    if (!replica)
        fail_find(call, &error);
    else if (enters_privileged(call, replica))
        return;
    else if (!id_equal(&replica->peer, &call->peer->identity.id))
        api_forward(call, &replica->peer, params);
    else if (!replicas_container_id(call->peer->replicas, replica->generation, container))
        api_fail_with(call, -ESRCH, "see its state with: consort ps", "%s does not run yet", name);
    else
        run_here(call, container, params);
}

/* --- Stats --- */

enum { STATS_KEYS = 11 };

static void put_pressure(struct writer *writer, const char *key, int32_t permille)
{
    writer_text(writer, key);
    if (permille < 0)
        writer_nil(writer);
    else
        writer_u64(writer, (uint64_t)permille);
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
    put_pressure(writer, "cpu_pressure", stats->cpu_pressure);
    put_pressure(writer, "memory_pressure", stats->memory_pressure);
    put_pressure(writer, "io_pressure", stats->io_pressure);
}

/* Adds a map for each container that runs here; how many there are. */
static uint32_t list_stats(const struct peer *peer, struct writer *writer)
{
    const struct intent *intent = agent_intent(peer->agent);
    uint32_t count = 0;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        char container[RUNTIME_ID_BYTES_MAX + 1];
        struct container_stats stats;
        if (!id_equal(&replica->peer, &peer->identity.id) ||
            !replicas_container_id(peer->replicas, replica->generation, container) ||
            runtime_stats(peer->runtime, container, &stats) < 0)
            continue;
        put_stats(writer, replica, &stats);
        count++;
    }
    return count;
}

static void method_stats(struct api_call *call, struct bytes params)
{
    const struct peer *peer = call->peer;
    const struct intent_peer *wanted = wanted_peer(call, params);
    cleanup_buffer struct buffer replicas = {0}, result = {0};
    struct writer writer;
    if (!wanted)
        return;
    if (!id_equal(&wanted->id, &peer->identity.id)) {
        api_forward(call, &wanted->id, params);
        return;
    }
    writer_init(&writer, &replicas);
    uint32_t count = list_stats(peer, &writer);
    if (writer_check(&writer) < 0) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    writer_init(&writer, &result);
    writer_map(&writer, 2);
    put_u64(&writer, "at_usec", uv_hrtime() / 1000);
    writer_text(&writer, "replicas");
    writer_array(&writer, count);
    if (writer_check(&writer) < 0 || buffer_append(&result, replicas.bytes, replicas.size) < 0)
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
    else
        api_answer(call, &result);
}

const struct api_entry api_container_methods[] = {
    {"logs", ROLE_VIEWER, API_IN_CLUSTER, method_logs},
    {"exec", ROLE_DEPLOYER, API_IN_CLUSTER, method_exec},
    {"stats", ROLE_VIEWER, API_IN_CLUSTER, method_stats},
    {0},
};
