/* What a machine asks the cluster for: commands (node/peer/proposals.c), to join
 * (node/peer/join_server.c, without the handshake) and to leave (node/peer/peer_leave.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster.h"

enum {
    PROPOSAL_RETRY_MS = 150,
    JOIN_PATIENCE_MS = 15000,
    JOIN_RETRY_MS = 500,
    LEAVE_LOOK_MS = 100,
    LEAVE_PATIENCE_MS = 15000,
    LEAVE_GOODBYE_MS = 1200,
    LEAVE_CLEAR_MS = 30000,
};

static int64_t now_of(const struct machine *machine)
{
    return machine->cluster->timeline.now_ms;
}

struct machine_moment {
    uint64_t epoch, request;
};

static void plan(struct machine *machine, int64_t wait_ms, timeline_callback *callback,
                 uint64_t request)
{
    struct machine_moment *moment = sim_allocate(sizeof(*moment));
    *moment = (struct machine_moment){machine->epoch, request};
    timeline_at(&machine->cluster->timeline, now_of(machine) + wait_ms, callback, machine, moment);
}

/* As is_due() of machine.c. */
static bool is_due(struct machine *machine, timeline_callback *callback, void *payload,
                   uint64_t *ret_request)
{
    const struct machine_moment *moment = payload;
    bool is_past = moment->epoch != machine->epoch;
    if (!is_past && machine_defer(machine, callback, payload))
        return false;
    *ret_request = moment->request;
    free(payload);
    return !is_past;
}

static struct proposal *find(struct machine *machine, uint64_t request)
{
    struct proposal *proposal = machine->proposals;
    while (proposal && proposal->request != request)
        proposal = proposal->next;
    return proposal;
}

static void on_try(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t request;
    if (!is_due(machine, on_try, payload, &request))
        return;
    struct proposal *proposal = find(machine, request);
    if (!proposal || !machine->agent)
        return;
    proposal->request = ++machine->next_request;
    machine_step(machine, &(struct agent_input){.type = AGENT_PROPOSE_LOCAL,
                                                .request = proposal->request,
                                                .bytes = buffer_view(&proposal->command)});
}

static void append(struct machine *machine, struct proposal *proposal)
{
    struct proposal **last = &machine->proposals;
    while (*last)
        last = &(*last)->next;
    *last = proposal;
}

void machine_recover(struct machine *machine, const struct agent_recovery *recovery,
                     proposal_callback *callback, void *context)
{
    struct proposal *proposal = sim_allocate(sizeof(*proposal));
    proposal->request = ++machine->next_request;
    proposal->callback = callback;
    proposal->context = context;
    append(machine, proposal);
    machine_step(machine, &(struct agent_input){.type = AGENT_RECOVER,
                                                .request = proposal->request,
                                                .recovery = recovery});
}

void machine_propose(struct machine *machine, struct command *command, int64_t patience_ms,
                     proposal_callback *callback, void *context)
{
    struct proposal *proposal = sim_allocate(sizeof(*proposal));
    clients_take(&machine->clients, random_u64(&machine->random) | 1, &proposal->client);
    command->head.client = proposal->client.id;
    command->head.sequence = proposal->client.sequence;
    command->head.since = agent_intent(machine->agent)->applied_index;
    command->head.wall_ms = now_of(machine) + machine->wall_offset_ms;
    if (command_encode(command, &proposal->command) < 0)
        abort();
    proposal->request = ++machine->next_request;
    proposal->give_up_ms = now_of(machine) + patience_ms;
    proposal->callback = callback;
    proposal->context = context;
    append(machine, proposal);
    plan(machine, 0, on_try, proposal->request);
}

void machine_propose_copy(struct machine *machine, struct bytes command,
                          proposal_callback *callback, void *context)
{
    struct proposal *proposal = sim_allocate(sizeof(*proposal));
    if (buffer_append(&proposal->command, command.data, command.size) < 0)
        abort();
    proposal->request = ++machine->next_request;
    proposal->callback = callback;
    proposal->context = context;
    append(machine, proposal);
    plan(machine, 0, on_try, proposal->request);
}

