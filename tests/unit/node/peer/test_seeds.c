#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/peer/peer.h"
#include "node/peer/seeds.h"

enum { STORED = 200 };

/* What the rest of the peer was told. */
static struct address added[64];
static size_t added_count, wakes, live_count;

int agent_add_seed(struct agent *agent, const struct id *id, const struct address *address)
{
    (void)agent;
    (void)id;
    assert_true(added_count < SWIM_SEEDS_MAX);
    added[added_count++] = *address;
    return 0;
}

void agent_remove_seed(struct agent *agent, const struct address *address)
{
    size_t kept = 0;
    (void)agent;
    for (size_t i = 0; i < added_count; i++)
        if (!address_equal(&added[i], address))
            added[kept++] = added[i];
    added_count = kept;
}

const struct swim *agent_swim(const struct agent *agent)
{
    (void)agent;
    return NULL;
}

size_t swim_live_count(const struct swim *swim)
{
    (void)swim;
    return live_count;
}

int links_set_address(struct links *links, const struct id *id, const struct address *address)
{
    (void)links;
    (void)id;
    (void)address;
    return 0;
}

void peer_wake(struct peer *peer)
{
    (void)peer;
    wakes++;
}

static size_t stored_count;

int peer_each_address(struct peer *peer,
                      int (*visit)(void *context, const struct id *id,
                                   const struct address *address),
                      void *context, struct error *error)
{
    (void)peer;
    (void)error;
    for (size_t i = 0; i < stored_count; i++) {
        const struct id id = {{(uint8_t)(i + 1)}};
        const struct address address = address_from_v4(0x0a000001 + (uint32_t)i, 7300);
        visit(context, &id, &address);
    }
    return 0;
}

static bool has(const char *text)
{
    struct address address;
    assert_int_equal(address_parse(text, 0, &address), 0);
    for (size_t i = 0; i < added_count; i++)
        if (address_equal(&added[i], &address))
            return true;
    return false;
}

static void run(uv_loop_t *loop, size_t until_wakes)
{
    while (wakes < until_wakes)
        uv_run(loop, UV_RUN_ONCE);
}

static void finish(uv_loop_t *loop, struct seeds *seeds)
{
    seeds_close(seeds);
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
    added_count = wakes = stored_count = 0;
}

/* Breaks if what is no address or name is taken for one, or the other way around. */
static void test_is_valid(void **state)
{
    (void)state;
    static const char *const good[] = {
        "seed.example.org", "seed",        "seed:7301",  "192.0.2.1",
        "192.0.2.1:7301",   "2001:db8::1", "[::1]:7300", "_x.a",
    };
    static const char *const bad[] = {
        "", ":7300", "seed:", "seed:0", "seed:65536", "seed:7300x", "a b", "seed:-1", "a/b", "[::1",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(seed_is_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(seed_is_valid(bad[i]));
}

/* Breaks if names are not looked up, or what they stand for is not tried. */
static void test_names(void **state)
{
    (void)state;
    uv_loop_t loop;
    const char *names[] = {"192.0.2.7:7301", "localhost:7302", "[2001:db8::7]:7303"};
    struct peer peer = {.loop = &loop, .options = {.seeds = names, .seed_count = 3}};
    uv_loop_init(&loop);
    struct seeds *seeds = seeds_new(&peer);
    assert_non_null(seeds);
    run(&loop, 3);
    assert_true(has("192.0.2.7:7301"));
    assert_true(has("[2001:db8::7]:7303"));
    assert_true(has("127.0.0.1:7302") || has("[::1]:7302"));
    finish(&loop, seeds);
}

/* Breaks if closing while a name is looked up uses what is gone, or never ends. */
static void test_close_while_looking(void **state)
{
    (void)state;
    uv_loop_t loop;
    const char *names[] = {"does-not-exist.invalid", "localhost"};
    struct peer peer = {.loop = &loop, .options = {.seeds = names, .seed_count = 2}};
    uv_loop_init(&loop);
    struct seeds *seeds = seeds_new(&peer);
    uv_run(&loop, UV_RUN_NOWAIT);
    finish(&loop, seeds);
}

/* Breaks if of many remembered addresses always the same few are tried: those may all be gone. */
static void test_remembered(void **state)
{
    (void)state;
    bool was_tried[STORED] = {0};
    size_t tried = 0;
    for (int round = 0; round < 100; round++) {
        uv_loop_t loop;
        struct peer peer = {.loop = &loop};
        stored_count = STORED;
        uv_loop_init(&loop);
        struct seeds *seeds = seeds_new(&peer);
        assert_in_range(added_count, 8, SWIM_SEEDS_MAX);
        for (size_t i = 0; i < added_count; i++)
            was_tried[added[i].ip[15] - 1] = true;
        finish(&loop, seeds);
    }
    for (size_t i = 0; i < STORED; i++)
        tried += was_tried[i];
    assert_true(tried > STORED * 9 / 10); /* all, but for chance */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_valid),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_close_while_looking),
        cmocka_unit_test(test_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
