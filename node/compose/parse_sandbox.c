/* What the kernel grants a service's processes: groups, limits, devices, settings, and its log. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/compose/parse.h"
#include "runtime/sandbox.h"
#include "runtime/sandbox_options.h"

static struct spec_sandbox *sandbox_of(void *spec)
{
    return &((struct service_spec *)spec)->sandbox;
}

int read_privileged(struct parse *parse, const struct tree_node *node, void *spec)
{
    return parse_flag(parse, node, &sandbox_of(spec)->privileged);
}

int read_shm_size(struct parse *parse, const struct tree_node *node, void *spec)
{
    return parse_size(parse, node, &sandbox_of(spec)->shm_bytes);
}

int read_cpu_shares(struct parse *parse, const struct tree_node *node, void *spec)
{
    return parse_u32(parse, node, &sandbox_of(spec)->cpu_shares);
}

int read_group_add(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct text_list *groups = &sandbox_of(spec)->groups;
    int rc = parse_list(parse, node, groups);
    return rc == 0 && groups->count > RUNTIME_GROUPS_MAX
               ? parse_fail(parse, node, "more than %d groups", RUNTIME_GROUPS_MAX)
               : rc;
}

static int read_words(struct parse *parse, const struct tree_node *node, struct text_list *ret)
{
    int rc = parse_list(parse, node, ret);
    for (size_t i = 0; i < ret->count && rc == 0; i++)
        if (!sandbox_word_is_valid(ret->items[i]))
            rc = parse_fail(parse, node, "\"%s\" can't stand in resolv.conf", ret->items[i]);
    return rc;
}

int read_dns_search(struct parse *parse, const struct tree_node *node, void *spec)
{
    return read_words(parse, node, &sandbox_of(spec)->dns_search);
}

int read_dns_opt(struct parse *parse, const struct tree_node *node, void *spec)
{
    return read_words(parse, node, &sandbox_of(spec)->dns_options);
}

int read_sysctls(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct text_list *sysctls = &sandbox_of(spec)->sysctls;
    int rc = parse_pairs(parse, node, sysctls);
    for (size_t i = 0; i < sysctls->count && rc == 0; i++)
        if (!sandbox_sysctl_is_safe(sysctls->items[i]))
            rc = parse_fail(parse, node,
                            "%s is the machine's, not the container's own; net.*, fs.mqueue.* and "
                            "kernel.{msg,sem,shm}* are",
                            sysctls->items[i]);
    return rc;
}

int read_cpuset(struct parse *parse, const struct tree_node *node, void *spec)
{
    char **cpuset = &sandbox_of(spec)->cpuset;
    int rc = parse_text(parse, node, cpuset);
    return rc == 0 && !sandbox_cpuset_is_valid(*cpuset)
               ? parse_fail(parse, node, "%s is no set of CPUs; write as in 0-2,7", *cpuset)
               : rc;
}

int read_oom_score_adj(struct parse *parse, const struct tree_node *node, void *spec)
{
    return parse_integer(parse, node, -RUNTIME_OOM_SCORE_MAX, RUNTIME_OOM_SCORE_MAX,
                         &sandbox_of(spec)->oom_score_adj);
}

int read_memswap_limit(struct parse *parse, const struct tree_node *node, void *spec)
{
    uint64_t *bytes = &sandbox_of(spec)->swap_bytes;
    if (node->type != TREE_SCALAR || strcmp(node->text, "-1") != 0)
        return parse_size(parse, node, bytes);
    *bytes = UINT64_MAX;
    return 0;
}

/* Microseconds of CPU in each period. */
int read_cpu_quota(struct parse *parse, const struct tree_node *node, void *spec)
{
    const struct tree_node *period_node = tree_find(node->parent, "cpu_period");
    uint64_t quota = 0, period = 100000;
    int rc = parse_number(parse, node, UINT32_MAX, &quota);
    if (rc == 0 && !tree_is_null(period_node))
        rc = parse_number(parse, period_node, 1000000, &period);
    period = period > 0 ? period : 100000;
    if (rc == 0 && period < 1000)
        rc = parse_fail(parse, node, "a period is 1000 to 1000000 µs");
    if (rc == 0)
        ((struct service_spec *)spec)->resources.cpu_limit_millis =
            (uint32_t)(quota * 1000 / period);
    return rc;
}

