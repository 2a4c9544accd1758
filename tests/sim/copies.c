#include "tests/sim/copies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster.h"

static bool is_final(int code)
{
    return code != -EAGAIN && code != -EREMOTE && code != -EBUSY && code != -ETIMEDOUT &&
           code != -ECANCELED;
}

void copies_done(struct copies *copies)
{
    for (size_t i = 0; i < COPIES_MAX; i++)
        buffer_done(&copies->items[i].command);
}

void copies_keep(struct copies *copies, struct bytes command, const struct intent_result *answer)
{
    struct copy *copy = &copies->items[copies->next++ % COPIES_MAX];
    buffer_done(&copy->command);
    *copy = (struct copy){.answer = *answer, .is_decided = is_final(answer->code)};
    if (buffer_append(&copy->command, command.data, command.size) < 0)
        abort();
}

/* What was sent, and what it was answered before. */
struct question {
    struct cluster *c;
    struct intent_result answer;
    bool is_decided;
};

static bool is_same(const struct intent_result *a, const struct intent_result *b)
{
    return a->code == b->code && a->serial == b->serial && a->version == b->version &&
           a->revision == b->revision && a->unchanged == b->unchanged &&
           strcmp(a->error.message, b->error.message) == 0 &&
           strcmp(a->error.hint, b->error.hint) == 0;
}

static void on_answered(void *context, const struct agent_result *result)
{
    struct question *question = context;
    const struct intent_result *answer = &result->result;
    trace_line(question->c, "a copy is answered: %d %s", answer->code, answer->error.message);
    if (question->is_decided && is_final(answer->code) && answer->code != -ESTALE &&
        !is_same(answer, &question->answer))
        cluster_fail(question->c,
                     "applied once: a copy is answered %d %s (revision %u) instead of %d %s (%u)",
                     answer->code, answer->error.message, answer->revision, question->answer.code,
                     question->answer.error.message, question->answer.revision);
    free(question);
}

void cluster_send_copy(struct cluster *c, unsigned via, size_t age)
{
    size_t count = c->copies.next < COPIES_MAX ? c->copies.next : COPIES_MAX;
    if (count == 0 || !c->machines[via].agent)
        return;
    age %= count;
    const struct copy *copy = &c->copies.items[(c->copies.next - 1 - age) % COPIES_MAX];
    struct question *question = sim_allocate(sizeof(*question));
    *question = (struct question){c, copy->answer, copy->is_decided};
    trace_line(c, "a copy of the last but %zu is sent to m%u", age, via);
    machine_propose_copy(&c->machines[via], buffer_view(&copy->command), on_answered, question);
}
