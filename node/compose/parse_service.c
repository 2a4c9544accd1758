/* One service: its keys, and those of x-consort. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "node/compose/environment.h"
#include "node/compose/parse.h"
#include "runtime/bounds.h"
#include "runtime/capability.h"
#include "runtime/image/image_reference.h"
#include "runtime/plan.h"

#define READER(name, call)                                                                         \
    static int name(struct parse *parse, const struct tree_node *node, void *target)               \
    {                                                                                              \
        struct service_spec *to = target;                                                          \
        return call;                                                                               \
    }

READER(read_command, parse_command(parse, node, &to->command))
READER(read_entrypoint, parse_command(parse, node, &to->entrypoint))
READER(read_environment, parse_pairs(parse, node, &to->environment))
READER(read_user, parse_text(parse, node, &to->user))
READER(read_read_only, parse_flag(parse, node, &to->read_only))
READER(read_init, parse_flag(parse, node, &to->init))
READER(read_tty, parse_flag(parse, node, &to->sandbox.tty))
READER(read_stdin_open, parse_flag(parse, node, &to->sandbox.stdin_open))
READER(read_stop_grace, parse_duration(parse, node, &to->stop_grace_ms))
READER(read_labels, parse_pairs(parse, node, &to->labels))
READER(read_cpus, parse_cpus(parse, node, &to->resources.cpu_limit_millis))
READER(read_memory, parse_size(parse, node, &to->resources.memory_limit_bytes))
READER(read_memory_reservation, parse_size(parse, node, &to->resources.memory_reserved_bytes))
READER(read_pids, parse_pids(parse, node, &to->resources.pids_limit))
READER(read_scale, parse_u32(parse, node, &to->replicas))
READER(read_failover, parse_duration(parse, node, &to->failover_after_ms))
READER(read_exclusive, parse_flag(parse, node, &to->exclusive))

/* Images are asked for at each deploy, and not between: that is often enough for "daily". */
static int read_pull_policy(struct parse *parse, const struct tree_node *node, void *target)
{
    enum { MISSING, IF_NOT_PRESENT, ALWAYS, REFRESH, DAILY, WEEKLY, NEVER };
    static const char *const words[] = {[MISSING] = "missing",
                                        [IF_NOT_PRESENT] = "if_not_present",
                                        [ALWAYS] = "always",
                                        [REFRESH] = "refresh",
                                        [DAILY] = "daily",
                                        [WEEKLY] = "weekly",
                                        [NEVER] = "never",
                                        "build",
                                        NULL};
    const struct service_spec *spec = target;
    uint8_t policy = ALWAYS;
    bool is_every = node->type == TREE_SCALAR && strncmp(node->text, "every_", 6) == 0;
    struct tree_node interval = *node; /* for its place in messages */
    uint32_t interval_ms;
    if (is_every)
        interval.text += strlen("every_");
    int rc = is_every ? parse_duration(parse, &interval, &interval_ms)
                      : parse_word(parse, node, words, &policy);
    if (rc == 0 && policy >= NEVER)
        rc = parse_warn(parse, node, "%s is not supported: what no peer has is pulled",
                        words[policy]);
    else if (rc == 0 && policy >= ALWAYS && text_list_add(&parse->result->pulled, spec->name) < 0)
        rc = parse_fail(parse, node, "out of memory");
    return rc;
}

static int read_image(struct parse *parse, const struct tree_node *node, void *target)
{
    struct service_spec *spec = target;
    struct image_reference reference;
    struct error why = {0};
    int rc = parse_text(parse, node, &spec->image);
    if (rc == 0 && image_reference_parse(spec->image, &reference, &why) < 0)
        rc = parse_fail(parse, node, "%s%s%s", why.message, why.hint[0] ? "; " : "", why.hint);
    return rc;
}

static int read_working_dir(struct parse *parse, const struct tree_node *node, void *target)
{
    struct service_spec *spec = target;
    int rc = parse_text(parse, node, &spec->working_dir);
    if (rc == 0 && spec->working_dir[0] != '/')
        rc = parse_fail(parse, node, "the path in the container must be absolute");
    return rc;
}

static int read_hostname(struct parse *parse, const struct tree_node *node, void *target)
{
    struct service_spec *spec = target;
    int rc = parse_text(parse, node, &spec->hostname);
    if (rc == 0 && (!spec->hostname[0] || strlen(spec->hostname) > BASE_NAME_BYTES_MAX ||
                    strpbrk(spec->hostname, " \t\r\n")))
        rc = parse_fail(parse, node, "a host's name has 1 to %d characters", BASE_NAME_BYTES_MAX);
    return rc;
}

