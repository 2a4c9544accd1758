#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/peer/peer.h"
#include "node/peer/reads.h"

enum { READS = 3 };

/* The agent's part. */
static struct {
    unsigned steps;
    uint64_t requests[READS];
    bool answers_at_once;
} agent;

static struct {
    unsigned count;
    int codes[READS];
} told[READS];

void peer_step(struct peer *peer, struct agent_input *input)
{
    assert_int_equal(input->type, AGENT_READ_LOCAL);
    agent.requests[agent.steps++] = input->request;
    struct agent_result result = {.request = input->request};
    if (agent.answers_at_once)
        assert_true(reads_decided(peer, &result));
}

static void on_read(void *context, const struct intent_result *result)
{
    size_t i = (size_t)((char *)context - (char *)told) / sizeof(told[0]);
    told[i].codes[told[i].count++] = result->code;
}

static struct peer *start(void)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->loop = calloc(1, sizeof(uv_loop_t));
    assert_non_null(peer->loop);
    uv_loop_init(peer->loop);
    agent.steps = 0;
    agent.answers_at_once = false;
    for (unsigned i = 0; i < READS; i++)
        told[i].count = 0;
    return peer;
}

static void end(struct peer *peer)
{
    uv_run(peer->loop, UV_RUN_DEFAULT);
    assert_null(peer->reads);
    assert_int_equal(uv_loop_close(peer->loop), 0);
    free(peer->loop);
    free(peer);
}

/* Breaks if an answer reaches another reader than its own, one reader twice, or one from inside its
 * own call; or if an answer to a proposal is taken for one to a read. */
static void test_each_its_own(void **state)
{
    struct peer *peer = start();
    (void)state;
    for (unsigned i = 0; i < READS; i++)
        assert_int_equal(peer_read(peer, on_read, &told[i]), 0);
    assert_int_equal(agent.steps, 0);
    uv_run(peer->loop, UV_RUN_NOWAIT);
    assert_int_equal(agent.steps, READS);
    struct agent_result result = {.request = agent.requests[1], .result.code = -EAGAIN};
    assert_true(reads_decided(peer, &result));
    assert_false(reads_decided(peer, &result));
    result = (struct agent_result){.request = agent.requests[2]};
    assert_true(reads_decided(peer, &result));
    result.request = ++peer->next_request;
    assert_false(reads_decided(peer, &result));
    assert_int_equal(told[0].count, 0);
    assert_int_equal(told[1].count, 1);
    assert_int_equal(told[2].count, 1);
    reads_cancel(peer);
    assert_int_equal(told[0].count, 1);
    assert_int_equal(told[0].codes[0] + told[1].codes[0] + told[2].codes[0], -ECANCELED - EAGAIN);
    end(peer);
}

/* Breaks if a leader that answers by its lease, inside of the very step, is not heard; or a read
 * that was not asked yet when the peer stops is asked of what is gone. */
static void test_at_once(void **state)
{
    struct peer *peer = start();
    (void)state;
    agent.answers_at_once = true;
    assert_int_equal(peer_read(peer, on_read, &told[0]), 0);
    assert_int_equal(told[0].count, 0);
    uv_run(peer->loop, UV_RUN_NOWAIT);
    assert_int_equal(told[0].count, 1);
    assert_int_equal(told[0].codes[0], 0);
    assert_int_equal(peer_read(peer, on_read, &told[1]), 0);
    reads_cancel(peer);
    assert_int_equal(told[1].codes[0], -ECANCELED);
    end(peer);
    assert_int_equal(agent.steps, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_its_own),
        cmocka_unit_test(test_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
