/* Rumours: facts that ride on packets until each has been sent often enough.
 *
 * They are sent fewest sends first; among equals membership goes before records, and news before
 * old. When there are too many, those sent most often are dropped: anti-entropy makes up for that.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CAPACITY_MIN = 16,
    MISFITS_MAX = 16, /* rumours passed over for being larger than the room left in a packet */
};

/* Whether `a` is sent before `b`. */
static bool goes_before(const struct rumor *a, const struct rumor *b)
{
    bool a_is_record = a->fact->view.kind == FACT_RECORD;
    bool b_is_record = b->fact->view.kind == FACT_RECORD;
    if (a->sends != b->sends)
        return a->sends < b->sends;
    if (a_is_record != b_is_record)
        return b_is_record;
    return a->order > b->order;
}

static void take_out(struct swim *swim, size_t index)
{
    swim->rumor_count--;
    memmove(&swim->rumors[index], &swim->rumors[index + 1],
            (swim->rumor_count - index) * sizeof(struct rumor));
}

/* Puts a rumour in its place; there is room in the array. */
static void put_in(struct swim *swim, const struct rumor *rumor)
{
    size_t low = 0, high = swim->rumor_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (goes_before(&swim->rumors[middle], rumor))
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&swim->rumors[low + 1], &swim->rumors[low],
            (swim->rumor_count - low) * sizeof(struct rumor));
    swim->rumors[low] = *rumor;
    swim->rumor_count++;
}

void rumor_drop(struct swim *swim, const struct fact *fact)
{
    for (size_t i = 0; i < swim->rumor_count; i++) {
        if (swim->rumors[i].fact == fact) {
            fact_release(swim->pool, swim->rumors[i].fact);
            take_out(swim, i);
            return;
        }
    }
}

void rumor_add(struct swim *swim, struct fact *fact)
{
    size_t room = swim->config.packet_bytes_max - PACKET_OVERHEAD_BYTES;
    if (fact->view.raw.size + PACKET_FACT_OVERHEAD_BYTES > room)
        return; /* fits no packet: it spreads by anti-entropy alone */
    rumor_drop(swim, fact);
    if (swim->rumor_count == SWIM_RUMORS_MAX)
        rumor_drop(swim, swim->rumors[swim->rumor_count - 1].fact);
    if (swim->rumor_count == swim->rumor_capacity) {
        size_t capacity = swim->rumor_capacity ? 2 * swim->rumor_capacity : CAPACITY_MIN;
        struct rumor *rumors = reallocarray(swim->rumors, capacity, sizeof(*rumors));
        if (!rumors) {
            swim_fail(swim, -ENOMEM);
            return;
        }
        swim->rumors = rumors;
        swim->rumor_capacity = capacity;
    }
    struct rumor rumor = {.fact = fact_retain(fact), .order = ++swim->rumor_order};
    put_in(swim, &rumor);
    swim->counters.rumors_queued++;
    gossip_soon(swim);
}

/* The number of times that each rumour is sent by each peer. */
static uint32_t sends_max(const struct swim *swim)
{
    uint32_t log2 = (log2_milli(swim->live_count + 1) + 999) / 1000;
    return swim->config.retransmit_multiplier * log2;
}

void rumors_ride(struct swim *swim, struct packet_draft *draft)
{
    struct rumor riding[SWIM_PACKET_FACTS_MAX];
    size_t riding_count = 0, misfits = 0, index = 0;

    while (index < swim->rumor_count && riding_count < SWIM_PACKET_FACTS_MAX &&
           misfits < MISFITS_MAX) {
        if (packet_draft_add(draft, swim->rumors[index].fact)) {
            riding[riding_count++] = swim->rumors[index];
            take_out(swim, index);
        } else {
            misfits++;
            index++;
        }
    }
    swim->counters.rumors_sent += riding_count;
    for (size_t i = 0; i < riding_count; i++) {
        riding[i].sends++;
        put_in(swim, &riding[i]);
    }
}

void rumors_retire(struct swim *swim)
{
    uint32_t limit = sends_max(swim);
    while (swim->rumor_count > 0 && swim->rumors[swim->rumor_count - 1].sends >= limit)
        fact_release(swim->pool, swim->rumors[--swim->rumor_count].fact);
}

void rumors_done(struct swim *swim)
{
    for (size_t i = 0; i < swim->rumor_count; i++)
        fact_release(swim->pool, swim->rumors[i].fact);
    free(swim->rumors);
}
