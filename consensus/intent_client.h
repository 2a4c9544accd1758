/* Who proposed what last, and what came of it: by this a command that was proposed twice is applied
 * once (docs/decisions/applied-once.md).
 *
 * A client has one command under way at a time and numbers them, so its last one is all there is
 * to remember of it. Of clients, the latest are remembered; a command of any other counts only if
 * it was first proposed after all that was forgotten.
 */
#pragma once

#include <stdbool.h>

#include "consensus/intent_apply.h"

/* Whether the command is not to be applied: `apply->result` is its answer then, the one that it had
 * before, or why it can't be given. */
bool intent_client_answers(struct intent_apply *apply);

/* Remembers what the command came to: `code` and the rest of `apply->result`. Returns `code`, or
 * -ENOMEM. */
int intent_client_remember(struct intent_apply *apply, int code);

void intent_client_free(struct intent_client *client);

/* All of them, as the intent's bytes hold them. */
void intent_clients_write(struct writer *writer, const struct intent *intent);
void intent_clients_read(struct reader *reader, struct intent *intent);
