/* A runtime with a busybox image, in network and mount namespaces of the test's own, for tests with
 * real containers. They need root, crun, conmon and busybox; without, tests are skipped.
 *
 *     struct fixture *fixture = fixture_new();
 *     fixture_start(fixture, "a", "sleep 1000", NULL);
 *     assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
 *     fixture_free(fixture);                          removes all containers, counts what is left
 */
#pragma once

#include <uv.h>

#include "runtime/image/image_store.h"
#include "runtime/runtime.h"

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick; /* so that waiting for a condition looks again */
    char directory[64];
    char instance[32];
    const char *conmon, *oci_runtime; /* NULL: as installed */
    int launch_timeout_ms;
    struct userns_pool userns;
    struct image_store *images;
    char image[DIGEST_TEXT_BYTES];
    struct runtime *runtime;
    bool ready;
    bool failed;
    bool closed;
    unsigned changes;
    char removed[64];   /* id last reported as removed */
    bool keeps_volumes; /* anonymous ones, though no container has them */
    const char *secret; /* what is in every secret; NULL: not known yet */
};

/* True if real containers can be run here; enters the test's own namespaces once. */
bool fixture_possible(void);

#define NEEDS_CONTAINERS()                                                                         \
    do {                                                                                           \
        if (!fixture_possible())                                                                   \
            skip();                                                                                \
    } while (0)

/* An empty directory below /tmp with the image in it. */
struct fixture *fixture_new(void);

/* fixture_new() and fixture_open(). */
struct fixture *fixture_begin(void);

/* Starts, and stops, the "daemon" on that directory; containers go on without it. */
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);

/* Removes all containers, closes, and asserts that nothing is left of them. */
void fixture_free(struct fixture *fixture);

/* A spec for `sh -c script`; the caller changes it, starts it and ends it. */
void fixture_spec(struct fixture *fixture, const char *id, const char *script,
                  struct container_spec *ret);
void fixture_start(struct fixture *fixture, const char *id, const char *script);

/* Runs a line in the shell, on this machine but in the test's namespaces; returns its exit code. */
int fixture_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs the loop until the condition holds; false after a generous time. */
bool fixture_wait(struct fixture *fixture, bool (*condition)(void *context), void *context);
bool fixture_wait_state(struct fixture *fixture, const char *id, enum container_state state);
bool fixture_wait_gone(struct fixture *fixture, const char *id);
struct container_status fixture_status(struct fixture *fixture, const char *id);

/* What it uses and may use; asserts that it runs. */
struct container_stats fixture_stats(struct fixture *fixture, const char *id);

/* Runs a command inside and returns its exit code; its output, cut to fit, in `output`. */
int fixture_exec(struct fixture *fixture, const char *id, const char *script, char *output,
                 size_t capacity);

/* The log's lines, joined with newlines. */
void fixture_logs(struct fixture *fixture, const char *id, int64_t tail, char *output,
                  size_t capacity);

/* How many processes have both words in their command lines; tells them if asked to. */
unsigned fixture_count_processes(const char *word, const char *other, bool tell);

/* Mounts, namespaces, veths, control groups and processes that belong to this fixture. */
unsigned fixture_count_debris(struct fixture *fixture);
