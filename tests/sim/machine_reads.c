/* Consistent reads at a machine (node/peer/reads.c), and whether what they show is fresh: all that
 * any machine knew to be committed when the read began. */
#include <stdlib.h>

#include "tests/sim/cluster.h"

void machine_read(struct machine *machine)
{
    struct cluster *c = machine->cluster;
    if (!machine->agent || machine->is_frozen)
        return;
    struct sim_read *read = sim_allocate(sizeof(*read));
    *read = (struct sim_read){.next = machine->reads,
                              .request = ++machine->next_request,
                              .committed = invariants_committed(c)};
    machine->reads = read;
    if (c->sabotage == SABOTAGE_READ_LOCAL)
        machine_read_decided(machine, &(struct agent_result){.request = read->request});
    else
        machine_step(machine,
                     &(struct agent_input){.type = AGENT_READ_LOCAL, .request = read->request});
}

bool machine_read_decided(struct machine *machine, const struct agent_result *result)
{
    struct cluster *c = machine->cluster;
    struct sim_read **link = &machine->reads, *read;
    while ((read = *link) && read->request != result->request)
        link = &read->next;
    if (!read)
        return false;
    uint64_t applied = agent_intent(machine->agent)->applied_index;
    trace_line(c, "%s answers a read: %d at %llu", machine->name, result->result.code,
               (unsigned long long)applied);
    if (result->result.code == 0 && applied < read->committed)
        cluster_fail(c, "reads are fresh: %s answers one as of %llu, but %llu was committed before",
                     machine->name, (unsigned long long)applied,
                     (unsigned long long)read->committed);
    c->reads_answered += result->result.code == 0;
    c->reads_refused += result->result.code < 0;
    *link = read->next;
    free(read);
    return true;
}

void machine_reads_forget(struct machine *machine)
{
    while (machine->reads) {
        struct sim_read *read = machine->reads;
        machine->reads = read->next;
        free(read);
    }
}
