#include "runtime/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/bounds.h"
#include "runtime/container_spec.h"
#include "runtime/network/address_pool.h"
#include "runtime/network/address_rules.h"
#include "runtime/runtime.h"

enum {
    DIRECTORY_BYTES_MAX = 256, /* leaves room in PATH_BYTES for all that is below */
};

/* Looks a program up in PATH, as a shell would. */
static int find_program(const char *name, char **ret)
{
    if (strchr(name, '/')) {
        if (access(name, X_OK) < 0)
            return -errno;
        *ret = realpath(name, NULL);
        return *ret ? 0 : -errno;
    }
    static const char *const directories[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                              "/usr/bin",        "/sbin",          "/bin"};
    for (size_t i = 0; i < array_count(directories); i++) {
        char path[PATH_BYTES];
        path_format(path, sizeof(path), "%s/%.64s", directories[i], name);
        if (access(path, X_OK) == 0) {
            *ret = strdup(path);
            return *ret ? 0 : -ENOMEM;
        }
    }
    return -ENOENT;
}

static int check_directory(const char *what, const char *path, struct error *error)
{
    if (!path || path[0] != '/' || strlen(path) > DIRECTORY_BYTES_MAX)
        return error_set(error, -EINVAL, "runtime: %s \"%s\" is not an absolute path", what,
                         path ? path : "");
    return 0;
}

static int parse_network(struct runtime_settings *settings, const struct runtime_config *config,
                         struct error *error)
{
    const char *subnet = config->subnet ? config->subnet : "10.88.0.0/16";
    const char *virtual = config->virtual_subnet ? config->virtual_subnet : "10.97.0.0/16";
    struct firewall_config *network = &settings->network;
    if (subnet_parse(subnet, &network->network, &network->prefix) < 0)
        return error_set(error, -EINVAL, "runtime: \"%s\" is not a subnet between /%d and /%d",
                         subnet, RUNTIME_SUBNET_PREFIX_MIN, RUNTIME_SUBNET_PREFIX_MAX);
    if (subnet_parse(virtual, &network->virtual_network, &network->virtual_prefix) < 0)
        return error_set(error, -EINVAL, "runtime: \"%s\" is not a subnet between /%d and /%d",
                         virtual, RUNTIME_SUBNET_PREFIX_MIN, RUNTIME_SUBNET_PREFIX_MAX);
    network->gateway = network->network + 1;
    network->mesh_port = config->mesh_port;
    network->bridge = settings->bridge;
    return 0;
}

static int find_programs(struct runtime_settings *settings, const struct runtime_config *config,
                         struct error *error)
{
    const char *oci_runtime = config->oci_runtime ? config->oci_runtime : "crun";
    const char *conmon = config->conmon ? config->conmon : "conmon";
    int result = find_program(oci_runtime, &settings->oci_runtime);
    if (result < 0) {
        error_set_errno(error, result, "runtime: the OCI runtime %s", oci_runtime);
        error_hint(error, "install the package crun, or name another OCI runtime");
        return result;
    }
    sealed_program_init(&settings->oci_program, settings->oci_runtime);
    result = find_program(conmon, &settings->conmon);
    if (result < 0) {
        error_set_errno(error, result, "runtime: the container monitor %s", conmon);
        error_hint(error, "install the package conmon");
    }
    return result;
}

