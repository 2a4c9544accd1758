/* A campaign: peers come up, an attacker does its tricks while peers die, restart and rekey, then
 * it is calm, and all must be well again. Everything follows from the seed.
 */
#pragma once

#include "tests/sim/sealed/attacker.h"
#include "tests/sim/sealed/world.h"

enum {
    CAMPAIGN_WARM_MS = 30000, /* until all peers see each other, at most */
    CAMPAIGN_CALM_MS = 40000, /* until all is well again, at most */
};

struct campaign_options {
    unsigned peers;
    unsigned tricks;   /* a set of 1 << enum attacker_trick, of which some are done at a time */
    int64_t attack_ms; /* how long it goes on */
    unsigned loss_permille;
    bool is_still;    /* no peer dies or restarts */
    bool all_at_once; /* all tricks, all the time */
    bool revokes;     /* half-way a peer is shut out */
    bool is_verbose;
};

struct campaign_outcome {
    bool has_passed;
    int64_t ended_ms;   /* of virtual time, from the start */
    int64_t settled_ms; /* after the attack, until all was well */
    uint64_t trace;
    struct world_counters counters;
    uint64_t trick_counts[TRICK_COUNT];
    uint64_t cookies_used;
    char failure[WORLD_FAILURE_BYTES];
};

struct campaign_options campaign_defaults(void);
void campaign_run(uint64_t seed, const struct campaign_options *options,
                  struct campaign_outcome *ret);
