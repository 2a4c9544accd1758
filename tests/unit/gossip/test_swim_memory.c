#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "gossip/identity.h"
#include "gossip/swim.h"

/* The linker sends every allocation of the tested code through these (see meson.build). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__real_reallocarray(void *pointer, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_reallocarray(void *pointer, size_t count, size_t size);

enum {
    PEERS = 3,
    ROUNDS = 12,       /* with the failure */
    CALM_ROUNDS = 400, /* after it */
    ROUND_MS = 100,
    EVERY_UP_TO = 150, /* each of the first allocations fails once … */
    STRIDE = 13,       /* … and then one in so many */
};

static long countdown; /* allocations until one fails; 0: none does */

static bool fails(void)
{
    return countdown > 0 && --countdown == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    return fails() ? NULL : __real_realloc(pointer, size);
}

void *__wrap_reallocarray(void *pointer, size_t count, size_t size)
{
    return fails() ? NULL : __real_reallocarray(pointer, count, size);
}

struct peer {
    struct identity identity;
    struct address address;
    struct swim *swim;
    struct swim_output output;
};

static struct peer peers[PEERS];

static void create(size_t index)
{
    struct peer *peer = &peers[index];
    struct swim_config config = swim_config_lan();
    config.self = peer->identity.id;
    config.identity = &peer->identity;
    config.generation = 1;
    config.seed = index;
    config.advertised = peer->address;
    int rc = swim_new(&config, 0, &peer->swim);
    if (rc == -ENOMEM)
        rc = swim_new(&config, 0, &peer->swim);
    assert_int_equal(rc, 0);
    swim_output_init(&peer->output);
    assert_int_equal(swim_add_seed(peer->swim, NULL, &peers[0].address), 0);
}

static void step(size_t to, const struct swim_input *input)
{
    int rc = swim_step(peers[to].swim, input, &peers[to].output);
    assert_true(rc == 0 || rc == -ENOMEM);
}

/* The last peer's packets come from another address than it advertises. */
static struct address source_of(size_t from)
{
    struct address source = peers[from].address;
    if (from == PEERS - 1)
        source.ip[15]++;
    return source;
}

/* Ticks every peer, and delivers what it says at once. What the answers lead to is dropped, which a
 * protocol on packets has to stand as well. */
static void play_round(int64_t now_ms)
{
    for (size_t from = 0; from < PEERS; from++) {
        struct swim_input tick = {.now_ms = now_ms, .type = SWIM_TICK};
        step(from, &tick);
        for (size_t i = 0; i < peers[from].output.message_count; i++) {
            struct swim_message message = peers[from].output.messages[i];
            struct swim_input input = {
                .now_ms = now_ms,
                .type = message.channel == SWIM_CHANNEL_PACKET ? SWIM_PACKET : SWIM_STREAM,
                .from = peers[from].identity.id,
                .source = source_of(from),
                .bytes = message.bytes,
            };
            size_t to = (size_t)message.address.port - 1;
            if (to == from)
                continue;
            step(to, &input);
            for (size_t k = 0; k < peers[to].output.message_count; k++) {
                struct swim_message answer = peers[to].output.messages[k];
                struct swim_input back = input;
                if ((size_t)answer.address.port - 1 != from)
                    continue;
                back.type = answer.channel == SWIM_CHANNEL_PACKET ? SWIM_PACKET : SWIM_STREAM;
                back.from = peers[to].identity.id;
                back.source = source_of(to);
                back.bytes = answer.bytes;
                struct swim_output output;
                swim_output_init(&output);
                int rc = swim_step(peers[from].swim, &back, &output);
                assert_true(rc == 0 || rc == -ENOMEM);
                swim_output_done(&output);
            }
        }
    }
}

static bool all_is_well(const char *value)
{
    for (size_t i = 0; i < PEERS; i++) {
        for (size_t k = 0; k < PEERS; k++) {
            struct swim_record record;
            struct swim_member member;
            if (!swim_member_find(peers[i].swim, &peers[k].identity.id, &member) ||
                member.state != SWIM_ALIVE)
                return false;
            if (swim_record_find(peers[i].swim, &peers[k].identity.id, SWIM_TABLE_META,
                                 bytes_of_text("name"), &record) < 0 ||
                !bytes_equal(record.value, bytes_of_text(value)))
                return false;
        }
    }
    return true;
}

/* One life of three peers in which the `failing`th allocation fails. Returns whether there were as
 * many allocations as that. */
static bool play(long failing)
{
    int64_t now_ms = 0;
    countdown = failing;
    for (size_t i = 0; i < PEERS; i++)
        create(i);
    for (int round = 0; round < ROUNDS; round++, now_ms += ROUND_MS) {
        for (size_t i = 0; i < PEERS; i++) {
            const char *value = round % 2 ? "odd" : "even";
            int rc = swim_publish(peers[i].swim, now_ms, SWIM_TABLE_META, bytes_of_text("name"),
                                  bytes_of_text(value));
            assert_true(rc == 0 || rc == -ENOMEM);
        }
        play_round(now_ms);
    }
    bool failed = countdown == 0;
    countdown = 0;
    for (size_t i = 0; i < PEERS; i++)
        assert_int_equal(swim_publish(peers[i].swim, now_ms, SWIM_TABLE_META, bytes_of_text("name"),
                                      bytes_of_text("end")),
                         0);
    for (int round = 0; round < CALM_ROUNDS && !all_is_well("end"); round++, now_ms += ROUND_MS)
        play_round(now_ms);
    assert_true(all_is_well("end"));
    for (size_t i = 0; i < PEERS; i++) {
        swim_free(peers[i].swim);
        swim_output_done(&peers[i].output);
    }
    return failed;
}

/* Breaks if running out of memory, at any one allocation, crashes, leaks, or is not recovered from.
 */
static void test_each_allocation_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEERS; i++) {
        uint8_t seed[IDENTITY_SEED_BYTES] = {(uint8_t)(i + 1)};
        identity_init(&peers[i].identity, seed);
        peers[i].address = address_from_v4(0x7f000001, (uint16_t)(i + 1));
    }
    long failing = 1;
    while (play(failing))
        failing += failing < EVERY_UP_TO ? 1 : STRIDE;
    print_message("%ld allocations in a run\n", failing);
    assert_true(failing > EVERY_UP_TO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails)};
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
