#include "runtime/sandbox.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "runtime/sandbox_options.h"

enum {
    HOST_DEVICES_MAX = 1024, /* that a privileged container is shown */
    HOST_DEPTH_MAX = 4,
};

/* --- Texts --- */

static const struct {
    const char *name;
    int resource;
} ulimits[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

static bool parse_limit(const char *text, size_t size, uint64_t *ret)
{
    char digits[24], *end;
    if (size == 0 || size >= sizeof(digits))
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    if (strcmp(digits, "-1") == 0 || strcmp(digits, "unlimited") == 0) {
        *ret = UINT64_MAX;
        return true;
    }
    errno = 0;
    *ret = strtoull(digits, &end, 10);
    return isdigit((unsigned char)digits[0]) && *end == '\0' && errno == 0;
}

int sandbox_parse_ulimit(const char *text, struct sandbox_ulimit *ret)
{
    struct sandbox_ulimit limit = {.name = "RLIMIT_"};
    size_t name_size = strcspn(text, "="), known = 0, prefix = strlen(limit.name);
    while (known < array_count(ulimits) && (strlen(ulimits[known].name) != name_size ||
                                            strncmp(ulimits[known].name, text, name_size) != 0))
        known++;
    if (known == array_count(ulimits) || text[name_size] != '=')
        return -EINVAL;
    limit.resource = ulimits[known].resource;
    for (size_t i = 0; i < name_size; i++)
        limit.name[prefix + i] = (char)toupper((unsigned char)text[i]);
    const char *soft = text + name_size + 1;
    size_t soft_size = strcspn(soft, ":");
    const char *hard = soft[soft_size] ? soft + soft_size + 1 : soft;
    if (!parse_limit(soft, soft_size, &limit.soft) ||
        !parse_limit(hard, strlen(hard), &limit.hard) || limit.soft > limit.hard)
        return -EINVAL;
    *ret = limit;
    return 0;
}

/* The kernel alone knows what else stands against it (user namespaces, fs.nr_open), so it is asked:
 * a hard limit of our own that is raised for a moment harms nobody. */
bool sandbox_ulimit_fit(struct sandbox_ulimit *limit)
{
    struct rlimit own;
    if (getrlimit((__rlimit_resource_t)limit->resource, &own) < 0 || limit->hard <= own.rlim_max)
        return false;
    struct rlimit raised = {.rlim_cur = own.rlim_cur, .rlim_max = limit->hard};
    if (setrlimit((__rlimit_resource_t)limit->resource, &raised) == 0) {
        setrlimit((__rlimit_resource_t)limit->resource, &own);
        return false;
    }
    limit->hard = own.rlim_max;
    if (limit->soft > limit->hard)
        limit->soft = limit->hard;
    return true;
}

/* Cuts the next part off, up to a colon; false if it does not fit or is no absolute path. */
static bool take_path(const char **at, char *ret, size_t capacity)
{
    size_t size = strcspn(*at, ":");
    if (size < 2 || size >= capacity || (*at)[0] != '/')
        return false;
    memcpy(ret, *at, size);
    ret[size] = '\0';
    *at += size + ((*at)[size] == ':');
    return !strstr(ret, "/../") && !(size >= 3 && strcmp(ret + size - 3, "/..") == 0);
}

static bool access_is_valid(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= 3 && strspn(text, "rwm") == size;
}

int sandbox_parse_device(const char *text, struct sandbox_device *ret)
{
    const char *at = text;
    struct sandbox_device device = {.access = "rwm"};
    if (!take_path(&at, device.source, sizeof(device.source)))
        return -EINVAL;
    memcpy(device.target, device.source, sizeof(device.target));
    if (*at == '/' && !take_path(&at, device.target, sizeof(device.target)))
        return -EINVAL;
    if (*at) {
        if (!access_is_valid(at))
            return -EINVAL;
        snprintf(device.access, sizeof(device.access), "%s", at);
    }
    *ret = device;
    return 0;
}

bool sandbox_sysctl_is_safe(const char *text)
{
    static const char *const known[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                        "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                        "kernel.shmmni", "kernel.shm_rmid_forced"};
    size_t size = strcspn(text, "=");
    if (text[size] != '=' || text[size + 1] == '\0' || strpbrk(text, "\n") ||
        memmem(text, size, "..", 2) || memchr(text, '/', size))
        return false;
    if ((size > 4 && strncmp(text, "net.", 4) == 0) ||
        (size > 10 && strncmp(text, "fs.mqueue.", 10) == 0))
        return true;
    for (size_t i = 0; i < array_count(known); i++)
        if (strlen(known[i]) == size && strncmp(text, known[i], size) == 0)
            return true;
    return false;
}

bool sandbox_cpuset_is_valid(const char *text)
{
    bool needs_digit = true;
    if (strlen(text) > 1024)
        return false;
    for (; *text; text++) {
        bool is_digit = isdigit((unsigned char)*text);
        if (!is_digit && (needs_digit || (*text != ',' && *text != '-')))
            return false;
        needs_digit = !is_digit;
    }
    return !needs_digit;
}

bool sandbox_word_is_valid(const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || size > 255)
        return false;
    for (; *text; text++)
        if (!isgraph((unsigned char)*text) || strchr("#;", *text))
            return false;
    return true;
}

static int lists_check(const struct container_sandbox *sandbox, struct error *error)
{
    struct sandbox_ulimit limit;
    struct sandbox_device device;
    if (sandbox->groups.count > RUNTIME_GROUPS_MAX)
        return error_set(error, -EINVAL, "more than %d added groups", RUNTIME_GROUPS_MAX);
    if (sandbox->devices.count > RUNTIME_DEVICES_MAX)
        return error_set(error, -EINVAL, "more than %d devices", RUNTIME_DEVICES_MAX);
    for (size_t i = 0; i < sandbox->ulimits.count; i++)
        if (sandbox_parse_ulimit(sandbox->ulimits.items[i], &limit) < 0)
            return error_set(error, -EINVAL, "\"%s\" is no limit", sandbox->ulimits.items[i]);
    for (size_t i = 0; i < sandbox->devices.count; i++)
        if (sandbox_parse_device(sandbox->devices.items[i], &device) < 0)
            return error_set(error, -EINVAL, "\"%s\" is no device", sandbox->devices.items[i]);
    for (size_t i = 0; i < sandbox->options.count; i++)
        if (!sandbox_option_is_valid(sandbox->options.items[i]))
            return error_set(error, -EINVAL, "\"%s\" is no option", sandbox->options.items[i]);
    for (size_t i = 0; i < sandbox->sysctls.count; i++)
        if (!sandbox_sysctl_is_safe(sandbox->sysctls.items[i]))
            return error_set(error, -EINVAL, "the setting %s is not the container's own",
                             sandbox->sysctls.items[i]);
    return 0;
}

int sandbox_check(const struct container_sandbox *sandbox, struct error *error)
{
    const struct text_list *const words[] = {&sandbox->dns_search, &sandbox->dns_options};
    for (size_t i = 0; i < array_count(words); i++)
        for (size_t j = 0; j < words[i]->count; j++)
            if (!sandbox_word_is_valid(words[i]->items[j]))
                return error_set(error, -EINVAL, "\"%s\" can't stand in resolv.conf",
                                 words[i]->items[j]);
    if (sandbox->cpuset && !sandbox_cpuset_is_valid(sandbox->cpuset))
        return error_set(error, -EINVAL, "\"%s\" is no set of CPUs", sandbox->cpuset);
    if (sandbox->oom_score_adj < -RUNTIME_OOM_SCORE_MAX ||
        sandbox->oom_score_adj > RUNTIME_OOM_SCORE_MAX)
        return error_set(error, -EINVAL, "an OOM score of %d is out of bounds",
                         sandbox->oom_score_adj);
    if (sandbox->shm_bytes > INT64_MAX)
        return error_set(error, -EINVAL, "/dev/shm is too large");
    return lists_check(sandbox, error);
}

/* --- Devices --- */

static int add_device(json_t *devices, const char *target, const struct stat *status)
{
    return json_array_append_new(
        devices,
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", target, "type",
                  S_ISBLK(status->st_mode) ? "b" : "c", "major", (json_int_t)major(status->st_rdev),
                  "minor", (json_int_t)minor(status->st_rdev), "fileMode",
                  (json_int_t)(status->st_mode & 0777), "uid", (json_int_t)status->st_uid, "gid",
                  (json_int_t)status->st_gid));
}

