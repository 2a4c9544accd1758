#include "node/peer/addresses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/mesh/mesh.h"
#include "node/peer/peer.h"
#include "runtime/network/address_rules.h"

struct addresses {
    struct address_rule *items;
    size_t count, room;
};

static int add(struct addresses *addresses, const char *network, const struct address *address,
               uint16_t virtual_ip)
{
    if (addresses->count == addresses->room) {
        size_t room = addresses->room * 2 + 8;
        struct address_rule *items = realloc(addresses->items, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        addresses->items = items;
        addresses->room = room;
    }
    struct address_rule *item = &addresses->items[addresses->count++];
    memset(item, 0, sizeof(*item)); /* they are compared as bytes */
    memcpy(item->network, network, strnlen(network, sizeof(item->network) - 1));
    memcpy(item->address.ip, address->ip, sizeof(item->address.ip));
    item->virtual_ip = MESH_VIRTUAL_BASE + virtual_ip;
    return 0;
}

/* Of the revision that is wanted, as its routes are (node/mesh/routes.c). One that goes has none:
 * another may have taken it. */
static int add_service(struct addresses *addresses, const struct intent_service *service)
{
    const struct intent_revision *revision = intent_revision_find(service, service->revision);
    if (!revision || service->removing || revision->spec.network_mode != SPEC_NETWORK_BRIDGE)
        return 0;
    int rc = 0;
    for (size_t i = 0; i < revision->spec.network_count && rc == 0; i++) {
        const struct spec_network *network = &revision->spec.networks[i];
        for (size_t j = 0; j < network->address_count && rc == 0; j++)
            rc = add(addresses, network->name, &network->addresses[j], service->virtual_ip);
    }
    return rc;
}

void addresses_changed(struct peer *peer)
{
    struct addresses addresses = {0};
    int rc = 0;
    if (!peer->runtime_is_ready || !peer->agent)
        return;
    const struct intent *intent = agent_intent(peer->agent);
    for (size_t i = 0; i < intent->services.count && rc == 0; i++)
        rc = add_service(&addresses, intent->services.items[i]);
    if (rc == 0)
        rc = runtime_set_addresses(peer->runtime, addresses.items, addresses.count);
    if (rc < 0)
        log_limited(LOG_WARNING, "services' own addresses can't be kept: %s", strerror(-rc));
    free(addresses.items);
}
