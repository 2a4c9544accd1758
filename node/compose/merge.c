#include "node/compose/merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum way {
    BY_TYPE,  /* maps key by key, lists added to, scalars replaced */
    REPLACED, /* as a whole */
    BY_NAME,  /* a list of "KEY=VALUE", or a map */
    BY_HOST,  /* … "NAME=ADDRESS" or "NAME:ADDRESS", or a map */
    BY_WORD,  /* a list of names, or a map of them */
    BY_PORT,  /* a list, of which each item is a port … */
    BY_PATH,  /* … has a path in the container … */
    BY_FILE,  /* … shows a config or secret under a path */
    ADDED_TO, /* a list, or one text that stands for a list of one */
};

/* How a key's value is merged that stands in `parent`; a NULL parent: in the service itself. */
static const struct rule {
    const char *parent, *key;
    enum way way;
} rules[] = {
    {NULL, "command", REPLACED},       {NULL, "entrypoint", REPLACED},
    {"healthcheck", "test", REPLACED}, {NULL, "environment", BY_NAME},
    {NULL, "labels", BY_NAME},         {NULL, "annotations", BY_NAME},
    {NULL, "sysctls", BY_NAME},        {"build", "args", BY_NAME},
    {"build", "labels", BY_NAME},      {"deploy", "labels", BY_NAME},
    {NULL, "extra_hosts", BY_HOST},    {NULL, "depends_on", BY_WORD},
    {NULL, "networks", BY_WORD},       {NULL, "ports", BY_PORT},
    {NULL, "volumes", BY_PATH},        {NULL, "devices", BY_PATH},
    {NULL, "configs", BY_FILE},        {NULL, "secrets", BY_FILE},
    {NULL, "dns", ADDED_TO},           {NULL, "dns_search", ADDED_TO},
    {NULL, "dns_opt", ADDED_TO},       {NULL, "env_file", ADDED_TO},
    {NULL, "tmpfs", ADDED_TO},
};

static bool is_service(const struct tree_node *node)
{
    return node && node->parent && node->parent->key && !node->parent->parent->parent &&
           strcmp(node->parent->key, "services") == 0;
}

static enum way way_of(const struct tree_node *node)
{
    const struct tree_node *parent = node->parent;
    for (size_t i = 0; node->key && parent && i < array_count(rules); i++) {
        if (strcmp(rules[i].key, node->key) != 0)
            continue;
        if (rules[i].parent ? parent->key && strcmp(rules[i].parent, parent->key) == 0 &&
                                  is_service(parent->parent)
                            : is_service(parent))
            return rules[i].way;
    }
    return BY_TYPE;
}

/* --- Lists made maps, so that both ways of writing the same can be merged --- */

/* Adds `text` to the map: its key, and behind the separator its value. */
static int add_named(struct tree_node *map, const struct tree_node *item, enum way way)
{
    const char *value = strpbrk(item->text, way == BY_HOST ? "=:" : way == BY_NAME ? "=" : "");
    size_t size = value ? (size_t)(value - item->text) : strlen(item->text);
    cleanup_free char *key = strndup(item->text, size);
    struct tree_node *entry = tree_new(TREE_SCALAR, item, value ? value + 1 : "");
    if (!key || !entry) {
        tree_free(entry);
        return -ENOMEM;
    }
    entry->is_plain = !value; /* a name alone has its value from elsewhere */
    size_t twin = tree_index(map, key);
    if (twin < map->count)
        tree_free(tree_take(map, twin)); /* of two, the later one counts */
    int rc = tree_add(map, entry, key);
    if (rc < 0)
        tree_free(entry);
    return rc;
}

/* A list of texts becomes a map in its place. A list of anything else stays: to be refused later.
 */
static int make_map(struct tree_node *node, enum way way)
{
    int rc = 0;
    if (node->type != TREE_LIST)
        return 0;
    for (size_t i = 0; i < node->count; i++)
        if (node->children[i]->type != TREE_SCALAR)
            return 0;
    struct tree_node *map = tree_new(TREE_MAP, node, NULL);
    if (!map)
        return -ENOMEM;
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = add_named(map, node->children[i], way);
    if (rc == 0) {
        while (node->count > 0)
            tree_free(tree_take(node, node->count - 1));
        free(node->children);
        node->type = TREE_MAP;
        node->children = take_pointer(map->children);
        node->count = map->count;
        map->count = 0;
        for (size_t i = 0; i < node->count; i++)
            node->children[i]->parent = node;
    }
    tree_free(map);
    return rc;
}

/* A text becomes a list of one. */
static int make_list(struct tree_node *node)
{
    if (node->type != TREE_SCALAR || tree_is_null(node))
        return 0;
    struct tree_node *item = tree_new(TREE_SCALAR, node, node->text);
    struct tree_node list = *node;
    list.type = TREE_LIST;
    list.text = NULL;
    int rc = item ? tree_add(&list, item, NULL) : -ENOMEM;
    if (rc < 0) {
        tree_free(item);
        return rc;
    }
    item->parent = node;
    free(node->text);
    *node = list;
    return 0;
}

/* --- What an item of a list is called --- */

static const char *text_at(const struct tree_node *map, const char *key)
{
    const struct tree_node *node = tree_find(map, key);
    return node && node->type == TREE_SCALAR ? node->text : "";
}

/* "[HOST:][PUBLISHED:]TARGET[/PROTOCOL]", written in full. */
static int name_port(const struct tree_node *item, char **ret)
{
    const char *host = text_at(item, "host_ip"), *published = text_at(item, "published");
    const char *protocol = text_at(item, "protocol");
    if (item->type == TREE_SCALAR)
        return asprintf(ret, "%s%s", item->text, strchr(item->text, '/') ? "" : "/tcp");
    return asprintf(ret, "%s%s%s%s%s/%s", host, *host ? ":" : "", published, *published ? ":" : "",
                    text_at(item, "target"), *protocol ? protocol : "tcp");
}

