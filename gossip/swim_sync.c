/* Anti-entropy: two peers find out what differs, tell each other up to which version they hold
 * those owners' records, and send what the other lacks, in version order (van Renesse, Dumitriu,
 * Gough, Thomas 2008).
 *
 *     A -> B  summary: hashes of what A knows, by ranges of ids (swim_summary.c)
 *     B -> A  want: the ranges in which B's are others; nothing if all are the same
 *     A -> B  digest of A in those ranges, reply wanted; or a finer summary
 *     B -> A  delta: what A lacks; and, if B lacks something, digest of B, no reply wanted
 *     A -> B  delta: what B lacks
 *
 * Who knows hardly anybody begins with the digest. A delta is bounded, and so is a digest; if
 * something was left out, the receiver begins again, with a fresh summary. All that there is to
 * remember of that is with whom, and how often. What one peer gets out of us is limited by a
 * budget.
 *
 * While the hash on the last ping or answer, not long ago, was our own, only one interval in 16 is
 * used: the others would find no difference either, unless that peer lied or the short hash hides
 * one.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CAPACITY_MIN = 16,
    FEW_MEMBERS = 4,          /* up to so many, a digest is no larger than a summary */
    SUMMARIES_MAX = 32,       /* sent to find out what differs, in one round */
    SYNC_NEWS_FACTS_MAX = 32, /* in a delta; who lacked more was behind, and has no news to tell */
    SYNC_ROUNDS_MAX = 256,    /* deltas taken from one peer before the next interval */
    SYNCS_SAVED_MAX = 15,     /* in a row, while views agree */
    SYNC_SMALL_FLEET = 32,    /* up to so many members the interval is as configured */
    REPAIR_INTERVAL_PART = 4, /* a repair waits for rumours this part of the sync interval */
};

size_t sync_first_after(const struct swim *swim, const struct id *after)
{
    size_t index = table_lower_bound(&swim->members, after);
    if (index < swim->members.count && id_equal(member_id(member_at(swim, index)), after))
        index++;
    return index;
}

struct digest_entry sync_digest_of(const struct member *member)
{
    return (struct digest_entry){
        .prefix = id_prefix(member_id(member)),
        .id = *member_id(member),
        .incarnation = member_incarnation(member),
        .version = records_base(member),
        .accusers = (uint8_t)member_accusers(member),
    };
}

bool digest_is_behind(const struct member *ours, const struct digest_entry *theirs)
{
    if (!ours)
        return true;
    if (theirs->incarnation != member_incarnation(ours))
        return theirs->incarnation > member_incarnation(ours);
    return theirs->version > records_base(ours) || theirs->accusers > member_accusers(ours);
}

void fact_list_done(struct fact_list *list)
{
    free(list->facts);
}

static void list_add(struct swim *swim, struct fact_list *list, struct fact *fact)
{
    size_t size = fact->view.raw.size + PACKET_FACT_OVERHEAD_BYTES;
    if (list->full || size > list->limit_bytes - list->bytes) {
        list->full = true;
        return;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : CAPACITY_MIN;
        struct fact **facts = reallocarray(list->facts, capacity, sizeof(struct fact *));
        if (!facts) {
            swim_fail(swim, -ENOMEM);
            list->full = true;
            return;
        }
        list->facts = facts;
        list->capacity = capacity;
    }
    list->facts[list->count++] = fact;
    list->bytes += size;
}

static int compare_version(const void *a, const void *b)
{
    uint64_t one = (*(struct fact *const *)a)->view.version;
    uint64_t other = (*(struct fact *const *)b)->view.version;
    return one < other ? -1 : one > other;
}

static void list_add_records(struct swim *swim, struct fact_list *list, const struct member *owner,
                             uint64_t base)
{
    if (records_newest(owner) <= base || records_count(owner) == 0 || list->full)
        return;
    const struct record_set *set = owner->records;
    struct fact **newer = calloc(set->count, sizeof(struct fact *));
    size_t count = 0;
    if (!newer) {
        swim_fail(swim, -ENOMEM);
        list->full = true;
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        struct fact *fact = set->facts[i];
        if (fact->view.version > base)
            newer[count++] = fact;
    }
    qsort(newer, count, sizeof(struct fact *), compare_version);
    for (size_t i = 0; i < count && !list->full; i++)
        list_add(swim, list, newer[i]);
    free(newer);
}

