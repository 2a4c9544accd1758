/* Pulls images from registries: each in a child process, the same binary (`consort pull-worker`),
 * which writes whole blobs into the store and says on its output how far it is and how it ended:
 *
 *     missing DIGEST
 *     progress DONE TOTAL
 *     pulled DIGEST
 *     failed ERRNO \t MESSAGE \t HINT
 *
 * After "missing" it waits for the end of its input: until then, the blobs that are missing are
 * fetched from peers that have them, as parts of other images, say.
 *
 * A child because a pull talks to strangers for minutes, through a library that a peer need not
 * carry otherwise (docs/decisions/pulls.md).
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/images/images_private.h"

enum {
    PULLS_AT_ONCE_MAX = 2,
    PULLS_MAX = 64, /* under way or waiting */
    PULL_LINE_BYTES_MAX = 4096,
};

struct pull_waiter {
    struct images_pull_handler handler;
    void *context;
    struct pull_waiter *next;
};

struct pull {
    uv_process_t child;
    uv_pipe_t input; /* closed when it may go on */
    uv_pipe_t output;
    uv_work_t work;
    struct images *images;
    char reference[IMAGE_REFERENCE_BYTES_MAX + DIGEST_TEXT_BYTES];
    struct pull_waiter *waiters;
    struct pull *next;
    bool is_running, is_pulled;
    unsigned open; /* of its handles, and a fetch */
    struct digest digest;
    struct error error;
    struct buffer line;
    char chunk[1024];
};

static void start_waiting(struct images *images);

static void free_pull(struct pull *pull)
{
    struct pull **link = &pull->images->pulls;
    while (*link && *link != pull)
        link = &(*link)->next;
    if (*link)
        *link = pull->next;
    buffer_done(&pull->line);
    free(pull);
}

static void tell(struct pull *pull, const struct error *error)
{
    while (pull->waiters) {
        struct pull_waiter *waiter = pull->waiters;
        pull->waiters = waiter->next;
        waiter->handler.on_end(waiter->context, error ? NULL : &pull->digest, error);
        free(waiter);
    }
}

static void finish(void *context)
{
    struct pull *pull = context;
    struct images *images = pull->images;
    tell(pull, pull->error.code < 0 ? &pull->error : NULL);
    free_pull(pull);
    if (!images->is_closing)
        start_waiting(images);
    images_release(images);
}

/* --- The store, on the pool --- */

/* The name that the image gets: the one it was pulled by; a digest is a name's tag, too, so that
 * the image is not garbage. */
static int name_of(const char *text, char ret[IMAGE_REFERENCE_BYTES_MAX], struct error *error)
{
    struct image_reference reference;
    int rc = image_reference_parse(text, &reference, error);
    if (rc < 0)
        return rc;
    if (!reference.tag[0]) {
        char hex[DIGEST_HEX_BYTES];
        digest_format_hex(&reference.digest, hex);
        snprintf(reference.tag, sizeof(reference.tag), "sha256-%s", hex);
    }
    if (strlen(reference.registry) + strlen(reference.repository) + strlen(reference.tag) + 3 >
        IMAGE_REFERENCE_BYTES_MAX)
        return error_set(error, -E2BIG, "the image's name is too long");
    image_reference_format(&reference, ret);
    return 0;
}

static void settle(uv_work_t *work)
{
    struct pull *pull = work->data;
    struct image_store *store = pull->images->config.store;
    char name[IMAGE_REFERENCE_BYTES_MAX];
    blob_store_sweep_child(image_store_blobs(store), pull->child.pid);
    if (pull->error.code == 0 && name_of(pull->reference, name, &pull->error) == 0)
        image_store_tag_pulled(store, name, &pull->digest, &pull->error);
    image_store_import_end(store); /* what came of one that failed is there for the next */
}

static void on_settled(uv_work_t *work, int status)
{
    struct pull *pull = work->data;
    (void)status;
    if (pull->error.code == 0) {
        log_notice("image %s is pulled", pull->reference);
        images_held(pull->images, &pull->digest);
    } else {
        log_warning("image %s is not pulled: %s", pull->reference, pull->error.message);
    }
    collector_look(pull->images->collector);
    images_look(pull->images, finish, pull); /* the name means this image before anybody is told */
}

/* --- The child --- */

static void let_go(struct pull *pull)
{
    if (--pull->open == 0)
        uv_queue_work(pull->images->config.loop, &pull->work, settle, on_settled);
}

static void on_handle_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_handle_closed);
}

/* Whatever is still missing, the registry has it. */
static void on_fetched(void *context, const struct error *error)
{
    struct pull *pull = context;
    (void)error;
    close_handle((uv_handle_t *)&pull->input);
    let_go(pull);
}

static void ask_peers(struct pull *pull, const struct digest *digest)
{
    pull->open++;
    if (pull->images->is_closing || images_fetch(pull->images, digest, true, on_fetched, pull) < 0)
        on_fetched(pull, NULL);
}

static void take_failure(struct pull *pull, char *text)
{
    char *message = strchr(text, '\t');
    if (!message)
        return;
    *message++ = '\0';
    char *hint = strchr(message, '\t');
    if (hint)
        *hint++ = '\0';
    long code = strtol(text, NULL, 10);
    error_set(&pull->error, code < 0 && code > -4096 ? (int)code : -EIO, "pulling %s: %s",
              pull->reference, message);
    if (hint && *hint)
        error_hint(&pull->error, "%s", hint);
}

