#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/intent_apply.h"
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

static void sign(struct pair *p)
{
    assert_int_equal(feed_head_sign(p->f.intent, &p->feed.state, &p->leader, &p->feed.head), 0);
    if (p->feed.state.index > 0)
        p->feed.state.head = p->feed.head;
}

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
        feed_chain_next(p->f.intent->chain, &entry, p->f.intent->chain);
        feed_remember(&p->feed, &entry);
    }
    sign(p);
}

static void offer(struct pair *p)
{
    feed_state_done(&p->feed.state);
    assert_int_equal(feed_state_make(p->f.intent, &p->feed.state), 0);
    sign(p);
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

/* Makes the intent as large as it takes for some parts. */
static void enlarge(struct pair *p)
{
    for (unsigned i = 0; i < 2 * FEED_PART_BYTES / INTENT_REASON_BYTES_MAX; i++) {
        struct intent_event event = {.index = p->f.index, .kind = "deploy", .subject = "web"};
        event.text = malloc(INTENT_REASON_BYTES_MAX + 1);
        memset(event.text, 'a' + (int)(i % 20), INTENT_REASON_BYTES_MAX);
        event.text[INTENT_REASON_BYTES_MAX] = '\0';
        intent_event_push(p->f.intent, &event);
    }
}

/* Pulls once; what comes borrows from `bytes`. */
static struct feed_push pull(struct pair *p, const struct feed_pull *asked, struct buffer *bytes)
{
    struct feed_push push;
    buffer_clear(bytes);
    assert_int_equal(feed_push_encode(&p->feed, asked, bytes), 0);
    assert_int_equal(feed_push_read(buffer_view(bytes), &push), 0);
    return push;
}

static struct feed_push pull_entries(struct pair *p, struct buffer *bytes)
{
    return pull(p, &(struct feed_pull){.index = p->behind->applied_index}, bytes);
}

static void take(struct pair *p, const struct feed_push *push)
{
    assert_int_equal(push->kind, FEED_PUSH_ENTRIES);
    assert_int_equal(feed_entries_check(p->behind, push), 0);
    assert_int_equal(feed_entries_apply(p->behind, push, NULL), 0);
    fixture_assert_same(p->behind, p->f.intent);
}

/* Pulls part after part, until all is there. */
static void fetch(struct pair *p, struct feed_fetch *fetch)
{
    cleanup_buffer struct buffer bytes = {0};
    struct feed_pull asked = {.index = p->behind->applied_index};
    struct feed_push push = pull(p, &asked, &bytes);
    assert_int_equal(push.kind, FEED_PUSH_PART);
    assert_int_equal(feed_fetch_begin(fetch, &push, 1), 0);
    while (!feed_fetch_is_whole(fetch)) {
        asked.state_index = fetch->head.state_index;
        asked.part = feed_fetch_part(fetch);
        push = pull(p, &asked, &bytes);
        assert_int_equal(push.hashes.size, 0); /* they came with the first */
        assert_int_equal(feed_fetch_take(fetch, &push, 1), 0);
    }
}

/* Breaks if what is remembered grows without bound, or what is forgotten can't be pulled. */
static void test_bounds(void **state)
{
    (void)state;
    struct pair p;
    struct feed_push push;
    cleanup_buffer struct buffer bytes = {0};
    start(&p);
    grow(&p, 10);
    push = pull_entries(&p, &bytes);
    take(&p, &push);
    assert_int_equal(pull_entries(&p, &bytes).kind, FEED_PUSH_NOTHING);
    grow(&p, FEED_RECENT_ENTRIES_MAX + 10);
    assert_in_range(p.feed.recent_count, FEED_RECENT_ENTRIES_MAX / 4, FEED_RECENT_ENTRIES_MAX);
    assert_int_equal(pull_entries(&p, &bytes).kind, FEED_PUSH_NOTHING);
    offer(&p);
    assert_int_equal(pull_entries(&p, &bytes).kind, FEED_PUSH_PART); /* of the whole intent */

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

/* Breaks if entries are served that lead past the signed head: no chain would fit them. */
static void test_past_the_head(void **state)
{
    (void)state;
    struct pair p;
    cleanup_buffer struct buffer bytes = {0};
    start(&p);
    grow(&p, 3);
    struct feed_head head = p.feed.head;
    grow(&p, 2);
    p.feed.head = head; /* it has not heard of the newer one yet */
    struct feed_push push = pull_entries(&p, &bytes);
    assert_int_equal(feed_entries_check(p.behind, &push), 0);
    assert_int_equal(feed_entries_apply(p.behind, &push, NULL), 0);
    assert_int_equal(p.behind->applied_index, head.index);
    feed_forget(&p.feed);
    assert_int_equal(pull_entries(&p, &bytes).kind, FEED_PUSH_NOTHING);
    done(&p);
}

/* Breaks if entries that Raft brought while they were asked for too are taken for later ones: the
 * sender would be accused of forgery. */
static void test_overlap(void **state)
{
    (void)state;
    struct pair p;
    cleanup_buffer struct buffer bytes = {0}, late = {0};
    start(&p);
    grow(&p, 2);
    struct intent *between = copy(p.f.intent);
    uint64_t index = between->applied_index;
    grow(&p, 3);
    struct feed_push push = pull_entries(&p, &bytes); /* asked for before those two came by Raft */
    assert_int_equal(feed_entries_check(between, &push), 0);
    assert_int_equal(feed_entries_apply(between, &push, NULL), 0);
    fixture_assert_same(between, p.f.intent);
    intent_free(between);

    struct feed other; /* remembers only what was new */
    feed_init(&other);
    feed_entries_remember(&other, &push, index);
    assert_int_equal(other.recent_count, 3);
    assert_int_equal(other.recent[0].index, index + 1);
    feed_done(&other);

    /* entries that do not reach back to where the puller is */
    push = pull(&p, &(struct feed_pull){.index = index}, &late);
    assert_int_equal(feed_entries_check(p.behind, &push), -EKEYREJECTED);
    done(&p);
}

/* Breaks if whoever serves entries can change, leave out or add any: nothing may be applied. */
static void test_forged_entries(void **state)
{
    (void)state;
    struct pair p;
    cleanup_buffer struct buffer bytes = {0};
    start(&p);
    grow(&p, 3);
    struct feed_push push = pull_entries(&p, &bytes), forged;
    size_t from = (size_t)(push.entries.data - bytes.bytes), refused = 0;
    for (size_t i = from; i < bytes.size; i++) {
        bytes.bytes[i] ^= 1;
        int rc = feed_push_read(buffer_view(&bytes), &forged);
        if (rc == 0)
            rc = feed_entries_check(p.behind, &forged);
        assert_true(rc == -EBADMSG || rc == -EKEYREJECTED);
        refused += rc == -EKEYREJECTED;
        bytes.bytes[i] ^= 1;
    }
    assert_true(refused > push.entries.size / 2);
    forged = push;
    forged.entry_count--;
    forged.head.index--;
    assert_int_equal(feed_entries_check(p.behind, &forged), -EKEYREJECTED);
    take(&p, &push);
    done(&p);
}

/* Breaks if a whole intent can't be pulled in parts, from one peer or several. */
static void test_parts(void **state)
{
    (void)state;
    struct pair p;
    struct feed_fetch fetched = {0};
    struct intent *newer;
    start(&p);
    enlarge(&p);
    grow(&p, 3);
    feed_forget(&p.feed);
    offer(&p);
    assert_true(feed_part_count(p.feed.state.bytes.size) >= 3);
    fetch(&p, &fetched);
    assert_int_equal(intent_read(buffer_view(&fetched.bytes), &newer), 0);
    fixture_assert_same(newer, p.f.intent);
    intent_free(newer);
    feed_fetch_done(&fetched);
    done(&p);
}

/* Breaks if a part that is not what the head says is taken, or undoes those before it. */
static void test_forged_part(void **state)
{
    (void)state;
    struct pair p;
    struct feed_fetch fetched = {0};
    cleanup_buffer struct buffer bytes = {0};
    start(&p);
    enlarge(&p);
    grow(&p, 3);
    feed_forget(&p.feed);
    offer(&p);
    struct feed_pull asked = {.index = p.behind->applied_index};
    struct feed_push push = pull(&p, &asked, &bytes), forged = push;
    uint8_t wrong[FEED_PART_BYTES];
    memcpy(wrong, push.data.data, sizeof(wrong));
    wrong[sizeof(wrong) / 2] ^= 1;
    forged.data.data = wrong;
    assert_int_equal(feed_fetch_begin(&fetched, &forged, 1), -EKEYREJECTED);
    forged = push;
    forged.data.size--;
    assert_int_equal(feed_fetch_begin(&fetched, &forged, 1), -EKEYREJECTED);
    forged = push;
    forged.size++;
    assert_int_equal(feed_fetch_begin(&fetched, &forged, 1), -EKEYREJECTED);
    forged = push;
    forged.hashes.size -= FEED_HASH_BYTES;
    assert_int_equal(feed_fetch_begin(&fetched, &forged, 1), -EKEYREJECTED);
    forged = push;
    forged.head.state_hash[0] ^= 1;
    assert_int_equal(feed_fetch_begin(&fetched, &forged, 1), -EKEYREJECTED);
    assert_int_equal(fetched.head.index, 0);

    assert_int_equal(feed_fetch_begin(&fetched, &push, 1), 0);
    assert_int_equal(feed_fetch_take(&fetched, &push, 2), -EAGAIN); /* it came twice */
    forged = push;
    forged.part = 1;
    assert_int_equal(feed_fetch_take(&fetched, &forged, 2), -EKEYREJECTED);
    assert_int_equal(fetched.bytes.size, FEED_PART_BYTES);
    assert_int_equal(fetched.progress_ms, 1);
    feed_fetch_done(&fetched);
    fetch(&p, &fetched);
    feed_fetch_done(&fetched);
    done(&p);
}

/* Breaks if an intent that two peers compute differently goes unnoticed where one is offered. */
static void test_diverged(void **state)
{
    (void)state;
    struct pair p;
    struct feed_state passed = {0};
    cleanup_buffer struct buffer bytes = {0};
    start(&p);
    grow(&p, 2);
    offer(&p);
    grow(&p, 2);
    struct feed_push push = pull_entries(&p, &bytes);
    struct intent *other = copy(p.behind);
    other->next_serial++;
    assert_int_equal(feed_entries_check(other, &push), 0);
    assert_int_equal(feed_entries_apply(other, &push, &passed), -EKEYREJECTED);
    assert_int_equal(passed.index, 0);
    intent_free(other);
    assert_int_equal(feed_entries_apply(p.behind, &push, &passed), 0);
    assert_true(feed_state_is(&passed, &p.feed.head)); /* and serves it from now on */
    assert_int_equal(passed.head.index, p.feed.head.index);
    feed_state_done(&passed);
    done(&p);
}

/* Breaks if an answer that is cut short anywhere, or is somebody else's, is taken. */
static void test_malformed(void **state)
{
    (void)state;
    struct pair p;
    cleanup_buffer struct buffer bytes = {0};
    struct feed_push push;
    start(&p);
    for (int whole = 0; whole < 2; whole++) {
        grow(&p, 2);
        offer(&p);
        if (whole)
            feed_forget(&p.feed);
        assert_int_equal(pull_entries(&p, &bytes).kind, 1 + whole);
        for (size_t size = 0; size < bytes.size; size++)
            assert_int_equal(feed_push_read((struct bytes){bytes.bytes, size}, &push), -EBADMSG);
        assert_int_equal(buffer_append(&bytes, "\x00", 1), 0);
        assert_int_equal(feed_push_read(buffer_view(&bytes), &push), -EBADMSG);
    }
    struct id other = p.f.intent->cluster;
    other.bytes[0] ^= 1;
    assert_int_equal(feed_head_verify(&p.feed.head, &p.f.intent->cluster), 0);
    assert_int_equal(feed_head_verify(&p.feed.head, &other), -EKEYREJECTED);
    struct feed_head head = p.feed.head;
    head.chain[0] ^= 1;
    assert_int_equal(feed_head_verify(&head, &p.f.intent->cluster), -EKEYREJECTED);
    head = p.feed.head;
    head.state_hash[0] ^= 1;
    assert_int_equal(feed_head_verify(&head, &p.f.intent->cluster), -EKEYREJECTED);
    done(&p);
}

/* Breaks if the feed leaks, lies or stops serving when there is no memory. */
static void test_no_memory(void **state)
{
    (void)state;
    struct pair p;
    start(&p);
    grow(&p, 3);
    offer(&p);
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct feed_head head;
        memory_fail_after(n);
        rc = feed_head_sign(p.f.intent, &p.feed.state, &p.leader, &head);
        memory_pause();
    }
    assert_int_equal(rc, 0);
    for (int parts = 0; parts < 2; parts++) {
        struct feed_pull asked = {.index = p.behind->applied_index, .state_index = parts};
        rc = -ENOMEM;
        for (int64_t n = 0; rc == -ENOMEM; n++) {
            cleanup_buffer struct buffer bytes = {0};
            memory_fail_after(n);
            rc = feed_push_encode(&p.feed, &asked, &bytes);
            memory_pause();
        }
        assert_int_equal(rc, 0);
    }
    cleanup_buffer struct buffer bytes = {0};
    struct feed_push push = pull(&p, &(struct feed_pull){.state_index = 1}, &bytes);
    rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct feed_fetch fetched = {0};
        memory_fail_after(n);
        rc = feed_fetch_begin(&fetched, &push, 1);
        memory_pause();
        assert_true((rc == 0) == (fetched.head.index > 0));
        feed_fetch_done(&fetched);
    }
    assert_int_equal(rc, 0);
    push = pull_entries(&p, &bytes);
    rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct feed_state passed = {0};
        struct intent *newer = copy(p.behind);
        memory_fail_after(n);
        rc = feed_entries_apply(newer, &push, &passed);
        memory_pause();
        intent_free(newer);
        feed_state_done(&passed);
    }
    assert_int_equal(rc, 0);

    struct raft_entry entry = {.index = p.f.index + 1, .data = bytes_of_text("entry")};
    memory_fail_after(0);
    feed_remember(&p.feed, &entry);
    memory_pause();
    assert_int_equal(p.feed.recent_count, 0); /* the whole intent is served instead */
    assert_int_equal(pull_entries(&p, &bytes).kind, FEED_PUSH_PART);
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
        cmocka_unit_test(test_overlap),   cmocka_unit_test(test_forged_entries),
        cmocka_unit_test(test_parts),     cmocka_unit_test(test_forged_part),
        cmocka_unit_test(test_diverged),  cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
