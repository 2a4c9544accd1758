#include "node/compose/tree.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "node/compose/interpolate.h"
#include "runtime/file.h"

struct loader {
    const char *path;
    yaml_document_t document;
    struct text_list extra; /* from .env */
    size_t node_count;
    struct error *error;
};

static int fail(struct loader *loader, const yaml_node_t *node, const char *what)
{
    return error_set(loader->error, -EINVAL, "%s:%zu: %s", loader->path, node->start_mark.line + 1,
                     what);
}

void tree_free(struct tree_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++)
        tree_free(node->children[i]); /* at most TREE_DEPTH_MAX deep */
    free(node->children);
    free(node->key);
    free(node->text);
    free(node);
}

struct tree_node *tree_find(const struct tree_node *map, const char *key)
{
    for (size_t i = 0; map && map->type == TREE_MAP && i < map->count; i++)
        if (strcmp(map->children[i]->key, key) == 0)
            return map->children[i];
    return NULL;
}

bool tree_is_null(const struct tree_node *node)
{
    return !node || (node->type == TREE_SCALAR && node->is_plain &&
                     (node->text[0] == '\0' || strcmp(node->text, "null") == 0 ||
                      strcmp(node->text, "~") == 0));
}

static int add_child(struct tree_node *parent, struct tree_node *child)
{
    struct tree_node **children =
        reallocarray(parent->children, parent->count + 1, sizeof(struct tree_node *));
    if (!children)
        return -ENOMEM;
    parent->children = children;
    children[parent->count++] = child;
    child->parent = parent;
    return 0;
}

/* Writes `*ret` exactly if it returns 0. */
static int convert(struct loader *loader, yaml_node_t *yaml, int depth, struct tree_node **ret);

static int convert_scalar(struct loader *loader, const yaml_node_t *yaml, struct tree_node *node)
{
    const char *value = (const char *)yaml->data.scalar.value;
    struct error why = {0};
    if (strlen(value) != yaml->data.scalar.length)
        return fail(loader, yaml, "text with a NUL byte");
    node->is_plain = yaml->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    int rc = interpolate(value, &loader->extra, &node->text, &why);
    return rc == -EINVAL ? fail(loader, yaml, why.message) : rc;
}

static int convert_list(struct loader *loader, const yaml_node_t *yaml, int depth,
                        struct tree_node *node)
{
    for (yaml_node_item_t *item = yaml->data.sequence.items.start;
         item < yaml->data.sequence.items.top; item++) {
        struct tree_node *child = NULL;
        int rc =
            convert(loader, yaml_document_get_node(&loader->document, *item), depth + 1, &child);
        if (child)
            rc = add_child(node, child);
        if (rc < 0) {
            tree_free(child);
            return rc;
        }
    }
    return 0;
}

/* Takes over the entries of a map that "<<" names, as far as `node` has no such key. */
static int merge(struct tree_node *node, struct tree_node *from)
{
    for (size_t i = 0; i < from->count; i++) {
        if (tree_find(node, from->children[i]->key))
            continue;
        if (node->count >= TREE_KEYS_MAX)
            return -E2BIG;
        int rc = add_child(node, from->children[i]);
        if (rc < 0)
            return rc;
        from->children[i] = from->children[--from->count];
        i--;
    }
    return 0;
}

static int merge_value(struct loader *loader, const yaml_node_t *yaml, struct tree_node *node,
                       struct tree_node *value)
{
    int rc = 0;
    if (value->type == TREE_MAP)
        return merge(node, value);
    if (value->type != TREE_LIST)
        return fail(loader, yaml, "<< needs a map, or a list of maps");
    for (size_t i = 0; i < value->count && rc == 0; i++)
        rc = value->children[i]->type == TREE_MAP ? merge(node, value->children[i])
                                                  : fail(loader, yaml, "<< needs maps");
    return rc;
}

static int convert_entry(struct loader *loader, yaml_node_t *key, yaml_node_t *value, int depth,
                         bool merges, struct tree_node *node)
{
    struct tree_node *child = NULL;
    if (key->type != YAML_SCALAR_NODE)
        return fail(loader, key, "a key must be text");
    const char *name = (const char *)key->data.scalar.value;
    if (strlen(name) != key->data.scalar.length)
        return fail(loader, key, "a key with a NUL byte");
    if ((strcmp(name, "<<") == 0) != merges)
        return 0;
    if (!merges && tree_find(node, name)) {
        char what[256];
        snprintf(what, sizeof(what), "%.200s: the same key twice", name);
        return fail(loader, key, what);
    }
    if (node->count >= TREE_KEYS_MAX)
        return fail(loader, key, "too many keys in one map");
    int rc = convert(loader, value, depth + 1, &child);
    if (!child)
        return rc;
    if (merges) {
        rc = merge_value(loader, key, node, child);
        if (rc == -E2BIG)
            rc = fail(loader, key, "too many keys in one map");
        tree_free(child);
        return rc;
    }
    child->key = strdup(name);
    child->line = (unsigned)key->start_mark.line + 1;
    rc = child->key ? add_child(node, child) : -ENOMEM;
    if (rc < 0)
        tree_free(child);
    return rc;
}

