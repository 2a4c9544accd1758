/* What the kernel remembers of flows: where it sends the packets of one was decided by the first.
 */
#pragma once

#include <stdbool.h>

#include "base/address.h"

/* Forgets the flows of UDP to addresses for which `is_meant` says true (port 0), so that the next
 * packet of each is decided about anew. Connections of TCP stay as they are. Works in the calling
 * thread's network namespace; 0 or a negative errno. */
int conntrack_forget_udp(bool (*is_meant)(const void *context, const struct address *to),
                         const void *context);
