#include "node/compose/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct tree_node *tree_new(enum tree_type type, const struct tree_node *at, const char *text)
{
    struct tree_node *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->type = type;
    node->source = at->source;
    node->line = at->line;
    if (type == TREE_SCALAR && !(node->text = strdup(text))) {
        free(node);
        return NULL;
    }
    return node;
}

int tree_add(struct tree_node *parent, struct tree_node *child, const char *key)
{
    char *name = key ? strdup(key) : NULL;
    struct tree_node **children =
        reallocarray(parent->children, parent->count + 1, sizeof(struct tree_node *));
    if (children)
        parent->children = children;
    if (!children || (key && !name)) {
        free(name);
        return -ENOMEM;
    }
    free(child->key);
    child->key = name;
    children[parent->count++] = child;
    child->parent = parent;
    return 0;
}

struct tree_node *tree_take(struct tree_node *parent, size_t index)
{
    assert(index < parent->count);
    struct tree_node *child = parent->children[index];
    memmove(&parent->children[index], &parent->children[index + 1],
            (parent->count - index - 1) * sizeof(struct tree_node *));
    parent->count--;
    child->parent = NULL;
    return child;
}

int tree_copy(const struct tree_node *node, struct tree_budget *budget, struct tree_node **ret)
{
    int rc = 0;
    if (budget->nodes_left == 0)
        return -E2BIG;
    budget->nodes_left--;
    struct tree_node *copy = tree_new(node->type, node, node->text);
    if (!copy)
        return -ENOMEM;
    copy->tag = node->tag;
    copy->is_plain = node->is_plain;
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        struct tree_node *child = NULL;
        rc = tree_copy(node->children[i], budget, &child); /* at most TREE_DEPTH_MAX deep */
        if (rc == 0)
            rc = tree_add(copy, child, node->children[i]->key);
        if (rc < 0)
            tree_free(child);
    }
    if (rc < 0)
        tree_free(copy);
    else
        *ret = copy;
    return rc;
}

size_t tree_index(const struct tree_node *map, const char *key)
{
    for (size_t i = 0; map->type == TREE_MAP && i < map->count; i++)
        if (strcmp(map->children[i]->key, key) == 0)
            return i;
    return map->count;
}

struct tree_node *tree_find(const struct tree_node *map, const char *key)
{
    size_t index = map ? tree_index(map, key) : 0;
    return map && index < map->count ? map->children[index] : NULL;
}

bool tree_equal(const struct tree_node *a, const struct tree_node *b)
{
    if (!a || !b || a->type != b->type || a->count != b->count)
        return a == b;
    if (a->type == TREE_SCALAR)
        return a->is_plain == b->is_plain && strcmp(a->text, b->text) == 0;
    for (size_t i = 0; i < a->count; i++) {
        const struct tree_node *other =
            a->type == TREE_MAP ? tree_find(b, a->children[i]->key) : b->children[i];
        if (!tree_equal(a->children[i], other)) /* at most TREE_DEPTH_MAX deep */
            return false;
    }
    return true;
}

bool tree_is_null(const struct tree_node *node)
{
    return !node || (node->type == TREE_SCALAR && node->is_plain &&
                     (node->text[0] == '\0' || strcmp(node->text, "null") == 0 ||
                      strcmp(node->text, "~") == 0));
}

void tree_place(const struct tree_node *node, char *ret, size_t capacity)
{
    const char *keys[TREE_DEPTH_MAX + 1];
    size_t count = 0;
    assert(node);
    for (const struct tree_node *at = node; at && count <= TREE_DEPTH_MAX; at = at->parent)
        if (at->key)
            keys[count++] = at->key;
    size_t length = (size_t)snprintf(ret, capacity, "%s:%u: ", node->source->path, node->line);
    while (count > 0 && length < capacity) {
        count--;
        length += (size_t)snprintf(ret + length, capacity - length, "%s%s", keys[count],
                                   count > 0 ? "." : ": ");
    }
}

int tree_fail(struct error *error, const struct tree_node *node, const char *format, ...)
{
    char place[512], words[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    tree_place(node, place, sizeof(place));
    return error_set(error, -EINVAL, "%s%s", place, words);
}
