#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "node/store/store_private.h"

static void push(struct store_jobs *jobs, struct store_job *job)
{
    job->next = NULL;
    *(jobs->last ? &jobs->last->next : &jobs->first) = job;
    jobs->last = job;
}

/* Moves all of `from` behind `to`, with that result. */
static void move_all(struct store_jobs *to, struct store_jobs *from, int result)
{
    for (struct store_job *job = from->first, *next; job; job = next) {
        next = job->next;
        job->result = result;
        push(to, job);
    }
    *from = (struct store_jobs){0};
}

/* Runs on the store's thread: commits whatever has gathered, again and again. */
static void writer_run(void *argument)
{
    struct store *store = argument;
    struct error error;
    uv_mutex_lock(&store->mutex);
    for (;;) {
        while (!store->is_stopping && (store->broken || !store->waiting.first))
            uv_cond_wait(&store->has_work, &store->mutex);
        if (store->is_stopping)
            break;
        struct store_jobs group = store->waiting;
        store->waiting = (struct store_jobs){0};
        uv_mutex_unlock(&store->mutex);

        error = (struct error){0};
        int result = store_commit(store, &group, &error);

        uv_mutex_lock(&store->mutex);
        move_all(&store->done, &group, result);
        store->commits += result == 0;
        if (result < 0) {
            store->broken = result;
            store->broken_why = error;
        }
        uv_async_send(&store->wake);
    }
    uv_mutex_unlock(&store->mutex);
}

/* Calls back for all that is done; `why` belongs to those that failed. */
static void call_back(struct store *store, struct store_jobs *jobs, const struct error *why)
{
    static const struct error none;
    for (struct store_job *job = jobs->first, *next; job; job = next) {
        next = job->next;
        if (--store->outstanding == 0)
            uv_unref((uv_handle_t *)&store->wake);
        if (job->callback)
            job->callback(job->context, job->result, job->result < 0 ? why : &none);
        store_batch_done(&job->batch);
        free(job);
    }
}

static void on_wake(uv_async_t *wake)
{
    struct store *store = wake->data;
    struct error why;
    uv_mutex_lock(&store->mutex);
    struct store_jobs done = store->done;
    store->done = (struct store_jobs){0};
    why = store->broken_why;
    if (store->broken) /* what waits may build on what failed */
        move_all(&done, &store->waiting, store->broken);
    store->broken = 0;
    uv_mutex_unlock(&store->mutex);
    call_back(store, &done, &why);
}

int store_write(struct store *store, struct store_batch *batch,
                void (*callback)(void *context, int result, const struct error *error),
                void *context)
{
    int rc = batch->failed;
    struct store_job *job = rc < 0 ? NULL : calloc(1, sizeof(*job));
    if (!job) {
        store_batch_done(batch);
        return rc < 0 ? rc : -ENOMEM;
    }
    job->batch = *batch;
    job->callback = callback;
    job->context = context;
    store_batch_init(batch);
    if (store->outstanding++ == 0)
        uv_ref((uv_handle_t *)&store->wake);
    uv_mutex_lock(&store->mutex);
    push(&store->waiting, job);
    uv_cond_signal(&store->has_work);
    uv_mutex_unlock(&store->mutex);
    return 0;
}

uint64_t store_commits(struct store *store)
{
    uv_mutex_lock(&store->mutex);
    uint64_t commits = store->commits;
    uv_mutex_unlock(&store->mutex);
    return commits;
}

int store_writer_start(struct store *store)
{
    int rc = uv_async_init(store->loop, &store->wake, on_wake);
    if (rc < 0)
        return rc;
    store->has_wake = true;
    store->wake.data = store;
    uv_unref((uv_handle_t *)&store->wake);
    rc = uv_thread_create(&store->thread, writer_run, store);
    if (rc < 0)
        return rc;
    store->is_running = true;
    return 0;
}

void store_writer_stop(struct store *store)
{
    struct error why = {0};
    assert(store->is_running);
    uv_mutex_lock(&store->mutex);
    store->is_stopping = true;
    uv_cond_signal(&store->has_work);
    uv_mutex_unlock(&store->mutex);
    uv_thread_join(&store->thread);
    store->is_running = false;

    on_wake(&store->wake);
    struct store_jobs cancelled = {0};
    move_all(&cancelled, &store->waiting, -ECANCELED);
    error_set(&why, -ECANCELED, "%s: the store was closed before this was written", store->path);
    call_back(store, &cancelled, &why);
}

void store_fail_after(struct store *store, unsigned writes, unsigned syncs)
{
    uv_mutex_lock(&store->mutex);
    store->fail_write_in = writes;
    store->fail_sync_in = syncs;
    uv_mutex_unlock(&store->mutex);
}
