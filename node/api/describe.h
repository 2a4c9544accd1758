/* What methods have in common: finding things by the names that people use, and describing them. */
#pragma once

#include "node/api/call.h"
#include "node/peer/proposals.h"

/* Proposes for the call, in its actor's name; `callback` gets the call. */
void propose_for(struct api_call *call, struct command *command, proposal_callback *callback);

/* A peer by its name, or by at least 12 digits of its id; NULL. */
const struct intent_peer *find_peer(const struct peer *peer, const char *name_or_id);

/* A service by its full name, or by its name within a stack if only one has it; NULL. */
const struct intent_service *find_service(const struct peer *peer, const char *name);

/* A replica by "service.slot" (the one that serves, else the newest) or container id; NULL. */
const struct intent_replica *find_replica(const struct peer *peer, const char *name);

/* Writes docs/api.md's "replica" map. */
void put_replica(struct writer *writer, const struct peer *peer,
                 const struct intent_replica *replica);

/* How many of a service's wanted replicas serve. */
uint32_t count_serving(const struct peer *peer, const struct intent_service *service);

/* How many a service wants; in global mode, as many as are placed. */
uint32_t count_wanted(const struct peer *peer, const struct intent_service *service);
