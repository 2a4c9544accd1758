/* Stand-ins of this peer (minority.h): they begin while there is no quorum, and end once what they
 * stand in for serves again. Which ones there are is in the view, with those of other peers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/control/agent_private.h"
#include "node/control/minority.h"
#include "node/control/stand_in.h"

/* One that takes part in Raft knows of a leader by its heartbeats, which ends without a majority.
 * Any other peer goes by gossip, as does one that hears no leader: an election is not yet the loss
 * of the quorum. */
static bool has_quorum(const struct agent *agent)
{
    bool takes_part = raft_configuration_find(&agent->intent->configuration, &agent->self);
    return (takes_part && !id_is_none(&agent->raft_status.leader)) ||
           !agent_most_voters_are_gone(agent);
}

static void tell(struct agent *agent, enum agent_event_type type,
                 const struct intent_replica *stand_in)
{
    struct agent_event *event = agent_add_event(agent, type, &stand_in->peer);
    if (!event)
        return;
    snprintf(event->subject, sizeof(event->subject), "%s.%u", stand_in->service, stand_in->slot);
    stand_in_describe(agent->intent, &agent->view, stand_in, event->text);
}

/* Adds what this peer runs in another's place, so far as nobody has heard of it. */
static int add_own(struct agent *agent, const struct intent_replica *stand_in)
{
    struct view_replica *seen = view_replica_get(&agent->view, stand_in->generation);
    struct view_stand_in *own = seen ? view_stand_in_get(&agent->view, stand_in->generation) : NULL;
    if (!own)
        return -ENOMEM;
    *seen = (struct view_replica){
        .generation = stand_in->generation, .peer = agent->self, .state = VIEW_REPLICA_PENDING};
    *own = (struct view_stand_in){.replica = *stand_in};
    own->replica.peer = agent->self;
    own->replica.want = INTENT_RUN;
    return 0;
}

static void begin(void *context, const struct intent_replica *original)
{
    struct agent *agent = context;
    struct intent_replica stand_in = *original;
    stand_in.generation = stand_in_number(original->generation, &agent->self);
    stand_in.since_wall_ms = agent->wall_ms;
    stand_in.reason[0] = '\0';
    if (stand_in.generation == 0 || view_stand_in_find(&agent->view, stand_in.generation))
        return; /* the last one of it is still on its way out */
    if (add_own(agent, &stand_in) < 0 ||
        agent_publish_replica(agent, agent->now_ms,
                              view_replica_find(&agent->view, stand_in.generation)) == -ENOMEM) {
        agent->failed = true;
        return;
    }
    agent->output->wanted_changed = true;
    agent->swim_due = true; /* the others shall hear of it at once */
    tell(agent, AGENT_STANDS_IN, &view_stand_in_find(&agent->view, stand_in.generation)->replica);
}

static bool is_own(const struct agent *agent, const struct view_stand_in *stand_in)
{
    return id_equal(&stand_in->replica.peer, &agent->self);
}

/* The revision that one runs which was begun before this start: of what it stands in for, as far as
 * the intent knows that. 0: it does not know the service yet. */
static uint32_t revision_of(const struct agent *agent, const struct intent_replica *stand_in)
{
    const struct intent_replica *original =
        intent_replica_find(agent->intent, stand_in_original(stand_in->generation));
    const struct intent_service *service = intent_service_find(agent->intent, stand_in->service);
    return original ? original->revision : service ? service->revision : 0;
}

/* Returns whether any goes on. */
static bool end_those_over(struct agent *agent, const struct minority *minority)
{
    bool goes_on = false;
    for (size_t i = 0; i < agent->view.stand_ins.count; i++) {
        struct view_stand_in *stand_in = agent->view.stand_ins.items[i];
        if (!is_own(agent, stand_in) || stand_in->replica.want == INTENT_STOP)
            continue;
        if (stand_in->replica.revision == 0)
            stand_in->replica.revision = revision_of(agent, &stand_in->replica);
        if (!minority_is_over(minority, stand_in)) {
            goes_on = true;
            continue;
        }
        stand_in->replica.want = INTENT_STOP;
        agent->output->wanted_changed = true;
        tell(agent, AGENT_STOOD_IN, &stand_in->replica);
    }
    return goes_on;
}

void agent_minority_tick(struct agent *agent)
{
    if (agent->now_ms < agent->minority_next_ms)
        return;
    agent->minority_next_ms = agent->now_ms + AGENT_MINORITY_INTERVAL_MS;
    bool had_quorum = agent->has_quorum;
    agent->has_quorum = has_quorum(agent);
    if (agent->has_quorum != had_quorum)
        agent->quorum_changed_ms = agent->now_ms;
    if (agent->intent_is_old || agent->renewal.intent)
        return; /* it may not say who runs what since */
    struct minority minority = {
        .intent = agent->intent,
        .view = &agent->view,
        .self = agent->self,
        .now_ms = agent->now_ms,
        .start_ms = agent->start_ms,
        .no_quorum_since_ms = agent->has_quorum ? MINORITY_NEVER : agent->quorum_changed_ms,
        .quorum_since_ms = agent->has_quorum ? agent->quorum_changed_ms : MINORITY_NEVER,
    };
    int64_t deadline_ms;
    agent->stands_in = end_those_over(agent, &minority);
    if (minority_begin(&minority, begin, agent, &deadline_ms) < 0)
        agent->failed = true;
}

int64_t agent_minority_deadline(const struct agent *agent)
{
    return agent->has_quorum && !agent->stands_in ? INT64_MAX : agent->minority_next_ms;
}

int64_t agent_no_quorum_since(const struct agent *agent)
{
    return agent->has_quorum ? INT64_MAX : agent->quorum_changed_ms;
}

int agent_adopt_stand_in(struct agent *agent, uint64_t generation, const char *service,
                         uint32_t slot)
{
    struct intent_replica stand_in = {
        .generation = generation, .slot = slot, .since_wall_ms = agent->wall_ms};
    if (stand_in_number(stand_in_original(generation), &agent->self) != generation)
        return -EINVAL;
    if (view_stand_in_find(&agent->view, generation))
        return 0;
    snprintf(stand_in.service, sizeof(stand_in.service), "%s", service);
    stand_in.revision = revision_of(agent, &stand_in);
    agent->stands_in = true;
    return add_own(agent, &stand_in);
}

void agent_stand_in_heard(struct agent *agent, const struct id *owner,
                          const struct view_replica *heard, const struct intent_replica *stand_in)
{
    const struct view_stand_in *known = view_stand_in_find(&agent->view, heard->generation);
    bool is_news = !known;
    if (id_equal(owner, &agent->self) || (known && is_own(agent, known)) ||
        stand_in_number(stand_in_original(heard->generation), owner) != heard->generation)
        return;
    struct view_replica *replica = view_replica_get(&agent->view, heard->generation);
    struct view_stand_in *entry =
        replica ? view_stand_in_get(&agent->view, heard->generation) : NULL;
    if (!entry) {
        agent->failed = true;
        return;
    }
    *replica = *heard;
    replica->peer = *owner;
    entry->replica = *stand_in;
    entry->replica.peer = *owner;
    agent->output->routes_changed = true;
    if (is_news)
        tell(agent, AGENT_STANDS_IN, &entry->replica);
}

void agent_stand_in_withdrawn(struct agent *agent, uint64_t generation)
{
    struct view_stand_in *known = view_stand_in_find(&agent->view, generation);
    if (!known || is_own(agent, known))
        return;
    known->replica.want = INTENT_STOP;
    tell(agent, AGENT_STOOD_IN, &known->replica);
}
