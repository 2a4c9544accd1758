/* What is remembered of peers that are forgotten, when there are more of them than it has room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "gossip/identity.h"
#include "gossip/swim_internal.h"

enum {
    OLD = 10, /* left a while before the others */
    FORGOTTEN = SWIM_GRAVES_MAX + OLD,
    BATCH = 500,
    OLD_MS = 1000,
    LATER_MS = 60 * 1000,
    ALIVE_VERSION = 1,
    LEFT_VERSION = 2,
};

static struct swim *swim;
static struct swim_output output;
static struct identity self;

static struct identity identity_of(size_t index)
{
    uint8_t seed[IDENTITY_SEED_BYTES] = {(uint8_t)index, (uint8_t)(index >> 8), 1};
    struct identity identity;
    identity_init(&identity, seed);
    return identity;
}

static struct id id_of(size_t index)
{
    struct identity identity = identity_of(index);
    struct id id = identity.id;
    identity_done(&identity);
    return id;
}

static struct fact *presence_of(struct fact_pool *pool, size_t index, uint32_t version)
{
    struct identity identity = identity_of(index);
    struct fact_view view = {
        .kind = FACT_PRESENCE,
        .version = (uint64_t)1 << 32 | version,
        .presence = {.address = address_from_v4((uint32_t)(0x0a000000 + index), 7300),
                     .left = version == LEFT_VERSION},
    };
    struct fact *fact;
    assert_int_equal(fact_sign(pool, &identity, &view, &fact), 0);
    identity_done(&identity);
    return fact;
}

/* What those peers said of themselves comes by anti-entropy. */
static void hear(size_t first, size_t end, uint32_t version, int64_t now_ms)
{
    struct fact_pool *pool;
    assert_int_equal(fact_pool_new(1, &pool), 0);
    for (size_t i = first; i < end; i += BATCH) {
        struct fact *facts[BATCH];
        struct buffer delta = {0};
        size_t count = 0;
        for (; count < BATCH && i + count < end; count++)
            facts[count] = presence_of(pool, i + count, version);
        assert_int_equal(sync_write_delta(false, facts, count, &delta), 0);
        struct swim_input input = {
            .type = SWIM_STREAM, .now_ms = now_ms, .from = id_of(0), .bytes = buffer_view(&delta)};
        assert_int_equal(swim_step(swim, &input, &output), 0);
        buffer_done(&delta);
        for (size_t k = 0; k < count; k++)
            fact_release(pool, facts[k]);
    }
    fact_pool_free(pool);
}

static void start(void)
{
    struct swim_config config = swim_config_lan();
    self = identity_of(FORGOTTEN);
    config.self = self.id;
    config.identity = &self;
    config.generation = 1;
    config.advertised = address_from_v4(1, 7300);
    assert_int_equal(swim_new(&config, 0, &swim), 0);
    swim_output_init(&output);
}

static void done(void)
{
    swim_output_done(&output);
    swim_free(swim);
    identity_done(&self);
}

/* Breaks if, once many peers were forgotten, those that are forgotten next come back by what others
 * still repeat of them: the oldest graves are to give way, of whom hardly anybody speaks any more.
 */
static void test_oldest_give_way(void **state)
{
    (void)state;
    start();
    hear(0, FORGOTTEN, ALIVE_VERSION, OLD_MS);
    hear(0, OLD, LEFT_VERSION, OLD_MS);
    hear(OLD, FORGOTTEN, LEFT_VERSION, LATER_MS);
    assert_int_equal(swim_member_count(swim), FORGOTTEN + 1);
    int64_t forget_ms = swim->config.forget_left_ms;
    struct swim_input tick = {.type = SWIM_TICK, .now_ms = OLD_MS + forget_ms};
    assert_int_equal(swim_step(swim, &tick, &output), 0);
    assert_int_equal(swim->graves.count, OLD);
    tick.now_ms = LATER_MS + forget_ms;
    assert_int_equal(swim_step(swim, &tick, &output), 0);
    assert_int_equal(swim_member_count(swim), 1);
    assert_int_equal(swim->graves.count, SWIM_GRAVES_MAX);
    for (size_t i = 0; i < FORGOTTEN; i++) {
        struct id id = id_of(i);
        assert_int_equal(is_buried(swim, &id), i >= OLD);
    }

    hear(OLD, OLD + BATCH, ALIVE_VERSION, tick.now_ms);
    hear(FORGOTTEN - BATCH, FORGOTTEN, ALIVE_VERSION, tick.now_ms);
    assert_int_equal(swim_member_count(swim), 1);
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oldest_give_way),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