static int read_stop_signal(struct parse *parse, const struct tree_node *node, void *target)
{
    struct service_spec *spec = target;
    int number, rc = parse_text(parse, node, &spec->stop_signal);
    if (rc == 0 && signal_parse(spec->stop_signal, &number) < 0)
        rc = parse_fail(parse, node, "%s is no signal; write as in SIGTERM", node->text);
    return rc;
}

static int read_capabilities(struct parse *parse, const struct tree_node *node,
                             struct text_list *ret)
{
    int number, rc = parse_list(parse, node, ret);
    for (size_t i = 0; i < ret->count && rc == 0; i++)
        if (strcasecmp(ret->items[i], "ALL") != 0 && capability_parse(ret->items[i], &number) < 0)
            rc = parse_fail(parse, node, "%s is no capability; write as in NET_ADMIN",
                            ret->items[i]);
    return rc;
}

static int read_cap_add(struct parse *parse, const struct tree_node *node, void *target)
{
    return read_capabilities(parse, node, &((struct service_spec *)target)->cap_add);
}

static int read_cap_drop(struct parse *parse, const struct tree_node *node, void *target)
{
    return read_capabilities(parse, node, &((struct service_spec *)target)->cap_drop);
}

/* "on-failure", "on-failure:TIMES". */
static int read_on_failure(struct parse *parse, const struct tree_node *node,
                           struct spec_restart *restart)
{
    const char *times = node->text + strlen("on-failure");
    char *end;
    restart->condition = SPEC_RESTART_ON_FAILURE;
    if (!times[0])
        return 0;
    unsigned long value = strtoul(times + 1, &end, 10);
    if (times[0] != ':' || !isdigit((unsigned char)times[1]) || *end || value > UINT32_MAX)
        return parse_fail(parse, node, "%s: on-failure or on-failure:TIMES is expected",
                          node->text);
    restart->max_attempts = (uint32_t)value;
    return 0;
}

static int read_restart(struct parse *parse, const struct tree_node *node, void *target)
{
    struct spec_restart *restart = &((struct service_spec *)target)->restart;
    if (node->type != TREE_SCALAR)
        return parse_fail(parse, node, "no, always, on-failure or unless-stopped is expected");
    if (strcmp(node->text, "no") == 0 || strcmp(node->text, "false") == 0)
        restart->condition = SPEC_RESTART_NONE;
    else if (strncmp(node->text, "on-failure", 10) == 0)
        return read_on_failure(parse, node, restart);
    else if (strcmp(node->text, "always") == 0 || strcmp(node->text, "unless-stopped") == 0)
        restart->condition = SPEC_RESTART_ANY;
    else
        return parse_fail(parse, node, "%s is not one of no, always, on-failure, unless-stopped",
                          node->text);
    return 0;
}

/* Adds "NAME=ADDRESS"; an IPv6 address may stand in brackets. */
static int add_host(struct parse *parse, const struct tree_node *node, const char *name,
                    size_t name_size, const char *address, struct text_list *ret)
{
    char ip[INET6_ADDRSTRLEN], host[BASE_NAME_BYTES_MAX * 4 + sizeof(ip)];
    uint8_t binary[sizeof(struct in6_addr)];
    size_t size = strlen(address);
    if (size > 1 && address[0] == '[' && address[size - 1] == ']') {
        address++;
        size -= 2;
    }
    snprintf(ip, sizeof(ip), "%.*s", (int)size, address);
    bool is_machine = strcmp(ip, "host-gateway") == 0; /* the machine that it runs on */
    if (name_size == 0 || size >= sizeof(ip) ||
        (!is_machine && inet_pton(AF_INET, ip, binary) != 1 &&
         inet_pton(AF_INET6, ip, binary) != 1))
        return parse_fail(parse, node, "NAME=ADDRESS is expected, as in db=192.0.2.1");
    int length = snprintf(host, sizeof(host), "%.*s=%s", (int)name_size, name, ip);
    if (length >= (int)sizeof(host))
        return parse_fail(parse, node, "the name is too long");
    return text_list_add(ret, host);
}

/* A name's address, or a list of them. */
static int add_named_host(struct parse *parse, const struct tree_node *node, struct text_list *ret)
{
    struct text_list addresses = {0};
    int rc = parse_list(parse, node, &addresses);
    for (size_t i = 0; i < addresses.count && rc == 0; i++)
        rc = add_host(parse, node, node->key, strlen(node->key), addresses.items[i], ret);
    text_list_done(&addresses);
    return rc;
}

