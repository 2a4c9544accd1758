#include "node/control/agent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/level.h"
#include "node/control/agent_private.h"
#include "node/control/stand_in.h"

static int compare_id(const void *item, const void *key)
{
    return id_compare(item, key);
}

static const void *id_key(const void *item)
{
    return item;
}

static void set_default(uint32_t *value, uint32_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static bool swim_admits(void *context, const struct id *id)
{
    const struct agent *agent = context;
    const struct intent_peer *peer = intent_peer_find(agent->intent, id);
    return !peer || (peer->role == INTENT_PEER && peer->state != INTENT_REVOKED);
}

static int start_intent(struct agent *agent, const struct agent_stored *stored)
{
    struct intent *from_raft = NULL, *from_feed = NULL;
    int rc = 0;
    if (stored->raft.snapshot)
        rc = intent_read(stored->raft.snapshot->data, &from_raft);
    if (rc == 0 && stored->intent.size > 0)
        rc = intent_read(stored->intent, &from_feed);
    if (rc == 0 && from_feed && from_feed->level.number <= agent->config.level)
        rc = agent_feed_start(agent, stored, from_feed);
    agent->feed.stored.is_damaged = stored->intent_is_old;
    if (rc < 0) {
        intent_free(from_raft);
        intent_free(from_feed);
        return rc == -EBADMSG ? -EINVAL : rc;
    }
    bool feed_is_newer =
        from_feed && (!from_raft || from_feed->applied_index > from_raft->applied_index);
    agent->intent = feed_is_newer ? from_feed : from_raft;
    intent_free(feed_is_newer ? from_raft : from_feed);
    if (!agent->intent)
        agent->intent = intent_new(&agent->config.cluster);
    if (!agent->intent)
        return -ENOMEM;
    if (agent->intent->level.number > agent->config.level)
        return -EPROTONOSUPPORT;
    return id_equal(&agent->intent->cluster, &agent->config.cluster) ? 0 : -EINVAL;
}

int agent_raft_start(struct agent *agent, const struct raft_stored *stored, int64_t now_ms)
{
    struct raft_config config;
    raft_config_init(&config, &agent->self, random_u64(&agent->random));
    if (agent->config.election_timeout_ms > 0) {
        config.election_timeout_ms = agent->config.election_timeout_ms;
        config.election_timeout_max_ms = 2 * (int64_t)agent->config.election_timeout_ms;
    }
    if (agent->config.heartbeat_ms > 0)
        config.heartbeat_ms = agent->config.heartbeat_ms;
    if (agent->config.clock_drift_permille > 0) {
        config.read_by_lease = true;
        config.clock_drift_permille = agent->config.clock_drift_permille;
    }
    config.verify = agent_raft_verify;
    config.verify_context = agent;
    struct raft_stored hashed = *stored;
    struct raft_snapshot snapshot;
    if (stored->snapshot) {
        snapshot = *stored->snapshot;
        agent_raft_hash(snapshot.data, snapshot.hash);
        hashed.snapshot = &snapshot;
    }
    int rc = raft_new(&config, &hashed, now_ms, &agent->raft);
    if (rc == 0)
        raft_status(agent->raft, &agent->raft_status);
    return rc;
}

/* Who has lost a part of its log begins like one that knows nothing, and is not heard. */
static int start_raft(struct agent *agent, const struct agent_stored *stored, int64_t now_ms)
{
    static const struct raft_stored nothing;
    agent->intent_is_old = stored->intent_is_old;
    if (stored->lost_through == 0)
        return agent_raft_start(agent, &stored->raft, now_ms);
    int rc = agent_lost_new(&stored->raft, stored->lost_through, &agent->lost);
    return rc < 0 ? rc : agent_raft_start(agent, &nothing, now_ms);
}

static int start_swim(struct agent *agent, int64_t now_ms)
{
    struct swim_config config = agent->config.swim;
    agent_gossip_start(agent, &config);
    config.self = agent->self;
    config.identity = agent->config.identity;
    config.generation = agent->config.generation;
    config.seed = random_u64(&agent->random);
    config.advertised = agent->config.advertised;
    config.pool = agent->config.pool;
    config.admits = swim_admits;
    config.admits_context = agent;
    int rc = swim_new(&config, now_ms, &agent->swim);
    struct view_peer *self = rc == 0 ? view_peer_get(&agent->view, &agent->self) : NULL;
    if (rc == 0 && !self)
        return -ENOMEM;
    if (self)
        *self = (struct view_peer){.id = agent->self, .liveness = VIEW_ALIVE, .since_ms = now_ms};
    return rc;
}

/* Whoever was revoked before this start stays shut out. */
static int shut_out_known(struct agent *agent, int64_t now_ms)
{
    for (size_t i = 0; i < agent->intent->peers.count; i++) {
        const struct intent_peer *peer = agent->intent->peers.items[i];
        if (peer->state == INTENT_REVOKED && !id_equal(&peer->id, &agent->self)) {
            int rc = swim_revoke(agent->swim, now_ms, &peer->id);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* From a sequence of its own. What was asked before a restart must not answer what is asked now. */
static uint64_t first_read_round(uint64_t seed)
{
    struct random random;
    random_init(&random, ~seed);
    return random_u64(&random) >> 2;
}

int agent_new(const struct agent_config *config, const struct agent_stored *stored, int64_t now_ms,
              struct agent **ret)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    if (!agent)
        return -ENOMEM;
    agent->config = *config;
    agent->self = config->identity->id;
    agent->chain = *config->chain;
    agent->now_ms = agent->start_ms = now_ms;
    agent->control_deadline_ms = agent->voters_deadline_ms = agent->campaign_at_ms = INT64_MAX;
    agent->raft_progress_ms = now_ms - INT32_MAX;
    agent->quorum_changed_ms = now_ms;
    set_default(&agent->config.lease_ms, AGENT_LEASE_MS_DEFAULT);
    set_default(&agent->config.voter_replace_after_ms, AGENT_VOTER_REPLACE_MS_DEFAULT);
    set_default(&agent->config.voter_settle_ms, AGENT_VOTER_SETTLE_MS_DEFAULT);
    set_default(&agent->config.voter_move_ms, AGENT_VOTER_MOVE_MS_DEFAULT);
    set_default(&agent->config.compact_after_entries, AGENT_COMPACT_ENTRIES_DEFAULT);
    set_default(&agent->config.compact_after_bytes, AGENT_COMPACT_BYTES_DEFAULT);
    set_default(&agent->config.voters_max, AGENT_VOTERS_DEFAULT);
    set_default(&agent->config.level, level_newest);
    random_init(&agent->random, config->seed);
    agent->read_round = first_read_round(config->seed);
    view_init(&agent->view);
    feed_init(&agent->feed);
    swim_output_init(&agent->swim_output);
    table_init(&agent->shut_out, compare_id, id_key);

    int rc = start_intent(agent, stored);
    if (rc == 0)
        rc = start_raft(agent, stored, now_ms);
    if (rc == 0)
        rc = start_swim(agent, now_ms);
    if (rc == 0)
        rc = shut_out_known(agent, now_ms);
    if (rc < 0) {
        agent_free(agent);
        return rc;
    }
    *ret = agent;
    return 0;
}

void agent_free(struct agent *agent)
{
    if (!agent)
        return;
    control_free(agent->control);
    for (size_t i = 0; i < agent->shut_out.count; i++)
        free(agent->shut_out.items[i]);
    table_done(&agent->shut_out);
    pendings_done(&agent->pendings);
    free(agent->reads);
    free(agent->held);
    feed_done(&agent->feed);
    intent_free(agent->intent);
    intent_free(agent->verified);
    agent_lost_free(agent->lost);
    intent_free(agent->renewal.intent);
    raft_free(agent->raft);
    swim_output_done(&agent->swim_output);
    swim_free(agent->swim);
    view_done(&agent->view);
    free(agent);
}

static void set_level(struct intent *intent, uint32_t number)
{
    intent->level.number = number;
    strncpy(intent->level.version, level_version(number), sizeof(intent->level.version) - 1);
}

int agent_bootstrap(const struct id *cluster, const struct id *self, const char *name,
                    uint32_t level, int64_t wall_ms, struct buffer *ret_state,
                    struct raft_snapshot *ret_snapshot)
{
    cleanup_buffer struct buffer bytes = {0};
    struct intent *intent = intent_new(cluster);
    struct intent_result result = {0};
    struct command command = {.head = {.type = COMMAND_ADMIT, .wall_ms = wall_ms},
                              .admit = {.id = *self, .role = INTENT_PEER}};
    struct raft_changes changes = {
        .members = {{RAFT_ADD_VOTER, *self}}, .count = 1, .transition = RAFT_TRANSITION_AUTO};
    struct raft_snapshot snapshot = {.index = 2, .term = 1};

    if (intent)
        set_level(intent, level > 0 ? level : level_newest);
    strncpy(command.head.actor, name, sizeof(command.head.actor) - 1);
    strncpy(command.admit.name, name, sizeof(command.admit.name) - 1);
    int rc = intent ? command_encode(&command, &bytes) : -ENOMEM;
    if (rc == 0)
        rc = intent_apply(intent, 1, 1, buffer_view(&bytes), &result);
    if (rc == 0)
        rc = result.code;
    if (rc == 0) {
        intent_apply_changes(intent, 2, 1, &changes);
        rc = intent_write(intent, ret_state);
    }
    if (rc == 0) {
        snapshot.configuration = intent->configuration;
        snapshot.data = buffer_view(ret_state);
        *ret_snapshot = snapshot;
    }
    intent_free(intent);
    return rc;
}

/* A peer that leaves must still hear that this was agreed on: it is out once it has said goodbye,
 * or does not answer. */
static bool has_left(const struct agent *agent, const struct intent_peer *peer)
{
    struct swim_member member;
    if (peer->state != INTENT_LEFT)
        return false;
    bool answers = swim_member_find(agent->swim, &peer->id, &member) &&
                   (member.state == SWIM_ALIVE || member.state == SWIM_SUSPECT);
    return !answers;
}

/* Tells the node once about a key that no longer belongs here, and again if it came back. Without
 * memory for that, it is told at the next change instead. */
static void update_shut_out(struct agent *agent, const struct intent_peer *peer)
{
    bool is_out = peer->state == INTENT_REVOKED || has_left(agent, peer);
    struct id *known = table_find(&agent->shut_out, &peer->id);
    if (is_out == (known != NULL))
        return;
    if (!is_out) {
        free(table_remove(&agent->shut_out, &peer->id));
        return;
    }
    struct id *copy = malloc(sizeof(*copy));
    if (!copy)
        return;
    *copy = peer->id;
    if (table_insert(&agent->shut_out, copy) < 0) {
        free(copy);
        return;
    }
    bool self = id_equal(&peer->id, &agent->self);
    if (!self && peer->state == INTENT_REVOKED)
        swim_revoke(agent->swim, agent->now_ms, &peer->id);
    agent_add_event(agent, self ? AGENT_REMOVED : AGENT_SHUT_OUT, &peer->id);
}

void agent_shut_out_changed(struct agent *agent, const struct id *id)
{
    const struct intent_peer *peer = intent_peer_find(agent->intent, id);
    if (peer)
        update_shut_out(agent, peer);
}

void agent_intent_changed(struct agent *agent)
{
    for (size_t i = 0; i < agent->intent->peers.count; i++)
        update_shut_out(agent, agent->intent->peers.items[i]);
    agent_members_intent_changed(agent);
    agent_gossip_changed(agent);
    agent->control_due = true;
    agent->output->wanted_changed = true;
    agent->output->routes_changed = true;
}

static int take_message(struct agent *agent, const struct agent_input *input)
{
    struct swim_input sync = {.now_ms = input->now_ms,
                              .now_us = input->now_us,
                              .type = SWIM_STREAM,
                              .from = input->from,
                              .bytes = input->bytes};
    switch (input->kind) {
    case AGENT_SYNC:
        return agent_members_step(agent, &sync);
    case AGENT_RAFT:
        return agent_raft_message(agent, &input->from, input->bytes);
    case AGENT_FEED_PULL:
    case AGENT_FEED_PUSH:
        return agent_feed_message(agent, input->kind, &input->from, input->bytes);
    case AGENT_PROPOSE:
        return agent_propose_message(agent, &input->from, input->bytes);
    case AGENT_RESULT:
        return agent_result_message(agent, &input->from, input->bytes);
    case AGENT_LEASE_ASK:
        return agent_lease_asked(agent, &input->from, input->bytes);
    case AGENT_LEASE_GRANT:
        return agent_lease_granted(agent, &input->from, input->bytes);
    case AGENT_LINE_ASK:
        return agent_line_asked(agent, &input->from, input->bytes);
    case AGENT_LINE:
        return agent_line_told(agent, &input->from, input->bytes);
    case AGENT_READ_ASK:
        return agent_read_asked(agent, &input->from, input->bytes);
    case AGENT_READ_ANSWER:
        return agent_read_answered(agent, &input->from, input->bytes);
    default:
        return -EBADMSG;
    }
}

static int take_unreached(struct agent *agent, const struct id *id)
{
    struct raft_input raft = {.type = RAFT_UNREACHABLE, .now_ms = agent->now_ms, .peer = *id};
    struct swim_input swim = {
        .now_ms = agent->now_ms, .now_us = agent->now_us, .type = SWIM_UNREACHED, .from = *id};
    agent_raft_step(agent, &raft, NULL, NULL);
    agent_read_unreached(agent, id);
    return agent_members_step(agent, &swim);
}

static int take_input(struct agent *agent, const struct agent_input *input)
{
    struct swim_input packet = {.now_ms = input->now_ms,
                                .now_us = input->now_us,
                                .type = SWIM_PACKET,
                                .from = input->from,
                                .source = input->source,
                                .bytes = input->bytes};
    switch (input->type) {
    case AGENT_TICK:
        return 0;
    case AGENT_PACKET:
        if (raft_heartbeat_is(input->bytes))
            return agent_beat_packet(agent, &input->from, &input->source, input->bytes);
        return agent_members_step(agent, &packet);
    case AGENT_MESSAGE:
        return take_message(agent, input);
    case AGENT_GONE:
        agent_gone(agent, &input->from);
        return 0;
    case AGENT_UNREACHED:
        return take_unreached(agent, &input->from);
    case AGENT_STORED:
        agent_raft_stored(agent, input->sequence);
        return 0;
    case AGENT_COMPACTED:
        if (!input->compaction)
            return -EINVAL;
        agent_compacted(agent, input->compaction);
        return 0;
    case AGENT_PROPOSE_LOCAL:
        agent_propose(agent, &ID_NONE, input->request, 0, input->bytes);
        return 0;
    case AGENT_READ_LOCAL:
        agent_read_start(agent, input->request);
        return 0;
    case AGENT_HAND_OVER:
        agent_hand_over(agent);
        return 0;
    case AGENT_RECOVER:
        if (!input->recovery)
            return -EINVAL;
        agent_recover(agent, input->request, input->recovery);
        return 0;
    }
    return -EINVAL;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What follows from a changed intent, once for all that changed it. */
static void settle_intent(struct agent *agent)
{
    if (!agent->intent_due)
        return;
    agent->intent_due = false;
    agent_feed_reached(agent);
    agent_intent_changed(agent);
}

/* Everything that is due by the clock, and whatever the input made due. */
static void do_what_is_due(struct agent *agent)
{
    struct swim_input swim_tick = {
        .now_ms = agent->now_ms, .now_us = agent->now_us, .type = SWIM_TICK};
    struct raft_input raft_tick = {.type = RAFT_TICK, .now_ms = agent->now_ms};
    settle_intent(agent);
    agent_feed_sign(agent);
    agent->swim_due = false;
    agent_members_step(agent, &swim_tick);
    int64_t swim_deadline = agent->swim_output.next_deadline_ms;
    agent_names_tick(agent);
    agent_lead_tick(agent);
    agent_gone_tick(agent);
    agent_reluctant_tick(agent);
    agent_raft_step(agent, &raft_tick, NULL, NULL);
    agent_hand_over_tick(agent);
    settle_intent(agent);
    agent_feed_tick(agent);
    agent_read_tick(agent);
    agent_lease_tick(agent);
    agent_holding_tick(agent);
    agent_minority_tick(agent);
    agent_pending_expire(agent);
    agent_mend(agent);
    agent_compact(agent);

    if (agent->swim_due)
        swim_deadline = agent->now_ms;
    int64_t deadline = earlier(swim_deadline, agent->raft_deadline_ms);
    deadline = earlier(deadline, agent_feed_deadline(agent));
    deadline = earlier(deadline, agent_pending_deadline(agent));
    deadline = earlier(deadline, agent->campaign_at_ms);
    deadline = earlier(deadline, agent_read_deadline(agent));
    deadline = earlier(deadline, agent_lease_deadline(agent));
    deadline = earlier(deadline, agent_lead_deadline(agent));
    deadline = earlier(deadline, agent_minority_deadline(agent));
    agent->output->next_deadline_ms = deadline;
}

int agent_step(struct agent *agent, const struct agent_input *input, struct agent_output *output)
{
    assert(input->now_ms >= agent->now_ms);
    agent_output_reset(output);
    agent->now_ms = input->now_ms;
    agent->now_us = input->now_us;
    agent->wall_ms = input->wall_ms;
    agent->output = output;
    agent->heard_from = input->from;
    int rc = take_input(agent, input);
    agent->heard_from = ID_NONE;
    if (input->more)
        output->next_deadline_ms = agent->now_ms;
    else
        do_what_is_due(agent);
    agent->output = NULL;
    if (agent->failed)
        return agent->outdated.number > 0 ? -ENOTRECOVERABLE : -ENOMEM;
    return rc;
}

bool agent_admits(const struct agent *agent, const struct id *id,
                  const struct certificate_chain *chain, const char **ret_reason)
{
    const struct intent_peer *peer = intent_peer_find(agent->intent, id);
    *ret_reason = NULL;
    if (peer && peer->state == INTENT_REVOKED)
        *ret_reason = "it was revoked";
    else if (peer && has_left(agent, peer))
        *ret_reason = "it has left the cluster; it can join again with a new token";
    else if (!peer && chain->count > 0 &&
             chain->certificates[0].log_index <= agent->intent->applied_index)
        *ret_reason = "it is not admitted";
    for (uint32_t i = 1; i < chain->count && !*ret_reason; i++) {
        const struct intent_peer *issuer =
            intent_peer_find(agent->intent, &chain->certificates[i].subject);
        if (!peer && issuer && issuer->state == INTENT_REVOKED)
            *ret_reason = "its certificate was issued by a revoked peer";
    }
    return *ret_reason == NULL;
}

bool agent_intent_is_old(const struct agent *agent)
{
    return agent->intent_is_old;
}

void agent_wanted(const struct agent *agent, int64_t now_ms,
                  void (*each)(void *context, const struct agent_wanted *wanted), void *context)
{
    const struct intent_replica *replica;
    for (size_t i = 0; (replica = any_replica_at(agent->intent, &agent->view, i)); i++) {
        if (!id_equal(&replica->peer, &agent->self) || replica->want != INTENT_RUN)
            continue;
        struct agent_wanted wanted = {
            .replica = replica,
            .service = intent_service_find(agent->intent, replica->service),
            .spec = intent_spec_of(agent->intent, replica),
        };
        if (wanted.service && wanted.spec &&
            (!wanted.spec->exclusive || agent_lease_is_valid(agent, now_ms)))
            each(context, &wanted);
    }
}

void agent_status(const struct agent *agent, struct agent_status *ret)
{
    *ret = (struct agent_status){
        .role = agent->raft_status.role,
        .term = agent->raft_status.term,
        .leader = agent_leader(agent),
        .applied_index = agent->intent->applied_index,
        .newest_index = agent->feed.announced.index,
        .is_voter = intent_is_voter(agent->intent, &agent->self),
        .member_count = swim_member_count(agent->swim),
        .live_count = swim_live_count(agent->swim),
    };
    if (ret->newest_index < ret->applied_index)
        ret->newest_index = ret->applied_index;
    ret->leader_is_alive = view_is_alive(&agent->view, &ret->leader);
    for (size_t i = 0; i < agent->view.peers.count; i++) {
        const struct view_peer *peer = agent->view.peers.items[i];
        if (!intent_is_voter(agent->intent, &peer->id))
            continue;
        if (peer->liveness == VIEW_ALIVE)
            ret->live_voter_count++;
    }
    const struct raft_configuration *configuration = &agent->intent->configuration;
    for (uint32_t i = 0; i < configuration->count; i++)
        ret->voter_count += raft_configuration_votes(configuration, &configuration->members[i].id);
}

const struct intent *agent_intent(const struct agent *agent)
{
    return agent->intent;
}

const struct view *agent_view(const struct agent *agent)
{
    return &agent->view;
}

const struct swim *agent_swim(const struct agent *agent)
{
    return agent->swim;
}

const struct raft_status *agent_raft_status(const struct agent *agent)
{
    return &agent->raft_status;
}
