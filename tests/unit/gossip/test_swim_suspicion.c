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
    const struct id *id;
    for (size_t i = 0;
         (id = swim_member_accuser(net->peers[observer].swim, fake_id(net, VICTIM), i)); i++)
        if (id_equal(id, fake_id(net, accuser)))
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
    assert_null(swim_member_accuser(swim, fake_id(&net, VICTIM), 0));
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
    fake_init(&net, PEERS, 11);
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

/* Breaks if asking who accuses somebody unknown, or well, finds anybody. */
static void test_no_accusers(void **state)
{
    (void)state;
    struct fake_network net;
    struct id nobody = {{1}};
    fake_init(&net, 2, 3);
    assert_true(fake_wait(&net, 10000, fake_all_alive) >= 0);
    assert_null(swim_member_accuser(net.peers[0].swim, &nobody, 0));
    assert_null(swim_member_accuser(net.peers[0].swim, fake_id(&net, 1), 0));
    assert_int_equal(swim_revoke(net.peers[0].swim, net.now_ms, fake_id(&net, 0)), -EINVAL);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_accuser_revoked),
        cmocka_unit_test(test_one_of_two_revoked),
        cmocka_unit_test(test_no_accusers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
