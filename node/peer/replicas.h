/* This peer's own replicas: what the intent wants here, made true by the runtime, and told to
 * others.
 *
 *     wanted and not there    fetch the image, start the container
 *     there and not wanted    stop it, remove it
 *
 * Containers carry their generation in their id ("hello_web.2.17"), so after a restart each is
 * known again, and one that the intent no longer knows is removed. Nothing is stopped because
 * control was lost: an intent that can't be updated goes on wanting what it wanted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "consensus/intent.h"
#include "runtime/runtime.h"

struct peer;
struct replicas;

/* NULL when there is no memory. */
struct replicas *replicas_new(struct peer *peer);
void replicas_free(struct replicas *replicas);

/* What is wanted may have changed; looked at from the loop, soon. Accepts NULL. */
void replicas_changed(struct replicas *replicas);

/* The runtime reports a container of this peer. */
void replicas_status(struct replicas *replicas, const struct container_status *status);

/* Every address of a container here whose replica the intent knows (port 0), with the network that
 * it is in ("": the machine's own). The generation is 0 where nothing was started yet. The first of
 * a replica's is where it takes connections that come over no network. */
void replicas_each_address(const struct replicas *replicas,
                           void (*each)(void *context, uint64_t generation, const char *service,
                                        const char *network, const struct address *address),
                           void *context);

/* How many containers are here, or still being fetched for or removed. */
size_t replicas_count(const struct replicas *replicas);

/* What was read of the container of that replica, if it is this peer's; NULL: nothing. */
const struct container_stats *replicas_stats(const struct replicas *replicas,
                                             const struct intent_replica *replica,
                                             const struct stats_entry *entries, size_t count);

/* The generation in a container's id; 0 if there is none. */
uint64_t replicas_generation_of(const char *container_id);

/* The id of the container of a replica that is here; false if it is not. */
bool replicas_container_id(const struct replicas *replicas, uint64_t generation,
                           char ret[RUNTIME_ID_BYTES_MAX + 1]);
