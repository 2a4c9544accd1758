/* Exec, attach and copying: answered by the peer that has the container, which may be another one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/describe.h"
#include "node/api/find.h"
#include "node/api/privilege.h"
#include "node/peer/replicas.h"

enum {
    EXEC_ARGUMENTS_MAX = 256,
    EXEC_USER_BYTES = 256, /* "user:group" */
    EXEC_DIRECTORY_BYTES = 4096,
};

/* 1 when the client takes no more at the moment. */
static int pass_output(struct api_call *call, bool is_error, struct bytes output)
{
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_array(&writer, 2);
    writer_u64(&writer, is_error ? 2 : 1);
    writer_binary(&writer, output.data, output.size);
    return api_note(call, "output", buffer_view(&payload));
}

static bool read_size(struct bytes payload, uint16_t *ret_rows, uint16_t *ret_columns)
{
    struct reader reader;
    reader_init(&reader, payload.data, payload.size);
    reader_array_exact(&reader, 2);
    reader_u16(&reader, ret_rows);
    return reader_u16(&reader, ret_columns) == 0;
}

/* Tells the client how much of its input was taken: it holds back what is too far ahead. */
static void say_taken(struct api_call *call, uint64_t bytes)
{
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_u64(&writer, bytes);
    api_note(call, "taken", buffer_view(&payload));
}

/* --- Exec --- */

struct exec {
    struct api_call *call;
    struct runtime_exec *exec;
};

static void on_output(void *context, bool is_error, struct bytes output)
{
    struct exec *exec = context;
    if (pass_output(exec->call, is_error, output) == 1)
        runtime_exec_pause(exec->exec, true);
}

