/* A container_spec as MessagePack, for the copy that is kept on disk.
 *
 * Each struct is an array whose fields stand in the order of the declaration. A newer daemon
 * appends fields, and reads an older one's without them; an older one passes over what it does not
 * know.
 */
#include "runtime/container_spec.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    SPEC_FIELDS = 35,
    SPEC_FIELDS_MIN = 28, /* of the first daemons, which knew no sandbox and no networks */
    MOUNT_FIELDS = 18,
    MOUNT_SECRET_FIELDS = 2,
    MOUNT_FLAG_FIELDS = 2,
    MOUNT_PART_FIELDS = 5, /* what a volume or a device is, beside its name */
    MOUNT_FIELDS_MIN = 9,  /* of the first daemons, which kept secrets in the clear */
    RESTART_FIELDS = 4,
    HEALTH_FIELDS = 9,
    SANDBOX_FIELDS = 16,
    SANDBOX_FIELDS_MIN = 15, /* without further options */
    NETWORK_FIELDS = 3,      /* of the spec itself */
    HOOKS_FIELDS = 2,        /* likewise */
    SUBNETS_FIELDS = 1,      /* likewise */
    HOOK_FIELDS = 5,
};

static void mounts_write(struct writer *writer, const struct container_spec *spec)
{
    writer_array(writer, spec->mount_count);
    for (size_t i = 0; i < spec->mount_count; i++) {
        const struct container_mount *mount = &spec->mounts[i];
        writer_array(writer, MOUNT_FIELDS);
        writer_u64(writer, mount->type);
        writer_text(writer, mount->source);
        writer_text(writer, mount->target);
        writer_bool(writer, mount->read_only);
        writer_u64(writer, mount->size_bytes);
        writer_binary(writer, mount->content.bytes, mount->content.size);
        writer_u64(writer, mount->mode);
        writer_u64(writer, mount->uid);
        writer_u64(writer, mount->gid);
        writer_text(writer, mount->secret);
        writer_u64(writer, mount->secret_version);
        writer_bool(writer, mount->must_exist);
        writer_bool(writer, mount->is_empty);
        writer_bool(writer, mount->is_anonymous);
        writer_text(writer, mount->subpath);
        writer_text(writer, mount->propagation);
        writer_text(writer, mount->fs_type);
        writer_text(writer, mount->fs_options);
    }
}

static void hooks_write(struct writer *writer, const struct container_hooks *hooks)
{
    writer_array(writer, hooks->count);
    for (size_t i = 0; i < hooks->count; i++) {
        const struct container_hook *hook = &hooks->items[i];
        writer_array(writer, HOOK_FIELDS);
        text_list_write(writer, &hook->command);
        writer_text(writer, hook->user);
        writer_text(writer, hook->working_dir);
        text_list_write(writer, &hook->environment);
        writer_bool(writer, hook->privileged);
    }
}

static void restart_write(struct writer *writer, const struct container_restart *restart)
{
    writer_array(writer, RESTART_FIELDS);
    writer_u64(writer, restart->policy);
    writer_i64(writer, restart->delay_ms);
    writer_u64(writer, restart->attempts_max);
    writer_i64(writer, restart->window_ms);
}

static void health_write(struct writer *writer, const struct container_health *health)
{
    writer_array(writer, HEALTH_FIELDS);
    writer_bool(writer, health->disabled);
    text_list_write(writer, &health->command);
    writer_i64(writer, health->interval_ms);
    writer_i64(writer, health->timeout_ms);
    writer_i64(writer, health->start_period_ms);
    writer_i64(writer, health->start_interval_ms);
    writer_u64(writer, health->retries);
    writer_u64(writer, health->probe_port);
    writer_text(writer, health->probe_path);
}

static void sandbox_write(struct writer *writer, const struct container_sandbox *sandbox)
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
    writer_u64(writer, sandbox->shm_bytes);
    writer_u64(writer, sandbox->swap_bytes);
    writer_u64(writer, sandbox->cpu_shares);
    writer_i64(writer, sandbox->oom_score_adj);
    writer_bool(writer, sandbox->tty);
    writer_bool(writer, sandbox->stdin_open);
    text_list_write(writer, &sandbox->options);
}

