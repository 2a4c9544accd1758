#include "consensus/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/bounds.h"

static const struct spec_update update_defaults = {
    .parallelism = 1,
    .monitor_ms = SPEC_MONITOR_MS_DEFAULT,
    .failure_action = SPEC_ON_FAILURE_ROLLBACK,
    .order = SPEC_START_FIRST,
};

void service_spec_init(struct service_spec *spec)
{
    *spec = (struct service_spec){
        .stop_grace_ms = SPEC_STOP_GRACE_MS_DEFAULT,
        .health =
            {
                .interval_ms = SPEC_HEALTH_INTERVAL_MS_DEFAULT,
                .timeout_ms = SPEC_HEALTH_TIMEOUT_MS_DEFAULT,
                .start_interval_ms = SPEC_HEALTH_START_INTERVAL_MS_DEFAULT,
                .retries = SPEC_HEALTH_RETRIES_DEFAULT,
            },
        .restart = {.condition = SPEC_RESTART_ANY, .delay_ms = SPEC_RESTART_DELAY_MS_DEFAULT},
        .update = update_defaults,
        .rollback = update_defaults,
        .mode = SPEC_REPLICATED,
        .replicas = 1,
    };
    spec->rollback.failure_action = SPEC_ON_FAILURE_PAUSE;
}

static void mounts_done(struct service_spec *spec)
{
    for (size_t i = 0; i < spec->mount_count; i++) {
        free(spec->mounts[i].source);
        free(spec->mounts[i].target);
    }
    free(spec->mounts);
}

static void files_done(struct service_spec *spec)
{
    for (size_t i = 0; i < spec->file_count; i++) {
        free(spec->files[i].source);
        free(spec->files[i].target);
    }
    free(spec->files);
}

static void sandbox_done(struct spec_sandbox *sandbox)
{
    text_list_done(&sandbox->groups);
    text_list_done(&sandbox->dns_search);
    text_list_done(&sandbox->dns_options);
    text_list_done(&sandbox->ulimits);
    text_list_done(&sandbox->sysctls);
    text_list_done(&sandbox->devices);
    text_list_done(&sandbox->options);
    free(sandbox->cpuset);
}

void service_spec_done(struct service_spec *spec)
{
    if (!spec)
        return;
    free(spec->image);
    free(spec->image_digest);
    text_list_done(&spec->command);
    text_list_done(&spec->entrypoint);
    text_list_done(&spec->environment);
    free(spec->working_dir);
    free(spec->user);
    free(spec->hostname);
    text_list_done(&spec->cap_add);
    text_list_done(&spec->cap_drop);
    text_list_done(&spec->extra_hosts);
    free(spec->stop_signal);
    free(spec->ports);
    mounts_done(spec);
    files_done(spec);
    text_list_done(&spec->health.test);
    free(spec->health.probe_path);
    sandbox_done(&spec->sandbox);
    text_list_done(&spec->constraints);
    text_list_done(&spec->spread);
    text_list_done(&spec->labels);
    free(spec->dependencies);
    spec_networks_done(spec->networks, spec->network_count);
    text_list_done(&spec->servers);
    *spec = (struct service_spec){0};
}

