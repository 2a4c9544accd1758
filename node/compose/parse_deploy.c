/* deploy: how many, where, with what, and how updated; and the health check. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/compose/parse.h"
#include "runtime/bounds.h"

static const char *const modes[] = {"replicated", "global", "replicated-job", "global-job", NULL};
/* What spec_restart_condition calls so, and then the words that `restart` has for the last. */
static const char *const conditions[] = {"none",   "on-failure",     "any",
                                         "always", "unless-stopped", NULL};
static const char *const failure_actions[] = {"pause", "continue", "rollback", NULL};
static const char *const orders[] = {"stop-first", "start-first", NULL};

enum {
    PERMILLE = 1000,
};

#define READER(name, type, call)                                                                   \
    static int name(struct parse *parse, const struct tree_node *node, void *target)               \
    {                                                                                              \
        type *to = target; /* NOLINT(bugprone-macro-parentheses): a type takes none */             \
        return call;                                                                               \
    }

READER(read_replicas, struct service_spec, parse_u32(parse, node, &to->replicas))
READER(read_labels, struct service_spec, parse_pairs(parse, node, &to->labels))

READER(read_limit_cpus, struct spec_resources, parse_cpus(parse, node, &to->cpu_limit_millis))
READER(read_limit_memory, struct spec_resources, parse_size(parse, node, &to->memory_limit_bytes))
READER(read_limit_pids, struct spec_resources, parse_pids(parse, node, &to->pids_limit))
READER(read_reserved_cpus, struct spec_resources, parse_cpus(parse, node, &to->cpu_reserved_millis))
READER(read_reserved_memory, struct spec_resources,
       parse_size(parse, node, &to->memory_reserved_bytes))

READER(read_restart_delay, struct spec_restart, parse_duration(parse, node, &to->delay_ms))
READER(read_attempts, struct spec_restart, parse_u32(parse, node, &to->max_attempts))
READER(read_window, struct spec_restart, parse_duration(parse, node, &to->window_ms))

READER(read_parallelism, struct spec_update, parse_u32(parse, node, &to->parallelism))
READER(read_update_delay, struct spec_update, parse_duration(parse, node, &to->delay_ms))
READER(read_monitor, struct spec_update, parse_duration(parse, node, &to->monitor_ms))
READER(read_failure_action, struct spec_update,
       parse_word(parse, node, failure_actions, &to->failure_action))
READER(read_order, struct spec_update, parse_word(parse, node, orders, &to->order))

READER(read_spread, struct service_spec, parse_list(parse, node, &to->spread))
READER(read_max_per_node, struct service_spec, parse_u32(parse, node, &to->max_replicas_per_node))

READER(read_interval, struct spec_health, parse_duration(parse, node, &to->interval_ms))
READER(read_timeout, struct spec_health, parse_duration(parse, node, &to->timeout_ms))
READER(read_start_period, struct spec_health, parse_duration(parse, node, &to->start_period_ms))
READER(read_start_interval, struct spec_health, parse_duration(parse, node, &to->start_interval_ms))
READER(read_retries, struct spec_health, parse_u32(parse, node, &to->retries))
READER(read_disable, struct spec_health, parse_flag(parse, node, &to->disabled))

/* A job is started again only if it failed: read_deploy() sees to it. */
static int read_mode(struct parse *parse, const struct tree_node *node, void *target)
{
    uint8_t mode = 0;
    int rc = parse_word(parse, node, modes, &mode);
    if (rc == 0)
        ((struct service_spec *)target)->mode = mode % 2 == 0 ? SPEC_REPLICATED : SPEC_GLOBAL;
    return rc;
}

static bool is_job(const struct tree_node *deploy)
{
    const struct tree_node *mode = tree_find(deploy, "mode");
    return mode && mode->type == TREE_SCALAR && strstr(mode->text, "-job");
}

static int read_failure_ratio(struct parse *parse, const struct tree_node *node, void *target)
{
    struct spec_update *update = target;
    int rc = parse_cpus(parse, node, &update->max_failure_permille); /* thousandths too */
    if (rc == 0 && update->max_failure_permille > PERMILLE)
        return parse_fail(parse, node, "a ratio from 0 to 1 is expected");
    return rc;
}

/* Swarm's words for what is the same for every peer: they hold for all, or for none. */
static int read_swarm_constraint(struct parse *parse, const struct tree_node *node,
                                 const char *constraint, bool *ret)
{
    static const char *const same[] = {"node.role", "node.platform.os"};
    size_t size = strcspn(constraint, "=! ");
    *ret = false;
    for (size_t i = 0; i < array_count(same) && !*ret; i++)
        *ret = strlen(same[i]) == size && strncmp(constraint, same[i], size) == 0;
    return *ret ? parse_warn(parse, node, "%s is left out: it says the same of every peer",
                             constraint)
                : 0;
}

