#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/gossip/fake_network.h"

static struct fake_network net;

static void start(size_t count, uint64_t seed)
{
    fake_init(&net, count, seed);
    assert_true(fake_wait(&net, 30000, fake_all_alive) >= 0);
    fake_run(&net, 10000);
    fake_forget_events(&net);
}

static struct swim_member seen_by(size_t observer, size_t subject)
{
    struct swim_member member = {0};
    assert_true(swim_member_find(net.peers[observer].swim, fake_id(&net, subject), &member));
    return member;
}

static unsigned events(enum swim_event_type type)
{
    unsigned count = 0;
    for (size_t i = 0; i < net.count; i++)
        count += net.peers[i].event_counts[type];
    return count;
}

static void assert_all_see(size_t subject, enum swim_path path)
{
    for (size_t i = 0; i < net.count; i++)
        if (i != subject && net.peers[i].swim)
            assert_int_equal(seen_by(i, subject).path, path);
}

static void publish_elsewhere(size_t subject)
{
    swim_readdress(net.peers[subject].swim, net.now_ms, &net.peers[subject].place);
    net.peers[subject].deadline_ms = net.now_ms;
}

static struct swim_counters counters_of(size_t index)
{
    struct swim_counters counters;
    swim_counters(net.peers[index].swim, &counters);
    return counters;
}

/* What is counted says that one member is reached so, and all others directly. */
static void assert_counted(size_t at, enum swim_path path)
{
    struct swim_counters counters = counters_of(at);
    assert_int_equal(counters.paths[path], 1);
    assert_int_equal(counters.paths[SWIM_PATH_DIRECT], net.count - 2);
    assert_true(counters.answers[path] > 0);
    assert_true(counters.answers[SWIM_PATH_DIRECT] > 0);
    assert_true(counters.path_changes > 0);
}

/* Breaks if a peer that moved is lost although its packets arrive, if nobody says that what it
 * advertises is wrong, or if that is still said once it is right. */
static void test_roaming(void **state)
{
    (void)state;
    struct address seen;
    start(5, 1);
    fake_move(&net, 2, false);
    fake_run(&net, 60000);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT) + events(SWIM_MEMBER_DEAD), 0);
    assert_all_see(2, SWIM_PATH_LEARNT);
    for (size_t i = 0; i < net.count; i++)
        if (i != 2)
            assert_true(address_equal(swim_member_learnt(net.peers[i].swim, fake_id(&net, 2)),
                                      &net.peers[2].place));
    struct address advertised = seen_by(0, 2).address;
    assert_true(address_equal(&advertised, &net.peers[2].address));
    assert_int_equal(net.peers[2].event_counts[SWIM_SELF_MISPLACED], 1);
    assert_true(swim_is_misplaced(net.peers[2].swim, &seen));
    assert_true(address_equal(&seen, &net.peers[2].place));

    fake_move(&net, 2, false); /* the same place, with new links */
    publish_elsewhere(2);
    fake_run(&net, 20000);
    assert_all_see(2, SWIM_PATH_DIRECT);
    assert_false(swim_is_misplaced(net.peers[2].swim, &seen));
    assert_null(swim_member_learnt(net.peers[0].swim, fake_id(&net, 2)));
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    for (size_t i = 0; i < net.count; i++)
        assert_false(swim_is_misplaced(net.peers[i].swim, &seen));
    fake_done(&net);
}

/* Breaks if a peer that comes back to the address that it advertises is still sent to elsewhere. */
static void test_return(void **state)
{
    (void)state;
    struct address seen;
    start(4, 2);
    fake_move(&net, 1, false);
    fake_run(&net, 30000);
    assert_all_see(1, SWIM_PATH_LEARNT);
    net.peers[1].place = net.peers[1].address;
    fake_run(&net, 20000);
    assert_all_see(1, SWIM_PATH_DIRECT);
    assert_int_equal(net.peers[1].event_counts[SWIM_SELF_PLACED], 1);
    assert_false(swim_is_misplaced(net.peers[1].swim, &seen));
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    fake_done(&net);
}

/* Breaks if whoever passes on a member's packets from elsewhere makes us send there while the
 * member answers where it advertises. */
static void test_passed_on(void **state)
{
    (void)state;
    start(4, 3);
    struct address real = net.peers[1].place;
    for (int i = 0; i < 300; i++) {
        struct packet_draft draft;
        cleanup_buffer struct buffer bytes = {0};
        packet_draft_init(&draft, PACKET_GOSSIP, 0, NULL, SWIM_PACKET_BYTES_MIN);
        assert_int_equal(packet_write(&draft, &bytes), 0);
        net.peers[1].place = address_from_v4(0x08080808, 53);
        fake_inject(&net, 0, 1, SWIM_PACKET, buffer_view(&bytes));
        net.peers[1].place = real;
        fake_run(&net, 100);
        assert_null(swim_member_learnt(net.peers[0].swim, fake_id(&net, 1)));
    }
    assert_int_equal(seen_by(0, 1).path, SWIM_PATH_DIRECT);
    fake_done(&net);
}

