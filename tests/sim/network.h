/* The wire between machines: packets, which may be lost, doubled and overtaken, and messages on
 * ordered links (node/transport/links.h), which may be late, and are lost when a link breaks.
 *
 * It knows machines by number only. Who gets a message that has arrived, and whether anybody is
 * there, the receiver's `deliver` says.
 */
#pragma once

#include "base/buffer.h"
#include "base/id.h"
#include "base/random.h"
#include "tests/sim/timeline.h"

enum {
    SIM_MACHINES_MAX = 1024,
    SIM_PERMILLE = 1000,
};

struct network_message {
    unsigned from, to;
    struct id from_id, to_id; /* the keys that the two had when it was sent */
    uint8_t kind;             /* 0: a packet, else an enum agent_message_kind */
    uint64_t to_epoch;        /* the receiver's run that it is meant for; links end with a run */
    unsigned tries;
    size_t size;
    uint8_t bytes[];
};

enum network_verdict {
    NETWORK_TAKEN,
    NETWORK_ABSENT, /* nobody is there now */
    NETWORK_FROZEN, /* whoever is there does not run now */
};

/* From one machine to another. */
struct way {
    bool is_cut;
    int64_t link_ms; /* the last arrival on the link */
};

/* How bad it is: chances in thousands, times in ms. */
struct network_weather {
    unsigned loss, duplicate, reorder;
    int64_t delay_min_ms, delay_max_ms;
};

struct network {
    struct timeline *timeline;
    struct random random;
    struct network_weather weather;
    unsigned count;
    struct way *ways;      /* count * count of them: from, to */
    bool *packets_blocked; /* to and from it; links pass */
    uint64_t sent, lost;
    void *context;
    /* The message is borrowed. */
    enum network_verdict (*deliver)(void *context, const struct network_message *message);
    uint64_t (*epoch_of)(void *context, unsigned machine); /* 0: is not there */
};

/* Calm weather: a LAN. */
struct network_weather network_calm(void);

void network_init(struct network *network, struct timeline *timeline, unsigned count,
                  uint64_t seed);
void network_done(struct network *network);

/* Borrowed. */
struct way *network_way(struct network *network, unsigned from, unsigned to);
/* Sends a copy of the bytes; of `address`, all but the size and the bytes are looked at. */
void network_send(struct network *network, const struct network_message *address,
                  struct bytes bytes);
