#include "consensus/raft_progress.h"

#include <assert.h>

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void raft_progress_init(struct raft_progress *progress, uint64_t next)
{
    assert(next > 0);
    *progress = (struct raft_progress){.state = RAFT_PROBE, .next = next};
}

static void enter(struct raft_progress *progress, enum raft_progress_state state, uint64_t next)
{
    progress->state = state;
    progress->next = next;
    progress->paused = false;
    progress->snapshot_index = 0;
    progress->inflight_first = 0;
    progress->inflight_count = 0;
    progress->sent_commit = smaller(progress->sent_commit, next - 1);
}

void raft_progress_probe(struct raft_progress *progress)
{
    uint64_t next = progress->match + 1;
    /* Who may have the snapshot by now is asked behind it. */
    if (progress->state == RAFT_INSTALL && next <= progress->snapshot_index)
        next = progress->snapshot_index + 1;
    enter(progress, RAFT_PROBE, next);
}

void raft_progress_replicate(struct raft_progress *progress)
{
    enter(progress, RAFT_REPLICATE, progress->match + 1);
}

void raft_progress_install(struct raft_progress *progress, uint64_t snapshot_index, int64_t now_ms)
{
    enter(progress, RAFT_INSTALL, snapshot_index + 1);
    progress->snapshot_index = snapshot_index;
    progress->snapshot_moved_ms = now_ms;
    progress->chunk_held = progress->chunk_next = 0;
    progress->chunk_is_answered = progress->chunk_was_resent = false;
    progress->sent_commit = snapshot_index;
}

bool raft_progress_may_send(const struct raft_progress *progress)
{
    return progress->state != RAFT_INSTALL && !progress->paused;
}

bool raft_progress_is_full(const struct raft_progress *progress, uint32_t inflight_max)
{
    return progress->inflight_count >= inflight_max;
}

void raft_progress_sent(struct raft_progress *progress, size_t count, uint64_t commit,
                        uint32_t inflight_max)
{
    if (progress->state == RAFT_REPLICATE) {
        if (count > 0) {
            assert(progress->inflight_count < RAFT_INFLIGHT_MAX);
            progress->next += count;
            uint32_t at = (progress->inflight_first + progress->inflight_count++);
            progress->inflight[at % RAFT_INFLIGHT_MAX] = progress->next - 1;
        }
        progress->paused = raft_progress_is_full(progress, inflight_max);
    } else if (count > 0) {
        progress->paused = true;
    }
    progress->sent_commit = commit;
}

static void free_inflight(struct raft_progress *progress, uint64_t index)
{
    while (progress->inflight_count > 0 && progress->inflight[progress->inflight_first] <= index) {
        progress->inflight_first = (progress->inflight_first + 1) % RAFT_INFLIGHT_MAX;
        progress->inflight_count--;
    }
}

bool raft_progress_acknowledge(struct raft_progress *progress, uint64_t index)
{
    if (index <= progress->match)
        return false;
    progress->match = index;
    if (progress->next <= index)
        progress->next = index + 1;
    progress->paused = false;
    free_inflight(progress, index);
    return true;
}

/* A follower that refuses what it acknowledged has lost its disk's end. It gets one append a
 * heartbeat: to answer at once would go on as fast as the two can. */
bool raft_progress_step_back(struct raft_progress *progress, uint64_t rejected, uint64_t hint)
{
    if (rejected <= progress->match)
        return false;
    if (progress->state == RAFT_REPLICATE) {
        progress->next = progress->match + 1;
    } else {
        if (progress->next - 1 != rejected)
            return false;
        uint64_t next = smaller(rejected, hint + 1);
        progress->next = next > progress->match ? next : progress->match + 1;
        progress->paused = false;
    }
    progress->sent_commit = smaller(progress->sent_commit, progress->next - 1);
    return true;
}

bool raft_progress_wants_commit(const struct raft_progress *progress, uint64_t commit)
{
    return commit > progress->sent_commit && progress->sent_commit < progress->next - 1;
}
