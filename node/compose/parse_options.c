/* What is told to the kernel in words of runtime/sandbox_options.h: namespaces shared with the
 * machine, device rules, block I/O, annotations. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/compose/parse.h"
#include "runtime/sandbox_options.h"

/* Adds "NAME=VALUE" if the runtime takes it. */
static int add_option(struct parse *parse, const struct tree_node *node, const char *name,
                      const char *value, void *spec)
{
    cleanup_free char *option = NULL;
    if (asprintf(&option, "%s=%s", name, value) < 0)
        return -ENOMEM;
    if (!sandbox_option_is_valid(option))
        return parse_fail(parse, node, "%s makes no sense here", value);
    return text_list_add(&((struct service_spec *)spec)->sandbox.options, option);
}

static int add_text(struct parse *parse, const struct tree_node *node, const char *name, void *spec)
{
    cleanup_free char *text = NULL;
    int rc = parse_text(parse, node, &text);
    return rc < 0 ? rc : add_option(parse, node, name, text, spec);
}

/* "host", or what each container has: a namespace of its own. */
static int read_namespace(struct parse *parse, const struct tree_node *node, const char *name,
                          void *spec)
{
    static const char *const own[] = {"private", "shareable", "none", ""};
    if (node->type != TREE_SCALAR)
        return parse_fail(parse, node, "text is expected");
    if (strcmp(node->text, "host") == 0)
        return add_option(parse, node, name, "host", spec);
    for (size_t i = 0; i < array_count(own); i++)
        if (strcmp(node->text, own[i]) == 0)
            return 0;
    return parse_warn(parse, node,
                      "ignored: replicas are placed one by one, maybe on different machines, so "
                      "none shares another's; run both programs in one container, or say host for "
                      "the machine's");
}

int read_pid(struct parse *parse, const struct tree_node *node, void *spec)
{
    return read_namespace(parse, node, "pid", spec);
}

int read_ipc(struct parse *parse, const struct tree_node *node, void *spec)
{
    return read_namespace(parse, node, "ipc", spec);
}

int read_uts(struct parse *parse, const struct tree_node *node, void *spec)
{
    return read_namespace(parse, node, "uts", spec);
}

int read_cgroup(struct parse *parse, const struct tree_node *node, void *spec)
{
    return read_namespace(parse, node, "cgroup", spec);
}

/* Never a warning: whoever asks for one does not want to run without. */
int read_userns(struct parse *parse, const struct tree_node *node, void *spec)
{
    if (node->type != TREE_SCALAR ||
        (strcmp(node->text, "auto") != 0 && strcmp(node->text, "host") != 0))
        return parse_fail(parse, node,
                          "auto (a user namespace of its own) or host (none) is expected");
    return strcmp(node->text, "auto") == 0 ? add_option(parse, node, "userns", "auto", spec) : 0;
}

int parse_check_userns(struct parse *parse, const struct tree_node *node,
                       const struct service_spec *spec)
{
    const struct spec_sandbox *sandbox = &spec->sandbox;
    const char *reason = sandbox_options_bar_userns(&sandbox->options, sandbox->privileged,
                                                    spec->network_mode == SPEC_NETWORK_HOST);
    return reason ? parse_fail(parse, tree_find(node, "userns_mode"),
                               "auto can't go with %s, by which it shares what is the machine's",
                               reason)
                  : 0;
}

int read_domainname(struct parse *parse, const struct tree_node *node, void *spec)
{
    return add_text(parse, node, "domainname", spec);
}

int read_swappiness(struct parse *parse, const struct tree_node *node, void *spec)
{
    return add_text(parse, node, "swappiness", spec);
}

static int add_each(struct parse *parse, const struct tree_node *node, const char *name,
                    const struct text_list *texts, void *spec)
{
    int rc = 0;
    for (size_t i = 0; i < texts->count && rc == 0; i++)
        rc = add_option(parse, node, name, texts->items[i], spec);
    return rc;
}

int read_device_rules(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct text_list rules = {0};
    int rc = parse_list(parse, node, &rules);
    if (rc == 0)
        rc = add_each(parse, node, "device", &rules, spec);
    text_list_done(&rules);
    return rc;
}

/* Keys of a map, or "KEY=VALUE" of a list. */
static int refuse_reserved(struct parse *parse, const struct tree_node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        const struct tree_node *child = node->children[i];
        const char *key = child->key ? child->key : child->text;
        if (key && sandbox_annotation_is_reserved(key))
            return parse_fail(parse, child,
                              "%s is an order to the OCI runtime, not for services to give", key);
    }
    return 0;
}

int read_annotations(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct text_list pairs = {0};
    int rc = refuse_reserved(parse, node);
    if (rc == 0)
        rc = parse_pairs(parse, node, &pairs);
    if (rc == 0)
        rc = add_each(parse, node, "annotation", &pairs, spec);
    text_list_done(&pairs);
    return rc;
}

/* --- blkio_config --- */

static int add_device_number(struct parse *parse, const struct tree_node *node, const char *name,
                             const char *key, void *spec)
{
    const struct tree_node *path = tree_find(node, "path"), *number = tree_find(node, key);
    cleanup_free char *value = NULL;
    uint64_t amount = 0;
    if (!path || path->type != TREE_SCALAR || !number)
        return parse_fail(parse, node, "path and %s are expected", key);
    int rc = parse_size(parse, number, &amount);
    if (rc == 0 && asprintf(&value, "%s=%llu", path->text, (unsigned long long)amount) < 0)
        rc = -ENOMEM;
    return rc < 0 ? rc : add_option(parse, node, name, value, spec);
}

static int read_weight(struct parse *parse, const struct tree_node *node, void *spec)
{
    return add_text(parse, node, "blkio_weight", spec);
}

static int read_devices_of(struct parse *parse, const struct tree_node *node, void *spec)
{
    char name[64];
    bool is_weight = strcmp(node->key, "weight_device") == 0;
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    snprintf(name, sizeof(name), "blkio_%s", is_weight ? node->key : node->key + strlen("device_"));
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = add_device_number(parse, node->children[i], name, is_weight ? "weight" : "rate", spec);
    return rc;
}

int read_blkio(struct parse *parse, const struct tree_node *node, void *spec)
{
    static const struct parse_key keys[] = {{"weight", read_weight},
                                            {"weight_device", read_devices_of},
                                            {"device_read_bps", read_devices_of},
                                            {"device_read_iops", read_devices_of},
                                            {"device_write_bps", read_devices_of},
                                            {"device_write_iops", read_devices_of},
                                            {0}};
    return parse_map(parse, node, keys, spec);
}
