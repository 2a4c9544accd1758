/* Commands that come once more, late: the newest that machines proposed, with what each was
 * answered. A copy of one changes nothing, and gets the same answer, or none any more.
 */
#pragma once

#include "base/buffer.h"
#include "consensus/intent.h"

struct cluster;

enum {
    COPIES_MAX = 64,
};

struct copy {
    struct buffer command;
    struct intent_result answer;
    bool is_decided; /* for good: else nobody knows what came of it */
};

struct copies {
    struct copy items[COPIES_MAX]; /* a ring */
    size_t next;
};

void copies_done(struct copies *copies);
void copies_keep(struct copies *copies, struct bytes command, const struct intent_result *answer);

/* Sends the one that was kept `age` before the newest (modulo how many there are) once more, by way
 * of machine `via`; fails the cluster if it is answered otherwise than at first. */
void cluster_send_copy(struct cluster *c, unsigned via, size_t age);
