#include "consensus/intent_spec_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/ip_network.h"

void intent_full_name(const char *stack, const char *name,
                      char ret[INTENT_SERVICE_NAME_BYTES_MAX + 1])
{
    snprintf(ret, INTENT_SERVICE_NAME_BYTES_MAX + 1, "%s_%s", stack, name);
}

const char *intent_protocol_text(uint8_t protocol)
{
    return protocol == SPEC_UDP ? "udp" : "tcp";
}

static bool same_port(const struct spec_port *a, const struct spec_port *b)
{
    return a->published != 0 && a->published == b->published && a->protocol == b->protocol;
}

bool intent_ports_clash(const struct service_spec *a, const struct service_spec *b,
                        const struct spec_port **ret)
{
    for (size_t i = 0; i < a->port_count; i++)
        for (size_t j = 0; j < b->port_count; j++)
            if (same_port(&a->ports[i], &b->ports[j])) {
                if (ret)
                    *ret = &a->ports[i];
                return true;
            }
    return false;
}

static int count_check(struct intent_apply *apply, const char *full_name,
                       const struct service_spec *spec)
{
    struct error *error = &apply->result->error;
    if (spec->replicas > INTENT_REPLICAS_MAX)
        return error_set(error, -EINVAL, "%s: more than %d replicas", full_name,
                         INTENT_REPLICAS_MAX);
    if (spec->exclusive && (spec->mode == SPEC_GLOBAL || spec->replicas > 1)) {
        error_set(error, -EINVAL, "%s is exclusive, so it can't have several replicas", full_name);
        error_hint(error, "set deploy.replicas to 1, or take x-consort.exclusive away");
        return -EINVAL;
    }
    if (spec->exclusive && spec->on_minority != SPEC_MINORITY_HOLD) {
        error_set(error, -EINVAL, "%s is exclusive, so it can't be duplicated", full_name);
        error_hint(error, "take x-consort.exclusive or x-consort.on_minority away");
        return -EINVAL;
    }
    return 0;
}

static int own_ports_check(struct intent_apply *apply, const char *full_name,
                           const struct service_spec *spec)
{
    struct error *error = &apply->result->error;
    for (size_t i = 0; i < spec->port_count; i++) {
        const struct spec_port *port = &spec->ports[i];
        if (port->target == 0)
            return error_set(error, -EINVAL, "%s: a port's target is missing", full_name);
        for (size_t j = 0; j < i; j++)
            if (same_port(port, &spec->ports[j]))
                return error_set(error, -EINVAL, "%s publishes port %u/%s twice", full_name,
                                 port->published, intent_protocol_text(port->protocol));
    }
    return 0;
}

int intent_spec_check(struct intent_apply *apply, const char *full_name,
                      const struct service_spec *spec)
{
    struct error *error = &apply->result->error;
    if (!intent_name_is_valid(spec->name)) {
        error_set(error, -EINVAL, "\"%s\" can't be a service's name", spec->name);
        error_hint(error, "use letters, digits, '-', '_' and '.'");
        return -EINVAL;
    }
    if (!spec->image || spec->image[0] == '\0')
        return error_set(error, -EINVAL, "%s has no image", full_name);
    for (size_t i = 0; i < spec->mount_count; i++)
        if (spec->mounts[i].type == SPEC_MOUNT_IMAGE && !spec->mounts[i].source)
            return error_set(error, -EINVAL, "%s mounts an image that has no name", full_name);
    int rc = count_check(apply, full_name, spec);
    return rc < 0 ? rc : own_ports_check(apply, full_name, spec);
}

/* The first service, from `*at` on, that another one must not clash with; its place goes there.
 * Those that go, and those of a stack that is replaced, do not count. */
static const struct intent_service *find_other(const struct intent *intent, size_t *at,
                                               const char *full_name, const char *stack_replaced)
{
    for (; *at < intent->services.count; (*at)++) {
        const struct intent_service *other = intent->services.items[*at];
        if (!other->removing && strcmp(other->name, full_name) != 0 &&
            !(stack_replaced && strcmp(other->stack, stack_replaced) == 0))
            return other;
    }
    return NULL;
}

static int ports_check(struct intent_apply *apply, const char *full_name,
                       const struct service_spec *spec, const char *stack_replaced)
{
    const struct intent_service *other;
    for (size_t i = 0; (other = find_other(apply->intent, &i, full_name, stack_replaced)); i++) {
        const struct spec_port *port;
        const struct intent_revision *wanted = intent_revision_find(other, other->revision);
        if (!intent_ports_clash(spec, &wanted->spec, &port))
            continue;
        error_set(&apply->result->error, -EADDRINUSE, "%s: port %u/%s is published by %s already",
                  full_name, port->published, intent_protocol_text(port->protocol), other->name);
        error_hint(&apply->result->error, "publish another port, or first: consort rm %s",
                   other->name);
        return -EADDRINUSE;
    }
    return 0;
}

int intent_refuse_address(struct intent_apply *apply, const char *name, const char *other,
                          const char *network, const struct address *address)
{
    char ip[IP_TEXT_BYTES];
    ip_format(address, ip);
    error_set(&apply->result->error, -EADDRINUSE,
              "%s: the address %s of the network %s is that of %s already", name, ip, network,
              other);
    error_hint(&apply->result->error,
               "give it another address in that network, or first: "
               "consort rm %s",
               other);
    return -EADDRINUSE;
}

static int addresses_check(struct intent_apply *apply, const char *full_name,
                           const struct service_spec *spec, const char *stack_replaced)
{
    const struct intent_service *other;
    for (size_t i = 0; (other = find_other(apply->intent, &i, full_name, stack_replaced)); i++) {
        const struct address *address;
        const struct intent_revision *wanted = intent_revision_find(other, other->revision);
        const struct spec_network *network = spec_addresses_clash(spec, &wanted->spec, &address);
        if (network)
            return intent_refuse_address(apply, full_name, other->name, network->name, address);
    }
    return 0;
}

int intent_clashes_check(struct intent_apply *apply, const char *full_name,
                         const struct service_spec *spec, const char *stack_replaced)
{
    int rc = ports_check(apply, full_name, spec, stack_replaced);
    return rc < 0 ? rc : addresses_check(apply, full_name, spec, stack_replaced);
}

static bool blob_is_there(const struct intent *intent, const struct command_deploy *deploy,
                          const struct spec_file *file)
{
    if (file->version != 0)
        return intent_blob_at(intent, file->kind, file->source, file->version);
    for (size_t i = 0; deploy && i < deploy->blob_count; i++)
        if (deploy->blobs[i].kind == file->kind && strcmp(deploy->blobs[i].name, file->source) == 0)
            return true;
    return intent_blob_find(intent, file->kind, file->source);
}

int intent_files_check(struct intent_apply *apply, const char *full_name,
                       const struct service_spec *spec, const struct command_deploy *deploy)
{
    struct error *error = &apply->result->error;
    for (size_t i = 0; i < spec->file_count; i++) {
        const struct spec_file *file = &spec->files[i];
        const char *kind = intent_blob_kind_text(file->kind);
        if (blob_is_there(apply->intent, deploy, file))
            continue;
        if (file->version != 0) {
            error_set(error, -ENOENT, "%s: version %" PRIu64 " of the %s %s is gone", full_name,
                      file->version, kind, file->source);
            error_hint(error, "deploy the stack again");
            return -ENOENT;
        }
        error_set(error, -ENOENT, "%s: there is no %s named %s", full_name, kind, file->source);
        error_hint(error, "define it in the Compose file, or: consort %s set %s FILE", kind,
                   file->source);
        return -ENOENT;
    }
    return 0;
}
