/* Becoming a member: a new cluster, somebody else's, or the one that this peer was in before. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "consensus/level.h"
#include "node/peer/peer.h"
#include "node/store/secret_file.h"

static const char root_file[] = "root.key";

static void put_chain(struct store_batch *batch, const struct certificate_chain *chain)
{
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    certificate_chain_write(&writer, chain);
    if (writer_check(&writer) < 0)
        batch->failed = -ENOMEM;
    else
        store_batch_put(batch, STORE_KEY_CHAIN, buffer_view(&bytes));
}

static void put_address(struct store_batch *batch, const struct id *id,
                        const struct address *address)
{
    char key[sizeof(PEER_SEED_PREFIX) + ID_TEXT_BYTES];
    char hex[ID_TEXT_BYTES];
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    id_format(id, hex);
    snprintf(key, sizeof(key), PEER_SEED_PREFIX "%s", hex);
    writer_init(&writer, &bytes);
    address_write(&writer, address);
    if (writer_check(&writer) == 0)
        store_batch_put(batch, key, buffer_view(&bytes));
}

static void on_remembered(void *context, int result, const struct error *error)
{
    (void)context;
    if (result < 0 && result != -ECANCELED)
        log_limited(LOG_WARNING, "a peer's address could not be stored: %s", error->message);
}

void peer_remember_address(struct peer *peer, const struct id *id, const struct address *address)
{
    struct store_batch batch;
    store_batch_init(&batch);
    put_address(&batch, id, address);
    store_write(peer->store, &batch, on_remembered, peer);
    store_batch_done(&batch);
}

void peer_forget_address(struct peer *peer, const struct id *id)
{
    char key[sizeof(PEER_SEED_PREFIX) + ID_TEXT_BYTES];
    char hex[ID_TEXT_BYTES];
    struct store_batch batch;
    id_format(id, hex);
    snprintf(key, sizeof(key), PEER_SEED_PREFIX "%s", hex);
    store_batch_init(&batch);
    store_batch_delete(&batch, key);
    store_write(peer->store, &batch, on_remembered, peer);
    store_batch_done(&batch);
}

struct address_walk {
    struct peer *peer;
    int (*visit)(void *context, const struct id *id, const struct address *address);
    void *context;
};

static int visit_address(void *context, const char *key, struct bytes value)
{
    struct address_walk *walk = context;
    struct address address;
    struct id id;
    struct reader reader;
    reader_init(&reader, value.data, value.size);
    if (id_parse(key + strlen(PEER_SEED_PREFIX), &id) == 0 &&
        address_read(&reader, &address) == 0 && reader_end(&reader) == 0 &&
        !id_equal(&id, &walk->peer->identity.id))
        return walk->visit(walk->context, &id, &address);
    return 0;
}

int peer_each_address(struct peer *peer,
                      int (*visit)(void *context, const struct id *id,
                                   const struct address *address),
                      void *context, struct error *error)
{
    struct address_walk walk = {peer, visit, context};
    return store_each(peer->store, PEER_SEED_PREFIX, visit_address, &walk, error);
}

/* Reads who this peer is in which cluster; -ENOENT if it is in none. */
int peer_load_membership(struct peer *peer, struct error *error)
{
    cleanup_buffer struct buffer bytes = {0};
    struct reader reader;
    int rc = store_get(peer->store, STORE_KEY_CHAIN, &bytes, error);
    if (rc < 0)
        return rc;
    reader_init(&reader, bytes.bytes, bytes.size);
    if (certificate_chain_read(&reader, &peer->chain) < 0 || reader_end(&reader) < 0 ||
        peer->chain.count == 0 ||
        !id_equal(&peer->chain.certificates[0].subject, &peer->identity.id)) {
        error_set(error, -EBADMSG, "the certificate in %s is not this peer's",
                  peer->options.data_dir);
        error_hint(error, "move %s away and join again with a new token", peer->options.data_dir);
        return -EBADMSG;
    }
    peer->cluster = peer->chain.certificates[0].cluster;
    return 0;
}

/* The root key signs this peer's certificate, and then nothing until it is needed again: it is kept
 * in the data directory for the operator to take away. */
static int make_root(struct peer *peer, struct error *error)
{
    char path[PATH_MAX];
    uint8_t seed[IDENTITY_SEED_BYTES];
    struct identity root;
    struct certificate leaf = {
        .subject = peer->identity.id, .role = ROLE_PEER, .serial = 1, .log_index = 1};
    static const struct certificate_chain no_chain;

    randombytes_buf(seed, sizeof(seed));
    identity_init(&root, seed);
    leaf.cluster = root.id;
    snprintf(leaf.name, sizeof(leaf.name), "%s", peer->options.name);
    snprintf(path, sizeof(path), "%s/%s", peer->options.data_dir, root_file);
    int rc = secret_file_create(path, seed, sizeof(seed), error);
    if (rc == -EEXIST)
        error_hint(error, "a cluster was begun here before; move %s away to begin another", path);
    if (rc == 0)
        rc = certificate_sign(&leaf, &root);
    if (rc == 0)
        rc = certificate_chain_extend(&leaf, &no_chain, &peer->chain);
    if (rc < 0 && error->code == 0)
        error_set_errno(error, rc, "signing this peer's certificate");
    peer->cluster = root.id;
    identity_done(&root);
    sodium_memzero(seed, sizeof(seed));
    return rc;
}

