#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "consensus/raft_configuration.h"

/* "v1 l2 r3": voter 1, learner 2, remove 3. */
static struct raft_changes parse(const char *text, enum raft_transition transition)
{
    struct raft_changes changes = {.transition = transition};
    for (; *text; text += text[2] ? 3 : 2) {
        struct raft_change *change = &changes.members[changes.count++];
        change->type = text[0] == 'v'   ? RAFT_ADD_VOTER
                       : text[0] == 'l' ? RAFT_ADD_LEARNER
                                        : RAFT_REMOVE;
        change->id.bytes[0] = (uint8_t)(text[1] - '0');
    }
    return changes;
}

/* "1v 2vo 3on 4l": the members' parts by first letter, and "!" for leaving by itself. */
static void assert_members(const struct raft_configuration *configuration, const char *expected)
{
    char text[256] = "";
    size_t size = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        uint8_t parts = configuration->members[i].parts;
        size +=
            (size_t)snprintf(text + size, sizeof(text) - size, "%s%d%s%s%s%s", i ? " " : "",
                             configuration->members[i].id.bytes[0], parts & RAFT_VOTER ? "v" : "",
                             parts & RAFT_OUTGOING ? "o" : "", parts & RAFT_LEARNER ? "l" : "",
                             parts & RAFT_LEARNER_NEXT ? "n" : "");
    }
    if (configuration->auto_leave)
        snprintf(text + size, sizeof(text) - size, "!");
    assert_string_equal(text, expected);
}

static int change(struct raft_configuration *configuration, const char *text,
                  enum raft_transition transition)
{
    struct raft_changes changes = parse(text, transition);
    return raft_configuration_change(configuration, &changes, configuration);
}

/* Breaks if a change gives other members than asked, or leaves who must still count. */
static void test_changes(void **state)
{
    (void)state;
    struct raft_configuration c = {0};
    assert_int_equal(change(&c, "v1", RAFT_TRANSITION_AUTO), 0);
    assert_members(&c, "1v");
    assert_int_equal(change(&c, "v2 l3", RAFT_TRANSITION_SIMPLE), 0);
    assert_members(&c, "1v 2v 3l");
    assert_int_equal(change(&c, "l1 v4", RAFT_TRANSITION_AUTO), 0);
    assert_members(&c, "1on 2vo 3l 4v!");
    assert_true(raft_configuration_is_joint(&c));
    assert_int_equal(change(&c, "", RAFT_TRANSITION_AUTO), 0);
    assert_members(&c, "1l 2v 3l 4v");
    assert_int_equal(change(&c, "r2 v3 v3 r9", RAFT_TRANSITION_EXPLICIT), 0);
    assert_members(&c, "1l 2o 3v 4vo");
    assert_int_equal(change(&c, "", RAFT_TRANSITION_AUTO), 0);
    assert_members(&c, "1l 3v 4v");
}

/* Breaks if a change is taken that would leave two disjoint majorities, or no voter. */
static void test_refused_changes(void **state)
{
    (void)state;
    struct raft_configuration c = {0};
    assert_int_equal(change(&c, "l1", RAFT_TRANSITION_AUTO), -EINVAL);
    assert_int_equal(change(&c, "v1 v2", RAFT_TRANSITION_JOINT), -EINVAL);
    assert_int_equal(change(&c, "v1", RAFT_TRANSITION_AUTO), 0);
    assert_int_equal(change(&c, "r1", RAFT_TRANSITION_AUTO), -EINVAL);
    assert_int_equal(change(&c, "v2 v3", RAFT_TRANSITION_SIMPLE), -EINVAL);
    assert_int_equal(change(&c, "", RAFT_TRANSITION_AUTO), -EINVAL);
    assert_int_equal(change(&c, "v2 v3", RAFT_TRANSITION_AUTO), 0);
    assert_int_equal(change(&c, "v4", RAFT_TRANSITION_AUTO), -EINVAL);
    assert_int_equal(change(&c, "v4 v5", RAFT_TRANSITION_JOINT), -EINVAL);
    assert_members(&c, "1vo 2v 3v!");
    c = (struct raft_configuration){0};
    for (int i = 1; i <= RAFT_MEMBERS_MAX; i++) {
        struct raft_changes one = {.members = {{RAFT_ADD_VOTER, {{(uint8_t)i}}}}, .count = 1};
        assert_int_equal(raft_configuration_change(&c, &one, &c), 0);
    }
    struct raft_changes more = {.members = {{RAFT_ADD_LEARNER, {{99}}}}, .count = 1};
    assert_int_equal(raft_configuration_change(&c, &more, &c), -E2BIG);
}

