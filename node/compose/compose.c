#include "node/compose/compose.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "gossip/certificate.h"
#include "node/compose/document.h"
#include "node/compose/parse.h"

/* A folder's name made a label: lower case, and '-' for what is no letter or digit. */
static void make_label(const char *text, char ret[BASE_NAME_BYTES_MAX + 1])
{
    size_t length = 0;
    for (; *text && length < BASE_NAME_BYTES_MAX; text++) {
        char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        bool is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (is_good || (length > 0 && ret[length - 1] != '-'))
            ret[length++] = is_good ? c : '-';
    }
    while (length > 0 && ret[length - 1] == '-')
        length--;
    ret[length] = '\0';
}

/* `variable` is that of COMPOSE_PROJECT_NAME, or NULL. */
static int set_stack(struct parse *parse, const char *stack_name, const char *variable)
{
    const struct tree_node *name = tree_find(parse->root, "name");
    char *stack = parse->result->stack;
    if (!stack_name && variable) {
        make_label(variable, stack);
        if (stack[0])
            return strcmp(stack, variable) == 0
                       ? 0
                       : parse_warn(parse, parse->root,
                                    PROJECT_VARIABLE ": the stack is called %s: names in DNS have "
                                                     "- for _",
                                    stack);
        stack_name = variable;
    }
    if (!stack_name && name && name->type == TREE_SCALAR && name->text[0]) {
        make_label(name->text, stack);
        if (stack[0] && strcmp(stack, name->text) != 0) /* Compose's names may have underscores */
            return parse_warn(parse, name, "the stack is called %s: names in DNS have - for _",
                              stack);
        stack_name = name->text;
    }
    if (stack_name) {
        if (!certificate_name_is_valid(stack_name))
            return error_set(parse->error, -EINVAL,
                             "%s: the stack's name %s must be 1 to 63 of a-z, 0-9 and -",
                             parse->path, stack_name);
        snprintf(stack, BASE_NAME_BYTES_MAX + 1, "%s", stack_name);
        return 0;
    }
    make_label(strrchr(parse->folder, '/') + 1, stack); /* it is absolute */
    if (!stack[0])
        return error_set(parse->error, -EINVAL,
                         "%s: the stack has no name; give one: consort deploy -f FILE NAME",
                         parse->path);
    return 0;
}

