/* What operators ask for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/succession.h"
#include "tests/sim/cluster.h"

enum {
    COMMAND_PATIENCE_MS = 15000,
    MONITOR_MS = 1000,
};

static void on_decided(void *context, const struct agent_result *result)
{
    struct cluster *c = context;
    c->commands_under_way--;
    c->last_error = result->result.error;
    c->last_error.code = result->result.code;
    trace_line(c, "a command is answered: %d %s", result->result.code,
               result->result.error.message);
}

void cluster_propose(struct cluster *c, unsigned via, struct command *command)
{
    struct machine *machine = &c->machines[via];
    snprintf(command->head.actor, sizeof(command->head.actor), "ann");
    if (!machine->agent)
        return; /* nobody answers at the socket */
    c->commands_under_way++;
    machine_propose(machine, command, COMMAND_PATIENCE_MS, on_decided, c);
}

static void spec_make(const struct sim_service *service, struct service_spec *ret)
{
    service_spec_init(ret);
    snprintf(ret->name, sizeof(ret->name), "app");
    ret->image = strdup(service->image ? service->image : "app:1");
    ret->image_digest = strdup("sha256:0");
    if (!ret->image || !ret->image_digest)
        abort();
    ret->replicas = service->replicas;
    ret->exclusive = service->is_exclusive;
    ret->on_minority = service->is_duplicated ? SPEC_MINORITY_DUPLICATE : SPEC_MINORITY_HOLD;
    ret->mode = service->is_global ? SPEC_GLOBAL : SPEC_REPLICATED;
    ret->health.is_set = service->has_health;
    ret->update.monitor_ms = ret->rollback.monitor_ms = MONITOR_MS;
    if (service->stops_first)
        ret->update.order = ret->rollback.order = SPEC_STOP_FIRST;
    if (service->stop_grace_ms > 0)
        ret->stop_grace_ms = service->stop_grace_ms;
}

void cluster_deploy(struct cluster *c, unsigned via, const struct sim_service *service)
{
    struct service_spec spec;
    struct command command = {.head = {.type = COMMAND_DEPLOY}};
    trace_line(c, "deploy %s replicas=%u image=%s via m%u", service->name, service->replicas,
               service->image ? service->image : "app:1", via);
    spec_make(service, &spec);
    snprintf(command.deploy.stack, sizeof(command.deploy.stack), "%s", service->name);
    command.deploy.services = &spec;
    command.deploy.service_count = 1;
    cluster_propose(c, via, &command);
    service_spec_done(&spec);
}

void cluster_update(struct cluster *c, unsigned via, const struct sim_service *service)
{
    struct command command = {.head = {.type = COMMAND_UPDATE}};
    trace_line(c, "update %s to %s via m%u", service->name,
               service->image ? service->image : "app:1", via);
    snprintf(command.update.service, sizeof(command.update.service), "%s_app", service->name);
    spec_make(service, &command.update.spec);
    cluster_propose(c, via, &command);
    service_spec_done(&command.update.spec);
}

void cluster_scale(struct cluster *c, unsigned via, const char *name, uint32_t replicas)
{
    struct command command = {.head = {.type = COMMAND_SCALE}};
    trace_line(c, "scale %s to %u via m%u", name, replicas, via);
    snprintf(command.scale.service, sizeof(command.scale.service), "%s_app", name);
    command.scale.replicas = replicas;
    cluster_propose(c, via, &command);
}

void cluster_remove(struct cluster *c, unsigned via, const char *name)
{
    struct command command = {.head = {.type = COMMAND_REMOVE}};
    trace_line(c, "remove %s via m%u", name, via);
    snprintf(command.remove.name, sizeof(command.remove.name), "%s", name);
    command.remove.is_stack = true;
    cluster_propose(c, via, &command);
}

void cluster_set_profile(struct cluster *c, unsigned via, enum intent_profile profile)
{
    struct command command = {.head = {.type = COMMAND_GOSSIP}};
    trace_line(c, "profile %s via m%u", intent_profile_text((uint8_t)profile), via);
    command.gossip.has_profile = true;
    command.gossip.profile = (uint8_t)profile;
    cluster_propose(c, via, &command);
}

void cluster_set_voters(struct cluster *c, unsigned via, uint32_t max)
{
    struct command command = {.head = {.type = COMMAND_VOTERS}};
    trace_line(c, "at most %u vote via m%u", max, via);
    command.voters.max = max;
    cluster_propose(c, via, &command);
}

void cluster_leave(struct cluster *c, unsigned i)
{
    c->machines[i].shall_be_member = false;
    machine_leave(&c->machines[i]);
}

bool cluster_is_answered(struct cluster *c)
{
    return c->commands_under_way == 0;
}

void cluster_recover(struct cluster *c, unsigned via, bool with_root_key)
{
    struct machine *machine = &c->machines[via];
    struct agent_recovery recovery = {.actor = "ann"};
    struct raft_seal seal;
    trace_line(c, "recover at m%u", via);
    uint64_t epoch = agent_intent(machine->agent)->epoch + 1;
    if (succession_recovery_seal(&c->root.id, epoch, &machine->identity.id, &c->root, &seal) < 0)
        abort();
    recovery.seal = with_root_key ? &seal : NULL;
    c->commands_under_way++;
    machine_recover(machine, &recovery, on_decided, c);
}

void cluster_make_token(struct cluster *c, unsigned via, uint8_t number)
{
    struct command command = {.head = {.type = COMMAND_TOKEN_CREATE}, .token = {.uses_left = 1}};
    trace_line(c, "token %u via m%u", number, via);
    command.token.id[0] = number;
    snprintf(command.token.actor, sizeof(command.token.actor), "ann");
    cluster_propose(c, via, &command);
}