void container_spec_write(struct writer *writer, const struct container_spec *spec)
{
    writer_array(writer, SPEC_FIELDS);
    writer_text(writer, spec->id);
    writer_text(writer, spec->name);
    writer_text(writer, spec->image);
    writer_text(writer, spec->image_name);
    text_list_write(writer, &spec->entrypoint);
    writer_bool(writer, spec->entrypoint_clear);
    text_list_write(writer, &spec->command);
    text_list_write(writer, &spec->environment);
    writer_text(writer, spec->working_dir);
    writer_text(writer, spec->user);
    writer_text(writer, spec->hostname);
    text_list_write(writer, &spec->extra_hosts);
    writer_text(writer, spec->dns_server);
    text_list_write(writer, &spec->labels);
    mounts_write(writer, spec);
    writer_u64(writer, spec->cpu_millicores);
    writer_u64(writer, spec->memory_bytes);
    writer_u64(writer, spec->pids_max);
    text_list_write(writer, &spec->capability_add);
    text_list_write(writer, &spec->capability_drop);
    writer_bool(writer, spec->read_only);
    writer_bool(writer, spec->privileged_escalation);
    writer_bool(writer, spec->init);
    restart_write(writer, &spec->restart);
    health_write(writer, &spec->health);
    writer_i64(writer, spec->stop_signal);
    writer_i64(writer, spec->stop_grace_ms);
    writer_u64(writer, spec->log_bytes_max);
    sandbox_write(writer, &spec->sandbox);
    writer_u64(writer, spec->network_mode);
    text_list_write(writer, &spec->networks);
    text_list_write(writer, &spec->internal_networks);
    hooks_write(writer, &spec->post_start);
    hooks_write(writer, &spec->pre_stop);
    text_list_write(writer, &spec->subnets);
}

/* Enters an array of at least `fields` values; `*ret_extra` are the ones a newer daemon added. */
static void struct_begin(struct reader *reader, uint32_t fields, uint32_t *ret_extra)
{
    uint32_t count = 0;
    if (reader_array(reader, &count) == 0 && count < fields)
        reader_refuse(reader);
    *ret_extra = count < fields ? 0 : count - fields;
}

static void struct_end(struct reader *reader, uint32_t extra)
{
    for (uint32_t i = 0; i < extra && reader_check(reader) == 0; i++)
        reader_skip(reader);
}

static void text_read(struct reader *reader, char **ret)
{
    if (reader_peek(reader) == READER_NIL)
        reader_nil(reader);
    else
        reader_dup_text(reader, ret, RUNTIME_TEXT_BYTES_MAX);
}

static void list_read(struct reader *reader, struct text_list *ret)
{
    text_list_read(reader, BASE_TEXT_LIST_ITEMS_MAX, RUNTIME_TEXT_BYTES_MAX, ret);
}

/* An enum or a number that must not be above `max`. */
static uint32_t number_read(struct reader *reader, uint32_t max)
{
    uint32_t value = 0;
    if (reader_u32(reader, &value) == 0 && value > max) {
        reader_refuse(reader);
        return 0;
    }
    return value;
}

static void duration_read(struct reader *reader, int64_t *ret)
{
    int64_t value;
    if (reader_i64(reader, &value) < 0)
        return;
    if (value < 0 || value > RUNTIME_DURATION_MS_MAX)
        reader_refuse(reader);
    else
        *ret = value;
}

