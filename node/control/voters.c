#include "node/control/voters.h"

#include <stdio.h>
#include <string.h>

/* The lower, the sooner chosen. Who is dead now and does not vote gets no vote. */
enum tier {
    TIER_VOTER,
    TIER_SETTLED,
    TIER_FULL_VOTER,
    TIER_NEW,
    TIER_LITTLE_ROOM,
    TIER_FULL,
    TIER_SLOW,
    TIER_DEAD_VOTER,
    TIER_NEVER,
};

enum {
    RTT_SHIFT = 10, /* round trips count in classes: up to 1, 2, 4, … ms */
};

size_t voters_target(size_t active_count, size_t voters_max)
{
    size_t target = active_count % 2 == 1 || active_count == 0 ? active_count : active_count - 1;
    return target < voters_max ? target : voters_max;
}

static bool has_mib(uint64_t bytes, uint64_t mib)
{
    return bytes >> 20 >= mib;
}

bool voters_disk_is_full(uint64_t free_bytes)
{
    return !has_mib(free_bytes, VOTERS_DISK_FULL_MIB);
}

/* What is not known says nothing against a peer. */
static bool is_full(const struct voter_candidate *candidate)
{
    return candidate->has_disk && voters_disk_is_full(candidate->disk_free_bytes);
}

/* More than a voter must have: so no vote goes to and fro with some MiB. */
static bool has_little_room(const struct voter_candidate *candidate)
{
    return candidate->has_disk && !has_mib(candidate->disk_free_bytes, VOTERS_DISK_ENOUGH_MIB);
}

static enum tier tier_of(const struct voter_candidate *candidate)
{
    if (candidate->votes && candidate->is_dead_for_long)
        return TIER_DEAD_VOTER;
    if (candidate->votes)
        return is_full(candidate) ? TIER_FULL_VOTER : TIER_VOTER;
    if (!candidate->is_alive)
        return TIER_NEVER;
    if (candidate->is_slow)
        return TIER_SLOW;
    if (has_little_room(candidate))
        return is_full(candidate) ? TIER_FULL : TIER_LITTLE_ROOM;
    return candidate->is_settled ? TIER_SETTLED : TIER_NEW;
}

/* What is not known yet counts as near: it says nothing against a peer. */
static unsigned rtt_class(const struct voter_candidate *candidate)
{
    unsigned class = 0;
    for (uint32_t rest = candidate->rtt_us >> RTT_SHIFT; rest > 0; rest >>= 1)
        class ++;
    return class;
}

static bool is_in_zone(const struct voter_candidate *candidate, const char *zone)
{
    return zone[0] != '\0' && strcmp(candidate->zone, zone) == 0;
}

static size_t chosen_in_zone(const struct voter_candidate *candidates, size_t count,
                             const char *zone)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += candidates[i].is_chosen && is_in_zone(&candidates[i], zone);
    return found;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Negative if `a` is to be chosen before `b`, as far as others are chosen already. */
static int compare(const struct voter_candidate *candidates, size_t count,
                   const struct voter_candidate *a, const struct voter_candidate *b)
{
    int order = compare_u64(tier_of(a), tier_of(b));
    if (order == 0)
        order = compare_u64(!a->is_chooser, !b->is_chooser);
    if (order == 0)
        order = compare_u64(!a->is_alive, !b->is_alive);
    if (order == 0)
        order = compare_u64(!a->has_log, !b->has_log);
    if (order == 0)
        order = compare_u64(!a->is_learner, !b->is_learner);
    if (order == 0)
        order = compare_u64(chosen_in_zone(candidates, count, a->zone),
                            chosen_in_zone(candidates, count, b->zone));
    if (order == 0)
        order = compare_u64(!a->is_settled, !b->is_settled);
    if (order == 0)
        order = compare_u64(rtt_class(a), rtt_class(b));
    if (order == 0)
        order = compare_u64(a->admitted_index, b->admitted_index);
    return order != 0 ? order : id_compare(&a->id, &b->id);
}

/* The best that is not chosen yet; NULL if there is none that may be. */
static struct voter_candidate *best_of(struct voter_candidate *candidates, size_t count)
{
    struct voter_candidate *best = NULL;
    for (size_t i = 0; i < count; i++) {
        struct voter_candidate *candidate = &candidates[i];
        if (!candidate->is_chosen && tier_of(candidate) != TIER_NEVER &&
            (!best || compare(candidates, count, candidate, best) < 0))
            best = candidate;
    }
    return best;
}

/* The one to give way: of a zone that has so many voters that its loss alone is the loss of the
 * quorum. The last that would have been chosen, and never the chooser. */
