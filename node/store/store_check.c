/* Whether LMDB's file holds together: LMDB itself believes every byte of a page, and rubbish in one
 * would crash it, hide records, or have it write over pages in use.
 *
 * Walks all that can be reached from the newer meta page, before LMDB opens the file: each page
 * says its own number and kind, each node lies in its page and is in order, no page is used twice,
 * each table has as many records and levels as it says, and no page that counts as free is in use.
 * What the records hold is theirs to check (record.h). The layout is that of LMDB 0.9 (its mdb.c),
 * in this machine's byte order.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/store/store_private.h"

enum {
    META_PAGES = 2,
    META_MAGIC = (int)0xBEEFC0DE,
    META_VERSION = 1,
    META_TABLES_AT = 24, /* behind magic, version, address and map size */
    META_LAST_PAGE_AT = 120,
    META_TRANSACTION_AT = 128,
    META_BYTES = 136,
    TABLE_BYTES = 48,
    TABLE_DEPTH_AT = 6,
    TABLE_ENTRIES_AT = 32,
    TABLE_ROOT_AT = 40,
    PAGE_KIND_AT = 10,
    PAGE_LOWER_AT = 12,
    PAGE_UPPER_AT = 14,
    PAGE_HEAD_BYTES = 16,
    NODE_HEAD_BYTES = 8,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 32768,
    KEY_BYTES_MAX = 511,
    LEVELS_MAX = 16,
    OWN_TABLES_MAX = 2,
};

enum page_kind { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4 };
enum node_kind { NODE_PLAIN = 0, NODE_OVERFLOWS = 1, NODE_IS_TABLE = 2 };
enum table_kind { TABLE_FREE, TABLE_MAIN, TABLE_OWN };

struct node {
    unsigned kind;
    struct bytes key;
    size_t size;         /* of the data */
    const uint8_t *data; /* NULL: on pages of its own, from `page` on; so for a branch its child */
    uint64_t page;
};

struct level {
    uint8_t *page;
    unsigned count, next;
};

struct check {
    int fd;
    int code; /* what a failure means */
    size_t page_bytes;
    uint64_t last_page;
    uint8_t *used, *free; /* a bit a page */
    struct level levels[LEVELS_MAX];
    uint8_t last_key[KEY_BYTES_MAX]; /* all that follow are above it, or the first may be it */
    size_t last_key_size;
    bool has_last_key, may_repeat;
    uint8_t own_tables[OWN_TABLES_MAX][TABLE_BYTES];
    size_t own_table_count;
};

static uint64_t number_at(const uint8_t *at, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        number |= (uint64_t)at[i] << 8 * i;
#else
        number = number << 8 | at[i];
#endif
    return number;
}

static bool mark(uint8_t *bits, uint64_t page)
{
    bool was_marked = bits[page / 8] >> page % 8 & 1;
    bits[page / 8] |= (uint8_t)(1 << page % 8);
    return !was_marked;
}

static bool use_pages(struct check *check, uint64_t first, uint64_t count)
{
    if (first < META_PAGES || first > check->last_page || count > check->last_page - first + 1)
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (!mark(check->used, first + i))
            return false;
    return true;
}

static bool read_at(struct check *check, uint64_t offset, uint8_t *ret, size_t size)
{
    ssize_t got = pread(check->fd, ret, size, (off_t)offset);
    if (got < 0)
        check->code = errno;
    return got == (ssize_t)size;
}

static uint8_t *allocate(struct check *check, size_t size)
{
    uint8_t *memory = calloc(size, 1);
    if (!memory)
        check->code = ENOMEM;
    return memory;
}

static bool read_page(struct check *check, uint64_t number, unsigned kind, uint8_t *ret)
{
    return read_at(check, number * check->page_bytes, ret, check->page_bytes) &&
           number_at(ret, 8) == number && number_at(ret + PAGE_KIND_AT, 2) == kind;
}

