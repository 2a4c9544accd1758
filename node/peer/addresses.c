#include "node/peer/addresses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/mesh/mesh.h"
#include "node/peer/peer.h"
#include "runtime/network/address_rules.h"

struct item {
    struct address_rule rule;
    size_t order; /* of services' names, as routes are */
};

struct addresses {
    struct item *items;
    size_t count, room;
};

static int add(struct addresses *addresses, const char *network, const struct address *address,
               uint16_t virtual_ip)
{
    if (addresses->count == addresses->room) {
        size_t room = addresses->room * 2 + 8;
        struct item *items = realloc(addresses->items, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        addresses->items = items;
        addresses->room = room;
    }
    struct item *item = &addresses->items[addresses->count];
    memset(item, 0, sizeof(*item)); /* rules are compared as bytes */
    memcpy(item->rule.network, network, strnlen(network, sizeof(item->rule.network) - 1));
    memcpy(item->rule.address.ip, address->ip, sizeof(item->rule.address.ip));
    item->rule.virtual_ip = MESH_VIRTUAL_BASE + virtual_ip;
    item->order = addresses->count++;
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

static int compare_places(const struct item *a, const struct item *b)
{
    int order = strcmp(a->rule.network, b->rule.network);
    return order != 0 ? order
                      : memcmp(a->rule.address.ip, b->rule.address.ip, sizeof(a->rule.address.ip));
}

static int compare_items(const void *a, const void *b)
{
    const struct item *first = a, *second = b;
    int order = compare_places(first, second);
    return order != 0 ? order : (first->order > second->order) - (first->order < second->order);
}

/* An address means one service: of two that have it since a rollout went back to an earlier
 * revision, the first by name, as the mesh finds it (routes_by_address()). */
static int tell(struct runtime *runtime, struct addresses *addresses)
{
    struct address_rule *rules = calloc(addresses->count + 1, sizeof(*rules));
    size_t count = 0;
    if (!rules)
        return -ENOMEM;
    if (addresses->count > 0)
        qsort(addresses->items, addresses->count, sizeof(*addresses->items), compare_items);
    for (size_t i = 0; i < addresses->count; i++)
        if (i == 0 || compare_places(&addresses->items[i - 1], &addresses->items[i]) != 0)
            rules[count++] = addresses->items[i].rule;
    int rc = runtime_set_addresses(runtime, rules, count);
    free(rules);
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
        rc = tell(peer->runtime, &addresses);
    if (rc < 0)
        log_limited(LOG_WARNING, "services' own addresses can't be kept: %s", strerror(-rc));
    free(addresses.items);
}
