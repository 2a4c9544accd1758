#include "runtime/exec.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/major.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/bounds.h"
#include "runtime/container.h"
#include "runtime/exec_process.h"
#include "runtime/stream_input.h"

enum {
    EXEC_DRAIN_MS = 500, /* for output still under way when the command has ended */
    EXEC_READ_BYTES = 64 * 1024,
    EXEC_HANDLES = 5, /* process, timer, three pipes */
    EXIT_NOT_FOUND = 127,
};

struct runtime_exec {
    struct attachment attachment;
    struct runtime *runtime;
    struct exec_callbacks callbacks;
    uv_process_t process;
    uv_timer_t drain_timer;
    uv_pipe_t input;
    uv_pipe_t output; /* with a tty, input and output are two descriptors of its master */
    uv_pipe_t errors;
    bool tty;
    bool spawned;
    bool exited;
    bool reported; /* on_exit was called */
    bool closed;   /* by the user: no more callbacks */
    bool input_ended;
    bool paused;
    unsigned streams_open; /* outputs that have not ended */
    unsigned handles_open;
    int exit_code;
    char pid_file[PATH_BYTES];
    char process_file[PATH_BYTES];
    char chunk[EXEC_READ_BYTES];
};

static void handle_closed(uv_handle_t *handle)
{
    struct runtime_exec *exec = handle->data;
    if (--exec->handles_open > 0)
        return;
    struct runtime *runtime = exec->runtime;
    free(exec);
    runtime_release(runtime);
}

static void close_handle(void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, handle_closed);
}

/* The command's process in the container; the one we started is only crun, waiting for it. */
static void kill_command(struct runtime_exec *exec)
{
    uint64_t pid;
    struct process process;
    if (file_read_u64(exec->pid_file, &pid) == 0 && pid > 0 && pid <= INT32_MAX &&
        process_identify((pid_t)pid, &process) == 0)
        process_signal(&process, SIGKILL);
    uv_process_kill(&exec->process, SIGKILL);
}

void runtime_exec_close(struct runtime_exec *exec)
{
    if (!exec || exec->closed)
        return;
    exec->closed = true;
    runtime_attachment_remove(&exec->attachment);
    if (exec->spawned && !exec->exited)
        kill_command(exec);
    unlink(exec->pid_file);
    unlink(exec->process_file);
    close_handle(&exec->input);
    close_handle(&exec->output);
    close_handle(&exec->errors);
    close_handle(&exec->drain_timer);
    /* A process's handle must stay until its end is seen, or it would be a zombie for ever. */
    if (exec->process.type == UV_PROCESS && (!exec->spawned || exec->exited))
        close_handle(&exec->process);
}

static void attachment_close(struct attachment *attachment)
{
    runtime_exec_close((struct runtime_exec *)attachment);
}

static void report_exit(struct runtime_exec *exec)
{
    if (exec->reported || exec->closed)
        return;
    exec->reported = true;
    uv_timer_stop(&exec->drain_timer);
    exec->callbacks.on_exit(exec->callbacks.context, exec->exit_code);
}

static void drain_over(uv_timer_t *timer)
{
    report_exit(timer->data);
}

