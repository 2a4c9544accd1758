#include "node/peer/anonymous.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HASH_BYTES = 16,
};

static void hash_target(const char *target, char ret[2 * HASH_BYTES + 1])
{
    uint8_t hash[HASH_BYTES];
    crypto_generichash(hash, sizeof(hash), (const uint8_t *)target, strlen(target), NULL, 0);
    sodium_bin2hex(ret, 2 * HASH_BYTES + 1, hash, sizeof(hash));
}

void anonymous_name(const char *service, uint32_t slot, const char *target,
                    char ret[ANONYMOUS_NAME_BYTES])
{
    char hash[2 * HASH_BYTES + 1];
    hash_target(target, hash);
    snprintf(ret, ANONYMOUS_NAME_BYTES, "%.*s.%" PRIu32 ".%s", INTENT_SERVICE_NAME_BYTES_MAX,
             service, slot, hash);
}

/* The parts of a name. */
struct parts {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint32_t slot;
    const char *hash;
};

static bool take_apart(const char *name, struct parts *ret)
{
    const char *last = strrchr(name, '.');
    const char *middle = last ? memrchr(name, '.', (size_t)(last - name)) : NULL;
    if (!middle || (size_t)(middle - name) >= sizeof(ret->service))
        return false;
    char *end;
    unsigned long slot = strtoul(middle + 1, &end, 10);
    if (end != last || slot > UINT32_MAX)
        return false;
    memcpy(ret->service, name, (size_t)(middle - name));
    ret->service[middle - name] = '\0';
    ret->slot = (uint32_t)slot;
    ret->hash = last + 1;
    return true;
}

/* Whether any revision that may be returned to has an anonymous volume there. */
static bool has_target(const struct intent_service *service, const char *hash)
{
    char other[2 * HASH_BYTES + 1];
    for (size_t i = 0; i < service->revisions.count; i++) {
        const struct service_spec *spec =
            &((const struct intent_revision *)service->revisions.items[i])->spec;
        for (size_t j = 0; j < spec->mount_count; j++) {
            if (spec->mounts[j].type != SPEC_MOUNT_VOLUME || spec->mounts[j].source)
                continue;
            hash_target(spec->mounts[j].target, other);
            if (strcmp(other, hash) == 0)
                return true;
        }
    }
    return false;
}

static bool is_being_updated(const struct intent_service *service)
{
    return service->rollout.state == INTENT_ROLLOUT_RUNNING ||
           service->rollout.state == INTENT_ROLLOUT_ROLLING_BACK ||
           service->rollout.state == INTENT_ROLLOUT_PAUSED;
}

/* A global service has a slot for each peer, which it keeps. */
static bool has_slot(const struct intent_service *service, uint32_t slot)
{
    const struct intent_revision *wanted = intent_revision_find(service, service->revision);
    return (wanted && wanted->spec.mode == SPEC_GLOBAL) || slot <= service->replicas;
}

bool anonymous_is_needed(const struct intent *intent, const struct view *view,
                         const struct id *self, const char *name)
{
    struct parts parts;
    if (!take_apart(name, &parts))
        return false;
    const struct intent_service *service = intent_service_find(intent, parts.service);
    if (!service || service->removing || !has_target(service, parts.hash))
        return false;
    bool runs_elsewhere = false;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        if (strcmp(replica->service, parts.service) != 0 || replica->slot != parts.slot)
            continue;
        if (id_equal(&replica->peer, self))
            return true;
        const struct view_replica *known = view_replica_find(view, replica->generation);
        runs_elsewhere = runs_elsewhere || (known && known->state == VIEW_REPLICA_RUNNING);
    }
    if (is_being_updated(service))
        return true;
    return !runs_elsewhere && has_slot(service, parts.slot);
}
