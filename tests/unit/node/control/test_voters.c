#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/control/voters.h"

enum { PEERS = 12, NEAR_US = 500, FAR_US = 90000 };

/* Candidate i has id i + 1 and came as number i; all are alive and have been for long. */
struct fleet {
    struct voter_candidate peers[PEERS];
    size_t count;
    struct id chosen[RAFT_MEMBERS_MAX];
    size_t chosen_count;
    bool moves;
};

/* One letter a peer is its zone, '.' none; upper case votes, and the first of those leads. */
static void start(struct fleet *f, const char *zones)
{
    bool is_led = false;
    *f = (struct fleet){.count = strlen(zones)};
    for (size_t i = 0; i < f->count; i++) {
        struct voter_candidate *peer = &f->peers[i];
        *peer = (struct voter_candidate){
            .admitted_index = i, .is_alive = true, .is_settled = true, .rtt_us = NEAR_US};
        peer->id.bytes[0] = (uint8_t)(i + 1);
        peer->votes = (zones[i] >= 'A' && zones[i] <= 'Z') || zones[i] == '!';
        peer->has_log = peer->votes;
        peer->is_chooser = peer->votes && !is_led;
        is_led = is_led || peer->votes;
        if (zones[i] != '.' && zones[i] != '!')
            peer->zone[0] = (char)(zones[i] | 0x20);
    }
}

/* Who is chosen, as "10110". */
static const char *choose(struct fleet *f, size_t voters_max, bool may_move)
{
    static char text[PEERS + 1];
    f->chosen_count = voters_choose(f->peers, f->count, voters_max, may_move, f->chosen, &f->moves);
    for (size_t i = 0; i < f->count; i++)
        text[i] = f->peers[i].is_chosen ? '1' : '0';
    text[f->count] = '\0';
    return text;
}

/* Breaks if an even number votes, or more than shall. */
static void test_number(void **state)
{
    static const size_t expected[] = {0, 1, 1, 3, 3, 5, 5, 5, 5};
    (void)state;
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(voters_target(i, 5), expected[i]);
    assert_int_equal(voters_target(8, 7), 7);
    assert_int_equal(voters_target(8, 1), 1);
    assert_int_equal(voters_target(2, 3), 1);
}

/* Breaks if a fleet can't begin before its peers have been there for long. */
static void test_begins(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "!....");
    for (size_t i = 0; i < f.count; i++)
        f.peers[i].is_settled = false;
    assert_string_equal(choose(&f, 5, true), "11111");
    assert_string_equal(choose(&f, 3, true), "11100");
}

/* Breaks if a newcomer gets a vote that one could have who has been there for a while. */
static void test_settled_first(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "!!...");
    f.peers[2].is_settled = false;
    assert_string_equal(choose(&f, 3, false), "11010");
    f.peers[3].is_settled = f.peers[4].is_settled = false;
    assert_string_equal(choose(&f, 3, false), "11100");
}

/* Breaks if a voter loses its vote as it restarts, or keeps it for ever when it is dead; or if one
 * is taken from the dead for nobody. */
static void test_dead(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "!!!..");
    f.peers[1].is_alive = f.peers[1].is_settled = false;
    assert_string_equal(choose(&f, 3, true), "11100");
    f.peers[1].is_dead_for_long = true;
    assert_string_equal(choose(&f, 3, true), "10110");
    f.peers[3].is_settled = f.peers[4].is_settled = false; /* better than a dead one */
    assert_string_equal(choose(&f, 3, true), "10110");
    f.peers[3].is_alive = f.peers[4].is_alive = false;
    assert_string_equal(choose(&f, 3, true), "11100");
}

/* Breaks if free seats all go to one zone, or to the far ones. */
static void test_zones_and_round_trips(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "Aaabbc");
    assert_string_equal(choose(&f, 3, false), "100101");
    assert_string_equal(choose(&f, 5, false), "110111");
    start(&f, "!....");
    f.peers[1].rtt_us = f.peers[3].rtt_us = FAR_US;
    f.peers[2].rtt_us = 0; /* nobody knows */
    assert_string_equal(choose(&f, 3, false), "10101");
    f.peers[3].rtt_us = NEAR_US + 100; /* about the same: who has been here longer */
    assert_string_equal(choose(&f, 3, false), "10110");
}