/* Breaks if one peer alone can make another believe that it advertises a wrong address. */
static void test_liar(void **state)
{
    (void)state;
    struct address seen, lie = address_from_v4(0x08080808, 53);
    start(4, 4);
    for (size_t i = 0; i < net.count; i++) /* none but the liar speaks to 0 */
        net.cut[i][0] = true;
    for (int i = 0; i < 300; i++) {
        struct packet_draft draft;
        cleanup_buffer struct buffer bytes = {0};
        packet_draft_init(&draft, PACKET_PING, 7, NULL, SWIM_PACKET_BYTES_MIN);
        packet_draft_place(&draft, &lie);
        assert_int_equal(packet_write(&draft, &bytes), 0);
        fake_inject(&net, 0, 1, SWIM_PACKET, buffer_view(&bytes));
        fake_run(&net, 10);
        if (swim_live_count(net.peers[0].swim) > 2)
            assert_false(swim_is_misplaced(net.peers[0].swim, &seen));
    }
    fake_done(&net);
}

/* Breaks if a peer behind NAT is not reached through what it opens by its own packets. */
static void test_nat(void **state)
{
    (void)state;
    struct address seen;
    start(5, 5);
    fake_move(&net, 3, true);
    fake_run(&net, 60000);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT) + events(SWIM_MEMBER_DEAD), 0);
    assert_all_see(3, SWIM_PATH_LEARNT);
    assert_true(swim_is_misplaced(net.peers[3].swim, &seen));
    assert_int_equal(seen.port, net.peers[3].place.port);
    assert_counted(0, SWIM_PATH_LEARNT);
    assert_true(counters_of(3).is_misplaced);
    assert_false(counters_of(0).is_misplaced);
    fake_stop(&net, 3);
    fake_forget_events(&net);
    fake_run(&net, 4000);
    assert_int_equal(events(SWIM_MEMBER_DEAD), 4);
    fake_done(&net);
}

/* Breaks if, where peers speak so rarely that NAT forgets them, one behind NAT is accused over and
 * over: it has to keep a way open to its contacts, and the others have to ask those. */
static void test_nat_in_a_quiet_fleet(void **state)
{
    (void)state;
    enum { COUNT = 60, NATTED = 7 };
    struct id helpers[SWIM_CONTACTS_MAX + 1];
    fake_init(&net, COUNT, 6);
    net.config.probe_interval_ms = 5000; /* each speaks to each other one every two minutes */
    net.config.probe_timeout_ms = 500;
    net.config.probe_window_ms = 5000;
    net.config.gossip_interval_ms = 1000;
    net.config.sync_interval_ms = 120000;
    for (size_t i = 0; i < COUNT; i++) {
        fake_stop(&net, i);
        fake_start(&net, i);
    }
    assert_true(fake_wait(&net, 200000, fake_all_alive) >= 0);
    fake_run(&net, 60000);
    fake_move(&net, NATTED, true);
    fake_run(&net, 400000); /* it finds out, and the others */
    fake_forget_events(&net);
    uint64_t before = net.packet_count;
    fake_run(&net, 600000);
    printf("%d peers, one behind NAT, 10 minutes: %u suspicions, %u refutations, %llu packets\n",
           COUNT, events(SWIM_MEMBER_SUSPECT), net.peers[NATTED].event_counts[SWIM_SELF_REFUTED],
           (unsigned long long)(net.packet_count - before));
    assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
    assert_int_equal(net.peers[NATTED].event_counts[SWIM_SELF_REFUTED], 0);
    assert_true(swim_member_helpers(net.peers[0].swim, fake_id(&net, NATTED), helpers) >= 2);
    assert_true(counters_of(NATTED).keepalives > 10);
    assert_int_equal(counters_of(0).keepalives, 0);
    fake_done(&net);
}

static void block_packets(size_t peer, bool blocked)
{
    for (size_t i = 0; i < net.count; i++)
        net.packets_cut[i][peer] = net.packets_cut[peer][i] = blocked;
}

/* Breaks if a peer that only streams reach is accused, or not marked; or if the mark stays. */
static void test_udp_blocked(void **state)
{
    (void)state;
    start(8, 7);
    block_packets(2, true);
    fake_run(&net, 60000);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    assert_all_see(2, SWIM_PATH_STREAM);
    assert_counted(0, SWIM_PATH_STREAM);
    for (size_t i = 0; i < net.count; i++) {
        if (i == 2)
            continue;
        assert_true(seen_by(i, 2).udp_blocked);
        assert_true(seen_by(2, i).udp_blocked);
        assert_int_equal(seen_by(i, 2).health, 0);
        assert_false(seen_by(i, (i + 1) % 8 == 2 ? 0 : (i + 1) % 8).udp_blocked);
    }
    block_packets(2, false);
    fake_run(&net, 20000);
    assert_all_see(2, SWIM_PATH_DIRECT);
    for (size_t i = 0; i < net.count; i++)
        assert_false(seen_by(i, 2).udp_blocked);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    fake_done(&net);
}

