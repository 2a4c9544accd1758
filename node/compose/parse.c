#include "node/compose/parse.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "consensus/intent_apply.h"
#include "runtime/bounds.h"

int parse_fail(struct parse *parse, const struct tree_node *node, const char *format, ...)
{
    char place[512], words[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    tree_place(node, place, sizeof(place));
    return error_set(parse->error, -EINVAL, "%s%s", place, words);
}

int parse_warn(struct parse *parse, const struct tree_node *node, const char *format, ...)
{
    char place[512], words[512], warning[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    tree_place(node, place, sizeof(place));
    snprintf(warning, sizeof(warning), "%s%s", place, words);
    return text_list_add(&parse->result->warnings, warning);
}

/* --- Keys --- */

/* How many letters differ, insert, delete or swap (Levenshtein), for short words. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], length = strlen(b);
    if (length >= 63 || strlen(a) >= 63)
        return 64;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[length];
}

static const char *nearest(const char *name, const struct parse_key *keys)
{
    const char *best = NULL;
    size_t best_distance = 4;
    for (; keys->name; keys++) {
        size_t d = distance(name, keys->name);
        if (d < best_distance) {
            best_distance = d;
            best = keys->name;
        }
    }
    return best;
}

/* A word or name that is empty, as of a variable that is not set, says what a missing key says. */
static bool is_unsaid(const struct tree_node *entry)
{
    static const char *const words[] = {
        "cgroup",    "cgroup_parent", "container_name", "domainname",
        "driver",    "host_ip",       "hostname",       "ipc",
        "isolation", "mac_address",   "network_mode",   "pid",
        "platform",  "protocol",      "pull_policy",    "restart",
        "runtime",   "stop_signal",   "user",           "userns_mode",
        "uts",       "version",       "working_dir"};
    for (size_t i = 0; i < array_count(words); i++)
        if (strcmp(words[i], entry->key) == 0)
            return entry->type == TREE_SCALAR && !entry->text[0];
    return false;
}

/* A service at the top level, as files had it before they had `services`. */
static bool is_stray_service(const struct tree_node *entry)
{
    return !entry->parent->parent && !entry->parent->key &&
           (tree_find(entry, "image") || tree_find(entry, "build"));
}

static int read_entry(struct parse *parse, const struct tree_node *entry,
                      const struct parse_key *keys, void *target)
{
    for (const struct parse_key *key = keys; key->name; key++) {
        if (strcmp(key->name, entry->key) != 0)
            continue;
        if (is_unsaid(entry))
            return 0;
        if (!key->read)
            return parse_reason(entry->key)
                       ? parse_warn(parse, entry, "ignored: %s", parse_reason(entry->key))
                       : parse_warn(parse, entry, "not supported by Consort: ignored");
        int rc = tree_is_null(entry) ? 0 : key->read(parse, entry, target);
        return rc == -E2BIG
                   ? parse_fail(parse, entry, "more than %d items", BASE_TEXT_LIST_ITEMS_MAX)
                   : rc;
    }
    if (strncmp(entry->key, "x-", 2) == 0)
        return 0;
    if (is_stray_service(entry)) {
        parse_fail(parse, entry, "a service belongs under services");
        error_hint(parse->error, "write it as in: services: {%.64s: {image: …}}", entry->key);
        return -EINVAL;
    }
    const char *near = nearest(entry->key, keys);
    return near ? parse_fail(parse, entry, "unknown key; did you mean %s?", near)
                : parse_fail(parse, entry, "unknown key");
}

int parse_map(struct parse *parse, const struct tree_node *map, const struct parse_key *keys,
              void *target)
{
    if (map->type != TREE_MAP)
        return parse_fail(parse, map, "a map of keys and values is expected");
    int rc = 0;
    for (size_t i = 0; i < map->count && rc == 0; i++)
        rc = read_entry(parse, map->children[i], keys, target);
    return rc;
}

int parse_external(struct parse *parse, const struct tree_node *item, bool *ret_is_external,
                   const struct tree_node **ret_name)
{
    const struct tree_node *external = tree_find(item, "external");
    *ret_name = tree_find(item, "name");
    *ret_is_external = external && external->type == TREE_MAP;
    if (*ret_is_external && tree_is_null(*ret_name))
        *ret_name = tree_find(external, "name");
    return !external || tree_is_null(external) || *ret_is_external
               ? 0
               : parse_flag(parse, external, ret_is_external);
}

int parse_pass_over(struct parse *parse, const struct tree_node *node, void *target)
{
    (void)parse;
    (void)node;
    (void)target;
    return 0;
}

/* --- Values --- */

static int need_scalar(struct parse *parse, const struct tree_node *node, const char *what)
{
    if (node->type != TREE_SCALAR)
        return parse_fail(parse, node, "%s is expected", what);
    if (strlen(node->text) > SPEC_TEXT_BYTES_MAX)
        return parse_fail(parse, node, "longer than %d KiB", SPEC_TEXT_BYTES_MAX / 1024);
    return 0;
}

int parse_text(struct parse *parse, const struct tree_node *node, char **ret)
{
    int rc = need_scalar(parse, node, "text");
    if (rc < 0)
        return rc;
    char *copy = strdup(node->text);
    if (!copy)
        return -ENOMEM;
    free(*ret);
    *ret = copy;
    return 0;
}

/* Whatever YAML 1.1 called so, as Compose still takes it. */
int parse_flag(struct parse *parse, const struct tree_node *node, bool *ret)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off",
                                        "y",    "n",     "t",   "f",  "1",  "0"};
    int rc = need_scalar(parse, node, "true or false");
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < array_count(words); i++)
        if (strcasecmp(words[i], node->text) == 0) {
            *ret = i % 2 == 0;
            return 0;
        }
    return parse_fail(parse, node, "%s is neither true nor false", node->text);
}

