/* A service's spec as MessagePack: each struct an array of its fields in the header's order.
 *
 * The number of fields is exact. What a spec may hold grows only with a level (consensus/level.h):
 * a peer that dropped a field it does not know would no longer hash its intent as the others do.
 */
#include <errno.h>
#include <stdlib.h>

#include "consensus/codec.h"
#include "consensus/spec.h"

enum {
    SPEC_FIELDS = 41,
    PORT_FIELDS = 3,
    DEPENDENCY_FIELDS = 2,
    MOUNT_FIELDS = 14,
    FILE_FIELDS = 7,
    HEALTH_FIELDS = 10,
    HOOK_FIELDS = 5,
    RESOURCES_FIELDS = 5,
    SANDBOX_FIELDS = 17,
    RESTART_FIELDS = 4,
    UPDATE_FIELDS = 6,
};

static void ports_write(struct writer *writer, const struct service_spec *spec)
{
    writer_array(writer, spec->port_count);
    for (size_t i = 0; i < spec->port_count; i++) {
        writer_array(writer, PORT_FIELDS);
        writer_u64(writer, spec->ports[i].published);
        writer_u64(writer, spec->ports[i].target);
        writer_u64(writer, spec->ports[i].protocol);
    }
}

static void mounts_write(struct writer *writer, const struct service_spec *spec)
{
    writer_array(writer, spec->mount_count);
    for (size_t i = 0; i < spec->mount_count; i++) {
        const struct spec_mount *mount = &spec->mounts[i];
        writer_array(writer, MOUNT_FIELDS);
        writer_u64(writer, mount->type);
        writer_text(writer, mount->source);
        writer_text(writer, mount->target);
        writer_bool(writer, mount->read_only);
        writer_u64(writer, mount->size_bytes);
        writer_u64(writer, mount->mode);
        writer_bool(writer, mount->must_exist);
        writer_bool(writer, mount->is_empty);
        writer_bool(writer, mount->of_image);
        writer_u64(writer, mount->propagation);
        writer_text(writer, mount->subpath);
        writer_text(writer, mount->fs_type);
        writer_text(writer, mount->fs_options);
        writer_text(writer, mount->image_digest);
    }
}

static void files_write(struct writer *writer, const struct service_spec *spec)
{
    writer_array(writer, spec->file_count);
    for (size_t i = 0; i < spec->file_count; i++) {
        const struct spec_file *file = &spec->files[i];
        writer_array(writer, FILE_FIELDS);
        writer_u64(writer, file->kind);
        writer_text(writer, file->source);
        writer_text(writer, file->target);
        writer_u64(writer, file->uid);
        writer_u64(writer, file->gid);
        writer_u64(writer, file->mode);
        writer_u64(writer, file->version);
    }
}

static void health_write(struct writer *writer, const struct spec_health *health)
{
    writer_array(writer, HEALTH_FIELDS);
    writer_bool(writer, health->is_set);
    writer_bool(writer, health->disabled);
    text_list_write(writer, &health->test);
    writer_u64(writer, health->interval_ms);
    writer_u64(writer, health->timeout_ms);
    writer_u64(writer, health->start_period_ms);
    writer_u64(writer, health->start_interval_ms);
    writer_u64(writer, health->retries);
    writer_u64(writer, health->probe_port);
    writer_text(writer, health->probe_path);
}

static void resources_write(struct writer *writer, const struct spec_resources *resources)
{
    writer_array(writer, RESOURCES_FIELDS);
    writer_u64(writer, resources->cpu_limit_millis);
    writer_u64(writer, resources->cpu_reserved_millis);
    writer_u64(writer, resources->memory_limit_bytes);
    writer_u64(writer, resources->memory_reserved_bytes);
    writer_u64(writer, resources->pids_limit);
}

static void sandbox_write(struct writer *writer, const struct spec_sandbox *sandbox)
{
    writer_array(writer, SANDBOX_FIELDS);
    text_list_write(writer, &sandbox->groups);
    text_list_write(writer, &sandbox->dns_search);
    text_list_write(writer, &sandbox->dns_options);
    text_list_write(writer, &sandbox->ulimits);
    text_list_write(writer, &sandbox->sysctls);
    text_list_write(writer, &sandbox->devices);
    writer_text(writer, sandbox->cpuset);
    writer_bool(writer, sandbox->privileged);
    writer_bool(writer, sandbox->seccomp_off);
    writer_bool(writer, sandbox->may_gain_privileges);
    writer_u64(writer, sandbox->shm_bytes);
    writer_u64(writer, sandbox->swap_bytes);
    writer_u64(writer, sandbox->cpu_shares);
    writer_i64(writer, sandbox->oom_score_adj);
    writer_bool(writer, sandbox->tty);
    writer_bool(writer, sandbox->stdin_open);
    text_list_write(writer, &sandbox->options);
}