static void finish(struct machine *machine, struct proposal *proposal,
                   const struct agent_result *result)
{
    struct proposal **link = &machine->proposals;
    while (*link != proposal)
        link = &(*link)->next;
    *link = proposal->next;
    if (proposal->client.id > 0) {
        clients_give_back(&machine->clients, &proposal->client);
        copies_keep(&machine->cluster->copies, buffer_view(&proposal->command), &result->result);
    }
    proposal->callback(proposal->context, result);
    buffer_done(&proposal->command);
    free(proposal);
}

void machine_proposals_decided(struct machine *machine, const struct agent_result *result)
{
    struct proposal *proposal = find(machine, result->request);
    if (!proposal)
        return;
    int code = result->result.code;
    bool may_retry = code == -EAGAIN || code == -EREMOTE || code == -EBUSY || code == -ETIMEDOUT;
    if (may_retry && now_of(machine) + PROPOSAL_RETRY_MS < proposal->give_up_ms)
        plan(machine, PROPOSAL_RETRY_MS, on_try, proposal->request);
    else
        finish(machine, proposal, result);
}

void machine_proposals_cancel(struct machine *machine)
{
    while (machine->proposals) {
        struct agent_result result = {.result.code = -ECANCELED};
        finish(machine, machine->proposals, &result);
    }
    clients_done(&machine->clients); /* they end with the daemon */
}

/* Joining: another machine proposes the admission and hands over what a member needs. */

static void on_join(void *context, void *payload);

static void try_again(struct machine *machine)
{
    if (machine->power == MACHINE_UP && machine->phase == MACHINE_JOINING)
        plan(machine, JOIN_RETRY_MS, on_join, 0);
}

struct admission {
    struct machine *newcomer, *via;
    uint64_t newcomer_epoch;
};

/* The membership is on the disk: the daemon goes on as after a start of its own. */
static void on_founded(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t unused;
    if (!is_due(machine, on_founded, payload, &unused) || machine->phase != MACHINE_JOINING)
        return;
    machine->power = MACHINE_DOWN;
    machine_start_daemon(machine);
}

static void become_member(struct machine *machine, struct machine *via,
                          const struct certificate_chain *chain)
{
    cleanup_buffer struct buffer intent = {0};
    const struct swim *swim = agent_swim(via->agent);
    if (intent_write(agent_intent(via->agent), &intent) < 0)
        abort();
    disk_join(&machine->disk, chain, buffer_view(&intent));
    machine->disk.content.seeds[via->number] = true;
    for (size_t i = 0; i < swim_member_count(swim); i++) {
        const struct swim_member member = swim_member_at(swim, i);
        const struct machine *other = cluster_machine_of(machine->cluster, &member.id);
        if (member.state == SWIM_ALIVE && other && other != machine)
            machine->disk.content.seeds[other->number] = true;
    }
    plan(machine, 1, on_founded, 0);
}

static void on_admitted(void *context, const struct agent_result *result)
{
    struct admission *admission = context;
    struct machine *machine = admission->newcomer;
    trace_line(machine->cluster, "%s asked to be admitted by %s: %d", machine->name,
               admission->via->name, result->result.code);
    bool waits = machine->power == MACHINE_UP && machine->phase == MACHINE_JOINING &&
                 machine->epoch == admission->newcomer_epoch;
    if (waits && result->result.code == 0 && result->chain.count > 0)
        become_member(machine, admission->via, &result->chain);
    else if (waits)
        try_again(machine);
    free(admission);
}

static void on_join(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t unused;
    if (!is_due(machine, on_join, payload, &unused) || machine->phase != MACHINE_JOINING)
        return;
    struct machine *via = cluster_some_member(machine->cluster, machine);
    if (!via) {
        try_again(machine);
        return;
    }
    struct command command = {.head = {.type = COMMAND_ADMIT},
                              .admit = {.id = machine->identity.id, .role = INTENT_PEER}};
    snprintf(command.head.actor, sizeof(command.head.actor), "%s", machine->name);
    snprintf(command.admit.name, sizeof(command.admit.name), "%s", machine->name);
    struct admission *admission = sim_allocate(sizeof(*admission));
    *admission = (struct admission){machine, via, machine->epoch};
    machine_propose(via, &command, JOIN_PATIENCE_MS, on_admitted, admission);
}

