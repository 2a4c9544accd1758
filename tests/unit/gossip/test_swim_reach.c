#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/gossip/fake_network.h"

/* Breaks if no address, or more than the bound, is taken for a way to join. */
static void test_seeds(void **state)
{
    (void)state;
    struct fake_network net;
    struct address address = {0};
    fake_init(&net, 1, 1);
    struct swim *swim = net.peers[0].swim;
    assert_int_equal(swim_add_seed(swim, NULL, &address), -EINVAL);
    for (uint32_t i = 1; i < SWIM_SEEDS_MAX; i++) { /* the network has added one */
        address = address_from_v4(0x0a010000 + i, 7300);
        assert_int_equal(swim_add_seed(swim, NULL, &address), 0);
    }
    address = address_from_v4(0x0a020000, 7300);
    assert_int_equal(swim_add_seed(swim, NULL, &address), -ENOSPC);
    address = address_from_v4(0x0a010001, 7300);
    struct id id = {{9}};
    assert_int_equal(swim_add_seed(swim, &id, &address), 0); /* known, now with its id */
    swim_remove_seed(swim, &address);
    swim_remove_seed(swim, &address); /* is not there: nothing happens */
    address = address_from_v4(0x0a020000, 7300);
    assert_int_equal(swim_add_seed(swim, NULL, &address), 0);
    fake_done(&net);
}

/* Breaks if the first message to a seed does not go to whom it is known to be. */
static void test_seed_with_id(void **state)
{
    (void)state;
    struct fake_network net;
    struct address address = address_from_v4(0x0a010000, 7300);
    struct id id = {{9}};
    bool was_asked = false;
    fake_init(&net, 1, 1);
    assert_int_equal(swim_add_seed(net.peers[0].swim, NULL, &address), 0);
    assert_int_equal(swim_add_seed(net.peers[0].swim, &id, &address), 0);
    for (int i = 0; i < 100 && !was_asked; i++) {
        struct swim_input tick = {.now_ms = net.now_ms += 100, .type = SWIM_TICK};
        assert_int_equal(swim_step(net.peers[0].swim, &tick, &net.output), 0);
        for (size_t j = 0; j < net.output.message_count; j++) {
            assert_true(address_equal(&net.output.messages[j].address, &address));
            assert_true(id_equal(&net.output.messages[j].to, &id));
            was_asked = true;
        }
    }
    assert_true(was_asked);
    fake_done(&net);
}

static size_t room;

static size_t packet_room(void *context, int64_t now_ms, const struct id *to)
{
    (void)context;
    (void)now_ms;
    (void)to;
    return room;
}

/* Breaks if a packet is larger than its session can carry, or a foolish answer leaves no room. */
static void test_packet_room(void **state)
{
    (void)state;
    static const struct {
        size_t room, at_most;
    } cases[] = {{0, SWIM_PACKET_BYTES_MIN}, {700, 700}, {SIZE_MAX, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fake_network net;
        size_t largest = 0;
        fake_init(&net, 3, 5);
        net.config.packet_room = packet_room;
        room = cases[i].room;
        size_t at_most = cases[i].at_most ? cases[i].at_most : net.config.packet_bytes_max;
        fake_stop(&net, 2);
        fake_start(&net, 2);
        assert_true(fake_wait(&net, 20000, fake_all_alive) >= 0);
        for (int j = 0; j < 30; j++) {
            char key[8] = {'k', (char)('a' + j), '\0'};
            assert_int_equal(fake_publish(&net, 2, SWIM_TABLE_META, key,
                                          "a value that takes some of the room there is"),
                             0);
        }
        for (int j = 0; j < 50; j++) {
            struct swim_input tick = {.now_ms = net.now_ms += 100, .type = SWIM_TICK};
            assert_int_equal(swim_step(net.peers[2].swim, &tick, &net.output), 0);
            for (size_t k = 0; k < net.output.message_count; k++) {
                const struct swim_message *message = &net.output.messages[k];
                if (message->channel == SWIM_CHANNEL_PACKET && message->bytes.size > largest)
                    largest = message->bytes.size;
            }
        }
        assert_in_range(largest, at_most / 2, at_most); /* it is used, and kept */
        fake_done(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_seed_with_id),
        cmocka_unit_test(test_packet_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