/* Breaks if a living voter is replaced for a slightly better one; or never, where the loss of one
 * zone is the loss of the quorum; or the leader for that. */
static void test_moves(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "AAAbc");
    for (size_t i = 1; i < 3; i++)
        f.peers[i].rtt_us = FAR_US;
    assert_string_equal(choose(&f, 3, false), "11100");
    assert_false(f.moves);
    assert_string_equal(choose(&f, 3, true), "11010");
    assert_true(f.moves);
    start(&f, "AABcd"); /* still: a has two of three */
    assert_string_equal(choose(&f, 3, true), "10110");
    start(&f, "ABCab"); /* the loss of any zone leaves two */
    assert_string_equal(choose(&f, 3, true), "11100");
    assert_false(f.moves);
    start(&f, "AAAaa"); /* there is nowhere to go */
    assert_string_equal(choose(&f, 3, true), "11100");
    start(&f, "!!!..");
    assert_string_equal(choose(&f, 3, true), "11100");
    start(&f, "AABbb"); /* it would only turn round */
    assert_string_equal(choose(&f, 3, true), "11100");
    start(&f, "AAAbc");
    f.peers[3].is_settled = f.peers[4].is_settled = false;
    assert_string_equal(choose(&f, 3, true), "11100");
}

/* Breaks if it goes on for ever: what was chosen is chosen again once it votes. */
static void test_rests(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "AAAAAabbcc");
    unsigned moves = 0;
    for (unsigned i = 0; i < 20; i++) {
        choose(&f, 5, true);
        moves += f.moves;
        for (size_t j = 0; j < f.count; j++)
            f.peers[j].votes = f.peers[j].has_log = f.peers[j].is_chosen;
    }
    assert_false(f.moves);
    assert_true(moves > 0 && moves < 5);
    assert_true(f.peers[0].votes);
}

/* Breaks if one who is getting the log is given up for another as good, or waited for in vain. */
static void test_learners(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "!!....");
    f.peers[4].is_learner = true;
    assert_string_equal(choose(&f, 3, false), "110010");
    f.peers[4].is_slow = true;
    assert_string_equal(choose(&f, 3, false), "111000");
    f.peers[2].is_learner = f.peers[2].has_log = true;
    f.peers[4].is_slow = false;
    assert_string_equal(choose(&f, 3, false), "111000");
}

/* Breaks if fewer seats cost the leader's or the living their votes. */
static void test_fewer(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "!!!!!");
    f.peers[0].is_chooser = false;
    f.peers[4].is_chooser = true;
    f.peers[1].is_alive = false;
    assert_string_equal(choose(&f, 3, false), "10101");
    assert_int_equal(f.chosen_count, 3);
    assert_true(id_equal(&f.chosen[0], &f.peers[4].id));
}

static void set_room(struct fleet *f, size_t i, uint64_t mib)
{
    f->peers[i].has_disk = true;
    f->peers[i].disk_free_bytes = mib << 20;
}

/* Breaks if who has little room is chosen before others, or not at all when there is nobody else.
 */
static void test_little_room(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "!....");
    set_room(&f, 1, VOTERS_DISK_ENOUGH_MIB - 1);
    set_room(&f, 2, VOTERS_DISK_FULL_MIB - 1);
    set_room(&f, 3, VOTERS_DISK_ENOUGH_MIB);
    assert_string_equal(choose(&f, 3, false), "10011");
    f.peers[3].is_settled = f.peers[4].is_settled = false;
    assert_string_equal(choose(&f, 3, false), "10011");
    f.peers[4].is_alive = false;
    assert_string_equal(choose(&f, 3, false), "11010"); /* little is better than full */
    assert_string_equal(choose(&f, 5, false), "11110");
}

