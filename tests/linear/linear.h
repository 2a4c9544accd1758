/* Is a history of concurrent operations linearizable? Wing and Gong's search ("Testing and
 * verifying concurrent objects", 1993) with Lowe's memory of what was tried ("Testing for
 * linearizability", 2017), over registers.
 *
 * Each operation names one register; registers are checked one by one, since a history is
 * linearizable if each object's part of it is (Herlihy and Wing, 1990). An operation whose outcome
 * its client never learned is pending: it may take effect at any time after its call, or never.
 *
 *     struct linear_history history = {0};
 *     linear_add(&history, &(struct linear_operation){.type = LINEAR_WRITE, .value = 7, …});
 *     …
 *     switch (linear_check(&history, budget, &verdict)) …
 *     linear_done(&history);
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LINEAR_PENDING UINT64_MAX

enum linear_type {
    LINEAR_READ,  /* saw `value` */
    LINEAR_WRITE, /* of `value` */
    LINEAR_SWAP,  /* wrote `value` if the register held `expected`, and said whether by `swapped` */
};

struct linear_operation {
    enum linear_type type;
    uint32_t client; /* for people: operations of one client may not overlap, but could */
    uint64_t object; /* the register, which holds 0 at first */
    uint64_t value;
    uint64_t expected;
    int swapped;      /* of a completed LINEAR_SWAP: 1 or 0 */
    uint64_t call;    /* when it began and ended: any clock that orders all of them; no two */
    uint64_t returns; /* moments are the same, and LINEAR_PENDING is after all of them */
};

struct linear_history {
    struct linear_operation *operations;
    size_t count;
    size_t capacity;
};

enum linear_result {
    LINEAR_YES,
    LINEAR_NO,
    LINEAR_UNDECIDED, /* the budget was spent, or there is no memory */
};

/* Where it failed, for people. */
struct linear_verdict {
    uint64_t object;
    size_t linearized;             /* the most operations that could be put in an order */
    struct linear_operation stuck; /* the one that returned and fits nowhere behind those */
};

/* Appends a copy; -ENOMEM. */
int linear_add(struct linear_history *history, const struct linear_operation *operation);
void linear_done(struct linear_history *history);

/* `budget` bounds the states remembered for one register. `*ret` is written unless LINEAR_YES. */
enum linear_result linear_check(const struct linear_history *history, size_t budget,
                                struct linear_verdict *ret);
