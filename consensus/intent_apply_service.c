/* Changing one service, and removing services: scale, update, rollback, remove. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/intent_apply.h"
#include "consensus/intent_spec_check.h"

static const struct service_spec *wanted_spec(const struct intent_service *service)
{
    return &intent_revision_find(service, service->revision)->spec;
}

/* Finds a service that is not going; NULL after refusing the command. */
static struct intent_service *service_find(struct intent_apply *apply, const char *name)
{
    struct intent_service *service = intent_service_find(apply->intent, name);
    if (!service) {
        intent_refuse_service(apply, name);
        return NULL;
    }
    if (service->removing) {
        error_set(&apply->result->error, -ENOENT, "%s is being removed", name);
        error_hint(&apply->result->error, "deploy its stack again to have it back");
        return NULL;
    }
    return service;
}

int intent_apply_scale(struct intent_apply *apply, const struct command_scale *scale)
{
    struct error *error = &apply->result->error;
    struct intent_service *service = service_find(apply, scale->service);
    if (!service)
        return -ENOENT;
    const struct service_spec *spec = wanted_spec(service);
    if (spec->mode == SPEC_GLOBAL) {
        error_set(error, -EINVAL, "%s is global: it has one replica on every peer", service->name);
        error_hint(error, "deploy it with deploy.mode: replicated to choose how many");
        return -EINVAL;
    }
    if (scale->replicas > INTENT_REPLICAS_MAX)
        return error_set(error, -EINVAL, "%s: more than %d replicas", service->name,
                         INTENT_REPLICAS_MAX);
    if (spec->exclusive && scale->replicas > 1) {
        error_set(error, -EINVAL, "%s is exclusive: it can't have several replicas", service->name);
        error_hint(error, "take x-consort.exclusive away and deploy again");
        return -EINVAL;
    }
    apply->result->revision = service->revision;
    if (scale->replicas == service->replicas) {
        apply->result->unchanged = true;
        return 0;
    }
    int rc = intent_quota_check_service(apply, service, spec, scale->replicas);
    if (rc < 0)
        return rc;
    intent_event_add(apply, "scale", service->name, "from %u to %u replicas", service->replicas,
                     scale->replicas);
    service->replicas = scale->replicas;
    return 0;
}

int intent_apply_update(struct intent_apply *apply, struct command_update *update)
{
    struct intent_service *service = service_find(apply, update->service);
    if (!service)
        return -ENOENT;
    struct service_spec *spec = &update->spec;
    if (strcmp(spec->name, wanted_spec(service)->name) != 0)
        return error_set(&apply->result->error, -EINVAL, "%s can't be renamed to %s", service->name,
                         spec->name);
    int rc = intent_spec_check(apply, service->name, spec);
    if (rc == 0)
        rc = intent_clashes_check(apply, service->name, spec, NULL);
    if (rc == 0)
        rc = intent_files_check(apply, service->name, spec, NULL);
    if (rc == 0)
        rc = intent_revision_check(apply, service);
    if (rc == 0)
        rc = intent_quota_check_limits(apply, service->stack, service->name, spec);
    if (rc == 0)
        rc = intent_quota_check_service(apply, service, spec, spec->replicas);
    bool same = false;
    if (rc == 0) {
        intent_blob_resolve(apply->intent, spec);
        rc = intent_spec_unchanged(service, spec, &same);
    }
    if (rc < 0)
        return rc;
    apply->result->unchanged = same && service->replicas == spec->replicas;
    service->replicas = spec->replicas;
    if (!same) {
        rc = intent_revision_add(apply, service, spec);
        if (rc < 0)
            return rc;
    }
    apply->result->revision = service->revision;
    if (!apply->result->unchanged)
        intent_event_add(apply, "update", service->name, "revision %u of %s, %u replicas",
                         service->revision, spec->image, spec->replicas);
    return intent_blobs_sweep(apply->intent);
}

/* The latest revision before the wanted one; 0 if none is known. */
static uint32_t revision_before(const struct intent_service *service)
{
    uint32_t before = 0;
    for (size_t i = 0; i < service->revisions.count; i++) {
        const struct intent_revision *revision = service->revisions.items[i];
        if (revision->number < service->revision)
            before = revision->number;
    }
    return before;
}

