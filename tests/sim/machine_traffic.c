/* What machines send and get, and what that takes: for tests that bound it. */
#include <time.h>

#include "tests/sim/machine.h"

void machine_count(struct machine_traffic *traffic, uint8_t kind, size_t size)
{
    bool is_feed = kind == AGENT_FEED_PULL || kind == AGENT_FEED_PUSH;
    traffic->count++;
    traffic->bytes += size;
    traffic->feed_count += is_feed;
    traffic->feed_bytes += is_feed ? size : 0;
}

uint64_t machine_processor_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
