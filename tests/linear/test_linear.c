#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/linear/linear.h"

enum {
    BUDGET = 1000000,
};

#define R(c, at, end, saw)                                                                         \
    {                                                                                              \
        .type = LINEAR_READ, .client = c, .call = at, .returns = end, .value = saw                 \
    }
#define W(c, at, end, wrote)                                                                       \
    {                                                                                              \
        .type = LINEAR_WRITE, .client = c, .call = at, .returns = end, .value = wrote              \
    }
#define S(c, at, end, from, to, did)                                                               \
    {                                                                                              \
        .type = LINEAR_SWAP, .client = c, .call = at, .returns = end, .expected = from,            \
        .value = to, .swapped = did                                                                \
    }
#define NEVER LINEAR_PENDING

static enum linear_result check(const struct linear_operation *operations, size_t count,
                                struct linear_verdict *verdict)
{
    struct linear_history history = {0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(linear_add(&history, &operations[i]), 0);
    enum linear_result result = linear_check(&history, BUDGET, verdict);
    linear_done(&history);
    return result;
}

#define assert_linear(result, ...)                                                                 \
    do {                                                                                           \
        struct linear_operation operations[] = {__VA_ARGS__};                                      \
        struct linear_verdict unused;                                                              \
        assert_int_equal(check(operations, sizeof(operations) / sizeof(*operations), &unused),     \
                         result);                                                                  \
    } while (0)

/* Breaks if what every register may do is called wrong. */
static void test_good(void **state)
{
    (void)state;
    struct linear_verdict verdict;
    assert_int_equal(check(NULL, 0, &verdict), LINEAR_YES);
    assert_linear(LINEAR_YES, R(1, 1, 2, 0));
    assert_linear(LINEAR_YES, W(1, 1, 2, 5), R(1, 3, 4, 5));
    /* While a write runs, others may see the old value, and then the new one. */
    assert_linear(LINEAR_YES, W(1, 1, 10, 5), R(2, 2, 3, 0), R(2, 4, 5, 5), R(3, 6, 7, 5));
    /* Two writes at once, in either order. */
    assert_linear(LINEAR_YES, W(1, 1, 10, 5), W(2, 2, 9, 6), R(3, 11, 12, 5));
    assert_linear(LINEAR_YES, W(1, 1, 10, 5), W(2, 2, 9, 6), R(3, 11, 12, 6));
    assert_linear(LINEAR_YES, W(1, 1, 2, 5), S(2, 3, 4, 5, 6, 1), S(3, 5, 6, 5, 7, 0),
                  R(1, 7, 8, 6));
    /* Two swaps at once from the same value: one fails. */
    assert_linear(LINEAR_YES, S(1, 1, 10, 0, 5, 0), S(2, 2, 9, 0, 6, 1), R(3, 11, 12, 6));
}

/* Breaks if a stale read, a lost write or two winners pass. */
static void test_bad(void **state)
{
    (void)state;
    assert_linear(LINEAR_NO, R(1, 1, 2, 5));
    assert_linear(LINEAR_NO, W(1, 1, 2, 5), R(2, 3, 4, 0));
    /* Once anybody saw the new value, nobody sees the old one. */
    assert_linear(LINEAR_NO, W(1, 1, 10, 5), R(2, 2, 3, 5), R(3, 4, 5, 0));
    /* Two readers that saw two writes in opposite orders. */
    assert_linear(LINEAR_NO, W(1, 1, 20, 5), W(2, 2, 19, 6), R(3, 3, 4, 5), R(3, 5, 6, 6),
                  R(4, 7, 8, 5));
    assert_linear(LINEAR_NO, S(1, 1, 10, 0, 5, 1), S(2, 2, 9, 0, 6, 1));
    assert_linear(LINEAR_NO, W(1, 1, 2, 5), S(2, 3, 4, 5, 6, 0));
    /* A write that took effect twice. */
    assert_linear(LINEAR_NO, W(1, 1, 2, 5), W(2, 3, 4, 6), R(3, 5, 6, 6), R(3, 7, 8, 5));
}

/* Breaks if an operation of unknown outcome must take effect, or may do so before it began or
 * twice. */
static void test_pending(void **state)
{
    (void)state;
    assert_linear(LINEAR_YES, W(1, 1, NEVER, 5), R(2, 2, 3, 0), R(2, 4, 5, 0));
    assert_linear(LINEAR_YES, W(1, 1, NEVER, 5), R(2, 2, 3, 0), R(2, 40, 50, 5));
    assert_linear(LINEAR_NO, R(2, 1, 2, 5), W(1, 3, NEVER, 5));
    assert_linear(LINEAR_NO, W(1, 1, NEVER, 5), R(2, 2, 3, 5), R(2, 4, 5, 0));
    assert_linear(LINEAR_NO, W(1, 1, NEVER, 5), R(2, 2, 3, 5), W(2, 4, 5, 6), R(2, 6, 7, 5));
    assert_linear(LINEAR_YES, S(1, 1, NEVER, 0, 5, 0), R(2, 2, 3, 5));
    assert_linear(LINEAR_NO, S(1, 1, NEVER, 7, 5, 0), R(2, 2, 3, 5));
    assert_linear(LINEAR_YES, R(1, 1, NEVER, 99), R(2, 2, 3, 0));
}

/* Breaks if registers are mixed up, or the verdict names another one. */
static void test_objects(void **state)
{
    (void)state;
    struct linear_operation operations[] = {
        {.type = LINEAR_WRITE, .object = 1, .value = 5, .call = 1, .returns = 2},
        {.type = LINEAR_READ, .object = 2, .value = 0, .call = 3, .returns = 4},
        {.type = LINEAR_READ, .object = 1, .value = 5, .call = 5, .returns = 6},
        {.type = LINEAR_READ, .object = 2, .value = 5, .client = 9, .call = 7, .returns = 8},
    };
    struct linear_verdict verdict;
    assert_int_equal(check(operations, 3, &verdict), LINEAR_YES);
    assert_int_equal(check(operations, 4, &verdict), LINEAR_NO);
    assert_int_equal(verdict.object, 2);
    assert_int_equal(verdict.stuck.client, 9);
    assert_int_equal(verdict.linearized, 1);
}

/* A real register under `clients` at random moments: linearizable because each operation takes
 * effect at one moment between its call and its return. Some are left pending, with or without
 * effect. */
static void simulate(struct random *random, struct linear_history *history, size_t count,
                     unsigned clients)
{
    struct linear_operation open[16] = {0};
    bool is_open[16] = {false}, has_effect[16] = {false};
    uint64_t value = 0, now = 0;
    while (history->count < count) {
        size_t i = random_below(random, clients);
        now++;
        if (!is_open[i]) {
            open[i] = (struct linear_operation){
                .type = (enum linear_type)random_below(random, 3),
                .client = (uint32_t)i,
                .value = 1 + random_below(random, 5),
                .expected = random_below(random, 6),
                .call = now,
            };
            is_open[i] = true;
            has_effect[i] = false;
        } else if (!has_effect[i]) {
            if (random_chance(random, 1, 12)) { /* its client gives up; it never takes effect */
                open[i].returns = LINEAR_PENDING;
                assert_int_equal(linear_add(history, &open[i]), 0);
                is_open[i] = false;
                continue;
            }
            has_effect[i] = true;
            if (open[i].type == LINEAR_READ)
                open[i].value = value;
            else if (open[i].type == LINEAR_WRITE || (open[i].swapped = value == open[i].expected))
                value = open[i].value;
        } else {
            open[i].returns = random_chance(random, 1, 20) ? LINEAR_PENDING : now;
            assert_int_equal(linear_add(history, &open[i]), 0);
            is_open[i] = false;
        }
    }
    for (size_t i = 0; i < clients; i++) {
        open[i].returns = LINEAR_PENDING;
        if (is_open[i])
            assert_int_equal(linear_add(history, &open[i]), 0);
    }
}

/* Whether some order explains the history, by trying all: a second opinion for small ones. */
static bool brute_force(const struct linear_history *history, uint64_t done, uint64_t value)
{
    uint64_t first_return = LINEAR_PENDING;
    for (size_t i = 0; i < history->count; i++)
        if (!(done >> i & 1) && history->operations[i].returns < first_return)
            first_return = history->operations[i].returns;
    if (first_return == LINEAR_PENDING)
        return true;
    for (size_t i = 0; i < history->count; i++) {
        const struct linear_operation *operation = &history->operations[i];
        bool is_pending = operation->returns == LINEAR_PENDING;
        uint64_t after = value;
        if (done >> i & 1 || operation->call > first_return)
            continue;
        if (operation->type == LINEAR_READ && !is_pending && value != operation->value)
            continue;
        if (operation->type == LINEAR_SWAP && !is_pending &&
            (value == operation->expected) != operation->swapped)
            continue;
        if (operation->type == LINEAR_WRITE ||
            (operation->type == LINEAR_SWAP && value == operation->expected))
            after = operation->value;
        if (brute_force(history, done | UINT64_C(1) << i, after))
            return true;
    }
    return false;
}

/* Breaks if a good history is refused, or the verdict differs from trying all orders once one
 * result in it was changed. */
static void test_random(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct random random;
        struct linear_history history = {0};
        struct linear_verdict verdict;
        random_init(&random, seed);
        simulate(&random, &history, 10, 3);
        assert_int_equal(linear_check(&history, BUDGET, &verdict), LINEAR_YES);
        struct linear_operation *changed = &history.operations[random_below(&random, 8)];
        changed->value = 1 + random_below(&random, 5);
        changed->swapped = !changed->swapped;
        bool expected = brute_force(&history, 0, 0);
        assert_int_equal(linear_check(&history, BUDGET, &verdict),
                         expected ? LINEAR_YES : LINEAR_NO);
        refused += !expected;
        linear_done(&history);
    }
    assert_true(refused > 500 && refused < 2500);
}

/* Breaks if long histories take for ever, or a budget that is spent is taken for a verdict. */
static void test_long(void **state)
{
    (void)state;
    struct random random;
    struct linear_history history = {0};
    struct linear_verdict verdict;
    random_init(&random, 7);
    simulate(&random, &history, 1000, 6);
    assert_int_equal(linear_check(&history, BUDGET, &verdict), LINEAR_YES);
    assert_int_equal(linear_check(&history, 10, &verdict), LINEAR_UNDECIDED);
    linear_done(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_bad),
        cmocka_unit_test(test_pending), cmocka_unit_test(test_objects),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
