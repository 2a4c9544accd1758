#include "runtime/sandbox_options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/bounds.h"
#include "runtime/cgroup.h"
#include "runtime/sandbox.h"

enum {
    WEIGHT_MIN = 10,
    WEIGHT_MAX = 1000,
    SWAPPINESS_MAX = 100,
    DOMAIN_NAME_BYTES_MAX = 64, /* the kernel's own bound */
};

/* Lists of linux.resources.blockIO, and what an entry is called there. */
static const struct throttle {
    const char *option, *list, *value;
} throttles[] = {
    {"blkio_weight_device", "weightDevice", "weight"},
    {"blkio_read_bps", "throttleReadBpsDevice", "rate"},
    {"blkio_read_iops", "throttleReadIOPSDevice", "rate"},
    {"blkio_write_bps", "throttleWriteBpsDevice", "rate"},
    {"blkio_write_iops", "throttleWriteIOPSDevice", "rate"},
};

static const char *const namespaces[] = {"pid", "ipc", "uts", "cgroup"};

/* Whoever may give an annotation of these gives the OCI runtime orders: another seccomp filter,
 * hooks that run on the machine, properties of systemd's units. */
static const char *const reserved_annotations[] = {"run.oci.", "org.systemd.property."};

/* --- Reading --- */

/* The value behind "NAME=", or NULL if the text is of another name. */
static const char *value_of(const char *text, const char *name)
{
    size_t size = strlen(name);
    return strncmp(text, name, size) == 0 && text[size] == '=' ? text + size + 1 : NULL;
}

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || number < min || number > max)
        return false;
    *ret = number;
    return true;
}

static const struct throttle *find_throttle(const char *text, const char **ret_value)
{
    for (size_t i = 0; i < array_count(throttles); i++) {
        const char *value = value_of(text, throttles[i].option);
        if (value) {
            *ret_value = value;
            return &throttles[i];
        }
    }
    return NULL;
}

/* "/dev/sda=NUMBER"; writes the path. */
static bool parse_throttle(const struct throttle *throttle, const char *value, char path[PATH_MAX],
                           uint64_t *ret)
{
    bool is_weight = strcmp(throttle->value, "weight") == 0;
    size_t size = strcspn(value, "=");
    if (strncmp(value, "/dev/", 5) != 0 || value[size] != '=' || size >= PATH_MAX ||
        memmem(value, size, "/../", 4))
        return false;
    memcpy(path, value, size);
    path[size] = '\0';
    return parse_number(value + size + 1, is_weight ? WEIGHT_MIN : 1,
                        is_weight ? WEIGHT_MAX : INT64_MAX, ret);
}

struct device_rule {
    char type;
    int64_t major, minor; /* -1: any */
    char access[4];
};

static bool parse_part(const char *text, size_t size, int64_t *ret)
{
    char digits[16];
    uint64_t number;
    if (size == 1 && text[0] == '*') {
        *ret = -1;
        return true;
    }
    if (size >= sizeof(digits))
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    if (!parse_number(digits, 0, UINT32_MAX, &number))
        return false;
    *ret = (int64_t)number;
    return true;
}

/* "c 1:3 rwm", "b 8:* r", "a *:* rwm". */
static bool parse_rule(const char *text, struct device_rule *ret)
{
    if (!text[0] || !strchr("abc", text[0]) || text[1] != ' ')
        return false;
    const char *numbers = text + 2;
    size_t size = strcspn(numbers, " "), major_size = strcspn(numbers, ":");
    const char *access = numbers + size + 1;
    if (major_size >= size || numbers[size] != ' ' || !*access || strlen(access) > 3 ||
        strspn(access, "rwm") != strlen(access))
        return false;
    ret->type = text[0];
    snprintf(ret->access, sizeof(ret->access), "%s", access);
    return parse_part(numbers, major_size, &ret->major) &&
           parse_part(numbers + major_size + 1, size - major_size - 1, &ret->minor);
}

static bool domain_is_valid(const char *name)
{
    size_t size = strlen(name);
    for (const char *at = name; *at; at++)
        if (!isgraph((unsigned char)*at))
            return false;
    return size > 0 && size <= DOMAIN_NAME_BYTES_MAX;
}

