#include "node/control/describe.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    MEBIBYTE = 1024 * 1024,
    STATE_WORDS_BYTES = 96,
};

static void state_words(const struct view_replica *report, char *ret, size_t capacity)
{
    switch ((enum view_replica_state)report->state) {
    case VIEW_REPLICA_UNKNOWN:
    case VIEW_REPLICA_PENDING:
        snprintf(ret, capacity, "is being prepared");
        return;
    case VIEW_REPLICA_STARTING:
        snprintf(ret, capacity, "is starting");
        return;
    case VIEW_REPLICA_RUNNING:
        snprintf(ret, capacity, "%s",
                 view_replica_serves(report)              ? "serves"
                 : report->health == VIEW_HEALTH_STARTING ? "runs, its health is not known yet"
                                                          : "is unhealthy");
        return;
    case VIEW_REPLICA_STOPPING:
        snprintf(ret, capacity, "is stopping");
        return;
    case VIEW_REPLICA_BACKOFF:
        snprintf(ret, capacity, "crashes (%" PRIu32 " restarts, exit code %" PRId32 ")",
                 report->restarts, report->exit_code);
        return;
    case VIEW_REPLICA_EXITED:
        snprintf(ret, capacity, "exited with code %" PRId32, report->exit_code);
        return;
    case VIEW_REPLICA_FAILED:
        snprintf(ret, capacity, "can't be started");
        return;
    }
}

static const char *peer_words(const struct world_peer *peer)
{
    if (peer->intent->state == INTENT_REVOKED)
        return "was revoked";
    if (peer->intent->state == INTENT_LEFT)
        return "has left";
    if (!peer->view)
        return "was not heard of yet";
    switch ((enum view_liveness)peer->view->liveness) {
    case VIEW_DEAD:
        return "is dead";
    case VIEW_LEFT:
        return "was shut down";
    case VIEW_SUSPECT:
        return "does not answer";
    case VIEW_ALIVE:
        break;
    }
    return peer->intent->state == INTENT_DRAINING ? "is draining" : "is alive";
}

void describe_peer(const struct world_peer *peer, char ret[DESCRIBE_BYTES_MAX + 1])
{
    snprintf(ret, DESCRIBE_BYTES_MAX + 1, "%s %s", peer->intent->name, peer_words(peer));
}

void describe_replica(const struct world_replica *replica, char ret[DESCRIBE_BYTES_MAX + 1])
{
    size_t capacity = DESCRIBE_BYTES_MAX + 1;
    const struct intent_replica *intent = replica->intent;
    const struct world_peer *peer = replica->peer;
    if (!peer->view || peer->view->liveness != VIEW_ALIVE || !intent_peer_is_member(peer->intent)) {
        snprintf(ret, capacity, "%s.%" PRIu32 ": %s %s", intent->service, intent->slot,
                 peer->intent->name, peer_words(peer));
        return;
    }
    char words[STATE_WORDS_BYTES] = "is not heard of yet";
    if (replica->view)
        state_words(replica->view, words, sizeof(words));
    const char *detail = replica->view && !replica->serves ? replica->view->detail : "";
    snprintf(ret, capacity, "%s.%" PRIu32 " on %s %s%s%s", intent->service, intent->slot,
             peer->intent->name, words, detail[0] != '\0' ? ": " : "", detail);
}

static uint64_t free_of(uint64_t capacity, uint64_t used)
{
    return used < capacity ? capacity - used : 0;
}

void describe_verdict(const struct placer *placer, const struct world_peer *peer,
                      const struct place_request *request, char ret[DESCRIBE_BYTES_MAX + 1])
{
    const struct spec_resources *needs = &placer->spec->resources;
    const char *unmet = "";
    size_t capacity = DESCRIBE_BYTES_MAX + 1;
    switch (placer_check(placer, peer, request, &unmet)) {
    case PLACE_FITS:
        snprintf(ret, capacity, "has room");
        return;
    case PLACE_NOT_ACTIVE:
        snprintf(ret, capacity, "is %s", intent_peer_state_text(peer->intent->state));
        return;
    case PLACE_UNREACHED:
        snprintf(ret, capacity, "%s", peer_words(peer));
        return;
    case PLACE_UNKNOWN:
        snprintf(ret, capacity, "has not told its capacity yet");
        return;
    case PLACE_CONSTRAINT:
        snprintf(ret, capacity, "does not meet the constraint %s", unmet);
        return;
    case PLACE_FULL:
        snprintf(ret, capacity, "has %" PRIu32 " already, the most for one peer",
                 placer->spec->max_replicas_per_node);
        return;
    case PLACE_CPU:
        snprintf(ret, capacity, "needs %" PRIu32 "m of CPU, %" PRIu64 "m are free",
                 needs->cpu_reserved_millis,
                 free_of(peer->view->capacity.cpu_millis, peer->cpu_reserved_millis));
        return;
    case PLACE_MEMORY:
        snprintf(ret, capacity, "needs %" PRIu64 "M of memory, %" PRIu64 "M are free",
                 needs->memory_reserved_bytes / MEBIBYTE,
                 free_of(peer->view->capacity.memory_bytes, peer->memory_reserved_bytes) /
                     MEBIBYTE);
        return;
    }
}
