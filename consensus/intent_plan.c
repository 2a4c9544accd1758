#include "consensus/intent_plan.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/intent_apply.h"
#include "consensus/intent_spec_check.h"

enum { VERSION_TO_COME = -1 /* of what the deploy itself brings: no version that is there */ };

static int check(const struct intent *intent, const struct command_deploy *deploy,
                 int (*run)(struct intent_apply *, const struct command_deploy *),
                 struct error *error)
{
    struct intent_result result = {0};
    /* The checks change nothing: what they share with those who do is not const. */
    struct intent_apply apply = {.intent = (struct intent *)intent, .result = &result};
    int rc = run(&apply, deploy);
    if (rc < 0 && error)
        *error = result.error;
    return rc;
}

int intent_plan_check_alone(const struct command_deploy *deploy, struct error *error)
{
    return check(NULL, deploy, intent_deploy_check_alone, error);
}

int intent_plan_check(const struct intent *intent, const struct command_deploy *deploy,
                      struct error *error)
{
    for (size_t i = 0; i < deploy->service_count; i++) {
        uint32_t level = service_spec_level(&deploy->services[i]);
        if (level > intent->level.number)
            return intent_refuse_level(error, level, &intent->level);
    }
    return check(intent, deploy, intent_deploy_check, error);
}

bool intent_plan_removes(const struct command_deploy *deploy, const struct intent_service *service)
{
    return strcmp(service->stack, deploy->stack) == 0 && !service->removing &&
           !intent_deploy_has_service(deploy, service->name);
}

const char *intent_plan_part_text(enum intent_plan_part part)
{
    static const char *const texts[] = {
        [INTENT_PLAN_IMAGE] = "image",
        [INTENT_PLAN_COMMAND] = "command",
        [INTENT_PLAN_ENVIRONMENT] = "environment",
        [INTENT_PLAN_PORTS] = "ports",
        [INTENT_PLAN_VOLUMES] = "volumes",
        [INTENT_PLAN_FILES] = "configs and secrets",
        [INTENT_PLAN_HEALTHCHECK] = "healthcheck",
        [INTENT_PLAN_RESOURCES] = "resources",
        [INTENT_PLAN_NETWORKS] = "networks",
        [INTENT_PLAN_PLACEMENT] = "placement",
        [INTENT_PLAN_LABELS] = "labels",
        [INTENT_PLAN_OTHER] = "other settings",
    };
    assert(part < INTENT_PLAN_PARTS);
    return texts[part];
}

/* Files get the version that they would be shown with: the newest, or one that is yet to come. */
static void resolve_files(const struct intent *intent, const struct command_deploy *deploy,
                          struct service_spec *spec)
{
    for (size_t i = 0; i < spec->file_count; i++) {
        struct spec_file *file = &spec->files[i];
        for (size_t j = 0; j < deploy->blob_count && file->version == 0; j++) {
            const struct intent_blob *blob = &deploy->blobs[j];
            if (blob->kind == file->kind && strcmp(blob->name, file->source) == 0 &&
                !intent_blob_is_there(intent, blob))
                file->version = (uint64_t)VERSION_TO_COME;
        }
    }
    intent_blob_resolve(intent, spec);
}

/* Gives `to` that part of `from`, which keeps what it owns. */
static void lend(enum intent_plan_part part, const struct service_spec *from,
                 struct service_spec *to)
{
    switch (part) {
    case INTENT_PLAN_IMAGE:
        to->image = from->image;
        to->image_digest = from->image_digest;
        break;
    case INTENT_PLAN_COMMAND:
        to->command = from->command;
        to->entrypoint = from->entrypoint;
        to->working_dir = from->working_dir;
        to->user = from->user;
        break;
    case INTENT_PLAN_ENVIRONMENT:
        to->environment = from->environment;
        break;
    case INTENT_PLAN_PORTS:
        to->ports = from->ports;
        to->port_count = from->port_count;
        break;
    case INTENT_PLAN_VOLUMES:
        to->mounts = from->mounts;
        to->mount_count = from->mount_count;
        break;
    case INTENT_PLAN_FILES:
        to->files = from->files;
        to->file_count = from->file_count;
        break;
    case INTENT_PLAN_HEALTHCHECK:
        to->health = from->health;
        break;
    case INTENT_PLAN_RESOURCES:
        to->resources = from->resources;
        break;
    case INTENT_PLAN_NETWORKS:
        to->network_mode = from->network_mode;
        to->networks = from->networks;
        to->network_count = from->network_count;
        break;
    case INTENT_PLAN_PLACEMENT:
        to->mode = from->mode;
        to->constraints = from->constraints;
        to->spread = from->spread;
        to->max_replicas_per_node = from->max_replicas_per_node;
        break;
    case INTENT_PLAN_LABELS:
        to->labels = from->labels;
        break;
    case INTENT_PLAN_OTHER:
    case INTENT_PLAN_PARTS:
        break;
    }
}

static int find_parts(const struct service_spec *old, const struct service_spec *new,
                      uint32_t *ret_parts)
{
    struct service_spec rest = *old; /* ends with all parts of the new one */
    uint32_t parts = 0;
    bool same = false;
    int rc = 0;
    for (int part = 0; part < INTENT_PLAN_OTHER && rc == 0; part++) {
        struct service_spec mixed = *old;
        lend(part, new, &mixed);
        lend(part, new, &rest);
        rc = intent_specs_equal(old, &mixed, &same);
        parts |= same ? 0 : UINT32_C(1) << part;
    }
    if (rc == 0)
        rc = intent_specs_equal(&rest, new, &same);
    if (rc == 0)
        *ret_parts = parts | (same ? 0 : UINT32_C(1) << INTENT_PLAN_OTHER);
    return rc;
}

int intent_plan_service(const struct intent *intent, struct command_deploy *deploy, size_t index,
                        struct intent_plan_service *ret)
{
    assert(index < deploy->service_count);
    struct service_spec *spec = &deploy->services[index];
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    bool same = false, in_place = false;
    intent_full_name(deploy->stack, spec->name, name);
    const struct intent_service *service = intent_service_find(intent, name);
    *ret = (struct intent_plan_service){.change = INTENT_PLAN_NEW};
    resolve_files(intent, deploy, spec);
    if (!service || service->removing)
        return 0;
    ret->revision = service->revision;
    ret->replicas = service->replicas;
    int rc = intent_spec_unchanged(service, spec, &same);
    if (rc < 0)
        return rc;
    if (same) {
        ret->change =
            service->replicas == spec->replicas ? INTENT_PLAN_UNCHANGED : INTENT_PLAN_SCALE;
        return 0;
    }
    rc = intent_changes_in_place(intent, service, spec, &in_place);
    ret->change = in_place ? INTENT_PLAN_LIMITS : INTENT_PLAN_UPDATE;
    return rc < 0 ? rc
                  : find_parts(&intent_revision_find(service, service->revision)->spec, spec,
                               &ret->parts);
}
