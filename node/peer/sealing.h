/* This peer's part in who can read which secret: it opens those that are sealed to it, for its own
 * containers, and seals their keys to others where that is its duty (node/control/holders.h).
 */
#pragma once

#include "base/error.h"
#include "runtime/secrets.h"

struct peer;
struct sealing;

struct sealing *sealing_new(struct peer *peer);
void sealing_free(struct sealing *sealing);

/* The intent, the leader or who lives has changed: looks soon. */
void sealing_changed(struct sealing *sealing);

/* What is in a secret, with the peer as the context: see secret_source in runtime/secrets.h. Needs
 * nothing but what this peer has stored. */
int sealing_reveal(void *context, const char *name, uint64_t version, struct buffer *ret,
                   struct error *error);
