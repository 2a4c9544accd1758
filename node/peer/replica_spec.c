#include "node/peer/replica_spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/peer/anonymous.h"
#include "runtime/plan.h"

/* Copies text that may be NULL; false when there is no memory. */
static bool copy(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return !text || *ret;
}

/* An anonymous volume belongs to this replica and its successors here. */
static bool name_volume(const struct agent_wanted *wanted, const struct spec_mount *from,
                        struct container_mount *to)
{
    char name[ANONYMOUS_NAME_BYTES];
    if (from->source)
        return copy(from->source, &to->source);
    to->is_anonymous = true;
    anonymous_name(wanted->service->name, wanted->replica->slot, from->target, name);
    return copy(name, &to->source);
}

static bool copy_mount(const struct agent_wanted *wanted, const struct spec_mount *from,
                       struct container_mount *to)
{
    static const enum mount_type types[] = {[SPEC_MOUNT_VOLUME] = MOUNT_VOLUME,
                                            [SPEC_MOUNT_BIND] = MOUNT_BIND,
                                            [SPEC_MOUNT_TMPFS] = MOUNT_TMPFS,
                                            [SPEC_MOUNT_DEVICE] = MOUNT_DEVICE,
                                            [SPEC_MOUNT_IMAGE] = MOUNT_IMAGE};
    to->type = types[from->type];
    to->read_only = from->read_only;
    to->size_bytes = from->size_bytes;
    to->mode = from->mode;
    to->must_exist = from->must_exist;
    to->is_empty = from->is_empty;
    const char *propagation = from->propagation == SPEC_PROPAGATION_RPRIVATE
                                  ? NULL
                                  : spec_propagation_words[from->propagation];
    bool is_named = from->type == SPEC_MOUNT_VOLUME  ? name_volume(wanted, from, to)
                    : from->type == SPEC_MOUNT_IMAGE ? copy(from->image_digest, &to->source)
                    : from->type == SPEC_MOUNT_TMPFS ? true
                                                     : copy(from->source, &to->source);
    return is_named && copy(from->target, &to->target) && copy(from->subpath, &to->subpath) &&
           copy(from->fs_type, &to->fs_type) && copy(from->fs_options, &to->fs_options) &&
           copy(propagation, &to->propagation);
}

static bool copy_mounts(const struct agent_wanted *wanted, struct container_spec *spec)
{
    for (size_t i = 0; i < wanted->spec->mount_count; i++) {
        struct container_mount *to = container_spec_add_mount(spec);
        if (!to || !copy_mount(wanted, &wanted->spec->mounts[i], to))
            return false;
    }
    return true;
}

static bool copy_hooks(const struct spec_hook *from, size_t count, struct container_hooks *ret)
{
    for (size_t i = 0; i < count; i++) {
        struct container_hook *hook = container_hooks_add(ret);
        if (!hook)
            return false;
        hook->privileged = from[i].privileged;
        if (text_list_copy(&hook->command, &from[i].command) < 0 ||
            text_list_copy(&hook->environment, &from[i].environment) < 0 ||
            !copy(from[i].user, &hook->user) || !copy(from[i].working_dir, &hook->working_dir))
            return false;
    }
    return true;
}

static int copy_files(const struct agent_wanted *wanted, const struct intent *intent,
                      struct container_spec *spec, struct error *error)
{
    for (size_t i = 0; i < wanted->spec->file_count; i++) {
        const struct spec_file *from = &wanted->spec->files[i];
        const struct intent_blob *blob =
            intent_blob_at(intent, from->kind, from->source, from->version);
        if (!blob)
            return error_set(error, -ENOENT, "its %s %s is not in the cluster",
                             intent_blob_kind_text(from->kind), from->source);
        struct container_mount *to = container_spec_add_mount(spec);
        if (!to || !copy(from->target, &to->target))
            return -ENOMEM;
        bool is_copied =
            from->kind == SPEC_FILE_SECRET
                ? copy(from->source, &to->secret)
                : buffer_append(&to->content, blob->content.bytes, blob->content.size) == 0;
        if (!is_copied)
            return -ENOMEM;
        to->secret_version = to->secret ? from->version : 0;
        to->type = MOUNT_FILE;
        to->read_only = true;
        to->mode = from->mode;
        to->uid = from->uid;
        to->gid = from->gid;
    }
    return 0;
}