int parse_number(struct parse *parse, const struct tree_node *node, uint64_t max, uint64_t *ret)
{
    char *end;
    int rc = need_scalar(parse, node, "a number");
    if (rc < 0)
        return rc;
    errno = 0;
    unsigned long long value = strtoull(node->text, &end, 10);
    if (!isdigit((unsigned char)node->text[0]) || *end || errno == ERANGE || value > max)
        return parse_fail(parse, node, "%s is no whole number up to %llu", node->text,
                          (unsigned long long)max);
    *ret = value;
    return 0;
}

int parse_u32(struct parse *parse, const struct tree_node *node, uint32_t *ret)
{
    uint64_t value = 0;
    int rc = parse_number(parse, node, UINT32_MAX, &value);
    if (rc == 0)
        *ret = (uint32_t)value;
    return rc;
}

int parse_pids(struct parse *parse, const struct tree_node *node, uint32_t *ret)
{
    if (node->type != TREE_SCALAR || strcmp(node->text, "-1") != 0)
        return parse_u32(parse, node, ret);
    *ret = 0;
    return 0;
}

int parse_integer(struct parse *parse, const struct tree_node *node, int32_t min, int32_t max,
                  int32_t *ret)
{
    char *end;
    errno = 0;
    long value = node->type == TREE_SCALAR ? strtol(node->text, &end, 10) : 0;
    if (node->type != TREE_SCALAR || !node->text[0] || *end || errno == ERANGE || value < min ||
        value > max)
        return parse_fail(parse, node, "a number from %d to %d is expected", min, max);
    *ret = (int32_t)value;
    return 0;
}

int parse_octal(struct parse *parse, const struct tree_node *node, uint32_t max, uint32_t *ret)
{
    char *end;
    int rc = need_scalar(parse, node, "a mode, as 0440,");
    if (rc < 0)
        return rc;
    const char *digits = node->text + (strncmp(node->text, "0o", 2) == 0 ? 2 : 0);
    /* A number that begins with no 0 is decimal to YAML; in quotes it is a mode's text. */
    bool is_decimal = node->is_plain && digits[0] != '0' && digits == node->text;
    errno = 0;
    unsigned long long value = strtoull(digits, &end, is_decimal ? 10 : 8);
    if (*end || !isdigit((unsigned char)digits[0]) || errno || value > max)
        return parse_fail(parse, node, "%s is no mode; write as in 0440", node->text);
    *ret = (uint32_t)value;
    return is_decimal ? parse_warn(parse, node,
                                   "%s is decimal, so the mode is 0%llo; write it as that, or the "
                                   "mode that you mean with a 0 before it",
                                   node->text, value)
                      : 0;
}

