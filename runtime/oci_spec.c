#include "runtime/oci_spec.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/capability.h"
#include "runtime/cgroup.h"
#include "runtime/file.h"
#include "runtime/own_mounts.h"
#include "runtime/sandbox.h"
#include "runtime/sandbox_options.h"
#include "runtime/seccomp_filter.h"
#include "runtime/seccomp_profile.h"

enum {
    NOFILE_SOFT =
        65536, /* enough for servers; programs that close all they might have stay quick */
};

static const char init_target[] = "/dev/init";

/* Files that tell about or change the machine rather than the container. */
static const char *const masked_paths[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/firmware",
    "/sys/fs/selinux",
    "/sys/devices/virtual/powercap",
};

static const char *const readonly_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

/* jansson's functions take ownership and pass NULL on as a failure, so that only the last result of
 * a chain needs a look. */
static json_t *texts(const char *const *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(items[i]));
    if (json_array_size(list) == count)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *text_list_json(const struct text_list *list)
{
    return texts((const char *const *)list->items, list->count);
}

static int add_mount(json_t *mounts, const char *target, const char *type, const char *source,
                     const char *options)
{
    json_t *list = json_array();
    cleanup_free char *copy = strdup(options);
    if (!copy)
        return -1;
    char *at = copy;
    for (char *option; (option = strsep(&at, ",")) != NULL;)
        json_array_append_new(list, json_string(option));
    return json_array_append_new(mounts,
                                 json_pack("{s:s, s:s, s:s, s:o}", "destination", target, "type",
                                           type, "source", source, "options", list));
}

static int add_system_mounts(json_t *mounts, const struct container_sandbox *sandbox)
{
    char shm[96];
    const char *sys = sandbox->privileged ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro";
    const char *cgroup =
        sandbox->privileged ? "nosuid,noexec,nodev,relatime" : "nosuid,noexec,nodev,relatime,ro";
    snprintf(shm, sizeof(shm), "nosuid,noexec,nodev,mode=1777,size=%" PRIu64,
             sandbox->shm_bytes ? sandbox->shm_bytes : RUNTIME_SHM_BYTES_DEFAULT);
    const struct {
        const char *target, *type, *source, *options;
    } system[] = {
        {"/proc", "proc", "proc", "nosuid,noexec,nodev"},
        {"/dev", "tmpfs", "tmpfs", "nosuid,noexec,strictatime,mode=755,size=65536k"},
        {"/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"},
        {"/dev/shm", "tmpfs", "shm", shm},
        {"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"},
        {"/sys", "sysfs", "sysfs", sys},
        {"/sys/fs/cgroup", "cgroup", "cgroup", cgroup},
    };
    int result = 0;
    for (size_t i = 0; i < array_count(system); i++)
        result |= add_mount(mounts, system[i].target, system[i].type, system[i].source,
                            system[i].options);
    return result;
}

static int add_network_files(json_t *mounts, const struct oci_input *input)
{
    static const char *const names[] = {"resolv.conf", "hosts", "hostname"};
    int result = 0;
    for (size_t i = 0; i < array_count(names); i++) {
        char source[PATH_BYTES], target[PATH_BYTES];
        path_format(source, sizeof(source), "%s/%s", input->files_dir, names[i]);
        path_format(target, sizeof(target), "/etc/%s", names[i]);
        result |= add_mount(mounts, target, "bind", source, "bind,nosuid,nodev,noexec,private");
    }
    return result;
}

void oci_file_mount_path(const struct oci_input *input, size_t index, char *ret, size_t capacity)
{
    bool is_secret = input->spec->mounts[index].secret;
    path_format(ret, capacity, "%s/file-%zu", is_secret ? input->secrets_dir : input->files_dir,
                index);
}

void oci_volume_path(const struct oci_input *input, const struct container_mount *mount, char *ret,
                     size_t capacity)
{
    path_format(ret, capacity, "%s/%s",
                mount->is_anonymous ? input->anonymous_dir : input->volumes_dir, mount->source);
}