bool sandbox_annotation_is_reserved(const char *key)
{
    for (size_t i = 0; i < array_count(reserved_annotations); i++)
        if (strncmp(key, reserved_annotations[i], strlen(reserved_annotations[i])) == 0)
            return true;
    return false;
}

static bool annotation_is_valid(const char *pair)
{
    return pair[0] && pair[0] != '=' && strchr(pair, '=') && !sandbox_annotation_is_reserved(pair);
}

bool sandbox_option_is_valid(const char *text)
{
    char path[PATH_MAX];
    uint64_t number;
    struct device_rule rule;
    const char *value;
    const struct throttle *throttle = find_throttle(text, &value);
    if (throttle)
        return parse_throttle(throttle, value, path, &number);
    if ((value = value_of(text, "device")))
        return parse_rule(value, &rule);
    if ((value = value_of(text, "swappiness")))
        return parse_number(value, 0, SWAPPINESS_MAX, &number);
    if ((value = value_of(text, "blkio_weight")))
        return parse_number(value, WEIGHT_MIN, WEIGHT_MAX, &number);
    if ((value = value_of(text, "domainname")))
        return domain_is_valid(value);
    if ((value = value_of(text, "annotation")))
        return annotation_is_valid(value);
    if ((value = value_of(text, "apparmor")))
        return sandbox_word_is_valid(value);
    if ((value = value_of(text, "userns")))
        return strcmp(value, "auto") == 0;
    for (size_t i = 0; i < array_count(namespaces); i++)
        if ((value = value_of(text, namespaces[i])))
            return strcmp(value, "host") == 0;
    return false;
}

const char *sandbox_options_find(const struct text_list *options, const char *name)
{
    for (size_t i = 0; i < options->count; i++) {
        const char *value = value_of(options->items[i], name);
        if (value)
            return value;
    }
    return NULL;
}

bool sandbox_options_share(const struct text_list *options, const char *namespace)
{
    return sandbox_options_find(options, namespace);
}

static bool shares_any(const struct text_list *options)
{
    for (size_t i = 0; i < array_count(namespaces); i++)
        if (sandbox_options_share(options, namespaces[i]))
            return true;
    return false;
}

bool sandbox_options_reach_machine(const struct text_list *options)
{
    return shares_any(options) || sandbox_options_find(options, "device");
}

bool sandbox_options_want_userns(const struct text_list *options)
{
    return sandbox_options_find(options, "userns");
}

const char *sandbox_options_bar_userns(const struct text_list *options, bool is_privileged,
                                       bool has_host_network)
{
    static const char *const words[] = {"pid: host", "ipc: host", "uts: host", "cgroup: host"};
    static_assert(array_count(words) == array_count(namespaces), "one for each");
    if (!sandbox_options_want_userns(options))
        return NULL;
    if (is_privileged)
        return "privileged";
    if (has_host_network)
        return "network_mode: host";
    for (size_t i = 0; i < array_count(namespaces); i++)
        if (sandbox_options_share(options, namespaces[i]))
            return words[i];
    return NULL;
}

/* --- Applying --- */

/* The object of that name within `parent`, made if it is not there. Borrowed; NULL: no memory. */
static json_t *object_in(json_t *parent, const char *name)
{
    json_t *object = json_object_get(parent, name);
    if (!object && json_object_set_new(parent, name, json_object()) == 0)
        object = json_object_get(parent, name);
    return object;
}

static int add_throttle(json_t *block_io, const struct throttle *throttle, const char *value,
                        struct error *error)
{
    char path[PATH_MAX];
    uint64_t number = 0;
    struct stat status;
    if (!parse_throttle(throttle, value, path, &number))
        return 0; /* sandbox_check() saw to it */
    if (stat(path, &status) < 0 || !S_ISBLK(status.st_mode))
        return error_set(error, -ENODEV, "%s is no block device of this machine", path);
    json_t *list = json_object_get(block_io, throttle->list);
    if (!list) {
        json_object_set_new(block_io, throttle->list, json_array());
        list = json_object_get(block_io, throttle->list);
    }
    json_t *entry =
        json_pack("{s:I, s:I, s:I}", "major", (json_int_t)major(status.st_rdev), "minor",
                  (json_int_t)minor(status.st_rdev), throttle->value, (json_int_t)number);
    return json_array_append_new(list, entry) < 0 ? -ENOMEM : 0;
}

