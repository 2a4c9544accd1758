#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/gossip/fake_network.h"

enum {
    PEERS = 5,
    VICTIM = 4,
};

static bool accuses(const struct fake_network *net, size_t observer, size_t accuser)
{
    struct swim_suspicion suspicion;
    swim_suspicion(net->peers[observer].swim, fake_id(net, VICTIM), &suspicion);
    for (size_t i = 0; i < suspicion.count; i++)
        if (id_equal(&suspicion.accusations[i].by, fake_id(net, accuser)))
            return true;
    return false;
}

static size_t accuser_count(const struct fake_network *net, size_t observer)
{
    struct swim_member member;
    assert_true(swim_member_find(net->peers[observer].swim, fake_id(net, VICTIM), &member));
    return member.accusers;
}

/* Stops the victim and runs until somebody hears `count` others, and not itself, accuse it. */
static size_t find_observer(struct fake_network *net, size_t count)
{
    fake_stop(net, VICTIM);
    for (int i = 0; i < 20000; i++) {
        fake_run(net, 1);
        for (size_t observer = 0; observer < VICTIM; observer++)
            if (accuser_count(net, observer) == count && !accuses(net, observer, observer) &&
                fake_state(net, observer, VICTIM) == SWIM_SUSPECT)
                return observer;
    }
    fail_msg("nobody heard %zu others", count);
    return 0;
}

static size_t first_accuser(const struct fake_network *net, size_t observer)
{
    for (size_t i = 0; i < VICTIM; i++)
        if (accuses(net, observer, i))
            return i;
    fail();
    return 0;
}

/* Breaks if the word of a peer that was shut out goes on counting against others. */
static void test_only_accuser_revoked(void **state)
{
    (void)state;
    struct fake_network net;
    fake_init(&net, PEERS, 7);
    assert_true(fake_wait(&net, 10000, fake_all_alive) >= 0);
    size_t observer = find_observer(&net, 1), accuser = first_accuser(&net, observer);
    fake_forget_events(&net);
    struct swim *swim = net.peers[observer].swim;
    assert_int_equal(swim_revoke(swim, net.now_ms, fake_id(&net, accuser)), 0);
    assert_int_equal(fake_state(&net, observer, VICTIM), SWIM_ALIVE);
    assert_int_equal(accuser_count(&net, observer), 0);
    fake_tick(&net, observer);
    assert_int_equal(net.peers[observer].event_counts[SWIM_MEMBER_ALIVE], 1);
    /* its own probes, and what the others hold, find out that it is dead all the same */
    fake_run(&net, 30000);
    assert_int_equal(fake_state(&net, observer, VICTIM), SWIM_DEAD);
    assert_false(accuses(&net, observer, accuser));
    fake_done(&net);
}

/* Breaks if a suspect is cleared although another peer still accuses it. */
static void test_one_of_two_revoked(void **state)
{
    (void)state;
    struct fake_network net;
    fake_init(&net, PEERS, 12);
    assert_true(fake_wait(&net, 10000, fake_all_alive) >= 0);
    size_t observer = find_observer(&net, 2), accuser = first_accuser(&net, observer);
    struct swim *swim = net.peers[observer].swim;
    assert_int_equal(swim_revoke(swim, net.now_ms, fake_id(&net, accuser)), 0);
    assert_int_equal(swim_revoke(swim, net.now_ms, fake_id(&net, accuser)), 0);
    assert_int_equal(fake_state(&net, observer, VICTIM), SWIM_SUSPECT);
    assert_int_equal(accuser_count(&net, observer), 1);
    assert_false(accuses(&net, observer, accuser));
    fake_run(&net, 30000);
    assert_int_equal(fake_state(&net, observer, VICTIM), SWIM_DEAD);
    fake_done(&net);
}

static struct swim_suspicion suspicion_of_victim(const struct fake_network *net, size_t observer)
{
    struct swim_suspicion suspicion;
    swim_suspicion(net->peers[observer].swim, fake_id(net, VICTIM), &suspicion);
    return suspicion;
}

/* Breaks if an operator is told another time, or another accuser first, than what decides. */
static void test_when_accused(void **state)
{
    (void)state;
    struct fake_network net;
    fake_init(&net, PEERS, 12);
    assert_true(fake_wait(&net, 10000, fake_all_alive) >= 0);
    size_t observer = find_observer(&net, 2);
    struct swim_suspicion suspicion = suspicion_of_victim(&net, observer);
    assert_int_equal(suspicion.count, 2);
    assert_int_equal(suspicion.since_ms, suspicion.accusations[0].heard_ms);
    assert_true(suspicion.accusations[0].heard_ms <= suspicion.accusations[1].heard_ms);
    assert_true(suspicion.accusations[1].heard_ms <= net.now_ms);
    assert_true(suspicion.dead_by_ms > net.now_ms);
    struct id first = suspicion.accusations[0].by;
    /* Dead at that time or sooner: further accusers may come. The first stays the first. */
    fake_run(&net, suspicion.dead_by_ms - net.now_ms + 1);
    assert_int_equal(fake_state(&net, observer, VICTIM), SWIM_DEAD);
    suspicion = suspicion_of_victim(&net, observer);
    assert_true(id_equal(&suspicion.accusations[0].by, &first));
    fake_done(&net);
}

/* Breaks if the time of an accusation is told of another one after one is dropped. */
static void test_when_accused_after_revocation(void **state)
{
    (void)state;
    struct fake_network net;
    fake_init(&net, PEERS, 12);
    assert_true(fake_wait(&net, 10000, fake_all_alive) >= 0);
    size_t observer = find_observer(&net, 2);
    struct swim_suspicion before = suspicion_of_victim(&net, observer);
    assert_int_equal(swim_revoke(net.peers[observer].swim, net.now_ms, &before.accusations[0].by),
                     0);
    struct swim_suspicion after = suspicion_of_victim(&net, observer);
    assert_int_equal(after.count, 1);
    assert_true(id_equal(&after.accusations[0].by, &before.accusations[1].by));
    assert_int_equal(after.accusations[0].heard_ms, before.accusations[1].heard_ms);
    fake_done(&net);
}

/* Breaks if asking who accuses somebody unknown, or well, finds anybody. */
static void test_no_accusers(void **state)
{
    (void)state;
    struct fake_network net;
    struct id nobody = {{1}};
    fake_init(&net, 2, 3);
    assert_true(fake_wait(&net, 10000, fake_all_alive) >= 0);
    struct swim_suspicion suspicion;
    swim_suspicion(net.peers[0].swim, &nobody, &suspicion);
    assert_int_equal(suspicion.count, 0);
    swim_suspicion(net.peers[0].swim, fake_id(&net, 1), &suspicion);
    assert_int_equal(suspicion.count, 0);
    assert_int_equal(swim_revoke(net.peers[0].swim, net.now_ms, fake_id(&net, 0)), -EINVAL);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_accuser_revoked),
        cmocka_unit_test(test_one_of_two_revoked),
        cmocka_unit_test(test_when_accused),
        cmocka_unit_test(test_when_accused_after_revocation),
        cmocka_unit_test(test_no_accusers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