static int add_bind(json_t *mounts, const struct container_mount *mount)
{
    char options[64];
    snprintf(options, sizeof(options), "rbind,%s,%s",
             mount->propagation ? mount->propagation : "rprivate", mount->read_only ? "ro" : "rw");
    return add_mount(mounts, mount->target, "bind", mount->source, options);
}

/* A volume, or what the runtime has mounted itself. In a user namespace its owners are mapped: on
 * the disk they are as in the container, so that containers with other ids, or without a user
 * namespace, see the same. */
static int add_volume(json_t *mounts, const struct oci_input *input, size_t index)
{
    const struct container_mount *mount = &input->spec->mounts[index];
    char source[PATH_BYTES], options[64];
    if (own_mount_is_wanted(mount))
        own_mount_path(input->files_dir, index, source);
    else
        oci_volume_path(input, mount, source, sizeof(source));
    snprintf(options, sizeof(options), "rbind,rprivate,nosuid,nodev,%s%s",
             mount->read_only ? "ro" : "rw", input->userns ? ",idmap" : "");
    return add_mount(mounts, mount->target, "bind", source, options);
}

static int add_tmpfs(json_t *mounts, const struct container_mount *mount)
{
    char options[128], size[48] = "";
    if (mount->size_bytes > 0)
        snprintf(size, sizeof(size), ",size=%" PRIu64, mount->size_bytes);
    snprintf(options, sizeof(options), "nosuid,nodev,noexec,mode=%o%s%s",
             mount->mode ? mount->mode : 01777, size, mount->read_only ? ",ro" : "");
    return add_mount(mounts, mount->target, "tmpfs", "tmpfs", options);
}

static int add_spec_mount(json_t *mounts, const struct oci_input *input, size_t index)
{
    const struct container_mount *mount = &input->spec->mounts[index];
    char source[PATH_BYTES];
    switch (mount->type) {
    case MOUNT_BIND:
        return add_bind(mounts, mount);
    case MOUNT_VOLUME:
    case MOUNT_DEVICE:
        return add_volume(mounts, input, index);
    case MOUNT_IMAGE: /* its owners are mapped already: overlayfs can't have them mapped later */
        own_mount_path(input->files_dir, index, source);
        return add_mount(mounts, mount->target, "bind", source, "rbind,rprivate,nosuid,nodev,ro");
    case MOUNT_TMPFS:
        return add_tmpfs(mounts, mount);
    case MOUNT_FILE:
        break;
    }
    oci_file_mount_path(input, index, source, sizeof(source));
    return add_mount(mounts, mount->target, "bind", source, "bind,private,ro,nosuid,nodev");
}

static size_t depth_of(const char *path)
{
    size_t depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

/* What is mounted below another must come after it, in whichever order they are listed. */
static int add_spec_mounts(json_t *mounts, const struct oci_input *input)
{
    const struct container_spec *spec = input->spec;
    size_t added = 0;
    int result = 0;
    for (size_t depth = 0; added < spec->mount_count && result == 0; depth++)
        for (size_t i = 0; i < spec->mount_count && result == 0; i++)
            if (depth_of(spec->mounts[i].target) == depth) {
                result = add_spec_mount(mounts, input, i);
                added++;
            }
    return result;
}

static json_t *mounts_json(const struct oci_input *input)
{
    json_t *mounts = json_array();
    int result = add_system_mounts(mounts, &input->spec->sandbox);
    result |= add_network_files(mounts, input);
    result |= add_spec_mounts(mounts, input);
    if (input->init_path)
        result |= add_mount(mounts, init_target, "bind", input->init_path,
                            "bind,private,ro,nosuid,nodev");
    if (result == 0)
        return mounts;
    json_decref(mounts);
    return NULL;
}

/* An unprivileged user keeps only what the spec added for it: execve() takes all else away, and
 * ambient capabilities are the one way to keep some. */
static json_t *capabilities_json(const struct oci_input *input, uint64_t set)
{
    uint64_t ambient = 0;
    if (input->user->uid != 0)
        for (size_t i = 0; i < input->spec->capability_add.count; i++) {
            int number;
            if (capability_parse(input->spec->capability_add.items[i], &number) == 0)
                ambient |= set & (UINT64_C(1) << number);
        }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "bounding", capability_json(set), "effective",
                     capability_json(set), "permitted", capability_json(set), "inheritable",
                     capability_json(ambient), "ambient", capability_json(ambient));
}

