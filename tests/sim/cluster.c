#include "tests/sim/cluster.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    START_MS_MAX = 30000,
    AT_ONCE_MAX = 100000, /* things that happen in one millisecond */
    LOOK_MS = 50,         /* between looks at a predicate */
};

static uint64_t epoch_of(void *context, unsigned number)
{
    const struct cluster *c = context;
    const struct machine *machine = &c->machines[number];
    return machine->agent ? machine->epoch : 0;
}

/* Both sides of a session or link must admit each other. */
static bool admits(const struct machine *machine, const struct machine *other)
{
    const char *reason;
    return !machine->agent ||
           agent_admits(machine->agent, &other->identity.id, &other->disk.content.chain, &reason);
}

static bool break_message(enum sabotage sabotage, struct raft_message *message)
{
    bool is_reply = message->type == RAFT_VOTE_REPLY || message->type == RAFT_PRE_VOTE_REPLY;
    if (sabotage == SABOTAGE_COMMIT_EARLY && message->type == RAFT_APPEND) {
        message->commit = message->index + message->entry_count;
        return true;
    }
    if (sabotage == SABOTAGE_GRANT_VOTES && is_reply && message->reject) {
        message->reject = false;
        return true;
    }
    return false;
}

/* Puts another message in the place of one, where the sabotage asks for that. */
static bool tamper(const struct cluster *c, struct bytes bytes, struct buffer *ret)
{
    struct raft_message message;
    if (raft_message_decode(bytes, &message) < 0)
        return false;
    bool is_broken = break_message(c->sabotage, &message);
    int rc = is_broken ? raft_message_encode(&message, ret) : 0;
    raft_message_done(&message);
    return is_broken && rc == 0;
}

static enum network_verdict deliver(void *context, const struct network_message *message)
{
    struct cluster *c = context;
    struct machine *from = &c->machines[message->from], *to = &c->machines[message->to];
    struct agent_input input = {.type = message->kind == 0 ? AGENT_PACKET : AGENT_MESSAGE,
                                .from = message->from_id,
                                .source = from->address,
                                .kind = message->kind,
                                .bytes = {message->bytes, message->size}};
    cleanup_buffer struct buffer tampered = {0};
    if (!to->agent)
        return NETWORK_ABSENT;
    if (to->is_frozen)
        return NETWORK_FROZEN;
    if (!id_equal(&message->from_id, &from->identity.id) ||
        !id_equal(&message->to_id, &to->identity.id) || !admits(to, from) || !admits(from, to))
        return NETWORK_TAKEN;
    to->knows[from->number] = true;
    if (c->sabotage != SABOTAGE_NONE && message->kind == AGENT_RAFT &&
        tamper(c, input.bytes, &tampered))
        input.bytes = buffer_view(&tampered);
    machine_step(to, &input);
    return NETWORK_TAKEN;
}

void cluster_init(struct cluster *c, unsigned count, uint64_t seed)
{
    uint8_t root_seed[IDENTITY_SEED_BYTES];
    assert(count >= 1 && count <= SIM_MACHINES_MAX);
    *c = (struct cluster){.count = count, .sync_ms_max = SIM_SYNC_MS_MAX, .thief = -1};
    timeline_init(&c->timeline);
    random_init(&c->random, seed);
    random_fill(&c->random, root_seed, sizeof(root_seed));
    identity_init(&c->root, root_seed);
    network_init(&c->network, &c->timeline, random_u64(&c->random));
    c->network.context = c;
    c->network.deliver = deliver;
    c->network.epoch_of = epoch_of;
    c->invariants = invariants_new();
    if (fact_pool_new(random_u64(&c->random), &c->pool) < 0)
        abort();
    for (unsigned i = 0; i < count; i++)
        machine_init(&c->machines[i], c, i);
}

void cluster_done(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        machine_done(&c->machines[i]);
    copies_done(&c->copies);
    timeline_done(&c->timeline);
    invariants_free(c->invariants);
    fact_pool_free(c->pool);
    identity_done(&c->root);
}

void cluster_fail(struct cluster *c, const char *format, ...)
{
    va_list arguments;
    if (c->has_failed)
        return;
    c->has_failed = true;
    va_start(arguments, format);
    vsnprintf(c->failure, sizeof(c->failure), format, arguments);
    va_end(arguments);
    trace_line(c, "BROKEN %s", c->failure);
    trace_intent(c);
}