static void on_taken(void *context, size_t bytes)
{
    say_taken(((struct exec *)context)->call, bytes);
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
    else if (strcmp(kind, "resize") == 0 && read_size(payload, &rows, &columns))
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
        struct exec_callbacks callbacks = {exec, on_output, on_taken, on_exit_code};
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

/* --- Attach --- */

struct attach {
    struct api_call *call;
    struct runtime_attach *attach;
};

static void on_attach_output(void *context, bool is_error, struct bytes output)
{
    struct attach *attach = context;
    if (pass_output(attach->call, is_error, output) == 1)
        runtime_attach_pause(attach->attach, true);
}

static void on_attach_taken(void *context, size_t bytes)
{
    say_taken(((struct attach *)context)->call, bytes);
}

/* Also when the client leaves or is gone: the container goes on. */
static void end_attach(void *context)
{
    struct attach *attach = context;
    runtime_attach_close(attach->attach);
    api_answer(attach->call, NULL);
    free(attach);
}

static void on_attach_cancel(struct api_call *call)
{
    end_attach(call->context);
}

static void on_attach_drained(struct api_call *call)
{
    runtime_attach_pause(((struct attach *)call->context)->attach, false);
}

static void on_attach_note(struct api_call *call, const char *kind, struct bytes payload)
{
    struct attach *attach = call->context;
    struct bytes input;
    uint16_t rows, columns;
    struct reader reader;
    reader_init(&reader, payload.data, payload.size);
    if (strcmp(kind, "detach") == 0)
        end_attach(attach);
    else if (strcmp(kind, "input") == 0 && reader_binary(&reader, &input) == 0)
        runtime_attach_write(attach->attach, input);
    else if (strcmp(kind, "resize") == 0 && read_size(payload, &rows, &columns))
        runtime_attach_resize(attach->attach, rows, columns);
}

static void say_attached(struct api_call *call, const char *container)
{
    cleanup_buffer struct buffer payload = {0};
    struct container_status status;
    struct writer writer;
    if (runtime_status(call->peer->runtime, container, &status) < 0)
        return;
    writer_init(&writer, &payload);
    writer_map(&writer, 2);
    put_flag(&writer, "tty", status.spec->sandbox.tty);
    put_flag(&writer, "stdin_open", status.spec->sandbox.stdin_open);
    api_note(call, "attached", buffer_view(&payload));
}

static void method_attach(struct api_call *call, struct bytes params)
{
    char container[RUNTIME_ID_BYTES_MAX + 1];
    const struct intent_replica *replica = find_container_here(call, params, container);
    if (!replica || enters_privileged(call, replica))
        return;
    struct attach *attach = calloc(1, sizeof(*attach));
    struct attach_callbacks callbacks = {attach, on_attach_output, on_attach_taken, end_attach};
    int rc = attach ? runtime_attach(call->peer->runtime, container, &callbacks, &attach->attach)
                    : -ENOMEM;
    if (rc < 0) {
        free(attach);
        api_fail_with(call, rc, "see its state with: consort ps", "attaching to %s: %s", container,
                      strerror(-rc));
        return;
    }
    attach->call = call;
    call->context = attach;
    call->on_note = on_attach_note;
    call->on_drained = on_attach_drained;
    call->on_cancel = on_attach_cancel;
    say_attached(call, container);
}

/* --- Copy --- */

struct copy {
    struct api_call *call;
    struct runtime_copy *copy;
};

static void on_copy_data(void *context, struct bytes data)
{
    struct copy *copy = context;
    if (pass_output(copy->call, false, data) == 1)
        runtime_copy_pause(copy->copy, true);
}

static void on_copy_taken(void *context, size_t bytes)
{
    say_taken(((struct copy *)context)->call, bytes);
}

static void on_copy_end(void *context, const struct error *error)
{
    struct copy *copy = context;
    if (error)
        api_fail(copy->call, error);
    else
        api_answer(copy->call, NULL);
    runtime_copy_close(copy->copy);
    free(copy);
}

static void on_copy_cancel(struct api_call *call)
{
    struct copy *copy = call->context;
    runtime_copy_close(copy->copy);
    api_answer(call, NULL);
    free(copy);
}

static void on_copy_drained(struct api_call *call)
{
    runtime_copy_pause(((struct copy *)call->context)->copy, false);
}

static void on_copy_note(struct api_call *call, const char *kind, struct bytes payload)
{
    struct copy *copy = call->context;
    struct reader reader;
    struct bytes input;
    reader_init(&reader, payload.data, payload.size);
    if (strcmp(kind, "input") == 0 && reader_binary(&reader, &input) == 0)
        runtime_copy_write(copy->copy, input);
    else if (strcmp(kind, "end_input") == 0)
        runtime_copy_end_input(copy->copy);
}

static void copy_files(struct api_call *call, struct bytes params, bool goes_in)
{
    char container[RUNTIME_ID_BYTES_MAX + 1], path[RUNTIME_COPY_PATH_BYTES];
    const struct intent_replica *replica = find_container_here(call, params, container);
    if (!replica || enters_privileged(call, replica))
        return;
    if (!frame_text(params, "path", path, sizeof(path)) || path[0] != '/') {
        api_fail_with(call, -EINVAL, NULL, "a path is expected that begins with /");
        return;
    }
    struct copy *copy = calloc(1, sizeof(*copy));
    struct copy_options options = {.path = path, .goes_in = goes_in};
    struct copy_callbacks callbacks = {copy, on_copy_data, on_copy_taken, on_copy_end};
    int rc = copy ? runtime_copy(call->peer->runtime, container, &options, &callbacks, &copy->copy)
                  : -ENOMEM;
    if (rc < 0) {
        free(copy);
        api_fail_with(call, rc, "see its state with: consort ps", "copying files of %s: %s",
                      container, strerror(-rc));
        return;
    }
    copy->call = call;
    call->context = copy;
    call->on_note = on_copy_note;
    call->on_drained = on_copy_drained;
    call->on_cancel = on_copy_cancel;
}

static void method_copy_out(struct api_call *call, struct bytes params)
{
    copy_files(call, params, false);
}

static void method_copy_in(struct api_call *call, struct bytes params)
{
    copy_files(call, params, true);
}

static void method_exec(struct api_call *call, struct bytes params)
{
    char container[RUNTIME_ID_BYTES_MAX + 1];
    const struct intent_replica *replica = find_container_here(call, params, container);
    if (replica && !enters_privileged(call, replica))
        run_here(call, container, params);
}

const struct api_entry api_exec_methods[] = {
    {"exec", ROLE_DEPLOYER, API_IN_CLUSTER, method_exec},
    {"attach", ROLE_DEPLOYER, API_IN_CLUSTER, method_attach},
    {"copy.out", ROLE_DEPLOYER, API_IN_CLUSTER, method_copy_out},
    {"copy.in", ROLE_DEPLOYER, API_IN_CLUSTER, method_copy_in},
    {0},
};