/* The facts about the member itself: that it is there, and who doubts it. */
static void list_add_membership(struct swim *swim, struct fact_list *list,
                                const struct member *ours, const struct digest_entry *theirs)
{
    uint64_t incarnation = theirs ? theirs->incarnation : 0;
    if (incarnation > member_incarnation(ours))
        return;
    bool newer = !theirs || incarnation < member_incarnation(ours);
    if (newer)
        list_add(swim, list, ours->presence);
    if (!member_is_accused(ours) || (!newer && theirs->accusers >= member_accusers(ours)))
        return;
    for (size_t i = 0; i < ours->suspicion->count; i++)
        list_add(swim, list, ours->suspicion->accusations[i]);
}

void digest_answer(struct swim *swim, const struct member *ours, const struct digest_entry *theirs,
                   struct fact_list *list)
{
    list_add_membership(swim, list, ours, theirs);
    list_add_records(swim, list, ours, theirs->version);
}

static void ask_again(struct swim *swim, struct member *owner)
{
    uint64_t floor = records_floor(owner);
    int rc = records_set_base(swim, owner, floor > 0 ? floor - 1 : 0);
    if (rc < 0)
        swim_fail(swim, rc);
}

struct id sync_send_digest(struct swim *swim, const struct id *to, const struct address *address,
                           bool reply_wanted, const struct id *after, const struct id *through)
{
    struct digest_entry *entries = calloc(SWIM_SYNC_ENTRIES_MAX, sizeof(*entries));
    size_t start = swim_message_begin(swim), count = 0;
    struct id end = *through;
    if (!entries) {
        swim_fail(swim, -ENOMEM);
        return end;
    }
    for (size_t i = sync_first_after(swim, after); i < swim->members.count; i++) {
        struct member *member = member_at(swim, i);
        if (id_compare(member_id(member), through) > 0)
            break;
        if (count == SWIM_SYNC_ENTRIES_MAX) {
            end = entries[count - 1].id;
            break;
        }
        /* We have got to the top and still lack something: begin again from the bottom. */
        if (!records_are_complete(member) && records_base(member) >= records_newest(member) &&
            trust_restart(swim, member_id(member)))
            ask_again(swim, member);
        entries[count++] = sync_digest_of(member);
    }
    int rc = sync_write_digest(reply_wanted, after, &end, entries, count, &swim->pending.arena);
    swim_message_end(swim, start, rc, to, address, SWIM_CHANNEL_STREAM);
    free(entries);
    return end;
}

/* Asks a peer for all that we lack. */
static void ask(struct swim *swim, const struct id *to, const struct address *address)
{
    struct id last;
    memset(last.bytes, 0xff, ID_BYTES);
    swim->sync_cut = false;
    swim->sync_wants = 0;
    swim->sync_summaries = SUMMARIES_MAX;
    if (swim->members.count <= FEW_MEMBERS)
        sync_send_digest(swim, to, address, true, &ID_NONE, &last);
    else
        summary_send(swim, to, address, &ID_NONE, &last, 1);
}

void sync_with(struct swim *swim, const struct id *to, const struct address *address)
{
    swim->sync_peer = *to;
    swim->sync_rounds = SYNC_ROUNDS_MAX;
    ask(swim, to, address);
}

void sync_init(struct swim *swim)
{
    swim->sync_budget.burst_bytes = SWIM_SYNC_BURST_BYTES;
    swim->sync_budget.bytes_per_second = SWIM_SYNC_BYTES_PER_SECOND;
    swim->told_budget.burst_bytes = SWIM_TOLD_BURST_BYTES;
    swim->told_budget.bytes_per_second = SWIM_TOLD_BYTES_PER_SECOND;
}

bool sync_may_tell(struct swim *swim, const struct id *from, size_t bytes)
{
    if (!budget_has(&swim->told_budget, swim->now_ms, from, bytes))
        return false;
    budget_take(&swim->told_budget, swim->now_ms, from, bytes);
    return true;
}

static void sync_with_member(struct swim *swim, const struct member *member)
{
    struct address address = path_stream_address(swim, member);
    sync_with(swim, member_id(member), &address);
}

static void send_delta(struct swim *swim, const struct swim_input *input, struct fact_list *list)
{
    size_t start = swim_message_begin(swim);
    int rc = sync_write_delta(list->full, list->facts, list->count, &swim->pending.arena);
    swim_message_end(swim, start, rc, &input->from, &input->source, SWIM_CHANNEL_STREAM);
}

