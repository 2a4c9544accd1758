/* Configs and secrets: their versions, which of them a service shows, and which are kept. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/intent_apply.h"

/* Fills in what blobs are ordered by; false for a name that none can have. */
static bool key_init(struct intent_blob *key, uint8_t kind, const char *name, uint64_t version)
{
    size_t size = strlen(name);
    if (size >= sizeof(key->name))
        return false;
    *key = (struct intent_blob){.kind = kind, .version = version};
    memcpy(key->name, name, size + 1);
    return true;
}

static bool is_named(const struct intent_blob *blob, uint8_t kind, const char *name)
{
    return blob->kind == kind && strcmp(blob->name, name) == 0;
}

const struct intent_blob *intent_blob_at(const struct intent *intent, uint8_t kind,
                                         const char *name, uint64_t version)
{
    struct intent_blob key;
    return key_init(&key, kind, name, version) ? table_find(&intent->blobs, &key) : NULL;
}

const struct intent_blob *intent_blob_find(const struct intent *intent, uint8_t kind,
                                           const char *name)
{
    struct intent_blob past_all;
    if (!key_init(&past_all, kind, name, UINT64_MAX))
        return NULL;
    size_t end = table_lower_bound(&intent->blobs, &past_all);
    if (end == 0)
        return NULL;
    const struct intent_blob *last = intent->blobs.items[end - 1];
    return is_named(last, kind, name) ? last : NULL;
}

static uint64_t version_shown(const struct service_spec *spec, uint8_t kind, const char *name)
{
    for (size_t i = 0; i < spec->file_count; i++)
        if (spec->files[i].kind == kind && strcmp(spec->files[i].source, name) == 0)
            return spec->files[i].version;
    return 0;
}

static uint64_t version_in_revision(const struct intent_service *service, uint32_t number,
                                    uint8_t kind, const char *name)
{
    const struct intent_revision *revision = intent_revision_find(service, number);
    return revision ? version_shown(&revision->spec, kind, name) : 0;
}

static bool may_return(const struct intent_rollout *rollout)
{
    return rollout->state == INTENT_ROLLOUT_RUNNING || rollout->state == INTENT_ROLLOUT_PAUSED ||
           rollout->state == INTENT_ROLLOUT_ROLLING_BACK || rollout->state == INTENT_ROLLOUT_FAILED;
}

uint64_t intent_blob_used_by(const struct intent *intent, const struct intent_service *service,
                             uint8_t kind, const char *name)
{
    uint64_t version = version_in_revision(service, service->revision, kind, name);
    if (version == 0 && may_return(&service->rollout))
        version = version_in_revision(service, service->rollout.from, kind, name);
    for (size_t i = 0; i < intent->replicas.count && version == 0; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        if (strcmp(replica->service, service->name) == 0)
            version = version_in_revision(service, replica->revision, kind, name);
    }
    return version;
}

int intent_blob_room(struct intent_apply *apply, size_t count, size_t size)
{
    const struct table *blobs = &apply->intent->blobs;
    struct error *error = &apply->result->error;
    size_t held = 0;
    for (size_t i = 0; i < blobs->count; i++)
        held += ((const struct intent_blob *)blobs->items[i])->content.size;
    if (count > INTENT_BLOBS_MAX - blobs->count)
        error_set(error, -ENOSPC, "the cluster can hold %d versions of configs and secrets",
                  INTENT_BLOBS_MAX);
    else if (size > INTENT_BLOBS_BYTES_MAX || held > INTENT_BLOBS_BYTES_MAX - size)
        error_set(error, -ENOSPC,
                  "the cluster can hold %d MiB of configs and secrets, with earlier versions",
                  INTENT_BLOBS_BYTES_MAX / 1024 / 1024);
    else
        return 0;
    error_hint(error, "see what it holds: consort config ls, consort secret ls");
    return -ENOSPC;
}

/* The newest version, if it holds the same. */
static const struct intent_blob *find_same(const struct intent *intent,
                                           const struct intent_blob *given)
{
    const struct intent_blob *present = intent_blob_find(intent, given->kind, given->name);
    return present && bytes_equal(buffer_view(&present->content), buffer_view(&given->content))
               ? present
               : NULL;
}

