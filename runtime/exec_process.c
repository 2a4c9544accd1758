#include "runtime/exec_process.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/file.h"

enum {
    PROCESS_JSON_BYTES_MAX = 64 * 1024 * 1024, /* environment and arguments, as execve() takes */
};

static int set_words(json_t *process, const char *const *argv)
{
    json_t *words = json_array();
    for (; *argv; argv++)
        if (json_array_append_new(words, json_string(*argv)) < 0) {
            json_decref(words);
            return -EINVAL; /* no UTF-8, or no memory */
        }
    return json_object_set_new(process, "args", words) < 0 ? -ENOMEM : 0;
}

static int add_environment(json_t *process, const char *const *environment)
{
    json_t *list = json_object_get(process, "env");
    for (; environment && *environment; environment++)
        if (json_array_append_new(list, json_string(*environment)) < 0)
            return -EINVAL;
    return 0;
}

static int parse_id(const char *text, const char **ret_end, json_int_t *ret)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno != 0 || value < 0 || value >= UINT32_MAX || text[0] < '0' ||
        text[0] > '9')
        return -EINVAL;
    *ret = value;
    *ret_end = end;
    return 0;
}

/* "uid[:gid]"; the container's supplementary groups are not that user's. */
static int set_user(json_t *process, const char *user)
{
    json_int_t uid, gid = 0;
    const char *at;
    if (parse_id(user, &at, &uid) < 0 || (*at == ':' && (parse_id(at + 1, &at, &gid) < 0 || *at)) ||
        *at)
        return -EINVAL;
    json_t *object = json_pack("{s:I, s:I}", "uid", uid, "gid", gid);
    return json_object_set_new(process, "user", object) < 0 ? -ENOMEM : 0;
}

static int change(json_t *process, const struct exec_options *options)
{
    int result = set_words(process, options->argv);
    if (result == 0)
        result = add_environment(process, options->environment);
    if (result == 0 && options->user)
        result = set_user(process, options->user);
    if (result == 0 && options->working_dir &&
        json_object_set_new(process, "cwd", json_string(options->working_dir)) < 0)
        result = -EINVAL;
    if (result == 0 && json_object_set_new(process, "terminal", json_boolean(options->tty)) < 0)
        result = -ENOMEM;
    return result;
}

int exec_process_write(const char *process_path, const struct exec_options *options,
                       const char *ret_path)
{
    cleanup_buffer struct buffer content = {0};
    json_error_t why;
    int result = file_read(process_path, PROCESS_JSON_BYTES_MAX, &content);
    if (result < 0)
        return result;
    json_t *process = json_loadb((const char *)content.bytes, content.size, 0, &why);
    if (!process)
        return -EINVAL;
    result = change(process, options);
    cleanup_free char *text = result == 0 ? json_dumps(process, JSON_COMPACT) : NULL;
    json_decref(process);
    if (result < 0)
        return result;
    return text ? file_write(ret_path, 0600, text, strlen(text)) : -ENOMEM;
}
