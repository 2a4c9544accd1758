/* The whole intent as bytes: a row of MessagePack values, the tables in key order.
 *
 * What is read was written by a peer that may lie, so everything that the rest of the code relies
 * on is checked again: order, unique keys, references between tables, counters ahead of what they
 * count.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/codec.h"
#include "consensus/command_codec.h"
#include "consensus/intent_apply.h"
#include "consensus/intent_client.h"
#include "consensus/intent_items.h"

enum {
    PEER_FIELDS = 8,
    ROLLOUT_FIELDS = 7,
    REVISION_FIELDS = 4,
    SERVICE_FIELDS = 8,
    REPLICA_FIELDS = 8,
    EVENT_FIELDS = 6,
    BLOB_FIELDS = 5,
    QUOTA_FIELDS = 6,
    SUCCESSION_FIELDS = 4,
    GOSSIP_FIELDS = 6,
    VOTERS_FIELDS = 3,
};

static void peer_write(struct writer *writer, const struct intent_peer *peer)
{
    writer_array(writer, PEER_FIELDS);
    codec_write_id(writer, &peer->id);
    writer_text(writer, peer->name);
    writer_u64(writer, peer->role);
    writer_u64(writer, peer->state);
    writer_u64(writer, peer->serial);
    writer_u64(writer, peer->admitted_index);
    writer_i64(writer, peer->admitted_wall_ms);
    writer_i64(writer, peer->state_wall_ms);
}

static void rollout_write(struct writer *writer, const struct intent_rollout *rollout)
{
    writer_array(writer, ROLLOUT_FIELDS);
    writer_u64(writer, rollout->id);
    writer_u64(writer, rollout->state);
    writer_u64(writer, rollout->from);
    writer_u64(writer, rollout->to);
    writer_i64(writer, rollout->started_wall_ms);
    writer_i64(writer, rollout->ended_wall_ms);
    writer_text(writer, rollout->reason);
}

static void service_write(struct writer *writer, uint32_t level,
                          const struct intent_service *service)
{
    writer_array(writer, SERVICE_FIELDS);
    writer_text(writer, service->name);
    writer_text(writer, service->stack);
    writer_u64(writer, service->virtual_ip);
    writer_u64(writer, service->replicas);
    writer_u64(writer, service->revision);
    writer_bool(writer, service->removing);
    writer_array(writer, service->revisions.count);
    for (size_t i = 0; i < service->revisions.count; i++) {
        const struct intent_revision *revision = service->revisions.items[i];
        writer_array(writer, REVISION_FIELDS);
        writer_u64(writer, revision->number);
        writer_i64(writer, revision->wall_ms);
        writer_text(writer, revision->actor);
        service_spec_write(writer, level, &revision->spec);
    }
    rollout_write(writer, &service->rollout);
}

static void replica_write(struct writer *writer, const struct intent_replica *replica)
{
    writer_array(writer, REPLICA_FIELDS);
    writer_u64(writer, replica->generation);
    writer_text(writer, replica->service);
    writer_u64(writer, replica->slot);
    writer_u64(writer, replica->revision);
    codec_write_id(writer, &replica->peer);
    writer_u64(writer, replica->want);
    writer_i64(writer, replica->since_wall_ms);
    writer_text(writer, replica->reason);
}

static void blob_write(struct writer *writer, const struct intent_blob *blob)
{
    writer_array(writer, BLOB_FIELDS);
    intent_blob_write(writer, blob);
    writer_u64(writer, blob->version);
    writer_text(writer, blob->stack);
    writer_i64(writer, blob->wall_ms);
    writer_text(writer, blob->actor);
}

static void quota_write(struct writer *writer, const struct intent_quota *quota)
{
    writer_array(writer, QUOTA_FIELDS);
    writer_text(writer, quota->stack);
    writer_u64(writer, quota->replicas);
    writer_u64(writer, quota->cpu_millis);
    writer_u64(writer, quota->memory_bytes);
    writer_i64(writer, quota->wall_ms);
    writer_text(writer, quota->actor);
}

void intent_succession_write(struct writer *writer, const struct intent_succession *succession)
{
    writer_array(writer, SUCCESSION_FIELDS);
    writer_u64(writer, succession->from);
    writer_u64(writer, succession->index);
    raft_configuration_write(&succession->configuration, writer);
    raft_seal_write(&succession->seal, writer);
}

static void event_write(struct writer *writer, const struct intent_event *event)
{
    writer_array(writer, EVENT_FIELDS);
    writer_u64(writer, event->index);
    writer_i64(writer, event->wall_ms);
    writer_text(writer, event->actor);
    writer_text(writer, event->kind);
    writer_text(writer, event->subject);
    writer_text(writer, event->text);
}

static void gossip_write(struct writer *writer, const struct intent_gossip *gossip)
{
    writer_array(writer, GOSSIP_FIELDS);
    writer_u64(writer, gossip->profile);
    writer_u64(writer, gossip->probe_interval_ms);
    writer_u64(writer, gossip->suspicion);
    writer_u64(writer, gossip->fanout);
    writer_i64(writer, gossip->wall_ms);
    writer_text(writer, gossip->actor);
}

static void voters_write(struct writer *writer, const struct intent_voters *voters)
{
    writer_array(writer, VOTERS_FIELDS);
    writer_u64(writer, voters->max);
    writer_i64(writer, voters->wall_ms);
    writer_text(writer, voters->actor);
}

int intent_write(const struct intent *intent, struct buffer *ret)
{
    size_t size_before = ret->size;
    struct writer writer;
    writer_init(&writer, ret);
    intent_level_write(&writer, &intent->level);
    writer_u64(&writer, intent->applied_index);
    writer_u64(&writer, intent->applied_term);
    writer_binary(&writer, intent->chain, sizeof(intent->chain));
    writer_u64(&writer, intent->epoch);
    writer_u64(&writer, intent->next_serial);
    writer_u64(&writer, intent->next_generation);
    codec_write_id(&writer, &intent->cluster);
    writer_array(&writer, intent->peers.count);
    for (size_t i = 0; i < intent->peers.count; i++)
        peer_write(&writer, intent->peers.items[i]);
    writer_array(&writer, intent->tokens.count);
    for (size_t i = 0; i < intent->tokens.count; i++)
        intent_token_write(&writer, intent->tokens.items[i]);
    writer_array(&writer, intent->services.count);
    for (size_t i = 0; i < intent->services.count; i++)
        service_write(&writer, intent->level.number, intent->services.items[i]);
    writer_array(&writer, intent->replicas.count);
    for (size_t i = 0; i < intent->replicas.count; i++)
        replica_write(&writer, intent->replicas.items[i]);
    writer_array(&writer, intent->blobs.count);
    for (size_t i = 0; i < intent->blobs.count; i++)
        blob_write(&writer, intent->blobs.items[i]);
    writer_array(&writer, intent->quotas.count);
    for (size_t i = 0; i < intent->quotas.count; i++)
        quota_write(&writer, intent->quotas.items[i]);
    intent_clients_write(&writer, intent);
    raft_configuration_write(&intent->configuration, &writer);
    writer_u64(&writer, intent->configuration_index);
    writer_array(&writer, intent->succession_count);
    for (size_t i = 0; i < intent->succession_count; i++)
        intent_succession_write(&writer, &intent->successions[i]);
    writer_array(&writer, intent->history_count);
    for (size_t i = 0; i < intent->history_count; i++)
        event_write(&writer, intent_event_at(intent, i));
    gossip_write(&writer, &intent->gossip);
    voters_write(&writer, &intent->voters);
    int rc = writer_check(&writer);
    if (rc < 0)
        ret->size = size_before;
    return rc;
}

static void peers_read(struct reader *reader, struct intent *intent)
{
    uint32_t count = codec_read_count(reader, INTENT_PEERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_peer *peer = intent_item_new(reader, sizeof(*peer));
        if (!peer)
            return;
        reader_array_exact(reader, PEER_FIELDS);
        codec_read_id(reader, &peer->id);
        reader_copy_text(reader, peer->name, sizeof(peer->name));
        codec_read_enum(reader, INTENT_ADMIN, &peer->role);
        codec_read_enum(reader, INTENT_REVOKED, &peer->state);
        reader_u64(reader, &peer->serial);
        reader_u64(reader, &peer->admitted_index);
        reader_i64(reader, &peer->admitted_wall_ms);
        reader_i64(reader, &peer->state_wall_ms);
        if (peer->serial >= intent->next_serial)
            reader_refuse(reader);
        if (!intent_item_append(reader, &intent->peers, peer))
            free(peer);
    }
}

static void tokens_read(struct reader *reader, struct intent *intent)
{
    uint32_t count = codec_read_count(reader, INTENT_TOKENS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_token *token = intent_item_new(reader, sizeof(*token));
        if (!token)
            return;
        intent_token_read(reader, token);
        if (token->uses_left == 0)
            reader_refuse(reader);
        if (!intent_item_append(reader, &intent->tokens, token))
            free(token);
    }
}

static void revisions_read(struct reader *reader, uint32_t level, struct intent_service *service)
{
    uint32_t count = codec_read_count(reader, INTENT_REVISIONS_HARD_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_revision *revision = intent_item_new(reader, sizeof(*revision));
        if (!revision)
            return;
        reader_array_exact(reader, REVISION_FIELDS);
        reader_u32(reader, &revision->number);
        reader_i64(reader, &revision->wall_ms);
        reader_copy_text(reader, revision->actor, sizeof(revision->actor));
        service_spec_read(reader, level, &revision->spec);
        if (revision->number == 0)
            reader_refuse(reader);
        if (!intent_item_append(reader, &service->revisions, revision))
            intent_revision_free(revision);
    }
}

static void rollout_read(struct reader *reader, struct intent_rollout *rollout)
{
    reader_array_exact(reader, ROLLOUT_FIELDS);
    reader_u64(reader, &rollout->id);
    codec_read_enum(reader, INTENT_ROLLOUT_FAILED, &rollout->state);
    reader_u32(reader, &rollout->from);
    reader_u32(reader, &rollout->to);
    reader_i64(reader, &rollout->started_wall_ms);
    reader_i64(reader, &rollout->ended_wall_ms);
    reader_copy_text(reader, rollout->reason, sizeof(rollout->reason));
}

static void service_read(struct reader *reader, uint32_t level, struct intent_service *service)
{
    reader_array_exact(reader, SERVICE_FIELDS);
    reader_copy_text(reader, service->name, sizeof(service->name));
    reader_copy_text(reader, service->stack, sizeof(service->stack));
    reader_u16(reader, &service->virtual_ip);
    reader_u32(reader, &service->replicas);
    reader_u32(reader, &service->revision);
    reader_bool(reader, &service->removing);
    revisions_read(reader, level, service);
    rollout_read(reader, &service->rollout);
    if (service->replicas > INTENT_REPLICAS_MAX ||
        !intent_revision_find(service, service->revision))
        reader_refuse(reader);
}

/* Reads the services; `taken` has a flag for each virtual address. */
static void services_read(struct reader *reader, struct intent *intent, bool *taken)
{
    uint32_t count = codec_read_count(reader, INTENT_SERVICES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_service *service = intent_service_new();
        if (!service) {
            reader_refuse_memory(reader);
            return;
        }
        service_read(reader, intent->level.number, service);
        if (service->virtual_ip < INTENT_VIRTUAL_IP_FIRST ||
            service->virtual_ip > INTENT_VIRTUAL_IP_LAST || taken[service->virtual_ip])
            reader_refuse(reader);
        taken[service->virtual_ip] = true;
        if (!intent_item_append(reader, &intent->services, service)) {
            intent_service_free(service);
            return;
        }
    }
}

