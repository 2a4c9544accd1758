/* recover: what there is to know before it, and doing it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/api/describe.h"

enum {
    PLAN_KEYS = 14,
    VOTER_KEYS = 5,
    HOLDER_KEYS = 5,
};

/* The number of an entry, as people count them: within its epoch. */
static uint64_t entry_number(uint64_t index)
{
    return index - intent_epoch_base(intent_epoch_of(index));
}

static bool is_reached(const struct view_peer *seen)
{
    return seen->liveness == VIEW_ALIVE || seen->liveness == VIEW_SUSPECT;
}

/* Another peer that answers, and holds more than this one; NULL: there is none. */
static const struct view_peer *find_newer(const struct peer *peer)
{
    const struct view *view = agent_view(peer->agent);
    const struct view_peer *newest = NULL;
    struct view_holding ours;
    agent_holding(peer->agent, &ours);
    for (size_t i = 0; i < view->peers.count; i++) {
        const struct view_peer *seen = view->peers.items[i];
        if (seen->has_holding && is_reached(seen) && !id_equal(&seen->id, &peer->identity.id) &&
            view_holding_compare(&seen->holding, newest ? &newest->holding : &ours) > 0)
            newest = seen;
    }
    return newest;
}

static bool has_quorum(const struct peer *peer, const struct agent_status *status)
{
    bool leader_is_here = id_equal(&status->leader, &peer->identity.id);
    return !id_is_none(&status->leader) && (status->leader_is_alive || leader_is_here) &&
           status->live_voter_count * 2 > status->voter_count;
}

static void put_voters(struct writer *writer, const struct peer *peer)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct raft_configuration *configuration = &intent->configuration;
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->count; i++)
        count += raft_configuration_votes(configuration, &configuration->members[i].id);
    writer_text(writer, "voters");
    writer_array(writer, count);
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct id *id = &configuration->members[i].id;
        const struct intent_peer *known = intent_peer_find(intent, id);
        if (!raft_configuration_votes(configuration, id))
            continue;
        writer_map(writer, VOTER_KEYS);
        put_id(writer, "id", id);
        put_text(writer, "name", peer_name(peer, id));
        put_text(writer, "state", known ? peer_state_text(peer, known) : "unknown");
        put_i64(writer, "state_ms", known ? peer_state_ms(peer, known) : -1);
        put_flag(writer, "is_this", id_equal(id, &peer->identity.id));
    }
}

static void put_holders(struct writer *writer, const struct peer *peer)
{
    const struct view *view = agent_view(peer->agent);
    struct view_holding ours;
    uint32_t count = 0;
    agent_holding(peer->agent, &ours);
    for (size_t i = 0; i < view->peers.count; i++) {
        const struct view_peer *seen = view->peers.items[i];
        count += seen->has_holding && is_reached(seen);
    }
    writer_text(writer, "holders");
    writer_array(writer, count);
    for (size_t i = 0; i < view->peers.count; i++) {
        const struct view_peer *seen = view->peers.items[i];
        if (!seen->has_holding || !is_reached(seen))
            continue;
        writer_map(writer, HOLDER_KEYS);
        put_id(writer, "id", &seen->id);
        put_text(writer, "name", peer_name(peer, &seen->id));
        put_u64(writer, "epoch", intent_epoch_of(seen->holding.term));
        put_u64(writer, "entry", entry_number(seen->holding.index));
        put_i64(writer, "newer", view_holding_compare(&seen->holding, &ours));
    }
}

static void method_plan(struct api_call *call, struct bytes params)
{
    const struct peer *peer = call->peer;
    const struct intent *intent = agent_intent(peer->agent);
    const struct view_peer *newer = find_newer(peer);
    struct agent_status status;
    struct view_holding ours;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    (void)params;
    agent_status(peer->agent, &status);
    agent_holding(peer->agent, &ours);
    writer_init(&writer, &result);
    writer_map(&writer, PLAN_KEYS);
    put_text(&writer, "name", peer->options.name);
    put_id(&writer, "id", &peer->identity.id);
    put_id(&writer, "cluster", &peer->cluster);
    put_u64(&writer, "epoch", intent->epoch);
    put_flag(&writer, "is_voter", status.is_voter);
    put_flag(&writer, "quorum", has_quorum(peer, &status));
    put_u64(&writer, "live_voters", status.live_voter_count);
    put_u64(&writer, "committed", entry_number(ours.applied));
    put_u64(&writer, "entry", entry_number(ours.index));
    put_u64(&writer, "index", ours.index);
    put_text(&writer, "newer", newer ? peer_name(peer, &newer->id) : NULL);
    put_u64(&writer, "newer_entry", newer ? entry_number(newer->holding.index) : 0);
    put_voters(&writer, peer);
    put_holders(&writer, peer);
    api_answer(call, &result);
}