/* "NAME=ADDRESS", "NAME:ADDRESS", or a map. */
static int read_extra_hosts(struct parse *parse, const struct tree_node *node, void *target)
{
    struct text_list *hosts = &((struct service_spec *)target)->extra_hosts;
    int rc = node->type == TREE_SCALAR ? parse_fail(parse, node, "a list or a map is expected") : 0;
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct tree_node *item = node->children[i];
        if (node->type == TREE_MAP) {
            rc = add_named_host(parse, item, hosts);
        } else if (item->type != TREE_SCALAR) {
            rc = parse_fail(parse, item, "NAME=ADDRESS is expected");
        } else {
            size_t size = strcspn(item->text, "=:");
            rc = add_host(parse, item, item->text, size, item->text + size + !!item->text[size],
                          hosts);
        }
    }
    return rc;
}

struct dependency_use {
    uint8_t condition;
};

static int dependency_condition(struct parse *parse, const struct tree_node *node, void *use)
{
    static const char *const words[] = {"service_started", "service_healthy",
                                        "service_completed_successfully", NULL};
    return parse_word(parse, node, words, &((struct dependency_use *)use)->condition);
}

int parse_add_dependency(struct parse *parse, const struct tree_node *node, const char *name,
                         uint8_t condition, struct service_spec *spec)
{
    if (!parse_service_name_is_valid(name))
        return parse_fail(parse, node, "%s can't be a service's name", name);
    if (spec->dependency_count == SPEC_LIST_ITEMS_MAX)
        return -E2BIG;
    struct spec_dependency *grown =
        reallocarray(spec->dependencies, spec->dependency_count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    spec->dependencies = grown;
    struct spec_dependency *dependency = &grown[spec->dependency_count++];
    *dependency = (struct spec_dependency){.condition = condition};
    snprintf(dependency->name, sizeof(dependency->name), "%s", name);
    return 0;
}

/* A list of names, or a map of them with conditions. */
static int read_depends_on(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {
        {"condition", dependency_condition},
        {"restart", parse_pass_over}, /* read_depends_on() reads them */
        {"required", parse_pass_over},
        {0}};
    struct service_spec *spec = target;
    int rc = node->type == TREE_SCALAR ? parse_fail(parse, node, "a list or a map is expected") : 0;
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct tree_node *item = node->children[i], *required = tree_find(item, "required");
        const struct tree_node *restart = tree_find(item, "restart");
        struct dependency_use use = {SPEC_DEPENDS_STARTED};
        bool is_required = true, is_restarted = false, is_map = node->type == TREE_MAP;
        if (!is_map && item->type != TREE_SCALAR)
            return parse_fail(parse, item, "a service's name is expected");
        if (is_map && !tree_is_null(item))
            rc = parse_map(parse, item, keys, &use);
        if (rc == 0 && !tree_is_null(required))
            rc = parse_flag(parse, required, &is_required);
        if (rc == 0 && !tree_is_null(restart))
            rc = parse_flag(parse, restart, &is_restarted);
        if (rc == 0 && is_restarted)
            rc = parse_warn(parse, restart,
                            "ignored: a service is not restarted with those it depends on; it "
                            "finds the new ones under the same name");
        if (rc == 0 && (is_required || tree_find(node->parent->parent, item->key)))
            rc = parse_add_dependency(parse, item, is_map ? item->key : item->text, use.condition,
                                      spec);
    }
    return rc;
}

/* A file of variables: its path, or a map that says whether it must be there. */
static int read_one_env_file(struct parse *parse, const struct tree_node *node,
                             struct service_spec *spec)
{
    cleanup_free char *path = NULL;
    struct error why = {0};
    bool is_required = true;
    const struct tree_node *name = node->type == TREE_MAP ? tree_find(node, "path") : node;
    const struct tree_node *required = tree_find(node, "required");
    const struct tree_node *format = tree_find(node, "format");
    if (!name || name->type != TREE_SCALAR)
        return parse_fail(parse, node, "a path is expected, or a map with path");
    if (!tree_is_null(format) && (format->type != TREE_SCALAR || strcmp(format->text, "raw") != 0))
        return parse_fail(parse, format, "the format can only be raw");
    int rc = tree_is_null(required) ? 0 : parse_flag(parse, required, &is_required);
    if (rc == 0)
        rc = parse_path(parse, name, name->text, &path);
    if (rc < 0 || !path || (!is_required && access(path, F_OK) < 0))
        return rc;
    struct environment_file file = {.path = path,
                                    .is_raw = !tree_is_null(format),
                                    .variables = parse->variables,
                                    .warnings = &parse->result->warnings};
    rc = environment_file_read(&file, &spec->environment, &why);
    return rc == -E2BIG || rc == 0 ? rc : parse_fail(parse, name, "%s", why.message);
}

