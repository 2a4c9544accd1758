#include "runtime/seccomp_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/file.h"

enum {
    FILTER_BYTES_MAX =
        4096 * sizeof(struct sock_filter), /* the kernel takes no more: BPF_MAXINSNS */
    FILTER_TEXT_BYTES_MAX = 2 * FILTER_BYTES_MAX,
    NAME_HASH_BYTES = 16,
};

static void release_filter(scmp_filter_ctx *filter)
{
    if (*filter)
        seccomp_release(*filter);
}

#define cleanup_filter __attribute__((cleanup(release_filter)))

/* --- Compiling --- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static uint32_t action_of(const json_t *object, const char *action_key, const char *errno_key)
{
    if (strcmp(text_of(object, action_key), "SCMP_ACT_ALLOW") == 0)
        return SCMP_ACT_ALLOW;
    const json_t *number = json_object_get(object, errno_key);
    return SCMP_ACT_ERRNO((uint32_t)(number ? json_integer_value(number) : EPERM));
}

static int add_architectures(scmp_filter_ctx filter, const json_t *profile)
{
    static const struct {
        const char *name;
        uint32_t token;
    } known[] = {
        {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},   {"SCMP_ARCH_X86", SCMP_ARCH_X86},
        {"SCMP_ARCH_X32", SCMP_ARCH_X32},         {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
        {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
    };
    size_t index;
    const json_t *name;
    json_array_foreach(json_object_get(profile, "architectures"), index, name)
    {
        uint32_t token = 0;
        for (size_t i = 0; i < array_count(known); i++)
            if (strcmp(known[i].name, json_string_value(name)) == 0)
                token = known[i].token;
        int r = token ? seccomp_arch_add(filter, token) : -ENOTSUP;
        if (r < 0 && r != -EEXIST) /* the machine's own is there */
            return r;
    }
    return 0;
}

/* The condition on an argument. -ENOTSUP for one that the profile has no use for. */
static int read_condition(const json_t *argument, struct scmp_arg_cmp *ret)
{
    static const struct {
        const char *name;
        enum scmp_compare op;
    } known[] = {
        {"SCMP_CMP_EQ", SCMP_CMP_EQ},
        {"SCMP_CMP_LT", SCMP_CMP_LT},
        {"SCMP_CMP_GT", SCMP_CMP_GT},
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    };
    *ret = (struct scmp_arg_cmp){
        .arg = (unsigned)json_integer_value(json_object_get(argument, "index")),
        .op = _SCMP_CMP_MIN,
        .datum_a = (scmp_datum_t)json_integer_value(json_object_get(argument, "value")),
        .datum_b = (scmp_datum_t)json_integer_value(json_object_get(argument, "valueTwo")),
    };
    for (size_t i = 0; i < array_count(known); i++)
        if (strcmp(known[i].name, text_of(argument, "op")) == 0)
            ret->op = known[i].op;
    return ret->op == _SCMP_CMP_MIN ? -ENOTSUP : 0;
}

static int add_rule(scmp_filter_ctx filter, const json_t *rule)
{
    const json_t *arguments = json_object_get(rule, "args"), *name;
    const uint32_t action = action_of(rule, "action", "errnoRet");
    struct scmp_arg_cmp condition;
    const unsigned count = arguments ? 1 : 0;
    if (json_array_size(arguments) > 1)
        return -ENOTSUP;
    int r = count ? read_condition(json_array_get(arguments, 0), &condition) : 0;
    size_t index;
    json_array_foreach(json_object_get(rule, "names"), index, name)
    {
        int call = seccomp_syscall_resolve_name(json_string_value(name));
        if (r == 0 && call != __NR_SCMP_ERROR) /* what the library does not know fails by default */
            r = seccomp_rule_add_array(filter, action, call, count, &condition);
    }
    return r;
}

/* The library writes to descriptors only. */
static int export_filter(scmp_filter_ctx filter, struct buffer *ret)
{
    cleanup_close int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = seccomp_export_bpf(filter, fd);
    off_t size_bytes = r == 0 ? lseek(fd, 0, SEEK_END) : 0;
    if (r < 0 || size_bytes <= 0 || size_bytes > FILTER_BYTES_MAX)
        return r < 0 ? r : -EFBIG;
    r = buffer_reserve(ret, (size_t)size_bytes);
    if (r < 0)
        return r;
    if (pread(fd, ret->bytes + ret->size, (size_t)size_bytes, 0) != size_bytes)
        return -EIO;
    ret->size += (size_t)size_bytes;
    return 0;
}

int seccomp_filter_compile(const json_t *profile, struct buffer *ret)
{
    cleanup_filter scmp_filter_ctx filter =
        seccomp_init(action_of(profile, "defaultAction", "defaultErrnoRet"));
    if (!filter)
        return -ENOMEM;
    int r = add_architectures(filter, profile);
    size_t index;
    const json_t *rule;
    json_array_foreach(json_object_get(profile, "syscalls"), index, rule)
    {
        if (r == 0)
            r = add_rule(filter, rule);
    }
    return r < 0 ? r : export_filter(filter, ret);
}

/* --- Keeping --- */

/* Names a filter by all that it is made of. */
static int name_filter(const json_t *profile, const char *directory, char *ret, size_t capacity)
{
    uint8_t hash[NAME_HASH_BYTES];
    char hex[2 * NAME_HASH_BYTES + 1];
    const struct scmp_version *library = seccomp_version();
    const unsigned numbers[] = {library->major, library->minor, library->micro};
    cleanup_free char *text = json_dumps(profile, JSON_COMPACT);
    if (!text)
        return -ENOMEM;
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    crypto_generichash_update(&state, (const uint8_t *)numbers, sizeof(numbers));
    crypto_generichash_update(&state, (const uint8_t *)text, strlen(text));
    crypto_generichash_final(&state, hash, sizeof(hash));
    path_format(ret, capacity, "%s/%s", directory,
                sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash)));
    return 0;
}

static int compile_text(const json_t *profile, char **ret)
{
    cleanup_buffer struct buffer filter = {0};
    int r = seccomp_filter_compile(profile, &filter);
    const size_t text_bytes =
        sodium_base64_ENCODED_LEN(filter.size, sodium_base64_VARIANT_ORIGINAL);
    if (r < 0)
        return r;
    if (!(*ret = malloc(text_bytes)))
        return -ENOMEM;
    sodium_bin2base64(*ret, text_bytes, filter.bytes, filter.size, sodium_base64_VARIANT_ORIGINAL);
    return 0;
}

/* Puts it there whole or not at all, also if another thread does the same: a file gets a name once
 * it is written. Where that can't be, the filter is compiled anew the next time. */
static void keep(const char *directory, const char *path, const char *text)
{
    char unnamed[64];
    if (file_make_directories(directory, 0700) < 0)
        return;
    cleanup_close int fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || file_write_all(fd, text, strlen(text)) < 0)
        return;
    snprintf(unnamed, sizeof(unnamed), "/proc/self/fd/%d", fd);
    (void)linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

int seccomp_filter_text(const json_t *profile, const char *directory, char **ret)
{
    char path[PATH_BYTES];
    cleanup_buffer struct buffer text = {0};
    int r = name_filter(profile, directory, path, sizeof(path));
    if (r < 0)
        return r;
    if (file_read(path, FILTER_TEXT_BYTES_MAX, &text) == 0) {
        *ret = buffer_take_text(&text);
        return *ret ? 0 : -ENOMEM;
    }
    r = compile_text(profile, ret);
    if (r == 0)
        keep(directory, path, *ret);
    return r;
}
