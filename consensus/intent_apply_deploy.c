/* Deploying a stack: all of it is checked before any of it is changed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/intent_apply.h"
#include "consensus/intent_spec_check.h"

enum {
    BITS_PER_WORD = 64,
    VIRTUAL_IP_WORDS = (UINT16_MAX + 1) / BITS_PER_WORD,
};

bool intent_deploy_has_service(const struct command_deploy *deploy, const char *full_name)
{
    for (size_t i = 0; i < deploy->service_count; i++) {
        char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
        intent_full_name(deploy->stack, deploy->services[i].name, name);
        if (strcmp(name, full_name) == 0)
            return true;
    }
    return false;
}

/* That the services of the file do not contradict one another. */
static int pairs_check(struct intent_apply *apply, const struct command_deploy *deploy, size_t i)
{
    struct error *error = &apply->result->error;
    const struct service_spec *spec = &deploy->services[i];
    for (size_t j = 0; j < i; j++) {
        const struct service_spec *other = &deploy->services[j];
        const struct spec_port *port;
        if (strcmp(spec->name, other->name) == 0)
            return error_set(error, -EINVAL, "the service %s is there twice", spec->name);
        if (intent_ports_clash(spec, other, &port)) {
            error_set(error, -EADDRINUSE, "%s and %s both publish port %u/%s", other->name,
                      spec->name, port->published, intent_protocol_text(port->protocol));
            error_hint(error, "every peer answers at all of its addresses: publish another port");
            return -EADDRINUSE;
        }
        const struct address *address;
        const struct spec_network *network = spec_addresses_clash(spec, other, &address);
        if (network)
            return intent_refuse_address(apply, spec->name, other->name, network->name, address);
    }
    return 0;
}

static int service_check_alone(struct intent_apply *apply, const struct command_deploy *deploy,
                               size_t i)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    intent_full_name(deploy->stack, deploy->services[i].name, name);
    int rc = intent_spec_check(apply, name, &deploy->services[i]);
    return rc < 0 ? rc : pairs_check(apply, deploy, i);
}

static int service_check(struct intent_apply *apply, const struct command_deploy *deploy, size_t i)
{
    const struct service_spec *spec = &deploy->services[i];
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    intent_full_name(deploy->stack, spec->name, name);
    int rc = service_check_alone(apply, deploy, i);
    if (rc == 0)
        rc = intent_clashes_check(apply, name, spec, deploy->stack);
    if (rc == 0)
        rc = intent_files_check(apply, name, spec, deploy);
    const struct intent_service *service = intent_service_find(apply->intent, name);
    if (rc == 0 && service && strcmp(service->stack, deploy->stack) != 0)
        rc = error_set(&apply->result->error, -EEXIST, "%s belongs to the stack %s", name,
                       service->stack);
    if (rc == 0 && service)
        rc = intent_revision_check(apply, service);
    return rc;
}

static int blob_check_alone(struct intent_apply *apply, const struct command_deploy *deploy,
                            size_t i)
{
    struct error *error = &apply->result->error;
    const struct intent_blob *blob = &deploy->blobs[i];
    const char *kind = intent_blob_kind_text(blob->kind);
    if (!intent_name_is_valid(blob->name))
        return error_set(error, -EINVAL, "\"%s\" can't be the name of a %s", blob->name, kind);
    for (size_t j = 0; j < i; j++)
        if (deploy->blobs[j].kind == blob->kind && strcmp(deploy->blobs[j].name, blob->name) == 0)
            return error_set(error, -EINVAL, "the %s %s is there twice", kind, blob->name);
    return 0;
}

