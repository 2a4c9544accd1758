#include "tests/sim/trace.h"

#include <stdarg.h>
#include <string.h>

#include "tests/sim/cluster.h"

static const uint64_t fnv_prime = 1099511628211u;

static uint64_t digest_add(uint64_t digest, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ bytes[i]) * fnv_prime;
    return digest;
}

static bool is_on(const struct cluster *cluster)
{
    return cluster->trace.file || cluster->trace.is_digested;
}

void trace_line(struct cluster *cluster, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    if (!is_on(cluster))
        return;
    int64_t now_ms = cluster->timeline.now_ms;
    int size = snprintf(line, sizeof(line), "%6lld.%03lld ", (long long)(now_ms / 1000),
                        (long long)(now_ms % 1000));
    va_start(arguments, format);
    vsnprintf(line + size, sizeof(line) - (size_t)size, format, arguments);
    va_end(arguments);
    cluster->trace.digest = digest_add(cluster->trace.digest, line, strlen(line));
    if (cluster->trace.file)
        fprintf(cluster->trace.file, "%s\n", line);
}

static const char *name_of(struct cluster *cluster, const struct id *id)
{
    const struct machine *machine = cluster_machine_of(cluster, id);
    return machine ? machine->name : "-";
}

void trace_step(struct cluster *cluster, const struct machine *machine,
                const struct agent_input *input, int rc)
{
    static const char *const types[] = {
        [AGENT_TICK] = "tick",
        [AGENT_PACKET] = "packet",
        [AGENT_MESSAGE] = "message",
        [AGENT_GONE] = "gone",
        [AGENT_UNREACHED] = "unreached",
        [AGENT_STORED] = "stored",
        [AGENT_PROPOSE_LOCAL] = "propose",
        [AGENT_READ_LOCAL] = "read",
        [AGENT_COMPACTED] = "compacted",
        [AGENT_HAND_OVER] = "hand over",
        [AGENT_RECOVER] = "recover",
    };
    struct agent_status status;
    if (!is_on(cluster))
        return;
    const struct agent_output *output = &machine->output;
    agent_status(machine->agent, &status);
    uint64_t digest = digest_add(0, input->bytes.data, input->bytes.size);
    trace_line(cluster,
               "%s %s from=%s kind=%u sequence=%llu bytes=%zu:%08llx rc=%d role=%s term=%llu "
               "applied=%llu next=%lld",
               machine->name, types[input->type], name_of(cluster, &input->from),
               (unsigned)input->kind, (unsigned long long)input->sequence, input->bytes.size,
               (unsigned long long)(digest & UINT32_MAX), rc, raft_role_name(status.role),
               (unsigned long long)status.term, (unsigned long long)status.applied_index,
               (long long)(output->next_deadline_ms - machine_now_ms(machine)));
    for (size_t i = 0; i < output->write_count; i++)
        trace_line(
            cluster, "%s   store sequence=%llu entries=%zu truncate=%llu snapshot=%d intent=%zu",
            machine->name, (unsigned long long)output->writes[i].sequence,
            output->writes[i].entry_count, (unsigned long long)output->writes[i].truncate_from,
            output->writes[i].has_snapshot, output->writes[i].intent.size);
    for (size_t i = 0; i < output->send_count; i++) {
        const struct agent_send *send = &output->sends[i];
        digest = digest_add(0, send->bytes.bytes, send->bytes.size);
        trace_line(cluster, "%s   send to=%s kind=%u bytes=%zu:%08llx", machine->name,
                   name_of(cluster, &send->to), (unsigned)send->kind, send->bytes.size,
                   (unsigned long long)(digest & UINT32_MAX));
    }
}

static void trace_service(struct cluster *cluster, const struct intent *intent,
                          const struct intent_service *service)
{
    trace_line(cluster, "service %s replicas=%u revision=%u removing=%d rollout=%s from=%u",
               service->name, service->replicas, service->revision, service->removing,
               intent_rollout_state_text(service->rollout.state), service->rollout.from);
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        if (strcmp(replica->service, service->name) == 0)
            trace_line(cluster, "  slot=%u generation=%llu revision=%u on %s %s: %s", replica->slot,
                       (unsigned long long)replica->generation, replica->revision,
                       name_of(cluster, &replica->peer),
                       replica->want == INTENT_RUN ? "runs" : "stops", replica->reason);
    }
}

void trace_intent(struct cluster *cluster)
{
    int leader = cluster_leader(cluster);
    if (!is_on(cluster) || leader < 0)
        return;
    const struct intent *intent = agent_intent(cluster->machines[leader].agent);
    trace_line(cluster, "m%d leads, applied=%llu", leader,
               (unsigned long long)intent->applied_index);
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *peer = intent->peers.items[i];
        trace_line(cluster, "peer %s is %s%s", peer->name, intent_peer_state_text(peer->state),
                   intent_is_voter(intent, &peer->id) ? " and votes" : "");
    }
    for (size_t i = 0; i < intent->services.count; i++)
        trace_service(cluster, intent, intent->services.items[i]);
}
