#include "runtime/internal.h"

/* Blocking steps, a few at a time: libuv has four workers for the whole process, and a root file
 * system on a slow disk must not keep the others' DNS waiting. */

static void run_job(uv_work_t *work)
{
    struct job *job = work->data;
    job->run(job);
}

static void start_jobs(struct runtime *runtime);

static void job_done(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    struct job *job = work->data;
    struct runtime *runtime = job->runtime;
    runtime->running--;
    job->done(job);
    start_jobs(runtime);
    runtime_release(runtime);
}

static void start_jobs(struct runtime *runtime)
{
    while (runtime->waiting && runtime->running < RUNTIME_JOBS_MAX) {
        struct job *job = runtime->waiting;
        runtime->waiting = job->next;
        if (!runtime->waiting)
            runtime->waiting_end = &runtime->waiting;
        job->work.data = job;
        runtime->running++;
        uv_queue_work(runtime->loop, &job->work, run_job, job_done);
    }
}

void runtime_submit(struct runtime *runtime, struct job *job)
{
    job->runtime = runtime;
    job->next = NULL;
    runtime_hold(runtime);
    *runtime->waiting_end = job;
    runtime->waiting_end = &job->next;
    start_jobs(runtime);
}

void runtime_attachment_add(struct runtime *runtime, struct attachment *attachment)
{
    attachment->next = runtime->attachments;
    attachment->link = &runtime->attachments;
    if (attachment->next)
        attachment->next->link = &attachment->next;
    runtime->attachments = attachment;
}

void runtime_attachment_remove(struct attachment *attachment)
{
    if (!attachment->link)
        return;
    *attachment->link = attachment->next;
    if (attachment->next)
        attachment->next->link = attachment->link;
    attachment->link = NULL;
}