/* "label=value" lists for people and tools that look at containers. */
static bool add_labels(const struct agent_wanted *wanted, struct container_spec *spec)
{
    char label[INTENT_SERVICE_NAME_BYTES_MAX + 64];
    snprintf(label, sizeof(label), "consort.service=%s", wanted->service->name);
    return text_list_copy(&spec->labels, &wanted->spec->labels) == 0 &&
           text_list_add(&spec->labels, label) == 0;
}

static void set_restart(const struct spec_restart *from, struct container_restart *to)
{
    static const enum restart_policy policies[] = {[SPEC_RESTART_NONE] = RESTART_NONE,
                                                   [SPEC_RESTART_ON_FAILURE] = RESTART_ON_FAILURE,
                                                   [SPEC_RESTART_ANY] = RESTART_ANY};
    to->policy = policies[from->condition];
    to->delay_ms = from->delay_ms;
    to->attempts_max = from->max_attempts;
    to->window_ms = from->window_ms;
}

static bool set_health(const struct spec_health *from, struct container_health *to)
{
    to->disabled = from->disabled;
    to->interval_ms = from->interval_ms;
    to->timeout_ms = from->timeout_ms;
    to->start_period_ms = from->start_period_ms;
    to->start_interval_ms = from->start_interval_ms;
    to->retries = from->retries;
    to->probe_port = from->probe_port;
    return text_list_copy(&to->command, &from->test) == 0 &&
           copy(from->probe_path, &to->probe_path);
}

static bool copy_lists(const struct service_spec *from, struct container_spec *to)
{
    return text_list_copy(&to->entrypoint, &from->entrypoint) == 0 &&
           text_list_copy(&to->command, &from->command) == 0 &&
           text_list_copy(&to->environment, &from->environment) == 0 &&
           text_list_copy(&to->extra_hosts, &from->extra_hosts) == 0 &&
           text_list_copy(&to->capability_add, &from->cap_add) == 0 &&
           text_list_copy(&to->capability_drop, &from->cap_drop) == 0;
}

/* A network's subnets, each with its name. */
static bool add_subnets(const struct spec_network *network, struct text_list *ret)
{
    bool is_ok = true;
    for (size_t i = 0; i < network->subnets.count && is_ok; i++) {
        char text[RUNTIME_SUBNET_BYTES_MAX + 1];
        int length =
            snprintf(text, sizeof(text), "%s %s", network->subnets.items[i], network->name);
        is_ok = length < (int)sizeof(text) && text_list_add(ret, text) == 0;
    }
    return is_ok;
}

/* Those that lead to the world first: the first of all has the default route. */
static bool copy_networks(const struct agent_wanted *wanted, struct container_spec *to)
{
    static const enum container_network_mode modes[] = {
        [SPEC_NETWORK_BRIDGE] = CONTAINER_NETWORK_BRIDGE,
        [SPEC_NETWORK_NONE] = CONTAINER_NETWORK_NONE,
        [SPEC_NETWORK_HOST] = CONTAINER_NETWORK_HOST};
    const struct service_spec *from = wanted->spec;
    char name[SPEC_NETWORK_NAME_MAX + 1];
    to->network_mode = modes[from->network_mode];
    for (size_t i = 0; i < from->network_count; i++) {
        const struct spec_network *network = &from->networks[i];
        if (text_list_add(network->internal ? &to->internal_networks : &to->networks,
                          network->name) < 0 ||
            !add_subnets(network, &to->subnets))
            return false;
    }
    spec_network_default(wanted->service->stack, name);
    return from->network_count > 0 || text_list_add(&to->networks, name) == 0;
}