static double unit_ms(const char *unit, size_t size)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3},  {"µs", 1e-3},       {"ms", 1},          {"s", 1e3},
                 {"m", 6e4},   {"h", 3600e3}, {"d", 24 * 3600e3}, {"w", 168 * 3600e3}};
    for (size_t i = 0; i < array_count(units); i++)
        if (strlen(units[i].name) == size && strncmp(units[i].name, unit, size) == 0)
            return units[i].ms;
    return 0;
}

int parse_duration(struct parse *parse, const struct tree_node *node, uint32_t *ret_ms)
{
    double sum = 0;
    int rc = need_scalar(parse, node, "a duration, as 1m30s,");
    if (rc < 0)
        return rc;
    for (const char *at = strcmp(node->text, "0") == 0 ? "0s" : node->text; *at;) {
        char *end;
        double value = isdigit((unsigned char)*at) ? strtod(at, &end) : -1;
        size_t size = value < 0 ? 0 : strcspn(end, "0123456789");
        double unit = size > 0 ? unit_ms(end, size) : 0;
        if (unit == 0)
            return parse_fail(parse, node, "%s is no duration; write as in 10s or 1m30s",
                              node->text);
        sum += value * unit;
        at = end + size;
    }
    if (sum > RUNTIME_DURATION_MS_MAX || node->text[0] == '\0')
        return parse_fail(parse, node, "%s is no duration up to 24 days", node->text);
    *ret_ms = (uint32_t)sum;
    return 0;
}

/* A number from its first digit or point on, and what follows it; -1 and all of it if it begins
 * with none.
 */
static double take_number(const char *text, const char **ret_rest)
{
    char *rest = NULL;
    const char *digit = text[0] == '.' ? text + 1 : text; /* ".5" */
    double value = isdigit((unsigned char)digit[0]) ? strtod(text, &rest) : -1;
    *ret_rest = rest ? rest : text;
    return value;
}

int parse_size(struct parse *parse, const struct tree_node *node, uint64_t *ret_bytes)
{
    static const char units[] = "bkmgtp";
    const char *end;
    int rc = need_scalar(parse, node, "a size, as 512M,");
    if (rc < 0)
        return rc;
    double value = take_number(node->text, &end);
    end += value >= 0 && end[0] == ' ' && end[1]; /* "512 MB" */
    const char *unit = value < 0 || !*end ? NULL : strchr(units, tolower((unsigned char)*end));
    bool ends_well =
        value >= 0 &&
        (!*end || (unit && (!end[1] || strcasecmp(end + 1, "b") == 0 ||
                            strcasecmp(end + 1, "i") == 0 || strcasecmp(end + 1, "ib") == 0)));
    if (!ends_well)
        return parse_fail(parse, node, "%s is no size; write as in 512M or 1.5G", node->text);
    for (long i = unit ? unit - units : 0; i > 0; i--)
        value *= 1024;
    if (value > 1e18)
        return parse_fail(parse, node, "%s is too large", node->text);
    *ret_bytes = (uint64_t)value;
    return 0;
}

int parse_cpus(struct parse *parse, const struct tree_node *node, uint32_t *ret_millis)
{
    const char *end;
    int rc = need_scalar(parse, node, "a number of CPUs, as 0.5,");
    if (rc < 0)
        return rc;
    double value = take_number(node->text, &end);
    if (value < 0 || *end || value > 4096)
        return parse_fail(parse, node, "%s is no number of CPUs; write as in 0.5 or 2", node->text);
    *ret_millis = (uint32_t)(value * 1000 + 0.5);
    return 0;
}

int parse_path(struct parse *parse, const struct tree_node *node, const char *text, char **ret)
{
    const char *home = text[0] == '~' && (text[1] == '/' || !text[1]) ? getenv("HOME") : NULL;
    const char *folder = home ? home : node->source->folder;
    char *path = NULL;
    if (text[0] == '/' ? asprintf(&path, "%s", text) < 0
                       : asprintf(&path, "%s/%s", folder, text + (home ? 1 : 0)) < 0)
        return -ENOMEM;
    if (strlen(path) >= PATH_MAX) {
        free(path);
        return parse_fail(parse, node, "the path is too long");
    }
    *ret = path;
    return 0;
}

