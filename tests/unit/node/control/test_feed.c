#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/control/feed.h"
#include "tests/unit/consensus/failing_memory.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/transport/party.h"

/* A server whose intent grew by entries, all remembered, and a puller that is at `behind`. */
struct pair {
    struct identity leader;
    struct fixture f;
    struct feed feed;
    struct intent *behind;
};

static void grow(struct pair *p, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct command command = fixture_command(&p->f, COMMAND_PEER_STATE);
        cleanup_buffer struct buffer bytes = {0};
        command.peer_state.id = fixture_id(0);
        command.peer_state.state = p->f.index % 2 ? INTENT_DRAINING : INTENT_ACTIVE;
        assert_int_equal(command_encode(&command, &bytes), 0);
        fixture_apply(&p->f, &command);
        const struct raft_entry entry = {.index = p->f.index,
                                         .term = 1,
                                         .type = RAFT_ENTRY_COMMAND,
                                         .data = buffer_view(&bytes)};
        feed_remember(&p->feed, &entry);
    }
    assert_int_equal(feed_head_sign(p->f.intent, &p->leader, &p->feed.head), 0);
}

static struct intent *copy(const struct intent *intent)
{
    cleanup_buffer struct buffer bytes = {0};
    struct intent *ret;
    assert_int_equal(intent_write(intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &ret), 0);
    return ret;
}

static void start(struct pair *p)
{
    *p = (struct pair){0};
    party_identity(&p->leader, 1);
    fixture_init(&p->f, 2);
    feed_init(&p->feed);
    p->behind = copy(p->f.intent);
}

static void done(struct pair *p)
{
    feed_done(&p->feed);
    intent_free(p->behind);
    fixture_done(&p->f);
}

/* Pulls once; returns the kind of answer, on the wire. */
static unsigned pull(struct pair *p, struct buffer *push)
{
    buffer_clear(push);
    assert_int_equal(feed_push_encode(&p->feed, p->f.intent, p->behind->applied_index, push), 0);
    return push->bytes[1];
}

static void take(struct pair *p, const struct buffer *push)
{
    struct intent *newer = NULL;
    struct feed_head head;
    assert_int_equal(feed_push_decode(p->behind, buffer_view(push), &newer, &head), 0);
    assert_non_null(newer);
    fixture_assert_same(newer, p->f.intent);
    assert_int_equal(head.index, p->f.index);
    intent_free(p->behind);
    p->behind = newer;
}

/* Breaks if what is remembered grows without bound, or what is forgotten can't be pulled. */
static void test_bounds(void **state)
{
    (void)state;
    struct pair p;
    cleanup_buffer struct buffer push = {0};
    start(&p);
    grow(&p, 10);
    assert_int_equal(pull(&p, &push), 1);
    take(&p, &push);
    assert_int_equal(pull(&p, &push), 0);
    grow(&p, FEED_RECENT_ENTRIES_MAX + 10);
    assert_in_range(p.feed.recent_count, FEED_RECENT_ENTRIES_MAX / 4, FEED_RECENT_ENTRIES_MAX);
    assert_int_equal(pull(&p, &push), 2); /* the whole intent */
    take(&p, &push);
    grow(&p, 3);
    assert_int_equal(pull(&p, &push), 1);
    take(&p, &push);

    /* an entry that is larger than all that may be kept */
    cleanup_buffer struct buffer large = {0};
    assert_int_equal(buffer_reserve(&large, FEED_RECENT_BYTES_MAX + 1), 0);
    memset(large.bytes, 0, FEED_RECENT_BYTES_MAX + 1);
    struct raft_entry entry = {.index = p.f.index + 1,
                               .type = RAFT_ENTRY_COMMAND,
                               .data = {large.bytes, FEED_RECENT_BYTES_MAX + 1}};
    feed_remember(&p.feed, &entry);
    assert_int_equal(p.feed.recent_count, 0);
    entry.data.size = FEED_RECENT_BYTES_MAX / 2;
    for (int i = 0; i < 5; i++) {
        feed_remember(&p.feed, &entry);
        assert_true(p.feed.recent_bytes <= FEED_RECENT_BYTES_MAX);
        assert_true(p.feed.recent_count > 0);
    }
    done(&p);
}

