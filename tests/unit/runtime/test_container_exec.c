#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "container_fixture.h"
#include "runtime/process.h"

struct terminal {
    char text[4096];
    size_t size;
    bool done;
    int code;
};

static void on_terminal(void *context, bool is_error, struct bytes output)
{
    struct terminal *terminal = context;
    assert_false(is_error);
    for (size_t i = 0; i < output.size && terminal->size + 1 < sizeof(terminal->text); i++)
        terminal->text[terminal->size++] = (char)output.data[i];
}

static void on_terminal_exit(void *context, int exit_code)
{
    struct terminal *terminal = context;
    terminal->done = true;
    terminal->code = exit_code;
}

static bool terminal_done(void *context)
{
    return ((struct terminal *)context)->done;
}

static bool terminal_ready(void *context)
{
    return strstr(((struct terminal *)context)->text, "ready") != NULL;
}

static void exec_on_a_terminal(void **state)
{
    (void)state; /* would break: an operator's shell in a container */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    fixture_start(fixture, "a", "sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    const char *const argv[] = {"sh", "-c", "echo rea''dy; read x; stty size; tty; exit $x", NULL};
    struct exec_options options = {.argv = argv, .tty = true, .rows = 31, .columns = 97};
    struct terminal terminal = {0};
    struct exec_callbacks callbacks = {
        .context = &terminal, .on_output = on_terminal, .on_exit = on_terminal_exit};
    struct runtime_exec *exec;
    assert_int_equal(runtime_exec(fixture->runtime, "a", &options, &callbacks, &exec, NULL), 0);
    assert_true(fixture_wait(fixture, terminal_ready, &terminal));
    runtime_exec_resize(exec, 42, 111);
    usleep(200 * 1000);
    runtime_exec_write(exec, bytes_of_text("5\n"));
    assert_true(fixture_wait(fixture, terminal_done, &terminal));
    print_message("%s", terminal.text);
    assert_int_equal(terminal.code, 5);
    assert_non_null(strstr(terminal.text, "42 111"));
    assert_non_null(strstr(terminal.text, "/dev/pts/"));
    runtime_exec_close(exec);
    fixture_free(fixture);
}

static void exec_with_input(void **state)
{
    (void)state; /* would break: piping into a command, its exit code, and killing it */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    fixture_start(fixture, "a", "sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    const char *const argv[] = {"sh", "-c", "wc -c; exit 9", NULL};
    struct exec_options options = {.argv = argv};
    struct terminal terminal = {0};
    struct exec_callbacks callbacks = {
        .context = &terminal, .on_output = on_terminal, .on_exit = on_terminal_exit};
    struct runtime_exec *exec;
    assert_int_equal(runtime_exec(fixture->runtime, "a", &options, &callbacks, &exec, NULL), 0);
    static const uint8_t block[100000];
    assert_int_equal(runtime_exec_write(exec, (struct bytes){block, sizeof(block)}), 0);
    runtime_exec_end_input(exec);
    assert_int_equal(runtime_exec_write(exec, bytes_of_text("x")), -EPIPE);
    assert_true(fixture_wait(fixture, terminal_done, &terminal));
    runtime_exec_close(exec);
    assert_int_equal(terminal.code, 9);
    assert_int_equal(atoi(terminal.text), 100000);

    struct error error = {0};
    options.user = "eve";
    assert_int_equal(runtime_exec(fixture->runtime, "a", &options, &callbacks, &exec, &error),
                     -ENOENT);
    assert_non_null(strstr(error.message, "\"eve\""));
    options.user = NULL;

    const char *const missing[] = {"/not/there", NULL};
    options.argv = missing;
    callbacks.on_output = on_terminal;
    char text[256];
    assert_int_equal(fixture_exec(fixture, "a", "exec /not/there 2>/dev/null", NULL, 0), 127);

    const char *const sleeper[] = {"sleep", "888", NULL};
    options.argv = sleeper;
    assert_int_equal(runtime_exec(fixture->runtime, "a", &options, &callbacks, &exec, NULL), 0);
    do {
        fixture_exec(fixture, "a", "ps | grep -c '[s]leep 888'", text, sizeof(text));
    } while (atoi(text) == 0);
    runtime_exec_close(exec);
    do {
        fixture_exec(fixture, "a", "ps | grep -c '[s]leep 888'", text, sizeof(text));
    } while (atoi(text) != 0);
    fixture_free(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exec_on_a_terminal),
        cmocka_unit_test(exec_with_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