static bool is_device(const struct stat *status)
{
    return S_ISBLK(status->st_mode) || S_ISCHR(status->st_mode);
}

/* The container has these of its own, or they would be another's terminal. */
static bool is_own(const char *path)
{
    static const char *const own[] = {"/dev/pts",     "/dev/shm",     "/dev/mqueue", "/dev/fd",
                                      "/dev/console", "/dev/null",    "/dev/zero",   "/dev/full",
                                      "/dev/random",  "/dev/urandom", "/dev/tty",    "/dev/ptmx"};
    for (size_t i = 0; i < array_count(own); i++)
        if (strcmp(path, own[i]) == 0)
            return true;
    return false;
}

static int add_host_devices(json_t *devices, const char *folder, int depth)
{
    int result = 0;
    DIR *directory = opendir(folder);
    if (!directory)
        return errno == ENOENT || errno == EACCES ? 0 : -errno;
    for (struct dirent *entry; result == 0 && (entry = readdir(directory)) != NULL;) {
        char path[PATH_MAX];
        struct stat status;
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path) ||
            is_own(path) || lstat(path, &status) < 0)
            continue;
        if (S_ISDIR(status.st_mode) && depth < HOST_DEPTH_MAX)
            result = add_host_devices(devices, path, depth + 1);
        else if (is_device(&status) && json_array_size(devices) < HOST_DEVICES_MAX)
            result = add_device(devices, path, &status);
    }
    closedir(directory);
    return result;
}