static void restart_write(struct writer *writer, const struct spec_restart *restart)
{
    writer_array(writer, RESTART_FIELDS);
    writer_u64(writer, restart->condition);
    writer_u64(writer, restart->delay_ms);
    writer_u64(writer, restart->window_ms);
    writer_u64(writer, restart->max_attempts);
}

static void update_write(struct writer *writer, const struct spec_update *update)
{
    writer_array(writer, UPDATE_FIELDS);
    writer_u64(writer, update->parallelism);
    writer_u64(writer, update->delay_ms);
    writer_u64(writer, update->monitor_ms);
    writer_u64(writer, update->max_failure_permille);
    writer_u64(writer, update->failure_action);
    writer_u64(writer, update->order);
}

static void dependencies_write(struct writer *writer, const struct service_spec *spec)
{
    writer_array(writer, spec->dependency_count);
    for (size_t i = 0; i < spec->dependency_count; i++) {
        writer_array(writer, DEPENDENCY_FIELDS);
        writer_text(writer, spec->dependencies[i].name);
        writer_u64(writer, spec->dependencies[i].condition);
    }
}

static void hooks_write(struct writer *writer, const struct spec_hook *hooks, size_t count)
{
    writer_array(writer, count);
    for (size_t i = 0; i < count; i++) {
        writer_array(writer, HOOK_FIELDS);
        text_list_write(writer, &hooks[i].command);
        writer_text(writer, hooks[i].user);
        writer_text(writer, hooks[i].working_dir);
        text_list_write(writer, &hooks[i].environment);
        writer_bool(writer, hooks[i].privileged);
    }
}

/* What runs: the first half of the fields. */
static void process_write(struct writer *writer, const struct service_spec *spec)
{
    writer_text(writer, spec->name);
    writer_text(writer, spec->image);
    writer_text(writer, spec->image_digest);
    text_list_write(writer, &spec->command);
    text_list_write(writer, &spec->entrypoint);
    text_list_write(writer, &spec->environment);
    writer_text(writer, spec->working_dir);
    writer_text(writer, spec->user);
    writer_text(writer, spec->hostname);
    text_list_write(writer, &spec->cap_add);
    text_list_write(writer, &spec->cap_drop);
    text_list_write(writer, &spec->extra_hosts);
    writer_bool(writer, spec->read_only);
    writer_bool(writer, spec->init);
    writer_text(writer, spec->stop_signal);
    writer_u64(writer, spec->stop_grace_ms);
}

void service_spec_write(struct writer *writer, uint32_t level, const struct service_spec *spec)
{
    writer_array(writer, SPEC_FIELDS);
    process_write(writer, spec);
    ports_write(writer, spec);
    mounts_write(writer, spec);
    files_write(writer, spec);
    health_write(writer, &spec->health);
    resources_write(writer, &spec->resources);
    sandbox_write(writer, &spec->sandbox);
    writer_u64(writer, spec->log_bytes_max);
    restart_write(writer, &spec->restart);
    update_write(writer, &spec->update);
    update_write(writer, &spec->rollback);
    writer_u64(writer, spec->mode);
    writer_u64(writer, spec->replicas);
    text_list_write(writer, &spec->constraints);
    text_list_write(writer, &spec->spread);
    writer_u64(writer, spec->max_replicas_per_node);
    text_list_write(writer, &spec->labels);
    dependencies_write(writer, spec);
    writer_u64(writer, spec->failover_after_ms);
    writer_u64(writer, spec->on_minority);
    writer_bool(writer, spec->exclusive);
    writer_u64(writer, spec->network_mode);
    spec_networks_write(writer, level, spec->networks, spec->network_count);
    text_list_write(writer, &spec->servers);
    hooks_write(writer, spec->post_start, spec->post_start_count);
    hooks_write(writer, spec->pre_stop, spec->pre_stop_count);
}

static void text_read(struct reader *reader, char **ret)
{
    reader_dup_text(reader, ret, SPEC_TEXT_BYTES_MAX);
}

static void optional_text_read(struct reader *reader, char **ret)
{
    if (reader_peek(reader) == READER_NIL)
        reader_nil(reader);
    else
        text_read(reader, ret);
}

static void list_read(struct reader *reader, struct text_list *ret)
{
    text_list_read(reader, SPEC_LIST_ITEMS_MAX, SPEC_TEXT_BYTES_MAX, ret);
}

static void ports_read(struct reader *reader, struct service_spec *spec)
{
    spec->ports =
        codec_read_items(reader, SPEC_LIST_ITEMS_MAX, sizeof(*spec->ports), &spec->port_count);
    for (size_t i = 0; i < spec->port_count; i++) {
        struct spec_port *port = &spec->ports[i];
        reader_array_exact(reader, PORT_FIELDS);
        reader_u16(reader, &port->published);
        reader_u16(reader, &port->target);
        codec_read_enum(reader, SPEC_UDP, &port->protocol);
    }
}