/* Breaks if the stream probe makes a death known later than without. */
static void test_death_of_a_blocked_peer(void **state)
{
    (void)state;
    start(8, 8);
    block_packets(2, true);
    fake_run(&net, 20000);
    fake_stop(&net, 2);
    fake_run(&net, 4000);
    assert_int_equal(events(SWIM_MEMBER_DEAD), 7);
    fake_done(&net);
}

/* Breaks if lost packets alone pass for a blocked port. */
static void test_loss_is_no_block(void **state)
{
    (void)state;
    start(6, 9);
    net.loss_percent = 10;
    for (int i = 0; i < 600; i++) {
        fake_run(&net, 100);
        for (size_t k = 1; k < net.count; k++)
            assert_false(seen_by(0, k).udp_blocked);
    }
    fake_done(&net);
}

/* Breaks if two peers of whom nothing reaches the other accuse each other, or don't know who helps.
 */
static void test_pair_apart(void **state)
{
    (void)state;
    struct id helpers[SWIM_CONTACTS_MAX + 1];
    start(5, 10);
    net.cut[1][2] = net.cut[2][1] = true;
    fake_run(&net, 60000);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    assert_int_equal(seen_by(1, 2).path, SWIM_PATH_HELPER);
    assert_int_equal(seen_by(2, 1).path, SWIM_PATH_HELPER);
    assert_false(seen_by(1, 2).udp_blocked);
    assert_counted(1, SWIM_PATH_HELPER);
    assert_int_equal(seen_by(0, 1).path, SWIM_PATH_DIRECT);
    assert_int_equal(counters_of(0).paths[SWIM_PATH_DIRECT], 4);
    assert_int_equal(counters_of(0).path_changes, 0);
    assert_int_equal(counters_of(0).answers[SWIM_PATH_HELPER], 0);
    assert_int_equal(swim_member_helpers(net.peers[1].swim, fake_id(&net, 2), helpers), 1);
    assert_false(id_equal(&helpers[0], fake_id(&net, 1)));
    assert_false(id_equal(&helpers[0], fake_id(&net, 2)));
    net.cut[1][2] = net.cut[2][1] = false;
    fake_run(&net, 20000);
    assert_int_equal(seen_by(1, 2).path, SWIM_PATH_DIRECT);
    fake_done(&net);
}

/* Breaks if anything takes addresses for IPv4 ones. */
static void test_ipv6(void **state)
{
    (void)state;
    fake_init(&net, 5, 11);
    for (size_t i = 0; i < net.count; i++)
        fake_stop(&net, i);
    for (size_t i = 0; i < net.count; i++) {
        char text[ADDRESS_TEXT_BYTES];
        snprintf(text, sizeof(text), "[2001:db8::%zx]:7300", i + 1);
        assert_int_equal(address_parse(text, 0, &net.peers[i].address), 0);
        net.peers[i].place = net.peers[i].address;
    }
    for (size_t i = 0; i < net.count; i++)
        fake_start(&net, i);
    assert_true(fake_wait(&net, 30000, fake_all_alive) >= 0);
    assert_int_equal(address_parse("[2001:db8:1::7]:7300", 0, &net.peers[4].place), 0);
    fake_forget_events(&net);
    fake_run(&net, 60000);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    assert_all_see(4, SWIM_PATH_LEARNT);
    fake_done(&net);
}

/* Breaks if helpers are taken without regard to how far they are, or always the same ones are. */
static void test_near_helpers(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    size_t near = 0, far = 0, asked = 0;
    fake_init(&net, COUNT, 12);
    for (size_t i = COUNT / 2; i < COUNT; i++)
        net.peers[i].extra_ms = 25;
    assert_true(fake_wait(&net, 30000, fake_all_alive) >= 0);
    fake_run(&net, 30000);
    memset(net.asked, 0, sizeof(net.asked));
    net.cut[0][1] = true;
    fake_run(&net, 600000);
    for (size_t i = 2; i < COUNT; i++) {
        *(i < COUNT / 2 ? &near : &far) += net.asked[i];
        asked += net.asked[i] > 0;
    }
    printf("asked to help: %zu times near ones, %zu times far ones\n", near, far);
    assert_true(near > 2 * far);
    assert_true(far > 0);
    assert_true(asked > COUNT / 2); /* not only the nearest */
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roaming),
        cmocka_unit_test(test_return),
        cmocka_unit_test(test_passed_on),
        cmocka_unit_test(test_liar),
        cmocka_unit_test(test_nat),
        cmocka_unit_test(test_nat_in_a_quiet_fleet),
        cmocka_unit_test(test_udp_blocked),
        cmocka_unit_test(test_death_of_a_blocked_peer),
        cmocka_unit_test(test_loss_is_no_block),
        cmocka_unit_test(test_pair_apart),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_near_helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
