/* Whether all is as it shall be, once nothing fails any more. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster.h"

/* One look at a cluster; the first thing that is not right is noted. */
struct look {
    struct cluster *c;
    const struct intent *intent; /* the leader's */
    bool is_unsettled;
};

static char what[256];

static bool expect(struct look *look, bool holds, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool expect(struct look *look, bool holds, const char *format, ...)
{
    va_list arguments;
    if (holds || look->is_unsettled)
        return holds;
    look->is_unsettled = true;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return false;
}

static unsigned members_of(const struct cluster *c)
{
    unsigned count = 0;
    for (unsigned i = 0; i < c->count; i++)
        count += c->machines[i].shall_be_member;
    return count;
}

static void look_at_members(struct look *look, const struct machine *machine)
{
    const struct view *view = agent_view(machine->agent);
    for (unsigned i = 0; i < look->c->count; i++) {
        const struct machine *other = &look->c->machines[i];
        const struct view_peer *seen = view_peer_find(view, &other->identity.id);
        bool is_alive = seen && seen->liveness == VIEW_ALIVE;
        expect(look, is_alive == other->shall_be_member, "membership converges: %s sees %s as %s",
               machine->name, other->name, is_alive ? "alive" : "not alive");
        expect(look, !is_alive || seen->has_capacity,
               "membership converges: %s knows no capacity of %s", machine->name, other->name);
    }
}

/* Keys that machines had before they left and came back. */
static void look_at_strangers(struct look *look, const struct machine *machine)
{
    const struct view *view = agent_view(machine->agent);
    for (size_t i = 0; i < view->peers.count; i++) {
        const struct view_peer *seen = view->peers.items[i];
        expect(look, seen->liveness != VIEW_ALIVE || cluster_machine_of(look->c, &seen->id),
               "membership converges: %s sees a key that has left alive", machine->name);
    }
}

static void look_at_machine(struct look *look, const struct machine *machine)
{
    if (!machine->shall_be_member) {
        expect(look, !machine->agent, "%s has not left", machine->name);
        return;
    }
    if (!expect(look, machine->agent && machine->phase == MACHINE_MEMBER && !machine->is_frozen,
                "%s is no member", machine->name))
        return;
    uint64_t applied = agent_intent(machine->agent)->applied_index;
    expect(look, applied == look->intent->applied_index,
           "intent converges: %s is at %llu, the leader at %llu", machine->name,
           (unsigned long long)applied, (unsigned long long)look->intent->applied_index);
    look_at_members(look, machine);
    look_at_strangers(look, machine);
}

static void look_at_voters(struct look *look)
{
    const struct raft_configuration *configuration = &look->intent->configuration;
    unsigned members = members_of(look->c), voters = 0;
    unsigned target = members % 2 == 1 ? members : members - 1;
    unsigned most = look->intent->voters.max > 0 ? look->intent->voters.max : AGENT_VOTERS_DEFAULT;
    if (target > most)
        target = most;
    for (unsigned i = 0; i < look->c->count; i++) {
        const struct machine *machine = &look->c->machines[i];
        bool votes = intent_is_voter(look->intent, &machine->identity.id);
        expect(look, !votes || machine->shall_be_member, "%s votes and is no member",
               machine->name);
        voters += votes;
    }
    expect(look, voters == target, "%u vote instead of %u", voters, target);
    expect(look, !raft_configuration_is_joint(configuration), "the change of voters never ends");
}

static const struct container *container_of(const struct machine *machine, uint64_t generation)
{
    return table_find(&machine->containers.table, &generation);
}

static void look_at_replica(struct look *look, const struct intent_replica *replica)
{
    const struct machine *machine = cluster_machine_of(look->c, &replica->peer);
    const struct container *container = container_of(machine, replica->generation);
    unsigned long long generation = replica->generation;
    expect(look, replica->want == INTENT_RUN, "%s.%llu is stopped and never goes", replica->service,
           generation);
    expect(look, machine->shall_be_member, "%s.%llu is placed on %s, which is no member",
           replica->service, generation, machine->name);
    if (!expect(look, container && container->phase == CONTAINER_RUNNING,
                "placed runs: %s.%llu does not run on %s", replica->service, generation,
                machine->name))
        return;
    for (unsigned i = 0; i < look->c->count; i++) {
        const struct machine *viewer = &look->c->machines[i];
        if (!viewer->agent || !viewer->shall_be_member)
            continue;
        const struct view_replica *seen =
            view_replica_find(agent_view(viewer->agent), replica->generation);
        expect(look, seen && view_replica_serves(seen), "%s does not see that %s.%llu serves",
               viewer->name, replica->service, generation);
    }
}

static void look_at_service(struct look *look, const struct intent_service *service)
{
    const struct service_spec *spec = &intent_revision_find(service, service->revision)->spec;
    uint32_t wanted = spec->mode == SPEC_GLOBAL ? members_of(look->c) : service->replicas;
    uint32_t count = 0;
    uint8_t state = service->rollout.state;
    expect(look, strncmp(spec->image, "bad", 3) != 0, "%s has a bad image", service->name);
    expect(look, !service->removing, "%s is never gone", service->name);
    expect(look, state != INTENT_ROLLOUT_RUNNING && state != INTENT_ROLLOUT_ROLLING_BACK,
           "the rollout of %s never ends", service->name);
    for (size_t i = 0; i < look->intent->replicas.count; i++) {
        const struct intent_replica *replica = look->intent->replicas.items[i];
        if (strcmp(replica->service, service->name) != 0)
            continue;
        count++;
        expect(look, replica->revision == service->revision, "%s.%llu is left of revision %u",
               replica->service, (unsigned long long)replica->generation, replica->revision);
        look_at_replica(look, replica);
    }
    expect(look, count == wanted, "every replica is placed: %s has %u of %u", service->name, count,
           wanted);
}

/* No container that nobody wants. */
static void look_at_containers(struct look *look, const struct machine *machine)
{
    for (size_t i = 0; i < machine->containers.table.count; i++) {
        const struct container *container = machine->containers.table.items[i];
        const struct intent_replica *replica =
            intent_replica_find(look->intent, container->generation);
        expect(look,
               replica && replica->want == INTENT_RUN &&
                   id_equal(&replica->peer, &machine->identity.id),
               "no orphans: %s.%llu is left on %s", container->service,
               (unsigned long long)container->generation, machine->name);
    }
}

const char *cluster_unsettled(struct cluster *c)
{
    struct look look = {.c = c};
    int leader = cluster_leader(c);
    if (!expect(&look, leader >= 0, "nobody leads"))
        return what;
    look.intent = agent_intent(c->machines[leader].agent);
    for (unsigned i = 0; i < c->count && !look.is_unsettled; i++) {
        look_at_machine(&look, &c->machines[i]);
        look_at_containers(&look, &c->machines[i]);
    }
    look_at_voters(&look);
    for (size_t i = 0; i < look.intent->services.count && !look.is_unsettled; i++)
        look_at_service(&look, look.intent->services.items[i]);
    return look.is_unsettled ? what : NULL;
}

bool cluster_is_settled(struct cluster *c)
{
    return !cluster_unsettled(c);
}
