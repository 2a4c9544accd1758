/* Changing who takes part (§6; thesis §4), and applying committed entries.
 *
 * As in etcd's library a configuration is in force when its entry is applied. That is safe because
 * two configurations that follow each other overlap, and no peer is two behind: a leader proposes a
 * change only after it applied the one before, so a change in a log says that the one before it is
 * committed, even to a peer that was told nothing else
 * (docs/decisions/raft-configuration-when-applied.md).
 */
#include <assert.h>

#include "consensus/raft_internal.h"

void raft_learn_commit(struct raft *raft)
{
    uint64_t last = raft->log.last_configuration;
    const struct raft_entry *before_last;
    while (last > 0 &&
           (before_last = raft_log_next_configuration(&raft->log, raft->commit, last - 1)))
        raft->commit = before_last->index;
}

/* An entry that does not fit is one that every peer passes over. */
static bool change_by_entry(const struct raft_entry *entry,
                            struct raft_configuration *configuration)
{
    struct raft_changes changes;
    return raft_changes_decode(entry->data, &changes) == 0 &&
           raft_configuration_change(configuration, &changes, configuration) == 0;
}

void raft_latest_configuration(const struct raft *raft, struct raft_configuration *ret)
{
    uint64_t index = raft->applied, last = raft_log_last_index(&raft->log);
    const struct raft_entry *entry;
    *ret = raft->configuration;
    while ((entry = raft_log_next_configuration(&raft->log, index, last))) {
        change_by_entry(entry, ret);
        index = entry->index;
    }
}

static void rearrange_progress(struct raft *raft, const struct raft_configuration *configuration)
{
    struct raft_progress rearranged[RAFT_MEMBERS_MAX];
    uint64_t last = raft_log_last_index(&raft->log);
    for (uint32_t i = 0; i < configuration->count; i++) {
        int member = raft_member_of(raft, &configuration->members[i].id);
        if (member >= 0) {
            rearranged[i] = raft->progress[member];
            continue;
        }
        raft_progress_init(&rearranged[i], last > 0 ? last : 1);
        rearranged[i].is_new = true;
    }
    for (uint32_t i = 0; i < configuration->count; i++)
        raft->progress[i] = rearranged[i];
}

/* Thesis §4.2.2: a leader that is no longer a voter resigns. It says what is committed, and hands
 * over to whoever has everything, so that nobody need wait for a timeout. */
static void resign(struct raft *raft)
{
    raft_send_appends(raft);
    for (uint32_t i = 0; i < raft->configuration.count; i++) {
        const struct raft_member *member = &raft->configuration.members[i];
        if ((member->parts & RAFT_VOTER) &&
            raft->progress[i].match == raft_log_last_index(&raft->log)) {
            raft_send_timeout_now(raft, &member->id);
            break;
        }
    }
    raft_become_follower(raft, raft->term, &ID_NONE);
}

void raft_adopt_configuration(struct raft *raft, const struct raft_configuration *configuration)
{
    rearrange_progress(raft, configuration);
    raft->configuration = *configuration;
    raft->configuration_changed = true;
    if (raft->role != RAFT_LEADER)
        return;
    if (!raft_is_promotable(raft) && !raft->config.lead_when_removed) {
        resign(raft);
        return;
    }
    if (raft_advance_commit(raft)) {
        raft_send_appends(raft);
    } else {
        for (uint32_t i = 0; i < configuration->count; i++)
            if (!raft_is_self(raft, i))
                raft_send_append(raft, i, false);
    }
    raft_confirm_reads(raft); /* those who had yet to answer may not be asked any more */
    if (!raft_configuration_votes(configuration, &raft->transfer_target))
        raft->transfer_target = ID_NONE;
}

static void apply_one(struct raft *raft)
{
    const struct raft_entry *entry = raft_log_at(&raft->log, raft->applied + 1);
    assert(entry);
    raft->applied++;
    raft->uncommitted_bytes -=
        raft->uncommitted_bytes < entry->data.size ? raft->uncommitted_bytes : entry->data.size;
    struct raft_configuration configuration = raft->configuration;
    if (entry->type == RAFT_ENTRY_CONFIGURATION && change_by_entry(entry, &configuration))
        raft_adopt_configuration(raft, &configuration);
}

/* Only what is on this disk is handed out, so that no applied state is ever ahead of its log. */
void raft_apply(struct raft *raft, uint64_t last)
{
    if (last > raft->commit)
        last = raft->commit;
    while (raft->applied < last && raft->applied < raft->log.stored)
        apply_one(raft);
    if (raft->role == RAFT_LEADER && raft->configuration.auto_leave &&
        raft->applied >= raft->pending_configuration && id_is_none(&raft->transfer_target)) {
        raft_append_own(raft, RAFT_ENTRY_CONFIGURATION, (struct bytes){0});
        raft->pending_configuration = raft_log_last_index(&raft->log);
        raft_send_appends(raft);
    }
}
