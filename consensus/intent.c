#include "consensus/intent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/intent_apply.h"
#include "consensus/intent_client.h"
#include "consensus/level.h"

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int peer_compare(const void *item, const void *key)
{
    return id_compare(&((const struct intent_peer *)item)->id, key);
}

static const void *peer_key(const void *item)
{
    return &((const struct intent_peer *)item)->id;
}

static int token_compare(const void *item, const void *key)
{
    return memcmp(((const struct intent_token *)item)->id, key, INTENT_TOKEN_ID_BYTES);
}

static const void *token_key(const void *item)
{
    return ((const struct intent_token *)item)->id;
}

static int service_compare(const void *item, const void *key)
{
    return strcmp(((const struct intent_service *)item)->name, key);
}

static const void *service_key(const void *item)
{
    return ((const struct intent_service *)item)->name;
}

static int replica_compare(const void *item, const void *key)
{
    return compare_u64(((const struct intent_replica *)item)->generation, *(const uint64_t *)key);
}

static const void *replica_key(const void *item)
{
    return &((const struct intent_replica *)item)->generation;
}

/* The key is a blob with kind, name and version. */
static int blob_compare(const void *item, const void *key)
{
    const struct intent_blob *a = item, *b = key;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : compare_u64(a->version, b->version);
}

static const void *blob_key(const void *item)
{
    return item;
}

static int quota_compare(const void *item, const void *key)
{
    return strcmp(((const struct intent_quota *)item)->stack, key);
}

static const void *quota_key(const void *item)
{
    return ((const struct intent_quota *)item)->stack;
}

static int client_compare(const void *item, const void *key)
{
    return compare_u64(((const struct intent_client *)item)->client, *(const uint64_t *)key);
}

static const void *client_key(const void *item)
{
    return &((const struct intent_client *)item)->client;
}

static int revision_compare(const void *item, const void *key)
{
    return compare_u64(((const struct intent_revision *)item)->number, *(const uint32_t *)key);
}

static const void *revision_key(const void *item)
{
    return &((const struct intent_revision *)item)->number;
}

static void tables_init(struct intent *intent)
{
    table_init(&intent->peers, peer_compare, peer_key);
    table_init(&intent->tokens, token_compare, token_key);
    table_init(&intent->services, service_compare, service_key);
    table_init(&intent->replicas, replica_compare, replica_key);
    table_init(&intent->blobs, blob_compare, blob_key);
    table_init(&intent->quotas, quota_compare, quota_key);
    table_init(&intent->clients, client_compare, client_key);
}

struct intent *intent_new(const struct id *cluster)
{
    struct intent *intent = calloc(1, sizeof(*intent));
    if (!intent)
        return NULL;
    tables_init(intent);
    intent->level.number = 1;
    snprintf(intent->level.version, sizeof(intent->level.version), "%s", level_version(1));
    intent->history = calloc(INTENT_HISTORY_MAX, sizeof(*intent->history));
    intent->successions = calloc(INTENT_SUCCESSIONS_MAX, sizeof(*intent->successions));
    if (!intent->history || !intent->successions) {
        intent_free(intent);
        return NULL;
    }
    intent->cluster = *cluster;
    intent->epoch = 1;
    intent->next_serial = 1;
    intent->next_generation = 1;
    return intent;
}

static void free_items(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->items[i]);
    table_done(table);
}

void intent_free(struct intent *intent)
{
    if (!intent)
        return;
    free_items(&intent->peers);
    free_items(&intent->tokens);
    free_items(&intent->replicas);
    free_items(&intent->quotas);
    for (size_t i = 0; i < intent->services.count; i++)
        intent_service_free(intent->services.items[i]);
    table_done(&intent->services);
    for (size_t i = 0; i < intent->clients.count; i++)
        intent_client_free(intent->clients.items[i]);
    table_done(&intent->clients);
    for (size_t i = 0; i < intent->blobs.count; i++)
        intent_blob_free(intent->blobs.items[i]);
    table_done(&intent->blobs);
    for (size_t i = 0; i < intent->history_count; i++)
        free(intent->history[i].text);
    free(intent->history);
    free(intent->successions);
    free(intent);
}