struct founding {
    struct peer *peer;
    peer_membership_callback *callback;
    void *context;
};

/* What makes this peer a member is on the disk: it starts as one. */
static void on_founded(void *context, int result, const struct error *error)
{
    struct founding *founding = context;
    struct peer *peer = founding->peer;
    struct error start_error = {0};
    if (result == 0)
        result = peer_start_member(peer, &start_error);
    else
        start_error = *error;
    if (result < 0)
        peer->phase = PEER_ALONE;
    founding->callback(founding->context, result < 0 ? &start_error : NULL);
    free(founding);
}

static int write_membership(struct peer *peer, struct store_batch *batch,
                            peer_membership_callback *callback, void *context, struct error *error)
{
    struct founding *founding = malloc(sizeof(*founding));
    int rc = -ENOMEM;
    put_chain(batch, &peer->chain);
    if (founding) {
        *founding = (struct founding){peer, callback, context};
        rc = store_write(peer->store, batch, on_founded, founding);
    }
    if (rc < 0) {
        free(founding);
        return error_set_errno(error, rc, "storing the membership");
    }
    peer->phase = PEER_JOINING;
    return 0;
}

static int check_alone(const struct peer *peer, struct error *error)
{
    if (peer->phase == PEER_ALONE)
        return 0;
    error_set(error, -EALREADY,
              peer->phase == PEER_JOINING ? "this peer is joining a cluster already"
                                          : "this peer is in a cluster already");
    error_hint(error, "see it with: consort status; leave it with: consort leave");
    return -EALREADY;
}

int peer_init_cluster(struct peer *peer, peer_membership_callback *callback, void *context,
                      struct error *error)
{
    cleanup_buffer struct buffer state = {0};
    struct raft_snapshot snapshot;
    struct store_batch batch;
    int rc = check_alone(peer, error);
    if (rc == 0)
        rc = make_root(peer, error);
    if (rc < 0)
        return rc;
    rc = agent_bootstrap(&peer->cluster, &peer->identity.id, peer->options.name, 0, peer_wall_ms(),
                         &state, &snapshot);
    if (rc < 0)
        return error_set_errno(error, rc, "making the first state");
    store_batch_init(&batch);
    peer_store_put_snapshot(&batch, &snapshot);
    rc = write_membership(peer, &batch, callback, context, error);
    store_batch_done(&batch);
    return rc;
}

struct joining {
    struct peer *peer;
    peer_membership_callback *callback;
    void *context;
};

static void on_answer(void *context, const struct join_answer *answer, const struct error *error)
{
    struct joining *joining = context;
    struct peer *peer = joining->peer;
    struct error failure = {0};
    struct store_batch batch;

    if (answer) {
        peer->chain = answer->chain;
        peer->cluster = answer->chain.certificates[0].cluster;
        store_batch_init(&batch);
        store_batch_put(&batch, STORE_KEY_INTENT, answer->intent);
        store_batch_delete_all(&batch, PEER_FED_PREFIX);
        for (uint32_t i = 0; i < answer->seed_count; i++)
            put_address(&batch, &answer->seeds[i].id, &answer->seeds[i].address);
        if (write_membership(peer, &batch, joining->callback, joining->context, &failure) < 0)
            error = &failure;
        store_batch_done(&batch);
    }
    if (error) {
        peer->phase = PEER_ALONE;
        log_warning("joining failed: %s", error->message);
        joining->callback(joining->context, error);
    }
    free(joining);
}

int peer_join_cluster(struct peer *peer, const struct token *token,
                      peer_membership_callback *callback, void *context, struct error *error)
{
    struct join_request request = {.role = ROLE_PEER, .level = level_newest};
    int rc = check_alone(peer, error);
    if (rc < 0)
        return rc;
    struct joining *joining = malloc(sizeof(*joining));
    if (!joining)
        return error_set_errno(error, -ENOMEM, "joining");
    *joining = (struct joining){peer, callback, context};
    snprintf(request.name, sizeof(request.name), "%s", peer->options.name);
    peer->phase = PEER_JOINING;
    rc = join_start(peer->loop, &peer->identity, token, &request, &peer->fault, on_answer, joining);
    if (rc < 0) {
        peer->phase = PEER_ALONE;
        free(joining);
        return error_set_errno(error, rc, "joining");
    }
    return 0;
}
