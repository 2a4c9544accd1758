#include "runtime/launch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/bounds.h"
#include "runtime/cgroup.h"
#include "runtime/container_files.h"
#include "runtime/image/image_store.h"
#include "runtime/log_format.h"
#include "runtime/network/network.h"
#include "runtime/oci_spec.h"
#include "runtime/rootfs.h"
#include "runtime/service_addresses.h"
#include "runtime/tree.h"
#include "runtime/user.h"

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void cleanup_image(struct image **image)
{
    image_free(*image);
}

static void cleanup_text_list(struct text_list *list)
{
    text_list_done(list);
}

int launch_save_spec(const struct runtime_settings *settings, const struct container_spec *spec,
                     bool synced)
{
    cleanup_buffer struct buffer packed;
    buffer_init(&packed);
    struct writer writer;
    writer_init(&writer, &packed);
    container_spec_write(&writer, spec);
    int result = writer_check(&writer);
    if (result < 0)
        return result;
    struct path path = path_data(settings, spec->id, "spec");
    return file_replace(path.text, 0600, packed.bytes, packed.size, synced);
}

int launch_save_record(const struct runtime_settings *settings, const char *id,
                       const struct container_record *record, bool synced)
{
    struct path path = path_data(settings, id, "state");
    return container_record_save(path.text, record, synced);
}

static int load_image(const struct runtime_settings *settings, const struct container_spec *spec,
                      struct image **ret, struct error *error)
{
    struct digest digest;
    int result = digest_parse(spec->image, &digest);
    if (result < 0)
        return error_set(error, result, "\"%s\" is not an image's digest", spec->image);
    return image_store_load(settings->images, &digest, ret, error);
}

int launch_plan(const struct runtime_settings *settings, const struct container_spec *spec,
                struct container_plan *ret, struct error *error)
{
    __attribute__((cleanup(cleanup_image))) struct image *image = NULL;
    int result = load_image(settings, spec, &image, error);
    if (result == 0)
        result = container_plan_make(spec, &image->config, ret, error);
    if (result < 0)
        error_prefix(error, "container %s", spec->id);
    return result;
}

static int mount_rootfs(const struct runtime_settings *settings, const struct container_spec *spec,
                        const struct userns *userns, char **ret_path, struct error *error)
{
    __attribute__((cleanup(cleanup_image))) struct image *image = NULL;
    int result = load_image(settings, spec, &image, error);
    if (result < 0)
        return result;
    __attribute__((cleanup(cleanup_text_list))) struct text_list layers = {0};
    result = image_store_unpack(settings->images, image, &layers, error);
    if (result < 0)
        return result;
    struct path directory = path_data(settings, spec->id, NULL);
    cleanup_free char *rootfs = NULL;
    result = rootfs_mount(directory.text, &layers, userns, &rootfs, error);
    if (result == 0 && userns)
        result = userns_show_root(userns, rootfs, error);
    if (result == 0)
        *ret_path = take_pointer(rootfs);
    return result;
}

/* The user namespace of the container, which may be there from an earlier start. */
static int prepare_userns(const struct runtime_settings *settings, const char *id,
                          uint32_t first_id, struct userns *ret, struct error *error)
{
    struct path pins = path_userns(settings, id);
    if (userns_open(pins.text, first_id, ret) == 0)
        return 0;
    /* What is mounted is mapped for another one. */
    struct path directory = path_data(settings, id, NULL);
    int result = rootfs_unmount(directory.text, error);
    return result < 0 ? result : userns_make(pins.text, first_id, ret, error);
}

/* Outside the ids of a user namespace nobody can be anybody. */
static int check_ids(const struct user *user, struct error *error)
{
    uint32_t highest = user->uid > user->gid ? user->uid : user->gid;
    for (size_t i = 0; i < user->group_count; i++)
        highest = user->groups[i] > highest ? user->groups[i] : highest;
    if (highest < USERNS_IDS)
        return 0;
    return error_set(error, -EINVAL,
                     "its user or group %u is none of the %d that a user namespace has", highest,
                     USERNS_IDS);
}

