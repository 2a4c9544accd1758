/* linear_history: reads what clients saw, as tools/chaos wrote it down, and says for each register
 * whether that is linearizable. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear/linear.h"

enum {
    EXIT_VIOLATED = 1,
    EXIT_USAGE = 2,
    NAME_BYTES_MAX = 63,
    BUDGET = 20000000, /* states remembered of one register */
};

static const char usage[] =
    "usage: linear_history FILE\n"
    "\n"
    "Each line is an operation of a client on a register, which holds 0 at first:\n"
    "\n"
    "  CLIENT REGISTER TYPE EXPECTED VALUE OUTCOME CALL RETURN\n"
    "\n"
    "TYPE is read, write or swap (which writes VALUE if the register holds EXPECTED). OUTCOME is "
    "ok,\n"
    "refused (of a swap: it held something else) or unknown; a read that failed is left out. CALL\n"
    "and RETURN are times of one clock; of an unknown outcome, when the client gave up. Prints a\n"
    "line for each register that is not linearizable, and counts. Exits with 1 if there is any,\n"
    "or one that can't be decided; with 2 if the file makes no sense.\n";

struct register_history {
    char name[NAME_BYTES_MAX + 1];
    struct linear_history history;
};

struct registers {
    struct register_history *items;
    size_t count;
};

static struct register_history *find(struct registers *registers, const char *name)
{
    for (size_t i = registers->count; i-- > 0;)
        if (strcmp(registers->items[i].name, name) == 0)
            return &registers->items[i];
    struct register_history *grown =
        reallocarray(registers->items, registers->count + 1, sizeof(*grown));
    if (!grown)
        return NULL;
    registers->items = grown;
    struct register_history *added = &grown[registers->count++];
    *added = (struct register_history){0};
    snprintf(added->name, sizeof(added->name), "%s", name);
    return added;
}

static int read_type(const char *type, const char *outcome, struct linear_operation *ret)
{
    bool is_ok = strcmp(outcome, "ok") == 0, is_refused = strcmp(outcome, "refused") == 0;
    if (!is_ok && !is_refused && strcmp(outcome, "unknown") != 0)
        return -EINVAL;
    if (!is_ok && !is_refused)
        ret->returns = LINEAR_PENDING;
    if (strcmp(type, "swap") == 0) {
        ret->type = LINEAR_SWAP;
        ret->swapped = is_ok;
        return 0;
    }
    if (is_refused)
        return -EINVAL;
    if (strcmp(type, "write") == 0)
        ret->type = LINEAR_WRITE;
    else if (strcmp(type, "read") == 0 && is_ok)
        ret->type = LINEAR_READ;
    else
        return -EINVAL;
    return 0;
}

static int read_line(const char *line, struct registers *registers)
{
    char name[NAME_BYTES_MAX + 1], type[16], outcome[16];
    struct linear_operation operation = {0};
    int count =
        sscanf(line, "%" SCNu32 " %63s %15s %" SCNu64 " %" SCNu64 " %15s %" SCNu64 " %" SCNu64,
               &operation.client, name, type, &operation.expected, &operation.value, outcome,
               &operation.call, &operation.returns);
    if (count != 8 || operation.returns < operation.call ||
        read_type(type, outcome, &operation) < 0)
        return -EINVAL;
    struct register_history *its = find(registers, name);
    return its ? linear_add(&its->history, &operation) : -ENOMEM;
}

struct moment {
    uint64_t *time;
    bool is_return;
};

/* Of the same time, calls are earlier: what may have overlapped did. */
static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;
    if (*a->time != *b->time)
        return *a->time < *b->time ? -1 : 1;
    return a->is_return - b->is_return;
}

/* Numbers all moments, so that no two are the same. */
static int number_moments(struct linear_history *history)
{
    struct moment *moments = calloc(2 * history->count + 1, sizeof(*moments));
    size_t count = 0;
    if (!moments)
        return -ENOMEM;
    for (size_t i = 0; i < history->count; i++) {
        struct linear_operation *operation = &history->operations[i];
        moments[count++] = (struct moment){&operation->call, false};
        if (operation->returns != LINEAR_PENDING)
            moments[count++] = (struct moment){&operation->returns, true};
    }
    qsort(moments, count, sizeof(*moments), compare_moments);
    for (size_t i = 0; i < count; i++)
        *moments[i].time = i + 1;
    free(moments);
    return 0;
}

static void print_stuck(const struct register_history *its, const struct linear_verdict *verdict)
{
    static const char *const types[] = {
        [LINEAR_READ] = "read of", [LINEAR_WRITE] = "write of", [LINEAR_SWAP] = "swap to"};
    const struct linear_operation *stuck = &verdict->stuck;
    printf("register %s is not linearizable: of its %zu operations at most %zu can be put in an "
           "order; behind them fits not client %" PRIu32 "'s %s %" PRIu64,
           its->name, its->history.count, verdict->linearized, stuck->client, types[stuck->type],
           stuck->value);
    if (stuck->type == LINEAR_SWAP)
        printf(" where %" PRIu64 " was expected, %s", stuck->expected,
               stuck->swapped ? "done" : "refused");
    putchar('\n');
}

static int check(struct registers *registers)
{
    size_t bad = 0, undecided = 0, operations = 0;
    for (size_t i = 0; i < registers->count; i++) {
        struct register_history *its = &registers->items[i];
        struct linear_verdict verdict;
        enum linear_result result = LINEAR_UNDECIDED;
        if (number_moments(&its->history) == 0)
            result = linear_check(&its->history, BUDGET, &verdict);
        operations += its->history.count;
        bad += result == LINEAR_NO;
        undecided += result == LINEAR_UNDECIDED;
        if (result == LINEAR_NO)
            print_stuck(its, &verdict);
        else if (result == LINEAR_UNDECIDED)
            printf("register %s can't be decided: %zu operations\n", its->name, its->history.count);
    }
    printf("%zu operations on %zu registers: %zu linearizable, %zu not, %zu undecided\n",
           operations, registers->count, registers->count - bad - undecided, bad, undecided);
    return bad + undecided > 0 ? EXIT_VIOLATED : 0;
}

static int read_file(FILE *file, const char *path, struct registers *registers)
{
    char *line = NULL;
    size_t capacity = 0;
    int rc = 0;
    for (size_t number = 1; rc == 0 && getline(&line, &capacity, file) > 0; number++) {
        rc = read_line(line, registers);
        if (rc < 0)
            fprintf(stderr, "linear_history: %s:%zu: %s", path, number,
                    rc == -EINVAL ? line : "out of memory\n");
    }
    free(line);
    return rc;
}

int main(int count, char **words)
{
    struct registers registers = {0};
    bool wants_help = count == 2 && strcmp(words[1], "--help") == 0;
    if (count != 2 || wants_help) {
        fputs(usage, wants_help ? stdout : stderr);
        return wants_help ? 0 : EXIT_USAGE;
    }
    FILE *file = fopen(words[1], "r");
    if (!file) {
        fprintf(stderr, "linear_history: %s: %s\n", words[1], strerror(errno));
        return EXIT_USAGE;
    }
    int code = read_file(file, words[1], &registers) < 0 ? EXIT_USAGE : check(&registers);
    fclose(file);
    for (size_t i = 0; i < registers.count; i++)
        linear_done(&registers.items[i].history);
    free(registers.items);
    return code;
}
