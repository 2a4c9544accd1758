/* usage: container_sweep [--every N] [--first N] [--only NAME] [--userns]
 *
 * Kills a "daemon" before each system call that changes something, in each operation of a
 * container's life and an image's, one after the other, until the operation ends before its turn.
 * After each kill the daemon is started again and told what its peer would tell it; then exactly
 * the wanted containers must run, once, with a network; and when they are removed, nothing may be
 * left. With --every N, each Nth call only, beginning elsewhere in each operation; with --first N,
 * from that call on; with --userns, containers have user namespaces. Needs root, crun, conmon and
 * busybox; exit code 77 without.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "container_fixture.h"
#include "killer.h"
#include "runtime/process.h"
#include "runtime/tree.h"
#include "sweep.h"

enum {
    SKIPPED = 77,
    STEPS_MAX = 100 * 1000, /* no operation has as many */
    SHORTEST = 7,           /* each has as many */
};

struct notes *notes;

void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "    ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _exit(1);
}

/* ---- Sweeping ---- */

struct step {
    struct fixture *fixture;
    const struct operation *operation;
};

/* In a child: an assert of cmocka's that fails says nothing but in a test of cmocka's. */
static void end_as_test(CMUnitTestFunction function, struct step *step)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(function, step)};
    _exit(freopen("/dev/null", "w", stdout) ? cmocka_run_group_tests(tests, NULL, NULL) : 1);
}

static void be_killed(void **state)
{
    struct step *step = *state;
    struct fixture *fixture = step->fixture;
    const struct operation *operation = step->operation;
    killer_trace_me();
    if (!operation->image && (!operation->closed || operation->before))
        fixture_open(fixture);
    if (operation->before)
        operation->before(fixture);
    killer_mark();
    operation->act(fixture);
    killer_unmark();
    notes->finished = true;
}

static void check(void **state)
{
    struct step *step = *state;
    restart_and_check(step->fixture, step->operation);
}

static bool run_checks(struct step *step)
{
    pid_t pid = fork();
    if (pid == 0)
        end_as_test(check, step);
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status != 0)
        fprintf(stderr, "    the checks ended with status 0x%x\n", (unsigned)status);
    return status == 0;
}

/* One kill; 1 if the operation ended before, -1 if something was wrong. */
static int sweep_step(struct fixture *fixture, const struct operation *operation, unsigned nth)
{
    *notes = (struct notes){0};
    struct step step = {fixture, operation};
    pid_t pid = fork();
    if (pid == 0)
        end_as_test(be_killed, &step);
    struct killer_report report;
    int result = killer_run(pid, nth, &report);
    if (result < 0) {
        fprintf(stderr, "cannot trace: %s\n", strerror(-result));
        return -1;
    }
    bool fine = report.killed || notes->finished;
    if (fine)
        fine = run_checks(&step);
    if (!fine) {
        printf("%s: FAILED when killed before step %u, %s %s\n", operation->name, nth, report.call,
               report.detail);
        return -1;
    }
    return report.killed ? 0 : 1;
}

static struct fixture *begin(void)
{
    struct fixture *fixture = fixture_new();
    fixture->secret = "hush";
    image_store_free(fixture->images);
    fixture->images = NULL;
    sweep_images_begin(fixture);
    return fixture;
}

static void end(struct fixture *fixture)
{
    if (fixture)
        tree_remove_path(fixture->directory);
    free(fixture);
}

/* The rules and the bridge of a daemon without containers. */
static void note_rules(struct fixture *fixture)
{
    pid_t pid = fork();
    if (pid == 0) {
        fixture_open(fixture);
        fixture_close(fixture);
        _exit(fixture_shell("nft list ruleset > %s/rules", fixture->directory));
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static bool sweep(struct fixture *fixture, const struct operation *operation, unsigned first,
                  unsigned every)
{
    unsigned kills = 0;
    int result = 0;
    uint64_t began = uv_hrtime();
    for (unsigned nth = first; nth < STEPS_MAX && result == 0; nth += every) {
        result = sweep_step(fixture, operation, nth);
        kills += result == 0;
    }
    if (result > 0)
        printf("%s: killed at %u steps, nothing lost and nothing left (%.1f s)\n", operation->name,
               kills, (double)(uv_hrtime() - began) / 1e9);
    fflush(stdout);
    return result > 0;
}

int main(int argc, char **argv)
{
    unsigned every = 1, first = 0;
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--every") == 0 && i + 1 < argc)
            every = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--first") == 0 && i + 1 < argc)
            first = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--userns") == 0)
            in_userns = true;
        else
            return 2;
    }
    if (!fixture_possible())
        return SKIPPED;
    notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (notes == MAP_FAILED || every == 0)
        return 2;
    bool fine = true;
    struct fixture *fixture = NULL;
    for (size_t i = 0; i < operation_count; i++) {
        if ((only && strcmp(only, operations[i].name) != 0) || (in_userns && operations[i].image))
            continue;
        unsigned from = first ? first : 1 + (unsigned)i * 5 % (every < SHORTEST ? every : SHORTEST);
        if (!fixture) {
            fixture = begin();
            note_rules(fixture);
        }
        if (!sweep(fixture, &operations[i], from, every)) {
            free(fixture); /* what is left there is evidence, and would be held against the next */
            fixture = NULL;
            fine = false;
        }
    }
    end(fixture);
    sweep_images_end();
    return fine ? 0 : 1;
}
