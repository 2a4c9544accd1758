/* The records of one owner, as one peer holds them.
 *
 * In a simulated fleet every peer holds the records of all others, and once things are settled they
 * all hold the same. So a set is shared among the instances in one process that use one fact pool:
 * it is never changed while more than one of them holds it, and equal sets become one. A peer of
 * its own shares nothing; its sets are changed in place.
 *
 *     set = record_set_edit(sets, set, room);       NULL if there is no memory, nothing changed
 *     … change it …
 *     set = record_set_share(sets, set);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gossip/fact.h"

/* The owner said "what I said before, all in all, sums to this" in each of its records, so that
 * `sum` tells whether anything is missing: see swim_records.c. */
struct record_set {
    uint64_t floor;      /* the owner's lower versions are void */
    uint64_t newest;     /* highest version seen, or the floor of a generation without records */
    uint64_t newest_sum; /* what all of its records sum to, as of the newest */
    uint64_t sum;        /* what those we hold sum to */
    uint64_t base;       /* sync asks for what is newer than this */

    struct record_set *next; /* in its bucket */
    uint32_t references;
    uint16_t count, capacity;
    bool is_listed;       /* in a bucket, for others to find */
    struct fact *facts[]; /* by record_key, withdrawn ones included; a reference to each */
};

/* The sets that are shared. */
struct record_sets {
    struct fact_pool *pool; /* of the sets' facts */
    struct record_set **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;
};

void record_sets_init(struct record_sets *sets, struct fact_pool *pool);
void record_sets_done(struct record_sets *sets); /* no set is left */

/* The pool's own. */
struct record_sets *fact_pool_sets(struct fact_pool *pool);

/* A set without records, whose owner has said nothing above `floor`. NULL: -ENOMEM. */
struct record_set *record_set_new(uint64_t floor);

/* Turns a reference to `set` into one to a set with the same contents that may be changed, with
 * room for `room` facts. NULL if there is no memory: the reference and the set are as before. */
struct record_set *record_set_edit(struct record_sets *sets, struct record_set *set, size_t room);

/* Turns the only reference to `set` into one to an equal set, so that all may share it. */
struct record_set *record_set_share(struct record_sets *sets, struct record_set *set);

/* Gives a reference back; NULL is fine. */
void record_set_release(struct record_sets *sets, struct record_set *set);

/* The index of the first fact whose key is not less than `key`. */
size_t record_set_lower_bound(const struct record_set *set, const struct record_key *key);

/* Borrowed, or NULL. */
struct fact *record_set_find(const struct record_set *set, const struct record_key *key);

/* These two change a set that may be changed. The reference passes to the set, which has room for
 * it; `*ret_previous` is what it replaced (the caller releases it), or NULL. */
void record_set_put(struct record_set *set, struct fact *fact, struct fact **ret_previous);

/* The reference passes to the caller. */
struct fact *record_set_take(struct record_set *set, size_t index);
