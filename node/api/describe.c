#include "node/api/describe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/stand_in.h"

enum {
    PROPOSE_PATIENCE_MS = 15000,
};

void propose_for(struct api_call *call, struct command *command, proposal_callback *callback)
{
    memcpy(command->head.actor, call->actor, sizeof(command->head.actor));
    int rc = peer_propose(call->peer, command, PROPOSE_PATIENCE_MS, callback, call);
    if (rc < 0)
        api_fail_with(call, rc, NULL, "the change could not be proposed: %s", strerror(-rc));
}

void answer_done(void *context, const struct agent_result *decided)
{
    if (!api_fail_if_refused(context, decided))
        api_answer(context, NULL);
}

void answer_changed(struct api_call *call, const struct agent_result *decided, const char *key,
                    uint64_t value)
{
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    if (api_fail_if_refused(call, decided))
        return;
    writer_init(&writer, &result);
    writer_map(&writer, key ? 2 : 1);
    put_flag(&writer, "unchanged", decided->result.unchanged);
    if (key)
        put_u64(&writer, key, value);
    api_answer(call, &result);
}

void answer_unchanged(void *context, const struct agent_result *decided)
{
    answer_changed(context, decided, NULL, 0);
}

bool replica_serves(const struct peer *peer, const struct intent_replica *replica)
{
    const struct view *view = agent_view(peer->agent);
    const struct view_replica *seen = view_replica_find(view, replica->generation);
    return seen && view_replica_serves(seen) && view_is_alive(view, &replica->peer);
}

static const char *state_text(const struct intent_replica *replica, const struct view_replica *seen,
                              const struct view_peer *at)
{
    static const char *const words[] = {
        [VIEW_REPLICA_UNKNOWN] = "assigned",  [VIEW_REPLICA_PENDING] = "pending",
        [VIEW_REPLICA_STARTING] = "starting", [VIEW_REPLICA_RUNNING] = "running",
        [VIEW_REPLICA_STOPPING] = "stopping", [VIEW_REPLICA_BACKOFF] = "backoff",
        [VIEW_REPLICA_EXITED] = "exited",     [VIEW_REPLICA_FAILED] = "failed"};
    if (!at || at->liveness == VIEW_DEAD)
        return "unreachable";
    if (replica->want == INTENT_STOP)
        return seen ? "stopping" : "stopped";
    return words[seen ? seen->state : VIEW_REPLICA_UNKNOWN];
}

static const char *health_text(const struct view_replica *seen)
{
    static const char *const words[] = {[VIEW_HEALTH_NONE] = "none",
                                        [VIEW_HEALTH_STARTING] = "starting",
                                        [VIEW_HEALTH_GOOD] = "healthy",
                                        [VIEW_HEALTH_BAD] = "unhealthy"};
    return words[seen ? seen->health : VIEW_HEALTH_NONE];
}

void put_replica(struct writer *writer, const struct peer *peer,
                 const struct intent_replica *replica)
{
    const struct view *view = agent_view(peer->agent);
    const struct view_replica *seen = view_replica_find(view, replica->generation);
    const struct service_spec *spec = intent_spec_of(agent_intent(peer->agent), replica);
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 16], words[STAND_IN_WORDS_BYTES] = "";
    bool is_stand_in = stand_in_is(replica->generation);
    if (is_stand_in)
        stand_in_describe(agent_intent(peer->agent), view, replica, words);
    snprintf(name, sizeof(name), "%s.%u", replica->service, replica->slot);
    writer_map(writer, 17);
    put_text(writer, "name", name);
    put_text(writer, "service", replica->service);
    put_u64(writer, "slot", replica->slot);
    put_u64(writer, "generation", replica->generation);
    put_u64(writer, "revision", replica->revision);
    put_text(writer, "peer", peer_name(peer, &replica->peer));
    put_text(writer, "want", replica->want == INTENT_RUN ? "run" : "stop");
    put_text(writer, "state", state_text(replica, seen, view_peer_find(view, &replica->peer)));
    put_text(writer, "health", health_text(seen));
    put_u64(writer, "restarts", seen ? seen->restarts : 0);
    put_i64(writer, "exit_code", seen ? seen->exit_code : 0);
    put_text(writer, "detail", seen && seen->detail[0] ? seen->detail : words);
    put_i64(writer, "since_wall_ms", replica->since_wall_ms);
    put_text(writer, "reason", is_stand_in ? words : replica->reason);
    put_flag(writer, "stands_in", is_stand_in);
    put_text(writer, "image", spec ? spec->image : "");
    put_id(writer, "peer_id", &replica->peer);
}

static bool does_its_work(const struct peer *peer, const struct intent_replica *replica)
{
    return replica->want == INTENT_RUN &&
           (replica_serves(peer, replica) ||
            view_replica_has_completed(
                view_replica_find(agent_view(peer->agent), replica->generation),
                intent_spec_of(agent_intent(peer->agent), replica)));
}

/* Whether one before the i-th of all replicas does what this stand-in is for. */
static bool is_superfluous(const struct peer *peer, const struct intent_replica *stand_in, size_t i)
{
    while (i-- > 0) {
        const struct intent_replica *other =
            any_replica_at(agent_intent(peer->agent), agent_view(peer->agent), i);
        if (other->slot == stand_in->slot && strcmp(other->service, stand_in->service) == 0 &&
            does_its_work(peer, other))
            return true;
    }
    return false;
}

uint32_t count_serving(const struct peer *peer, const struct intent_service *service)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_replica *replica;
    uint32_t count = 0;
    for (size_t i = 0; (replica = any_replica_at(intent, agent_view(peer->agent), i)); i++)
        count += strcmp(replica->service, service->name) == 0 && does_its_work(peer, replica) &&
                 !(stand_in_is(replica->generation) && is_superfluous(peer, replica, i));
    return count;
}

uint32_t count_wanted(const struct peer *peer, const struct intent_service *service)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_revision *revision = intent_revision_find(service, service->revision);
    uint32_t count = 0;
    if (service->removing)
        return 0;
    if (!revision || revision->spec.mode != SPEC_GLOBAL)
        return service->replicas;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        count += replica->want == INTENT_RUN && strcmp(replica->service, service->name) == 0;
    }
    return count;
}

void put_replicas(struct writer *writer, const struct peer *peer, const char *service,
                  const struct id *at)
{
    const struct intent_replica *replica;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            writer_array(writer, count);
        for (size_t i = 0;
             (replica = any_replica_at(agent_intent(peer->agent), agent_view(peer->agent), i));
             i++) {
            if ((service && strcmp(replica->service, service) != 0) ||
                (at && !id_equal(&replica->peer, at)))
                continue;
            if (pass == 0)
                count++;
            else
                put_replica(writer, peer, replica);
        }
    }
}
