/* The leader's decisions: which replica runs where, and how rollouts proceed. Pure.
 *
 * control_step() compares the intent with what is observed and returns the commands to propose. The
 * agent calls it on the leader, whenever something changed and at the deadline that it returned,
 * and not again before the commands it proposed last are applied: so it always sees their effect.
 *
 *     control_step(control, intent, view, now_ms, wall_ms, &output);
 *     for each output command: propose it
 */
#pragma once

#include "base/id.h"
#include "consensus/command.h"
#include "consensus/intent.h"
#include "node/control/view.h"

struct control;

struct control_config {
    uint32_t exclusive_wait_ms; /* how long a dead peer's lease may still last: see agent_lease.c */
};

struct control_output {
    struct command *commands; /* owned by the output */
    size_t command_count;
    int64_t next_deadline_ms; /* INT64_MAX: only a change matters */
};

/* Volatile state of one leader's term: how long each peer has been dead, each replica been well,
 * each batch waited. A new leader starts afresh. */
struct control *control_new(const struct control_config *config);
void control_free(struct control *control);

/* -ENOMEM; `*ret` is untouched then. */
int control_step(struct control *control, const struct intent *intent, const struct view *view,
                 int64_t now_ms, int64_t wall_ms, struct control_output *ret);
void control_output_done(struct control_output *output);

/* Says for one service how it is, and what keeps it from being as wanted, replica by replica and
 * peer by peer: "hello_web.3 waits for a peer that may take it:", "  b needs 512M of memory, 200M
 * are free". Appends lines. -ENOENT, or -ENOMEM. */
int control_explain(const struct intent *intent, const struct view *view, const char *service,
                    struct buffer *ret);
