/* Finding things by the words that people use: a peer by its name or the beginning of its id, a
 * service by its name with or without its stack, a replica by its service and slot, a token.
 *
 * Nothing is guessed: where words mean several things, the error (-ENOTUNIQ) names them, and where
 * they mean none (-ENOENT), it says how to list what there is. `error` may be NULL.
 */
#pragma once

#include "node/api/call.h"
#include "runtime/bounds.h"

enum {
    FIND_ID_DIGITS_MIN = ID_SHORT_TEXT_BYTES - 1, /* of an id, that stand for the peer */
    FIND_LISTED_MAX = 4,                          /* of several things meant, that are named */
};

/* A peer or operator by its name: among several, the one that belongs to the cluster. Or by at
 * least FIND_ID_DIGITS_MIN digits of its id. */
const struct intent_peer *find_peer(const struct intent *intent, const char *words,
                                    struct error *error);

/* A service by its full name, or by its name within a stack. */
const struct intent_service *find_service(const struct peer *peer, const char *words,
                                          struct error *error);

/* A replica by "service.slot" (the one that serves, else the newest) or container id. */
const struct intent_replica *find_replica(const struct peer *peer, const char *words,
                                          struct error *error);

/* A token by how its id begins. */
const struct intent_token *find_token(const struct intent *intent, const char *words,
                                      struct error *error);

/* What a call's parameter "peer", "service" or "subject" (a service or a replica) names. NULL once
 * the call was failed with the error. */
const struct intent_peer *wanted_peer(struct api_call *call, struct bytes params);
const struct intent_peer *peer_of_param(struct api_call *call, struct bytes params,
                                        const char *key);
const struct intent_service *wanted_service(struct api_call *call, struct bytes params);
const struct intent_service *wanted_subject(struct api_call *call, struct bytes params,
                                            const struct intent_replica **ret_replica);

/* The replica that the call's parameter "replica" names, if its container is here, and the
 * container's id. NULL once the call was failed, or passed on to the peer that has it. */
const struct intent_replica *find_container_here(struct api_call *call, struct bytes params,
                                                 char ret_id[RUNTIME_ID_BYTES_MAX + 1]);

/* As wanted_service; the full name is copied too, for a command. */
const struct intent_service *named_service(struct api_call *call, struct bytes params,
                                           char ret_name[INTENT_SERVICE_NAME_BYTES_MAX + 1]);

/* Fails the call with what a finder said. */
void fail_find(struct api_call *call, const struct error *error);
