/* One call of the API, from its request to its answer.
 *
 * A method gets the call and its params and answers once, now or later, with one of api_answer(),
 * api_fail() and api_forward(); the call is gone then. When the client goes away or cancels,
 * on_cancel comes (if set), and the method still answers, to nobody: so calls need no other
 * cleaning up.
 */
#pragma once

#include "node/api/frame.h"
#include "node/peer/peer.h"

struct api_connection;

struct api_call {
    struct peer *peer;
    struct api_connection *connection; /* NULL: nobody listens any more */
    struct api_call *next;
    uint64_t id;
    enum role role;
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
    char method[FRAME_NAME_BYTES_MAX + 1];
    bool is_passed_on; /* by another peer: it is answered here or not at all */
    bool is_canceled;
    void *context; /* the method's own */
    void (*on_note)(struct api_call *call, const char *kind, struct bytes payload);
    void (*on_cancel)(struct api_call *call);
    void (*on_drained)(struct api_call *call); /* after api_note() returned 1 */
};

typedef void api_method(struct api_call *call, struct bytes params);

/* Where a method can be called, and how. */
enum api_kind {
    API_ANYWHERE,   /* also at a peer that is in no cluster */
    API_IN_CLUSTER, /* at a member */
    API_OF_INTENT,  /* there, and it shows intent: with `consistent: true`, the newest */
};

struct api_entry {
    const char *name;
    enum role needs; /* ROLE_VIEWER, ROLE_DEPLOYER or ROLE_ADMIN */
    enum api_kind kind;
    api_method *method;
};

/* The table of each methods_*.c, whose last entry has a NULL name. */
#define API_TABLES                                                                                 \
    api_cluster_methods, api_service_methods, api_query_methods, api_peer_methods,                 \
        api_watch_methods, api_container_methods, api_exec_methods, api_image_methods,             \
        api_profile_methods, api_blob_methods, api_quota_methods, api_recover_methods,             \
        api_voters_methods, api_deploy_methods

extern const struct api_entry api_cluster_methods[], api_service_methods[], api_query_methods[],
    api_peer_methods[], api_watch_methods[], api_container_methods[], api_exec_methods[],
    api_image_methods[], api_profile_methods[], api_blob_methods[], api_quota_methods[],
    api_recover_methods[], api_voters_methods[], api_deploy_methods[];

/* All of them; ends with NULL. */
extern const struct api_entry *const api_methods[];

/* Has the method answer once this peer's intent shows all changes that were agreed on by now; or
 * fails within AGENT_READ_TIMEOUT_MS. `params` is copied. */
void api_answer_consistently(struct api_call *call, api_method *method, struct bytes params);

/* `result` is a packed map; empty means an empty one. */
void api_answer(struct api_call *call, const struct buffer *result);
void api_fail(struct api_call *call, const struct error *error);
void api_fail_with(struct api_call *call, int code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* 1 when the client takes no more at the moment: wait for on_drained. */
int api_note(struct api_call *call, const char *kind, struct bytes payload);

/* Has another peer answer the same call; notes go both ways. */
void api_forward(struct api_call *call, const struct id *peer, struct bytes params);

/* Why a peer is not reached, in words that say more than the errno's. */
const char *unreached_text(int error);

/* The answer to a call whose proposal was decided against; true if it was and the call is gone. */
bool api_fail_if_refused(struct api_call *call, const struct agent_result *result);

/* Keys and values of a map, for methods' results. */
void put_text(struct writer *writer, const char *key, const char *value);
void put_u64(struct writer *writer, const char *key, uint64_t value);
void put_i64(struct writer *writer, const char *key, int64_t value);
void put_flag(struct writer *writer, const char *key, bool value);
void put_id(struct writer *writer, const char *key, const struct id *value);

/* A peer's name, or the short form of an id that is not known. */
const char *peer_name(const struct peer *peer, const struct id *id);
