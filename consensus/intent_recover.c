/* Epochs: how the intent goes on after a quorum was lost for good (docs/decisions/recover.md). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consensus/intent_apply.h"

uint64_t intent_epoch_of(uint64_t index_or_term)
{
    return (index_or_term >> INTENT_EPOCH_SHIFT) + 1;
}

uint64_t intent_epoch_base(uint64_t epoch)
{
    return (epoch - 1) << INTENT_EPOCH_SHIFT;
}

bool intent_is_recovery(const struct intent_succession *succession)
{
    uint64_t epoch = intent_epoch_of(succession->index);
    return epoch > 1 && succession->index == intent_epoch_base(epoch);
}

static void revoke_voters(struct intent *intent, const struct intent_recovery *recovery)
{
    for (uint32_t i = 0; i < intent->configuration.count; i++) {
        const struct id *id = &intent->configuration.members[i].id;
        struct intent_peer *peer = intent_peer_find(intent, id);
        if (!raft_configuration_votes(&intent->configuration, id) || !peer ||
            id_equal(id, &recovery->voter) || !intent_peer_is_member(peer))
            continue;
        peer->state = INTENT_REVOKED;
        peer->state_wall_ms = recovery->wall_ms;
        intent_wraps_drop(intent, id);
    }
}

/* The others that voted, by their names, as far as there is room. */
static void name_others(const struct intent *intent, const struct id *voter, char *ret, size_t size)
{
    size_t length = 0;
    ret[0] = '\0';
    for (uint32_t i = 0; i < intent->configuration.count && length < size; i++) {
        const struct id *id = &intent->configuration.members[i].id;
        const struct intent_peer *peer = intent_peer_find(intent, id);
        if (peer && !id_equal(id, voter) && raft_configuration_votes(&intent->configuration, id))
            length += (size_t)snprintf(ret + length, size - length, "%s%s", length > 0 ? ", " : "",
                                       peer->name);
    }
}

int intent_recover(struct intent *intent, const struct intent_recovery *recovery)
{
    struct raft_configuration none = {0}, alone;
    struct raft_changes changes = {.members = {{RAFT_ADD_VOTER, recovery->voter}}, .count = 1};
    struct command_head head = {.wall_ms = recovery->wall_ms};
    struct intent_result result = {0};
    char others[INTENT_REASON_BYTES_MAX / 2];
    const struct intent_peer *voter = intent_peer_find(intent, &recovery->voter);
    if (intent->epoch >= INTENT_EPOCH_MAX)
        return -EOVERFLOW;
    if (!voter || voter->role != INTENT_PEER || !intent_peer_is_member(voter))
        return -EINVAL;
    int rc = raft_configuration_change(&none, &changes, &alone);
    if (rc < 0)
        return rc;
    uint64_t end = intent->applied_index, index = intent_epoch_base(intent->epoch + 1);
    struct intent_apply apply = {
        .intent = intent, .index = index, .head = &head, .result = &result};
    memcpy(head.actor, recovery->actor, sizeof(head.actor));
    name_others(intent, &recovery->voter, others, sizeof(others));
    if (recovery->revokes_the_others)
        revoke_voters(intent, recovery);

    intent->epoch++;
    uint64_t skip = INTENT_EPOCH_SKIP + (uint64_t)INTENT_EPOCH_SKIP_EACH * recovery->voter.bytes[0];
    intent->next_serial += skip;
    intent->next_generation += skip;
    intent->configuration = alone;
    intent_succession_add(intent, index, &recovery->seal);
    intent->configuration_index = index;
    intent_apply_nothing(intent, index, index);
    intent_event_add(&apply, "recover", voter->name,
                     "epoch %" PRIu64 " begins, %s alone votes; what the epoch before agreed on "
                     "after entry %" PRIu64 " is void; %s %s: %s",
                     intent->epoch, voter->name, end - intent_epoch_base(intent->epoch - 1),
                     "its other voters", recovery->revokes_the_others ? "are revoked" : "were",
                     others[0] != '\0' ? others : "none");
    return apply.no_memory ? -ENOMEM : 0;
}