static int write_into_bundle(const struct runtime_settings *settings, const char *id,
                             const char *name, const char *text, struct error *error)
{
    struct path path = path_run(settings, id, name);
    int result = file_write(path.text, 0600, text, strlen(text));
    return result < 0 ? error_set_errno(error, result, "cannot write %s", path.text) : 0;
}

/* Writes the OCI bundle: the configuration and the files that it mounts. */
static int write_bundle(const struct runtime_settings *settings, const struct container_spec *spec,
                        const struct secrets *secrets, const struct container_record *record,
                        const struct container_plan *plan, const char *rootfs,
                        const struct userns *userns, struct error *error)
{
    struct user user;
    int result = user_resolve(rootfs, plan->user, &user, error);
    if (result == 0)
        result = user_add_groups(rootfs, &spec->sandbox.groups, &user, error);
    if (result == 0 && userns)
        result = check_ids(&user, error);
    if (result < 0)
        return result;
    struct path bundle = path_run(settings, spec->id, NULL);
    struct path secrets_dir = path_run(settings, spec->id, "secrets");
    struct path netns = path_netns(settings, spec->id);
    struct path anonymous = path_anonymous(settings, "");
    char cgroup[PATH_BYTES], volumes[PATH_BYTES], filters[PATH_BYTES];
    path_format(cgroup, sizeof(cgroup), "/%s/%s", settings->instance, spec->id);
    path_format(volumes, sizeof(volumes), "%s/volumes", settings->data_dir);
    path_format(filters, sizeof(filters), "%s/seccomp", settings->run_dir);
    const char *init_path = NULL;
    struct oci_input input = {
        .spec = spec,
        .plan = plan,
        .user = &user,
        .hostname = spec->hostname ? spec->hostname : spec->id,
        .rootfs = rootfs,
        .netns_path = spec->network_mode == CONTAINER_NETWORK_HOST ? NULL : netns.text,
        .cgroup_path = cgroup,
        .files_dir = bundle.text,
        .secrets_dir = secrets_dir.text,
        .volumes_dir = volumes,
        .anonymous_dir = anonymous.text,
        .mount_timeout_ms = settings->launch_timeout_ms,
        .filters_dir = filters,
        .userns = userns,
        .images = settings->images,
    };
    result = apparmor_choose(&settings->apparmor, &spec->sandbox, &input.apparmor_profile, error);
    if (result < 0)
        return result;
    result =
        container_files_write(&input, secrets, &record->ends, settings->network.gateway, error);
    if (result == 0 && spec->init)
        result = container_files_find_init(&init_path, error);
    if (result < 0)
        return result;
    input.init_path = init_path;
    cleanup_free char *config = NULL, *process = NULL;
    result = oci_spec_write(&input, &config, &process, error);
    if (result < 0)
        return result;
    result = write_into_bundle(settings, spec->id, "config.json", config, error);
    return result < 0 ? result
                      : write_into_bundle(settings, spec->id, "process.json", process, error);
}

/* The spec's subnets, each with which of the container's ends it leads to. */
static void find_subnets(const struct container_spec *spec, struct network_subnets *ret)
{
    size_t ends = spec->networks.count + spec->internal_networks.count;
    ret->count = 0;
    for (size_t i = 0; i < spec->subnets.count && ret->count < RUNTIME_SUBNETS_MAX; i++) {
        struct network_subnet *item = &ret->items[ret->count];
        char text[IP_NETWORK_TEXT_BYTES];
        const char *space = strchr(spec->subnets.items[i], ' ');
        size_t length = space ? (size_t)(space - spec->subnets.items[i]) : sizeof(text);
        if (length >= sizeof(text))
            continue;
        memcpy(text, spec->subnets.items[i], length);
        text[length] = '\0';
        item->end = 0;
        while (item->end < ends && strcmp(network_pool_name(spec, item->end), space + 1) != 0)
            item->end++;
        if (item->end < ends && ip_network_parse(text, &item->subnet) == 0)
            ret->count++;
    }
}

