#include "runtime/runtime.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/ula.h"
#include "runtime/adopt.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/network/address_rules.h"
#include "runtime/network/network.h"
#include "runtime/volume_sweep.h"

static int compare_id(const void *item, const void *key)
{
    return strcmp(((const struct container *)item)->spec.id, key);
}

static const void *id_of(const void *item)
{
    return ((const struct container *)item)->spec.id;
}

/* ---- Life ---- */

void runtime_hold(struct runtime *runtime)
{
    runtime->holders++;
}

void runtime_release(struct runtime *runtime)
{
    assert(runtime->holders > 0);
    if (--runtime->holders > 0)
        return;
    assert(runtime->closing);
    void (*on_closed)(void *context) = runtime->on_closed;
    void *context = runtime->closed_context;
    table_done(&runtime->containers);
    network_pool_done(&runtime->networks);
    free(runtime->addresses);
    settings_done(&runtime->settings);
    free(runtime);
    if (on_closed)
        on_closed(context);
}

/* ---- Setting up ---- */

struct setup_job {
    struct job job;
    struct adoption adoption;
    struct error error;
    int result;
};

static void run_setup(struct job *job)
{
    struct setup_job *setup = (struct setup_job *)job;
    struct runtime_settings *settings = &job->runtime->settings; /* no other job reads it yet */
    setup->result = settings_make_directories(settings, &setup->error);
    if (setup->result == 0)
        setup->result = network_setup(&settings->network, &setup->error);
    if (setup->result == 0)
        apparmor_setup(&settings->apparmor, settings->run_dir);
    if (setup->result == 0)
        sealed_program_copy(&settings->oci_program, settings->launch_timeout_ms);
    if (setup->result == 0)
        setup->result = adopt_scan(settings, &setup->adoption, &setup->error);
}

static void adopt_all(struct runtime *runtime, struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->found.count; i++) {
        struct adopted *adopted = adoption->found.items[i];
        struct container *container;
        int result = container_new(runtime, &adopted->spec, &container);
        if (result < 0)
            log_error("container %s: cannot take it back: %s", adopted->spec.id, strerror(-result));
        else
            container_adopt(container, &adopted->record, &adopted->plan);
    }
}

static void tear_network_down(struct job *job)
{
    network_teardown(&job->runtime->settings.network);
}

static void network_torn_down(struct job *job)
{
    free(job);
}

int runtime_remove_network(struct runtime *runtime)
{
    struct job *job = calloc(1, sizeof(*job));
    if (!job)
        return -ENOMEM;
    *job = (struct job){.run = tear_network_down, .done = network_torn_down};
    uv_timer_stop(&runtime->network_timer);
    runtime_submit(runtime, job);
    return 0;
}

static void on_network_timer(uv_timer_t *timer);

static void setup_done(struct job *job)
{
    struct setup_job *setup = (struct setup_job *)job;
    struct runtime *runtime = job->runtime;
    if (!runtime->closing && setup->result == 0) {
        runtime->ready = true;
        adopt_all(runtime, &setup->adoption);
        uv_timer_start(&runtime->network_timer, on_network_timer, RUNTIME_NETWORK_CHECK_MS,
                       RUNTIME_NETWORK_CHECK_MS);
        volume_sweep_soon(runtime);
    }
    if (!runtime->closing)
        runtime->on_ready(runtime->context, setup->result < 0 ? &setup->error : NULL);
    if (setup->result == 0)
        adoption_done(&setup->adoption);
    free(setup);
}

int runtime_new(uv_loop_t *loop, const struct runtime_config *config, struct runtime **ret,
                struct error *error)
{
    assert(config->on_ready);
    assert(config->on_change);
    assert(config->images);
    struct runtime *runtime = calloc(1, sizeof(*runtime));
    struct setup_job *setup = calloc(1, sizeof(*setup));
    int result = runtime && setup ? settings_init(&runtime->settings, config, error) : -ENOMEM;
    if (result == 0) {
        result = network_pool_init(&runtime->networks, runtime->settings.network.network,
                                   runtime->settings.network.prefix);
        if (result < 0)
            settings_done(&runtime->settings);
    }
    if (result < 0) {
        free(runtime);
        free(setup);
        return result;
    }
    runtime->loop = loop;
    runtime->context = config->context;
    runtime->on_ready = config->on_ready;
    runtime->on_change = config->on_change;
    runtime->on_secret = config->on_secret;
    runtime->needs_volume = config->needs_volume;
    table_init(&runtime->containers, compare_id, id_of);
    runtime->waiting_end = &runtime->waiting;
    uv_timer_init(loop, &runtime->network_timer);
    runtime->network_timer.data = runtime;
    runtime_hold(runtime); /* the timer's; given back when it is closed */
    volume_sweep_init(runtime);
    setup->job = (struct job){.run = run_setup, .done = setup_done};
    runtime_submit(runtime, &setup->job);
    *ret = runtime;
    return 0;
}

static void network_timer_closed(uv_handle_t *handle)
{
    runtime_release(handle->data);
}