static void replicas_read(struct reader *reader, struct intent *intent)
{
    uint32_t count = codec_read_count(reader, INTENT_REPLICAS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_replica *replica = intent_item_new(reader, sizeof(*replica));
        if (!replica)
            return;
        reader_array_exact(reader, REPLICA_FIELDS);
        reader_u64(reader, &replica->generation);
        reader_copy_text(reader, replica->service, sizeof(replica->service));
        reader_u32(reader, &replica->slot);
        reader_u32(reader, &replica->revision);
        codec_read_id(reader, &replica->peer);
        codec_read_enum(reader, INTENT_STOP, &replica->want);
        reader_i64(reader, &replica->since_wall_ms);
        reader_copy_text(reader, replica->reason, sizeof(replica->reason));
        if (replica->generation >= intent->next_generation || replica->slot == 0 ||
            !intent_spec_of(intent, replica) || !intent_peer_find(intent, &replica->peer))
            reader_refuse(reader);
        if (!intent_item_append(reader, &intent->replicas, replica))
            free(replica);
    }
}

/* They are of peers of the cluster, and no more than there may be. */
static void wraps_check(struct reader *reader, const struct intent *intent,
                        const struct intent_blob *blob, size_t *count)
{
    *count += blob->wrap_count;
    if (*count > INTENT_WRAPS_MAX)
        reader_refuse(reader);
    for (size_t i = 0; i < blob->wrap_count; i++)
        if (!intent_may_hold(intent, &blob->wraps[i].peer))
            reader_refuse(reader);
}