/* Reads the node `index` of a page whose head is sound. */
static bool read_node(const struct check *check, const uint8_t *page, bool is_leaf, unsigned index,
                      struct node *ret)
{
    size_t offset = number_at(page + PAGE_HEAD_BYTES + 2 * index, 2);
    if (offset < number_at(page + PAGE_UPPER_AT, 2) || offset > check->page_bytes - NODE_HEAD_BYTES)
        return false;
    const uint8_t *at = page + offset;
    size_t room = check->page_bytes - offset - NODE_HEAD_BYTES, key_size = number_at(at + 6, 2);
    uint64_t low = number_at(at, 2) | number_at(at + 2, 2) << 16;
    if (key_size > KEY_BYTES_MAX || key_size > room)
        return false;
    *ret = (struct node){.key = {at + NODE_HEAD_BYTES, key_size}};
    const uint8_t *data = at + NODE_HEAD_BYTES + key_size;
    if (!is_leaf) {
        ret->page = low | number_at(at + 4, 2) << 32;
        return true;
    }
    ret->kind = (unsigned)number_at(at + 4, 2);
    ret->size = (size_t)low;
    room -= key_size;
    if (ret->kind == NODE_OVERFLOWS) {
        if (room < 8)
            return false;
        ret->page = number_at(data, 8);
        return true;
    }
    ret->data = data;
    return (ret->kind == NODE_PLAIN || ret->kind == NODE_IS_TABLE) && ret->size <= room;
}

/* ---- order ----------------------------------------------------------------------------------- */

static int compare_keys(enum table_kind kind, struct bytes a, struct bytes b)
{
    if (kind == TABLE_FREE && a.size == 8 && b.size == 8) {
        uint64_t x = number_at(a.data, 8), y = number_at(b.data, 8);
        return x < y ? -1 : x > y;
    }
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

/* Whether the key comes where it belongs: in a leaf, or as the least key of a child to come. */
static bool key_is_next(struct check *check, enum table_kind kind, struct bytes key, bool is_leaf)
{
    if (check->has_last_key) {
        struct bytes last = {check->last_key, check->last_key_size};
        int order = compare_keys(kind, key, last);
        if (order < 0 || (order == 0 && !check->may_repeat))
            return false;
    }
    memcpy(check->last_key, key.data, key.size);
    check->last_key_size = key.size;
    check->has_last_key = true;
    check->may_repeat = !is_leaf;
    return true;
}

/* ---- what leaves hold ------------------------------------------------------------------------ */

static bool use_overflow(struct check *check, const struct node *node)
{
    uint8_t head[PAGE_HEAD_BYTES];
    uint64_t count = (PAGE_HEAD_BYTES + (uint64_t)node->size - 1) / check->page_bytes + 1;
    return use_pages(check, node->page, count) &&
           read_at(check, node->page * check->page_bytes, head, sizeof(head)) &&
           number_at(head, 8) == node->page && number_at(head + PAGE_KIND_AT, 2) == PAGE_OVERFLOW &&
           number_at(head + PAGE_LOWER_AT, 4) == count;
}

/* A list of free pages: how many, and then their numbers, descending. */
static bool take_free_list(struct check *check, const uint8_t *list, size_t size)
{
    uint64_t count = size >= 8 ? number_at(list, 8) : UINT64_MAX, before = UINT64_MAX;
    if (size < 8 || count > size / 8 - 1)
        return false;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t page = number_at(list + 8 * i, 8);
        if (page < META_PAGES || page > check->last_page || page >= before ||
            !mark(check->free, page))
            return false;
        before = page;
    }
    return true;
}

static bool take_free(struct check *check, const struct node *node)
{
    if (node->kind == NODE_PLAIN)
        return take_free_list(check, node->data, node->size);
    uint8_t *list = allocate(check, node->size + 1);
    uint64_t at = node->page * check->page_bytes + PAGE_HEAD_BYTES;
    bool is_sound =
        list && read_at(check, at, list, node->size) && take_free_list(check, list, node->size);
    free(list);
    return is_sound;
}

