/* Budgets: how many bytes' work is done on behalf of each peer, as token buckets. A bucket is kept
 * as the time by which it is full again, and only those that were used lately are kept: the fullest
 * makes room for a newcomer, and who is not kept has a full one.
 */
#include "gossip/swim_internal.h"

enum {
    MICROSECONDS = 1000, /* in a millisecond */
};

static int64_t microseconds_of(const struct budget *budget, size_t bytes)
{
    return (int64_t)(bytes * UINT64_C(1000000) / budget->bytes_per_second);
}

/* Where the peer's bucket is, or goes. */
static struct bucket *find(struct budget *budget, const struct id *id)
{
    struct bucket *fullest = &budget->buckets[0];
    for (size_t i = 0; i < SWIM_BUDGET_BUCKETS; i++) {
        struct bucket *bucket = &budget->buckets[i];
        if (id_equal(&bucket->id, id))
            return bucket;
        if (bucket->full_us < fullest->full_us)
            fullest = bucket;
    }
    return fullest;
}

/* How long it takes until that peer's bucket is full. */
static int64_t empty_us(struct budget *budget, int64_t now_ms, const struct id *id)
{
    const struct bucket *bucket = find(budget, id);
    int64_t now_us = now_ms * MICROSECONDS;
    return id_equal(&bucket->id, id) && bucket->full_us > now_us ? bucket->full_us - now_us : 0;
}

size_t budget_used(struct budget *budget, int64_t now_ms, const struct id *id)
{
    return (size_t)((uint64_t)empty_us(budget, now_ms, id) * budget->bytes_per_second / 1000000);
}

bool budget_has(struct budget *budget, int64_t now_ms, const struct id *id, size_t bytes)
{
    return empty_us(budget, now_ms, id) + microseconds_of(budget, bytes) <=
           microseconds_of(budget, budget->burst_bytes);
}

void budget_take(struct budget *budget, int64_t now_ms, const struct id *id, size_t bytes)
{
    int64_t full_us = now_ms * MICROSECONDS + empty_us(budget, now_ms, id);
    struct bucket *bucket = find(budget, id);
    bucket->id = *id;
    bucket->full_us = full_us + microseconds_of(budget, bytes);
}
