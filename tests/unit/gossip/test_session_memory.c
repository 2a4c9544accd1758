#include <stdlib.h>

#include "gossip/session_packet.h"
#include "tests/unit/gossip/session_fixture.h"

/* The linker sends the libraries' allocations here (see meson.build); the countdown fails one. */
static long countdown = -1;

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool fails_now(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails_now() ? NULL : __real_realloc(memory, size);
}

/* Seals and opens; whichever runs out of memory is done again, as the next packet would be. */
static void pass(struct scene *scene, int from, int to, const char *text)
{
    cleanup_buffer struct buffer datagram = {0};
    struct scene_peer *sender = &scene->peers[from], *receiver = &scene->peers[to];
    int rc;
    do {
        rc = sessions_seal(sender->sessions, scene->now_ms, scene_id(scene, to),
                           bytes_of_text(text), &datagram);
        if (rc < 0) {
            assert_int_equal(rc, -ENOMEM);
            assert_int_equal(datagram.size, 0);
            continue;
        }
        rc = sessions_open(receiver->sessions, scene->now_ms, &sender->address,
                           buffer_view(&datagram), &receiver->opened);
        if (rc < 0) {
            assert_int_equal(rc, -ENOMEM);
            /* What failed for want of memory alone is taken when it comes again. */
            rc = sessions_open(receiver->sessions, scene->now_ms, &sender->address,
                               buffer_view(&datagram), &receiver->opened);
        }
        assert_int_equal(rc, 0);
    } while (rc < 0);
    assert_int_equal(receiver->opened.refusal, SESSION_ACCEPTED);
    assert_true(bytes_equal(receiver->opened.payload, bytes_of_text(text)));
}

/* Breaks if a failed allocation, any one of them, loses a peer's state, leaks or half-writes. */
static void test_every_allocation_fails(void **state)
{
    (void)state;
    bool failed = true;
    for (long nth = 0; failed; nth++) {
        struct scene scene;
        scene_init(&scene);
        countdown = nth;
        for (int i = 0; i < 2 * SESSION_INITIATIONS_PER_PEER; i++) {
            pass(&scene, 0, 1, "ping");
            pass(&scene, 1, 0, "ack");
        }
        pass(&scene, 2, 1, "ping");
        failed = countdown < 0;
        countdown = -1;
        scene_done(&scene);
        assert_in_range(nth, 0, 1000);
    }
}

/* Breaks if a start without memory leaks what it had. */
static void test_new_fails(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct sessions *sessions = NULL;
    for (long nth = 0; !sessions; nth++) {
        struct sessions_config config = {
            .identity = &scene.peers[0].identity,
            .chain = &scene.peers[0].chain,
            .cluster = scene.root.id,
            .entropy = fixture_entropy(&scene.random),
            .admit = scene_admit,
        };
        countdown = nth;
        sessions = sessions_new(&config);
        assert_in_range(nth, 0, 100);
    }
    countdown = -1;
    sessions_free(sessions);
    sessions_free(NULL);
    scene_done(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_fails),
                                       cmocka_unit_test(test_new_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
