/* A peer whose key was stolen, on the fake network: what it can sign and send that the shipping
 * code never would. Its own swim instance runs on beside, unless the test stops it.
 */
#pragma once

#include "tests/unit/gossip/fake_network.h"

/* What to say in one packet. Facts are given away: they are released once it is written. */
struct thief_words {
    enum packet_kind kind;
    uint32_t sequence;
    const struct id *subject; /* or NULL */
    struct digest_entry digests[SWIM_PACKET_DIGESTS_MAX];
    size_t digest_count;
    struct fact *facts[SWIM_PACKET_FACTS_MAX];
    size_t fact_count;
};

/* Signs anything with the thief's key. */
struct fact *thief_sign(struct fake_network *net, size_t thief, const struct fact_view *view);

/* Accuses a member under the incarnation that `teller` holds of it, plus `ahead`. */
struct fact *thief_accusation(struct fake_network *net, size_t thief, size_t accused, size_t teller,
                              int64_t ahead);

/* A record of the thief's own. */
struct fact *thief_record(struct fake_network *net, size_t thief, uint64_t version, uint64_t sum,
                          const char *key, const char *value);

/* Delivers it now; what swim_step() returned. */
int thief_say(struct fake_network *net, size_t thief, size_t to, struct thief_words *words);

/* The same to all that run. */
void thief_say_to_all(struct fake_network *net, size_t thief, struct thief_words *words);

/* Accuses all others to all others, as each of those knows them now. */
void thief_accuses_all(struct fake_network *net, size_t thief);