static bool copy_sandbox(const struct spec_sandbox *from, struct container_spec *spec)
{
    struct container_sandbox *to = &spec->sandbox;
    to->privileged = from->privileged;
    to->seccomp_off = from->seccomp_off;
    spec->privileged_escalation = from->may_gain_privileges;
    to->shm_bytes = from->shm_bytes;
    to->swap_bytes = from->swap_bytes;
    to->cpu_shares = from->cpu_shares;
    to->oom_score_adj = from->oom_score_adj;
    to->tty = from->tty;
    to->stdin_open = from->stdin_open;
    return text_list_copy(&to->groups, &from->groups) == 0 &&
           text_list_copy(&to->dns_search, &from->dns_search) == 0 &&
           text_list_copy(&to->dns_options, &from->dns_options) == 0 &&
           text_list_copy(&to->ulimits, &from->ulimits) == 0 &&
           text_list_copy(&to->sysctls, &from->sysctls) == 0 &&
           text_list_copy(&to->devices, &from->devices) == 0 &&
           text_list_copy(&to->options, &from->options) == 0 && copy(from->cpuset, &to->cpuset);
}

static bool copy_texts(const struct agent_wanted *wanted, const char *container_id,
                       struct container_spec *to)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 16], slot[16], hostname[BASE_NAME_BYTES_MAX + 1];
    snprintf(name, sizeof(name), "%s.%u", wanted->service->name, wanted->replica->slot);
    /* A host's name is shorter than a service's may be: the slot stays whole. */
    int slot_length = snprintf(slot, sizeof(slot), ".%u", wanted->replica->slot);
    snprintf(hostname, sizeof(hostname), "%.*s%s", BASE_NAME_BYTES_MAX - slot_length,
             wanted->service->name, slot);
    return copy(container_id, &to->id) && copy(name, &to->name) &&
           copy(wanted->spec->image_digest, &to->image) &&
           copy(wanted->spec->image, &to->image_name) &&
           copy(wanted->spec->working_dir, &to->working_dir) &&
           copy(wanted->spec->user, &to->user) &&
           copy(wanted->spec->hostname ? wanted->spec->hostname : hostname, &to->hostname);
}

int replica_spec_make(const struct agent_wanted *wanted, const struct intent *intent,
                      const char *container_id, struct container_spec *ret, struct error *error)
{
    const struct service_spec *from = wanted->spec;
    struct container_spec spec;
    if (from->mount_count + from->file_count > RUNTIME_MOUNTS_MAX)
        return error_set(error, -E2BIG, "it has more than %d volumes, configs and secrets",
                         RUNTIME_MOUNTS_MAX);
    container_spec_init(&spec);
    if (from->stop_signal && signal_parse(from->stop_signal, &spec.stop_signal) < 0)
        spec.stop_signal = 0; /* the image's own; Compose files are refused before */
    spec.cpu_millicores = from->resources.cpu_limit_millis;
    spec.memory_bytes = from->resources.memory_limit_bytes;
    spec.pids_max = from->resources.pids_limit;
    spec.read_only = from->read_only;
    spec.init = from->init;
    spec.stop_grace_ms = from->stop_grace_ms;
    spec.log_bytes_max = from->log_bytes_max;
    set_restart(&from->restart, &spec.restart);

    int rc = -ENOMEM;
    if (copy_texts(wanted, container_id, &spec) && copy_lists(from, &spec) &&
        add_labels(wanted, &spec) && set_health(&from->health, &spec.health) &&
        copy_sandbox(&from->sandbox, &spec) && copy_networks(wanted, &spec) &&
        copy_mounts(wanted, &spec) &&
        copy_hooks(from->post_start, from->post_start_count, &spec.post_start) &&
        copy_hooks(from->pre_stop, from->pre_stop_count, &spec.pre_stop))
        rc = copy_files(wanted, intent, &spec, error);
    if (rc < 0) {
        if (rc == -ENOMEM)
            error_set_errno(error, rc, "making the container's configuration");
        container_spec_done(&spec);
        return rc;
    }
    *ret = spec;
    return 0;
}