/* --- Limits --- */

struct limits {
    char *soft, *hard;
};

static int limit_soft(struct parse *parse, const struct tree_node *node, void *limits)
{
    return parse_text(parse, node, &((struct limits *)limits)->soft);
}

static int limit_hard(struct parse *parse, const struct tree_node *node, void *limits)
{
    return parse_text(parse, node, &((struct limits *)limits)->hard);
}

/* A number, or a map of soft and hard. */
static int read_ulimit(struct parse *parse, const struct tree_node *node, struct text_list *ret)
{
    static const struct parse_key keys[] = {{"soft", limit_soft}, {"hard", limit_hard}, {0}};
    struct limits limits = {0};
    struct sandbox_ulimit parsed;
    cleanup_free char *text = NULL;
    int rc = node->type == TREE_SCALAR ? limit_soft(parse, node, &limits)
                                       : parse_map(parse, node, keys, &limits);
    const char *soft = limits.soft ? limits.soft : limits.hard;
    const char *hard = limits.hard ? limits.hard : limits.soft;
    if (rc == 0 && !soft)
        rc = parse_fail(parse, node, "a number is expected, or soft and hard");
    if (rc == 0 && asprintf(&text, "%s=%s:%s", node->key, soft, hard) < 0)
        rc = -ENOMEM;
    if (rc == 0 && sandbox_parse_ulimit(text, &parsed) < 0)
        rc = parse_fail(parse, node, "%s is no limit; write as in nofile: {soft: 1024, hard: 4096}",
                        text);
    if (rc == 0)
        rc = text_list_add(ret, text);
    free(limits.soft);
    free(limits.hard);
    return rc;
}

