/* What the daemon and the mesh process say to each other over a channel.
 *
 * GREETING, RETIRE, SOCKET and END stay the same in all versions, so that a daemon can tell a
 * process of any other version that it is to end with its last connection. Of everything else, both
 * sides are of one build.
 */
#pragma once

#include "base/address.h"
#include "base/buffer.h"
#include "base/id.h"
#include "consensus/bounds.h"
#include "node/mesh/mesh.h"
#include "node/mesh/routes.h"
#include "node/transport/link.h"
#include "runtime/runtime.h"

enum mesh_word {
    WORD_GREETING = 1, /* process: who it is */
    WORD_RETIRE = 2,   /* daemon: take no more connections, end with the last one */
    WORD_END = 3,      /* daemon: end now */
    WORD_STATE = 4,    /* daemon: all that it is to know */
    WORD_LINK = 5,     /* daemon: a link, with its socket */
    WORD_FAILED = 6,   /* daemon: that peer can't be linked with */
    WORD_DROP = 7,     /* daemon: that peer was shut out */
    WORD_WANT = 8,     /* process: a link with that peer is wanted */
    WORD_LINKED = 9,   /* process, to a daemon that is new to it: there is one with that peer */
    WORD_STATUS = 10,  /* process: how it is */
    WORD_SOCKET = 11,  /* from one that retires to the next: what listens, with that socket */
};

enum {
    WORDS_BUILD_BYTES_MAX = 95,
    WORDS_LOCALS_MAX = 65536,
    WORDS_TROUBLE_BYTES_MAX = 4096,
};

struct mesh_greeting {
    char build[WORDS_BUILD_BYTES_MAX + 1]; /* of the program; see words_build() */
    struct id self;
};

/* An address of a container here. */
struct mesh_local {
    uint64_t generation; /* of its replica; 0: it takes no connections */
    bool is_exclusive;   /* its service is */
    struct address address;
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    char network[SPEC_NETWORK_NAME_MAX + 1]; /* "": the machine's own */
};

struct mesh_state {
    struct address gateway; /* none: it does not stand yet */
    struct runtime_range range;
    struct mesh_local *locals;
    size_t local_count;
    struct routes routes;
};

struct mesh_trouble {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    char *words; /* lines */
};

struct mesh_status {
    uint64_t connections;
    struct mesh_trouble *troubles;
    size_t trouble_count;
};

/* Tells this program's build from any other: equal for a daemon and what it has started. 0 or a
 * negative errno. */
int words_build(char ret[WORDS_BUILD_BYTES_MAX + 1]);

/* Each appends to `ret`: 0 or -ENOMEM. */
int greeting_encode(const struct mesh_greeting *greeting, struct buffer *ret);
int state_encode(const struct mesh_state *state, struct buffer *ret);
int link_given_encode(const struct link_given *state, struct buffer *ret);
int status_encode(const struct mesh_status *status, struct buffer *ret);
int socket_word_encode(enum mesh_socket kind, uint16_t port, struct buffer *ret);
int peer_word_encode(const struct id *peer, int reason, struct buffer *ret);

/* 0, -EBADMSG or -ENOMEM; `*ret` is untouched on failure. */
int greeting_decode(struct bytes bytes, struct mesh_greeting *ret);
int state_decode(struct bytes bytes, struct mesh_state *ret);
int link_given_decode(struct bytes bytes, struct link_given *ret);
int status_decode(struct bytes bytes, struct mesh_status *ret);
int socket_word_decode(struct bytes bytes, enum mesh_socket *ret_kind, uint16_t *ret_port);
int peer_word_decode(struct bytes bytes, struct id *ret_peer, int *ret_reason);

void state_done(struct mesh_state *state);
void status_done(struct mesh_status *status);
