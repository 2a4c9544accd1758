/* What must hold at every step of every machine, whatever fails:
 *
 *   - one leader a term, and a leader has every committed entry (Raft, §5.2, §5.4)
 *   - a peer gives one vote a term
 *   - logs that agree at an index agree before it; what was committed stays what it was
 *   - term, commit and applied index never go back; the term not below what is stored
 *   - intents at the same index are the same, by whatever way they came there
 *   - a consistent read shows all that was committed when it began (machine_reads.c)
 *   - a start goes on from where the feed's last stored write led
 *   - an exclusive replica runs once, in true time, and only what is duplicated has stand-ins
 */
#pragma once

#include "base/buffer.h"
#include "base/id.h"

struct cluster;
struct container;
struct invariants;
struct machine;

struct invariants *invariants_new(void);
void invariants_free(struct invariants *invariants);

/* The highest index that anybody knows to be committed. */
uint64_t invariants_committed(const struct cluster *cluster);

void invariants_started(struct cluster *cluster, const struct machine *machine);
/* The machine has another key from now on: it is another peer. */
void invariants_forget(struct cluster *cluster, const struct machine *machine);
void invariants_after_step(struct cluster *cluster, const struct machine *machine);
void invariants_message_sent(struct cluster *cluster, const struct machine *from,
                             const struct machine *to, uint8_t kind, struct bytes bytes);
void invariants_container_runs(struct cluster *cluster, const struct machine *machine,
                               const struct container *container);
