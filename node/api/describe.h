/* What methods have in common: finding things by the names that people use, and describing them. */
#pragma once

#include "node/api/call.h"
#include "node/peer/proposals.h"

/* Proposes for the call, in its actor's name; `callback` gets the call. */
void propose_for(struct api_call *call, struct command *command, proposal_callback *callback);

/* A service by its full name, or by its name within a stack if only one has it; NULL. */
const struct intent_service *find_service(const struct peer *peer, const char *name);

/* A replica by "service.slot" (the one that serves, else the newest) or container id; NULL. */
const struct intent_replica *find_replica(const struct peer *peer, const char *name);

/* What a call's parameter "peer", "service" or "subject" (a service or a replica) names: as above,
 * and a peer by its name or by at least 12 digits of its id. NULL once the call was failed because
 * there is none. */
const struct intent_peer *wanted_peer(struct api_call *call, struct bytes params);
const struct intent_peer *peer_of_param(struct api_call *call, struct bytes params,
                                        const char *key);
const struct intent_service *wanted_service(struct api_call *call, struct bytes params);
const struct intent_service *wanted_subject(struct api_call *call, struct bytes params,
                                            const struct intent_replica **ret_replica);

/* As wanted_service; the full name is copied too, for a command. */
const struct intent_service *named_service(struct api_call *call, struct bytes params,
                                           char ret_name[INTENT_SERVICE_NAME_BYTES_MAX + 1]);

/* Writes docs/api.md's "replica" map. */
void put_replica(struct writer *writer, const struct peer *peer,
                 const struct intent_replica *replica);

/* Writes a list of those that belong to a service and are placed at a peer; NULL: to any. */
void put_replicas(struct writer *writer, const struct peer *peer, const char *service,
                  const struct id *at);

/* Writes docs/api.md's "peer" map, and `more` keys that the caller writes then. */
void put_peer(struct writer *writer, const struct peer *peer, const struct intent_peer *known,
              size_t more);

/* The same for docs/api.md's "service". */
void put_service(struct writer *writer, const struct peer *peer,
                 const struct intent_service *service, size_t more);

/* "alive" …, as docs/api.md lists them. */
const char *peer_state_text(const struct peer *peer, const struct intent_peer *known);

/* Sends the call a note `event` for each event after that index; returns the index of the last. */
uint64_t note_newer_events(struct api_call *call, uint64_t last_index);

/* How many of a service's wanted replicas serve. */
uint32_t count_serving(const struct peer *peer, const struct intent_service *service);

/* How many a service wants; in global mode, as many as are placed. */
uint32_t count_wanted(const struct peer *peer, const struct intent_service *service);