static void mount_read(struct reader *reader, struct container_mount *mount)
{
    uint32_t extra;
    struct_begin(reader, MOUNT_FIELDS_MIN, &extra);
    mount->type = (enum mount_type)number_read(reader, MOUNT_IMAGE);
    text_read(reader, &mount->source);
    text_read(reader, &mount->target);
    reader_bool(reader, &mount->read_only);
    reader_u64(reader, &mount->size_bytes);
    struct bytes content = {0};
    if (reader_binary(reader, &content) == 0 &&
        (content.size > RUNTIME_FILE_BYTES_MAX ||
         buffer_append(&mount->content, content.data, content.size) < 0))
        reader_refuse(reader);
    mount->mode = number_read(reader, RUNTIME_MODE_MAX);
    mount->uid = number_read(reader, UINT32_MAX);
    mount->gid = number_read(reader, UINT32_MAX);
    if (extra >= MOUNT_SECRET_FIELDS) {
        text_read(reader, &mount->secret);
        reader_u64(reader, &mount->secret_version);
        extra -= MOUNT_SECRET_FIELDS;
    }
    if (extra >= MOUNT_FLAG_FIELDS) {
        reader_bool(reader, &mount->must_exist);
        reader_bool(reader, &mount->is_empty);
        extra -= MOUNT_FLAG_FIELDS;
    }
    if (extra >= MOUNT_PART_FIELDS) {
        reader_bool(reader, &mount->is_anonymous);
        text_read(reader, &mount->subpath);
        text_read(reader, &mount->propagation);
        text_read(reader, &mount->fs_type);
        text_read(reader, &mount->fs_options);
        extra -= MOUNT_PART_FIELDS;
    }
    struct_end(reader, extra);
}

static void mounts_read(struct reader *reader, struct container_spec *spec)
{
    uint32_t count = 0;
    reader_array(reader, &count);
    for (uint32_t i = 0; i < count && reader_check(reader) == 0; i++) {
        struct container_mount *mount = container_spec_add_mount(spec);
        if (mount)
            mount_read(reader, mount);
        else
            reader_refuse(reader);
    }
}

static void hooks_read(struct reader *reader, struct container_hooks *hooks)
{
    uint32_t count = 0, extra;
    reader_array(reader, &count);
    for (uint32_t i = 0; i < count && reader_check(reader) == 0; i++) {
        struct container_hook *hook = container_hooks_add(hooks);
        if (!hook) {
            reader_refuse(reader);
            return;
        }
        struct_begin(reader, HOOK_FIELDS, &extra);
        list_read(reader, &hook->command);
        text_read(reader, &hook->user);
        text_read(reader, &hook->working_dir);
        list_read(reader, &hook->environment);
        reader_bool(reader, &hook->privileged);
        struct_end(reader, extra);
    }
}

static void restart_read(struct reader *reader, struct container_restart *restart)
{
    uint32_t extra;
    struct_begin(reader, RESTART_FIELDS, &extra);
    restart->policy = (enum restart_policy)number_read(reader, RESTART_ANY);
    duration_read(reader, &restart->delay_ms);
    reader_u32(reader, &restart->attempts_max);
    duration_read(reader, &restart->window_ms);
    struct_end(reader, extra);
}

static void health_read(struct reader *reader, struct container_health *health)
{
    uint32_t extra;
    struct_begin(reader, HEALTH_FIELDS, &extra);
    reader_bool(reader, &health->disabled);
    list_read(reader, &health->command);
    duration_read(reader, &health->interval_ms);
    duration_read(reader, &health->timeout_ms);
    duration_read(reader, &health->start_period_ms);
    duration_read(reader, &health->start_interval_ms);
    reader_u32(reader, &health->retries);
    reader_u16(reader, &health->probe_port);
    text_read(reader, &health->probe_path);
    struct_end(reader, extra);
}

