#include "node/control/succession.h"

#include <errno.h>

static const char seal_purpose[] = "consort succession";
static const char recovery_purpose[] = "consort recovery";

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

/* What is sealed of a recovery: not what was before, which others may know otherwise. */
static int recovery_bytes(const struct id *cluster, uint64_t index,
                          const struct raft_configuration *configuration, struct buffer *ret)
{
    return sealed_bytes(cluster, 0, index, configuration, ret);
}

static int alone(const struct id *voter, struct raft_configuration *ret)
{
    struct raft_configuration none = {0};
    struct raft_changes changes = {.members = {{RAFT_ADD_VOTER, *voter}}, .count = 1};
    return raft_configuration_change(&none, &changes, ret);
}

int succession_recovery_seal(const struct id *cluster, uint64_t epoch, const struct id *voter,
                             const struct identity *identity, struct raft_seal *ret)
{
    struct raft_configuration configuration;
    cleanup_buffer struct buffer message = {0};
    int rc = alone(voter, &configuration);
    if (rc == 0)
        rc = recovery_bytes(cluster, intent_epoch_base(epoch), &configuration, &message);
    if (rc < 0)
        return rc;
    ret->signer = identity->id;
    identity_sign(identity, recovery_purpose, buffer_view(&message), ret->signature);
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

static bool is_admin(const struct intent *intent, const struct id *id)
{
    const struct intent_peer *admin = intent_peer_find(intent, id);
    return admin && admin->role == INTENT_ADMIN && admin->state == INTENT_ACTIVE;
}

/* Goes from `*configuration`, of `epoch`, to where a recovery leads. Whoever votes or is an admin
 * may begin the next epoch; the root key any later one, also after somebody else began some. */
static int follow_recovery(const struct intent *known, const struct intent_succession *succession,
                           uint64_t epoch, struct raft_configuration *configuration)
{
    const struct raft_seal *seal = &succession->seal;
    uint64_t begins = intent_epoch_of(succession->index);
    cleanup_buffer struct buffer message = {0};
    bool is_root = id_equal(&seal->signer, &known->cluster);
    raft_configuration_settle(configuration);
    bool votes =
        raft_configuration_votes(configuration, &seal->signer) && !is_revoked(known, &seal->signer);
    if (begins <= epoch || begins > INTENT_EPOCH_MAX ||
        (!is_root && (begins != epoch + 1 || (!votes && !is_admin(known, &seal->signer)))))
        return -EKEYREJECTED;
    int rc =
        recovery_bytes(&known->cluster, succession->index, &succession->configuration, &message);
    if (rc < 0)
        return rc;
    if (!identity_verify(&seal->signer, recovery_purpose, buffer_view(&message), seal->signature))
        return -EKEYREJECTED;
    *configuration = succession->configuration;
    return 0;
}

int succession_recovery_check(const struct intent *known, const struct id *voter,
                              const struct raft_seal *seal)
{
    struct raft_configuration configuration = known->configuration;
    struct intent_succession succession = {.index = intent_epoch_base(known->epoch + 1),
                                           .seal = *seal};
    int rc = alone(voter, &succession.configuration);
    return rc < 0 ? rc : follow_recovery(known, &succession, known->epoch, &configuration);
}

static bool recovers_later(const struct intent_succession *line, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (intent_is_recovery(&line[i]))
            return true;
    return false;
}

int succession_follow(const struct intent *known, const struct intent_succession *line,
                      size_t count, struct raft_configuration *ret, uint64_t *ret_index)
{
    struct raft_configuration configuration = known->configuration;
    uint64_t index = known->configuration_index;
    for (size_t i = 0; i < count; i++) {
        bool recovers = intent_is_recovery(&line[i]); /* from wherever the old epoch was */
        if (line[i].index <= known->configuration_index)
            continue;
        int rc = -EKEYREJECTED;
        if (recovers)
            rc = follow_recovery(known, &line[i], intent_epoch_of(index), &configuration);
        else if (line[i].from > index)
            rc = -ESTALE;
        else if (line[i].from == index)
            rc = follow_one(known, &line[i], &configuration);
        if (rc == 0)
            index = line[i].index;
        else if (rc == -ENOMEM || !recovers_later(line + i + 1, count - i - 1))
            return rc; /* else the recovery must be good by itself, for what is known so far */
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