void runtime_close(struct runtime *runtime, void (*on_closed)(void *context), void *context)
{
    assert(!runtime->closing);
    runtime->closing = true;
    runtime->ready = false;
    runtime->on_closed = on_closed;
    runtime->closed_context = context;
    for (size_t i = 0; i < runtime->containers.count; i++)
        container_close(runtime->containers.items[i]);
    runtime->containers.count = 0;
    while (runtime->attachments)
        runtime->attachments->close(runtime->attachments);
    uv_close((uv_handle_t *)&runtime->network_timer, network_timer_closed);
    volume_sweep_close(runtime);
}

/* ---- Keeping the network up ---- */

static void run_network_check(struct job *job)
{
    struct error error = {0};
    if (network_check(&job->runtime->settings.network, &error) < 0)
        log_warning("%s", error.message);
    if (address_rules_check(job->runtime->settings.address_rules, &error) < 0)
        log_warning("%s", error.message);
}

static void network_check_done(struct job *job)
{
    job->runtime->network_checking = false;
    free(job);
}

static void on_network_timer(uv_timer_t *timer)
{
    struct runtime *runtime = timer->data;
    struct job *job = runtime->network_checking ? NULL : calloc(1, sizeof(*job));
    if (!job)
        return;
    runtime->network_checking = true;
    *job = (struct job){.run = run_network_check, .done = network_check_done};
    runtime_submit(runtime, job);
}

struct address runtime_gateway(const struct runtime *runtime)
{
    return address_from_v4(runtime->settings.network.gateway, 0);
}

bool runtime_has_ipv6(const struct runtime *runtime)
{
    return runtime->settings.network.has_ipv6;
}

struct runtime_range runtime_range(const struct runtime *runtime)
{
    const struct network_pool *pool = &runtime->networks;
    return (struct runtime_range){pool->network, pool->prefix, pool->block_prefix,
                                  runtime_has_ipv6(runtime)};
}

bool runtime_range_has(const struct runtime_range *range, const struct address *address)
{
    if (!address_is_v4(address) || range->prefix == 0 || range->prefix > 32 ||
        range->block_prefix == 0 || range->block_prefix > 32)
        return false;
    uint32_t ip = address_to_v4(address);
    return ip >> (32 - range->prefix) == range->network >> (32 - range->prefix) &&
           ip >> (32 - range->block_prefix) != range->network >> (32 - range->block_prefix);
}

struct address runtime_range_ula(const struct runtime_range *range, const struct address *address)
{
    uint32_t ip = address_to_v4(address);
    assert(range->block_prefix > 0 && range->block_prefix <= 32);
    return ula_make((uint16_t)((ip - range->network) >> (32 - range->block_prefix)), ip);
}

/* ---- Commands ---- */

int runtime_start(struct runtime *runtime, const struct container_spec *spec, struct error *error)
{
    int result = container_spec_check(spec, error);
    if (result < 0)
        return result;
    if (!runtime->ready)
        return error_set(error, -EAGAIN, "container %s: the runtime is not ready", spec->id);
    struct container *container = container_find(runtime, spec->id);
    if (container && container->wanted == WANT_REMOVE)
        return error_set(error, -EBUSY, "container %s is being removed", spec->id);
    if (container) {
        container_run(container);
        return 0;
    }
    result = container_new(runtime, spec, &container);
    if (result == -EBADMSG || result == -EINVAL)
        return error_set(error, -EINVAL,
                         "container %s: a value is too large, or its image is no "
                         "digest",
                         spec->id);
    if (result < 0)
        return error_set_errno(error, result, "container %s", spec->id);
    container_report(container);
    container_advance(container);
    return 0;
}

int runtime_stop(struct runtime *runtime, const char *id, int64_t grace_ms)
{
    struct container *container = container_find(runtime, id);
    if (!container)
        return -ENOENT;
    container_stop(container, grace_ms);
    return 0;
}

int runtime_remove(struct runtime *runtime, const char *id)
{
    struct container *container = container_find(runtime, id);
    if (!container)
        return -ENOENT;
    container_remove(container);
    return 0;
}

int runtime_update_limits(struct runtime *runtime, const char *id, uint32_t cpu_millicores,
                          uint64_t memory_bytes,
                          void (*callback)(void *context, const struct error *error), void *context)
{
    struct container *container = container_find(runtime, id);
    if (!container || container->wanted == WANT_REMOVE)
        return -ENOENT;
    if (container->limits.pending)
        return -EAGAIN;
    container->limits = (struct container_limits){
        .pending = true,
        .wanted = {.cpu_millicores = cpu_millicores, .memory_bytes = memory_bytes},
        .callback = callback,
        .context = context,
    };
    container_advance(container);
    return 0;
}

/* ---- Questions ---- */

int runtime_status(const struct runtime *runtime, const char *id, struct container_status *ret)
{
    const struct container *container = container_find(runtime, id);
    if (!container)
        return -ENOENT;
    container_fill_status(container, ret);
    return 0;
}

void runtime_list(const struct runtime *runtime,
                  void (*each)(void *context, const struct container_status *status), void *context)
{
    for (size_t i = 0; i < runtime->containers.count; i++) {
        struct container_status status;
        container_fill_status(runtime->containers.items[i], &status);
        each(context, &status);
    }
}