static void hint_revisions(struct intent_apply *apply, const struct intent_service *service)
{
    char text[INTENT_REASON_BYTES_MAX + 1] = "";
    size_t length = 0;
    for (size_t i = 0; i < service->revisions.count && length < sizeof(text); i++) {
        const struct intent_revision *revision = service->revisions.items[i];
        length += (size_t)snprintf(text + length, sizeof(text) - length, " %u", revision->number);
    }
    error_hint(&apply->result->error, "known revisions:%s", text);
}

int intent_apply_rollback(struct intent_apply *apply, const struct command_rollback *rollback)
{
    struct error *error = &apply->result->error;
    struct intent_service *service = service_find(apply, rollback->service);
    if (!service)
        return -ENOENT;
    uint32_t number = rollback->revision ? rollback->revision : revision_before(service);
    if (number == 0)
        return error_set(error, -ENOENT, "%s has no earlier revision than %u", service->name,
                         service->revision);
    const struct intent_revision *revision = intent_revision_find(service, number);
    if (!revision) {
        error_set(error, -ENOENT, "%s has no revision %u any more", service->name, number);
        hint_revisions(apply, service);
        return -ENOENT;
    }
    int rc = intent_clashes_check(apply, service->name, &revision->spec, NULL);
    if (rc == 0)
        rc = intent_files_check(apply, service->name, &revision->spec, NULL);
    if (rc == 0)
        rc = intent_quota_check_limits(apply, service->stack, service->name, &revision->spec);
    if (rc == 0)
        rc = intent_quota_check_service(apply, service, &revision->spec, service->replicas);
    if (rc < 0)
        return rc;
    apply->result->revision = number;
    if (number == service->revision) {
        apply->result->unchanged = true;
        return 0;
    }
    uint32_t from = service->revision;
    rc = intent_rollout_begin(apply, service, number);
    if (rc == 0)
        intent_event_add(apply, "rollback", service->name, "from revision %u to revision %u of %s",
                         from, number, revision->spec.image);
    return rc;
}

static bool has_replicas(const struct intent *intent, const struct intent_service *service)
{
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        if (strcmp(replica->service, service->name) == 0)
            return true;
    }
    return false;
}

int intent_services_sweep(struct intent_apply *apply)
{
    struct intent *intent = apply->intent;
    bool changed = false;
    for (size_t i = intent->services.count; i-- > 0;) {
        struct intent_service *service = intent->services.items[i];
        if (!service->removing || has_replicas(intent, service))
            continue;
        intent_event_add(apply, "remove", service->name, "gone");
        table_remove(&intent->services, service->name);
        intent_service_free(service);
        changed = true;
    }
    return changed ? intent_blobs_sweep(intent) : 0;
}

int intent_service_remove(struct intent_apply *apply, struct intent_service *service)
{
    service->removing = true;
    service->rollout.state = INTENT_ROLLOUT_NONE;
    service->rollout.ended_wall_ms = apply->head->wall_ms;
    intent_event_add(apply, "remove", service->name, "its replicas stop");
    return intent_services_sweep(apply);
}

static int stack_remove(struct intent_apply *apply, const char *stack)
{
    struct intent *intent = apply->intent;
    bool found = false;
    apply->result->unchanged = true;
    for (size_t i = intent->services.count; i-- > 0;) {
        struct intent_service *service = intent->services.items[i];
        if (strcmp(service->stack, stack) != 0)
            continue;
        found = true;
        if (service->removing)
            continue;
        apply->result->unchanged = false;
        int rc = intent_service_remove(apply, service);
        if (rc < 0)
            return rc;
    }
    if (found)
        return 0;
    apply->result->unchanged = false;
    error_set(&apply->result->error, -ENOENT, "there is no stack %s", stack);
    error_hint(&apply->result->error, "see what there is: consort service ls");
    return -ENOENT;
}

int intent_apply_remove(struct intent_apply *apply, const struct command_remove *remove)
{
    if (remove->is_stack)
        return stack_remove(apply, remove->name);
    struct intent_service *service = intent_service_find(apply->intent, remove->name);
    if (!service)
        return intent_refuse_service(apply, remove->name);
    apply->result->unchanged = service->removing;
    return service->removing ? 0 : intent_service_remove(apply, service);
}