static json_t *environment_json(const struct oci_input *input)
{
    json_t *list = text_list_json(&input->plan->environment);
    if (!environment_has(&input->plan->environment, "HOME"))
        json_array_append_new(list, json_sprintf("HOME=%s", input->user->home));
    if (!environment_has(&input->plan->environment, "HOSTNAME"))
        json_array_append_new(list, json_sprintf("HOSTNAME=%s", input->hostname));
    return list;
}

static json_t *argv_json(const struct oci_input *input)
{
    json_t *list = text_list_json(&input->plan->argv);
    if (!input->init_path)
        return list;
    json_array_insert_new(list, 0, json_string(init_target));
    json_array_insert_new(list, 1, json_string("--"));
    return list;
}

static int add_rlimit(json_t *limits, const char *name, uint64_t soft, uint64_t hard)
{
    /* jansson has no unsigned numbers; RLIM_INFINITY is all ones, which crun reads as such. */
    return json_array_append_new(limits, json_pack("{s:s, s:I, s:I}", "type", name, "hard",
                                                   (json_int_t)hard, "soft", (json_int_t)soft));
}

static json_t *rlimits_json(const struct container_sandbox *sandbox)
{
    json_t *limits = json_array();
    bool has_files = false;
    int result = 0;
    for (size_t i = 0; i < sandbox->ulimits.count; i++) {
        struct sandbox_ulimit limit;
        if (sandbox_parse_ulimit(sandbox->ulimits.items[i], &limit) < 0)
            continue; /* container_spec_check() saw to it */
        if (sandbox_ulimit_fit(&limit))
            log_warning("the limit %s is more than this daemon may grant: %" PRIu64 " it is",
                        sandbox->ulimits.items[i], limit.hard);
        has_files = has_files || limit.resource == RLIMIT_NOFILE;
        result |= add_rlimit(limits, limit.name, limit.soft, limit.hard);
    }
    /* Never above our own, which may be all that the OCI runtime is allowed to give. */
    uint64_t hard = RUNTIME_NOFILE_MAX;
    struct rlimit own;
    if (getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_max < hard)
        hard = own.rlim_max;
    if (!has_files)
        result |=
            add_rlimit(limits, "RLIMIT_NOFILE", hard < NOFILE_SOFT ? hard : NOFILE_SOFT, hard);
    if (result == 0)
        return limits;
    json_decref(limits);
    return NULL;
}

static json_t *process_json(const struct oci_input *input, uint64_t capabilities)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < input->user->group_count; i++)
        json_array_append_new(groups, json_integer(input->user->groups[i]));
    json_t *process = json_pack(
        "{s:b, s:{s:I, s:I, s:o}, s:o, s:o, s:s, s:o, s:o, s:b}", "terminal",
        input->spec->sandbox.tty, "user", "uid", (json_int_t)input->user->uid, "gid",
        (json_int_t)input->user->gid, "additionalGids", groups, "args", argv_json(input), "env",
        environment_json(input), "cwd", input->plan->working_dir, "capabilities",
        capabilities_json(input, capabilities), "rlimits", rlimits_json(&input->spec->sandbox),
        "noNewPrivileges", !input->spec->privileged_escalation && !input->spec->sandbox.privileged);
    if (process && input->spec->sandbox.tty) /* until somebody attaches and says another */
        json_object_set_new(
            process, "consoleSize",
            json_pack("{s:i, s:i}", "height", TTY_ROWS_DEFAULT, "width", TTY_COLUMNS_DEFAULT));
    if (process && input->spec->sandbox.oom_score_adj != 0)
        json_object_set_new(process, "oomScoreAdj",
                            json_integer(input->spec->sandbox.oom_score_adj));
    if (process && input->apparmor_profile)
        json_object_set_new(process, "apparmorProfile", json_string(input->apparmor_profile));
    return process;
}

