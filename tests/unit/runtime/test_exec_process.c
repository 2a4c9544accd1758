#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/exec_process.h"
#include "runtime/file.h"
#include "runtime/tree.h"

static const char process[] = "{\"terminal\": false, \"user\": {\"uid\": 7, \"gid\": 8, "
                              "\"additionalGids\": [9]}, \"args\": [\"web\"], \"env\": [\"A=1\"], "
                              "\"cwd\": \"/srv\", \"rlimits\": []}";

static void write_at(const char *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(file_write(path, 0600, text, strlen(text)), 0);
}

/* In a folder of its own, whose etc/ is an image's that knows ann. */
static int write_process(const struct exec_options *options, char *ret, size_t capacity)
{
    char folder[] = "/tmp/consort-process-XXXXXX", source[64], target[64], etc[64];
    struct error error = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(source, sizeof(source), "%s/process.json", folder);
    snprintf(target, sizeof(target), "%s/exec.json", folder);
    snprintf(etc, sizeof(etc), "%s/etc", folder);
    assert_int_equal(mkdir(etc, 0700), 0);
    write_at(folder, "process.json", process);
    write_at(folder, "etc/passwd", "ann:x:1000:100::/home/ann:/bin/sh\n");
    write_at(folder, "etc/group", "users:x:100:\nweb:x:33:ann\n");
    int result = exec_process_write(source, folder, options, target, &error);
    if (result == 0)
        assert_int_equal(file_read_text(target, ret, capacity), 0);
    else if (options->user)
        assert_int_equal(error.code, result);
    assert_int_equal(tree_remove_path(folder), 0);
    return result;
}

static void keeps_the_containers_own(void **state)
{
    (void)state; /* would break: a command run as another user, elsewhere, or without its limits */
    char text[512];
    const char *const argv[] = {"id", "-u", NULL};
    struct exec_options options = {.argv = argv};
    assert_int_equal(write_process(&options, text, sizeof(text)), 0);
    assert_string_equal(text,
                        "{\"terminal\":false,\"user\":{\"uid\":7,\"gid\":8,\"additionalGids\":[9]},"
                        "\"args\":[\"id\",\"-u\"],\"env\":[\"A=1\"],\"cwd\":\"/srv\","
                        "\"rlimits\":[]}");
}

static void takes_what_is_asked_for(void **state)
{
    (void)state; /* would break: options of exec that are passed over */
    char text[512];
    const char *const argv[] = {"id", NULL}, *const environment[] = {"B=2", NULL};
    struct exec_options options = {.argv = argv,
                                   .environment = environment,
                                   .user = "1001:100",
                                   .working_dir = "/tmp",
                                   .tty = true};
    assert_int_equal(write_process(&options, text, sizeof(text)), 0);
    assert_string_equal(text, "{\"terminal\":true,\"user\":{\"uid\":1001,\"gid\":100,"
                              "\"additionalGids\":[]},\"args\":[\"id\"],\"env\":[\"A=1\","
                              "\"HOME=/\",\"B=2\"],\"cwd\":\"/tmp\",\"rlimits\":[]}");
    options = (struct exec_options){.argv = argv, .user = "ann"};
    assert_int_equal(write_process(&options, text, sizeof(text)), 0);
    assert_string_equal(text, "{\"terminal\":false,\"user\":{\"uid\":1000,\"gid\":100,"
                              "\"additionalGids\":[33]},\"args\":[\"id\"],\"env\":[\"A=1\","
                              "\"HOME=/home/ann\"],\"cwd\":\"/srv\",\"rlimits\":[]}");
}

static void privileged_has_all_capabilities(void **state)
{
    (void)state; /* would break: a hook that sets up devices or networks and must not */
    char text[8192];
    const char *const argv[] = {"id", NULL};
    struct exec_options options = {.argv = argv, .privileged = true};
    assert_int_equal(write_process(&options, text, sizeof(text)), 0);
    const char *bounding = strstr(text, "\"bounding\":");
    assert_non_null(bounding);
    assert_non_null(strstr(bounding, "CAP_SYS_ADMIN"));
    assert_non_null(strstr(text, "\"effective\":"));
    assert_null(strstr(text, "\"ambient\":"));
}

static void refuses(void **state)
{
    (void)state; /* would break: a command run as root because its user made no sense */
    static const char *const users[] = {"eve", "ann:eve", ":1", "-1", "1:2:3", "1 "};
    const char *const argv[] = {"id", NULL}, *const binary[] = {"\xff", NULL};
    struct exec_options options = {.argv = argv};
    char text[512];
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        options.user = users[i];
        assert_int_equal(write_process(&options, text, sizeof(text)), -ENOENT);
    }
    options = (struct exec_options){.argv = binary};
    assert_int_equal(write_process(&options, text, sizeof(text)), -EINVAL);
    options.argv = argv;
    assert_int_equal(
        exec_process_write("/nowhere/process.json", "/nowhere", &options, "/nowhere/x", NULL),
        -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_containers_own),
        cmocka_unit_test(takes_what_is_asked_for),
        cmocka_unit_test(privileged_has_all_capabilities),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