/* Whether the kernel shares block I/O by weight: an option of its, which many go without. */
static bool has_weight(void)
{
    static const char *const files[] = {
        "/sys/fs/cgroup/blkio/blkio.weight", "/sys/fs/cgroup/init.scope/io.weight",
        "/sys/fs/cgroup/init.scope/io.bfq.weight", "/sys/fs/cgroup/system.slice/io.weight",
        "/sys/fs/cgroup/system.slice/io.bfq.weight"};
    for (size_t i = 0; i < array_count(files); i++)
        if (access(files[i], F_OK) == 0)
            return true;
    return false;
}

static int add_rule(json_t *devices, const char *text)
{
    struct device_rule rule;
    char type[2] = "";
    if (!parse_rule(text, &rule))
        return 0;
    type[0] = rule.type;
    json_t *entry = json_pack("{s:b, s:s, s:s}", "allow", 1, "type", type, "access", rule.access);
    if (rule.major >= 0)
        json_object_set_new(entry, "major", json_integer(rule.major));
    if (rule.minor >= 0)
        json_object_set_new(entry, "minor", json_integer(rule.minor));
    return json_array_append_new(devices, entry) < 0 ? -ENOMEM : 0;
}

static int add_annotation(json_t *document, const char *text)
{
    const char *equals = strchr(text, '=');
    cleanup_free char *key = equals ? strndup(text, (size_t)(equals - text)) : NULL;
    json_t *annotations = object_in(document, "annotations");
    return !key || !annotations ||
                   json_object_set_new(annotations, key, json_string(equals + 1)) < 0
               ? -ENOMEM
               : 0;
}

/* Takes the namespace out of the list of those that are made. */
static void share(json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *type = json_string_value(json_object_get(json_array_get(list, i), "type"));
        if (type && strcmp(type, name) == 0)
            json_array_remove(list, i--);
    }
}

static int apply_one(const char *text, json_t *document, struct error *error)
{
    json_t *system = json_object_get(document, "linux");
    json_t *resources = json_object_get(system, "resources");
    const char *value;
    uint64_t number = 0;
    const struct throttle *throttle = find_throttle(text, &value);
    if (strncmp(text, "blkio_weight", strlen("blkio_weight")) == 0 && !has_weight())
        return 0; /* as with Docker, a weight is no reason not to run */
    if (throttle)
        return add_throttle(object_in(resources, "blockIO"), throttle, value, error);
    if ((value = value_of(text, "blkio_weight"))) {
        parse_number(value, WEIGHT_MIN, WEIGHT_MAX, &number);
        return json_object_set_new(object_in(resources, "blockIO"), "weight",
                                   json_integer((json_int_t)number));
    }
    if ((value = value_of(text, "swappiness"))) {
        parse_number(value, 0, SWAPPINESS_MAX, &number);
        return cgroup_is_unified()
                   ? 0
                   : json_object_set_new(object_in(resources, "memory"), "swappiness",
                                         json_integer((json_int_t)number));
    }
    if ((value = value_of(text, "device")))
        return add_rule(json_object_get(resources, "devices"), value);
    if ((value = value_of(text, "annotation")))
        return add_annotation(document, value);
    if ((value = value_of(text, "domainname")))
        return json_object_set_new(document, "domainname", json_string(value));
    for (size_t i = 0; i < array_count(namespaces); i++)
        if (value_of(text, namespaces[i]))
            share(json_object_get(system, "namespaces"), namespaces[i]);
    return 0;
}

int sandbox_options_apply(const struct text_list *options, json_t *document, struct error *error)
{
    int rc = 0;
    for (size_t i = 0; i < options->count && rc == 0; i++)
        rc = apply_one(options->items[i], document, error);
    if (sandbox_options_share(options, "uts")) /* the name would be the machine's */
        json_object_del(document, "hostname");
    return rc == -1 ? -ENOMEM : rc;
}
