#include "runtime/exec_process.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/capability.h"
#include "runtime/file.h"
#include "runtime/user.h"

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

/* Another user has a home of their own, unless the caller says otherwise afterwards. */
static int set_home(json_t *process, const char *home)
{
    json_t *list = json_object_get(process, "env");
    cleanup_free char *variable = NULL;
    for (size_t i = json_array_size(list); i-- > 0;)
        if (strncmp(json_string_value(json_array_get(list, i)), "HOME=", 5) == 0)
            json_array_remove(list, i);
    if (asprintf(&variable, "HOME=%s", home) < 0) {
        variable = NULL;
        return -ENOMEM;
    }
    return json_array_append_new(list, json_string(variable)) < 0 ? -EINVAL : 0;
}

static int set_user(json_t *process, const char *rootfs, const char *text, struct error *error)
{
    struct user user;
    int result = user_resolve(rootfs, text, &user, error);
    if (result < 0)
        return result;
    json_t *groups = json_array();
    for (size_t i = 0; i < user.group_count; i++)
        json_array_append_new(groups, json_integer(user.groups[i]));
    json_t *object = json_pack("{s:I, s:I, s:o}", "uid", (json_int_t)user.uid, "gid",
                               (json_int_t)user.gid, "additionalGids", groups);
    result = json_object_set_new(process, "user", object) < 0 ? -ENOMEM : 0;
    return result < 0 ? result : set_home(process, user.home);
}

/* What it may do is all that root on the machine may; what the kernel lets through (seccomp) is the
 * container's still. */
static int set_privileged(json_t *process, struct error *error)
{
    struct text_list all = {0};
    uint64_t set;
    int result = text_list_add(&all, "ALL");
    if (result == 0)
        result = capability_resolve(&all, &(struct text_list){0}, &set, error);
    text_list_done(&all);
    if (result < 0)
        return result;
    json_t *capabilities =
        json_pack("{s:o, s:o, s:o}", "bounding", capability_json(set), "effective",
                  capability_json(set), "permitted", capability_json(set));
    return json_object_set_new(process, "capabilities", capabilities) < 0 ? -ENOMEM : 0;
}

static int change(json_t *process, const char *rootfs, const struct exec_options *options,
                  struct error *error)
{
    int result = set_words(process, options->argv);
    if (result == 0 && options->user)
        result = set_user(process, rootfs, options->user, error);
    if (result == 0 && options->privileged)
        result = set_privileged(process, error);
    if (result == 0)
        result = add_environment(process, options->environment);
    if (result == 0 && options->working_dir &&
        json_object_set_new(process, "cwd", json_string(options->working_dir)) < 0)
        result = -EINVAL;
    json_object_del(process, "consoleSize"); /* its terminal is another */
    if (result == 0 && json_object_set_new(process, "terminal", json_boolean(options->tty)) < 0)
        result = -ENOMEM;
    return result;
}

int exec_process_write(const char *process_path, const char *rootfs,
                       const struct exec_options *options, const char *ret_path,
                       struct error *error)
{
    cleanup_buffer struct buffer content = {0};
    json_error_t why;
    int result = file_read(process_path, PROCESS_JSON_BYTES_MAX, &content);
    if (result < 0)
        return result;
    json_t *process = json_loadb((const char *)content.bytes, content.size, 0, &why);
    if (!process)
        return -EINVAL;
    result = change(process, rootfs, options, error);
    cleanup_free char *text = result == 0 ? json_dumps(process, JSON_COMPACT) : NULL;
    json_decref(process);
    if (result < 0)
        return result;
    return text ? file_write(ret_path, 0600, text, strlen(text)) : -ENOMEM;
}