static int read_env_files(struct parse *parse, const struct tree_node *node,
                          struct service_spec *spec)
{
    int rc = 0;
    if (node->type != TREE_LIST)
        return read_one_env_file(parse, node, spec);
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = read_one_env_file(parse, node->children[i], spec);
    return rc;
}

/* A file of labels, or a list of them; what `labels` says wins. */
static int read_label_file(struct parse *parse, const struct tree_node *node,
                           struct service_spec *spec)
{
    struct text_list paths = {0}, labels = {0};
    struct error why = {0};
    int rc = parse_list(parse, node, &paths);
    for (size_t i = 0; i < paths.count && rc == 0; i++) {
        cleanup_free char *path = NULL;
        rc = parse_path(parse, node, paths.items[i], &path);
        struct environment_file file = {
            .path = path, .variables = parse->variables, .warnings = &parse->result->warnings};
        if (rc == 0 && environment_file_read(&file, &labels, &why) < 0)
            rc = parse_fail(parse, node, "%s", why.message);
    }
    for (size_t i = 0; i < labels.count && rc == 0; i++) {
        size_t size = strcspn(labels.items[i], "=") + 1;
        bool is_said = false;
        for (size_t j = 0; j < spec->labels.count; j++)
            is_said = is_said || strncmp(spec->labels.items[j], labels.items[i], size) == 0;
        rc = is_said ? 0 : text_list_add(&spec->labels, labels.items[i]);
    }
    text_list_done(&paths);
    text_list_done(&labels);
    return rc;
}

static int read_on_minority(struct parse *parse, const struct tree_node *node, void *target)
{
    static const char *const words[] = {"hold", "duplicate", "duplicate_empty", NULL};
    struct service_spec *spec = target;
    return parse_word(parse, node, words, &spec->on_minority);
}

/* What `on_minority` can't mean for this service, wherever the rest stands. */
static int check_on_minority(struct parse *parse, const struct tree_node *node,
                             const struct service_spec *spec)
{
    const struct tree_node *consort = tree_find(node, "x-consort");
    const struct tree_node *said = consort ? tree_find(consort, "on_minority") : NULL;
    if (!said || spec->on_minority == SPEC_MINORITY_HOLD)
        return 0;
    if (spec->exclusive)
        return parse_fail(parse, said,
                          "a service that is exclusive can't be duplicated: one of them must go");
    if (spec->mode == SPEC_GLOBAL)
        return parse_warn(parse, said, "ignored: a global service runs on every peer already");
    if (spec->on_minority == SPEC_MINORITY_DUPLICATE && service_spec_has_volumes(spec))
        return parse_warn(parse, said,
                          "as hold, since its volumes stay with their peer; if replicas may begin "
                          "with empty ones: duplicate_empty");
    return 0;
}

static int read_consort(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"failover_after", read_failover},
                                            {"on_minority", read_on_minority},
                                            {"exclusive", read_exclusive},
                                            {"autoscale", NULL},
                                            {"ingress", NULL},
                                            {0}};
    return parse_map(parse, node, keys, target);
}

/* Docker Compose would build it, or have built it, by the name STACK-SERVICE. */
static int fail_imageless(struct parse *parse, const struct tree_node *node, const char *service)
{
    const char *stack = parse->result->stack;
    if (tree_find(node, "provider"))
        return parse_fail(parse, node,
                          "no image, and no other program is asked to provide services: leave this "
                          "one and what depends on it out, or name an image that does the same");
    if (!tree_find(node, "build"))
        return parse_fail(parse, node, "no image; name one: image: NAME");
    return parse_fail(parse, node,
                      "no image, and Consort builds none; add image: %s-%s, then: docker compose "
                      "build && docker save %s-%s | consort image import -",
                      stack, service, stack, service);
}

