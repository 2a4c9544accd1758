#include "node/api/describe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const struct intent_peer *find_peer(const struct peer *peer, const char *name_or_id)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_peer *found = intent_peer_by_name(intent, name_or_id);
    for (size_t i = 0; i < intent->peers.count && !found; i++) {
        const struct intent_peer *candidate = intent->peers.items[i];
        char hex[ID_TEXT_BYTES];
        id_format(&candidate->id, hex);
        if (strlen(name_or_id) >= ID_SHORT_TEXT_BYTES - 1 &&
            strncmp(hex, name_or_id, strlen(name_or_id)) == 0)
            found = candidate;
    }
    return found;
}

/* Whether `name` is the service's within its stack: "web" for "hello_web". */
static bool is_short_name(const struct intent_service *service, const char *name)
{
    size_t stack = strlen(service->stack);
    return strncmp(service->name, service->stack, stack) == 0 && service->name[stack] == '_' &&
           strcmp(service->name + stack + 1, name) == 0;
}

const struct intent_service *find_service(const struct peer *peer, const char *name)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_service *exact = intent_service_find(intent, name);
    const struct intent_service *found = NULL;
    for (size_t i = 0; i < intent->services.count && !exact; i++) {
        const struct intent_service *service = intent->services.items[i];
        if (!is_short_name(service, name))
            continue;
        if (found)
            return NULL;
        found = service;
    }
    return exact ? exact : found;
}

static bool serves(const struct peer *peer, const struct intent_replica *replica)
{
    const struct view_replica *seen =
        view_replica_find(agent_view(peer->agent), replica->generation);
    const struct view_peer *at = view_peer_find(agent_view(peer->agent), &replica->peer);
    return seen && view_replica_serves(seen) && at && at->liveness == VIEW_ALIVE;
}

/* Cuts ".N" off the end of `text`; false, and nothing is changed, if it does not end so. */
static bool cut_number(char *text, uint64_t *ret)
{
    char *dot = strrchr(text, '.');
    if (!dot || dot[1] < '1' || dot[1] > '9' || dot[1 + strspn(dot + 1, "0123456789")] != '\0')
        return false;
    errno = 0;
    uint64_t number = strtoull(dot + 1, NULL, 10);
    if (errno != 0)
        return false;
    *dot = '\0';
    *ret = number;
    return true;
}

static const struct intent_replica *find_in_slot(const struct peer *peer, const char *service,
                                                 uint64_t slot, uint64_t generation)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_service *found = find_service(peer, service);
    const struct intent_replica *best = NULL;
    for (size_t i = 0; i < intent->replicas.count && found; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        if (strcmp(replica->service, found->name) != 0 || replica->slot != slot ||
            (generation != 0 && replica->generation != generation))
            continue;
        if (!best || !serves(peer, best) || serves(peer, replica))
            best = replica;
    }
    return best;
}

/* A service's name may have dots and numbers itself, so both ways to read the end are tried. */
const struct intent_replica *find_replica(const struct peer *peer, const char *name)
{
    char text[INTENT_SERVICE_NAME_BYTES_MAX + 48];
    uint64_t last, before;
    size_t length = strlen(name);
    if (length >= sizeof(text))
        return NULL;
    memcpy(text, name, length + 1);
    if (!cut_number(text, &last))
        return NULL;
    const struct intent_replica *found = find_in_slot(peer, text, last, 0);
    if (!found && cut_number(text, &before))
        found = find_in_slot(peer, text, before, last);
    return found;
}

const struct intent_peer *wanted_peer(struct api_call *call, struct bytes params)
{
    return peer_of_param(call, params, "peer");
}

const struct intent_peer *peer_of_param(struct api_call *call, struct bytes params, const char *key)
{
    char name[ID_TEXT_BYTES] = "";
    frame_text(params, key, name, sizeof(name));
    const struct intent_peer *peer = find_peer(call->peer, name);
    if (!peer)
        api_fail_with(call, -ENOENT, "list them with: consort peer ls", "there is no peer %s",
                      name);
    return peer;
}

const struct intent_service *wanted_service(struct api_call *call, struct bytes params)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1] = "";
    frame_text(params, "service", name, sizeof(name));
    const struct intent_service *service = find_service(call->peer, name);
    if (!service)
        api_fail_with(call, -ENOENT, "list them with: consort service ls", "there is no service %s",
                      name);
    return service;
}

const struct intent_service *wanted_subject(struct api_call *call, struct bytes params,
                                            const struct intent_replica **ret_replica)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 32] = "";
    frame_text(params, "subject", name, sizeof(name));
    const struct intent_replica *replica = find_replica(call->peer, name);
    const struct intent_service *service =
        replica ? intent_service_find(agent_intent(call->peer->agent), replica->service)
                : find_service(call->peer, name);
    if (!service)
        api_fail_with(call, -ENOENT, "list them with: consort service ls, consort ps",
                      "there is no service or replica %s", name);
    *ret_replica = replica;
    return service;
}

const struct intent_service *named_service(struct api_call *call, struct bytes params,
                                           char ret_name[INTENT_SERVICE_NAME_BYTES_MAX + 1])
{
    const struct intent_service *service = wanted_service(call, params);
    if (service)
        memcpy(ret_name, service->name, INTENT_SERVICE_NAME_BYTES_MAX + 1);
    return service;
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
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 16];
    snprintf(name, sizeof(name), "%s.%u", replica->service, replica->slot);
    writer_map(writer, 16);
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
    put_text(writer, "detail", seen ? seen->detail : "");
    put_i64(writer, "since_wall_ms", replica->since_wall_ms);
    put_text(writer, "reason", replica->reason);
    put_text(writer, "image", spec ? spec->image : "");
    put_id(writer, "peer_id", &replica->peer);
}

uint32_t count_serving(const struct peer *peer, const struct intent_service *service)
{
    const struct intent *intent = agent_intent(peer->agent);
    uint32_t count = 0;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        count += replica->want == INTENT_RUN && strcmp(replica->service, service->name) == 0 &&
                 serves(peer, replica);
    }
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
    const struct table *replicas = &agent_intent(peer->agent)->replicas;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            writer_array(writer, count);
        for (size_t i = 0; i < replicas->count; i++) {
            const struct intent_replica *replica = replicas->items[i];
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