/* Breaks if entries are served that lead past the signed head: no hash would fit them. */
static void test_past_the_head(void **state)
{
    (void)state;
    struct pair p;
    cleanup_buffer struct buffer push = {0};
    start(&p);
    grow(&p, 3);
    struct feed_head head = p.feed.head;
    grow(&p, 2);
    p.feed.head = head; /* it has not heard of the newer one yet */
    assert_int_equal(pull(&p, &push), 1);
    struct intent *newer;
    assert_int_equal(feed_push_decode(p.behind, buffer_view(&push), &newer, &head), 0);
    assert_int_equal(newer->applied_index, head.index);
    intent_free(newer);
    feed_forget(&p.feed);
    assert_int_equal(pull(&p, &push), 0);
    done(&p);
}

/* Breaks if entries that Raft brought while they were asked for too are taken for later ones: the
 * sender would be accused of forgery. */
static void test_overlap(void **state)
{
    (void)state;
    struct pair p;
    struct intent *newer = NULL;
    struct feed_head head;
    cleanup_buffer struct buffer push = {0}, late = {0};
    start(&p);
    grow(&p, 2);
    struct intent *between = copy(p.f.intent);
    grow(&p, 3);
    assert_int_equal(pull(&p, &push), 1); /* asked for before those two came by Raft */
    assert_int_equal(feed_push_decode(between, buffer_view(&push), &newer, &head), 0);
    assert_non_null(newer);
    fixture_assert_same(newer, p.f.intent);
    intent_free(newer);

    /* entries that do not reach back to where the puller is */
    assert_int_equal(feed_push_encode(&p.feed, p.f.intent, between->applied_index, &late), 0);
    assert_int_equal(feed_push_decode(p.behind, buffer_view(&late), &newer, &head), -EKEYREJECTED);
    intent_free(between);
    done(&p);
}

/* Breaks if an answer that is cut short anywhere, or is somebody else's, is taken. */
static void test_malformed(void **state)
{
    (void)state;
    struct pair p;
    cleanup_buffer struct buffer push = {0};
    struct intent *newer = NULL;
    struct feed_head head;
    start(&p);
    for (int whole = 0; whole < 2; whole++) {
        grow(&p, 2);
        if (whole)
            feed_forget(&p.feed);
        assert_int_equal(pull(&p, &push), 1 + whole);
        for (size_t size = 0; size < push.size; size++) {
            struct bytes cut = {push.bytes, size};
            assert_int_equal(feed_push_decode(p.behind, cut, &newer, &head), -EBADMSG);
        }
        assert_int_equal(buffer_append(&push, "\x00", 1), 0);
        assert_int_equal(feed_push_decode(p.behind, buffer_view(&push), &newer, &head), -EBADMSG);
    }
    assert_null(newer);
    struct id other = p.f.intent->cluster;
    other.bytes[0] ^= 1;
    assert_int_equal(feed_head_verify(&p.feed.head, &p.f.intent->cluster), 0);
    assert_int_equal(feed_head_verify(&p.feed.head, &other), -EKEYREJECTED);
    done(&p);
}

/* Breaks if the feed leaks, lies or stops serving when there is no memory. */
static void test_no_memory(void **state)
{
    (void)state;
    struct pair p;
    start(&p);
    grow(&p, 3);
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        cleanup_buffer struct buffer push = {0};
        memory_fail_after(n);
        rc = feed_push_encode(&p.feed, p.f.intent, p.behind->applied_index, &push);
        memory_pause();
    }
    assert_int_equal(rc, 0);
    cleanup_buffer struct buffer push = {0};
    assert_int_equal(pull(&p, &push), 1);
    rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct intent *newer = NULL;
        struct feed_head head;
        memory_fail_after(n);
        rc = feed_push_decode(p.behind, buffer_view(&push), &newer, &head);
        memory_pause();
        assert_true((rc == 0) == (newer != NULL));
        intent_free(newer);
    }
    assert_int_equal(rc, 0);
    rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct feed_head head;
        memory_fail_after(n);
        rc = feed_head_sign(p.f.intent, &p.leader, &head);
        memory_pause();
    }
    assert_int_equal(rc, 0);

    struct raft_entry entry = {.index = p.f.index + 1, .data = bytes_of_text("entry")};
    memory_fail_after(0);
    feed_remember(&p.feed, &entry);
    memory_pause();
    assert_int_equal(p.feed.recent_count, 0); /* whole intents are served instead */
    assert_int_equal(pull(&p, &push), 2);
    take(&p, &push);
    struct feed none;
    feed_init(&none);
    memory_fail_after(0);
    feed_remember(&none, &entry);
    memory_pause();
    assert_int_equal(none.recent_count, 0);
    feed_done(&none);
    done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_past_the_head),
        cmocka_unit_test(test_overlap),   cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
