#include "tests/sim/cluster.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/feed.h"

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

/* What the thief answers is wrong in its last byte: that of an entry, or of a part. */
static bool garble(const struct cluster *c, const struct network_message *message,
                   struct buffer *ret)
{
    enum { HEAD_BYTES = 200 }; /* more than that: it is an answer with something in it */
    if (!c->thief_garbles || (int)message->from != c->thief || message->kind != AGENT_FEED_PUSH ||
        message->size < HEAD_BYTES)
        return false;
    if (buffer_append(ret, message->bytes, message->size) < 0)
        abort();
    ret->bytes[ret->size - 1] ^= 1;
    return true;
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
    machine_count(&to->received, message->kind, message->size);
    if (c->sabotage != SABOTAGE_NONE && message->kind == AGENT_RAFT &&
        tamper(c, input.bytes, &tampered))
        input.bytes = buffer_view(&tampered);
    if (garble(c, message, &tampered))
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
    network_init(&c->network, &c->timeline, count, random_u64(&c->random));
    c->network.context = c;
    c->network.deliver = deliver;
    c->network.epoch_of = epoch_of;
    c->invariants = invariants_new();
    if (fact_pool_new(random_u64(&c->random), &c->pool) < 0)
        abort();
    c->machines = sim_allocate(count * sizeof(*c->machines));
    for (unsigned i = 0; i < count; i++)
        machine_init(&c->machines[i], c, i);
}

void cluster_done(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        machine_done(&c->machines[i]);
    copies_done(&c->copies);
    free(c->machines);
    network_done(&c->network);
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

/* What the cluster's founder is given, and all of a grown cluster are, instead of asking to be
 * admitted. */
static struct certificate_chain certify(struct cluster *c, const struct machine *machine,
                                        uint64_t serial, uint64_t log_index)
{
    static const struct certificate_chain no_chain;
    struct certificate_chain chain;
    struct certificate leaf = {.cluster = c->root.id,
                               .subject = machine->identity.id,
                               .role = ROLE_PEER,
                               .serial = serial,
                               .log_index = log_index};
    snprintf(leaf.name, sizeof(leaf.name), "%s", machine->name);
    if (certificate_sign(&leaf, &c->root) < 0 ||
        certificate_chain_extend(&leaf, &no_chain, &chain) < 0)
        abort();
    return chain;
}

/* As peer_init_cluster(). */
static void found(struct cluster *c, struct machine *machine)
{
    cleanup_buffer struct buffer state = {0};
    struct raft_snapshot snapshot;
    struct certificate_chain chain = certify(c, machine, 1, 1);
    if (agent_bootstrap(&c->root.id, &machine->identity.id, machine->name, machine->level,
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

/* Admits machine `i` in the intent, as the next entry of the log. */
static void admit(struct cluster *c, unsigned i, struct intent *intent)
{
    const struct machine *machine = &c->machines[i];
    cleanup_buffer struct buffer bytes = {0};
    struct intent_result result = {0};
    struct id admitted;
    struct command command = {.head = {.type = COMMAND_ADMIT, .wall_ms = SIM_WALL_START_MS},
                              .admit = {.id = machine->identity.id, .role = INTENT_PEER}};
    snprintf(command.head.actor, sizeof(command.head.actor), "%s", machine->name);
    snprintf(command.admit.name, sizeof(command.admit.name), "%s", machine->name);
    if (command_encode(&command, &bytes) < 0)
        abort();
    struct raft_entry entry = {.index = intent->applied_index + 1,
                               .term = intent->applied_term,
                               .type = RAFT_ENTRY_COMMAND,
                               .data = buffer_view(&bytes)};
    if (feed_apply_entry(intent, &entry, &result, &admitted) < 0 || result.code != 0)
        abort();
}

void cluster_start_grown(struct cluster *c)
{
    enum { CONTACTS = 3 };
    cleanup_buffer struct buffer first = {0}, state = {0};
    struct raft_snapshot snapshot;
    struct intent *intent;
    if (agent_bootstrap(&c->root.id, &c->machines[0].identity.id, c->machines[0].name, 0,
                        SIM_WALL_START_MS, &first, &snapshot) < 0 ||
        intent_read(buffer_view(&first), &intent) < 0)
        abort();
    for (unsigned i = 1; i < c->count; i++)
        admit(c, i, intent);
    if (intent_write(intent, &state) < 0)
        abort();
    snapshot.index = intent->applied_index;
    snapshot.data = buffer_view(&state);
    for (unsigned i = 0; i < c->count; i++) {
        struct machine *machine = &c->machines[i];
        const struct intent_peer *peer = intent_peer_find(intent, &machine->identity.id);
        struct certificate_chain chain = certify(c, machine, peer->serial, peer->admitted_index);
        if (i == 0)
            disk_found(&machine->disk, &chain, &snapshot);
        else
            disk_join(&machine->disk, &chain, buffer_view(&state));
        for (unsigned j = 0; j < CONTACTS; j++)
            machine->disk.content.seeds[random_below(&c->random, c->count)] = true;
        machine->shall_be_member = true;
    }
    intent_free(intent);
    for (unsigned i = 0; i < c->count; i++)
        machine_boot(&c->machines[i]);
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
    network_way(&c->network, from, to)->is_cut = true;
}

void cluster_cut(struct cluster *c, unsigned i, unsigned j)
{
    cluster_cut_one_way(c, i, j);
    cluster_cut_one_way(c, j, i);
}

void cluster_heal(struct cluster *c, unsigned i, unsigned j)
{
    trace_line(c, "heal m%u and m%u", i, j);
    network_way(&c->network, i, j)->is_cut = false;
    network_way(&c->network, j, i)->is_cut = false;
}

void cluster_heal_all(struct cluster *c)
{
    trace_line(c, "heal all");
    for (unsigned i = 0; i < c->count; i++) {
        for (unsigned j = 0; j < c->count; j++)
            network_way(&c->network, i, j)->is_cut = false;
        c->network.packets_blocked[i] = false;
    }
}

void cluster_block_packets(struct cluster *c, unsigned i)
{
    trace_line(c, "no packets of m%u", i);
    c->network.packets_blocked[i] = true;
}

void cluster_partition(struct cluster *c, uint64_t side)
{
    assert(c->count <= SIM_PARTITION_MAX);
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
    uint16_t *hint = &c->hints[(id->bytes[0] | id->bytes[1] << 8) % SIM_HINTS];
    if (*hint < c->count && id_equal(&c->machines[*hint].identity.id, id))
        return &c->machines[*hint];
    for (unsigned i = 0; i < c->count; i++) {
        if (!id_equal(&c->machines[i].identity.id, id))
            continue;
        *hint = (uint16_t)i;
        return &c->machines[i];
    }
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