/* Walks over our members in the digest's range and its entries side by side, both in id order.
 * Membership goes first, so that no record arrives before its owner. Returns whether the sender
 * knows something that we don't. */
static bool compare_digest(struct swim *swim, struct sync_message message, bool records,
                           struct fact_list *list)
{
    struct digest_entry entry;
    bool more = sync_next_entry(&message, &entry), behind = false;

    for (size_t i = sync_first_after(swim, &message.after); i < swim->members.count; i++) {
        const struct member *ours = member_at(swim, i);
        if (id_compare(member_id(ours), &message.through) > 0)
            break;
        while (more && id_compare(&entry.id, member_id(ours)) < 0) {
            behind = true;
            more = sync_next_entry(&message, &entry);
        }
        bool known = more && id_equal(&entry.id, member_id(ours));
        if (records)
            list_add_records(swim, list, ours, known ? entry.version : 0);
        else
            list_add_membership(swim, list, ours, known ? &entry : NULL);
        if (!known)
            continue;
        behind = behind || digest_is_behind(ours, &entry);
        more = sync_next_entry(&message, &entry);
    }
    return behind || more;
}

static void receive_digest(struct swim *swim, const struct swim_input *input,
                           const struct sync_message *message)
{
    struct fact_list list = {.limit_bytes = SWIM_SYNC_BYTES_MAX};
    struct fact *challenge = NULL;
    if (!member_find(swim, &input->from))
        challenge = grave_challenge(swim, &input->from);
    if (challenge)
        list_add(swim, &list, challenge);
    bool behind = compare_digest(swim, *message, false, &list);
    compare_digest(swim, *message, true, &list);
    if (list.count > 0)
        send_delta(swim, input, &list);
    if (behind && message->flag)
        sync_send_digest(swim, &input->from, &input->source, false, &message->after,
                         &message->through);
    fact_list_done(&list);
    fact_release(swim->pool, challenge);
}

/* Sync moves an owner's base on, since a delta is in version order; rumours don't. */
static void move_base(struct swim *swim, const struct fact_view *view)
{
    struct member *owner = member_find(swim, &view->signer);
    if (view->kind != FACT_RECORD || !owner || owner == swim->self)
        return;
    if (view->version <= records_base(owner) || view->version > records_newest(owner))
        return;
    int rc = records_set_base(swim, owner, view->version);
    if (rc < 0)
        swim_fail(swim, rc);
}

static int receive_delta(struct swim *swim, const struct swim_input *input,
                         struct sync_message *message)
{
    struct fact_view view;
    bool news = false;
    if (!sync_may_tell(swim, &input->from, input->bytes.size))
        return 0;
    swim->catches_up = message->count > SYNC_NEWS_FACTS_MAX;
    while (sync_next_fact(message, &view)) {
        if (fact_apply(swim, &view, false))
            news = true;
        if (swim->rc == -EBADMSG)
            return -EBADMSG;
        move_base(swim, &view);
    }
    swim->catches_up = false;
    /* Without news, asking again would give the same. */
    bool is_asked = id_equal(&input->from, &swim->sync_peer);
    if (!news || (!message->flag && !(is_asked && swim->sync_cut)))
        return 0;
    if (!is_asked) {
        swim->sync_peer = input->from;
        swim->sync_rounds = SYNC_ROUNDS_MAX;
    }
    if (swim->sync_rounds == 0)
        return 0;
    swim->sync_rounds--;
    ask(swim, &input->from, &input->source);
    return 0;
}

/* Does what the message asks for, if the sender has not used up what it may ask of us. */
static void answer(struct swim *swim, const struct swim_input *input, struct sync_message *message)
{
    size_t before = swim->pending.arena.size;
    if (!budget_has(&swim->sync_budget, swim->now_ms, &input->from, input->bytes.size)) {
        swim->counters.syncs_refused++;
        return;
    }
    if (message->kind == SYNC_DIGEST)
        receive_digest(swim, input, message);
    else
        summary_receive(swim, input, message);
    budget_take(&swim->sync_budget, swim->now_ms, &input->from,
                input->bytes.size + swim->pending.arena.size - before);
}