/* Breaks if a voter whose disk is nearly full keeps its vote though another has room, or gives it
 * to one that has little more, or has just come; or if votes go to and fro. */
static void test_full_voter(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "!!!.");
    set_room(&f, 1, VOTERS_DISK_FULL_MIB);
    assert_string_equal(choose(&f, 3, false), "1110");
    set_room(&f, 1, VOTERS_DISK_FULL_MIB - 1);
    assert_string_equal(choose(&f, 3, false), "1011");
    set_room(&f, 3, VOTERS_DISK_ENOUGH_MIB - 1);
    assert_string_equal(choose(&f, 3, false), "1110");
    set_room(&f, 3, VOTERS_DISK_ENOUGH_MIB);
    f.peers[3].is_settled = false;
    assert_string_equal(choose(&f, 3, false), "1110");
    f.peers[3].is_settled = true;
    set_room(&f, 0, 0); /* the leader, too: one gives way at a time of whom there are too many */
    assert_string_equal(choose(&f, 3, false), "1011");
    f.peers[3].votes = true, f.peers[1].votes = false; /* and having moved, it stays */
    set_room(&f, 0, VOTERS_DISK_ENOUGH_MIB);
    set_room(&f, 1, 100 * VOTERS_DISK_ENOUGH_MIB);
    set_room(&f, 3, VOTERS_DISK_FULL_MIB);
    assert_string_equal(choose(&f, 3, false), "1011");
}

/* Breaks if the leader keeps the lead on a disk that is nearly full. */
static void test_full_leader(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "!!!..");
    set_room(&f, 0, VOTERS_DISK_FULL_MIB / 2);
    assert_string_equal(choose(&f, 3, false), "01110");
}

static const char *reason(struct fleet *f, size_t i)
{
    static char text[VOTERS_REASON_BYTES_MAX + 1];
    voters_reason(f->peers, f->count, 5, &f->peers[i].id, text);
    return text;
}

/* Breaks if an operator can't be told why. */
static void test_reasons(void **state)
{
    (void)state;
    struct fleet f;
    start(&f, "AAaab");
    f.peers[3].is_settled = false;
    choose(&f, 3, false);
    assert_string_equal(reason(&f, 0), "who votes goes on while it is there");
    assert_string_equal(reason(&f, 4), "it is chosen, and votes once it has the log");
    assert_string_equal(reason(&f, 2), "3 others vote, 2 of them in zone a");
    assert_string_equal(reason(&f, 3), "it has not been there for long");
    f.peers[2].is_alive = false;
    choose(&f, 3, false);
    assert_string_equal(reason(&f, 2), "it does not answer");
    f.peers[2].is_alive = true;
    choose(&f, 3, false);
    char text[VOTERS_REASON_BYTES_MAX + 1];
    voters_reason(f.peers, f.count, 3, &f.peers[2].id, text);
    assert_string_equal(
        text, "3 others vote, as many as consort cluster voters says, 2 of them in zone a");
    set_room(&f, 2, VOTERS_DISK_FULL_MIB / 2);
    assert_string_equal(reason(&f, 2), "the disk under its data directory is nearly full");
    set_room(&f, 2, VOTERS_DISK_ENOUGH_MIB / 2);
    assert_string_equal(reason(&f, 2), "the disk under its data directory has little room");
    set_room(&f, 0, 0);
    choose(&f, 5, false);
    assert_string_equal(reason(&f, 0), "its disk is nearly full, and nobody that is there for a "
                                       "while and has room is there to take its vote");
    struct id stranger = {{99}};
    voters_reason(f.peers, f.count, 5, &stranger, text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number),      cmocka_unit_test(test_begins),
        cmocka_unit_test(test_little_room), cmocka_unit_test(test_full_voter),
        cmocka_unit_test(test_full_leader), cmocka_unit_test(test_settled_first),
        cmocka_unit_test(test_dead),        cmocka_unit_test(test_zones_and_round_trips),
        cmocka_unit_test(test_moves),       cmocka_unit_test(test_rests),
        cmocka_unit_test(test_learners),    cmocka_unit_test(test_fewer),
        cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
