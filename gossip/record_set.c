#include "gossip/record_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gossip/bounds.h"

enum {
    BUCKETS_MIN = 64, /* a power of two */
    EXACT_MAX = 4,    /* sets of up to so many have no spare room */
};

_Static_assert(2 * SWIM_RECORDS_PER_OWNER_MAX <= UINT16_MAX, "a set counts its records in 16 bits");

void record_sets_init(struct record_sets *sets, struct fact_pool *pool)
{
    *sets = (struct record_sets){.pool = pool};
}

void record_sets_done(struct record_sets *sets)
{
    assert(sets->count == 0);
    free(sets->buckets);
    sets->buckets = NULL;
    sets->bucket_count = 0;
}

static struct record_set **bucket_of(const struct record_sets *sets, const struct record_set *set)
{
    uint64_t hash = set->sum ^ set->newest_sum << 1 ^ set->newest << 2 ^ set->base << 3 ^
                    set->floor << 4 ^ set->count;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return &sets->buckets[(hash >> 32) & (sets->bucket_count - 1)];
}

static bool is_equal(const struct record_set *a, const struct record_set *b)
{
    return a->sum == b->sum && a->newest == b->newest && a->newest_sum == b->newest_sum &&
           a->base == b->base && a->floor == b->floor && a->count == b->count &&
           memcmp(a->facts, b->facts, a->count * sizeof(struct fact *)) == 0;
}

/* Doubles the buckets. Without memory for that, chains just get longer. */
static void grow(struct record_sets *sets)
{
    struct record_sets wider = *sets;
    wider.bucket_count = sets->bucket_count ? 2 * sets->bucket_count : BUCKETS_MIN;
    wider.buckets = calloc(wider.bucket_count, sizeof(struct record_set *));
    if (!wider.buckets)
        return;
    for (size_t i = 0; i < sets->bucket_count; i++) {
        while (sets->buckets[i]) {
            struct record_set *set = sets->buckets[i];
            struct record_set **bucket = bucket_of(&wider, set);
            sets->buckets[i] = set->next;
            set->next = *bucket;
            *bucket = set;
        }
    }
    free(sets->buckets);
    *sets = wider;
}

static void unlist(struct record_sets *sets, struct record_set *set)
{
    if (!set->is_listed)
        return;
    struct record_set **link = bucket_of(sets, set);
    while (*link != set)
        link = &(*link)->next;
    *link = set->next;
    set->next = NULL;
    set->is_listed = false;
    sets->count--;
}

struct record_set *record_set_new(uint64_t floor)
{
    struct record_set *set = malloc(sizeof(*set) + sizeof(struct fact *));
    if (!set)
        return NULL;
    *set = (struct record_set){
        .floor = floor, .newest = floor, .base = floor, .references = 1, .capacity = 1};
    return set;
}

struct record_set *record_set_edit(struct record_sets *sets, struct record_set *set, size_t room)
{
    assert(room <= SWIM_RECORDS_PER_OWNER_MAX + 1);
    size_t capacity = set->capacity > room ? set->capacity : room;
    if (capacity > set->capacity && capacity > EXACT_MAX)
        capacity += capacity / 2;
    size_t size = sizeof(*set) + capacity * sizeof(struct fact *);
    if (set->references > 1) {
        struct record_set *copy = malloc(size);
        if (!copy)
            return NULL;
        memcpy(copy, set, sizeof(*set) + set->count * sizeof(struct fact *));
        copy->next = NULL;
        copy->references = 1;
        copy->capacity = (uint16_t)capacity;
        copy->is_listed = false;
        for (size_t i = 0; i < copy->count; i++)
            fact_retain(copy->facts[i]);
        set->references--;
        return copy;
    }
    unlist(sets, set);
    if (capacity == set->capacity)
        return set;
    struct record_set *grown = realloc(set, size);
    if (grown)
        grown->capacity = (uint16_t)capacity;
    return grown;
}

struct record_set *record_set_share(struct record_sets *sets, struct record_set *set)
{
    assert(set->references == 1 && !set->is_listed);
    if (sets->count >= sets->bucket_count)
        grow(sets);
    if (sets->bucket_count == 0)
        return set;
    struct record_set **bucket = bucket_of(sets, set);
    for (struct record_set *other = *bucket; other; other = other->next) {
        if (!is_equal(other, set) || other->references == UINT32_MAX)
            continue;
        other->references++;
        record_set_release(sets, set);
        return other;
    }
    set->next = *bucket;
    set->is_listed = true;
    *bucket = set;
    sets->count++;
    return set;
}

void record_set_release(struct record_sets *sets, struct record_set *set)
{
    if (!set || --set->references > 0)
        return;
    unlist(sets, set);
    for (size_t i = 0; i < set->count; i++)
        fact_release(sets->pool, set->facts[i]);
    free(set);
}

size_t record_set_lower_bound(const struct record_set *set, const struct record_key *key)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (record_key_compare(&set->facts[middle]->view.record.key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct fact *record_set_find(const struct record_set *set, const struct record_key *key)
{
    size_t index = record_set_lower_bound(set, key);
    if (index == set->count || record_key_compare(&set->facts[index]->view.record.key, key) != 0)
        return NULL;
    return set->facts[index];
}

void record_set_put(struct record_set *set, struct fact *fact, struct fact **ret_previous)
{
    size_t index = record_set_lower_bound(set, &fact->view.record.key);
    struct fact *previous = NULL;
    if (index < set->count &&
        record_key_compare(&set->facts[index]->view.record.key, &fact->view.record.key) == 0) {
        previous = set->facts[index];
        set->sum -= previous->view.mix;
    } else {
        assert(set->count < set->capacity);
        memmove(&set->facts[index + 1], &set->facts[index],
                (set->count - index) * sizeof(struct fact *));
        set->count++;
    }
    set->facts[index] = fact;
    set->sum += fact->view.mix;
    *ret_previous = previous;
}

struct fact *record_set_take(struct record_set *set, size_t index)
{
    struct fact *fact = set->facts[index];
    set->count--;
    memmove(&set->facts[index], &set->facts[index + 1],
            (set->count - index) * sizeof(struct fact *));
    set->sum -= fact->view.mix;
    return fact;
}
