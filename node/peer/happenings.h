/* What this peer saw happen that was not agreed on, and so is in no intent: the latest of it, for
 * `consort events`. Forgotten when the daemon ends. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bounds.h"
#include "consensus/bounds.h"
#include "node/control/bounds.h"

enum {
    HAPPENINGS_MAX = 64,
};

struct happening {
    uint64_t number; /* 1, 2, … */
    int64_t wall_ms;
    char subject[INTENT_SERVICE_NAME_BYTES_MAX + 16]; /* "hello_web.2" */
    char text[BASE_NAME_BYTES_MAX + AGENT_EVENT_TEXT_BYTES_MAX + 8];
};

struct happenings { /* begins as zeros */
    struct happening items[HAPPENINGS_MAX];
    uint64_t count; /* of all that ever happened */
};

/* The next one, for the caller to fill in; number and time are. */
struct happening *happenings_add(struct happenings *happenings, int64_t wall_ms);

/* The first one that is kept and has a greater number; NULL: there is none. */
const struct happening *happenings_after(const struct happenings *happenings, uint64_t number);
