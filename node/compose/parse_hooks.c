/* post_start and pre_stop of a service */
#include <errno.h>

#include "node/compose/parse.h"

static int hook_command(struct parse *parse, const struct tree_node *node, void *hook)
{
    return parse_command(parse, node, &((struct spec_hook *)hook)->command);
}

static int hook_user(struct parse *parse, const struct tree_node *node, void *hook)
{
    return parse_text(parse, node, &((struct spec_hook *)hook)->user);
}

static int hook_working_dir(struct parse *parse, const struct tree_node *node, void *hook)
{
    return parse_text(parse, node, &((struct spec_hook *)hook)->working_dir);
}

static int hook_environment(struct parse *parse, const struct tree_node *node, void *hook)
{
    return parse_pairs(parse, node, &((struct spec_hook *)hook)->environment);
}

static int hook_privileged(struct parse *parse, const struct tree_node *node, void *hook)
{
    return parse_flag(parse, node, &((struct spec_hook *)hook)->privileged);
}

static int read_hooks(struct parse *parse, const struct tree_node *node, struct spec_hook **hooks,
                      size_t *count)
{
    static const struct parse_key keys[] = {
        {"command", hook_command},         {"user", hook_user},
        {"working_dir", hook_working_dir}, {"environment", hook_environment},
        {"privileged", hook_privileged},   {0}};
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct tree_node *item = node->children[i];
        if (*count == SPEC_HOOKS_MAX)
            return parse_fail(parse, item, "more than %d", SPEC_HOOKS_MAX);
        struct spec_hook *hook = spec_hook_add(hooks, count);
        if (!hook)
            return -ENOMEM;
        rc = parse_map(parse, item, keys, hook);
        if (rc == 0 && hook->command.count == 0)
            rc = parse_fail(parse, item, "a command is needed");
    }
    return rc;
}

int read_post_start(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct service_spec *service = spec;
    return read_hooks(parse, node, &service->post_start, &service->post_start_count);
}

int read_pre_stop(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct service_spec *service = spec;
    return read_hooks(parse, node, &service->pre_stop, &service->pre_stop_count);
}
