/* What must hold whatever the attacker does. The first rule that is broken ends the run.
 *
 * - A payload is delivered only if the peer whose session it came by has sealed it for this one,
 *   unchanged, and once; but a first packet's once in each life of the receiver. None of an
 *   earlier life of its sender is taken after one of a later life, and first packets only in
 *   their order.
 * - What is refused is answered with no more bytes than it has, and nothing goes to an address that
 *   is no peer's beyond what came from there, before a packet from there was authentic.
 * - What a victim gets at once as an answer is no more than what seemed to come from it. Outcomes
 * of probes that it seemed to ask for (no, and yes after all) come later, and are no more than that
 *   again. Of questions whether a peer is there now it gets two a second of each peer at most.
 * - No peer that runs is held dead, unless the attacker kept everything from it (or from the
 *   observer) not long ago; and one that is down for RULES_DEATH_MS is held dead by all others.
 * - Sessions are remembered of the fleet's peers only, within a fixed size.
 */
#pragma once

#include "tests/sim/sealed/world.h"

enum {
    RULES_DEATH_MS = 12000, /* after which a death is known, under attack */
    RULES_GRACE_MS = 8000,  /* for verdicts that began before an isolation or a life ended */
    RULES_LOOK_MS = 100,
};

/* Notes the first rule that was broken. */
void rules_broken(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A payload is about to be sealed: returns its serial number. */
uint64_t rules_sealing(struct world *world, unsigned from, unsigned to, struct bytes payload);
void rules_sealed(struct world *world, uint64_t serial, uint8_t type);

/* A peer sends a datagram. */
void rules_emit(struct world *world, const struct world_peer *peer, const struct address *to,
                size_t size);

/* It was handed one, and what came of it, before anything is done with it. */
void rules_begin(struct world *world, const struct world_peer *peer,
                 const struct world_datagram *datagram);
void rules_opened(struct world *world, struct world_peer *peer,
                  const struct world_datagram *datagram, const struct sessions_opened *opened);
void rules_end(struct world *world, const struct world_peer *peer,
               const struct sessions_opened *opened);

void rules_event(struct world *world, const struct world_peer *peer,
                 const struct swim_event *event);

/* Looks at all peers; called each RULES_LOOK_MS. */
void rules_look(struct world *world);

/* Whether all that run see all others as they are, where they are, and nobody else. */
bool rules_all_well(const struct world *world);

void rules_done(struct world *world);
