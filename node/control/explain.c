/* Why a service is not as wanted, peer by peer. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "node/control/control.h"
#include "node/control/place.h"

enum {
    MEBIBYTE = 1024 * 1024,
};

static uint64_t left_of(uint64_t whole, uint64_t used)
{
    return used < whole ? whole - used : 0;
}

static int explain_peer(const struct placer *placer, const struct world_peer *peer,
                        struct buffer *ret)
{
    const struct place_request request = {.slot = 0};
    const struct spec_resources *needs = &placer->spec->resources;
    const char *unmet = "";
    const char *name = peer->intent->name;
    switch (placer_check(placer, peer, &request, &unmet)) {
    case PLACE_FITS:
        return buffer_printf(ret, "  peer %s: has room\n", name);
    case PLACE_NOT_ACTIVE:
        return buffer_printf(ret, "  peer %s: is %s\n", name,
                             intent_peer_state_text(peer->intent->state));
    case PLACE_UNREACHED:
        return buffer_printf(ret, "  peer %s: does not answer\n", name);
    case PLACE_UNKNOWN:
        return buffer_printf(ret, "  peer %s: has not said yet what it can\n", name);
    case PLACE_CONSTRAINT:
        return buffer_printf(ret, "  peer %s: does not meet the constraint %s\n", name, unmet);
    case PLACE_FULL:
        return buffer_printf(ret, "  peer %s: has max_replicas_per_node %u\n", name,
                             placer->spec->max_replicas_per_node);
    case PLACE_CPU:
        return buffer_printf(
            ret, "  peer %s: needs %u.%03u cpus, %" PRIu64 " thousandths free\n", name,
            needs->cpu_reserved_millis / 1000, needs->cpu_reserved_millis % 1000,
            left_of(peer->view->capacity.cpu_millis, peer->cpu_reserved_millis));
    case PLACE_MEMORY:
        break;
    }
    return buffer_printf(ret, "  peer %s: needs %" PRIu64 "M memory, %" PRIu64 "M free\n", name,
                         needs->memory_reserved_bytes / MEBIBYTE,
                         left_of(peer->view->capacity.memory_bytes, peer->memory_reserved_bytes) /
                             MEBIBYTE);
}

static int explain_service(const struct world *world, const struct world_service *service,
                           struct buffer *ret)
{
    struct placer placer;
    size_t placed = 0;
    for (size_t i = 0; i < service->replica_count; i++)
        placed += service->replicas[i].runs;
    if (service->spec->mode == SPEC_GLOBAL || placed >= service->intent->replicas ||
        service->intent->removing)
        return 0;
    int rc = placer_init(&placer, world, service, service->spec);
    if (rc < 0)
        return rc;
    rc = buffer_printf(ret, "pending: %zu of %u replicas have no peer\n",
                       service->intent->replicas - placed, service->intent->replicas);
    for (size_t i = 0; i < world->peer_count && rc == 0; i++)
        if (world->peers[i].intent->role == INTENT_PEER &&
            intent_peer_is_member(world->peers[i].intent))
            rc = explain_peer(&placer, &world->peers[i], ret);
    placer_done(&placer);
    return rc;
}

int control_explain(const struct intent *intent, const struct view *view, const char *service,
                    struct buffer *ret)
{
    struct world world;
    int rc = world_init(&world, intent, view, NULL, 0);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < world.service_count && rc == 0; i++)
        if (strcmp(world.services[i].intent->name, service) == 0)
            rc = explain_service(&world, &world.services[i], ret);
    world_done(&world);
    return rc;
}
