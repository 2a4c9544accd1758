/* From the names of images in specs to digests: what is deployed is pinned, so that every replica
 * of a revision is of the same bytes, wherever the name points later.
 *
 * Names are gossip (each peer says what it imported and under which names), and gossip may be a
 * moment behind: an image imported at one peer and deployed through another is waited for. A name
 * whose importer is gone means what it meant in the newest revision that used it. What no peer has
 * is pulled from its registry, here; the others get it from here.
 */
#pragma once

#include "node/api/describe.h"

/* Resolves the images of the `spec_count` specs of `*command`, waiting a little for names that are
 * not known yet, then proposes it; `callback` gets the call. Answers the call if it can't be. Takes
 * over what `*command` owns, which the caller must not use any more; `specs` points into that. */
void propose_resolved(struct api_call *call, struct command *command, struct service_spec *specs,
                      size_t spec_count, proposal_callback *callback);

/* Resolves what the names mean by what is known now: nothing is waited for, and nothing pulled.
 * Images that no live peer has stay without a digest, and are added to `ret_missing`, each once;
 * -EINVAL with words for one that has no good name, or -ENOMEM. */
int resolve_now(const struct peer *peer, struct service_spec *specs, size_t spec_count,
                struct text_list *ret_missing, struct error *error);