/* The path in the container: of "SOURCE:TARGET[:OPTIONS]", or "TARGET". */
static int name_path(const struct tree_node *item, char **ret)
{
    const char *target = item->type == TREE_SCALAR ? item->text : text_at(item, "target");
    const char *colon = item->type == TREE_SCALAR ? strchr(target, ':') : NULL;
    if (colon)
        target = colon + 1;
    size_t size = strcspn(target, item->type == TREE_SCALAR ? ":" : "");
    while (size > 1 && target[size - 1] == '/')
        size--;
    *ret = strndup(target, size);
    return *ret ? 0 : -1;
}

static int name_file(const struct tree_node *item, char **ret)
{
    const char *source = item->type == TREE_SCALAR ? item->text : text_at(item, "source");
    const char *target = item->type == TREE_SCALAR ? "" : text_at(item, "target");
    *ret = strdup(*target ? target : source);
    return *ret ? 0 : -1;
}

/* Writes the item's name, or "" if it has none. */
static int name_item(const struct tree_node *item, enum way way, char **ret)
{
    int length = item->type == TREE_LIST ? asprintf(ret, "%s", "")
                 : way == BY_PORT        ? name_port(item, ret)
                 : way == BY_PATH        ? name_path(item, ret)
                 : way == BY_FILE
                     ? name_file(item, ret)
                     : asprintf(ret, "%s", item->type == TREE_SCALAR ? item->text : "");
    return length < 0 ? -ENOMEM : 0;
}

/* --- Merging --- */

static int merge_value(struct tree_node *base, size_t index, struct tree_node *over,
                       struct error *error);

/* Puts `over` into the place of the child. */
static void replace(struct tree_node *base, size_t index, struct tree_node *over)
{
    struct tree_node *old = base->children[index];
    char *key = old->key;
    old->key = over->key;
    over->key = key;
    base->children[index] = over;
    over->parent = base;
    tree_free(old);
}

/* Takes over an item; it replaces the one of its name. */
static int merge_item(struct tree_node *base, struct tree_node *item, enum way way)
{
    cleanup_free char *name = NULL;
    int rc = name_item(item, way, &name);
    for (size_t i = 0; i < base->count && rc == 0 && name[0]; i++) {
        cleanup_free char *other = NULL;
        rc = name_item(base->children[i], way, &other);
        if (rc < 0 || strcmp(name, other) != 0)
            continue;
        replace(base, i, item);
        return 0;
    }
    if (rc == 0)
        rc = tree_add(base, item, NULL);
    if (rc < 0)
        tree_free(item);
    return rc;
}

static int merge_lists(struct tree_node *base, struct tree_node *over, enum way way,
                       struct error *error)
{
    int rc = 0;
    if (over->count > TREE_KEYS_MAX || base->count > TREE_KEYS_MAX - over->count)
        return tree_fail(error, base, "more than %d items", TREE_KEYS_MAX);
    while (over->count > 0 && rc == 0)
        rc = merge_item(base, tree_take(over, 0), way);
    return rc;
}

int tree_merge(struct tree_node *base, struct tree_node *over, struct error *error)
{
    int rc = 0;
    while (over->count > 0 && rc == 0) {
        struct tree_node *entry = tree_take(over, 0);
        size_t at = tree_index(base, entry->key);
        if (at < base->count) {
            rc = merge_value(base, at, entry, error);
            continue;
        }
        rc = base->count < TREE_KEYS_MAX ? tree_add(base, entry, entry->key)
                                         : tree_fail(error, base, "too many keys in one map");
        if (rc < 0)
            tree_free(entry);
    }
    return rc;
}

/* Logs of another driver have other options. */
static bool is_other_driver(const struct tree_node *base, const struct tree_node *over)
{
    return base->key && strcmp(base->key, "logging") == 0 && *text_at(over, "driver") &&
           strcmp(text_at(base, "driver"), text_at(over, "driver")) != 0;
}

static int make_alike(struct tree_node *node, enum way way)
{
    if (way == BY_NAME || way == BY_HOST || way == BY_WORD)
        return make_map(node, way);
    return way == ADDED_TO ? make_list(node) : 0;
}

/* Consumes `over`. */
static int merge_value(struct tree_node *base, size_t index, struct tree_node *over,
                       struct error *error)
{
    struct tree_node *child = base->children[index];
    enum way way = way_of(child);
    int rc = 0;
    if (over->tag == TREE_RESET) {
        tree_free(tree_take(base, index));
        tree_free(over);
        return 0;
    }
    if (tree_is_null(over) && !tree_is_null(child) && child->type != TREE_SCALAR) {
        tree_free(over); /* nothing is said */
        return 0;
    }
    if (way != REPLACED && over->tag != TREE_OVERRIDE) {
        rc = make_alike(child, way);
        if (rc == 0)
            rc = make_alike(over, way);
    }
    bool is_whole = way == REPLACED || over->tag == TREE_OVERRIDE || child->type != over->type ||
                    child->type == TREE_SCALAR || is_other_driver(child, over);
    if (rc == 0 && is_whole) {
        replace(base, index, over);
        return 0;
    }
    if (rc == 0)
        rc = child->type == TREE_MAP ? tree_merge(child, over, error)
                                     : merge_lists(child, over, way, error);
    tree_free(over);
    return rc;
}

void tree_drop_reset(struct tree_node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        if (node->children[i]->tag == TREE_RESET)
            tree_free(tree_take(node, i--));
        else
            tree_drop_reset(node->children[i]); /* at most TREE_DEPTH_MAX deep */
    }
}
