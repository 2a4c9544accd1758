/* The addresses that services have within one network: kept here, and made rules of. */
#include "runtime/service_addresses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/internal.h"
#include "runtime/network/address_rules.h"

/* Writes the rules anew; true if they differ from what was wanted. */
static bool write_rules(struct runtime *runtime)
{
    const struct runtime_settings *settings = &runtime->settings;
    cleanup_buffer struct buffer text;
    buffer_init(&text);
    int rc = address_rules_write(&settings->network, &runtime->networks, runtime->addresses,
                                 runtime->address_count, &text);
    char *taken = rc == 0 ? buffer_take_text(&text) : NULL;
    return taken && address_rules_want(settings->address_rules, taken);
}

void service_addresses_apply(const struct runtime_settings *settings)
{
    struct error error = {0};
    if (address_rules_apply(settings->address_rules, &error) < 0)
        log_limited(LOG_WARNING, "network: services' own addresses can't be reached: %s",
                    error.message);
}

static void run_apply(struct job *job)
{
    service_addresses_apply(&job->runtime->settings);
}

static void apply_done(struct job *job)
{
    free(job);
}

void service_addresses_changed(struct runtime *runtime)
{
    if (runtime->addresses) /* else there is nothing to write, or nobody has said yet */
        write_rules(runtime);
}

int runtime_set_addresses(struct runtime *runtime, const struct address_rule *items, size_t count)
{
    bool is_same = runtime->addresses && runtime->address_count == count &&
                   (count == 0 || memcmp(runtime->addresses, items, count * sizeof(*items)) == 0);
    if (is_same || runtime->closing)
        return 0;
    struct address_rule *copy = calloc(count + 1, sizeof(*copy));
    struct job *job = calloc(1, sizeof(*job));
    if (!copy || !job) {
        free(copy);
        free(job);
        return -ENOMEM;
    }
    if (count > 0)
        memcpy(copy, items, count * sizeof(*items));
    free(runtime->addresses);
    runtime->addresses = copy;
    runtime->address_count = count;
    *job = (struct job){.run = run_apply, .done = apply_done};
    if (write_rules(runtime))
        runtime_submit(runtime, job);
    else
        free(job);
    return 0;
}