static void on_recovered(void *context, const struct agent_result *decided)
{
    struct api_call *call = context;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    if (api_fail_if_refused(call, decided))
        return;
    writer_init(&writer, &result);
    writer_map(&writer, 2);
    put_text(&writer, "name", call->peer->options.name);
    put_u64(&writer, "epoch", agent_intent(call->peer->agent)->epoch);
    api_answer(call, &result);
}

/* A seal that the operator made with a key of its own. False if there is one that makes no sense.
 */
static bool read_seal(struct bytes params, struct raft_seal *seal, bool *ret_is_given)
{
    char signer[2 * ID_BYTES + 1] = "", signature[2 * RAFT_SEAL_SIGNATURE_BYTES + 1] = "";
    *ret_is_given = frame_text(params, "signer", signer, sizeof(signer));
    if (!*ret_is_given)
        return true;
    return frame_text(params, "signature", signature, sizeof(signature)) &&
           hex_decode(signer, seal->signer.bytes, sizeof(seal->signer.bytes)) == 0 &&
           hex_decode(signature, seal->signature, sizeof(seal->signature)) == 0;
}

/* What speaks against it unless it is forced. True if the call was refused, and is gone. */
static bool is_refused(struct api_call *call, struct bytes params)
{
    const struct peer *peer = call->peer;
    const struct view_peer *newer = find_newer(peer);
    struct agent_status status;
    struct view_holding ours;
    uint64_t index = 0;
    agent_status(peer->agent, &status);
    agent_holding(peer->agent, &ours);
    if (!frame_u64(params, "index", &index) || index != ours.index)
        api_fail_with(call, -ESTALE, "look again: consort recover",
                      "what this peer holds is not what was shown");
    else if (frame_flag(params, "force"))
        return false;
    else if (has_quorum(peer, &status))
        api_fail_with(call, -EEXIST, "if a stolen peer leads, and the root key is at hand: --force",
                      "there is a quorum: %s leads, and %zu of %zu voters answer",
                      peer_name(peer, &status.leader), status.live_voter_count, status.voter_count);
    else if (newer)
        api_fail_with(call, -ESTALE, "recover there; or, to lose what it has more, here: --force",
                      "%s holds more: up to entry %" PRIu64 ", this peer up to %" PRIu64,
                      peer_name(peer, &newer->id), entry_number(newer->holding.index),
                      entry_number(ours.index));
    else
        return false;
    return true;
}

static void method_begin(struct api_call *call, struct bytes params)
{
    struct agent_recovery recovery = {.revokes_the_others = frame_flag(params, "alone")};
    struct raft_seal seal = {0};
    bool is_sealed;
    if (call->is_passed_on) { /* that peer's word would be all there is for it */
        api_fail_with(call, -EPERM, "type it at that machine, or over a link to it",
                      "one peer can't have another recover");
        return;
    }
    if (!read_seal(params, &seal, &is_sealed)) {
        api_fail_with(call, -EINVAL, NULL, "the seal makes no sense");
        return;
    }
    if (is_refused(call, params))
        return;
    recovery.seal = is_sealed ? &seal : NULL;
    memcpy(recovery.actor, call->actor, sizeof(recovery.actor));
    if (peer_recover(call->peer, &recovery, on_recovered, call) < 0)
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
}

const struct api_entry api_recover_methods[] = {
    {"recover.plan", ROLE_ADMIN, true, method_plan},
    {"recover.begin", ROLE_ADMIN, true, method_begin},
    {0},
};
