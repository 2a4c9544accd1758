/* A YAML document as a tree with line numbers: bounded in size and depth, aliases shared by copying
 * no more than the bound allows, merge keys ("<<") carried out, variables filled in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum {
    TREE_NODES_MAX = 50000,
    TREE_DEPTH_MAX = 24,
    TREE_KEYS_MAX = 2048, /* of one map */
    TREE_FILE_BYTES_MAX = 1024 * 1024,
};

enum tree_type { TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree_node {
    enum tree_type type;
    unsigned line;            /* from 1 */
    char *key;                /* of a map's entry, else NULL */
    char *text;               /* of a scalar */
    bool is_plain;            /* a scalar without quotes: may be null, a number, a flag */
    struct tree_node *parent; /* NULL: the document */
    struct tree_node **children;
    size_t count;
};

/* -EINVAL with "path:line: what is wrong" in `error`. The caller frees `*ret`. */
int tree_load(const char *path, struct tree_node **ret, struct error *error);
void tree_free(struct tree_node *node);

/* The map's entry, or NULL. */
struct tree_node *tree_find(const struct tree_node *map, const char *key);

/* True for an empty, "null" or "~" plain scalar, and for NULL. */
bool tree_is_null(const struct tree_node *node);
