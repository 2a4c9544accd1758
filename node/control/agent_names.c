/* Two peers that go by one name. Admission refuses a name that is taken, so there are such only
 * where two states came together; then people must not take the one for the other. Each pair is
 * told once, as long as it is remembered.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/agent_private.h"

enum {
    CHECK_MS = 1000, /* between two looks at all names, however much changes */
};

static bool is_living(const struct agent *agent, const struct intent_peer *peer)
{
    const struct view_peer *seen = view_peer_find(&agent->view, &peer->id);
    return peer->role == INTENT_PEER && intent_peer_is_member(peer) && seen &&
           (seen->liveness == VIEW_ALIVE || seen->liveness == VIEW_SUSPECT);
}

static int compare_names(const void *left, const void *right)
{
    const struct intent_peer *a = *(const struct intent_peer *const *)left;
    const struct intent_peer *b = *(const struct intent_peer *const *)right;
    int names = strcmp(a->name, b->name);
    return names != 0 ? names : id_compare(&a->id, &b->id);
}

static bool is_known(const struct agent *agent, const struct id *a, const struct id *b)
{
    for (size_t i = 0; i < agent->namesakes_count; i++)
        if (id_equal(&agent->namesakes[i].ids[0], a) && id_equal(&agent->namesakes[i].ids[1], b))
            return true;
    return false;
}

static bool have_one_name(const struct agent *agent, const struct agent_namesakes *pair)
{
    const struct intent_peer *a = intent_peer_find(agent->intent, &pair->ids[0]);
    const struct intent_peer *b = intent_peer_find(agent->intent, &pair->ids[1]);
    return a && b && intent_peer_is_member(a) && intent_peer_is_member(b) &&
           strcmp(a->name, b->name) == 0;
}

/* Drops the pairs of which one was shut out. */
static void forget_settled(struct agent *agent)
{
    size_t kept = 0;
    for (size_t i = 0; i < agent->namesakes_count; i++)
        if (have_one_name(agent, &agent->namesakes[i]))
            agent->namesakes[kept++] = agent->namesakes[i];
    agent->namesakes_count = kept;
}

static void tell(struct agent *agent, const struct id *a, const struct id *b)
{
    if (is_known(agent, a, b) || agent->namesakes_count == AGENT_NAMESAKES_MAX)
        return;
    agent->namesakes[agent->namesakes_count++] = (struct agent_namesakes){.ids = {*a, *b}};
    struct agent_event *event = agent_add_event(agent, AGENT_NAMESAKES, a);
    if (event)
        event->other = *b;
}

static void check(struct agent *agent)
{
    const struct table *peers = &agent->intent->peers;
    const struct intent_peer **living = calloc(peers->count + 1, sizeof(struct intent_peer *));
    size_t count = 0;
    if (!living)
        return; /* looked at again when the next peer comes */
    for (size_t i = 0; i < peers->count; i++)
        if (is_living(agent, peers->items[i]))
            living[count++] = peers->items[i];
    qsort(living, count, sizeof(struct intent_peer *), compare_names);
    forget_settled(agent);
    for (size_t i = 1; i < count; i++)
        if (strcmp(living[i - 1]->name, living[i]->name) == 0)
            tell(agent, &living[i - 1]->id, &living[i]->id);
    free(living);
}

void agent_names_tick(struct agent *agent)
{
    if (agent->intent->next_serial != agent->names_serial)
        agent->names_due = true;
    if (!agent->names_due || agent->now_ms < agent->names_next_ms)
        return;
    agent->names_due = false;
    agent->names_serial = agent->intent->next_serial;
    agent->names_next_ms = agent->now_ms + CHECK_MS;
    check(agent);
}

void agent_names_propose(struct agent *agent)
{
    for (size_t i = 0; i < agent->namesakes_count; i++) {
        struct agent_namesakes *pair = &agent->namesakes[i];
        if (pair->proposed_term == agent->raft_status.term || !have_one_name(agent, pair))
            continue;
        struct command command = {.head = {.type = COMMAND_NAMESAKES, .wall_ms = agent->wall_ms},
                                  .namesakes = {{pair->ids[0], pair->ids[1]}}};
        memcpy(command.head.actor, "consort", sizeof("consort"));
        if (agent_propose_control(agent, &command) < 0)
            return;
        pair->proposed_term = agent->raft_status.term;
    }
}