static int read_constraints(struct parse *parse, const struct tree_node *node, void *target)
{
    struct text_list *constraints = &((struct service_spec *)target)->constraints;
    struct text_list given = {0};
    int rc = parse_list(parse, node, &given);
    for (size_t i = 0; i < given.count && rc == 0; i++) {
        bool is_swarm = false;
        if (!strstr(given.items[i], "==") && !strstr(given.items[i], "!="))
            rc =
                parse_fail(parse, node, "%s: KEY==VALUE or KEY!=VALUE is expected", given.items[i]);
        if (rc == 0)
            rc = read_swarm_constraint(parse, node, given.items[i], &is_swarm);
        if (rc == 0 && !is_swarm)
            rc = text_list_add(constraints, given.items[i]);
    }
    text_list_done(&given);
    return rc;
}

static int read_limits(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {
        {"cpus", read_limit_cpus}, {"memory", read_limit_memory}, {"pids", read_limit_pids}, {0}};
    return parse_map(parse, node, keys, target);
}

static int read_reservations(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"cpus", read_reserved_cpus},
                                            {"memory", read_reserved_memory},
                                            {"devices", NULL},
                                            {"generic_resources", NULL},
                                            {0}};
    return parse_map(parse, node, keys, target);
}

static int read_resources(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {
        {"limits", read_limits}, {"reservations", read_reservations}, {0}};
    return parse_map(parse, node, keys, &((struct service_spec *)target)->resources);
}

static int read_condition(struct parse *parse, const struct tree_node *node, void *target)
{
    struct spec_restart *restart = target;
    uint8_t condition = 0;
    int rc = parse_word(parse, node, conditions, &condition);
    if (rc == 0)
        restart->condition = condition > SPEC_RESTART_ANY ? SPEC_RESTART_ANY : condition;
    return rc;
}

static int read_restart_policy(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"condition", read_condition},
                                            {"delay", read_restart_delay},
                                            {"max_attempts", read_attempts},
                                            {"window", read_window},
                                            {0}};
    return parse_map(parse, node, keys, &((struct service_spec *)target)->restart);
}

static const struct parse_key update_keys[] = {{"parallelism", read_parallelism},
                                               {"delay", read_update_delay},
                                               {"monitor", read_monitor},
                                               {"failure_action", read_failure_action},
                                               {"max_failure_ratio", read_failure_ratio},
                                               {"order", read_order},
                                               {0}};

static int read_update(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_map(parse, node, update_keys, &((struct service_spec *)target)->update);
}

static int read_rollback(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_map(parse, node, update_keys, &((struct service_spec *)target)->rollback);
}

static int read_preferences(struct parse *parse, const struct tree_node *node, void *target)
{
    if (node->type != TREE_LIST)
        return parse_fail(parse, node, "a list is expected, as - spread: node.labels.zone");
    static const struct parse_key keys[] = {{"spread", read_spread}, {0}};
    int rc = 0;
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = tree_find(node->children[i], "spread")
                 ? parse_map(parse, node->children[i], keys, target)
                 : parse_fail(parse, node->children[i], "spread: node.labels.KEY is expected");
    return rc;
}

static int read_placement(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"constraints", read_constraints},
                                            {"preferences", read_preferences},
                                            {"max_replicas_per_node", read_max_per_node},
                                            {0}};
    return parse_map(parse, node, keys, target);
}

/* "vip" is as it is here. */
static int read_endpoint_mode(struct parse *parse, const struct tree_node *node, void *target)
{
    (void)target;
    return node->type == TREE_SCALAR && strcmp(node->text, "vip") == 0
               ? 0
               : parse_warn(parse, node,
                            "ignored: a service has one address, at which the mesh takes a healthy "
                            "replica");
}

int read_deploy(struct parse *parse, const struct tree_node *node, void *spec)
{
    static const struct parse_key keys[] = {{"mode", read_mode},
                                            {"replicas", read_replicas},
                                            {"labels", read_labels},
                                            {"resources", read_resources},
                                            {"restart_policy", read_restart_policy},
                                            {"update_config", read_update},
                                            {"rollback_config", read_rollback},
                                            {"placement", read_placement},
                                            {"endpoint_mode", read_endpoint_mode},
                                            {0}};
    int rc = parse_map(parse, node, keys, spec);
    if (rc == 0 && is_job(node) && !tree_find(tree_find(node, "restart_policy"), "condition"))
        ((struct service_spec *)spec)->restart.condition = SPEC_RESTART_ON_FAILURE;
    return rc;
}