static json_t *memory_json(const struct container_spec *spec)
{
    uint64_t swap = spec->sandbox.swap_bytes;
    json_t *memory = json_pack("{s:I}", "limit", (json_int_t)spec->memory_bytes);
    if (!memory || !cgroup_has_swap_limit())
        return memory;
    /* No swap on top unless it is asked for: a container that needs more shall fail where it can be
     * seen. The OCI runtime takes -1 for no limit. */
    if (swap < spec->memory_bytes)
        swap = spec->memory_bytes;
    json_object_set_new(memory, "swap", json_integer((json_int_t)swap));
    return memory;
}

/* `allowed`, the devices that may be used, is consumed. */
static json_t *resources_json(const struct container_spec *spec, json_t *allowed)
{
    json_t *resources =
        json_pack("{s:o, s:{s:I}}", "devices", allowed, "pids", "limit",
                  (json_int_t)(spec->pids_max ? spec->pids_max : RUNTIME_PIDS_DEFAULT));
    json_t *cpu = json_object();
    if (spec->memory_bytes > 0)
        json_object_set_new(resources, "memory", memory_json(spec));
    if (spec->cpu_millicores > 0) {
        json_object_set_new(cpu, "quota",
                            json_integer((json_int_t)cgroup_cpu_quota_usec(spec->cpu_millicores)));
        json_object_set_new(cpu, "period", json_integer(CGROUP_CPU_PERIOD_USEC));
    }
    if (spec->sandbox.cpu_shares > 0)
        json_object_set_new(cpu, "shares", json_integer(spec->sandbox.cpu_shares));
    if (spec->sandbox.cpuset)
        json_object_set_new(cpu, "cpus", json_string(spec->sandbox.cpuset));
    if (json_object_size(cpu) > 0)
        json_object_set(resources, "cpu", cpu);
    json_decref(cpu);
    return resources;
}

