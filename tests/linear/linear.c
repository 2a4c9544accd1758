#include "tests/linear/linear.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    NONE = -1,
    WORD_BITS = 64,
    SLOTS_MIN = 256,
};

/* A call or a return, in a list in the order of time. Linearizing an operation lifts both of its
 * events out; going back puts them in again. */
struct event {
    uint64_t time;
    int operation;
    int other; /* of a call: its return's place, or NONE while pending; of a return: NONE */
    int next, previous;
    bool is_return;
};

/* States that were reached: which operations are done, and what the register holds. */
struct memory {
    uint64_t *states; /* each of `words` words, and the value behind them */
    size_t count, capacity;
    uint32_t *slots; /* 1 + the place in `states`; 0: free */
    size_t slot_count;
    size_t words;
};

struct step {
    int call;
    uint64_t value; /* before it */
};

struct search {
    const struct linear_operation *operations;
    size_t count;
    struct event *events; /* [0] is the list's head */
    struct step *steps;
    size_t depth;
    uint64_t *done; /* a bit for each operation, then the register's value */
    size_t returns_left;
    struct memory memory;
};

int linear_add(struct linear_history *history, const struct linear_operation *operation)
{
    if (history->count == history->capacity) {
        size_t capacity = history->capacity ? 2 * history->capacity : 64;
        struct linear_operation *grown =
            reallocarray(history->operations, capacity, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        history->operations = grown;
        history->capacity = capacity;
    }
    history->operations[history->count++] = *operation;
    return 0;
}

void linear_done(struct linear_history *history)
{
    free(history->operations);
    *history = (struct linear_history){0};
}

/* ---- what was tried -------------------------------------------------------------------------- */

static uint64_t hash_state(const struct memory *memory, const uint64_t *state)
{
    uint64_t hash = 0;
    for (size_t i = 0; i <= memory->words; i++) {
        hash = (hash ^ state[i]) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    }
    return hash;
}

static void place(struct memory *memory, uint32_t number)
{
    uint64_t at = hash_state(memory, memory->states + number * (memory->words + 1));
    while (memory->slots[at & (memory->slot_count - 1)])
        at++;
    memory->slots[at & (memory->slot_count - 1)] = number + 1;
}

static int grow(struct memory *memory)
{
    size_t slots = memory->slot_count ? 2 * memory->slot_count : SLOTS_MIN;
    uint64_t *states =
        reallocarray(memory->states, slots / 2, (memory->words + 1) * sizeof(*states));
    if (!states)
        return -ENOMEM;
    memory->states = states;
    memory->capacity = slots / 2;
    free(memory->slots);
    memory->slots = calloc(slots, sizeof(*memory->slots));
    memory->slot_count = memory->slots ? slots : 0;
    if (!memory->slots)
        return -ENOMEM;
    for (size_t i = 0; i < memory->count; i++)
        place(memory, (uint32_t)i);
    return 0;
}

/* 1 if `state` was not known and is now, 0 if it was, or -ENOMEM. */
static int remember(struct memory *memory, const uint64_t *state)
{
    size_t size = (memory->words + 1) * sizeof(*state);
    if (memory->count == memory->capacity && grow(memory) < 0)
        return -ENOMEM;
    for (uint64_t at = hash_state(memory, state);; at++) {
        uint32_t number = memory->slots[at & (memory->slot_count - 1)];
        if (number == 0)
            break;
        if (memcmp(memory->states + (number - 1) * (memory->words + 1), state, size) == 0)
            return 0;
    }
    memcpy(memory->states + memory->count * (memory->words + 1), state, size);
    place(memory, (uint32_t)memory->count++);
    return 1;
}

/* ---- the register ---------------------------------------------------------------------------- */

/* Whether the operation can take effect now, and what the register holds then. */
static bool take_effect(const struct linear_operation *operation, uint64_t *value)
{
    bool is_pending = operation->returns == LINEAR_PENDING;
    bool matches = *value == operation->expected;
    switch (operation->type) {
    case LINEAR_READ:
        return is_pending || *value == operation->value;
    case LINEAR_WRITE:
        *value = operation->value;
        return true;
    case LINEAR_SWAP:
        if (!is_pending && matches != (operation->swapped != 0))
            return false;
        if (matches)
            *value = operation->value;
        return true;
    }
    return false;
}

/* ---- the search ------------------------------------------------------------------------------ */

static void lift(struct search *search, int at)
{
    struct event *event = &search->events[at];
    search->events[event->previous].next = event->next;
    if (event->next != NONE)
        search->events[event->next].previous = event->previous;
}

static void put_back(struct search *search, int at)
{
    struct event *event = &search->events[at];
    search->events[event->previous].next = at;
    if (event->next != NONE)
        search->events[event->next].previous = at;
}

static void flip(struct search *search, int operation)
{
    search->done[operation / WORD_BITS] ^= UINT64_C(1) << (operation % WORD_BITS);
}

static void advance(struct search *search, int call, uint64_t before)
{
    struct event *event = &search->events[call];
    search->steps[search->depth++] = (struct step){call, before};
    lift(search, call);
    if (event->other != NONE) {
        lift(search, event->other);
        search->returns_left--;
    }
}

/* Undoes the last step; the place to go on at is behind its call. */
static int go_back(struct search *search)
{
    struct step step = search->steps[--search->depth];
    struct event *event = &search->events[step.call];
    if (event->other != NONE) {
        put_back(search, event->other);
        search->returns_left++;
    }
    put_back(search, step.call);
    flip(search, event->operation);
    search->done[search->memory.words] = step.value;
    return event->next;
}

static enum linear_result run(struct search *search, size_t budget, struct linear_verdict *verdict)
{
    uint64_t *value = &search->done[search->memory.words];
    int at = search->events[0].next;
    bool has_failed = false;
    while (search->returns_left > 0) {
        struct event *event = at == NONE ? NULL : &search->events[at];
        if (event && !event->is_return) {
            uint64_t before = *value;
            bool fits = take_effect(&search->operations[event->operation], value);
            int is_new = 0;
            flip(search, event->operation);
            if (fits)
                is_new = remember(&search->memory, search->done);
            if (is_new < 0 || search->memory.count > budget)
                return LINEAR_UNDECIDED;
            if (is_new) {
                advance(search, at, before);
                at = search->events[0].next;
            } else {
                flip(search, event->operation);
                *value = before;
                at = event->next;
            }
            continue;
        }
        /* What returned here must have taken effect before, and has not. */
        if (event && (!has_failed || search->depth > verdict->linearized)) {
            has_failed = true;
            verdict->linearized = search->depth;
            verdict->stuck = search->operations[event->operation];
            verdict->object = verdict->stuck.object;
        }
        if (search->depth == 0)
            return LINEAR_NO;
        at = go_back(search);
    }
    return LINEAR_YES;
}

static int by_time(const void *a, const void *b)
{
    const struct event *one = a, *other = b;
    return one->time < other->time ? -1 : one->time > other->time;
}

/* Sorts the events and links them. */
static void prepare(struct search *search, int *calls)
{
    int count = 1;
    for (size_t i = 0; i < search->count; i++) {
        const struct linear_operation *operation = &search->operations[i];
        search->events[count++] =
            (struct event){.time = operation->call, .operation = (int)i, .other = NONE};
        if (operation->returns == LINEAR_PENDING)
            continue;
        search->events[count++] = (struct event){
            .time = operation->returns, .operation = (int)i, .other = NONE, .is_return = true};
        search->returns_left++;
    }
    qsort(search->events + 1, (size_t)count - 1, sizeof(*search->events), by_time);
    for (int i = 0; i < count; i++) {
        struct event *event = &search->events[i];
        event->previous = i - 1;
        event->next = i + 1 < count ? i + 1 : NONE;
        if (i > 0 && !event->is_return)
            calls[event->operation] = i;
        else if (i > 0)
            search->events[calls[event->operation]].other = i;
    }
}

static enum linear_result check_one(const struct linear_operation *operations, size_t count,
                                    size_t budget, struct linear_verdict *verdict)
{
    struct search search = {
        .operations = operations,
        .count = count,
        .memory = {.words = (count + WORD_BITS - 1) / WORD_BITS},
    };
    search.events = calloc(2 * count + 1, sizeof(*search.events));
    search.steps = calloc(count + 1, sizeof(*search.steps));
    search.done = calloc(search.memory.words + 1, sizeof(*search.done));
    int *calls = calloc(count + 1, sizeof(*calls));
    enum linear_result result = LINEAR_UNDECIDED;
    if (search.events && search.steps && search.done && calls) {
        prepare(&search, calls);
        result = run(&search, budget, verdict);
    }
    free(search.events);
    free(search.steps);
    free(search.done);
    free(search.memory.states);
    free(search.memory.slots);
    free(calls);
    return result;
}

static int by_object(const void *a, const void *b)
{
    const struct linear_operation *one = a, *other = b;
    if (one->object != other->object)
        return one->object < other->object ? -1 : 1;
    return one->call < other->call ? -1 : one->call > other->call;
}

/* What a pending read saw nobody knows: it says nothing. */
static bool matters(const struct linear_operation *operation)
{
    return operation->type != LINEAR_READ || operation->returns != LINEAR_PENDING;
}

enum linear_result linear_check(const struct linear_history *history, size_t budget,
                                struct linear_verdict *ret)
{
    struct linear_operation *sorted = calloc(history->count + 1, sizeof(*sorted));
    struct linear_verdict verdict = {0};
    enum linear_result result = sorted ? LINEAR_YES : LINEAR_UNDECIDED;
    size_t count = 0;
    for (size_t i = 0; sorted && i < history->count; i++)
        if (matters(&history->operations[i]))
            sorted[count++] = history->operations[i];
    if (count > 0)
        qsort(sorted, count, sizeof(*sorted), by_object);
    for (size_t first = 0, end; first < count && result == LINEAR_YES; first = end) {
        for (end = first; end < count && sorted[end].object == sorted[first].object;)
            end++;
        verdict = (struct linear_verdict){.object = sorted[first].object};
        result = check_one(sorted + first, end - first, budget, &verdict);
    }
    free(sorted);
    if (result != LINEAR_YES)
        *ret = verdict;
    return result;
}
