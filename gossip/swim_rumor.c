/* Rumours: facts that ride on packets until each has been sent often enough (Das, Gupta, Motivala
 * 2002, section 4.1).
 *
 * Those of a class are sent fewest sends first, among equals news before old. Urgent ones go before
 * all others, so that whatever else changes, and however much of it, deaths and refutations are
 * known as fast; but in one packet of four they leave half to the others. News of peers and records
 * take turns. An owner whose records come in floods ranks behind those who say little, and beyond
 * its budget it is left to anti-entropy. When there are too many, those sent most often are
 * dropped: anti-entropy makes up for that.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CAPACITY_MIN = 16,
    MISFITS_MAX = 16,   /* rumours passed over for being larger than the room left */
    SHARED_PACKETS = 4, /* one packet of so many is shared with what is not urgent */
    PRESSING_SENDS = 4, /* what is urgent and was sent less often is worth a packet of its own */
    PENALTY_BYTES = 16 * 1024, /* so much said lately counts as one send more */
};

/* Whether `a` is sent before `b`. */
static bool goes_before(const struct rumor *a, const struct rumor *b)
{
    uint32_t a_rank = a->sends + a->penalty, b_rank = b->sends + b->penalty;
    return a_rank != b_rank ? a_rank < b_rank : a->order > b->order;
}

static void take_out(struct rumor_queue *queue, size_t index)
{
    queue->count--;
    memmove(&queue->rumors[index], &queue->rumors[index + 1],
            (queue->count - index) * sizeof(struct rumor));
}

/* Puts a rumour in its place; there is room in the array. */
static void put_in(struct rumor_queue *queue, const struct rumor *rumor)
{
    size_t low = 0, high = queue->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (goes_before(&queue->rumors[middle], rumor))
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&queue->rumors[low + 1], &queue->rumors[low],
            (queue->count - low) * sizeof(struct rumor));
    queue->rumors[low] = *rumor;
    queue->count++;
}

static bool drop_from(struct swim *swim, struct rumor_queue *queue, const struct fact *fact)
{
    for (size_t i = 0; i < queue->count; i++) {
        if (queue->rumors[i].fact == fact) {
            fact_release(swim->pool, queue->rumors[i].fact);
            take_out(queue, i);
            return true;
        }
    }
    return false;
}

void rumor_drop(struct swim *swim, const struct fact *fact)
{
    for (size_t i = 0; i < RUMOR_CLASSES; i++)
        if (drop_from(swim, &swim->rumors[i], fact))
            return;
}

static int make_room(struct swim *swim, struct rumor_queue *queue)
{
    if (queue->count == SWIM_RUMORS_MAX)
        fact_release(swim->pool, queue->rumors[--queue->count].fact);
    if (queue->count < queue->capacity)
        return 0;
    size_t capacity = queue->capacity ? 2 * queue->capacity : CAPACITY_MIN;
    struct rumor *rumors = reallocarray(queue->rumors, capacity, sizeof(*rumors));
    if (!rumors)
        return -ENOMEM;
    queue->rumors = rumors;
    queue->capacity = capacity;
    return 0;
}

/* How far behind others the owner's record goes, for what it said lately. False beyond its budget.
 */
static bool charge(struct swim *swim, const struct fact *fact, uint32_t *ret_penalty)
{
    const struct id *owner = &fact->view.signer;
    if (!rumor_budget_has(swim, &fact->view)) {
        swim->counters.rumors_refused++;
        return false;
    }
    *ret_penalty =
        (uint32_t)(budget_used(&swim->rumor_budget, swim->now_ms, owner) / PENALTY_BYTES);
    budget_take(&swim->rumor_budget, swim->now_ms, owner, fact->view.raw.size);
    return true;
}

bool rumor_budget_has(struct swim *swim, const struct fact_view *view)
{
    return budget_has(&swim->rumor_budget, swim->now_ms, &view->signer, view->raw.size);
}

void rumor_add(struct swim *swim, struct fact *fact, enum rumor_class class)
{
    size_t room = swim->config.packet_bytes_max - PACKET_OVERHEAD_BYTES;
    struct rumor rumor = {.fact = fact, .order = ++swim->rumor_order};
    if (fact->view.raw.size + PACKET_FACT_OVERHEAD_BYTES > room)
        return; /* fits no packet: it spreads by anti-entropy alone */
    /* A newcomer among thousands would tell all of them what they have told it. */
    if (swim->catches_up && !id_equal(&fact->view.signer, &swim->config.self))
        return;
    rumor_drop(swim, fact);
    if (class == RUMOR_RECORD && !charge(swim, fact, &rumor.penalty))
        return;
    if (make_room(swim, &swim->rumors[class]) < 0) {
        swim_fail(swim, -ENOMEM);
        return;
    }
    fact_retain(fact);
    put_in(&swim->rumors[class], &rumor);
    swim->counters.rumors_queued++;
    gossip_soon(swim);
}

size_t rumors_count(const struct swim *swim)
{
    size_t count = 0;
    for (size_t i = 0; i < RUMOR_CLASSES; i++)
        count += swim->rumors[i].count;
    return count;
}

/* The number of times that each rumour is sent by each peer. */
static uint32_t sends_max(const struct swim *swim)
{
    uint32_t log2 = (log2_milli(swim->live_count + 1) + 999) / 1000;
    return swim->config.retransmit_multiplier * log2;
}

/* What rides on one packet is put back when all classes have had their turn. */
struct ride {
    struct rumor rumors[SWIM_PACKET_FACTS_MAX];
    enum rumor_class classes[SWIM_PACKET_FACTS_MAX];
    size_t count;
};

