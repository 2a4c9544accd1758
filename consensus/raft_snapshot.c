/* Snapshots (§7): for followers that need what was discarded, chunk by chunk; and discarding.
 *
 * All followers that need one at a time are sent the same snapshot, also if the log is compacted
 * meanwhile: so two of them are held at most, and a transfer ends however fast the log grows.
 * Chunks are taken in order, and acknowledged by how much is held. The first goes alone: the answer
 * says where to go on, since the follower may hold a part from an earlier try, or another leader.
 * An answer that says nothing new tells of a chunk that came before its turn, and went: the one
 * that is missing is sent again, once.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/raft_internal.h"

/* ---- the leader ------------------------------------------------------------------------------ */

uint64_t raft_sent_snapshot(const struct raft *raft)
{
    for (uint32_t i = 0; i < raft->configuration.count && raft->role == RAFT_LEADER; i++)
        if (raft->progress[i].state == RAFT_INSTALL && raft->outgoing.index > 0 &&
            raft->progress[i].snapshot_index == raft->outgoing.index)
            return raft->outgoing.index;
    return 0;
}

static bool outgoing_is_own(const struct raft *raft)
{
    return raft->outgoing.index > 0 && raft->outgoing.data.data != raft->snapshot.data.data;
}

static void drop_outgoing(struct raft *raft)
{
    if (outgoing_is_own(raft))
        free((void *)raft->outgoing.data.data);
    raft->outgoing = (struct raft_snapshot){0};
}

/* Sends the chunk that begins at `offset`, and returns its size. */
static size_t send_chunk(struct raft *raft, uint32_t member, size_t offset)
{
    const struct raft_snapshot *outgoing = &raft->outgoing;
    size_t size = outgoing->data.size - offset;
    if (size > raft->config.chunk_bytes)
        size = raft->config.chunk_bytes;
    raft_send(raft, (struct raft_message){
                        .type = RAFT_SNAPSHOT,
                        .to = raft->configuration.members[member].id,
                        .term = raft->term,
                        .snapshot = outgoing,
                        .offset = offset,
                        .chunk = {outgoing->data.data + offset, size},
                    });
    return size;
}

static void send_next_chunk(struct raft *raft, uint32_t member)
{
    struct raft_progress *progress = &raft->progress[member];
    progress->chunk_next += send_chunk(raft, member, progress->chunk_next);
}

static void resend_missing_chunk(struct raft *raft, uint32_t member)
{
    struct raft_progress *progress = &raft->progress[member];
    if (progress->chunk_was_resent || progress->chunk_held == progress->chunk_next)
        return;
    progress->chunk_was_resent = true;
    send_chunk(raft, member, progress->chunk_held);
}

bool raft_send_snapshot(struct raft *raft, uint32_t member)
{
    struct raft_progress *progress = &raft->progress[member];
    /* A snapshot is too large to send to who may not be there. */
    if (!(progress->active || progress->is_new) || raft->snapshot.index == 0)
        return false;
    if (raft->outgoing.index == 0)
        raft->outgoing = raft->snapshot;
    raft_progress_install(progress, raft->outgoing.index, raft->now_ms);
    send_next_chunk(raft, member);
    return true;
}

void raft_take_snapshot_reply(struct raft *raft, uint32_t member,
                              const struct raft_message *message)
{
    struct raft_progress *progress = &raft->progress[member];
    size_t size = raft->outgoing.data.size;
    if (progress->state != RAFT_INSTALL || message->index != progress->snapshot_index ||
        message->index != raft->outgoing.index || message->offset > size)
        return;
    if (message->reject) {
        /* From the start again, but not as fast as the two can: with the next heartbeat. */
        progress->chunk_held = progress->chunk_next = 0;
        progress->chunk_is_answered = false;
        return;
    }
    if (progress->chunk_is_answered && message->offset <= progress->chunk_held) {
        if (message->offset == progress->chunk_held)
            resend_missing_chunk(raft, member);
        return;
    }
    progress->chunk_is_answered = true;
    progress->chunk_was_resent = false;
    progress->snapshot_moved_ms = raft->now_ms;
    if (message->offset > progress->chunk_held)
        progress->chunk_held = (size_t)message->offset;
    if (progress->chunk_next < progress->chunk_held)
        progress->chunk_next = progress->chunk_held;
    size_t window = raft->config.chunks_max * raft->config.chunk_bytes;
    while (progress->chunk_next < size && progress->chunk_next - progress->chunk_held < window)
        send_next_chunk(raft, member);
}