/* The network's cables, and what services' addresses take. */
static int attach(const struct runtime_settings *settings, const struct container_spec *spec,
                  int userns_fd, const struct container_record *record, struct error *error)
{
    struct path netns = path_netns(settings, spec->id);
    struct network_subnets subnets;
    find_subnets(spec, &subnets);
    service_addresses_apply(settings);
    return network_attach(&settings->network, netns.text, userns_fd, &record->ends, &subnets,
                          error);
}

static void cleanup_userns(struct userns *userns)
{
    userns_close(userns);
}

static int prepare(const struct runtime_settings *settings, const struct container_spec *spec,
                   const struct secrets *secrets, const struct container_record *record,
                   const struct container_plan *plan, struct error *error)
{
    struct path bundle = path_run(settings, spec->id, NULL);
    __attribute__((cleanup(cleanup_userns))) struct userns own = {.fd = -1};
    const struct userns *userns = record->first_id != 0 ? &own : NULL;
    int result = file_make_directories(bundle.text, 0700);
    if (result < 0)
        return error_set_errno(error, result, "cannot make %s", bundle.text);
    if (userns)
        result = prepare_userns(settings, spec->id, record->first_id, &own, error);
    if (result == 0 && spec->network_mode != CONTAINER_NETWORK_HOST)
        result = attach(settings, spec, own.fd, record, error);
    if (result < 0)
        return result;
    cleanup_free char *rootfs = NULL;
    result = mount_rootfs(settings, spec, userns, &rootfs, error);
    if (result < 0)
        return result;
    return write_bundle(settings, spec, secrets, record, plan, rootfs, userns, error);
}

static int start(const struct runtime_settings *settings, const struct container_spec *spec,
                 struct container_record *record, struct error *error)
{
    struct conmon_options options = {
        .log_bytes_max = spec->log_bytes_max ? spec->log_bytes_max : RUNTIME_LOG_BYTES_DEFAULT,
        .tty = spec->sandbox.tty,
        .stdin_open = spec->sandbox.stdin_open,
    };
    pid_t pid;
    int result = conmon_create(settings, spec->id, spec->name ? spec->name : spec->id, &options,
                               &pid, error);
    struct process process;
    if (result == 0) {
        result = process_identify(pid, &process);
        if (result < 0)
            error_set_errno(error, result, "container %s: its first process", spec->id);
    }
    if (result < 0)
        return result;
    record->process = process;
    record->started_wall_ms = wall_ms();
    record->error[0] = '\0';
    /* Before it is let go, or a daemon that dies now would have it run a second time. */
    result = launch_save_record(settings, spec->id, record, false);
    if (result < 0)
        return error_set_errno(error, result, "container %s: cannot save its state", spec->id);
    if (record->first_id != 0)
        userns_open_streams(pid);
    return conmon_start(settings, spec->id, error);
}

int launch_start(const struct runtime_settings *settings, const struct container_spec *spec,
                 struct container_record *record, struct error *error)
{
    int result = start(settings, spec, record, error);
    if (result < 0) {
        conmon_delete(settings, spec->id, NULL);
        record->process = (struct process){0};
    }
    return result;
}

int launch_prepare(const struct runtime_settings *settings, const struct container_spec *spec,
                   const struct secrets *secrets, const struct container_record *record,
                   struct container_plan *ret_plan, struct error *error)
{
    struct path directory = path_data(settings, spec->id, NULL);
    int result = file_make_directories(directory.text, 0700);
    /* Not synced: nothing that is being started outlives the machine, which its peer starts anew.
     */
    if (result == 0)
        result = launch_save_spec(settings, spec, false);
    if (result == 0)
        result = launch_save_record(settings, spec->id, record, false);
    if (result < 0)
        return error_set_errno(error, result, "container %s: cannot save its spec", spec->id);
    result = conmon_delete(settings, spec->id, error);
    if (result < 0)
        return result;
    struct container_plan plan = {0};
    result = launch_plan(settings, spec, &plan, error);
    if (result < 0)
        return result;
    result = prepare(settings, spec, secrets, record, &plan, error);
    if (result < 0) {
        container_plan_done(&plan);
        error_prefix(error, "container %s", spec->id);
        return result;
    }
    *ret_plan = plan;
    return 0;
}

