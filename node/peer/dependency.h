/* Whether a replica may start: what its service depends on is as far as it must be, as far as this
 * peer has heard. Nobody decides that for the fleet, so it works without a leader too.
 */
#pragma once

#include "consensus/intent.h"
#include "node/control/view.h"

enum { DEPENDENCY_WORDS_BYTES = 256 };

/* True if `spec`, a service of that stack, waits for another, which `ret_words` then says. A
 * service that was removed is not waited for. */
bool dependency_waits(const struct intent *intent, const struct view *view, const char *stack,
                      const struct service_spec *spec, char ret_words[DEPENDENCY_WORDS_BYTES]);
