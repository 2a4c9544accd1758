/* `consort why`: what control sees and would do, in words. */
#include <errno.h>
#include <inttypes.h>

#include "node/control/control.h"
#include "node/control/describe.h"
#include "node/control/slots.h"

/* The lines said so far, and whether any was lost. */
struct explanation {
    struct buffer *lines;
    int rc;
};

static void said(struct explanation *explanation, int rc)
{
    if (rc < 0)
        explanation->rc = rc;
}

static void explain_summary(const struct world_service *service, const struct slots *slots,
                            struct explanation *ret)
{
    const struct intent_service *intent = service->intent;
    size_t serving = 0;
    for (size_t i = 0; i < slots->count; i++) {
        const struct slot *slot = &slots->items[i];
        serving += (slot->good && slot->good->serves) || (slot->stale && slot->stale->serves);
    }
    said(ret,
         buffer_printf(ret->lines, "%s: %zu of %zu serve, revision %" PRIu32 ", rollout %s%s%s\n",
                       intent->name, serving, slots->count, intent->revision,
                       intent_rollout_state_text(intent->rollout.state),
                       intent->rollout.reason[0] ? ": " : "", intent->rollout.reason));
}

static void explain_replicas(const struct world_service *service, struct explanation *ret)
{
    for (size_t i = 0; i < service->replica_count; i++) {
        const struct world_replica *replica = &service->replicas[i];
        char text[DESCRIBE_BYTES_MAX + 1];
        describe_replica(replica, text);
        if (!replica->runs)
            said(ret, buffer_printf(ret->lines, "%s, and shall stop: %s\n", text,
                                    replica->intent->reason));
        else if (!replica->serves)
            said(ret, buffer_printf(ret->lines, "%s\n", text));
    }
}

/* Configs and secrets of which there is a newer version than replicas have. */
static void explain_files(const struct world_service *service, const struct intent *intent,
                          struct explanation *ret)
{
    for (size_t i = 0; i < service->spec->file_count; i++) {
        const struct spec_file *file = &service->spec->files[i];
        const struct intent_blob *newest = intent_blob_find(intent, file->kind, file->source);
        if (newest && newest->version != file->version)
            said(ret,
                 buffer_printf(ret->lines,
                               "%s has version %" PRIu64 " of the %s %s; %" PRIu64
                               " is newer, and comes with the next deploy or update --force\n",
                               service->intent->name, file->version,
                               intent_blob_kind_text(file->kind), file->source, newest->version));
    }
}

static bool any_fits(const struct placer *placer, const struct place_request *request)
{
    return placer_choose(placer, request) != NULL;
}

/* Says peer by peer why the slot's next replica can't be placed; nothing if it can. */
static void explain_slot(const struct placer *placer, const struct slot *slot,
                         struct explanation *ret)
{
    struct place_request request = {
        .slot = slot->number,
        .home = slot->home,
        .replaced = slot->stale,
        .replaced_is_gone = slot->stale != NULL,
    };
    if (slot->good || any_fits(placer, &request))
        return;
    said(ret, buffer_printf(ret->lines, "%s.%" PRIu32 " waits for a peer that may take it:\n",
                            placer->service, slot->number));
    for (size_t i = 0; i < placer->world->peer_count; i++) {
        const struct world_peer *peer = &placer->world->peers[i];
        if (peer->intent->role != INTENT_PEER || !intent_peer_is_member(peer->intent) ||
            (slot->home && slot->home != peer))
            continue;
        char text[DESCRIBE_BYTES_MAX + 1];
        describe_verdict(placer, peer, &request, text);
        said(ret, buffer_printf(ret->lines, "  %s %s\n", peer->intent->name, text));
    }
}

static int explain_service(const struct world *world, struct world_service *service,
                           struct explanation *ret)
{
    struct slots slots;
    struct placer placer;
    if (service->intent->removing) {
        said(ret, buffer_printf(ret->lines, "%s is being removed\n", service->intent->name));
        explain_replicas(service, ret);
        return 0;
    }
    if (slots_init(&slots, world, service) < 0)
        return -ENOMEM;
    if (placer_init(&placer, world, service, service->spec) < 0) {
        slots_done(&slots);
        return -ENOMEM;
    }
    explain_summary(service, &slots, ret);
    explain_replicas(service, ret);
    explain_files(service, world->intent, ret);
    for (size_t i = 0; i < slots.count; i++)
        explain_slot(&placer, &slots.items[i], ret);
    placer_done(&placer);
    slots_done(&slots);
    return 0;
}

int control_explain(const struct intent *intent, const struct view *view, const char *service,
                    struct buffer *ret)
{
    struct explanation explanation = {.lines = ret};
    struct world world;
    if (!intent_service_find(intent, service))
        return -ENOENT;
    int rc = world_init(&world, intent, view, NULL, 0);
    if (rc < 0)
        return rc;
    rc = explain_service(&world, &world.services[table_lower_bound(&intent->services, service)],
                         &explanation);
    world_done(&world);
    return rc < 0 ? rc : explanation.rc;
}
