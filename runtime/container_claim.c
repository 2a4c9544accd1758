#include "runtime/container_claim.h"

#include <errno.h>

#include "runtime/container.h"
#include "runtime/sandbox_options.h"
#include "runtime/service_addresses.h"

/* Addresses, unless it has them from an earlier start. */
static int take_addresses(struct container *container, struct error *error)
{
    struct container_record *record = &container->record;
    int result = 0;
    if (record->ends.count == 0)
        result = network_pool_take(&container->runtime->networks, &container->spec, &record->ends);
    if (result == 0)
        service_addresses_changed(container->runtime);
    return result < 0
               ? error_set_errno(error, result, "container %s: %s", container->spec.id,
                                 result == -ENOSPC ? "containers of too many networks run here"
                                                   : "no address of its network is left")
               : 0;
}

/* Ids of its own, likewise: the lowest that no other container's record names. */
static int take_ids(struct container *container, struct error *error)
{
    const struct runtime *runtime = container->runtime;
    const struct userns_pool *pool = &runtime->settings.userns;
    struct userns_taken taken = {0};
    if (container->record.first_id != 0 ||
        !sandbox_options_want_userns(&container->spec.sandbox.options))
        return 0;
    for (size_t i = 0; i < runtime->containers.count; i++) {
        const struct container *other = runtime->containers.items[i];
        if (other->record.first_id != 0)
            userns_take(pool, &taken, other->record.first_id);
    }
    int result = userns_choose(pool, &taken, &container->record.first_id);
    if (result < 0) {
        error_set(error, result, "container %s: all %u ranges of ids for user namespaces are taken",
                  container->spec.id, pool->range_count);
        error_hint(error, "give this peer more: consort node --userns-ids FIRST:COUNT");
    }
    return result;
}

int container_claim(struct container *container, struct error *error)
{
    int result = take_addresses(container, error);
    return result < 0 ? result : take_ids(container, error);
}

void container_release(struct container *container)
{
    network_pool_release(&container->runtime->networks, &container->record.ends);
    container->record.ends = (struct network_ends){0};
    container->record.first_id = 0;
    service_addresses_changed(container->runtime);
}