static void blobs_read(struct reader *reader, struct intent *intent)
{
    size_t wrap_count = 0;
    uint32_t count = codec_read_count(reader, INTENT_BLOBS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_blob *blob = intent_item_new(reader, sizeof(*blob));
        if (!blob)
            return;
        reader_array_exact(reader, BLOB_FIELDS);
        intent_blob_read(reader, blob);
        reader_u64(reader, &blob->version);
        reader_copy_text(reader, blob->stack, sizeof(blob->stack));
        reader_i64(reader, &blob->wall_ms);
        reader_copy_text(reader, blob->actor, sizeof(blob->actor));
        if (blob->version == 0 || blob->version > intent->applied_index ||
            !intent_blob_is_sealed(blob))
            reader_refuse(reader);
        wraps_check(reader, intent, blob, &wrap_count);
        if (!intent_item_append(reader, &intent->blobs, blob))
            intent_blob_free(blob);
    }
}

static void quotas_read(struct reader *reader, struct intent *intent)
{
    uint32_t count = codec_read_count(reader, INTENT_QUOTAS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_quota *quota = intent_item_new(reader, sizeof(*quota));
        if (!quota)
            return;
        reader_array_exact(reader, QUOTA_FIELDS);
        reader_copy_text(reader, quota->stack, sizeof(quota->stack));
        reader_u32(reader, &quota->replicas);
        reader_u64(reader, &quota->cpu_millis);
        reader_u64(reader, &quota->memory_bytes);
        reader_i64(reader, &quota->wall_ms);
        reader_copy_text(reader, quota->actor, sizeof(quota->actor));
        if (!intent_item_append(reader, &intent->quotas, quota))
            free(quota);
    }
}