static int read_services(struct parse *parse, const struct tree_node *node, void *target)
{
    struct compose_result *result = target;
    if (node->type != TREE_MAP)
        return parse_fail(parse, node, "a map of services is expected");
    result->services = calloc(node->count + 1, sizeof(*result->services));
    if (!result->services)
        return -ENOMEM;
    for (size_t i = 0; i < node->count; i++) {
        const struct tree_node *service = node->children[i];
        if (strncmp(service->key, "x-", 2) == 0)
            continue;
        if (!parse_service_name_is_valid(service->key))
            return parse_fail(parse, service,
                              "a service's name has 1 to 63 letters, digits, - _ and .");
        if (result->service_count == COMMAND_DEPLOY_SERVICES_MAX)
            return parse_fail(parse, service, "more than %d services", COMMAND_DEPLOY_SERVICES_MAX);
        struct service_spec *spec = &result->services[result->service_count++];
        service_spec_init(spec);
        snprintf(spec->name, sizeof(spec->name), "%s", service->key);
        int rc = parse_service(parse, service, spec);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_top_configs(struct parse *parse, const struct tree_node *node, void *target)
{
    (void)target;
    return parse_blobs(parse, node, SPEC_FILE_CONFIG);
}

static int read_top_secrets(struct parse *parse, const struct tree_node *node, void *target)
{
    (void)target;
    return parse_blobs(parse, node, SPEC_FILE_SECRET);
}

static int read_volume_driver(struct parse *parse, const struct tree_node *node, void *target)
{
    (void)target;
    return node->type == TREE_SCALAR && strcmp(node->text, "local") == 0
               ? 0
               : parse_warn(parse, node, "not supported by Consort: ignored");
}

/* Named volumes need no declaration: they are made where they are first used. */
static int read_top_volumes(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {
        {"name", parse_pass_over}, /* read where it is mounted */
        {"external", parse_pass_over},
        {"driver", read_volume_driver},
        {"driver_opts", parse_pass_over},
        {"labels", NULL},
        {0}};
    int rc = node->type == TREE_MAP ? 0 : parse_fail(parse, node, "a map of volumes is expected");
    (void)target;
    for (size_t i = 0; i < node->count && rc == 0; i++)
        if (!tree_is_null(node->children[i]) && strncmp(node->children[i]->key, "x-", 2) != 0)
            rc = parse_map(parse, node->children[i], keys, NULL);
    return rc;
}

static const struct parse_key top_keys[] = {
    {"name", parse_pass_over},
    {"version", NULL},
    {"configs", read_top_configs},
    {"secrets", read_top_secrets},
    {"services", read_services},
    {"volumes", read_top_volumes},
    {"include", parse_pass_over}, /* it has been carried out */
    {"networks", read_top_networks},
    {"models", NULL},
    {0}};

/* --- Dependencies --- */

static struct service_spec *find_service(const struct compose_result *result, const char *name)
{
    for (size_t i = 0; i < result->service_count; i++)
        if (strcmp(result->services[i].name, name) == 0)
            return &result->services[i];
    return NULL;
}

/* Who waits for a service to end well must not see it started again, so it is started again only
 * when it failed; with a warning if it says otherwise. */
static int end_once(struct parse *parse, struct service_spec *waited_for)
{
    const struct tree_node *node = tree_find(tree_find(parse->root, "services"), waited_for->name);
    const struct tree_node *restart = tree_find(node, "restart");
    const struct tree_node *policy = tree_find(tree_find(node, "deploy"), "restart_policy");
    const struct tree_node *said = tree_find(policy, "condition");
    if (waited_for->restart.condition != SPEC_RESTART_ANY)
        return 0;
    waited_for->restart.condition = SPEC_RESTART_ON_FAILURE;
    if (!said)
        said = restart && restart->type == TREE_SCALAR && restart->text[0] ? restart : NULL;
    return said ? parse_warn(parse, said,
                             "as on-failure: others wait for %s to complete, so it is started "
                             "again only if it failed",
                             waited_for->name)
                : 0;
}

/* Counts, again and again, those whose dependencies are all counted: who is left waits for itself.
 * `counted` has a flag a service. */
static const struct service_spec *find_circle(const struct compose_result *result, bool *counted)
{
    for (bool has_grown = true; has_grown;) {
        has_grown = false;
        for (size_t i = 0; i < result->service_count; i++) {
            const struct service_spec *spec = &result->services[i];
            bool is_free = !counted[i];
            for (size_t j = 0; j < spec->dependency_count && is_free; j++)
                is_free =
                    counted[find_service(result, spec->dependencies[j].name) - result->services];
            counted[i] = counted[i] || is_free;
            has_grown = has_grown || is_free;
        }
    }
    for (size_t i = 0; i < result->service_count; i++)
        if (!counted[i])
            return &result->services[i];
    return NULL;
}

/* A service may depend only on those that are deployed with it, and not on itself. */
static int check_dependencies(struct parse *parse, const struct compose_result *result)
{
    const struct tree_node *services = tree_find(parse->root, "services");
    for (size_t i = 0; i < result->service_count; i++) {
        const struct service_spec *spec = &result->services[i];
        const struct tree_node *node = tree_find(tree_find(services, spec->name), "depends_on");
        for (size_t j = 0; j < spec->dependency_count; j++) {
            const struct spec_dependency *dependency = &spec->dependencies[j];
            struct service_spec *other = find_service(result, dependency->name);
            if (!other)
                return parse_fail(parse, node,
                                  "%s is not among the services that are deployed; if it has "
                                  "profiles, name one with --profile",
                                  dependency->name);
            int rc = dependency->condition == SPEC_DEPENDS_COMPLETED ? end_once(parse, other) : 0;
            if (rc < 0)
                return rc;
        }
    }
    cleanup_free bool *counted = calloc(result->service_count + 1, sizeof(*counted));
    const struct service_spec *waiting = counted ? find_circle(result, counted) : NULL;
    if (waiting)
        return parse_fail(parse, tree_find(tree_find(services, waiting->name), "depends_on"),
                          "the services wait for each other in a circle");
    return counted ? 0 : -ENOMEM;
}

static int read_document(const struct document *document, const char *stack_name,
                         struct compose_result *result, struct error *error)
{
    struct parse parse = {.path = document->path,
                          .folder = document->folder,
                          .root = document->root,
                          .variables = &document->variables,
                          .result = result,
                          .error = error};
    int rc = text_list_copy(&result->warnings, &document->variables.warnings);
    if (rc == 0)
        rc = set_stack(&parse, stack_name, document->name);
    if (rc == 0)
        rc = parse_map(&parse, document->root, top_keys, result);
    if (rc == 0 && result->service_count == 0)
        rc = error_set(error, -EINVAL, "%s: %s", document->path,
                       document->unwanted_count > 0
                           ? "all services have profiles, and none of those is named: --profile"
                           : "the file has no services");
    if (rc == 0)
        rc = parse_links(&parse);
    if (rc == 0)
        rc = parse_check_addresses(&parse);
    return rc < 0 ? rc : check_dependencies(&parse, result);
}

/* What is wrong may be what a variable is empty for. */
static void hint_unset(const struct variables *variables, struct error *error)
{
    cleanup_buffer struct buffer names = {0};
    for (size_t i = 0; i < variables->unset.count; i++)
        if (buffer_printf(&names, "%s%s", i > 0 ? ", " : "", variables->unset.items[i]) < 0)
            return;
    error_hint(error, "not set, and taken as empty: %.*s", (int)names.size,
               (const char *)names.bytes);
}

int compose_load(const struct compose_options *options, struct compose_result *ret,
                 struct error *error)
{
    struct document document;
    struct compose_result result = {0};
    int rc = document_load(options, &document, error);
    if (rc == 0)
        rc = read_document(&document, options->stack_name, &result, error);
    if (rc < 0 && (!error || error->code == 0))
        error_set_errno(error, rc, "%s", options->files->items[0]);
    if (rc == -EINVAL && error && !error->hint[0] && document.variables.unset.count > 0)
        hint_unset(&document.variables, error);
    document_done(&document);
    if (rc < 0)
        compose_result_done(&result);
    else
        *ret = result;
    return rc;
}

/* Adds the first of the names that is a file in the folder; true if there is one. */
static int add_first(const char *folder, const char *const *names, struct text_list *ret)
{
    for (; *names; names++) {
        cleanup_free char *path = NULL;
        if (asprintf(&path, "%s%s", folder, *names) < 0)
            return -ENOMEM;
        if (access(path, R_OK) == 0)
            return text_list_add(ret, path);
    }
    return 0;
}

/* Those of COMPOSE_FILE, with colons or COMPOSE_PATH_SEPARATOR between them. */
static int add_listed(const struct text_list *env_files, struct text_list *ret, struct error *error)
{
    struct variables variables = {0};
    int rc = document_load_variables(env_files, ".", &variables, error);
    const char *listed = rc == 0 ? variables_find(&variables, "COMPOSE_FILE") : NULL;
    const char *separator = variables_find(&variables, "COMPOSE_PATH_SEPARATOR");
    if (!separator || !separator[0])
        separator = ":";
    while (rc == 0 && listed && *listed) {
        const char *end = strstr(listed, separator);
        size_t size = end ? (size_t)(end - listed) : strlen(listed);
        cleanup_free char *path = strndup(listed, size);
        rc = path ? text_list_add(ret, path) : -ENOMEM;
        listed += size + (end ? strlen(separator) : 0);
    }
    variables_done(&variables);
    return rc;
}

int compose_find(const struct text_list *env_files, struct text_list *ret, struct error *error)
{
    static const char *const names[] = {"compose.yaml", "compose.yml", "docker-compose.yml",
                                        "docker-compose.yaml", NULL};
    static const char *const overrides[] = {"compose.override.yaml", "compose.override.yml",
                                            "docker-compose.override.yml",
                                            "docker-compose.override.yaml", NULL};
    cleanup_free char *here = getcwd(NULL, 0);
    char folder[PATH_MAX] = "";
    int rc = add_listed(env_files, ret, error);
    if (rc < 0 && error && error->code != 0)
        return rc; /* the file of variables has words of its own */
    for (const char *at = here; rc == 0 && ret->count == 0 && at; at = strchr(at + 1, '/')) {
        rc = add_first(folder, names, ret);
        if (rc == 0 && ret->count > 0)
            rc = add_first(folder, overrides, ret);
        strncat(folder, "../", sizeof(folder) - strlen(folder) - 1);
    }
    if (rc < 0)
        return error_set_errno(error, rc, "looking for compose.yaml");
    return ret->count > 0
               ? 0
               : error_set(error, -ENOENT, "there is no compose.yaml here, nor in a folder above");
}

void compose_result_done(struct compose_result *result)
{
    for (size_t i = 0; i < result->service_count; i++)
        service_spec_done(&result->services[i]);
    for (size_t i = 0; i < result->blob_count; i++)
        buffer_done(&result->blobs[i].content);
    free(result->services);
    free(result->blobs);
    text_list_done(&result->pulled);
    text_list_done(&result->warnings);
    *result = (struct compose_result){0};
}
