#include "node/compose/compose.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "gossip/certificate.h"
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

static int set_stack(struct parse *parse, const char *stack_name)
{
    const struct tree_node *name = tree_find(parse->root, "name");
    char *stack = parse->result->stack;
    if (!stack_name && name && name->type == TREE_SCALAR)
        stack_name = name->text;
    if (stack_name) {
        if (!certificate_name_is_valid(stack_name))
            return error_set(parse->error, -EINVAL,
                             "%s: the stack's name %s must be 1 to 63 of a-z, 0-9 and -",
                             parse->path, stack_name);
        snprintf(stack, BASE_NAME_BYTES_MAX + 1, "%s", stack_name);
        return 0;
    }
    cleanup_free char *full = realpath(parse->path, NULL);
    if (full)
        make_label(basename(dirname(full)), stack);
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
        if (!certificate_name_is_valid(service->key))
            return parse_fail(parse, service, "a service's name must be 1 to 63 of a-z, 0-9 and -");
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

static int pass_over(struct parse *parse, const struct tree_node *node, void *target)
{
    (void)parse;
    (void)node;
    (void)target;
    return 0;
}

/* Named volumes need no declaration; their drivers are not supported. */
static int read_top_volumes(struct parse *parse, const struct tree_node *node, void *target)
{
    int rc = 0;
    (void)target;
    for (size_t i = 0; node->type == TREE_MAP && i < node->count && rc == 0; i++)
        if (!tree_is_null(node->children[i]) && node->children[i]->count > 0)
            rc = parse_warn(parse, node->children[i],
                            "options of volumes are not supported by "
                            "Consort: ignored");
    return rc;
}

static const struct parse_key top_keys[] = {{"name", pass_over},
                                            {"version", pass_over},
                                            {"configs", read_top_configs},
                                            {"secrets", read_top_secrets},
                                            {"services", read_services},
                                            {"volumes", read_top_volumes},
                                            {"networks", NULL},
                                            {"include", NULL},
                                            {"models", NULL},
                                            {0}};

int compose_load(const char *path, const char *stack_name, struct compose_result *ret,
                 struct error *error)
{
    struct tree_node *root = NULL;
    struct compose_result result = {0};
    int rc = tree_load(path, &root, error);
    if (rc == 0) {
        struct parse parse = {.path = path, .root = root, .result = &result, .error = error};
        rc = set_stack(&parse, stack_name);
        if (rc == 0)
            rc = parse_map(&parse, root, top_keys, &result);
        if (rc == 0 && result.service_count == 0)
            rc = error_set(error, -EINVAL, "%s: the file has no services", path);
    }
    if (rc < 0 && (!error || error->code == 0))
        error_set_errno(error, rc, "%s", path);
    tree_free(root);
    if (rc < 0)
        compose_result_done(&result);
    else
        *ret = result;
    return rc;
}

void compose_result_done(struct compose_result *result)
{
    for (size_t i = 0; i < result->service_count; i++)
        service_spec_done(&result->services[i]);
    for (size_t i = 0; i < result->blob_count; i++)
        buffer_done(&result->blobs[i].content);
    free(result->services);
    free(result->blobs);
    text_list_done(&result->warnings);
    *result = (struct compose_result){0};
}
