/* YAML made into a tree. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "node/compose/merge.h"
#include "node/compose/tree.h"
#include "runtime/file.h"

struct loader {
    const struct tree_source *source;
    yaml_document_t document;
    struct variables *variables;
    struct tree_budget *budget;
    struct error *error;
};

static int fail(struct loader *loader, const yaml_node_t *node, const char *what)
{
    return error_set(loader->error, -EINVAL, "%s:%zu: %s", loader->source->path,
                     node->start_mark.line + 1, what);
}

/* Writes `*ret` exactly if it returns 0. */
static int convert(struct loader *loader, yaml_node_t *yaml, int depth, struct tree_node **ret);

static int warn_unset(struct loader *loader, const yaml_node_t *yaml, const char *name)
{
    cleanup_free char *warning = NULL;
    int length = asprintf(&warning, "%s:%zu: the variable %s is not set: taken as empty",
                          loader->source->path, yaml->start_mark.line + 1, name);
    return length < 0 ? -ENOMEM : text_list_add(&loader->variables->warnings, warning);
}

static int convert_scalar(struct loader *loader, const yaml_node_t *yaml, struct tree_node *node)
{
    const char *value = (const char *)yaml->data.scalar.value;
    struct error why = {0};
    if (strlen(value) != yaml->data.scalar.length)
        return fail(loader, yaml, "text with a NUL byte");
    node->is_plain = yaml->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    size_t unset_count = loader->variables->unset.count;
    int rc = interpolate(value, loader->variables, &node->text, &why);
    if (rc == -EINVAL)
        return fail(loader, yaml, why.message);
    for (size_t i = unset_count; i < loader->variables->unset.count && rc == 0; i++)
        rc = warn_unset(loader, yaml, loader->variables->unset.items[i]);
    return rc;
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
            rc = tree_add(node, child, NULL);
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
        struct tree_node *child = tree_take(from, i--);
        int rc = tree_add(node, child, child->key);
        if (rc < 0) {
            tree_free(child);
            return rc;
        }
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
    child->line = (unsigned)key->start_mark.line + 1;
    rc = tree_add(node, child, name);
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

static enum tree_tag tag_of(const yaml_node_t *yaml)
{
    const char *tag = yaml->tag ? (const char *)yaml->tag : "";
    return strcmp(tag, "!reset") == 0      ? TREE_RESET
           : strcmp(tag, "!override") == 0 ? TREE_OVERRIDE
                                           : TREE_NO_TAG;
}

static int convert(struct loader *loader, yaml_node_t *yaml, int depth, struct tree_node **ret)
{
    static const enum tree_type types[] = {[YAML_SCALAR_NODE] = TREE_SCALAR,
                                           [YAML_SEQUENCE_NODE] = TREE_LIST,
                                           [YAML_MAPPING_NODE] = TREE_MAP};
    if (depth > TREE_DEPTH_MAX || loader->budget->nodes_left == 0)
        return fail(loader, yaml, "the file is too deep or, with its aliases, too large");
    loader->budget->nodes_left--;
    struct tree_node *node = calloc(1, sizeof(*node));
    if (!node)
        return -ENOMEM;
    node->type = types[yaml->type];
    node->tag = tag_of(yaml);
    node->source = loader->source;
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

static int start_parser(const struct buffer *content, yaml_parser_t *ret)
{
    if (!yaml_parser_initialize(ret))
        return -ENOMEM;
    const uint8_t *bytes = content->size > 0 ? content->bytes : (const uint8_t *)"";
    yaml_parser_set_input_string(ret, bytes, content->size);
    return 0;
}

/* `content` is what the parser reads. */
static int fail_parser(struct loader *loader, const yaml_parser_t *parser,
                       const struct buffer *content)
{
    size_t at = parser->problem_mark.index;
    error_set(loader->error, -EINVAL, "%s:%zu: no YAML: %s", loader->source->path,
              parser->problem_mark.line + 1, parser->problem ? parser->problem : "");
    if (at < content->size && content->bytes[at] == '\t')
        error_hint(loader->error, "YAML is indented with spaces; there is a tab");
    return -EINVAL;
}

static int depth_change(const yaml_event_t *event)
{
    if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT)
        return 1;
    return event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT ? -1 : 0;
}

/* The time that libyaml takes grows with the square of the depth, and it has a whole document
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
            rc = fail_parser(loader, &parser, content);
            break;
        }
        depth += depth_change(&event);
        if (depth > TREE_DEPTH_MAX)
            rc = error_set(loader->error, -EINVAL, "%s:%zu: the file is too deep",
                           loader->source->path, event.start_mark.line + 1);
        has_ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return rc;
}

/* ${COMPOSE_PROJECT_NAME} may stand anywhere in the file that says `name`. */
static int name_project(struct loader *loader, const yaml_node_t *root)
{
    cleanup_free char *name = NULL;
    if (root->type != YAML_MAPPING_NODE || variables_find(loader->variables, PROJECT_VARIABLE))
        return 0;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top && !name; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&loader->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(&loader->document, pair->value);
        if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE ||
            strcmp((const char *)key->data.scalar.value, "name") != 0)
            continue;
        int rc =
            interpolate((const char *)value->data.scalar.value, loader->variables, &name, NULL);
        if (rc < 0)
            return rc == -EINVAL ? 0 : rc; /* what is wrong is told where it stands */
    }
    return name ? variables_set(loader->variables, PROJECT_VARIABLE, name) : 0;
}