/* A record's owner tells it to a few, whose number does not grow with the fleet; each of them tells
 * it as often as it takes to reach all. */
static uint32_t sends_of(const struct swim *swim, const struct ride *ride, size_t i, uint32_t limit)
{
    const struct id *owner = &ride->rumors[i].fact->view.signer;
    bool is_own = ride->classes[i] == RUMOR_RECORD && id_equal(owner, &swim->config.self);
    return is_own && limit > SWIM_OWN_SENDS_MAX ? SWIM_OWN_SENDS_MAX : limit;
}

/* Nobody is told its own records. */
static bool is_known_to(const struct fact *fact, enum rumor_class class, const struct id *reader)
{
    return class == RUMOR_RECORD && reader && id_equal(&fact->view.signer, reader);
}

bool rumors_for(const struct swim *swim, const struct id *reader)
{
    const struct rumor_queue *records = &swim->rumors[RUMOR_RECORD];
    size_t known = 0;
    while (known < records->count && is_known_to(records->rumors[known].fact, RUMOR_RECORD, reader))
        known++;
    return known < rumors_count(swim);
}

/* Takes rumours of one class as long as `keep_free` bytes of the packet stay free. */
static void ride_class(struct swim *swim, struct packet_draft *draft, enum rumor_class class,
                       size_t keep_free, struct ride *ride)
{
    struct rumor_queue *queue = &swim->rumors[class];
    size_t misfits = 0, index = 0;
    while (index < queue->count && ride->count < SWIM_PACKET_FACTS_MAX && misfits < MISFITS_MAX) {
        struct fact *fact = queue->rumors[index].fact;
        size_t size = fact->view.raw.size + PACKET_FACT_OVERHEAD_BYTES;
        if (queue->rumors[index].told == swim->rumor_listener ||
            is_known_to(fact, class, swim->rumor_reader)) {
            index++;
            continue;
        }
        bool fits = draft->room >= keep_free && size <= draft->room - keep_free;
        if (fits && packet_draft_add(draft, fact)) {
            ride->classes[ride->count] = class;
            ride->rumors[ride->count++] = queue->rumors[index];
            take_out(queue, index);
        } else {
            misfits++;
            index++;
        }
    }
}

/* What urgent rumours leave of a packet that is shared: half, or as much as the largest of those
 * that are first in the other classes needs. */
static size_t room_to_share(const struct swim *swim, const struct packet_draft *draft)
{
    size_t room = draft->room / 2;
    for (size_t class = RUMOR_NEWS; class < RUMOR_CLASSES; class ++) {
        if (swim->rumors[class].count == 0)
            continue;
        size_t size =
            swim->rumors[class].rumors[0].fact->view.raw.size + PACKET_FACT_OVERHEAD_BYTES;
        if (size > room && size <= draft->room)
            room = size;
    }
    return room;
}

bool rumors_press(const struct swim *swim)
{
    const struct rumor_queue *urgent = &swim->rumors[RUMOR_URGENT];
    return urgent->count > 0 && urgent->rumors[0].sends < PRESSING_SENDS &&
           urgent->rumors[0].told != swim->rumor_listener;
}

void rumors_ride(struct swim *swim, struct packet_draft *draft)
{
    swim->rumor_listener++;
    rumors_ride_on(swim, draft);
}

void rumors_ride_on(struct swim *swim, struct packet_draft *draft)
{
    struct ride ride = {.count = 0};
    uint32_t turn = swim->rumor_turn++;
    bool others_wait = swim->rumors[RUMOR_NEWS].count + swim->rumors[RUMOR_RECORD].count > 0;
    bool shared = turn % SHARED_PACKETS == SHARED_PACKETS - 1 && others_wait;
    enum rumor_class second = turn % 2 == 0 ? RUMOR_NEWS : RUMOR_RECORD;

    ride_class(swim, draft, RUMOR_URGENT, shared ? room_to_share(swim, draft) : 0, &ride);
    ride_class(swim, draft, second, 0, &ride);
    ride_class(swim, draft, second == RUMOR_NEWS ? RUMOR_RECORD : RUMOR_NEWS, 0, &ride);
    ride_class(swim, draft, RUMOR_URGENT, 0, &ride);

    swim->counters.rumors_sent += ride.count;
    uint32_t limit = sends_max(swim);
    for (size_t i = 0; i < ride.count; i++) {
        ride.rumors[i].told = swim->rumor_listener;
        if (++ride.rumors[i].sends < sends_of(swim, &ride, i, limit))
            put_in(&swim->rumors[ride.classes[i]], &ride.rumors[i]);
        else
            swim->rumors_sent[swim->rumors_sent_count++] = ride.rumors[i].fact;
    }
}

void rumors_retire(struct swim *swim)
{
    while (swim->rumors_sent_count > 0)
        fact_release(swim->pool, swim->rumors_sent[--swim->rumors_sent_count]);
}

void rumors_init(struct swim *swim)
{
    swim->rumor_budget.burst_bytes = SWIM_RUMOR_BURST_BYTES;
    swim->rumor_budget.bytes_per_second = SWIM_RUMOR_BYTES_PER_SECOND;
}

void rumors_done(struct swim *swim)
{
    rumors_retire(swim);
    for (size_t class = 0; class < RUMOR_CLASSES; class ++) {
        struct rumor_queue *queue = &swim->rumors[class];
        for (size_t i = 0; i < queue->count; i++)
            fact_release(swim->pool, queue->rumors[i].fact);
        free(queue->rumors);
    }
}