static void sandbox_read(struct reader *reader, struct container_sandbox *sandbox)
{
    uint32_t extra;
    int64_t oom_score_adj = 0;
    struct_begin(reader, SANDBOX_FIELDS_MIN, &extra);
    list_read(reader, &sandbox->groups);
    list_read(reader, &sandbox->dns_search);
    list_read(reader, &sandbox->dns_options);
    list_read(reader, &sandbox->ulimits);
    list_read(reader, &sandbox->sysctls);
    list_read(reader, &sandbox->devices);
    text_read(reader, &sandbox->cpuset);
    reader_bool(reader, &sandbox->privileged);
    reader_bool(reader, &sandbox->seccomp_off);
    reader_u64(reader, &sandbox->shm_bytes);
    reader_u64(reader, &sandbox->swap_bytes);
    reader_u32(reader, &sandbox->cpu_shares);
    reader_i64(reader, &oom_score_adj);
    if (oom_score_adj < -RUNTIME_OOM_SCORE_MAX || oom_score_adj > RUNTIME_OOM_SCORE_MAX)
        reader_refuse(reader);
    else
        sandbox->oom_score_adj = (int32_t)oom_score_adj;
    reader_bool(reader, &sandbox->tty);
    reader_bool(reader, &sandbox->stdin_open);
    if (extra > 0) {
        list_read(reader, &sandbox->options);
        extra--;
    }
    struct_end(reader, extra);
}

static void networks_read(struct reader *reader, struct container_spec *spec)
{
    spec->network_mode = (enum container_network_mode)number_read(reader, CONTAINER_NETWORK_HOST);
    text_list_read(reader, RUNTIME_NETWORKS_MAX, RUNTIME_NETWORK_NAME_MAX, &spec->networks);
    text_list_read(reader, RUNTIME_NETWORKS_MAX, RUNTIME_NETWORK_NAME_MAX,
                   &spec->internal_networks);
    if (spec->networks.count + spec->internal_networks.count > RUNTIME_NETWORKS_MAX)
        reader_refuse(reader);
}

static void identity_read(struct reader *reader, struct container_spec *spec)
{
    text_read(reader, &spec->id);
    text_read(reader, &spec->name);
    text_read(reader, &spec->image);
    text_read(reader, &spec->image_name);
    list_read(reader, &spec->entrypoint);
    reader_bool(reader, &spec->entrypoint_clear);
    list_read(reader, &spec->command);
    list_read(reader, &spec->environment);
    text_read(reader, &spec->working_dir);
    text_read(reader, &spec->user);
    text_read(reader, &spec->hostname);
    list_read(reader, &spec->extra_hosts);
    text_read(reader, &spec->dns_server);
    list_read(reader, &spec->labels);
}

int container_spec_read(struct reader *reader, struct container_spec *ret)
{
    struct container_spec spec;
    container_spec_init(&spec);
    uint32_t extra;
    struct_begin(reader, SPEC_FIELDS_MIN, &extra);
    identity_read(reader, &spec);
    mounts_read(reader, &spec);
    reader_u32(reader, &spec.cpu_millicores);
    reader_u64(reader, &spec.memory_bytes);
    reader_u32(reader, &spec.pids_max);
    list_read(reader, &spec.capability_add);
    list_read(reader, &spec.capability_drop);
    reader_bool(reader, &spec.read_only);
    reader_bool(reader, &spec.privileged_escalation);
    reader_bool(reader, &spec.init);
    restart_read(reader, &spec.restart);
    health_read(reader, &spec.health);
    spec.stop_signal = (int)number_read(reader, RUNTIME_SIGNAL_MAX);
    duration_read(reader, &spec.stop_grace_ms);
    reader_u64(reader, &spec.log_bytes_max);
    if (extra > 0) {
        sandbox_read(reader, &spec.sandbox);
        extra--;
    }
    if (extra >= NETWORK_FIELDS) {
        networks_read(reader, &spec);
        extra -= NETWORK_FIELDS;
    }
    if (extra >= HOOKS_FIELDS) {
        hooks_read(reader, &spec.post_start);
        hooks_read(reader, &spec.pre_stop);
        extra -= HOOKS_FIELDS;
    }
    if (extra >= SUBNETS_FIELDS) {
        text_list_read(reader, RUNTIME_SUBNETS_MAX, RUNTIME_SUBNET_BYTES_MAX, &spec.subnets);
        extra -= SUBNETS_FIELDS;
    }
    struct_end(reader, extra);
    if (reader_check(reader) < 0) {
        container_spec_done(&spec);
        return -EBADMSG;
    }
    *ret = spec;
    return 0;
}