/* One of the deploy's configs and secrets. */
static int blob_check(struct intent_apply *apply, const struct command_deploy *deploy, size_t i)
{
    struct error *error = &apply->result->error;
    const struct intent_blob *blob = &deploy->blobs[i];
    const char *kind = intent_blob_kind_text(blob->kind);
    const struct intent_blob *present = intent_blob_find(apply->intent, blob->kind, blob->name);
    int rc = blob_check_alone(apply, deploy, i);
    if (rc < 0)
        return rc;
    if (!present || strcmp(present->stack, deploy->stack) == 0)
        return 0;
    if (present->stack[0] == '\0') {
        error_set(error, -EEXIST, "the %s %s is the cluster's own", kind, blob->name);
        error_hint(error, "say external: true to use it, or: consort %s rm %s", kind, blob->name);
        return -EEXIST;
    }
    return error_set(error, -EEXIST, "the %s %s belongs to the stack %s", kind, blob->name,
                     present->stack);
}

static int blobs_check(struct intent_apply *apply, const struct command_deploy *deploy)
{
    size_t added = 0, added_bytes = 0, added_wraps = 0;
    for (size_t i = 0; i < deploy->blob_count; i++) {
        const struct intent_blob *blob = &deploy->blobs[i];
        int rc = blob_check(apply, deploy, i);
        if (rc < 0)
            return rc;
        if (intent_blob_is_there(apply->intent, blob))
            continue;
        rc = intent_blob_check_sealed(apply, blob);
        if (rc < 0)
            return rc;
        added++;
        added_bytes += blob->content.size;
        added_wraps += blob->wrap_count;
    }
    int rc = intent_blob_room(apply, added, added_bytes);
    return rc < 0 ? rc : intent_wrap_room(apply, added_wraps);
}

/* The stack has afterwards what the file says, and nothing else. */
static int quota_check(struct intent_apply *apply, const struct command_deploy *deploy)
{
    struct intent_usage asked = {0};
    for (size_t i = 0; i < deploy->service_count; i++) {
        const struct service_spec *spec = &deploy->services[i];
        char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
        intent_full_name(deploy->stack, spec->name, name);
        int rc = intent_quota_check_limits(apply, deploy->stack, name, spec);
        if (rc < 0)
            return rc;
        intent_usage_add(apply->intent, spec, spec->replicas, &asked);
    }
    return intent_quota_check(apply, deploy->stack, &asked);
}

static int stack_check(struct intent_apply *apply, const struct command_deploy *deploy)
{
    struct error *error = &apply->result->error;
    if (!intent_name_is_valid(deploy->stack)) {
        error_set(error, -EINVAL, "\"%s\" can't be a stack's name", deploy->stack);
        error_hint(error, "use letters, digits, '-', '_' and '.'");
        return -EINVAL;
    }
    if (deploy->service_count == 0) {
        error_set(error, -EINVAL, "the stack %s would have no service", deploy->stack);
        error_hint(error, "to remove it: consort rm %s", deploy->stack);
        return -EINVAL;
    }
    return 0;
}

int intent_deploy_check_alone(struct intent_apply *apply, const struct command_deploy *deploy)
{
    int rc = stack_check(apply, deploy);
    for (size_t i = 0; rc == 0 && i < deploy->blob_count; i++)
        rc = blob_check_alone(apply, deploy, i);
    for (size_t i = 0; rc == 0 && i < deploy->service_count; i++)
        rc = service_check_alone(apply, deploy, i);
    return rc;
}

int intent_deploy_check(struct intent_apply *apply, const struct command_deploy *deploy)
{
    int rc = stack_check(apply, deploy);
    if (rc == 0 && deploy->service_count > INTENT_SERVICES_MAX - apply->intent->services.count)
        rc = error_set(&apply->result->error, -ENOSPC, "the cluster can hold %d services",
                       INTENT_SERVICES_MAX);
    if (rc == 0)
        rc = blobs_check(apply, deploy);
    for (size_t i = 0; rc == 0 && i < deploy->service_count; i++)
        rc = service_check(apply, deploy, i);
    return rc < 0 ? rc : quota_check(apply, deploy);
}