static int settings_fill(struct runtime_settings *settings, const struct runtime_config *config,
                         struct error *error)
{
    const char *bridge = config->bridge ? config->bridge : "consort0";
    int result = check_directory("data directory", config->data_dir, error);
    if (result == 0)
        result = check_directory("run directory", config->run_dir, error);
    if (result < 0)
        return result;
    if (!config->instance || !container_id_valid(config->instance))
        return error_set(error, -EINVAL, "runtime: the instance's name is missing or not valid");
    if (!container_id_valid(bridge) || strlen(bridge) > RUNTIME_BRIDGE_NAME_MAX)
        return error_set(error, -EINVAL, "runtime: \"%s\" cannot be a bridge's name", bridge);
    settings->data_dir = strdup(config->data_dir);
    settings->run_dir = strdup(config->run_dir);
    settings->instance = strdup(config->instance);
    settings->bridge = strdup(bridge);
    if (!settings->data_dir || !settings->run_dir || !settings->instance || !settings->bridge)
        return error_set_errno(error, -ENOMEM, "runtime");
    settings->images = config->images;
    settings->userns = config->userns.range_count > 0 ? config->userns : userns_pool_default;
    settings->launch_timeout_ms =
        config->launch_timeout_ms > 0 ? config->launch_timeout_ms : RUNTIME_LAUNCH_TIMEOUT_MS;
    result = parse_network(settings, config, error);
    return result < 0 ? result : find_programs(settings, config, error);
}

int settings_init(struct runtime_settings *settings, const struct runtime_config *config,
                  struct error *error)
{
    *settings = (struct runtime_settings){.oci_program = {.copy = -1}};
    settings->address_rules = address_rules_new();
    int result = settings->address_rules ? settings_fill(settings, config, error) : -ENOMEM;
    if (result < 0)
        settings_done(settings);
    return result;
}

void settings_done(struct runtime_settings *settings)
{
    free(settings->data_dir);
    free(settings->run_dir);
    free(settings->instance);
    free(settings->bridge);
    sealed_program_done(&settings->oci_program);
    free(settings->oci_runtime);
    free(settings->conmon);
    address_rules_free(settings->address_rules);
    *settings = (struct runtime_settings){0};
}

int settings_make_directories(const struct runtime_settings *settings, struct error *error)
{
    static const char *const run[] = {"containers", "netns", "exits", "oci", "sockets"};
    static const char *const data[] = {"containers", "volumes", "anonymous"};
    char path[PATH_BYTES];
    int result = 0;
    for (size_t i = 0; i < array_count(run) && result == 0; i++) {
        path_format(path, sizeof(path), "%s/%s", settings->run_dir, run[i]);
        result = file_make_directories(path, 0700);
    }
    for (size_t i = 0; i < array_count(data) && result == 0; i++) {
        path_format(path, sizeof(path), "%s/%s", settings->data_dir, data[i]);
        result = file_make_directories(path, 0700);
    }
    if (result == 0) {
        path_format(path, sizeof(path), "%s/userns", settings->run_dir);
        result = file_make_directories(path, USERNS_DIRECTORY_MODE);
    }
    if (result < 0)
        return error_set_errno(error, result, "runtime: cannot make directory %s", path);
    return 0;
}

static struct path path_below(const char *directory, const char *kind, const char *id,
                              const char *file)
{
    struct path path;
    path_format(path.text, sizeof(path.text), "%s/%s/%s%s%s", directory, kind, id, file ? "/" : "",
                file ? file : "");
    return path;
}

struct path path_data(const struct runtime_settings *settings, const char *id, const char *file)
{
    return path_below(settings->data_dir, "containers", id, file);
}

struct path path_anonymous(const struct runtime_settings *settings, const char *name)
{
    return path_below(settings->data_dir, "anonymous", name, NULL);
}

struct path path_run(const struct runtime_settings *settings, const char *id, const char *file)
{
    return path_below(settings->run_dir, "containers", id, file);
}

struct path path_netns(const struct runtime_settings *settings, const char *id)
{
    return path_below(settings->run_dir, "netns", id, NULL);
}

struct path path_userns(const struct runtime_settings *settings, const char *id)
{
    return path_below(settings->run_dir, "userns", id, NULL);
}

struct path path_exit(const struct runtime_settings *settings, const char *id)
{
    return path_below(settings->run_dir, "exits", id, NULL);
}

struct path path_oci(const struct runtime_settings *settings, const char *id, const char *file)
{
    return path_below(settings->run_dir, "oci", id, file);
}

struct path path_log(const struct runtime_settings *settings, const char *id)
{
    return path_data(settings, id, "log");
}