void raft_go_on_installing(struct raft *raft, uint32_t member)
{
    struct raft_progress *progress = &raft->progress[member];
    if (progress->snapshot_index != raft->outgoing.index) {
        raft_send_snapshot(raft, member); /* the log goes on behind another one by now */
    } else if (raft->now_ms - progress->snapshot_moved_ms >= raft->config.snapshot_timeout_ms) {
        raft_progress_probe(progress);
    } else if (progress->chunk_next == 0 && raft->outgoing.data.size > 0) {
        progress->snapshot_moved_ms = raft->now_ms;
        send_next_chunk(raft, member);
    }
}

/* ---- the follower ---------------------------------------------------------------------------- */

static void drop_incoming(struct raft *raft)
{
    free(raft->incoming.data);
    raft->incoming = (struct raft_incoming){0};
}

static bool is_incoming(const struct raft *raft, const struct raft_snapshot *offered)
{
    const struct raft_snapshot *incoming = &raft->incoming.snapshot;
    return incoming->index == offered->index && incoming->term == offered->term &&
           incoming->data.size == offered->data.size &&
           memcmp(incoming->hash, offered->hash, sizeof(incoming->hash)) == 0 &&
           raft_configuration_equal(&incoming->configuration, &offered->configuration);
}

/* Within a term a leader only goes on to newer snapshots: a chunk of an older one is late. */
static bool may_begin(const struct raft *raft, const struct raft_message *message)
{
    return message->offset == 0 && (message->term > raft->incoming.term ||
                                    message->snapshot->index >= raft->incoming.snapshot.index);
}

/* True if this peer has it all. */
static bool is_needless(const struct raft *raft, const struct raft_snapshot *offered)
{
    return offered->index <= raft->commit ||
           raft_log_matches(&raft->log, offered->index, offered->term);
}

static int verify(const struct raft *raft, const struct raft_snapshot *offered, uint8_t *data)
{
    struct raft_snapshot whole = *offered;
    whole.data.data = data;
    return raft->config.verify ? raft->config.verify(raft->config.verify_context, &whole)
                               : -EBADMSG;
}

/* Puts the chunk into its place, behind all that counts as held. */
int raft_stage_chunk(struct raft *raft, const struct raft_message *message)
{
    const struct raft_snapshot *offered = message->snapshot;
    struct raft_staged *staged = &raft->staged;
    bool is_known = is_incoming(raft, offered);
    size_t held = is_known ? raft->incoming.held : 0;
    if (message->term < raft->term || is_needless(raft, offered) ||
        (!is_known && !may_begin(raft, message)) || message->offset > held ||
        held - message->offset > message->chunk.size)
        return 0;
    if (!is_known && !(staged->incoming = malloc(offered->data.size + 1)))
        return -ENOMEM;
    uint8_t *data = is_known ? raft->incoming.data : staged->incoming;
    size_t known = held - (size_t)message->offset;
    if (known < message->chunk.size)
        memcpy(data + held, message->chunk.data + known, message->chunk.size - known);
    staged->has_chunk = true;
    staged->held = held + message->chunk.size - known;
    if (staged->held < offered->data.size)
        return 0;
    int rc = verify(raft, offered, data);
    staged->snapshot_is_wrong = rc < 0;
    return rc == -ENOMEM ? rc : 0;
}

static void take_chunk(struct raft *raft, const struct raft_message *message)
{
    struct raft_staged *staged = &raft->staged;
    struct raft_incoming *incoming = &raft->incoming;
    if (!staged->has_chunk)
        return;
    if (staged->incoming) {
        drop_incoming(raft);
        incoming->snapshot = *message->snapshot;
        incoming->data = staged->incoming;
        incoming->snapshot.data.data = incoming->data;
        staged->incoming = NULL;
    }
    incoming->held = staged->held;
    incoming->term = raft->term;
}

