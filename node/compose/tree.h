/* A Compose document as a tree that knows where each of its parts was written: bounded in size and
 * depth, aliases carried out by copying no more than the bounds allow, merge keys ("<<") too,
 * variables filled in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "node/compose/interpolate.h"

enum {
    TREE_NODES_MAX = 50000, /* of all trees that one deploy reads and copies */
    TREE_DEPTH_MAX = 24,
    TREE_KEYS_MAX = 2048, /* of one map */
    TREE_FILE_BYTES_MAX = 1024 * 1024,
};

enum tree_type { TREE_SCALAR, TREE_LIST, TREE_MAP };

/* What is said about a node in a file that is merged over another. */
enum tree_tag {
    TREE_NO_TAG,
    TREE_RESET,    /* !reset: what stood there goes */
    TREE_OVERRIDE, /* !override: what stood there is replaced, not added to */
};

/* The file that a node is from. It outlives the node. */
struct tree_source {
    char *path;   /* as the operator, or another file, names it */
    char *folder; /* absolute: where paths in it begin */
};

struct tree_node {
    enum tree_type type;
    enum tree_tag tag;
    const struct tree_source *source;
    unsigned line;            /* from 1 */
    char *key;                /* of a map's entry, else NULL */
    char *text;               /* of a scalar */
    bool is_plain;            /* a scalar without quotes: may be null, a number, a flag */
    struct tree_node *parent; /* NULL: the document */
    struct tree_node **children;
    size_t count;
};

/* How many nodes may still be made: shared by the trees of one deploy. */
struct tree_budget {
    size_t nodes_left;
};

/* Reads the source's file ("-": standard input); of several documents in it, each is merged over
 * those before. -EINVAL with "path:line: what is wrong" in
 * `error`, or what reading said. Variables that are not set are warnings of `variables`. The caller
 * frees `*ret`. */
int tree_load(const struct tree_source *source, struct variables *variables,
              struct tree_budget *budget, struct tree_node **ret, struct error *error);
void tree_free(struct tree_node *node);

/* A node of that type, at the place of `at`; a scalar has `text`. NULL: no memory. */
struct tree_node *tree_new(enum tree_type type, const struct tree_node *at, const char *text);

/* Takes over `child`; `key` (copied) if `parent` is a map. -ENOMEM leaves `child` the caller's. */
int tree_add(struct tree_node *parent, struct tree_node *child, const char *key);

/* Takes the child out of its parent, for the caller to free or add elsewhere. */
struct tree_node *tree_take(struct tree_node *parent, size_t index);

/* A deep copy, without a parent. -E2BIG: over the budget; or -ENOMEM. */
int tree_copy(const struct tree_node *node, struct tree_budget *budget, struct tree_node **ret);

/* The place of the map's entry; the count of children if it has none, or is no map. */
size_t tree_index(const struct tree_node *map, const char *key);

/* The map's entry, or NULL. */
struct tree_node *tree_find(const struct tree_node *map, const char *key);

/* True if both say the same, wherever they were written. */
bool tree_equal(const struct tree_node *a, const struct tree_node *b);

/* True for an empty, "null" or "~" plain scalar, and for NULL. */
bool tree_is_null(const struct tree_node *node);

/* -EINVAL with "path:line: keys: words": list items go by the key of their list. */
int tree_fail(struct error *error, const struct tree_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "path:line: keys: ", cut to `capacity`. */
void tree_place(const struct tree_node *node, char *ret, size_t capacity);