/* As peer_init_cluster(). */
static void found(struct cluster *c, struct machine *machine)
{
    static const struct certificate_chain no_chain;
    cleanup_buffer struct buffer state = {0};
    struct certificate_chain chain;
    struct raft_snapshot snapshot;
    struct certificate leaf = {.cluster = c->root.id,
                               .subject = machine->identity.id,
                               .role = ROLE_PEER,
                               .serial = 1,
                               .log_index = 1};
    snprintf(leaf.name, sizeof(leaf.name), "%s", machine->name);
    if (certificate_sign(&leaf, &c->root) < 0 ||
        certificate_chain_extend(&leaf, &no_chain, &chain) < 0 ||
        agent_bootstrap(&c->root.id, &machine->identity.id, machine->name, machine->level,
                        SIM_WALL_START_MS, &state, &snapshot) < 0)
        abort();
    disk_found(&machine->disk, &chain, &snapshot);
}

bool cluster_start(struct cluster *c)
{
    found(c, &c->machines[0]);
    for (unsigned i = 0; i < c->count; i++) {
        c->machines[i].shall_be_member = true;
        machine_boot(&c->machines[i]);
    }
    return cluster_wait(c, START_MS_MAX + 1000 * (int64_t)c->count, cluster_is_settled);
}

bool cluster_run(struct cluster *c, int64_t duration_ms)
{
    int64_t until_ms = c->timeline.now_ms + duration_ms, before_ms = -1;
    unsigned at_once = 0;
    while (!c->has_failed && timeline_next(&c->timeline, until_ms)) {
        at_once = c->timeline.now_ms == before_ms ? at_once + 1 : 0;
        before_ms = c->timeline.now_ms;
        if (at_once > AT_ONCE_MAX)
            cluster_fail(c, "time goes on: it stands still");
    }
    return !c->has_failed;
}

bool cluster_wait(struct cluster *c, int64_t limit_ms, bool (*predicate)(struct cluster *c))
{
    int64_t until_ms = c->timeline.now_ms + limit_ms;
    while (!predicate(c))
        if (c->timeline.now_ms >= until_ms || !cluster_run(c, LOOK_MS))
            return false;
    return true;
}

void cluster_cut_one_way(struct cluster *c, unsigned from, unsigned to)
{
    trace_line(c, "cut m%u to m%u", from, to);
    c->network.cut[from][to] = true;
}

void cluster_cut(struct cluster *c, unsigned i, unsigned j)
{
    cluster_cut_one_way(c, i, j);
    cluster_cut_one_way(c, j, i);
}

void cluster_heal(struct cluster *c, unsigned i, unsigned j)
{
    trace_line(c, "heal m%u and m%u", i, j);
    c->network.cut[i][j] = c->network.cut[j][i] = false;
}

void cluster_heal_all(struct cluster *c)
{
    trace_line(c, "heal all");
    memset(c->network.cut, 0, sizeof(c->network.cut));
    memset(c->network.packets_blocked, 0, sizeof(c->network.packets_blocked));
}

void cluster_block_packets(struct cluster *c, unsigned i)
{
    trace_line(c, "no packets of m%u", i);
    c->network.packets_blocked[i] = true;
}

void cluster_partition(struct cluster *c, uint64_t side)
{
    for (unsigned i = 0; i < c->count; i++)
        for (unsigned j = i + 1; j < c->count; j++)
            if ((side >> i & 1) != (side >> j & 1))
                cluster_cut(c, i, j);
}

void cluster_kill(struct cluster *c, unsigned i)
{
    machine_power_off(&c->machines[i]);
}

void cluster_restart(struct cluster *c, unsigned i)
{
    machine_boot(&c->machines[i]);
}

int cluster_leader(struct cluster *c)
{
    int leader = -1;
    uint64_t term = 0;
    for (unsigned i = 0; i < c->count; i++) {
        struct agent_status status;
        if (!c->machines[i].agent)
            continue;
        agent_status(c->machines[i].agent, &status);
        if (status.role != RAFT_LEADER || status.term < term)
            continue;
        term = status.term;
        leader = (int)i;
    }
    return leader;
}

bool cluster_has_leader(struct cluster *c)
{
    return cluster_leader(c) >= 0;
}

struct machine *cluster_machine_of(struct cluster *c, const struct id *id)
{
    for (unsigned i = 0; i < c->count; i++)
        if (id_equal(&c->machines[i].identity.id, id))
            return &c->machines[i];
    return NULL;
}

struct machine *cluster_some_member(struct cluster *c, const struct machine *other)
{
    struct machine *chosen = NULL;
    uint64_t seen = 0;
    for (unsigned i = 0; i < c->count; i++) {
        struct machine *machine = &c->machines[i];
        if (machine != other && machine->agent && machine->phase == MACHINE_MEMBER &&
            !machine->is_frozen && random_chance(&c->random, 1, ++seen))
            chosen = machine;
    }
    return chosen;
}
