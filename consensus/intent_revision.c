/* A service's revisions: when a new one is made, which old ones are kept, and rolling out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/intent_apply.h"
#include "consensus/level.h"

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
    error_set(&apply->result->error, -ETXTBSY, "replicas of %zu revisions of %s still run",
              service->revisions.count, service->name);
    error_hint(&apply->result->error, "wait for the rollout: consort ps %s", service->name);
    return -ETXTBSY;
}

static int spec_bytes(const struct service_spec *spec, struct buffer *ret)
{
    struct service_spec without_replicas = *spec; /* borrows everything from `spec` */
    without_replicas.replicas = 0;
    struct writer writer;
    writer_init(&writer, ret);
    service_spec_write(&writer, level_newest, &without_replicas); /* all that it may differ in */
    return writer_check(&writer);
}

int intent_specs_equal(const struct service_spec *a, const struct service_spec *b, bool *ret)
{
    cleanup_buffer struct buffer a_bytes = {0}, b_bytes = {0};
    int rc = spec_bytes(a, &a_bytes);
    if (rc == 0)
        rc = spec_bytes(b, &b_bytes);
    if (rc == 0)
        *ret = bytes_equal(buffer_view(&a_bytes), buffer_view(&b_bytes));
    return rc;
}

int intent_spec_unchanged(const struct intent_service *service, const struct service_spec *spec,
                          bool *ret)
{
    return intent_specs_equal(&intent_revision_find(service, service->revision)->spec, spec, ret);
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

/* --- Limits that change in place --- */

static struct spec_resources without_limits(const struct spec_resources *resources)
{
    struct spec_resources rest = *resources;
    rest.cpu_limit_millis = 0;
    rest.memory_limit_bytes = 0;
    return rest;
}

/* Whether a container of the one becomes one of the other by changing limits that the kernel
 * changes while it runs. Swap of its own would have to change with the memory's. */
static int differ_in_limits_only(const struct service_spec *a, const struct service_spec *b,
                                 bool *ret)
{
    struct service_spec a_rest = *a, b_rest = *b; /* borrow everything */
    bool same = false;
    a_rest.resources = without_limits(&a->resources);
    b_rest.resources = without_limits(&b->resources);
    int rc = intent_specs_equal(&a_rest, &b_rest, &same);
    if (rc == 0)
        *ret = a->sandbox.swap_bytes == 0 && same;
    return rc;
}

static bool is_settled(const struct intent *intent, const struct intent_service *service)
{
    if (settled_revision(service) != service->revision || service->rollout.id == 0)
        return false;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        if (replica->want == INTENT_RUN && replica->revision != service->revision &&
            strcmp(replica->service, service->name) == 0)
            return false;
    }
    return true;
}

/* What runs is of that revision from now on; each peer gives its containers the limits. */
static void change_in_place(struct intent_apply *apply, struct intent_service *service,
                            uint32_t revision)
{
    struct intent *intent = apply->intent;
    size_t count = 0;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        struct intent_replica *replica = intent->replicas.items[i];
        if (replica->want != INTENT_RUN || strcmp(replica->service, service->name) != 0)
            continue;
        replica->revision = revision;
        count++;
    }
    service->rollout = (struct intent_rollout){
        .id = apply->index,
        .state = INTENT_ROLLOUT_DONE,
        .from = service->revision,
        .to = revision,
        .started_wall_ms = apply->head->wall_ms,
        .ended_wall_ms = apply->head->wall_ms,
    };
    service->revision = revision;
    intent_event_add(apply, "rollout", service->name,
                     "revision %u: new limits for %zu replicas that run on", revision, count);
}

int intent_changes_in_place(const struct intent *intent, const struct intent_service *service,
                            const struct service_spec *spec, bool *ret)
{
    *ret = false;
    return is_settled(intent, service)
               ? differ_in_limits_only(&intent_revision_find(service, service->revision)->spec,
                                       spec, ret)
               : 0;
}

int intent_rollout_begin(struct intent_apply *apply, struct intent_service *service,
                         uint32_t revision)
{
    bool in_place = false;
    int rc = intent_changes_in_place(apply->intent, service,
                                     &intent_revision_find(service, revision)->spec, &in_place);
    if (rc < 0)
        return rc;
    if (in_place) {
        change_in_place(apply, service, revision);
        return 0;
    }
    struct intent_rollout rollout = {
        .id = apply->index,
        .state = INTENT_ROLLOUT_RUNNING,
        .from = settled_revision(service),
        .to = revision,
        .started_wall_ms = apply->head->wall_ms,
    };
    service->rollout = rollout;
    service->revision = revision;
    return 0;
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
    int rc = intent_rollout_begin(apply, service, revision->number);
    if (rc < 0) {
        table_remove(&service->revisions, &revision->number);
        intent_revision_free(revision);
        return rc;
    }
    trim(apply->intent, service);
    return 0;
}