static void describe_exit(const struct runtime_settings *settings, const char *id,
                          struct container_record *record)
{
    char *text = record->error;
    size_t capacity = sizeof(record->error);
    text[0] = '\0';
    if (record->exit_code == 0 && !record->oom_killed)
        return;
    if (record->oom_killed)
        snprintf(text, capacity, "killed for using more memory than its limit");
    else if (record->exit_code < 0)
        snprintf(text, capacity, "ended while its monitor was gone; exit code unknown");
    else if (record->exit_code > 128 && sigabbrev_np(record->exit_code - 128))
        snprintf(text, capacity, "exit code %d (SIG%s)", record->exit_code,
                 sigabbrev_np(record->exit_code - 128));
    else
        snprintf(text, capacity, "exit code %d", record->exit_code);
    struct path log = path_log(settings, id);
    char lines[STATE_ERROR_BYTES / 2];
    /* What it printed first may be older than the moment at which its start was noted; and all of
     * it, if the clock was set back meanwhile. */
    int64_t since_ms = record->started_wall_ms;
    if (record->ran_ms >= 0 && record->finished_wall_ms - record->ran_ms < since_ms)
        since_ms = record->finished_wall_ms - record->ran_ms;
    since_ms -= RUNTIME_START_NOTED_MS;
    if (log_tail_text(log.text, RUNTIME_ERROR_LOG_LINES, since_ms, lines, sizeof(lines)) > 0) {
        size_t length = strlen(text);
        snprintf(text + length, capacity - length, "; last log lines: %s", lines);
    }
}

void launch_collect(const struct runtime_settings *settings, const char *id,
                    struct container_record *record)
{
    struct conmon_exit ended;
    conmon_read_exit(settings, id, &ended);
    record->exit_code = ended.code;
    record->oom_killed = ended.oom_killed;
    record->finished_wall_ms = wall_ms();
    record->ran_ms = process_age_ms(&record->process);
    record->process = (struct process){0};
    describe_exit(settings, id, record);
    /* First, for nobody can say how it ended once what conmon wrote is gone. */
    struct container_record ended_record = *record;
    ended_record.over = OVER_ENDED;
    int result = launch_save_record(settings, id, &ended_record, true);
    if (result < 0)
        log_error("container %s: cannot save its state: %s", id, strerror(-result));
    struct error error;
    if (conmon_delete(settings, id, &error) < 0)
        log_warning("%s", error.message);
}

int launch_remove(const struct runtime_settings *settings, const char *id,
                  const struct network_ends *ends, struct error *error)
{
    /* First: without its spec it is nobody's, and goes even if we are killed from here on. Were its
     * state lost before the spec, it would be taken for one that shall run. */
    struct path spec = path_data(settings, id, "spec");
    unlink(spec.text);
    int result = conmon_delete(settings, id, error);
    struct path netns = path_netns(settings, id);
    int one = network_detach(&settings->network, netns.text, ends);
    if (one < 0)
        result = error_set_errno(error, one, "container %s: cannot remove its network", id);
    struct path userns = path_userns(settings, id);
    one = userns_remove(userns.text);
    if (one < 0)
        result = error_set_errno(error, one, "container %s: cannot remove its user namespace", id);
    struct path directory = path_data(settings, id, NULL);
    one = rootfs_remove(directory.text, error);
    if (one == 0) {
        one = tree_remove_path(directory.text);
        if (one < 0)
            error_set_errno(error, one, "container %s: cannot remove %s", id, directory.text);
    }
    if (one < 0)
        result = one;
    cgroup_remove(settings->instance, NULL); /* fails, rightly, while other containers are there */
    return result;
}