static struct voter_candidate *find_crowded(struct voter_candidate *candidates, size_t count,
                                            size_t chosen)
{
    struct voter_candidate *worst = NULL;
    for (size_t i = 0; i < count; i++) {
        struct voter_candidate *candidate = &candidates[i];
        if (candidate->is_chosen && !candidate->is_chooser &&
            2 * chosen_in_zone(candidates, count, candidate->zone) > chosen &&
            (!worst || compare(candidates, count, candidate, worst) > 0))
            worst = candidate;
    }
    return worst;
}

/* A peer with a zone that gains by the move: after it, its own must not be what that one was. */
static struct voter_candidate *find_elsewhere(struct voter_candidate *candidates, size_t count,
                                              const struct voter_candidate *crowded)
{
    struct voter_candidate *best = NULL;
    size_t there = chosen_in_zone(candidates, count, crowded->zone);
    for (size_t i = 0; i < count; i++) {
        struct voter_candidate *candidate = &candidates[i];
        if (!candidate->is_chosen && candidate->zone[0] != '\0' &&
            tier_of(candidate) == TIER_SETTLED &&
            chosen_in_zone(candidates, count, candidate->zone) + 1 < there &&
            (!best || compare(candidates, count, candidate, best) < 0))
            best = candidate;
    }
    return best;
}

size_t voters_choose(struct voter_candidate *candidates, size_t count, size_t voters_max,
                     bool may_move, struct id ret[RAFT_MEMBERS_MAX], bool *ret_moves)
{
    size_t target = voters_target(count, voters_max), chosen = 0;
    struct voter_candidate *best, *crowded, *other = NULL;
    for (size_t i = 0; i < count; i++)
        candidates[i].is_chosen = false;
    for (; chosen < target && (best = best_of(candidates, count)); chosen++) {
        best->is_chosen = true;
        ret[chosen] = best->id;
    }
    crowded = may_move ? find_crowded(candidates, count, chosen) : NULL;
    if (crowded)
        other = find_elsewhere(candidates, count, crowded);
    for (size_t i = 0; other && i < chosen; i++)
        if (id_equal(&ret[i], &crowded->id))
            ret[i] = other->id;
    if (other) {
        crowded->is_chosen = false;
        other->is_chosen = true;
    }
    *ret_moves = other != NULL;
    return chosen;
}

static const char *why_not(const struct voter_candidate *candidate, size_t chosen,
                           size_t voters_max)
{
    if (!candidate->is_alive)
        return candidate->votes && !candidate->is_dead_for_long
                   ? "it does not answer, and there are enough voters without it"
                   : "it does not answer";
    if (candidate->is_slow)
        return "it does not get to have the log";
    if (is_full(candidate))
        return "the disk under its data directory is nearly full";
    if (has_little_room(candidate))
        return "the disk under its data directory has little room";
    if (!candidate->is_settled && chosen < voters_max)
        return "it has not been there for long";
    return chosen > 0 ? NULL : "nobody can vote";
}

void voters_reason(const struct voter_candidate *candidates, size_t count, size_t voters_max,
                   const struct id *id, char ret[VOTERS_REASON_BYTES_MAX + 1])
{
    const struct voter_candidate *candidate = NULL;
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        chosen += candidates[i].is_chosen;
        if (id_equal(&candidates[i].id, id))
            candidate = &candidates[i];
    }
    ret[0] = '\0';
    if (!candidate)
        return;
    size_t in_zone = chosen_in_zone(candidates, count, candidate->zone);
    const char *words = why_not(candidate, chosen, voters_max);
    const char *enough = chosen >= voters_max ? ", as many as consort cluster voters says" : "";
    if (candidate->is_chosen && candidate->votes)
        snprintf(ret, VOTERS_REASON_BYTES_MAX + 1, "%s",
                 candidate->is_dead_for_long ? "it is dead, and nobody is there to take its vote"
                 : is_full(candidate)
                     ? "its disk is nearly full, and nobody that is there for a while and has room "
                       "is there to take its vote"
                     : "who votes goes on while it is there");
    else if (candidate->is_chosen && is_full(candidate))
        snprintf(ret, VOTERS_REASON_BYTES_MAX + 1,
                 "it is chosen although its disk is nearly full: nobody else is there");
    else if (candidate->is_chosen)
        snprintf(ret, VOTERS_REASON_BYTES_MAX + 1, "it is chosen, and votes once it has the log");
    else if (words)
        snprintf(ret, VOTERS_REASON_BYTES_MAX + 1, "%s", words);
    else if (in_zone > 0)
        snprintf(ret, VOTERS_REASON_BYTES_MAX + 1, "%zu others vote%s, %zu of them in zone %s",
                 chosen, enough, in_zone, candidate->zone);
    else
        snprintf(ret, VOTERS_REASON_BYTES_MAX + 1,
                 "%zu others vote%s, and who votes goes on while it is there", chosen, enough);
}