int parse_word(struct parse *parse, const struct tree_node *node, const char *const *words,
               uint8_t *ret)
{
    char known[256] = "";
    int rc = need_scalar(parse, node, "a word");
    if (rc < 0)
        return rc;
    for (uint8_t i = 0; words[i]; i++) {
        if (strcmp(node->text, words[i]) == 0) {
            *ret = i;
            return 0;
        }
        size_t length = strlen(known);
        snprintf(known + length, sizeof(known) - length, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return parse_fail(parse, node, "%s is not one of %s", node->text, known);
}

int parse_list(struct parse *parse, const struct tree_node *node, struct text_list *ret)
{
    int rc = node->type == TREE_SCALAR ? need_scalar(parse, node, "text") : 0;
    if (node->type == TREE_SCALAR)
        return rc < 0 ? rc : text_list_add(ret, node->text);
    if (node->type != TREE_LIST)
        return parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        rc = need_scalar(parse, node->children[i], "text");
        if (rc == 0)
            rc = text_list_add(ret, node->children[i]->text);
    }
    return rc;
}

static int add_pair(struct parse *parse, const struct tree_node *node, const char *key,
                    const char *value, struct text_list *ret)
{
    cleanup_free char *pair = NULL;
    if (!key[0] || strchr(key, '='))
        return parse_fail(parse, node, "\"%s\" is no name", key);
    int length = asprintf(&pair, "%s=%s", key, value);
    if (length < 0)
        return -ENOMEM;
    if (length > SPEC_TEXT_BYTES_MAX)
        return parse_fail(parse, node, "longer than %d KiB", SPEC_TEXT_BYTES_MAX / 1024);
    return text_list_add(ret, pair);
}

static int add_listed_pair(struct parse *parse, const struct tree_node *item, struct text_list *ret)
{
    int rc = need_scalar(parse, item, "KEY=VALUE");
    if (rc < 0)
        return rc;
    if (item->text[0] == '=')
        return parse_fail(parse, item, "%s has no name before the =", item->text);
    if (strchr(item->text, '='))
        return text_list_add(ret, item->text);
    const char *value = variables_find(parse->variables, item->text);
    return value ? add_pair(parse, item, item->text, value, ret) : 0;
}

int parse_pairs(struct parse *parse, const struct tree_node *node, struct text_list *ret)
{
    int rc = 0;
    if (node->type == TREE_SCALAR)
        return parse_fail(parse, node, "a list of KEY=VALUE or a map is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct tree_node *item = node->children[i];
        if (node->type == TREE_LIST) {
            rc = add_listed_pair(parse, item, ret);
            continue;
        }
        rc = need_scalar(parse, item, "text");
        const char *value = rc < 0               ? NULL
                            : tree_is_null(item) ? variables_find(parse->variables, item->key)
                                                 : item->text;
        if (value)
            rc = add_pair(parse, item, item->key, value, ret);
    }
    return rc;
}

/* Splits as a shell would, without expanding anything. */
static int split(struct parse *parse, const struct tree_node *node, struct text_list *ret)
{
    cleanup_buffer struct buffer word = {0};
    bool in_word = false;
    char quote = '\0';
    int rc = 0;
    for (const char *at = node->text;; at++) {
        if (!quote && (isspace((unsigned char)*at) || !*at)) {
            cleanup_free char *text = in_word ? buffer_take_text(&word) : NULL;
            if (in_word)
                rc = text ? text_list_add(ret, text) : -ENOMEM;
            in_word = false;
            if (!*at || rc < 0)
                return rc;
            continue;
        }
        if (!*at)
            return parse_fail(parse, node, "a quote is not closed");
        in_word = true;
        if (*at == quote)
            quote = '\0';
        else if (!quote && (*at == '"' || *at == '\''))
            quote = *at;
        else if (buffer_append(&word, *at == '\\' && quote != '\'' && at[1] ? ++at : at, 1) < 0)
            return -ENOMEM;
    }
}

int parse_command(struct parse *parse, const struct tree_node *node, struct text_list *ret)
{
    text_list_done(ret);
    return node->type == TREE_SCALAR ? split(parse, node, ret) : parse_list(parse, node, ret);
}

bool parse_service_name_is_valid(const char *name)
{
    return intent_name_is_valid(name) && strlen(name) <= BASE_NAME_BYTES_MAX;
}

void *parse_grow(void *items, size_t count, size_t size)
{
    void *grown = realloc(items, (count + 1) * size);
    if (grown)
        memset((char *)grown + count * size, 0, size);
    return grown;
}