/* Copies a text or its absence. */
static int text_copy(const char *text, char **ret)
{
    if (!text)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

/* Copies what stands in the struct itself, with every pointer in `ret` empty. */
static void copy_values(const struct service_spec *spec, struct service_spec *ret)
{
    *ret = *spec;
    ret->image = ret->image_digest = NULL;
    ret->working_dir = ret->user = ret->hostname = ret->stop_signal = NULL;
    ret->health.probe_path = NULL;
    ret->command = ret->entrypoint = ret->environment = (struct text_list){0};
    ret->cap_add = ret->cap_drop = ret->extra_hosts = (struct text_list){0};
    ret->health.test = ret->constraints = ret->spread = (struct text_list){0};
    ret->labels = (struct text_list){0};
    struct spec_sandbox *sandbox = &ret->sandbox;
    sandbox->groups = sandbox->dns_search = sandbox->dns_options = (struct text_list){0};
    sandbox->ulimits = sandbox->sysctls = sandbox->devices = (struct text_list){0};
    sandbox->options = (struct text_list){0};
    sandbox->cpuset = NULL;
    ret->ports = NULL;
    ret->mounts = NULL;
    ret->files = NULL;
    ret->dependencies = NULL;
    ret->networks = NULL;
    ret->network_count = 0;
    ret->servers = (struct text_list){0};
    ret->port_count = ret->mount_count = ret->file_count = ret->dependency_count = 0;
}

static int copy_texts(const struct service_spec *spec, struct service_spec *ret)
{
    if (text_copy(spec->image, &ret->image) < 0 ||
        text_copy(spec->image_digest, &ret->image_digest) < 0 ||
        text_copy(spec->working_dir, &ret->working_dir) < 0 ||
        text_copy(spec->user, &ret->user) < 0 || text_copy(spec->hostname, &ret->hostname) < 0 ||
        text_copy(spec->stop_signal, &ret->stop_signal) < 0 ||
        text_copy(spec->health.probe_path, &ret->health.probe_path) < 0)
        return -ENOMEM;
    if (text_list_copy(&ret->command, &spec->command) < 0 ||
        text_list_copy(&ret->entrypoint, &spec->entrypoint) < 0 ||
        text_list_copy(&ret->environment, &spec->environment) < 0 ||
        text_list_copy(&ret->cap_add, &spec->cap_add) < 0 ||
        text_list_copy(&ret->cap_drop, &spec->cap_drop) < 0 ||
        text_list_copy(&ret->extra_hosts, &spec->extra_hosts) < 0 ||
        text_list_copy(&ret->health.test, &spec->health.test) < 0 ||
        text_list_copy(&ret->constraints, &spec->constraints) < 0 ||
        text_list_copy(&ret->spread, &spec->spread) < 0 ||
        text_list_copy(&ret->labels, &spec->labels) < 0 ||
        text_list_copy(&ret->servers, &spec->servers) < 0)
        return -ENOMEM;
    return 0;
}

static int copy_sandbox(const struct spec_sandbox *from, struct spec_sandbox *ret)
{
    return text_list_copy(&ret->groups, &from->groups) < 0 ||
                   text_list_copy(&ret->dns_search, &from->dns_search) < 0 ||
                   text_list_copy(&ret->dns_options, &from->dns_options) < 0 ||
                   text_list_copy(&ret->ulimits, &from->ulimits) < 0 ||
                   text_list_copy(&ret->sysctls, &from->sysctls) < 0 ||
                   text_list_copy(&ret->devices, &from->devices) < 0 ||
                   text_list_copy(&ret->options, &from->options) < 0 ||
                   text_copy(from->cpuset, &ret->cpuset) < 0
               ? -ENOMEM
               : 0;
}

static int copy_ports(const struct service_spec *spec, struct service_spec *ret)
{
    if (spec->port_count == 0)
        return 0;
    ret->ports = calloc(spec->port_count, sizeof(*ret->ports));
    if (!ret->ports)
        return -ENOMEM;
    memcpy(ret->ports, spec->ports, spec->port_count * sizeof(*ret->ports));
    ret->port_count = spec->port_count;
    return 0;
}

static int copy_dependencies(const struct service_spec *spec, struct service_spec *ret)
{
    if (spec->dependency_count == 0)
        return 0;
    ret->dependencies = calloc(spec->dependency_count, sizeof(*ret->dependencies));
    if (!ret->dependencies)
        return -ENOMEM;
    memcpy(ret->dependencies, spec->dependencies,
           spec->dependency_count * sizeof(*ret->dependencies));
    ret->dependency_count = spec->dependency_count;
    return 0;
}

static int copy_mounts(const struct service_spec *spec, struct service_spec *ret)
{
    if (spec->mount_count == 0)
        return 0;
    ret->mounts = calloc(spec->mount_count, sizeof(*ret->mounts));
    if (!ret->mounts)
        return -ENOMEM;
    for (size_t i = 0; i < spec->mount_count; i++) {
        struct spec_mount *mount = &ret->mounts[ret->mount_count++];
        *mount = spec->mounts[i];
        mount->source = mount->target = NULL;
        if (text_copy(spec->mounts[i].source, &mount->source) < 0 ||
            text_copy(spec->mounts[i].target, &mount->target) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int copy_files(const struct service_spec *spec, struct service_spec *ret)
{
    if (spec->file_count == 0)
        return 0;
    ret->files = calloc(spec->file_count, sizeof(*ret->files));
    if (!ret->files)
        return -ENOMEM;
    for (size_t i = 0; i < spec->file_count; i++) {
        struct spec_file *file = &ret->files[ret->file_count++];
        *file = spec->files[i];
        file->source = file->target = NULL;
        if (text_copy(spec->files[i].source, &file->source) < 0 ||
            text_copy(spec->files[i].target, &file->target) < 0)
            return -ENOMEM;
    }
    return 0;
}

void spec_network_default(const char *stack, char ret[SPEC_NETWORK_NAME_MAX + 1])
{
    snprintf(ret, SPEC_NETWORK_NAME_MAX + 1, "%s%sdefault", stack, stack[0] ? "_" : "");
}

int spec_networks_copy(const struct spec_network *networks, size_t count, struct spec_network **ret)
{
    struct spec_network *copies = calloc(count + 1, sizeof(*copies));
    int rc = copies ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && rc == 0; i++) {
        copies[i].internal = networks[i].internal;
        rc = text_copy(networks[i].name, &copies[i].name);
        if (rc == 0)
            rc = text_list_copy(&copies[i].aliases, &networks[i].aliases);
    }
    if (rc < 0 && copies)
        spec_networks_done(copies, count);
    if (rc == 0)
        *ret = copies;
    return rc;
}

void spec_networks_done(struct spec_network *networks, size_t count)
{
    for (size_t i = 0; networks && i < count; i++) {
        free(networks[i].name);
        text_list_done(&networks[i].aliases);
    }
    free(networks);
}

static int copy_networks(const struct service_spec *spec, struct service_spec *ret)
{
    if (spec->network_count == 0)
        return 0;
    int rc = spec_networks_copy(spec->networks, spec->network_count, &ret->networks);
    ret->network_count = rc < 0 ? 0 : spec->network_count;
    return rc;
}

int service_spec_copy(const struct service_spec *spec, struct service_spec *ret)
{
    struct service_spec copy;
    copy_values(spec, &copy);
    if (copy_texts(spec, &copy) < 0 || copy_sandbox(&spec->sandbox, &copy.sandbox) < 0 ||
        copy_ports(spec, &copy) < 0 || copy_dependencies(spec, &copy) < 0 ||
        copy_mounts(spec, &copy) < 0 || copy_files(spec, &copy) < 0 ||
        copy_networks(spec, &copy) < 0) {
        service_spec_done(&copy);
        return -ENOMEM;
    }
    *ret = copy;
    return 0;
}
