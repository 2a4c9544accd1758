/* Who shall vote: 1, 3, 5 or 7 of the active peers, by what gossip says of them. Pure, and the same
 * for the same facts; so any peer can say why a peer votes or not (voters_reason()).
 *
 * Who votes keeps its vote while it is there: a change of voters costs more than a slightly better
 * voter gains. Seats that are free go to peers that have been there for a while, from zones that
 * have the fewest voters, near in round trips; then to who has been in the cluster for longest. A
 * voter that lives loses its vote only when its disk is nearly full and another peer's is far from
 * it, or, at most once in a while (`may_move`), when its zone alone could stop the cluster and
 * another zone has a peer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "consensus/bounds.h"
#include "node/control/bounds.h"

/* An active peer, as whoever chooses sees it. */
struct voter_candidate {
    struct id id;
    uint64_t admitted_index;
    bool is_chooser; /* it leads: moving its vote costs a change of the leader */
    bool votes;
    bool is_alive;
    bool is_dead_for_long; /* for longer than a machine takes to restart */
    bool is_settled;       /* alive for so long that it does not come and go */
    bool has_log;          /* takes part in Raft, and lacks nothing worth waiting for */
    bool is_learner;       /* takes part, and is to vote once it has the log */
    bool is_slow;          /* a learner that should have had the log by now */
    uint32_t rtt_us;       /* 0: not known */
    bool has_disk;         /* it says how much room its data directory has: */
    uint64_t disk_free_bytes;
    char zone[VIEW_LABELS_BYTES_MAX + 1];

    bool is_chosen; /* by voters_choose() */
};

/* How many vote of so many active peers, if at most `voters_max` shall. Never an even number: the
 * loss of either of two would end all. */
size_t voters_target(size_t active_count, size_t voters_max);

/* Chooses among the candidates; `ret` names the chosen, best first, who is to lead at their head.
 * `*ret_moves` says that a living voter gives way for the sake of zones. Returns how many there
 * are.
 */
size_t voters_choose(struct voter_candidate *candidates, size_t count, size_t voters_max,
                     bool may_move, struct id ret[RAFT_MEMBERS_MAX], bool *ret_moves);

/* Whether a peer with so much room should not vote, if another can. */
bool voters_disk_is_full(uint64_t free_bytes);

/* Why that one is chosen or not, in words for people, after voters_choose() of these. */
void voters_reason(const struct voter_candidate *candidates, size_t count, size_t voters_max,
                   const struct id *id, char ret[VOTERS_REASON_BYTES_MAX + 1]);