static bool take_leaf_node(struct check *check, enum table_kind kind, const struct node *node)
{
    if ((node->kind == NODE_IS_TABLE) != (kind == TABLE_MAIN) ||
        (node->kind == NODE_OVERFLOWS && !use_overflow(check, node)))
        return false;
    if (kind == TABLE_FREE)
        return node->key.size == 8 && take_free(check, node);
    if (kind == TABLE_OWN)
        return true;
    if (node->size != TABLE_BYTES || check->own_table_count == OWN_TABLES_MAX)
        return false;
    memcpy(check->own_tables[check->own_table_count++], node->data, TABLE_BYTES);
    return true;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static bool enter(struct check *check, unsigned depth, uint64_t number, bool is_leaf)
{
    struct level *level = &check->levels[depth];
    if (!level->page && !(level->page = allocate(check, check->page_bytes)))
        return false;
    if (!use_pages(check, number, 1) ||
        !read_page(check, number, is_leaf ? PAGE_LEAF : PAGE_BRANCH, level->page))
        return false;
    size_t lower = number_at(level->page + PAGE_LOWER_AT, 2);
    size_t upper = number_at(level->page + PAGE_UPPER_AT, 2);
    level->next = 0;
    level->count = (unsigned)(lower - PAGE_HEAD_BYTES) / 2;
    return lower >= PAGE_HEAD_BYTES + 2 && lower % 2 == 0 && lower <= upper &&
           upper <= check->page_bytes;
}

static bool walk(struct check *check, enum table_kind kind, const uint8_t *table)
{
    uint64_t root = number_at(table + TABLE_ROOT_AT, 8), count = 0;
    uint64_t entries = number_at(table + TABLE_ENTRIES_AT, 8);
    unsigned depth = (unsigned)number_at(table + TABLE_DEPTH_AT, 2), level = 0;
    check->has_last_key = false;
    if (root == UINT64_MAX)
        return entries == 0;
    if (depth == 0 || depth > LEVELS_MAX || !enter(check, 0, root, depth == 1))
        return false;
    for (;;) {
        struct level *at = &check->levels[level];
        bool is_leaf = level == depth - 1;
        struct node node;
        if (at->next == at->count) {
            if (level == 0)
                return count == entries;
            level--;
            continue;
        }
        bool is_first = at->next == 0;
        if (!read_node(check, at->page, is_leaf, at->next++, &node) ||
            ((is_leaf || !is_first) && !key_is_next(check, kind, node.key, is_leaf)))
            return false;
        if (is_leaf) {
            if (!take_leaf_node(check, kind, &node))
                return false;
            count++;
        } else {
            level++;
            if (!enter(check, level, node.page, level == depth - 1))
                return false;
        }
    }
}

static bool walk_all(struct check *check, const uint8_t *meta)
{
    size_t bytes = (size_t)(check->last_page / 8 + 1);
    check->used = allocate(check, bytes);
    check->free = allocate(check, bytes);
    if (!check->used || !check->free ||
        !walk(check, TABLE_MAIN, meta + META_TABLES_AT + TABLE_BYTES))
        return false;
    for (size_t i = 0; i < check->own_table_count; i++)
        if (!walk(check, TABLE_OWN, check->own_tables[i]))
            return false;
    if (!walk(check, TABLE_FREE, meta + META_TABLES_AT))
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (check->used[i] & check->free[i])
            return false;
    return true;
}

/* Reads the meta page that LMDB will take; false if LMDB itself will refuse them. */
static bool read_meta(struct check *check, uint8_t ret[META_BYTES])
{
    uint8_t metas[META_PAGES][META_BYTES];
    uint64_t at = PAGE_HEAD_BYTES;
    for (int i = 0; i < META_PAGES; i++) {
        if (!read_at(check, at, metas[i], META_BYTES) ||
            number_at(metas[i], 4) != (uint32_t)META_MAGIC ||
            number_at(metas[i] + 4, 4) != META_VERSION)
            return false;
        check->page_bytes = number_at(metas[0] + META_TABLES_AT, 4);
        at = check->page_bytes + PAGE_HEAD_BYTES;
    }
    bool second_is_newer =
        number_at(metas[1] + META_TRANSACTION_AT, 8) > number_at(metas[0] + META_TRANSACTION_AT, 8);
    memcpy(ret, metas[second_is_newer], META_BYTES);
    return true;
}

static void check_done(struct check *check)
{
    for (size_t i = 0; i < LEVELS_MAX; i++)
        free(check->levels[i].page);
    free(check->used);
    free(check->free);
    close(check->fd);
}

int store_check(const struct store *store)
{
    struct check check = {.fd = open(store->path, O_RDONLY | O_CLOEXEC), .code = MDB_CORRUPTED};
    uint8_t meta[META_BYTES];
    if (check.fd < 0)
        return errno;
    int code = 0;
    if (read_meta(&check, meta)) {
        size_t page_bytes = check.page_bytes;
        check.last_page = number_at(meta + META_LAST_PAGE_AT, 8);
        if (page_bytes < PAGE_BYTES_MIN || page_bytes > PAGE_BYTES_MAX ||
            (page_bytes & (page_bytes - 1)) != 0 || check.last_page < META_PAGES - 1 ||
            check.last_page >= store->map_bytes / page_bytes || !walk_all(&check, meta))
            code = check.code;
    }
    check_done(&check);
    return code;
}
