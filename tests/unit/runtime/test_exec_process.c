#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/exec_process.h"
#include "runtime/file.h"

static const char process[] = "{\"terminal\": false, \"user\": {\"uid\": 7, \"gid\": 8, "
                              "\"additionalGids\": [9]}, \"args\": [\"web\"], \"env\": [\"A=1\"], "
                              "\"cwd\": \"/srv\", \"rlimits\": []}";

static char source[64], target[80];

static int write_process(const struct exec_options *options, char *ret, size_t capacity)
{
    snprintf(source, sizeof(source), "/tmp/consort-process-%d.json", (int)getpid());
    snprintf(target, sizeof(target), "%s.exec", source);
    assert_int_equal(file_write(source, 0600, process, strlen(process)), 0);
    int result = exec_process_write(source, options, target);
    if (result == 0)
        assert_int_equal(file_read_text(target, ret, capacity), 0);
    unlink(source);
    unlink(target);
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
                                   .user = "1000:100",
                                   .working_dir = "/tmp",
                                   .tty = true};
    assert_int_equal(write_process(&options, text, sizeof(text)), 0);
    assert_string_equal(text, "{\"terminal\":true,\"user\":{\"uid\":1000,\"gid\":100},"
                              "\"args\":[\"id\"],\"env\":[\"A=1\",\"B=2\"],\"cwd\":\"/tmp\","
                              "\"rlimits\":[]}");
}

static void refuses(void **state)
{
    (void)state; /* would break: a command run as root because its user made no sense */
    static const char *const users[] = {"", "ann", "1000:", ":1", "1000:x", "-1", "1:2:3", "1 "};
    const char *const argv[] = {"id", NULL}, *const binary[] = {"\xff", NULL};
    struct exec_options options = {.argv = argv};
    char text[512];
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        options.user = users[i];
        assert_int_equal(write_process(&options, text, sizeof(text)), -EINVAL);
    }
    options = (struct exec_options){.argv = binary};
    assert_int_equal(write_process(&options, text, sizeof(text)), -EINVAL);
    options.argv = argv;
    assert_int_equal(exec_process_write("/nowhere/process.json", &options, "/nowhere/x"), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_containers_own),
        cmocka_unit_test(takes_what_is_asked_for),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
