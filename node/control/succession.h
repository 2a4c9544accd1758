/* Whom a peer outside of Raft believes: only who votes, and voters change.
 *
 * A leader seals each change of the configuration that it proposes: it signs the configuration to
 * come, its log index, and the index of the change before. The seal travels in the entry and stays
 * in the intent (struct intent_succession). So a peer that knows who voted at some time can follow,
 * change by change, to who votes now, also when all of them are others: each change is vouched for
 * by one who voted before it. Whom to believe at first comes with the answer to its join
 * (docs/decisions/feed-head.md).
 *
 * A recovery (docs/decisions/recover.md) is such a change, too: it begins an epoch with one voter.
 * Its seal counts if it is the cluster's root key's, an admin's, or that of one who voted before
 * it.
 */
#pragma once

#include <stdint.h>

#include "consensus/intent.h"
#include "consensus/raft_configuration.h"
#include "gossip/identity.h"

/* Seals `changes` of the intent's configuration, which are to become the entry `index`. -EINVAL or
 * -E2BIG if they are not possible there; -ENOMEM. */
int succession_seal(const struct intent *intent, uint64_t index, const struct identity *identity,
                    struct raft_changes *changes);

/* Seals the recovery that begins `epoch` with `voter` alone: with a voter's key, an admin's or the
 * cluster's own. -ENOMEM. */
int succession_recovery_seal(const struct id *cluster, uint64_t epoch, const struct id *voter,
                             const struct identity *identity, struct raft_seal *ret);

/* Whether those who believe `known` will believe the recovery that follows it with `voter` alone.
 * 0; -EKEYREJECTED: it was not sealed by one who may, or not with that key; -ENOMEM. */
int succession_recovery_check(const struct intent *known, const struct id *voter,
                              const struct raft_seal *seal);

/* Whether `signer` may speak for the intent, as that stands: it votes and was not revoked. */
bool succession_may_sign(const struct intent *intent, const struct id *signer);

/* Follows a line of changes from the configuration that `known` has, passing over those that made
 * it; all the configurations in between must be given. 0, and the last configuration, with the log
 * index of its change; -EKEYREJECTED: one is not sealed by who voted before, or leads elsewhere;
 * -ESTALE: the line does not reach back so far; -ENOMEM. */
int succession_follow(const struct intent *known, const struct intent_succession *line,
                      size_t count, struct raft_configuration *ret, uint64_t *ret_index);

/* Whether `newer`, under a head of `signer`, is to be believed by one who believes `known`. 0;
 * -EKEYREJECTED: it is not; -ESTALE: `known` is so old that `newer` no longer says how the voters
 * changed since; -ENOMEM. */
int succession_check(const struct intent *known, const struct intent *newer,
                     const struct id *signer);
