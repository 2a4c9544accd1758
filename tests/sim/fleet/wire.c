#include "tests/sim/fleet/wire.h"

#include <stdlib.h>

#include "gossip/bounds.h"

enum {
    WIRE_UDP_BYTES = 28, /* IPv4 and UDP */
    /* A segment of TCP holds 1,448 bytes behind 52 of headers; each second one is acknowledged. */
    WIRE_SEGMENT_BYTES = 1448,
    WIRE_SEGMENT_OVERHEAD_BYTES = 52 + 52 / 2,
    WIRE_RECORD_BYTES = 40, /* around each message: the link's record, and the stream's frame */
    /* Opening a connection and ending it: seven bare segments of TCP, and the three parts of the
     * handshake with a certificate of each side. */
    WIRE_CONNECTION_BYTES = 7 * 52 + 800,
    WIRE_LINK_IDLE_MS = 60 * 1000, /* LINKS_IDLE_MS: links that are idle for so long are closed */
    WIRE_LINKS_MIN = 1024,         /* a power of two */
};

/* Two peers that have, or had, a connection. */
struct fleet_link {
    uint64_t pair; /* both numbers, and one more, so that 0 is none */
    int64_t used_ms;
};

static struct fleet_link *find(struct fleet_link *links, size_t capacity, uint64_t pair)
{
    size_t index = (size_t)(pair * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (capacity - 1);
    while (links[index].pair != 0 && links[index].pair != pair)
        index = (index + 1) & (capacity - 1);
    return &links[index];
}

/* Makes room, leaving out the links that have been closed. */
static void rebuild(struct fleet *fleet)
{
    size_t open_count = 0, capacity = WIRE_LINKS_MIN;
    int64_t oldest_ms = fleet->timeline.now_ms - WIRE_LINK_IDLE_MS;
    for (size_t i = 0; i < fleet->link_capacity; i++)
        open_count += fleet->links[i].pair != 0 && fleet->links[i].used_ms > oldest_ms;
    while (capacity < 4 * open_count)
        capacity *= 2;
    struct fleet_link *links = sim_allocate(capacity * sizeof(*links));
    for (size_t i = 0; i < fleet->link_capacity; i++)
        if (fleet->links[i].pair != 0 && fleet->links[i].used_ms > oldest_ms)
            *find(links, capacity, fleet->links[i].pair) = fleet->links[i];
    free(fleet->links);
    fleet->links = links;
    fleet->link_count = open_count;
    fleet->link_capacity = capacity;
}

/* Whether the two have a connection; from now on they do. */
static bool is_linked(struct fleet *fleet, const struct fleet_message *message)
{
    bool ascends = message->from < message->to;
    uint64_t low = ascends ? message->from : message->to;
    uint64_t high = ascends ? message->to : message->from;
    if (2 * (fleet->link_count + 1) > fleet->link_capacity)
        rebuild(fleet);
    struct fleet_link *link = find(fleet->links, fleet->link_capacity, (low << 32 | high) + 1);
    bool was_open = link->pair != 0 && fleet->timeline.now_ms - link->used_ms < WIRE_LINK_IDLE_MS;
    if (link->pair == 0)
        fleet->link_count++;
    *link = (struct fleet_link){(low << 32 | high) + 1, fleet->timeline.now_ms};
    return was_open;
}

void wire_count(struct fleet *fleet, const struct fleet_message *message)
{
    struct fleet_traffic *traffic = &fleet->peers[message->from].traffic;
    if (!message->is_stream) {
        traffic->packets++;
        traffic->packet_bytes += message->size + SESSION_DATA_OVERHEAD_BYTES + WIRE_UDP_BYTES;
        return;
    }
    uint64_t bytes = message->size + WIRE_RECORD_BYTES;
    bytes += (bytes + WIRE_SEGMENT_BYTES - 1) / WIRE_SEGMENT_BYTES * WIRE_SEGMENT_OVERHEAD_BYTES;
    if (!is_linked(fleet, message))
        bytes += WIRE_CONNECTION_BYTES;
    traffic->streams++;
    traffic->stream_bytes += bytes;
}