static void mounts_read(struct reader *reader, struct service_spec *spec)
{
    spec->mounts =
        codec_read_items(reader, SPEC_LIST_ITEMS_MAX, sizeof(*spec->mounts), &spec->mount_count);
    for (size_t i = 0; i < spec->mount_count; i++) {
        struct spec_mount *mount = &spec->mounts[i];
        reader_array_exact(reader, MOUNT_FIELDS);
        codec_read_enum(reader, SPEC_MOUNT_IMAGE, &mount->type);
        optional_text_read(reader, &mount->source);
        text_read(reader, &mount->target);
        reader_bool(reader, &mount->read_only);
        reader_u64(reader, &mount->size_bytes);
        reader_u32(reader, &mount->mode);
        reader_bool(reader, &mount->must_exist);
        reader_bool(reader, &mount->is_empty);
        reader_bool(reader, &mount->of_image);
        codec_read_enum(reader, SPEC_PROPAGATION_SHARED, &mount->propagation);
        optional_text_read(reader, &mount->subpath);
        optional_text_read(reader, &mount->fs_type);
        optional_text_read(reader, &mount->fs_options);
        optional_text_read(reader, &mount->image_digest);
    }
}

static void files_read(struct reader *reader, struct service_spec *spec)
{
    spec->files =
        codec_read_items(reader, SPEC_LIST_ITEMS_MAX, sizeof(*spec->files), &spec->file_count);
    for (size_t i = 0; i < spec->file_count; i++) {
        struct spec_file *file = &spec->files[i];
        reader_array_exact(reader, FILE_FIELDS);
        codec_read_enum(reader, SPEC_FILE_SECRET, &file->kind);
        text_read(reader, &file->source);
        text_read(reader, &file->target);
        reader_u32(reader, &file->uid);
        reader_u32(reader, &file->gid);
        reader_u32(reader, &file->mode);
        reader_u64(reader, &file->version);
    }
}

static void health_read(struct reader *reader, struct spec_health *health)
{
    reader_array_exact(reader, HEALTH_FIELDS);
    reader_bool(reader, &health->is_set);
    reader_bool(reader, &health->disabled);
    list_read(reader, &health->test);
    reader_u32(reader, &health->interval_ms);
    reader_u32(reader, &health->timeout_ms);
    reader_u32(reader, &health->start_period_ms);
    reader_u32(reader, &health->start_interval_ms);
    reader_u32(reader, &health->retries);
    reader_u16(reader, &health->probe_port);
    optional_text_read(reader, &health->probe_path);
}

static void resources_read(struct reader *reader, struct spec_resources *resources)
{
    reader_array_exact(reader, RESOURCES_FIELDS);
    reader_u32(reader, &resources->cpu_limit_millis);
    reader_u32(reader, &resources->cpu_reserved_millis);
    reader_u64(reader, &resources->memory_limit_bytes);
    reader_u64(reader, &resources->memory_reserved_bytes);
    reader_u32(reader, &resources->pids_limit);
}

static void sandbox_read(struct reader *reader, struct spec_sandbox *sandbox)
{
    int64_t oom_score_adj = 0;
    reader_array_exact(reader, SANDBOX_FIELDS);
    list_read(reader, &sandbox->groups);
    list_read(reader, &sandbox->dns_search);
    list_read(reader, &sandbox->dns_options);
    list_read(reader, &sandbox->ulimits);
    list_read(reader, &sandbox->sysctls);
    list_read(reader, &sandbox->devices);
    optional_text_read(reader, &sandbox->cpuset);
    reader_bool(reader, &sandbox->privileged);
    reader_bool(reader, &sandbox->seccomp_off);
    reader_bool(reader, &sandbox->may_gain_privileges);
    reader_u64(reader, &sandbox->shm_bytes);
    reader_u64(reader, &sandbox->swap_bytes);
    reader_u32(reader, &sandbox->cpu_shares);
    reader_i64(reader, &oom_score_adj);
    if (oom_score_adj < -SPEC_OOM_SCORE_MAX || oom_score_adj > SPEC_OOM_SCORE_MAX)
        reader_refuse(reader);
    else
        sandbox->oom_score_adj = (int32_t)oom_score_adj;
    reader_bool(reader, &sandbox->tty);
    reader_bool(reader, &sandbox->stdin_open);
    list_read(reader, &sandbox->options);
}

