#include "runtime/health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/health_probe.h"

enum {
    FIRST_CHECK_MS = 150, /* after the start; doubles up to the interval until a check passes */
};

struct health {
    struct container *container;
    struct runtime *runtime;
    uv_timer_t timer;          /* until the next check, or the timeout of this one */
    struct runtime_exec *exec; /* the check under way, one of these or none */
    struct health_probe *probe;
    bool is_at_ipv6; /* where a probe looks first: the program may listen there alone */
    bool is_second;  /* the probe looks at the other address, nobody being at the first */
    int64_t started_ms;
    int64_t eager_ms;  /* until the next check of one that has just started; 0: the rules say */
    uint32_t failures; /* in a row, that count */
    struct buffer output;
};

static void check(uv_timer_t *timer);

static const struct container_health *rules(const struct health *health)
{
    return &health->container->plan.health;
}

static bool in_start_period(const struct health *health)
{
    return health->container->health_state == HEALTH_STARTING &&
           (int64_t)uv_now(health->runtime->loop) - health->started_ms <
               rules(health)->start_period_ms;
}

/* What has just started is looked at soon and then ever more seldom, however long the interval is:
 * failover waits for it. */
static void schedule(struct health *health)
{
    int64_t delay_ms =
        in_start_period(health) ? rules(health)->start_interval_ms : rules(health)->interval_ms;
    if (health->eager_ms >= delay_ms)
        health->eager_ms = 0;
    uv_timer_start(&health->timer, check,
                   (uint64_t)(health->eager_ms > 0 ? health->eager_ms : delay_ms), 0);
}

static void stop_check(struct health *health)
{
    runtime_exec_close(health->exec);
    health_probe_cancel(health->probe);
    health->exec = NULL;
    health->probe = NULL;
}

static void finish_check(struct health *health, bool passed)
{
    stop_check(health);
    bool counts = !in_start_period(health) && health->eager_ms == 0;
    if (passed)
        health->failures = 0;
    else if (counts)
        health->failures++;
    health->eager_ms = passed ? 0 : 2 * health->eager_ms;
    schedule(health);
    char *reason = buffer_take_text(&health->output);
    /* The last thing done: it may end in health_free(). */
    if (passed)
        container_health_changed(health->container, HEALTH_HEALTHY, "");
    else if (health->failures >= rules(health)->retries)
        container_health_changed(health->container, HEALTH_UNHEALTHY, reason ? reason : "");
    free(reason);
}

static void on_output(void *context, bool is_error, struct bytes output)
{
    (void)is_error;
    struct health *health = context;
    size_t room = RUNTIME_HEALTH_OUTPUT_BYTES_MAX - health->output.size;
    buffer_append(&health->output, output.data, output.size < room ? output.size : room);
}

static void on_exit_code(void *context, int exit_code)
{
    finish_check(context, exit_code == 0);
}

static void on_timeout(uv_timer_t *timer)
{
    struct health *health = timer->data;
    buffer_clear(&health->output);
    buffer_printf(&health->output, "no answer within %lld ms",
                  (long long)rules(health)->timeout_ms);
    finish_check(health, false);
}

static void on_probed(void *context, enum health_probe_outcome outcome, const char *reason);

static int probe_there(struct health *health)
{
    struct container_status status;
    const struct runtime_range range = runtime_range(health->runtime);
    container_fill_status(health->container, &status);
    if (status.address_count == 0)
        return -EHOSTUNREACH; /* network_mode: none */
    struct address address = status.addresses[0];
    if (health->is_at_ipv6)
        address = runtime_range_ula(&range, &address);
    address.port = rules(health)->probe_port;
    return health_probe_start(health->runtime->loop, &address, rules(health)->probe_path, on_probed,
                              health, &health->probe);
}

/* The other family's turn, once, if the machine has both. */
static bool probe_elsewhere(struct health *health)
{
    if (health->is_second || !runtime_has_ipv6(health->runtime))
        return false;
    health->is_second = true;
    health->is_at_ipv6 = !health->is_at_ipv6;
    return probe_there(health) == 0;
}

static void on_probed(void *context, enum health_probe_outcome outcome, const char *reason)
{
    struct health *health = context;
    health->probe = NULL;
    if (outcome == HEALTH_PROBE_NOBODY && probe_elsewhere(health))
        return;
    buffer_printf(&health->output, "port %u: %s", rules(health)->probe_port, reason);
    finish_check(health, outcome == HEALTH_PROBE_PASSED);
}

static int start_probe(struct health *health)
{
    health->is_second = false;
    int result = probe_there(health);
    return result < 0 && probe_elsewhere(health) ? 0 : result;
}

static int start_command(struct health *health)
{
    struct exec_options options = {.argv = (const char *const *)rules(health)->command.items};
    struct exec_callbacks callbacks = {
        .context = health, .on_output = on_output, .on_exit = on_exit_code};
    int result = runtime_exec(health->runtime, health->container->spec.id, &options, &callbacks,
                              &health->exec, NULL);
    if (result == 0)
        runtime_exec_end_input(health->exec);
    else
        health->exec = NULL;
    return result;
}

/* Whether the machine, and not the container, is why a check can't be run: that is no verdict. */
static bool is_machines_want(int result)
{
    return result == -EAGAIN || result == -ENOMEM || result == -EMFILE || result == -ENFILE;
}

static void check(uv_timer_t *timer)
{
    struct health *health = timer->data;
    buffer_clear(&health->output);
    int result = rules(health)->probe_port > 0 ? start_probe(health) : start_command(health);
    if (is_machines_want(result)) {
        log_limited(LOG_WARNING,
                    "container %s: its health is not known: this machine can't run "
                    "the check: %s",
                    health->container->spec.id, strerror(-result));
        schedule(health);
        return;
    }
    if (result < 0) {
        buffer_printf(&health->output, "the check cannot be run: %s", strerror(-result));
        finish_check(health, false);
        return;
    }
    uv_timer_start(&health->timer, on_timeout, (uint64_t)rules(health)->timeout_ms, 0);
}

struct health *health_new(struct container *container)
{
    struct health *health = calloc(1, sizeof(*health));
    if (!health)
        return NULL;
    health->container = container;
    health->runtime = container->runtime;
    health->started_ms = (int64_t)uv_now(container->runtime->loop);
    buffer_init(&health->output);
    uv_timer_init(container->runtime->loop, &health->timer);
    health->timer.data = health;
    health->eager_ms = FIRST_CHECK_MS;
    runtime_hold(container->runtime);
    schedule(health);
    return health;
}

static void timer_closed(uv_handle_t *handle)
{
    struct health *health = handle->data;
    struct runtime *runtime = health->runtime;
    buffer_done(&health->output);
    free(health);
    runtime_release(runtime);
}

void health_free(struct health *health)
{
    if (!health)
        return;
    stop_check(health);
    uv_close((uv_handle_t *)&health->timer, timer_closed);
}