static void on_process_exit(uv_process_t *process, int64_t status, int signal)
{
    struct runtime_exec *exec = process->data;
    exec->exited = true;
    exec->exit_code = signal ? 128 + signal : (int)status;
    /* crun writes the pid only when it could run the command. */
    if (exec->exit_code != 0 && access(exec->pid_file, F_OK) < 0)
        exec->exit_code = EXIT_NOT_FOUND;
    unlink(exec->pid_file);
    unlink(exec->process_file);
    if (exec->closed) {
        close_handle(&exec->process);
        return;
    }
    if (exec->streams_open == 0)
        report_exit(exec);
    else
        uv_timer_start(&exec->drain_timer, drain_over, EXEC_DRAIN_MS, 0);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct runtime_exec *exec = handle->data;
    *ret = uv_buf_init(exec->chunk, sizeof(exec->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct runtime_exec *exec = stream->data;
    if (got == 0)
        return;
    if (got > 0) {
        bool is_error = stream == (uv_stream_t *)&exec->errors;
        exec->callbacks.on_output(
            exec->callbacks.context, is_error,
            (struct bytes){.data = (const uint8_t *)buffer->base, .size = (size_t)got});
        return;
    }
    uv_read_stop(stream); /* end of file; a tty says EIO */
    exec->streams_open--;
    if (exec->streams_open == 0 && exec->exited)
        report_exit(exec);
}

static void start_reading(struct runtime_exec *exec)
{
    uv_read_start((uv_stream_t *)&exec->output, on_allocate, on_read);
    if (!exec->tty)
        uv_read_start((uv_stream_t *)&exec->errors, on_allocate, on_read);
}

void runtime_exec_pause(struct runtime_exec *exec, bool pause)
{
    if (exec->closed || exec->paused == pause || exec->streams_open == 0)
        return;
    exec->paused = pause;
    if (!pause) {
        start_reading(exec);
        return;
    }
    uv_read_stop((uv_stream_t *)&exec->output);
    uv_read_stop((uv_stream_t *)&exec->errors);
}

static void on_taken(void *object, size_t bytes)
{
    struct runtime_exec *exec = object;
    if (!exec->closed && !exec->reported && exec->callbacks.on_taken)
        exec->callbacks.on_taken(exec->callbacks.context, bytes);
}

int runtime_exec_write(struct runtime_exec *exec, struct bytes data)
{
    uv_stream_t *input = (uv_stream_t *)&exec->input;
    if (exec->closed || exec->exited || exec->input_ended)
        return -EPIPE;
    return stream_input_has_room(input) ? stream_input_write(input, data, on_taken) : -ENOBUFS;
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    struct runtime_exec *exec = request->handle->data;
    free(request);
    close_handle(&exec->input);
}

void runtime_exec_end_input(struct runtime_exec *exec)
{
    static const uint8_t end_of_transmission[] = {0x04};
    if (exec->closed || exec->input_ended)
        return;
    if (exec->tty) {
        runtime_exec_write(exec, (struct bytes){end_of_transmission, 1});
        exec->input_ended = true;
        return;
    }
    exec->input_ended = true;
    uv_shutdown_t *request = malloc(sizeof(*request));
    if (!request || uv_shutdown(request, (uv_stream_t *)&exec->input, on_shutdown) < 0) {
        free(request);
        close_handle(&exec->input);
    }
}

/* crun reads the size of its own terminal once and never again, so the command's, its standard
 * input, is resized directly. What a hostile process has put there instead is looked at before it
 * is opened. */
static void resize_inside(const struct runtime_exec *exec, const struct winsize *size)
{
    uint64_t pid;
    char path[64];
    struct stat status;
    if (file_read_u64(exec->pid_file, &pid) < 0)
        return;
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/fd/0", pid);
    cleanup_close int found = open(path, O_PATH | O_CLOEXEC);
    if (found < 0 || fstat(found, &status) < 0 || !S_ISCHR(status.st_mode) ||
        major(status.st_rdev) < UNIX98_PTY_SLAVE_MAJOR ||
        major(status.st_rdev) >= UNIX98_PTY_SLAVE_MAJOR + UNIX98_PTY_MAJOR_COUNT)
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
    cleanup_close int terminal = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (terminal >= 0)
        ioctl(terminal, TIOCSWINSZ, size);
}

void runtime_exec_resize(struct runtime_exec *exec, uint16_t rows, uint16_t columns)
{
    uv_os_fd_t master;
    if (!exec->tty || exec->closed || exec->exited ||
        uv_fileno((uv_handle_t *)&exec->output, &master) < 0)
        return;
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    ioctl(master, TIOCSWINSZ, &size); /* which crun reads, if it has not started the command yet */
    resize_inside(exec, &size);
}

/* The OCI runtime's command line. */
struct command {
    const char *argv[9];
    char root[PATH_BYTES];
};

static int build_command(struct command *command, const struct runtime_exec *exec, const char *id,
                         const struct exec_options *options, struct error *error)
{
    const struct runtime_settings *settings = &exec->runtime->settings;
    struct path process = path_run(settings, id, "process.json");
    struct path rootfs = path_data(settings, id, "rootfs");
    path_format(command->root, sizeof(command->root), "--root=%s/oci", settings->run_dir);
    const char *const argv[] = {sealed_program_path(&settings->oci_program),
                                command->root,
                                "exec",
                                "--pid-file",
                                exec->pid_file,
                                "--process",
                                exec->process_file,
                                id,
                                NULL};
    static_assert(sizeof(argv) == sizeof(command->argv), "each word has its place");
    memcpy(command->argv, argv, sizeof(argv));
    return exec_process_write(process.text, rootfs.text, options, exec->process_file, error);
}

static int open_tty(struct runtime_exec *exec, const struct exec_options *options, int *ret_slave)
{
    struct winsize size = {
        .ws_row = options->rows ? options->rows : TTY_ROWS_DEFAULT,
        .ws_col = options->columns ? options->columns : TTY_COLUMNS_DEFAULT,
    };
    int master, slave;
    if (openpty(&master, &slave, NULL, NULL, &size) < 0)
        return -errno;
    int writer = fcntl(master, F_DUPFD_CLOEXEC, 0);
    fcntl(master, F_SETFD, FD_CLOEXEC);
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    if (writer < 0 || uv_pipe_open(&exec->output, master) < 0) {
        close(master);
        close(slave);
        if (writer >= 0)
            close(writer);
        return -EMFILE;
    }
    if (uv_pipe_open(&exec->input, writer) < 0) {
        close(writer);
        close(slave);
        return -EMFILE;
    }
    *ret_slave = slave;
    return 0;
}

static int spawn(struct runtime_exec *exec, const char *id, const struct exec_options *options,
                 struct error *error)
{
    struct command command;
    int slave = -1;
    int result = build_command(&command, exec, id, options, error);
    if (result == 0 && options->tty)
        result = open_tty(exec, options, &slave);
    if (result < 0)
        return result;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&exec->input},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&exec->output},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&exec->errors},
    };
    for (int i = 0; options->tty && i < 3; i++)
        stdio[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = slave};
    uv_process_options_t process = {
        .exit_cb = on_process_exit,
        .file = command.argv[0],
        .args = (char **)command.argv,
        .env = (char **)process_environment,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    result = uv_spawn(exec->runtime->loop, &exec->process, &process);
    if (slave >= 0)
        close(slave);
    return result;
}