static int add_named_device(const char *text, json_t *devices, json_t *allowed, struct error *error)
{
    struct sandbox_device device;
    struct stat status;
    if (sandbox_parse_device(text, &device) < 0)
        return error_set(error, -EINVAL, "\"%s\" is no device", text);
    if (stat(device.source, &status) < 0)
        return error_set_errno(error, -errno, "the device %s of this machine", device.source);
    if (!is_device(&status))
        return error_set(error, -EINVAL, "%s of this machine is no device", device.source);
    json_t *rule =
        json_pack("{s:b, s:s, s:I, s:I, s:s}", "allow", 1, "type",
                  S_ISBLK(status.st_mode) ? "b" : "c", "major", (json_int_t)major(status.st_rdev),
                  "minor", (json_int_t)minor(status.st_rdev), "access", device.access);
    return json_array_append_new(allowed, rule) < 0 ||
                   add_device(devices, device.target, &status) < 0
               ? -ENOMEM
               : 0;
}

int sandbox_devices(const struct container_sandbox *sandbox, json_t *allowed, json_t **ret,
                    struct error *error)
{
    json_t *devices = json_array();
    int result = devices ? 0 : -ENOMEM;
    if (result == 0 && sandbox->privileged) {
        result = add_host_devices(devices, "/dev", 0);
        if (json_array_append_new(allowed, json_pack("{s:b, s:s}", "allow", 1, "access", "rwm")) <
            0)
            result = -ENOMEM;
        if (result < 0)
            error_set_errno(error, result, "listing the machine's devices");
    }
    for (size_t i = 0; i < sandbox->devices.count && result == 0; i++)
        result = add_named_device(sandbox->devices.items[i], devices, allowed, error);
    if (result < 0)
        json_decref(devices);
    else
        *ret = devices;
    return result;
}
