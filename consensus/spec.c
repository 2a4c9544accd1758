#include "consensus/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/bounds.h"

const char *const spec_propagation_words[] = {
    [SPEC_PROPAGATION_RPRIVATE] = "rprivate",
    [SPEC_PROPAGATION_PRIVATE] = "private",
    [SPEC_PROPAGATION_RSLAVE] = "rslave",
    [SPEC_PROPAGATION_SLAVE] = "slave",
    [SPEC_PROPAGATION_RSHARED] = "rshared",
    [SPEC_PROPAGATION_SHARED] = "shared",
    NULL,
};

static const struct spec_update update_defaults = {
    .parallelism = 1,
    .monitor_ms = SPEC_MONITOR_MS_DEFAULT,
    .failure_action = SPEC_ON_FAILURE_ROLLBACK,
    .order = SPEC_ORDER_BY_DATA,
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

void spec_mount_done(struct spec_mount *mount)
{
    free(mount->source);
    free(mount->target);
    free(mount->subpath);
    free(mount->fs_type);
    free(mount->fs_options);
    free(mount->image_digest);
    *mount = (struct spec_mount){0};
}

static void mounts_done(struct service_spec *spec)
{
    for (size_t i = 0; i < spec->mount_count; i++)
        spec_mount_done(&spec->mounts[i]);
    free(spec->mounts);
}

static void hooks_done(struct spec_hook *hooks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text_list_done(&hooks[i].command);
        text_list_done(&hooks[i].environment);
        free(hooks[i].user);
        free(hooks[i].working_dir);
    }
    free(hooks);
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
    hooks_done(spec->post_start, spec->post_start_count);
    hooks_done(spec->pre_stop, spec->pre_stop_count);
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
    ret->post_start = ret->pre_stop = NULL;
    ret->post_start_count = ret->pre_stop_count = 0;
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

bool service_spec_stops_first(const struct service_spec *spec, const struct spec_update *update)
{
    bool keeps_data = false;
    for (size_t i = 0; i < spec->mount_count; i++)
        keeps_data =
            keeps_data || (spec->mounts[i].type != SPEC_MOUNT_TMPFS && !spec->mounts[i].read_only);
    return update->order == SPEC_STOP_FIRST || (update->order == SPEC_ORDER_BY_DATA && keeps_data);
}

bool service_spec_has_volumes(const struct service_spec *spec)
{
    for (size_t i = 0; i < spec->mount_count; i++)
        if (spec->mounts[i].type == SPEC_MOUNT_VOLUME)
            return true;
    return false;
}

struct spec_mount *service_spec_add_mount(struct service_spec *spec)
{
    struct spec_mount *mounts =
        realloc(spec->mounts, (spec->mount_count + 1) * sizeof(*spec->mounts));
    if (!mounts)
        return NULL;
    spec->mounts = mounts;
    mounts[spec->mount_count] = (struct spec_mount){0};
    return &mounts[spec->mount_count++];
}

struct spec_hook *spec_hook_add(struct spec_hook **hooks, size_t *count)
{
    struct spec_hook *more = realloc(*hooks, (*count + 1) * sizeof(*more));
    if (!more)
        return NULL;
    *hooks = more;
    more[*count] = (struct spec_hook){0};
    return &more[(*count)++];
}

/* The mount that shows the image with that index; NULL: there are not as many. */
static struct spec_mount *image_mount(const struct service_spec *spec, size_t index)
{
    for (size_t i = 0; i < spec->mount_count; i++)
        if (spec->mounts[i].type == SPEC_MOUNT_IMAGE && --index == 0)
            return &spec->mounts[i];
    return NULL;
}

bool service_spec_image(const struct service_spec *spec, size_t index, struct spec_image *ret)
{
    const struct spec_mount *mount = index > 0 ? image_mount(spec, index) : NULL;
    if (index > 0 && !mount)
        return false;
    ret->name = mount ? mount->source : spec->image;
    ret->digest = mount ? mount->image_digest : spec->image_digest;
    return true;
}

bool service_spec_needs_image(const struct service_spec *spec, const char *digest)
{
    struct spec_image image;
    for (size_t i = 0; service_spec_image(spec, i, &image); i++)
        if (image.digest && strcmp(image.digest, digest) == 0)
            return true;
    return false;
}

int service_spec_set_digest(struct service_spec *spec, size_t index, const char *digest)
{
    struct spec_mount *mount = index > 0 ? image_mount(spec, index) : NULL;
    char **place = mount ? &mount->image_digest : &spec->image_digest;
    char *copy = strdup(digest);
    if (!copy)
        return -ENOMEM;
    free(*place);
    *place = copy;
    return 0;
}

int spec_mount_copy(const struct spec_mount *from, struct spec_mount *ret)
{
    *ret = *from;
    ret->source = ret->target = ret->subpath = ret->fs_type = ret->fs_options = NULL;
    ret->image_digest = NULL;
    return text_copy(from->source, &ret->source) < 0 || text_copy(from->target, &ret->target) < 0 ||
                   text_copy(from->subpath, &ret->subpath) < 0 ||
                   text_copy(from->fs_type, &ret->fs_type) < 0 ||
                   text_copy(from->fs_options, &ret->fs_options) < 0 ||
                   text_copy(from->image_digest, &ret->image_digest) < 0
               ? -ENOMEM
               : 0;
}

static int copy_mounts(const struct service_spec *spec, struct service_spec *ret)
{
    int rc = 0;
    for (size_t i = 0; i < spec->mount_count && rc == 0; i++) {
        struct spec_mount *mount = service_spec_add_mount(ret);
        rc = mount ? spec_mount_copy(&spec->mounts[i], mount) : -ENOMEM;
    }
    return rc;
}

static int copy_hooks(const struct spec_hook *from, size_t from_count, struct spec_hook **ret,
                      size_t *ret_count)
{
    int rc = 0;
    for (size_t i = 0; i < from_count && rc == 0; i++) {
        struct spec_hook *hook = spec_hook_add(ret, ret_count);
        if (!hook)
            return -ENOMEM;
        hook->privileged = from[i].privileged;
        if (text_list_copy(&hook->command, &from[i].command) < 0 ||
            text_list_copy(&hook->environment, &from[i].environment) < 0 ||
            text_copy(from[i].user, &hook->user) < 0 ||
            text_copy(from[i].working_dir, &hook->working_dir) < 0)
            rc = -ENOMEM;
    }
    return rc;
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

static int copy_networks(const struct service_spec *spec, struct service_spec *ret)
{
    if (spec->network_count == 0)
        return 0;
    int rc = spec_networks_copy(spec->networks, spec->network_count, &ret->networks);
    ret->network_count = rc < 0 ? 0 : spec->network_count;
    return rc;
}

bool service_spec_is_duplicated(const struct service_spec *spec)
{
    if (spec->exclusive || spec->mode == SPEC_GLOBAL)
        return false;
    return spec->on_minority == SPEC_MINORITY_DUPLICATE_EMPTY ||
           (spec->on_minority == SPEC_MINORITY_DUPLICATE && !service_spec_has_volumes(spec));
}

int service_spec_copy(const struct service_spec *spec, struct service_spec *ret)
{
    struct service_spec copy;
    copy_values(spec, &copy);
    if (copy_texts(spec, &copy) < 0 || copy_sandbox(&spec->sandbox, &copy.sandbox) < 0 ||
        copy_ports(spec, &copy) < 0 || copy_dependencies(spec, &copy) < 0 ||
        copy_mounts(spec, &copy) < 0 || copy_files(spec, &copy) < 0 ||
        copy_networks(spec, &copy) < 0 ||
        copy_hooks(spec->post_start, spec->post_start_count, &copy.post_start,
                   &copy.post_start_count) < 0 ||
        copy_hooks(spec->pre_stop, spec->pre_stop_count, &copy.pre_stop, &copy.pre_stop_count) <
            0) {
        service_spec_done(&copy);
        return -ENOMEM;
    }
    *ret = copy;
    return 0;
}