/* "CMD", …; "CMD-SHELL", line; "NONE"; or a line alone. */
static int read_test(struct parse *parse, const struct tree_node *node, void *target)
{
    struct spec_health *health = target;
    struct text_list words = {0}, test = {0};
    int rc = parse_list(parse, node, &words);
    bool is_line = node->type == TREE_SCALAR;
    const char *first = rc == 0 && words.count > 0 ? words.items[0] : "";
    if (rc == 0 && strcmp(first, "NONE") == 0) {
        health->disabled = true;
    } else if (rc == 0 && (is_line || (strcmp(first, "CMD-SHELL") == 0 && words.count > 1))) {
        rc = text_list_add(&test, "/bin/sh");
        if (rc == 0)
            rc = text_list_add(&test, "-c");
        for (size_t i = is_line ? 0 : 1; i < words.count && rc == 0; i++)
            rc = text_list_add(&test, words.items[i]);
        if (rc == 0 && words.count > 2)
            rc =
                parse_warn(parse, node,
                           "the shell runs \"%s\" alone: what follows are its $0, $1, …; write all "
                           "as one line, or CMD for CMD-SHELL",
                           words.items[1]);
    } else if (rc == 0 && strcmp(first, "CMD") == 0 && words.count > 1) {
        for (size_t i = 1; i < words.count && rc == 0; i++)
            rc = text_list_add(&test, words.items[i]);
    } else if (rc == 0) {
        rc = parse_fail(parse, node,
                        "[\"CMD\", …], [\"CMD-SHELL\", line] or [\"NONE\"] is "
                        "expected");
    }
    text_list_done(&words);
    if (rc < 0) {
        text_list_done(&test);
        return rc;
    }
    text_list_done(&health->test);
    health->test = test;
    return 0;
}

static int read_tcp(struct parse *parse, const struct tree_node *node, void *target)
{
    struct spec_health *health = target;
    uint64_t port = 0;
    int rc = parse_number(parse, node, UINT16_MAX, &port);
    if (rc == 0 && port == 0)
        rc = parse_fail(parse, node, "a port from 1 to 65535 is expected");
    health->probe_port = (uint16_t)port;
    return rc;
}

/* "8080" or "8080/healthz?full": no host, for it is the container. */
static int read_http(struct parse *parse, const struct tree_node *node, void *target)
{
    struct spec_health *health = target;
    char *text = NULL;
    int rc = parse_text(parse, node, &text);
    if (rc < 0)
        return rc;
    size_t digits = strspn(text, "0123456789");
    unsigned long port = strtoul(text, NULL, 10);
    const char *path = text[digits] ? text + digits : "/";
    bool is_clean = *path == '/' && strlen(path) < RUNTIME_PROBE_PATH_BYTES;
    for (const char *at = path; *at; at++)
        is_clean &= *at > ' ' && *at < 0x7f; /* it becomes part of a request's first line */
    if (digits == 0 || digits > 5 || port == 0 || port > UINT16_MAX || !is_clean) {
        rc = parse_fail(parse, node, "a port and a path are expected, as 8080/healthz");
    } else {
        health->probe_port = (uint16_t)port;
        free(health->probe_path);
        health->probe_path = strdup(path);
        rc = health->probe_path ? 0 : -ENOMEM;
    }
    free(text);
    return rc;
}

int read_health(struct parse *parse, const struct tree_node *node, void *spec)
{
    static const struct parse_key keys[] = {{"test", read_test},
                                            {"interval", read_interval},
                                            {"timeout", read_timeout},
                                            {"start_period", read_start_period},
                                            {"start_interval", read_start_interval},
                                            {"retries", read_retries},
                                            {"disable", read_disable},
                                            {"x-tcp", read_tcp},
                                            {"x-http", read_http},
                                            {0}};
    struct spec_health *health = &((struct service_spec *)spec)->health;
    health->is_set = true;
    int rc = parse_map(parse, node, keys, health);
    int kinds = (health->test.count > 0) + (tree_find(node, "x-tcp") != NULL) +
                (tree_find(node, "x-http") != NULL);
    if (rc == 0 && kinds > 1)
        rc = parse_fail(parse, node, "only one of test, x-tcp and x-http can be the check");
    return rc;
}
