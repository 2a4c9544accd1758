#include "runtime/container_spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/image/digest.h"
#include "runtime/sandbox.h"
#include "runtime/sandbox_options.h"
#include "runtime/volume.h"

void container_spec_init(struct container_spec *spec)
{
    *spec = (struct container_spec){0};
}

static void mount_done(struct container_mount *mount)
{
    free(mount->source);
    free(mount->target);
    free(mount->secret);
    free(mount->subpath);
    free(mount->propagation);
    free(mount->fs_type);
    free(mount->fs_options);
    buffer_done(&mount->content);
}

static void sandbox_done(struct container_sandbox *sandbox)
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

static void hooks_done(struct container_hooks *hooks)
{
    for (size_t i = 0; i < hooks->count; i++) {
        struct container_hook *hook = &hooks->items[i];
        text_list_done(&hook->command);
        text_list_done(&hook->environment);
        free(hook->user);
        free(hook->working_dir);
    }
    free(hooks->items);
}

void container_spec_done(struct container_spec *spec)
{
    if (!spec)
        return;
    free(spec->id);
    free(spec->name);
    free(spec->image);
    free(spec->image_name);
    text_list_done(&spec->entrypoint);
    text_list_done(&spec->command);
    text_list_done(&spec->environment);
    free(spec->working_dir);
    free(spec->user);
    free(spec->hostname);
    text_list_done(&spec->extra_hosts);
    text_list_done(&spec->networks);
    text_list_done(&spec->internal_networks);
    text_list_done(&spec->subnets);
    free(spec->dns_server);
    text_list_done(&spec->labels);
    for (size_t i = 0; i < spec->mount_count; i++)
        mount_done(&spec->mounts[i]);
    free(spec->mounts);
    text_list_done(&spec->capability_add);
    text_list_done(&spec->capability_drop);
    text_list_done(&spec->health.command);
    free(spec->health.probe_path);
    sandbox_done(&spec->sandbox);
    hooks_done(&spec->post_start);
    hooks_done(&spec->pre_stop);
    *spec = (struct container_spec){0};
}

struct container_mount *container_spec_add_mount(struct container_spec *spec)
{
    if (spec->mount_count >= RUNTIME_MOUNTS_MAX)
        return NULL;
    struct container_mount *mounts =
        realloc(spec->mounts, (spec->mount_count + 1) * sizeof(*mounts));
    if (!mounts)
        return NULL;
    spec->mounts = mounts;
    struct container_mount *mount = &mounts[spec->mount_count++];
    *mount = (struct container_mount){0};
    buffer_init(&mount->content);
    return mount;
}

struct container_hook *container_hooks_add(struct container_hooks *hooks)
{
    if (hooks->count >= RUNTIME_HOOKS_MAX)
        return NULL;
    struct container_hook *items = realloc(hooks->items, (hooks->count + 1) * sizeof(*items));
    if (!items)
        return NULL;
    hooks->items = items;
    items[hooks->count] = (struct container_hook){0};
    return &items[hooks->count++];
}

/* The codec knows every field already, so a copy is a journey through it. */
int container_spec_copy(struct container_spec *spec, const struct container_spec *from)
{
    cleanup_buffer struct buffer packed;
    buffer_init(&packed);
    struct writer writer;
    writer_init(&writer, &packed);
    container_spec_write(&writer, from);
    int result = writer_check(&writer);
    if (result < 0)
        return result;
    struct reader reader;
    reader_init(&reader, packed.bytes, packed.size);
    return container_spec_read(&reader, spec);
}

bool container_id_valid(const char *id)
{
    size_t length = strlen(id);
    if (length == 0 || length > RUNTIME_ID_BYTES_MAX || id[0] == '.')
        return false;
    return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
           length;
}

static bool path_is_safe(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *at = path; (at = strstr(at, "/..")) != NULL; at += 3)
        if (at[3] == '/' || at[3] == '\0')
            return false;
    return true;
}

/* A name for a folder of its own beside others'. */
static bool is_folder_name(const char *name, size_t max)
{
    return name && name[0] && name[0] != '.' && strlen(name) <= max && !strchr(name, '/');
}

static int volume_check(const struct container_mount *mount, struct error *error)
{
    bool is_named = mount->is_anonymous ? is_folder_name(mount->source, VOLUME_NAME_MAX)
                                        : mount->source && container_id_valid(mount->source);
    if (!is_named)
        return error_set(error, -EINVAL, "mount on %s: \"%s\" cannot be a volume's name",
                         mount->target, mount->source ? mount->source : "");
    return 0;
}