static const struct parse_key service_keys[] = {
    {"image", read_image},
    {"command", read_command},
    {"entrypoint", read_entrypoint},
    {"env_file", parse_pass_over},
    {"environment", read_environment},
    {"extends", parse_pass_over}, /* it has been carried out */
    {"profiles", parse_pass_over},
    {"ports", read_ports},
    {"volumes", read_volumes},
    {"tmpfs", read_tmpfs},
    {"configs", read_configs},
    {"secrets", read_secrets},
    {"healthcheck", read_health},
    {"deploy", read_deploy},
    {"restart", read_restart},
    {"working_dir", read_working_dir},
    {"user", read_user},
    {"hostname", read_hostname},
    {"cap_add", read_cap_add},
    {"cap_drop", read_cap_drop},
    {"extra_hosts", read_extra_hosts},
    {"read_only", read_read_only},
    {"init", read_init},
    {"stop_signal", read_stop_signal},
    {"stop_grace_period", read_stop_grace},
    {"labels", read_labels},
    {"depends_on", read_depends_on},
    {"cpus", read_cpus},
    {"mem_limit", read_memory},
    {"mem_reservation", read_memory_reservation},
    {"pids_limit", read_pids},
    {"scale", read_scale},
    {"cpu_quota", read_cpu_quota},
    {"cpu_shares", read_cpu_shares},
    {"cpuset", read_cpuset},
    {"devices", read_devices},
    {"dns_opt", read_dns_opt},
    {"dns_search", read_dns_search},
    {"group_add", read_group_add},
    {"logging", read_logging},
    {"memswap_limit", read_memswap_limit},
    {"oom_score_adj", read_oom_score_adj},
    {"privileged", read_privileged},
    {"security_opt", read_security_opt},
    {"shm_size", read_shm_size},
    {"stdin_open", read_stdin_open},
    {"sysctls", read_sysctls},
    {"tty", read_tty},
    {"ulimits", read_ulimits},
    {"cpu_period", parse_pass_over}, /* cpu_quota reads it */
    {"expose", read_expose},
    {"container_name", parse_pass_over}, /* parse_service_networks() reads it */
    {"dns", read_dns},
    {"network_mode", read_network_mode},
    {"networks", read_networks},
    {"x-consort", read_consort},
    {"annotations", read_annotations},
    {"blkio_config", read_blkio},
    {"cgroup", read_cgroup},
    {"device_cgroup_rules", read_device_rules},
    {"domainname", read_domainname},
    {"ipc", read_ipc},
    {"label_file", parse_pass_over}, /* read once `labels` are known */
    {"mem_swappiness", read_swappiness},
    {"pid", read_pid},
    {"pull_policy", read_pull_policy},
    {"userns_mode", read_userns},
    {"uts", read_uts},
    {"links", parse_pass_over}, /* parse_links() reads them, once all services are known */
    {"volumes_from", parse_pass_over},
    {"attach", parse_pass_over}, /* whose output `docker compose up` shows */
    /* Known to the Compose Specification, and not supported: */
    {"build", NULL},
    {"cgroup_parent", NULL},
    {"cpu_count", NULL},
    {"cpu_percent", NULL},
    {"cpu_rt_period", NULL},
    {"cpu_rt_runtime", NULL},
    {"credential_spec", NULL},
    {"develop", NULL},
    {"external_links", NULL},
    {"gpus", NULL},
    {"isolation", NULL},
    {"mac_address", NULL},
    {"models", NULL},
    {"oom_kill_disable", NULL},
    {"platform", NULL},
    {"post_start", read_post_start},
    {"pre_stop", read_pre_stop},
    {"provider", NULL},
    {"runtime", NULL},
    {"storage_opt", NULL},
    {"use_api_socket", NULL},
    {0},
};

int parse_service(struct parse *parse, const struct tree_node *node, struct service_spec *spec)
{
    /* What `environment` says wins over the files, wherever it stands: later ones win. */
    const struct tree_node *env_file = tree_find(node, "env_file");
    const struct tree_node *label_file = tree_find(node, "label_file");
    int rc = tree_is_null(env_file) ? 0 : read_env_files(parse, env_file, spec);
    if (rc == -E2BIG)
        return parse_fail(parse, env_file, "more than %d items", BASE_TEXT_LIST_ITEMS_MAX);
    if (rc == 0)
        rc = parse_map(parse, node, service_keys, spec);
    if (rc == 0 && !tree_is_null(label_file))
        rc = read_label_file(parse, label_file, spec);
    if (rc == 0)
        rc = parse_service_networks(parse, node, spec);
    if (rc == 0)
        rc = check_on_minority(parse, node, spec);
    if (rc == 0)
        rc = parse_check_userns(parse, node, spec);
    if (rc < 0)
        return rc;
    if (!spec->image)
        return fail_imageless(parse, node, spec->name);
    if (spec->labels.count == BASE_TEXT_LIST_ITEMS_MAX) /* the runtime adds one of its own */
        return parse_fail(parse, node, "more than %d labels", BASE_TEXT_LIST_ITEMS_MAX - 1);
    if (spec->mount_count + spec->file_count > RUNTIME_MOUNTS_MAX)
        return parse_fail(parse, node, "more than %d volumes, configs and secrets",
                          RUNTIME_MOUNTS_MAX);
    return 0;
}