int read_ulimits(struct parse *parse, const struct tree_node *node, void *spec)
{
    int rc = node->type == TREE_MAP ? 0 : parse_fail(parse, node, "a map is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = read_ulimit(parse, node->children[i], &sandbox_of(spec)->ulimits);
    return rc;
}

/* --- Devices --- */

struct device_use {
    char *source, *target, *permissions;
};

static int device_source(struct parse *parse, const struct tree_node *node, void *use)
{
    return parse_text(parse, node, &((struct device_use *)use)->source);
}

static int device_target(struct parse *parse, const struct tree_node *node, void *use)
{
    return parse_text(parse, node, &((struct device_use *)use)->target);
}

static int device_permissions(struct parse *parse, const struct tree_node *node, void *use)
{
    return parse_text(parse, node, &((struct device_use *)use)->permissions);
}

/* "nvidia.com/gpu=all", of the Container Device Interface. */
static bool is_cdi_name(const char *text)
{
    const char *slash = strchr(text, '/');
    return slash && slash > text && strchr(slash, '=');
}

static int read_device(struct parse *parse, const struct tree_node *node, struct text_list *ret)
{
    static const struct parse_key keys[] = {{"source", device_source},
                                            {"target", device_target},
                                            {"permissions", device_permissions},
                                            {0}};
    struct device_use use = {0};
    struct sandbox_device parsed;
    cleanup_free char *text = NULL;
    int rc = node->type == TREE_SCALAR ? parse_text(parse, node, &text)
                                       : parse_map(parse, node, keys, &use);
    const char *target = use.target ? use.target : use.source;
    if (rc == 0 && !text &&
        asprintf(&text, "%s:%s:%s", use.source ? use.source : "", target ? target : "",
                 use.permissions ? use.permissions : "rwm") < 0)
        rc = -ENOMEM;
    if (rc == 0 && is_cdi_name(text))
        rc = parse_warn(parse, node, "%s is ignored: %s", text, parse_reason("cdi"));
    else if (rc == 0 && sandbox_parse_device(text, &parsed) < 0)
        rc = parse_fail(parse, node, "%s is no device; write as in /dev/fuse:/dev/fuse:rwm", text);
    else if (rc == 0)
        rc = text_list_add(ret, text);
    free(use.source);
    free(use.target);
    free(use.permissions);
    return rc;
}

int read_devices(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct text_list *devices = &sandbox_of(spec)->devices;
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = read_device(parse, node->children[i], devices);
    return rc == 0 && devices->count > RUNTIME_DEVICES_MAX
               ? parse_fail(parse, node, "more than %d devices", RUNTIME_DEVICES_MAX)
               : rc;
}

/* --- Security and logs --- */

static int add_apparmor(struct parse *parse, const struct tree_node *node, const char *profile,
                        struct spec_sandbox *sandbox)
{
    cleanup_free char *option = NULL;
    if (asprintf(&option, "apparmor=%s", profile) < 0)
        return -ENOMEM;
    if (!sandbox_option_is_valid(option))
        return parse_fail(parse, node,
                          "apparmor: the name of a profile, or unconfined, is "
                          "expected");
    return text_list_add(&sandbox->options, option);
}

/* "no-new-privileges[:FLAG]", "seccomp:unconfined", "apparmor:PROFILE"; the colon may be an equals
 * sign. */
static int read_security_option(struct parse *parse, const struct tree_node *node,
                                const char *option, struct spec_sandbox *sandbox)
{
    size_t size = strcspn(option, ":=");
    const char *value = option[size] ? option + size + 1 : "";
    if (size == strlen("no-new-privileges") && strncmp(option, "no-new-privileges", size) == 0) {
        sandbox->may_gain_privileges = strcmp(value, "false") == 0;
        if (*value && !sandbox->may_gain_privileges && strcmp(value, "true") != 0)
            return parse_fail(parse, node, "%s: true or false is expected", option);
        return 0;
    }
    if (size == strlen("seccomp") && strncmp(option, "seccomp", size) == 0 &&
        strcmp(value, "unconfined") == 0) {
        sandbox->seccomp_off = true;
        return 0;
    }
    if (size == strlen("apparmor") && strncmp(option, "apparmor", size) == 0)
        return add_apparmor(parse, node, value, sandbox);
    return parse_warn(parse, node, "%s is not supported by Consort: ignored", option);
}

int read_security_opt(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct text_list options = {0};
    int rc = parse_list(parse, node, &options);
    for (size_t i = 0; i < options.count && rc == 0; i++)
        rc = read_security_option(parse, node, options.items[i], sandbox_of(spec));
    text_list_done(&options);
    return rc;
}

#define LOG_BYTES_MAX (UINT64_C(1) << 40) /* more than an enumerator holds */

struct log_options {
    uint64_t size_bytes, files;
};

static int log_driver(struct parse *parse, const struct tree_node *node, void *options)
{
    (void)options;
    bool is_kept = node->type == TREE_SCALAR &&
                   (strcmp(node->text, "json-file") == 0 || strcmp(node->text, "local") == 0);
    return is_kept ? 0
                   : parse_warn(parse, node,
                                "not supported by Consort: its peers keep the logs, see consort "
                                "logs");
}

static int log_max_size(struct parse *parse, const struct tree_node *node, void *options)
{
    return parse_size(parse, node, &((struct log_options *)options)->size_bytes);
}

static int log_max_file(struct parse *parse, const struct tree_node *node, void *options)
{
    return parse_number(parse, node, 1000, &((struct log_options *)options)->files);
}

/* Options of other drivers are passed over: it is said that the driver is not supported. */
static int log_options(struct parse *parse, const struct tree_node *node, void *options)
{
    static const struct parse_key keys[] = {
        {"max-size", log_max_size}, {"max-file", log_max_file}, {0}};
    int rc = node->type == TREE_MAP ? 0 : parse_fail(parse, node, "a map is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        for (const struct parse_key *key = keys; key->name && rc == 0; key++)
            if (strcmp(key->name, node->children[i]->key) == 0 && !tree_is_null(node->children[i]))
                rc = key->read(parse, node->children[i], options);
    return rc;
}

int read_logging(struct parse *parse, const struct tree_node *node, void *spec)
{
    static const struct parse_key keys[] = {{"driver", log_driver}, {"options", log_options}, {0}};
    struct log_options options = {.files = 1};
    int rc = parse_map(parse, node, keys, &options);
    if (rc == 0 && options.size_bytes > LOG_BYTES_MAX)
        rc = parse_fail(parse, node, "logs of more than 1 TiB");
    if (rc == 0)
        ((struct service_spec *)spec)->log_bytes_max =
            options.size_bytes * (options.files > 0 ? options.files : 1);
    return rc;
}