bool intent_blob_is_there(const struct intent *intent, const struct intent_blob *given)
{
    return find_same(intent, given) != NULL;
}

int intent_blob_put(struct intent_apply *apply, const struct intent_blob *given, const char *stack,
                    uint64_t *ret_version)
{
    const struct intent_blob *present = find_same(apply->intent, given);
    if (present) {
        *ret_version = present->version;
        return 0;
    }
    struct intent_blob *blob = calloc(1, sizeof(*blob));
    if (!blob)
        return -ENOMEM;
    memcpy(blob->name, given->name, sizeof(blob->name));
    blob->kind = given->kind;
    blob->version = apply->index;
    blob->wall_ms = apply->head->wall_ms;
    snprintf(blob->stack, sizeof(blob->stack), "%s", stack);
    snprintf(blob->actor, sizeof(blob->actor), "%s", apply->head->actor);
    if (buffer_append(&blob->content, given->content.bytes, given->content.size) < 0 ||
        intent_wraps_take(apply->intent, given, blob) < 0 ||
        table_insert(&apply->intent->blobs, blob) < 0) {
        intent_blob_free(blob);
        return -ENOMEM;
    }
    *ret_version = blob->version;
    return 0;
}

void intent_blob_resolve(const struct intent *intent, struct service_spec *spec)
{
    for (size_t i = 0; i < spec->file_count; i++) {
        struct spec_file *file = &spec->files[i];
        if (file->version != 0)
            continue;
        const struct intent_blob *newest = intent_blob_find(intent, file->kind, file->source);
        file->version = newest ? newest->version : 0;
    }
}

/* Marks the versions that a revision shows. */
static void mark_used(const struct intent *intent, const struct service_spec *spec, bool *used)
{
    for (size_t i = 0; i < spec->file_count; i++) {
        const struct spec_file *file = &spec->files[i];
        const struct intent_blob *blob =
            intent_blob_at(intent, file->kind, file->source, file->version);
        if (blob)
            used[table_lower_bound(&intent->blobs, blob)] = true;
    }
}

static bool shows(const struct service_spec *spec, const struct intent_blob *blob)
{
    for (size_t i = 0; i < spec->file_count; i++) {
        const struct spec_file *file = &spec->files[i];
        if (file->version == blob->version && is_named(blob, file->kind, file->source))
            return true;
    }
    return false;
}

static bool is_shown(const struct intent *intent, const struct intent_blob *blob)
{
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        for (size_t j = 0; j < service->revisions.count; j++) {
            const struct intent_revision *revision = service->revisions.items[j];
            if (shows(&revision->spec, blob))
                return true;
        }
    }
    return false;
}

void intent_blob_sweep_older(struct intent *intent, const struct intent_blob *newest)
{
    size_t at = table_lower_bound(&intent->blobs, newest);
    while (at-- > 0) {
        struct intent_blob *older = intent->blobs.items[at];
        if (!is_named(older, newest->kind, newest->name))
            return;
        if (is_shown(intent, older))
            continue;
        table_remove(&intent->blobs, older);
        intent_blob_free(older);
    }
}

int intent_blobs_sweep(struct intent *intent)
{
    struct table *blobs = &intent->blobs;
    if (blobs->count == 0)
        return 0;
    cleanup_free bool *used = calloc(blobs->count, sizeof(*used));
    if (!used)
        return -ENOMEM;
    for (size_t i = 0; i < blobs->count; i++) {
        const struct intent_blob *blob = blobs->items[i];
        used[i] =
            blob->stack[0] == '\0' && intent_blob_find(intent, blob->kind, blob->name) == blob;
    }
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        for (size_t j = 0; j < service->revisions.count; j++) {
            const struct intent_revision *revision = service->revisions.items[j];
            mark_used(intent, &revision->spec, used);
        }
    }
    for (size_t i = blobs->count; i-- > 0;) {
        struct intent_blob *blob = blobs->items[i];
        if (used[i])
            continue;
        table_remove(blobs, blob);
        intent_blob_free(blob);
    }
    return 0;
}