int intent_succession_read(struct reader *reader, struct intent_succession *ret)
{
    struct intent_succession succession = {0};
    reader_array_exact(reader, SUCCESSION_FIELDS);
    reader_u64(reader, &succession.from);
    reader_u64(reader, &succession.index);
    raft_configuration_read(reader, &succession.configuration);
    raft_seal_read(reader, &succession.seal);
    if (reader_check(reader) == 0)
        *ret = succession;
    return reader_check(reader);
}

/* Each follows the one before, and the last one made the present configuration. */
static void successions_read(struct reader *reader, struct intent *intent)
{
    uint32_t count = codec_read_count(reader, INTENT_SUCCESSIONS_MAX);
    uint64_t before = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct intent_succession *succession = &intent->successions[i];
        if (intent_succession_read(reader, succession) < 0)
            return;
        if ((i > 0 && succession->from != before) || succession->index <= succession->from)
            reader_refuse(reader);
        before = succession->index;
    }
    if (intent->configuration_index > intent->applied_index ||
        (count > 0 && before != intent->configuration_index))
        reader_refuse(reader);
    intent->succession_count = count;
}

static void history_read(struct reader *reader, struct intent *intent)
{
    uint32_t count = codec_read_count(reader, INTENT_HISTORY_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_event event = {0};
        reader_array_exact(reader, EVENT_FIELDS);
        reader_u64(reader, &event.index);
        reader_i64(reader, &event.wall_ms);
        reader_copy_text(reader, event.actor, sizeof(event.actor));
        reader_copy_text(reader, event.kind, sizeof(event.kind));
        reader_copy_text(reader, event.subject, sizeof(event.subject));
        reader_dup_text(reader, &event.text, INTENT_REASON_BYTES_MAX);
        if (reader_check(reader) < 0) {
            free(event.text);
            return;
        }
        intent_event_push(intent, &event);
    }
}