/* Breaks if fewer than a majority of each half decide. */
static void test_quorums(void **state)
{
    (void)state;
    struct raft_configuration c = {0};
    uint64_t held[RAFT_MEMBERS_MAX] = {7, 5, 3, 9, 2};
    int8_t votes[RAFT_MEMBERS_MAX] = {0};
    assert_true(raft_configuration_committed(&c, held) == UINT64_MAX);
    assert_int_equal(raft_configuration_vote(&c, votes), RAFT_VOTE_WON);
    change(&c, "v1", RAFT_TRANSITION_AUTO);
    assert_int_equal(raft_configuration_committed(&c, held), 7);
    change(&c, "v2", RAFT_TRANSITION_AUTO);
    assert_int_equal(raft_configuration_committed(&c, held), 5);
    change(&c, "v3", RAFT_TRANSITION_AUTO);
    assert_int_equal(raft_configuration_committed(&c, held), 5);
    change(&c, "r1 r2 v4 v5", RAFT_TRANSITION_JOINT); /* 3 4 5 and 1 2 3 */
    assert_int_equal(raft_configuration_committed(&c, held), 3);
    held[4] = 9; /* 3 9 9 and 7 5 3 */
    assert_int_equal(raft_configuration_committed(&c, held), 5);
    votes[2] = votes[3] = 1;
    assert_int_equal(raft_configuration_vote(&c, votes), RAFT_VOTE_PENDING);
    votes[0] = 1;
    assert_int_equal(raft_configuration_vote(&c, votes), RAFT_VOTE_WON);
    votes[0] = votes[1] = -1;
    assert_int_equal(raft_configuration_vote(&c, votes), RAFT_VOTE_LOST);
    struct id id = {{4}};
    assert_true(raft_configuration_votes(&c, &id));
    id.bytes[0] = 9;
    assert_false(raft_configuration_votes(&c, &id));
}

/* Breaks if a configuration does not survive a snapshot, or one that cannot be is read. */
static void test_encoding(void **state)
{
    (void)state;
    struct raft_configuration c = {0}, back;
    change(&c, "v1", RAFT_TRANSITION_AUTO);
    change(&c, "v2 l1", RAFT_TRANSITION_JOINT);
    for (uint8_t parts = 0; parts < 32; parts++) {
        cleanup_buffer struct buffer buffer;
        struct writer writer;
        struct reader reader;
        buffer_init(&buffer);
        writer_init(&writer, &buffer);
        c.members[0].parts = parts;
        raft_configuration_write(&c, &writer);
        reader_init(&reader, buffer.bytes, buffer.size);
        bool is_possible = parts == RAFT_OUTGOING || parts == (RAFT_OUTGOING | RAFT_VOTER) ||
                           parts == (RAFT_OUTGOING | RAFT_LEARNER_NEXT);
        /* Without an outgoing voter it is not joint, and cannot leave by itself. */
        assert_int_equal(raft_configuration_read(&reader, &back), is_possible ? 0 : -EBADMSG);
        if (is_possible)
            assert_true(raft_configuration_equal(&c, &back));
    }
}

/* Breaks if a change does not survive the log, or hostile bytes are taken for one. */
static void test_changes_encoding(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    struct writer writer;
    struct raft_changes changes = parse("v1 l2 r3", RAFT_TRANSITION_EXPLICIT), back;
    buffer_init(&buffer);
    writer_init(&writer, &buffer);
    raft_changes_write(&changes, &writer);
    assert_int_equal(raft_changes_decode(buffer_view(&buffer), &back), 0);
    assert_int_equal(back.count, 3);
    assert_int_equal(back.transition, RAFT_TRANSITION_EXPLICIT);
    assert_int_equal(back.members[2].type, RAFT_REMOVE);
    assert_true(id_is_none(&back.seal.signer));
    buffer_clear(&buffer);
    changes.seal = (struct raft_seal){.signer = {{7}}, .signature = {8, 9}};
    raft_changes_write(&changes, &writer);
    assert_int_equal(raft_changes_decode(buffer_view(&buffer), &back), 0);
    assert_memory_equal(&back.seal, &changes.seal, sizeof(back.seal));
    for (size_t size = 1; size < buffer.size; size++)
        assert_int_equal(raft_changes_decode((struct bytes){buffer.bytes, size}, &back), -EBADMSG);
    assert_int_equal(raft_changes_decode((struct bytes){0}, &back), 0);
    assert_int_equal(back.count, 0);
    memset(buffer.bytes + buffer.size - 2 - RAFT_SEAL_SIGNATURE_BYTES - ID_BYTES, 0, ID_BYTES);
    assert_int_equal(raft_changes_decode(buffer_view(&buffer), &back), -EBADMSG); /* by nobody */
    buffer.bytes[1] = RAFT_TRANSITIONS;
    assert_int_equal(raft_changes_decode(buffer_view(&buffer), &back), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),          cmocka_unit_test(test_refused_changes),
        cmocka_unit_test(test_quorums),          cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_changes_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
