/* What the leader knows about one follower, and how fast it may send to it.
 *
 * A follower is probed, one append at a time, until the place where the logs meet is found; then
 * appends are streamed, up to a number unacknowledged; a follower that needs entries that were
 * discarded gets a snapshot and nothing else meanwhile.
 */
#pragma once

#include "consensus/raft.h"

struct raft_progress {
    enum raft_progress_state state;
    uint64_t match;            /* the follower holds the leader's log up to here */
    uint64_t next;             /* the next entry to send, > match */
    uint64_t sent_commit;      /* the highest commit index that was sent */
    uint64_t snapshot_index;   /* of what is installed */
    int64_t snapshot_moved_ms; /* when that began, or was last acknowledged to be further */
    size_t chunk_held;         /* of its bytes, as the follower says */
    size_t chunk_next;         /* the next byte to send */
    bool chunk_is_answered;    /* until then only one chunk is under way */
    bool chunk_was_resent;     /* the one behind what is held */
    bool paused;               /* until the next acknowledgement or heartbeat's reply */
    bool active;               /* was heard of since the last quorum check */
    bool is_new;               /* the next quorum check leaves it time to answer */
    bool was_active;           /* … between the two before */
    uint64_t round;            /* the last read round that it confirmed */
    int64_t loyal_ms;          /* when the last heartbeat that it answered was sent */
    uint32_t inflight_first;
    uint32_t inflight_count;
    uint64_t inflight[RAFT_INFLIGHT_MAX]; /* a ring: the last index of each append under way */
};

/* Begins at probing, with `next` as the next entry to send. */
void raft_progress_init(struct raft_progress *progress, uint64_t next);

void raft_progress_probe(struct raft_progress *progress);
void raft_progress_replicate(struct raft_progress *progress);
void raft_progress_install(struct raft_progress *progress, uint64_t snapshot_index, int64_t now_ms);

/* False while another append would be too many. */
bool raft_progress_may_send(const struct raft_progress *progress);
bool raft_progress_is_full(const struct raft_progress *progress, uint32_t inflight_max);

/* An append with `count` entries from `next` on and this commit index was sent. */
void raft_progress_sent(struct raft_progress *progress, size_t count, uint64_t commit,
                        uint32_t inflight_max);

/* The follower holds everything up to `index`; false if that is not news. */
bool raft_progress_acknowledge(struct raft_progress *progress, uint64_t index);

/* The follower refused the append behind `rejected` and holds nothing that matches above `hint`;
 * false if the refusal is out of date. */
bool raft_progress_step_back(struct raft_progress *progress, uint64_t rejected, uint64_t hint);

/* True if an append without entries would tell the follower of a higher commit index. */
bool raft_progress_wants_commit(const struct raft_progress *progress, uint64_t commit);