static void restart_read(struct reader *reader, struct spec_restart *restart)
{
    reader_array_exact(reader, RESTART_FIELDS);
    codec_read_enum(reader, SPEC_RESTART_ANY, &restart->condition);
    reader_u32(reader, &restart->delay_ms);
    reader_u32(reader, &restart->window_ms);
    reader_u32(reader, &restart->max_attempts);
}

static void update_read(struct reader *reader, struct spec_update *update)
{
    reader_array_exact(reader, UPDATE_FIELDS);
    reader_u32(reader, &update->parallelism);
    reader_u32(reader, &update->delay_ms);
    reader_u32(reader, &update->monitor_ms);
    reader_u32(reader, &update->max_failure_permille);
    codec_read_enum(reader, SPEC_ON_FAILURE_ROLLBACK, &update->failure_action);
    codec_read_enum(reader, SPEC_ORDER_BY_DATA, &update->order);
}

static void dependencies_read(struct reader *reader, struct service_spec *spec)
{
    spec->dependencies = codec_read_items(reader, SPEC_LIST_ITEMS_MAX, sizeof(*spec->dependencies),
                                          &spec->dependency_count);
    for (size_t i = 0; i < spec->dependency_count; i++) {
        struct spec_dependency *dependency = &spec->dependencies[i];
        reader_array_exact(reader, DEPENDENCY_FIELDS);
        reader_copy_text(reader, dependency->name, sizeof(dependency->name));
        codec_read_enum(reader, SPEC_DEPENDS_COMPLETED, &dependency->condition);
    }
}

static void process_read(struct reader *reader, struct service_spec *spec)
{
    reader_copy_text(reader, spec->name, sizeof(spec->name));
    optional_text_read(reader, &spec->image);
    optional_text_read(reader, &spec->image_digest);
    list_read(reader, &spec->command);
    list_read(reader, &spec->entrypoint);
    list_read(reader, &spec->environment);
    optional_text_read(reader, &spec->working_dir);
    optional_text_read(reader, &spec->user);
    optional_text_read(reader, &spec->hostname);
    list_read(reader, &spec->cap_add);
    list_read(reader, &spec->cap_drop);
    list_read(reader, &spec->extra_hosts);
    reader_bool(reader, &spec->read_only);
    reader_bool(reader, &spec->init);
    optional_text_read(reader, &spec->stop_signal);
    reader_u32(reader, &spec->stop_grace_ms);
}

static struct spec_hook *hooks_read(struct reader *reader, size_t *ret_count)
{
    struct spec_hook *hooks = codec_read_items(reader, SPEC_HOOKS_MAX, sizeof(*hooks), ret_count);
    for (size_t i = 0; i < *ret_count; i++) {
        reader_array_exact(reader, HOOK_FIELDS);
        list_read(reader, &hooks[i].command);
        optional_text_read(reader, &hooks[i].user);
        optional_text_read(reader, &hooks[i].working_dir);
        list_read(reader, &hooks[i].environment);
        reader_bool(reader, &hooks[i].privileged);
    }
    return hooks;
}

static void spec_read(struct reader *reader, uint32_t level, struct service_spec *spec)
{
    reader_array_exact(reader, SPEC_FIELDS);
    process_read(reader, spec);
    ports_read(reader, spec);
    mounts_read(reader, spec);
    files_read(reader, spec);
    health_read(reader, &spec->health);
    resources_read(reader, &spec->resources);
    sandbox_read(reader, &spec->sandbox);
    reader_u64(reader, &spec->log_bytes_max);
    restart_read(reader, &spec->restart);
    update_read(reader, &spec->update);
    update_read(reader, &spec->rollback);
    codec_read_enum(reader, SPEC_GLOBAL, &spec->mode);
    reader_u32(reader, &spec->replicas);
    list_read(reader, &spec->constraints);
    list_read(reader, &spec->spread);
    reader_u32(reader, &spec->max_replicas_per_node);
    list_read(reader, &spec->labels);
    dependencies_read(reader, spec);
    reader_u32(reader, &spec->failover_after_ms);
    codec_read_enum(reader, SPEC_MINORITY_DUPLICATE_EMPTY, &spec->on_minority);
    reader_bool(reader, &spec->exclusive);
    codec_read_enum(reader, SPEC_NETWORK_HOST, &spec->network_mode);
    spec->networks = spec_networks_read(reader, level, &spec->network_count);
    list_read(reader, &spec->servers);
    spec->post_start = hooks_read(reader, &spec->post_start_count);
    spec->pre_stop = hooks_read(reader, &spec->pre_stop_count);
}

int service_spec_read(struct reader *reader, uint32_t level, struct service_spec *ret)
{
    struct service_spec spec = {0};
    spec_read(reader, level, &spec);
    int rc = reader_check(reader);
    if (rc < 0) {
        service_spec_done(&spec);
        return rc;
    }
    *ret = spec;
    return 0;
}