void machine_join(struct machine *machine)
{
    if (machine->power != MACHINE_UP || machine->phase != MACHINE_ALONE)
        return;
    machine->phase = MACHINE_JOINING;
    plan(machine, 0, on_join, 0);
}

/* Leaving, step by step as peer_leave.c. */

static void on_look(void *context, void *payload);

struct leave_wait {
    struct machine *machine;
    uint64_t epoch;
};

static void on_state_decided(void *context, const struct agent_result *result)
{
    struct leave_wait *wait = context;
    struct machine *machine = wait->machine;
    bool waits = machine->epoch == wait->epoch && machine->is_leaving;
    free(wait);
    if (!waits)
        return;
    machine->leave_waits = false;
    trace_line(machine->cluster, "%s leaving, step=%d: %d", machine->name, (int)machine->leave_step,
               result->result.code);
    if (result->result.code == 0) {
        machine->leave_step++;
        return;
    }
    machine->is_leaving = false; /* the operator is told, and may try again */
    machine->phase = MACHINE_MEMBER;
}

static void propose_state(struct machine *machine, enum intent_peer_state state)
{
    struct command command = {.head = {.type = COMMAND_PEER_STATE},
                              .peer_state = {.id = machine->identity.id, .state = (uint8_t)state}};
    struct leave_wait *wait = sim_allocate(sizeof(*wait));
    *wait = (struct leave_wait){machine, machine->epoch};
    machine->leave_waits = true;
    machine_propose(machine, &command, LEAVE_PATIENCE_MS, on_state_decided, wait);
}

static size_t replicas_here(const struct machine *machine)
{
    const struct intent *intent = agent_intent(machine->agent);
    size_t count = 0;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        count += id_equal(&replica->peer, &machine->identity.id);
    }
    return count;
}

static void say_goodbye(struct machine *machine)
{
    int64_t now_ms = now_of(machine);
    if (machine->goodbye_ms == 0) {
        machine->phase = MACHINE_GONE;
        machine_reconcile_soon(machine);
        agent_leave(machine->agent, machine_now_ms(machine));
        machine_wake(machine);
        machine->goodbye_ms = now_ms;
    } else if (now_ms >= machine->goodbye_ms + LEAVE_CLEAR_MS ||
               (now_ms >= machine->goodbye_ms + LEAVE_GOODBYE_MS &&
                machine->containers.table.count == 0)) {
        machine_forget(machine);
    }
}

static void look(struct machine *machine)
{
    if (machine->leave_waits)
        return;
    switch (machine->leave_step) {
    case LEAVE_DRAIN:
        propose_state(machine, INTENT_DRAINING);
        break;
    case LEAVE_EMPTY:
        if (replicas_here(machine) == 0 &&
            !intent_is_voter(agent_intent(machine->agent), &machine->identity.id))
            machine->leave_step = LEAVE_LEFT;
        break;
    case LEAVE_LEFT:
        propose_state(machine, INTENT_LEFT);
        break;
    case LEAVE_GOODBYE:
        say_goodbye(machine);
        break;
    }
}

static void on_look(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t unused;
    if (!is_due(machine, on_look, payload, &unused) || !machine->is_leaving)
        return;
    look(machine);
    if (machine->is_leaving)
        plan(machine, LEAVE_LOOK_MS, on_look, 0);
}

void machine_leave(struct machine *machine)
{
    if (machine->power != MACHINE_UP || machine->phase != MACHINE_MEMBER)
        return;
    trace_line(machine->cluster, "%s begins to leave", machine->name);
    machine->phase = MACHINE_LEAVING;
    machine->is_leaving = true;
    machine->leave_step = LEAVE_DRAIN;
    machine->leave_waits = false;
    machine->goodbye_ms = 0;
    plan(machine, 0, on_look, 0);
}