/* A map's own keys first, then what it merges in. */
static int convert_map(struct loader *loader, const yaml_node_t *yaml, int depth,
                       struct tree_node *node)
{
    int rc = 0;
    for (int pass = 0; pass < 2; pass++)
        for (yaml_node_pair_t *pair = yaml->data.mapping.pairs.start;
             pair < yaml->data.mapping.pairs.top && rc == 0; pair++)
            rc = convert_entry(loader, yaml_document_get_node(&loader->document, pair->key),
                               yaml_document_get_node(&loader->document, pair->value), depth,
                               pass == 1, node);
    return rc;
}

static int convert(struct loader *loader, yaml_node_t *yaml, int depth, struct tree_node **ret)
{
    static const enum tree_type types[] = {[YAML_SCALAR_NODE] = TREE_SCALAR,
                                           [YAML_SEQUENCE_NODE] = TREE_LIST,
                                           [YAML_MAPPING_NODE] = TREE_MAP};
    if (depth > TREE_DEPTH_MAX || ++loader->node_count > TREE_NODES_MAX)
        return fail(loader, yaml, "the file is too deep or, with its aliases, too large");
    struct tree_node *node = calloc(1, sizeof(*node));
    if (!node)
        return -ENOMEM;
    node->type = types[yaml->type];
    node->line = (unsigned)yaml->start_mark.line + 1;
    int rc = yaml->type == YAML_SCALAR_NODE     ? convert_scalar(loader, yaml, node)
             : yaml->type == YAML_SEQUENCE_NODE ? convert_list(loader, yaml, depth, node)
                                                : convert_map(loader, yaml, depth, node);
    if (rc < 0)
        tree_free(node);
    else
        *ret = node;
    return rc;
}

/* .env beside the file, if it is there. */
static int load_extra(struct loader *loader)
{
    char path[PATH_MAX];
    const char *slash = strrchr(loader->path, '/');
    snprintf(path, sizeof(path), "%.*s.env", slash ? (int)(slash - loader->path + 1) : 0,
             loader->path);
    return access(path, R_OK) == 0 ? environment_file_read(path, &loader->extra, loader->error) : 0;
}

static int start_parser(const struct buffer *content, yaml_parser_t *ret)
{
    if (!yaml_parser_initialize(ret))
        return -ENOMEM;
    const uint8_t *bytes = content->size > 0 ? content->bytes : (const uint8_t *)"";
    yaml_parser_set_input_string(ret, bytes, content->size);
    return 0;
}

static int fail_parser(struct loader *loader, const yaml_parser_t *parser)
{
    return error_set(loader->error, -EINVAL, "%s:%zu: no YAML: %s", loader->path,
                     parser->problem_mark.line + 1, parser->problem ? parser->problem : "");
}

static int depth_change(const yaml_event_t *event)
{
    if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT)
        return 1;
    return event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT ? -1 : 0;
}

/* The time that libyaml takes grows with the square of the depth, and it has the whole document
 * before anybody can look at it: so it is first read piece by piece, up to where it is too deep. */
static int check_depth(struct loader *loader, const struct buffer *content)
{
    yaml_parser_t parser;
    bool has_ended = false;
    int depth = 0, rc = start_parser(content, &parser);
    if (rc < 0)
        return rc;
    while (rc == 0 && !has_ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            rc = fail_parser(loader, &parser);
            break;
        }
        depth += depth_change(&event);
        if (depth > TREE_DEPTH_MAX)
            rc = error_set(loader->error, -EINVAL, "%s:%zu: the file is too deep", loader->path,
                           event.start_mark.line + 1);
        has_ended = event.type == YAML_STREAM_END_EVENT || event.type == YAML_DOCUMENT_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return rc;
}

static int load_document(struct loader *loader, const struct buffer *content)
{
    yaml_parser_t parser;
    int rc = check_depth(loader, content);
    if (rc == 0)
        rc = start_parser(content, &parser);
    if (rc < 0)
        return rc;
    if (!yaml_parser_load(&parser, &loader->document))
        rc = fail_parser(loader, &parser);
    yaml_parser_delete(&parser);
    return rc;
}

int tree_load(const char *path, struct tree_node **ret, struct error *error)
{
    cleanup_buffer struct buffer content = {0};
    struct loader loader = {.path = path, .error = error};
    int rc = file_read(path, TREE_FILE_BYTES_MAX, &content);
    if (rc == -EFBIG)
        return error_set(error, rc, "%s: larger than a Compose file can be", path);
    if (rc < 0)
        return error_set_errno(error, rc, "reading %s", path);
    rc = load_extra(&loader);
    if (rc == 0)
        rc = load_document(&loader, &content);
    if (rc == 0) {
        yaml_node_t *root = yaml_document_get_root_node(&loader.document);
        rc = root ? convert(&loader, root, 0, ret)
                  : error_set(error, -EINVAL, "%s:1: the file is empty: services is missing", path);
        yaml_document_delete(&loader.document);
    }
    text_list_done(&loader.extra);
    return rc;
}
