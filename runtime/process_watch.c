#include "runtime/process_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct process_watch {
    uv_poll_t poll;
    int pidfd;
    struct runtime *runtime;
    void (*on_end)(void *context);
    void *context;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct process_watch *watch = poll->data;
    uv_poll_stop(poll);
    watch->on_end(watch->context);
}

int process_watch_new(struct runtime *runtime, const struct process *process,
                      void (*on_end)(void *context), void *context, struct process_watch **ret)
{
    struct process_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return -ENOMEM;
    *watch = (struct process_watch){.runtime = runtime, .on_end = on_end, .context = context};
    int result = process_open(process, &watch->pidfd);
    if (result == 0) {
        result = uv_poll_init(runtime->loop, &watch->poll, watch->pidfd);
        if (result < 0)
            close(watch->pidfd);
    }
    if (result < 0) {
        free(watch);
        return result;
    }
    watch->poll.data = watch;
    runtime_hold(runtime);
    uv_poll_start(&watch->poll, UV_READABLE, on_readable);
    *ret = watch;
    return 0;
}

static void poll_closed(uv_handle_t *handle)
{
    struct process_watch *watch = handle->data;
    struct runtime *runtime = watch->runtime;
    close(watch->pidfd);
    free(watch);
    runtime_release(runtime);
}

void process_watch_free(struct process_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->poll, poll_closed);
}