static void replace_snapshot(struct raft *raft, struct raft_snapshot snapshot)
{
    if (raft->outgoing.index > 0 && !outgoing_is_own(raft) && raft_sent_snapshot(raft) == 0)
        drop_outgoing(raft);
    if (raft->outgoing.index == 0 || outgoing_is_own(raft))
        free((void *)raft->snapshot.data.data);
    raft->snapshot = snapshot;
}

static void install(struct raft *raft)
{
    struct raft_snapshot snapshot = raft->incoming.snapshot;
    raft->incoming = (struct raft_incoming){0};
    replace_snapshot(raft, snapshot);
    raft_log_reset(&raft->log, snapshot.index, snapshot.term);
    raft->commit = raft->applied = snapshot.index;
    raft->snapshot_is_new = true;
    raft_adopt_configuration(raft, &raft->snapshot.configuration);
}

static void reply_to_chunk(struct raft *raft, const struct raft_message *message)
{
    bool is_wrong = raft->staged.snapshot_is_wrong;
    raft_reply(raft, (struct raft_message){
                         .type = RAFT_SNAPSHOT_REPLY,
                         .to = message->from,
                         .term = raft->term,
                         .reject = is_wrong,
                         .index = message->snapshot->index,
                         .offset = is_incoming(raft, message->snapshot) ? raft->incoming.held : 0,
                     });
}

void raft_take_snapshot(struct raft *raft, const struct raft_message *message)
{
    const struct raft_snapshot *offered = message->snapshot;
    if (offered->index > raft->commit &&
        raft_log_matches(&raft->log, offered->index, offered->term)) {
        raft->commit = offered->index; /* this log has all of it */
    } else if (offered->index > raft->commit) {
        take_chunk(raft, message);
        if (raft->staged.snapshot_is_wrong) {
            raft->snapshots_refused++;
            drop_incoming(raft);
        }
        if (!is_incoming(raft, offered) || raft->incoming.held < offered->data.size) {
            reply_to_chunk(raft, message);
            return;
        }
        install(raft);
    }
    raft_reply(raft, (struct raft_message){
                         .type = RAFT_APPEND_REPLY,
                         .to = message->from,
                         .term = raft->term,
                         .index = raft->commit,
                     });
}

/* ---- both ------------------------------------------------------------------------------------ */

void raft_drop_useless_snapshots(struct raft *raft)
{
    if (raft->outgoing.index > 0 &&
        (raft_sent_snapshot(raft) == 0 || raft->outgoing.index < raft->log.offset))
        drop_outgoing(raft);
    if (raft->incoming.snapshot.index > 0 &&
        (raft->incoming.snapshot.index <= raft->commit || raft->role == RAFT_LEADER))
        drop_incoming(raft);
}

void raft_drop_snapshots(struct raft *raft)
{
    drop_outgoing(raft);
    drop_incoming(raft);
    free((void *)raft->snapshot.data.data);
    raft->snapshot = (struct raft_snapshot){0};
}

int raft_compact(struct raft *raft, const struct raft_snapshot *snapshot, uint64_t keep)
{
    struct raft_snapshot copy = *snapshot;
    if (snapshot->index == 0 || snapshot->index > raft->applied ||
        snapshot->index < raft->snapshot.index ||
        !raft_log_term(&raft->log, snapshot->index, &copy.term))
        return -EINVAL;
    if (snapshot->data.size > RAFT_SNAPSHOT_BYTES_MAX)
        return -E2BIG;
    uint8_t *data = malloc(snapshot->data.size + 1);
    if (!data)
        return -ENOMEM;
    if (snapshot->data.size > 0)
        memcpy(data, snapshot->data.data, snapshot->data.size);
    copy.data.data = data;
    replace_snapshot(raft, copy);
    if (keep < snapshot->index)
        raft_log_discard(&raft->log, snapshot->index - keep);
    return 0;
}
