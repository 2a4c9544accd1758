#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/peer/peer.h"
#include "node/peer/proposals.h"

/* The agent's part: what it was given, and what it answers at once, if anything. */
static struct {
    unsigned steps;
    uint64_t last_request, last_client, last_sequence, last_since;
    int answers; /* a code, or 1: nothing yet */
} agent;

static struct {
    unsigned count;
    struct agent_result last;
} told;

static int64_t skipped_ms; /* by which the peer's clock is ahead */

void peer_step(struct peer *peer, struct agent_input *input)
{
    struct command command;
    assert_int_equal(input->type, AGENT_PROPOSE_LOCAL);
    assert_int_equal(command_decode(input->bytes, &command), 0);
    assert_int_not_equal(command.head.client, 0);
    agent.last_client = command.head.client;
    agent.last_sequence = command.head.sequence;
    agent.last_since = command.head.since;
    command_done(&command);
    agent.steps++;
    agent.last_request = input->request;
    struct agent_result result = {.request = input->request, .result.code = agent.answers};
    if (agent.answers <= 0)
        proposals_decided(peer, &result);
}

static struct intent intent = {.applied_index = 7};

const struct intent *agent_intent(const struct agent *unused)
{
    (void)unused;
    return &intent;
}

int64_t peer_now_ms(const struct peer *peer)
{
    return (int64_t)uv_now(peer->loop) + skipped_ms;
}

int64_t peer_wall_ms(void)
{
    return 1;
}

static void on_decided(void *context, const struct agent_result *result)
{
    (void)context;
    told.count++;
    told.last = *result;
}

static int setup(void **state)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->loop = calloc(1, sizeof(uv_loop_t));
    assert_non_null(peer->loop);
    uv_loop_init(peer->loop);
    memset(&agent, 0, sizeof(agent));
    intent.applied_index = 7;
    memset(&told, 0, sizeof(told));
    skipped_ms = 0;
    *state = peer;
    return 0;
}

static int teardown(void **state)
{
    struct peer *peer = *state;
    uv_run(peer->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(peer->loop), 0);
    assert_null(peer->proposals);
    clients_done(&peer->clients);
    free(peer->loop);
    free(peer);
    return 0;
}

static void propose(struct peer *peer, int64_t patience_ms)
{
    struct command command = {.head.type = COMMAND_SCALE, .scale = {.service = "s_web"}};
    uv_update_time(peer->loop);
    assert_int_equal(peer_propose(peer, &command, patience_ms, on_decided, NULL), 0);
    assert_int_equal(agent.steps, 0); /* from the loop, never from inside */
}

/* Breaks if a decision is not told, or more than once. */
static void test_decided(void **state)
{
    agent.answers = -ENOENT;
    propose(*state, 1000);
    uv_run(((struct peer *)*state)->loop, UV_RUN_DEFAULT);
    assert_int_equal(agent.steps, 1);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.last.result.code, -ENOENT);
    struct agent_result again = {.request = agent.last_request};
    proposals_decided(*state, &again);
    assert_int_equal(told.count, 1);
}

/* Breaks if a change is lost because nobody leads for a moment, or is made twice by trying again.
 */
static void test_tried_again(void **state)
{
    struct peer *peer = *state;
    static const int codes[] = {-EAGAIN, -EREMOTE, -EBUSY, -ETIMEDOUT};
    agent.answers = codes[0];
    propose(peer, 100000);
    uint64_t client = 0, request = 0;
    intent.applied_index = 9; /* since then it may have been applied */
    for (unsigned i = 0; i < 4; i++) {
        agent.answers = codes[i];
        while (agent.steps == i)
            uv_run(peer->loop, UV_RUN_NOWAIT); /* UV_RUN_ONCE may run timers twice */
        assert_int_equal(told.count, 0);
        assert_true(client == 0 || agent.last_client == client); /* applied once, however often */
        assert_true(agent.last_request != request);
        assert_int_equal(agent.last_sequence, 1);
        assert_int_equal(agent.last_since, 7);
        client = agent.last_client;
        request = agent.last_request;
    }
    agent.answers = 0;
    uv_run(peer->loop, UV_RUN_DEFAULT);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.last.result.code, 0);
    assert_int_equal(agent.steps, 5);
    /* a late answer to an earlier try finds nobody */
    struct agent_result late = {.request = request};
    proposals_decided(peer, &late);
    assert_int_equal(told.count, 1);
}

/* Breaks if two commands that are under way have one client, whose later one makes the earlier one
 * void; or if each command has a client of its own, of which the cluster remembers so many. */
static void test_clients(void **state)
{
    struct peer *peer = *state;
    uint64_t clients[2];
    agent.answers = 1;
    for (unsigned i = 0; i < 2; i++) {
        agent.steps = 0;
        propose(peer, 1000);
        uv_run(peer->loop, UV_RUN_NOWAIT);
        clients[i] = agent.last_client;
        assert_int_equal(agent.last_sequence, 1);
    }
    assert_true(clients[0] != clients[1]);
    struct agent_result result = {.request = agent.last_request};
    proposals_decided(peer, &result);
    agent.steps = 0;
    propose(peer, 1000);
    uv_run(peer->loop, UV_RUN_NOWAIT);
    assert_true(agent.last_client == clients[1]);
    assert_int_equal(agent.last_sequence, 2);
    proposals_cancel(peer);
}

/* Breaks if whoever asked waits past its patience. */
static void test_gives_up(void **state)
{
    struct peer *peer = *state;
    agent.answers = -EAGAIN;
    propose(peer, 1000);
    uv_run(peer->loop, UV_RUN_ONCE);
    assert_int_equal(told.count, 0);
    skipped_ms = 900;
    uv_run(peer->loop, UV_RUN_DEFAULT);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.last.result.code, -EAGAIN);
}

/* Breaks if a peer that stops leaves somebody waiting, or tells the wrong one. */
static void test_cancel(void **state)
{
    struct peer *peer = *state;
    agent.answers = 1;
    propose(peer, 1000);
    propose(peer, 1000);
    uv_run(peer->loop, UV_RUN_NOWAIT);
    assert_int_equal(agent.steps, 2);
    struct agent_result result = {.request = agent.last_request};
    proposals_decided(peer, &result);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.last.request, agent.last_request);
    proposals_cancel(peer);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.last.result.code, -ECANCELED);
    assert_int_not_equal(told.last.result.error.message[0], 0);
    proposals_cancel(peer);
    assert_int_equal(told.count, 2);
}

/* Breaks if what can't be encoded is promised an answer. */
static void test_too_large(void **state)
{
    struct intent_blob blob = {.name = "s_big", .kind = SPEC_FILE_CONFIG};
    struct command command = {.head.type = COMMAND_DEPLOY,
                              .deploy = {.stack = "s", .blobs = &blob, .blob_count = 1}};
    size_t size = COMMAND_BYTES_MAX + 1;
    assert_int_equal(buffer_reserve(&blob.content, size), 0);
    memset(blob.content.bytes, 0, size);
    blob.content.size = size;
    assert_int_equal(peer_propose(*state, &command, 1000, on_decided, NULL), -E2BIG);
    buffer_done(&blob.content);
    uv_run(((struct peer *)*state)->loop, UV_RUN_DEFAULT);
    assert_int_equal(told.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_decided, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gives_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