/* The lowest host number that no service has. There are more of them than services. */
static uint16_t virtual_ip_free(const struct intent *intent)
{
    uint64_t used[VIRTUAL_IP_WORDS] = {0};
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        used[service->virtual_ip / BITS_PER_WORD] |= (uint64_t)1
                                                     << service->virtual_ip % BITS_PER_WORD;
    }
    uint16_t ip = INTENT_VIRTUAL_IP_FIRST;
    while (used[ip / BITS_PER_WORD] >> ip % BITS_PER_WORD & 1)
        ip++;
    return ip;
}

static struct intent_service *service_add(struct intent *intent, const char *stack,
                                          const char *name)
{
    struct intent_service *service = intent_service_new();
    if (!service)
        return NULL;
    snprintf(service->name, sizeof(service->name), "%s", name);
    snprintf(service->stack, sizeof(service->stack), "%s", stack);
    service->virtual_ip = virtual_ip_free(intent);
    if (table_insert(&intent->services, service) < 0) {
        intent_service_free(service);
        return NULL;
    }
    return service;
}

/* A service that was going and is deployed again starts over, without a revision to return to. */
static void come_back(struct intent_service *service)
{
    service->removing = false;
    service->rollout = (struct intent_rollout){.state = INTENT_ROLLOUT_FAILED};
}

static int service_deploy(struct intent_apply *apply, const struct command_deploy *deploy, size_t i)
{
    struct service_spec *spec = &deploy->services[i];
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    intent_full_name(deploy->stack, spec->name, name);
    struct intent_service *service = intent_service_find(apply->intent, name);
    bool same = false;
    intent_blob_resolve(apply->intent, spec);
    if (service) {
        int rc = intent_spec_unchanged(service, spec, &same);
        if (rc < 0)
            return rc;
        same = same && !service->removing;
    } else {
        service = service_add(apply->intent, deploy->stack, name);
        if (!service)
            return -ENOMEM;
    }
    if (service->replicas != spec->replicas)
        apply->result->unchanged = false;
    if (same && service->replicas != spec->replicas)
        intent_event_add(apply, "scale", name, "deployed with %u replicas instead of %u",
                         spec->replicas, service->replicas);
    service->replicas = spec->replicas;
    if (same) {
        apply->result->revision = service->revision;
        return 0;
    }
    if (service->removing)
        come_back(service);
    int rc = intent_revision_add(apply, service, spec);
    if (rc < 0)
        return rc;
    apply->result->unchanged = false;
    apply->result->revision = service->revision;
    intent_event_add(apply, "deploy", name, "revision %u of %s", service->revision, spec->image);
    return 0;
}

/* Removes the stack's services that the file has no more. */
static int absent_remove(struct intent_apply *apply, const struct command_deploy *deploy)
{
    struct intent *intent = apply->intent;
    for (size_t i = intent->services.count; i-- > 0;) {
        struct intent_service *service = intent->services.items[i];
        if (strcmp(service->stack, deploy->stack) != 0 || service->removing ||
            intent_deploy_has_service(deploy, service->name))
            continue;
        apply->result->unchanged = false;
        int rc = intent_service_remove(apply, service);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int intent_apply_deploy(struct intent_apply *apply, struct command_deploy *deploy)
{
    int rc = intent_deploy_check(apply, deploy);
    if (rc < 0)
        return rc;
    apply->result->unchanged = true;
    uint64_t version;
    for (size_t i = 0; rc == 0 && i < deploy->blob_count; i++)
        rc = intent_blob_put(apply, &deploy->blobs[i], deploy->stack, &version);
    for (size_t i = 0; rc == 0 && i < deploy->service_count; i++)
        rc = service_deploy(apply, deploy, i);
    if (rc == 0)
        rc = absent_remove(apply, deploy);
    if (rc == 0)
        rc = intent_blobs_sweep(apply->intent);
    if (deploy->service_count > 1)
        apply->result->revision = 0;
    return rc;
}