static void gossip_read(struct reader *reader, struct intent_gossip *gossip)
{
    reader_array_exact(reader, GOSSIP_FIELDS);
    codec_read_enum(reader, INTENT_PROFILE_EDGE, &gossip->profile);
    reader_u32(reader, &gossip->probe_interval_ms);
    reader_u32(reader, &gossip->suspicion);
    reader_u32(reader, &gossip->fanout);
    reader_i64(reader, &gossip->wall_ms);
    reader_copy_text(reader, gossip->actor, sizeof(gossip->actor));
    if (!intent_gossip_is_valid(gossip))
        reader_refuse(reader);
}

static void voters_read(struct reader *reader, struct intent_voters *voters)
{
    reader_array_exact(reader, VOTERS_FIELDS);
    reader_u32(reader, &voters->max);
    reader_i64(reader, &voters->wall_ms);
    reader_copy_text(reader, voters->actor, sizeof(voters->actor));
    if (voters->max != 0 && !intent_voters_max_is_valid(voters->max))
        reader_refuse(reader);
}

/* All that can be told of a level that is not known. */
static int level_read(struct reader *reader, struct intent_level *ret)
{
    intent_level_read(reader, ret);
    if (reader_check(reader) < 0)
        return reader_check(reader);
    return ret->number > level_newest ? -EPROTONOSUPPORT : 0;
}

int intent_level_peek(struct bytes bytes, struct intent_level *ret)
{
    struct intent_level level;
    struct reader reader;
    reader_init(&reader, bytes.data, bytes.size);
    int rc = level_read(&reader, &level);
    if (rc < 0 && rc != -EPROTONOSUPPORT)
        return rc;
    *ret = level;
    return 0;
}

static int snapshot_read(struct reader *reader, struct intent *intent)
{
    cleanup_free bool *taken = calloc(UINT16_MAX + 1, sizeof(*taken));
    if (!taken)
        return -ENOMEM;
    reader_u64(reader, &intent->applied_index);
    reader_u64(reader, &intent->applied_term);
    reader_fixed(reader, intent->chain, sizeof(intent->chain));
    reader_u64(reader, &intent->epoch);
    reader_u64(reader, &intent->next_serial);
    reader_u64(reader, &intent->next_generation);
    codec_read_id(reader, &intent->cluster);
    peers_read(reader, intent);
    tokens_read(reader, intent);
    services_read(reader, intent, taken);
    replicas_read(reader, intent);
    blobs_read(reader, intent);
    quotas_read(reader, intent);
    intent_clients_read(reader, intent);
    raft_configuration_read(reader, &intent->configuration);
    reader_u64(reader, &intent->configuration_index);
    successions_read(reader, intent);
    history_read(reader, intent);
    gossip_read(reader, &intent->gossip);
    voters_read(reader, &intent->voters);
    if (intent->epoch != intent_epoch_of(intent->applied_index) ||
        intent->epoch != intent_epoch_of(intent->applied_term))
        reader_refuse(reader);
    return reader_end(reader);
}

int intent_read(struct bytes bytes, struct intent **ret)
{
    struct intent *intent = intent_new(&ID_NONE);
    if (!intent)
        return -ENOMEM;
    struct reader reader;
    reader_init(&reader, bytes.data, bytes.size);
    int rc = level_read(&reader, &intent->level);
    if (rc == 0)
        rc = snapshot_read(&reader, intent);
    if (rc < 0) {
        intent_free(intent);
        return rc;
    }
    *ret = intent;
    return 0;
}