int sync_receive(struct swim *swim, const struct swim_input *input)
{
    struct sync_message message;
    int rc = sync_read(input->bytes, &message);
    if (rc < 0)
        return rc;
    switch (message.kind) {
    case SYNC_DIGEST:
    case SYNC_SUMMARY:
        answer(swim, input, &message);
        break;
    case SYNC_WANT:
        want_receive(swim, input, &message);
        break;
    case SYNC_DELTA:
        return receive_delta(swim, input, &message);
    case SYNC_PING:
        sync_ping(swim, &input->from, &input->source, SYNC_ACK, message.sequence);
        break;
    case SYNC_ACK:
        probe_stream_acked(swim, &input->from, message.sequence);
        break;
    }
    return 0;
}

void sync_ping(struct swim *swim, const struct id *to, const struct address *address,
               enum sync_kind kind, uint32_t sequence)
{
    size_t start = swim_message_begin(swim);
    int rc = sync_write_ping(kind, sequence, &swim->pending.arena);
    swim_message_end(swim, start, rc, to, address, SWIM_CHANNEL_STREAM);
}

void sync_soon(struct swim *swim, const struct id *with)
{
    if (!id_is_none(&swim->repair.from) && swim->repair.due_ms <= swim->now_ms)
        return;
    swim->repair = (struct repair){.from = *with, .due_ms = swim->now_ms};
}

void repair_note(struct swim *swim, const struct id *from, const struct digest_entry *theirs)
{
    if (!id_is_none(&swim->repair.from) || !trust_claims(swim, from))
        return;
    swim->repair = (struct repair){
        .from = *from,
        .claimed = true,
        .prefix = theirs->prefix,
        .incarnation = theirs->incarnation,
        .version = theirs->version,
        .due_ms = swim->now_ms + swim->config.sync_interval_ms / REPAIR_INTERVAL_PART,
    };
}

/* Whether what `repair` was about has been heard in the meantime. */
static bool is_repaired(const struct swim *swim, const struct repair *repair)
{
    const struct member *owner = repair->claimed ? member_find_prefix(swim, repair->prefix) : NULL;
    return owner && records_base(owner) >= repair->version &&
           member_incarnation(owner) >= repair->incarnation;
}

/* Whether it was worth asking the last one who claimed to know more. */
static void judge_repair(struct swim *swim)
{
    const struct repair *asked = &swim->repair_asked;
    if (asked->claimed && member_find(swim, &asked->from))
        trust_judge_claim(swim, &asked->from, !is_repaired(swim, asked));
    swim->repair_asked = (struct repair){0};
}

static void repair_run(struct swim *swim)
{
    struct repair repair = swim->repair;
    const struct member *peer = member_find(swim, &repair.from);
    if (id_is_none(&repair.from) || swim->now_ms < repair.due_ms)
        return;
    swim->repair.from = ID_NONE;
    judge_repair(swim);
    if (!peer || !member_is_live(peer) || is_repaired(swim, &repair))
        return;
    if (repair.claimed && !trust_claims(swim, &repair.from))
        return;
    swim->repair_asked = repair;
    sync_with_member(swim, peer);
}

/* The interval grows with the logarithm of the fleet, and varies so that peers don't fall into
 * step. */
static int64_t sync_pause_ms(struct swim *swim)
{
    int64_t interval_ms = swim->config.sync_interval_ms;
    if (swim->live_count > SYNC_SMALL_FLEET)
        interval_ms += interval_ms * log2_milli(swim->live_count / SYNC_SMALL_FLEET) / 1000;
    return interval_ms / 2 + (int64_t)random_below(&swim->random, (uint64_t)interval_ms + 1);
}

void sync_run(struct swim *swim)
{
    repair_run(swim);
    if (swim->now_ms < swim->sync_ms)
        return;
    swim->sync_ms = swim->now_ms + sync_pause_ms(swim);
    trust_sweep(swim);
    bool agree = swim->views_agree && swim->now_ms - swim->view_ms < swim->config.sync_interval_ms;
    if (agree && swim->syncs_saved < SYNCS_SAVED_MAX) {
        swim->syncs_saved++;
        return;
    }
    swim->syncs_saved = 0;
    const struct member *peer = member_pick(swim, NULL, 0);
    if (peer)
        sync_with_member(swim, peer);
}

int64_t sync_deadline(const struct swim *swim)
{
    bool repair_is_first = !id_is_none(&swim->repair.from) && swim->repair.due_ms < swim->sync_ms;
    return repair_is_first ? swim->repair.due_ms : swim->sync_ms;
}