static json_t *sysctls_json(const struct text_list *sysctls)
{
    json_t *object = json_object();
    for (size_t i = 0; i < sysctls->count; i++) {
        const char *value = strchr(sysctls->items[i], '='); /* container_spec_check() saw to it */
        cleanup_free char *name = strndup(sysctls->items[i], (size_t)(value - sysctls->items[i]));
        if (!name || json_object_set_new(object, name, json_string(value + 1)) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* A bind whose mounts are to be seen on the other side needs a root that lets them through. NULL:
 * the OCI runtime's own, private. */
static const char *root_propagation(const struct container_spec *spec)
{
    const char *result = NULL;
    for (size_t i = 0; i < spec->mount_count; i++) {
        const char *wanted = spec->mounts[i].propagation;
        if (wanted && strstr(wanted, "shared"))
            return "rshared";
        if (wanted && strstr(wanted, "slave"))
            result = "rslave";
    }
    return result;
}

/* What keeps the process from the machine. `devices` and `allowed` are consumed. */
static json_t *linux_json(const struct oci_input *input, uint64_t capabilities, json_t *devices,
                          json_t *allowed)
{
    const struct container_sandbox *sandbox = &input->spec->sandbox;
    json_t *namespaces = json_pack("[{s:s}, {s:s}, {s:s}, {s:s}, {s:s}]", "type", "pid", "type",
                                   "ipc", "type", "uts", "type", "mount", "type", "cgroup");
    if (input->netns_path) /* else the machine's own */
        json_array_append_new(
            namespaces, json_pack("{s:s, s:s}", "type", "network", "path", input->netns_path));
    if (input->userns)
        json_array_append_new(namespaces,
                              json_pack("{s:s, s:s}", "type", "user", "path", input->userns->path));
    size_t masked_count = sandbox->privileged ? 0 : array_count(masked_paths);
    size_t readonly_count = sandbox->privileged ? 0 : array_count(readonly_paths);
    json_t *document = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "cgroupsPath", input->cgroup_path, "namespaces",
        namespaces, "resources", resources_json(input->spec, allowed), "devices", devices, "sysctl",
        sysctls_json(&sandbox->sysctls), "maskedPaths", texts(masked_paths, masked_count),
        "readonlyPaths", texts(readonly_paths, readonly_count));
    const char *propagation = root_propagation(input->spec);
    if (document && propagation)
        json_object_set_new(document, "rootfsPropagation", json_string(propagation));
    if (document && !sandbox->privileged && !sandbox->seccomp_off &&
        json_object_set_new(document, "seccomp", seccomp_profile(capabilities)) < 0) {
        json_decref(document);
        return NULL;
    }
    return document;
}

static int find_capabilities(const struct container_spec *spec, uint64_t *ret, struct error *error)
{
    struct text_list all = {0};
    if (!spec->sandbox.privileged)
        return capability_resolve(&spec->capability_add, &spec->capability_drop, ret, error);
    int result = text_list_add(&all, "ALL");
    if (result == 0)
        result = capability_resolve(&all, &(struct text_list){0}, ret, error);
    text_list_done(&all);
    return result;
}

/* Spares crun the compiling of the profile. Where it can't be done, nothing is lost but time. No
 * annotation of the spec's stands in the filter's place. */
static void add_filter(const struct oci_input *input, json_t *document)
{
    const json_t *profile = json_object_get(json_object_get(document, "linux"), "seccomp");
    json_t *annotations = json_object_get(document, "annotations");
    cleanup_free char *filter = NULL;
    json_object_del(annotations, SECCOMP_FILTER_ANNOTATION);
    if (profile && input->filters_dir &&
        seccomp_filter_text(profile, input->filters_dir, &filter) == 0)
        json_object_set_new(annotations, SECCOMP_FILTER_ANNOTATION, json_string(filter));
}

int oci_spec_write(const struct oci_input *input, char **ret, char **ret_process,
                   struct error *error)
{
    uint64_t capabilities;
    json_t *devices = NULL;
    int result = find_capabilities(input->spec, &capabilities, error);
    if (result < 0)
        return result;
    json_t *allowed = json_pack("[{s:b, s:s}]", "allow", 0, "access", "rwm");
    result = sandbox_devices(&input->spec->sandbox, allowed, &devices, error);
    if (result < 0) {
        json_decref(allowed);
        return result;
    }
    /* json_pack fails as a whole, and frees what it was given, if any part is NULL or not UTF-8. */
    json_t *document =
        json_pack("{s:s, s:{}, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2",
                  "annotations", "process", process_json(input, capabilities), "root", "path",
                  input->userns ? input->userns->root : input->rootfs, "readonly",
                  (int)input->spec->read_only, "hostname", input->hostname, "mounts",
                  mounts_json(input), "linux", linux_json(input, capabilities, devices, allowed));
    result = document ? sandbox_options_apply(&input->spec->sandbox.options, document, error) : 0;
    if (result < 0) {
        json_decref(document);
        return result == -ENOMEM ? error_set_errno(error, result, "writing config.json") : result;
    }
    if (document)
        add_filter(input, document);
    char *text = document ? json_dumps(document, JSON_INDENT(1)) : NULL;
    char *process =
        document ? json_dumps(json_object_get(document, "process"), JSON_COMPACT) : NULL;
    json_decref(document);
    if (!text || !process) {
        free(text);
        free(process);
        return error_set(error, -EINVAL,
                         "cannot write config.json: text that is not UTF-8, or out of memory");
    }
    *ret = text;
    *ret_process = process;
    return 0;
}