static int mount_check(const struct container_mount *mount, struct error *error)
{
    if (!mount->target || !path_is_safe(mount->target) || strcmp(mount->target, "/") == 0)
        return error_set(error, -EINVAL, "mount target \"%s\" is not an absolute path below /",
                         mount->target ? mount->target : "");
    if (mount->type == MOUNT_BIND && (!mount->source || !path_is_safe(mount->source)))
        return error_set(error, -EINVAL, "mount on %s: source \"%s\" is not an absolute path",
                         mount->target, mount->source ? mount->source : "");
    if (mount->type == MOUNT_VOLUME && volume_check(mount, error) < 0)
        return -EINVAL;
    if (mount->type == MOUNT_DEVICE && (!mount->source || !mount->fs_type))
        return error_set(error, -EINVAL, "mount on %s: of what?", mount->target);
    struct digest digest;
    if (mount->type == MOUNT_IMAGE && (!mount->source || digest_parse(mount->source, &digest) < 0))
        return error_set(error, -EINVAL, "mount on %s: \"%s\" is not an image's digest",
                         mount->target, mount->source ? mount->source : "");
    if ((mount->subpath && mount->type != MOUNT_VOLUME && mount->type != MOUNT_IMAGE) ||
        (mount->is_anonymous && mount->type != MOUNT_VOLUME))
        return error_set(error, -EINVAL, "mount on %s is no volume", mount->target);
    if (mount->secret && (mount->type != MOUNT_FILE || mount->content.size > 0))
        return error_set(error, -EINVAL, "mount on %s: a secret's content is not kept",
                         mount->target);
    if (mount->mode > RUNTIME_MODE_MAX)
        return error_set(error, -EINVAL, "mount on %s: %o is no mode", mount->target, mount->mode);
    if (mount->content.size > RUNTIME_FILE_BYTES_MAX)
        return error_set(error, -EINVAL, "file %s has %zu bytes; at most %d are possible",
                         mount->target, mount->content.size, RUNTIME_FILE_BYTES_MAX);
    return 0;
}

static int environment_check(const struct text_list *list, struct error *error)
{
    for (size_t i = 0; i < list->count; i++)
        if (strchr(list->items[i], '=') == NULL || list->items[i][0] == '=')
            return error_set(error, -EINVAL, "\"%s\" is not NAME=value", list->items[i]);
    return 0;
}

/* What is kept on disk must be understood again by the next daemon, or it would lose the container.
 */
static int sizes_check(const struct container_spec *spec, struct error *error)
{
    const int64_t durations[] = {
        spec->restart.delay_ms,         spec->restart.window_ms,      spec->health.interval_ms,
        spec->health.timeout_ms,        spec->health.start_period_ms, spec->stop_grace_ms,
        spec->health.start_interval_ms,
    };
    size_t content_size = 0;
    if (spec->networks.count + spec->internal_networks.count > RUNTIME_NETWORKS_MAX)
        return error_set(error, -EINVAL, "more than %d networks", RUNTIME_NETWORKS_MAX);
    if (spec->subnets.count > RUNTIME_SUBNETS_MAX)
        return error_set(error, -EINVAL, "more than %d subnets", RUNTIME_SUBNETS_MAX);
    for (size_t i = 0; i < array_count(durations); i++)
        if (durations[i] < 0 || durations[i] > RUNTIME_DURATION_MS_MAX)
            return error_set(error, -EINVAL, "a duration of %lld ms is over 24 days",
                             (long long)durations[i]);
    for (size_t i = 0; i < spec->mount_count; i++)
        content_size += spec->mounts[i].content.size; /* each is bounded already */
    if (content_size > RUNTIME_SPEC_BYTES_MAX / 2)
        return error_set(error, -EINVAL, "its configs come to more than %d MiB",
                         RUNTIME_SPEC_BYTES_MAX / 2 / 1024 / 1024);
    if (spec->stop_signal < 0 || spec->stop_signal > RUNTIME_SIGNAL_MAX)
        return error_set(error, -EINVAL, "%d is no signal", spec->stop_signal);
    return 0;
}

static int hooks_check(const struct container_hooks *hooks, struct error *error)
{
    for (size_t i = 0; i < hooks->count; i++)
        if (hooks->items[i].command.count == 0)
            return error_set(error, -EINVAL, "a hook has no command");
    return 0;
}

int container_spec_check(const struct container_spec *spec, struct error *error)
{
    if (!spec->id || !container_id_valid(spec->id))
        return error_set(error, -EINVAL, "\"%s\" cannot be a container's id",
                         spec->id ? spec->id : "");
    if (!spec->image)
        return error_set(error, -EINVAL, "container %s: no image is given", spec->id);
    for (size_t i = 0; i < spec->mount_count; i++) {
        int result = mount_check(&spec->mounts[i], error);
        if (result < 0) {
            error_prefix(error, "container %s", spec->id);
            return result;
        }
    }
    if (environment_check(&spec->environment, error) < 0 ||
        environment_check(&spec->extra_hosts, error) < 0 || sizes_check(spec, error) < 0 ||
        sandbox_check(&spec->sandbox, error) < 0) {
        error_prefix(error, "container %s", spec->id);
        return -EINVAL;
    }
    if (hooks_check(&spec->post_start, error) < 0 || hooks_check(&spec->pre_stop, error) < 0) {
        error_prefix(error, "container %s", spec->id);
        return -EINVAL;
    }
    const char *barring =
        sandbox_options_bar_userns(&spec->sandbox.options, spec->sandbox.privileged,
                                   spec->network_mode == CONTAINER_NETWORK_HOST);
    if (barring)
        return error_set(error, -EINVAL, "container %s: no user namespace goes with %s", spec->id,
                         barring);
    if (spec->working_dir && spec->working_dir[0] != '/')
        return error_set(error, -EINVAL, "container %s: working directory \"%s\" is not absolute",
                         spec->id, spec->working_dir);
    if (spec->hostname && (strlen(spec->hostname) > BASE_NAME_BYTES_MAX || !*spec->hostname))
        return error_set(error, -EINVAL, "container %s: \"%s\" cannot be a host name", spec->id,
                         spec->hostname);
    return 0;
}