struct intent_service *intent_service_new(void)
{
    struct intent_service *service = calloc(1, sizeof(*service));
    if (service)
        table_init(&service->revisions, revision_compare, revision_key);
    return service;
}

void intent_service_free(struct intent_service *service)
{
    if (!service)
        return;
    for (size_t i = 0; i < service->revisions.count; i++)
        intent_revision_free(service->revisions.items[i]);
    table_done(&service->revisions);
    free(service);
}

void intent_revision_free(struct intent_revision *revision)
{
    if (!revision)
        return;
    service_spec_done(&revision->spec);
    free(revision);
}

void intent_blob_free(struct intent_blob *blob)
{
    if (!blob)
        return;
    intent_blob_done(blob);
    free(blob);
}

struct intent_peer *intent_peer_find(const struct intent *intent, const struct id *id)
{
    return table_find(&intent->peers, id);
}

struct intent_peer *intent_peer_by_name(const struct intent *intent, const char *name)
{
    struct intent_peer *found = NULL;
    for (size_t i = 0; i < intent->peers.count; i++) {
        struct intent_peer *peer = intent->peers.items[i];
        if (strcmp(peer->name, name) != 0)
            continue;
        if (intent_peer_is_member(peer))
            return peer;
        found = peer;
    }
    return found;
}

struct intent_token *intent_token_find(const struct intent *intent, const uint8_t *id)
{
    return table_find(&intent->tokens, id);
}

struct intent_service *intent_service_find(const struct intent *intent, const char *name)
{
    return table_find(&intent->services, name);
}

struct intent_replica *intent_replica_find(const struct intent *intent, uint64_t generation)
{
    return table_find(&intent->replicas, &generation);
}

const struct intent_revision *intent_revision_find(const struct intent_service *service,
                                                   uint32_t number)
{
    return table_find(&service->revisions, &number);
}

const struct service_spec *intent_spec_of(const struct intent *intent,
                                          const struct intent_replica *replica)
{
    const struct intent_service *service = intent_service_find(intent, replica->service);
    if (!service)
        return NULL;
    const struct intent_revision *revision = intent_revision_find(service, replica->revision);
    return revision ? &revision->spec : NULL;
}

const struct intent_event *intent_event_at(const struct intent *intent, size_t i)
{
    if (i >= intent->history_count)
        return NULL;
    size_t oldest = intent->history_count < INTENT_HISTORY_MAX ? 0 : intent->history_next;
    return &intent->history[(oldest + i) % INTENT_HISTORY_MAX];
}

bool intent_is_voter(const struct intent *intent, const struct id *id)
{
    return raft_configuration_votes(&intent->configuration, id);
}

bool intent_peer_is_member(const struct intent_peer *peer)
{
    return peer->state == INTENT_ACTIVE || peer->state == INTENT_DRAINING;
}

static const char *text_at(const char *const *texts, size_t count, uint8_t value)
{
    return value < count ? texts[value] : "unknown";
}

const char *intent_role_text(uint8_t role)
{
    static const char *const texts[] = {"peer", "viewer", "deployer", "admin"};
    return text_at(texts, array_count(texts), role);
}

const char *intent_peer_state_text(uint8_t state)
{
    static const char *const texts[] = {"active", "draining", "left", "revoked"};
    return text_at(texts, array_count(texts), state);
}

const char *intent_rollout_state_text(uint8_t state)
{
    static const char *const texts[] = {"none",         "running",     "paused", "done",
                                        "rolling back", "rolled back", "failed"};
    return text_at(texts, array_count(texts), state);
}

const char *intent_blob_kind_text(uint8_t kind)
{
    return kind == SPEC_FILE_SECRET ? "secret" : "config";
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool intent_name_is_valid(const char *name)
{
    if (!is_alphanumeric(name[0]))
        return false;
    for (const char *c = name; *c; c++)
        if (!is_alphanumeric(*c) && *c != '-' && *c != '_' && *c != '.')
            return false;
    return true;
}
