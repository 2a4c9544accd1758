#include "node/control/succession.h"

#include <errno.h>

static const char seal_purpose[] = "consort succession";

_Static_assert(sizeof(((struct raft_seal *)0)->signature) == (size_t)SIGNATURE_BYTES,
               "a seal holds a signature");

static int sealed_bytes(const struct id *cluster, uint64_t from, uint64_t index,
                        const struct raft_configuration *configuration, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_binary(&writer, cluster->bytes, ID_BYTES);
    writer_u64(&writer, from);
    writer_u64(&writer, index);
    raft_configuration_write(configuration, &writer);
    return writer_check(&writer);
}

int succession_seal(const struct intent *intent, uint64_t index, const struct identity *identity,
                    struct raft_changes *changes)
{
    struct raft_configuration after;
    cleanup_buffer struct buffer message = {0};
    int rc = raft_configuration_change(&intent->configuration, changes, &after);
    if (rc == 0)
        rc = sealed_bytes(&intent->cluster, intent->configuration_index, index, &after, &message);
    if (rc < 0)
        return rc;
    changes->seal.signer = identity->id;
    identity_sign(identity, seal_purpose, buffer_view(&message), changes->seal.signature);
    return 0;
}

static bool is_revoked(const struct intent *intent, const struct id *id)
{
    const struct intent_peer *peer = intent_peer_find(intent, id);
    return peer && peer->state == INTENT_REVOKED;
}

bool succession_may_sign(const struct intent *intent, const struct id *signer)
{
    return intent_is_voter(intent, signer) && !is_revoked(intent, signer);
}

/* Goes one change on from `*configuration`, in which whoever seals must have a vote. */
static int follow_one(const struct intent *known, const struct intent_succession *succession,
                      struct raft_configuration *configuration)
{
    const struct raft_seal *seal = &succession->seal;
    cleanup_buffer struct buffer message = {0};
    raft_configuration_settle(configuration); /* nothing is changed within a joint phase */
    if (!raft_configuration_votes(configuration, &seal->signer) || is_revoked(known, &seal->signer))
        return -EKEYREJECTED;
    int rc = sealed_bytes(&known->cluster, succession->from, succession->index,
                          &succession->configuration, &message);
    if (rc < 0)
        return rc;
    if (!identity_verify(&seal->signer, seal_purpose, buffer_view(&message), seal->signature))
        return -EKEYREJECTED;
    *configuration = succession->configuration;
    return 0;
}

int succession_follow(const struct intent *known, const struct intent_succession *line,
                      size_t count, struct raft_configuration *ret, uint64_t *ret_index)
{
    struct raft_configuration configuration = known->configuration;
    uint64_t index = known->configuration_index;
    for (size_t i = 0; i < count; i++) {
        if (line[i].index <= known->configuration_index)
            continue;
        if (line[i].from != index)
            return line[i].from > index ? -ESTALE : -EKEYREJECTED;
        int rc = follow_one(known, &line[i], &configuration);
        if (rc < 0)
            return rc;
        index = line[i].index;
    }
    *ret = configuration;
    *ret_index = index;
    return 0;
}

int succession_check(const struct intent *known, const struct intent *newer,
                     const struct id *signer)
{
    struct raft_configuration configuration;
    uint64_t index;
    int rc = succession_follow(known, newer->successions, newer->succession_count, &configuration,
                               &index);
    if (rc < 0)
        return rc;
    if (!raft_configuration_equal(&newer->configuration, &configuration))
        raft_configuration_settle(&configuration);
    bool follows = index == newer->configuration_index &&
                   raft_configuration_equal(&newer->configuration, &configuration) &&
                   succession_may_sign(newer, signer) && !is_revoked(known, signer);
    return follows ? 0 : -EKEYREJECTED;
}