static int read_content(const struct tree_source *source, struct buffer *ret, struct error *error)
{
    bool is_stdin = strcmp(source->path, "-") == 0;
    int rc = file_read(is_stdin ? "/dev/stdin" : source->path, TREE_FILE_BYTES_MAX, ret);
    if (rc == -EFBIG)
        return error_set(error, rc, "%s: larger than a Compose file can be", source->path);
    return rc < 0 ? error_set_errno(error, rc, "reading %s", source->path) : 0;
}

/* Merges what the loader's document says over what the ones before it said. */
static int take_document(struct loader *loader, yaml_node_t *root, struct tree_node **tree)
{
    struct tree_node *next = NULL;
    int rc = name_project(loader, root);
    if (rc == 0)
        rc = convert(loader, root, 0, &next);
    if (!next)
        return rc;
    if (!*tree || (tree_is_null(*tree) && !tree_is_null(next))) {
        tree_free(*tree);
        *tree = next;
        return 0;
    }
    if (!tree_is_null(next)) /* else a line of --- ends the file */
        rc = (*tree)->type == TREE_MAP && next->type == TREE_MAP
                 ? tree_merge(*tree, next, loader->error)
                 : tree_fail(loader->error, next, "a map of keys and values is expected");
    tree_free(next);
    return rc;
}

/* A file may have several documents, each behind a line of "---". */
static int load_documents(struct loader *loader, const struct buffer *content,
                          struct tree_node **tree)
{
    yaml_parser_t parser;
    bool has_ended = false;
    int rc = start_parser(content, &parser);
    if (rc < 0)
        return rc;
    while (rc == 0 && !has_ended) {
        if (!yaml_parser_load(&parser, &loader->document)) {
            rc = fail_parser(loader, &parser, content);
            break;
        }
        yaml_node_t *root = yaml_document_get_root_node(&loader->document);
        has_ended = !root;
        if (root)
            rc = take_document(loader, root, tree);
        yaml_document_delete(&loader->document);
    }
    yaml_parser_delete(&parser);
    return rc;
}

int tree_load(const struct tree_source *source, struct variables *variables,
              struct tree_budget *budget, struct tree_node **ret, struct error *error)
{
    cleanup_buffer struct buffer content = {0};
    struct tree_node *tree = NULL;
    struct loader loader = {
        .source = source, .variables = variables, .budget = budget, .error = error};
    int rc = read_content(source, &content, error);
    if (rc == 0)
        rc = check_depth(&loader, &content);
    if (rc == 0)
        rc = load_documents(&loader, &content, &tree);
    if (rc == 0 && !tree)
        rc =
            error_set(error, -EINVAL, "%s:1: the file is empty: services is missing", source->path);
    if (rc < 0)
        tree_free(tree);
    else
        *ret = tree;
    return rc;
}