static void take_line(struct pull *pull, char *line)
{
    struct digest digest;
    if (strncmp(line, "progress ", 9) == 0) {
        char *end;
        uint64_t done = strtoull(line + 9, &end, 10), total = strtoull(end, NULL, 10);
        for (struct pull_waiter *waiter = pull->waiters; waiter; waiter = waiter->next)
            if (waiter->handler.on_progress)
                waiter->handler.on_progress(waiter->context, done, total);
    } else if (strncmp(line, "missing ", 8) == 0) {
        if (digest_parse(line + 8, &digest) == 0)
            ask_peers(pull, &digest);
    } else if (strncmp(line, "pulled ", 7) == 0) {
        pull->is_pulled = digest_parse(line + 7, &pull->digest) == 0;
    } else if (strncmp(line, "failed ", 7) == 0) {
        take_failure(pull, line + 7);
    }
}

static void on_output(uv_stream_t *stream, ssize_t size, const uv_buf_t *data)
{
    struct pull *pull = stream->data;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, on_handle_closed);
        return;
    }
    for (ssize_t i = 0; i < size; i++) {
        if (data->base[i] != '\n') {
            if (pull->line.size < PULL_LINE_BYTES_MAX)
                buffer_append(&pull->line, data->base + i, 1);
            continue;
        }
        char *line = buffer_take_text(&pull->line);
        if (line)
            take_line(pull, line);
        free(line);
    }
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct pull *pull = handle->data;
    (void)suggested;
    *ret = uv_buf_init(pull->chunk, sizeof(pull->chunk));
}

static void on_child_exit(uv_process_t *child, int64_t status, int signal)
{
    struct pull *pull = child->data;
    if (!pull->is_pulled && pull->error.code == 0)
        error_set(&pull->error, -ECHILD, "pulling %s: the child that pulls ended with %s %" PRId64,
                  pull->reference, signal ? "signal" : "exit code",
                  signal ? (int64_t)signal : status);
    close_handle((uv_handle_t *)child);
    close_handle((uv_handle_t *)&pull->input);
}

static int spawn(struct pull *pull)
{
    const struct images_config *config = &pull->images->config;
    uv_loop_t *loop = config->loop;
    const char *arguments[] = {
        "consort",          "pull-worker",   blob_store_path(image_store_blobs(config->store)),
        config->registries, pull->reference, NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_READABLE_PIPE),
         .data.stream = (uv_stream_t *)&pull->input},
        {.flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE),
         .data.stream = (uv_stream_t *)&pull->output},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {
        .exit_cb = on_child_exit,
        .file = config->program,
        .args = (char **)(uintptr_t)arguments, /* only read */
        .stdio = stdio,
        .stdio_count = 3,
    };
    pull->child.data = pull->input.data = pull->output.data = pull->work.data = pull;
    int rc = uv_pipe_init(loop, &pull->output, 0);
    if (rc < 0)
        return rc;
    uv_pipe_init(loop, &pull->input, 0); /* what the one before took */
    rc = uv_spawn(loop, &pull->child, &options);
    pull->open = 3;
    if (rc < 0) {
        close_handle((uv_handle_t *)&pull->child);
        close_handle((uv_handle_t *)&pull->input);
        close_handle((uv_handle_t *)&pull->output);
        error_set_errno(&pull->error, rc, "pulling %s: starting %s", pull->reference,
                        config->program);
        return 0; /* told when both are closed */
    }
    rc = uv_read_start((uv_stream_t *)&pull->output, on_allocate, on_output);
    if (rc < 0)
        uv_close((uv_handle_t *)&pull->output, on_handle_closed);
    return 0;
}

/* Starts as many of those that wait as may run at once, the longest waiting (the last) first. */
static void start_waiting(struct images *images)
{
    for (;;) {
        struct pull *first = NULL;
        unsigned running = 0;
        for (struct pull *pull = images->pulls; pull; pull = pull->next) {
            running += pull->is_running;
            first = pull->is_running ? first : pull;
        }
        if (!first || running >= PULLS_AT_ONCE_MAX)
            return;
        first->is_running = true;
        images_hold(images);
        image_store_import_begin(images->config.store);
        int rc = spawn(first);
        if (rc < 0) {
            error_set_errno(&first->error, rc, "pulling %s", first->reference);
            uv_queue_work(images->config.loop, &first->work, settle, on_settled);
        }
    }
}

int images_pull(struct images *images, const char *reference,
                const struct images_pull_handler *handler, void *context)
{
    struct pull *pull = images->pulls;
    unsigned count = 0;
    for (; pull && strcmp(pull->reference, reference) != 0; pull = pull->next)
        count++;
    if (!pull && count >= PULLS_MAX)
        return -EBUSY;
    struct pull_waiter *waiter = malloc(sizeof(*waiter));
    if (!waiter)
        return -ENOMEM;
    if (!pull) {
        pull = calloc(1, sizeof(*pull));
        if (!pull || strlen(reference) >= sizeof(pull->reference)) {
            free(pull);
            free(waiter);
            return pull ? -E2BIG : -ENOMEM;
        }
        pull->images = images;
        memcpy(pull->reference, reference, strlen(reference) + 1);
        pull->next = images->pulls;
        images->pulls = pull;
    }
    *waiter = (struct pull_waiter){*handler, context, pull->waiters};
    pull->waiters = waiter;
    start_waiting(images);
    return 0;
}

void pulls_cancel(struct images *images)
{
    struct pull *next;
    for (struct pull *pull = images->pulls; pull; pull = next) {
        struct error error = {0};
        next = pull->next;
        error_set(&error, -ECANCELED, "pulling %s: this peer is stopping", pull->reference);
        tell(pull, &error);
        if (!pull->is_running)
            free_pull(pull);
        else if (uv_is_active((uv_handle_t *)&pull->child))
            uv_process_kill(&pull->child, SIGKILL);
    }
}