static struct runtime_exec *exec_alloc(struct runtime *runtime,
                                       const struct exec_callbacks *callbacks)
{
    struct runtime_exec *exec = calloc(1, sizeof(*exec));
    if (!exec)
        return NULL;
    exec->runtime = runtime;
    exec->callbacks = *callbacks;
    exec->attachment.close = attachment_close;
    uv_timer_init(runtime->loop, &exec->drain_timer);
    uv_pipe_init(runtime->loop, &exec->input, 0);
    uv_pipe_init(runtime->loop, &exec->output, 0);
    uv_pipe_init(runtime->loop, &exec->errors, 0);
    exec->process.data = exec->drain_timer.data = exec;
    exec->input.data = exec->output.data = exec->errors.data = exec;
    exec->handles_open = EXEC_HANDLES;
    runtime_hold(runtime);
    runtime_attachment_add(runtime, &exec->attachment);
    return exec;
}

int runtime_exec(struct runtime *runtime, const char *id, const struct exec_options *options,
                 const struct exec_callbacks *callbacks, struct runtime_exec **ret,
                 struct error *error)
{
    assert(options->argv && options->argv[0]);
    const struct container *container = container_find(runtime, id);
    if (!container)
        return -ENOENT;
    if (container->record.process.pid == 0)
        return -ESRCH;
    struct runtime_exec *exec = exec_alloc(runtime, callbacks);
    if (!exec)
        return -ENOMEM;
    struct path directory = path_run(&runtime->settings, id, NULL);
    path_format(exec->pid_file, sizeof(exec->pid_file), "%s/exec-%" PRIu64 ".pid", directory.text,
                ++runtime->exec_count);
    path_format(exec->process_file, sizeof(exec->process_file), "%s/exec-%" PRIu64 ".json",
                directory.text, runtime->exec_count);
    exec->tty = options->tty;
    int result = spawn(exec, id, options, error);
    exec->spawned = result == 0;
    if (result < 0) {
        /* there may have been no uv_spawn() to initialise its handle */
        if (exec->process.type != UV_PROCESS)
            exec->handles_open--;
        runtime_exec_close(exec);
        return result;
    }
    exec->streams_open = exec->tty ? 1 : 2;
    start_reading(exec);
    *ret = exec;
    return 0;
}
