/* Network faults made on purpose, for tests on real peers: packets dropped at random, addresses cut
 * off. One instance a process, shared by packets (udp.c) and links (link.c), set from the
 * environment or by a debug call of the API.
 *
 * A dropped packet is gone. Links never lose single bytes, as TCP does not; a cut makes a link a
 * black hole: nothing is read from it or written to it until it is healed, or found to be dead.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/random.h"
#include "node/bounds.h"

enum {
    FAULT_WHOLE = 1000, /* drop_per_mille of this drops everything */
};

struct fault {
    struct random random;
    unsigned drop_per_mille;
    struct address cuts[FAULT_CUTS_MAX]; /* port 0: any port of that IP */
    size_t cut_count;
};

/* No faults yet; `seed` is for what is dropped. */
void fault_init(struct fault *fault, uint64_t seed);

/* Parses "drop=20,cut=10.0.0.3,cut=10.0.0.4:7300" (per mille; comma-separated; "" is no fault) over
 * what is set already. -EINVAL with words in `error`, and no change. */
int fault_parse(struct fault *fault, const char *text, struct error *error);

void fault_set_drop(struct fault *fault, unsigned per_mille);

/* -ENOSPC beyond FAULT_CUTS_MAX; cutting twice is one cut. */
int fault_cut(struct fault *fault, const struct address *address);
void fault_heal(struct fault *fault, const struct address *address);
void fault_heal_all(struct fault *fault);

/* True if nothing may pass to or from that address. A NULL fault cuts nothing. */
bool fault_is_cut(const struct fault *fault, const struct address *address);

/* True if the packet at hand is to be lost: its address is cut, or the dice say so. */
bool fault_drops(struct fault *fault, const struct address *address);
