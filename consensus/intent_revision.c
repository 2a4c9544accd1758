/* A service's revisions: when a new one is made, which old ones are kept, and rolling out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/intent_apply.h"

static uint32_t newest_number(const struct intent_service *service)
{
    if (service->revisions.count == 0)
        return 0;
    const struct intent_revision *newest = service->revisions.items[service->revisions.count - 1];
    return newest->number;
}

int intent_revision_check(struct intent_apply *apply, const struct intent_service *service)
{
    if (service->revisions.count < INTENT_REVISIONS_HARD_MAX && newest_number(service) < UINT32_MAX)
        return 0;
    error_set(&apply->result->error, -EBUSY, "replicas of %zu revisions of %s still run",
              service->revisions.count, service->name);
    error_hint(&apply->result->error, "wait for the rollout: consort ps %s", service->name);
    return -EBUSY;
}

static int spec_bytes(const struct service_spec *spec, struct buffer *ret)
{
    struct service_spec without_replicas = *spec; /* borrows everything from `spec` */
    without_replicas.replicas = 0;
    struct writer writer;
    writer_init(&writer, ret);
    service_spec_write(&writer, &without_replicas);
    return writer_check(&writer);
}

int intent_spec_unchanged(const struct intent_service *service, const struct service_spec *spec,
                          bool *ret)
{
    const struct intent_revision *wanted = intent_revision_find(service, service->revision);
    cleanup_buffer struct buffer old_bytes = {0}, new_bytes = {0};
    int rc = spec_bytes(&wanted->spec, &old_bytes);
    if (rc == 0)
        rc = spec_bytes(spec, &new_bytes);
    if (rc == 0)
        *ret = bytes_equal(buffer_view(&old_bytes), buffer_view(&new_bytes));
    return rc;
}

/* Whether a replica still runs this revision, or a rollout may return to it. */
static bool is_needed(const struct intent *intent, const struct intent_service *service,
                      uint32_t number)
{
    if (number == service->revision || number == service->rollout.from ||
        number == service->rollout.to)
        return true;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        if (replica->revision == number && strcmp(replica->service, service->name) == 0)
            return true;
    }
    return false;
}

static void trim(const struct intent *intent, struct intent_service *service)
{
    size_t i = 0;
    while (service->revisions.count > INTENT_REVISIONS_MAX && i < service->revisions.count) {
        struct intent_revision *revision = service->revisions.items[i];
        if (is_needed(intent, service, revision->number)) {
            i++;
            continue;
        }
        table_remove(&service->revisions, &revision->number);
        intent_revision_free(revision);
    }
}

/* The revision that a failing rollout returns to: the last one that settled. */
static uint32_t settled_revision(const struct intent_service *service)
{
    switch ((enum intent_rollout_state)service->rollout.state) {
    case INTENT_ROLLOUT_NONE:
    case INTENT_ROLLOUT_DONE:
    case INTENT_ROLLOUT_ROLLED_BACK:
        return service->revision;
    case INTENT_ROLLOUT_RUNNING:
    case INTENT_ROLLOUT_PAUSED:
    case INTENT_ROLLOUT_ROLLING_BACK:
    case INTENT_ROLLOUT_FAILED:
        break;
    }
    return service->rollout.from;
}

void intent_rollout_begin(struct intent_apply *apply, struct intent_service *service,
                          uint32_t revision)
{
    struct intent_rollout rollout = {
        .id = apply->index,
        .state = INTENT_ROLLOUT_RUNNING,
        .from = settled_revision(service),
        .to = revision,
        .started_wall_ms = apply->head->wall_ms,
    };
    service->rollout = rollout;
    service->revision = revision;
}

int intent_revision_add(struct intent_apply *apply, struct intent_service *service,
                        const struct service_spec *spec)
{
    struct intent_revision *revision = calloc(1, sizeof(*revision));
    if (!revision)
        return -ENOMEM;
    revision->number = newest_number(service) + 1;
    revision->wall_ms = apply->head->wall_ms;
    snprintf(revision->actor, sizeof(revision->actor), "%s", apply->head->actor);
    if (service_spec_copy(spec, &revision->spec) < 0 ||
        table_insert(&service->revisions, revision) < 0) {
        intent_revision_free(revision);
        return -ENOMEM;
    }
    intent_rollout_begin(apply, service, revision->number);
    trim(apply->intent, service);
    return 0;
}
