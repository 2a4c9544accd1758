/* Who must hold the key of which secret: who takes part in Raft (the leader seals it to others, and
 * whoever votes may lead), each peer that a replica which shows the secret is placed on, and in
 * small fleets each that may run one in another's place (stand_in.h).
 *
 * The leader sees to it. A secret that is not sealed to the leader (which is new to Raft, or the
 * voter of a recovery) is the duty of the first live peer that it is sealed to.
 */
#pragma once

#include <stddef.h>

#include "consensus/intent.h"
#include "node/control/view.h"

struct holders_change {
    const struct intent_blob *blob; /* borrowed from the intent */
    struct id peer;
    bool drops; /* it needs it no more */
};

/* Fills in what `self` shall have changed, at most `max`, and returns how many. A key that a peer
 * does not need any more is dropped once no service that shows the secret is being rolled out. */
size_t holders_changes(const struct intent *intent, const struct view *view,
                       const struct id *leader, const struct id *self, struct holders_change *ret,
                       size_t max);

/* Whether a secret that the spec shows is not sealed to the peer yet; `ret_words` says which. */
bool holders_waits(const struct intent *intent, const struct id *peer,
                   const struct service_spec *spec, char *ret_words, size_t size);

/* Whether some secret is sealed to that peer alone. */
bool holders_is_last(const struct intent *intent, const struct id *peer);
