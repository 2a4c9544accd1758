/* What methods have in common: proposing, and describing things. Finding them is in find.h. */
#pragma once

#include "node/api/call.h"
#include "node/peer/proposals.h"

/* Proposes for the call, in its actor's name; `callback` gets the call. */
void propose_for(struct api_call *call, struct command *command, proposal_callback *callback);

/* Answers the call (`context` is it) with how its proposal was decided: with why it was refused, or
 * with {}, with `unchanged`, or with `unchanged` and one key more. */
void answer_done(void *context, const struct agent_result *decided);
void answer_unchanged(void *context, const struct agent_result *decided);
void answer_changed(struct api_call *call, const struct agent_result *decided, const char *key,
                    uint64_t value);

/* Whether it is up at a peer that is alive, and healthy. */
bool replica_serves(const struct peer *peer, const struct intent_replica *replica);

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

/* For how long it has been in that state; -1: nobody here knows. */
int64_t peer_state_ms(const struct peer *peer, const struct intent_peer *known);

/* How far a call was told what has happened; begins as zeros. */
struct event_cursor {
    uint64_t index;     /* of the log */
    uint64_t happening; /* see node/peer/happenings.h */
};

/* Sends the call a note `event` for each event that it was not told yet. */
void note_newer_events(struct api_call *call, struct event_cursor *cursor);

/* How many of a service's wanted replicas serve. */
uint32_t count_serving(const struct peer *peer, const struct intent_service *service);

/* How many a service wants; in global mode, as many as are placed. */
uint32_t count_wanted(const struct peer *peer, const struct intent_service *service);
