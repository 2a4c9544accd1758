/* Who pulls an image from its registry, when several peers are asked to deploy it at once.
 *
 * Each says by gossip that it means to, while it waits for the image's name to be heard of; then
 * the one with the smallest id does, and says so, and the others wait for it.
 */
#pragma once

#include "node/control/agent.h"

/* Says that this peer means to pull the image of that name, or that it does; the word spreads with
 * the next steps. */
int agent_publish_pull(struct agent *agent, int64_t now_ms, const char *reference, bool has_begun);
int agent_withdraw_pull(struct agent *agent, int64_t now_ms, const char *reference);

/* Whether another peer that lives pulls it, or means to and comes first. */
bool agent_pull_is_others(const struct agent *agent, const char *reference);
