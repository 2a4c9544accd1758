#include "node/control/holders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/constraint.h"

/* Which wraps a placed replica needs: `used` has a flag for each, from `offsets` of its secret on.
 */
struct marks {
    size_t first;
    size_t *offsets;
    bool *used;
};

struct finding {
    const struct intent *intent;
    const struct view *view;
    const struct id *leader, *self;
    struct holders_change *changes;
    size_t count, max;
    struct marks marks; /* while what is idle is looked for */
};

/* Secrets are the last of the blobs. */
static size_t first_secret(const struct intent *intent)
{
    size_t first = intent->blobs.count;
    while (first > 0 &&
           ((const struct intent_blob *)intent->blobs.items[first - 1])->kind == SPEC_FILE_SECRET)
        first--;
    return first;
}

/* Whether it is for `self` to say who holds the secret's key. */
static bool is_duty(const struct finding *finding, const struct intent_blob *blob)
{
    if (!intent_wrap_find(blob, finding->self))
        return false;
    if (intent_wrap_find(blob, finding->leader))
        return id_equal(finding->leader, finding->self);
    for (size_t i = 0; i < blob->wrap_count; i++) {
        const struct id *holder = &blob->wraps[i].peer;
        if (id_equal(holder, finding->self))
            return true;
        if (view_is_alive(finding->view, holder))
            return false;
    }
    return false;
}

static void add(struct finding *finding, const struct intent_blob *blob, const struct id *peer,
                bool drops)
{
    for (size_t i = 0; i < finding->count; i++)
        if (finding->changes[i].blob == blob && id_equal(&finding->changes[i].peer, peer))
            return;
    if (finding->count < finding->max)
        finding->changes[finding->count++] = (struct holders_change){blob, *peer, drops};
}

static void need(struct finding *finding, const struct intent_blob *blob, const struct id *peer)
{
    const struct intent_peer *known = intent_peer_find(finding->intent, peer);
    if (!intent_wrap_find(blob, peer) && known && intent_peer_is_member(known) &&
        is_duty(finding, blob))
        add(finding, blob, peer, false);
}

typedef void visit(struct finding *finding, const struct intent_blob *blob, const struct id *peer);

static void each_secret(struct finding *finding, const struct service_spec *spec,
                        const struct id *peer, visit *each)
{
    for (size_t i = 0; i < spec->file_count; i++) {
        const struct spec_file *file = &spec->files[i];
        const struct intent_blob *blob =
            file->kind == SPEC_FILE_SECRET
                ? intent_blob_at(finding->intent, file->kind, file->source, file->version)
                : NULL;
        if (blob)
            each(finding, blob, peer);
    }
}

/* Calls `each` for every secret that a placed replica shows to its peer. */
static void each_shown(struct finding *finding, visit *each)
{
    const struct intent *intent = finding->intent;
    for (size_t i = 0; i < intent->replicas.count && finding->count < finding->max; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        const struct service_spec *spec = intent_spec_of(intent, replica);
        if (spec)
            each_secret(finding, spec, &replica->peer, each);
    }
}

static bool is_peer(const struct intent_peer *peer)
{
    return peer->role == INTENT_PEER && peer->state == INTENT_ACTIVE;
}

static size_t count_peers(const struct intent *intent)
{
    size_t count = 0;
    for (size_t i = 0; i < intent->peers.count; i++)
        count += is_peer(intent->peers.items[i]);
    return count;
}

static bool may_stand_in(const struct finding *finding, const struct service_spec *spec,
                         const struct intent_peer *peer)
{
    const struct view_peer *seen = view_peer_find(finding->view, &peer->id);
    return is_peer(peer) && !constraint_unmet(&spec->constraints, peer,
                                              seen && seen->has_capacity ? &seen->capacity : NULL);
}

/* And for every secret of a service that is duplicated to the peers that may stand in: without a
 * quorum nothing can be sealed any more. */
static void each_ahead(struct finding *finding, visit *each)
{
    const struct intent *intent = finding->intent;
    if (count_peers(intent) > HOLDERS_AHEAD_PEERS_MAX)
        return;
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        const struct service_spec *spec = &intent_revision_find(service, service->revision)->spec;
        for (size_t j = 0; j < intent->peers.count && service_spec_is_duplicated(spec); j++) {
            const struct intent_peer *peer = intent->peers.items[j];
            if (may_stand_in(finding, spec, peer))
                each_secret(finding, spec, &peer->id, each);
        }
    }
}

static void find_lacking(struct finding *finding, size_t first)
{
    const struct raft_configuration *configuration = &finding->intent->configuration;
    each_shown(finding, need); /* first of all: containers wait for it */
    for (size_t i = first; i < finding->intent->blobs.count; i++)
        for (uint32_t j = 0; j < configuration->count; j++)
            need(finding, finding->intent->blobs.items[i], &configuration->members[j].id);
    each_ahead(finding, need);
}

static bool shows(const struct intent_service *service, const struct intent_blob *blob)
{
    for (size_t i = 0; i < service->revisions.count; i++) {
        const struct intent_revision *revision = service->revisions.items[i];
        for (size_t j = 0; j < revision->spec.file_count; j++) {
            const struct spec_file *file = &revision->spec.files[j];
            if (file->kind == blob->kind && strcmp(file->source, blob->name) == 0)
                return true;
        }
    }
    return false;
}

/* While one replica gives way to the next, often at the same peer, nothing is dropped. */
static bool is_rolling(const struct intent *intent, const struct intent_blob *blob)
{
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        bool rolls = service->rollout.state == INTENT_ROLLOUT_RUNNING ||
                     service->rollout.state == INTENT_ROLLOUT_ROLLING_BACK;
        if (rolls && shows(service, blob))
            return true;
    }
    return false;
}

static int marks_init(struct marks *marks, const struct intent *intent, size_t first)
{
    size_t count = intent->blobs.count - first, wraps = 0;
    *marks = (struct marks){.first = first, .offsets = calloc(count, sizeof(*marks->offsets))};
    for (size_t i = 0; marks->offsets && i < count; i++) {
        marks->offsets[i] = wraps;
        wraps += ((const struct intent_blob *)intent->blobs.items[first + i])->wrap_count;
    }
    marks->used = calloc(wraps + 1, sizeof(*marks->used));
    return marks->offsets && marks->used ? 0 : -ENOMEM;
}

static void marks_done(struct marks *marks)
{
    free(marks->offsets);
    free(marks->used);
}

static void mark(struct finding *finding, const struct intent_blob *blob, const struct id *peer)
{
    const struct marks *marks = &finding->marks;
    const struct intent_wrap *wrap = intent_wrap_find(blob, peer);
    size_t at = table_lower_bound(&finding->intent->blobs, blob) - marks->first;
    if (wrap)
        marks->used[marks->offsets[at] + (size_t)(wrap - blob->wraps)] = true;
}

static void find_idle_of(struct finding *finding, const struct intent_blob *blob, const bool *used)
{
    const struct raft_configuration *configuration = &finding->intent->configuration;
    bool is_calm = false; /* asked for once there is something to drop */
    for (size_t i = 0; i < blob->wrap_count; i++) {
        const struct id *peer = &blob->wraps[i].peer;
        if (used[i] || raft_configuration_find(configuration, peer))
            continue;
        is_calm = is_calm || !is_rolling(finding->intent, blob);
        if (!is_calm)
            return;
        add(finding, blob, peer, true);
    }
}

static void find_idle(struct finding *finding, size_t first)
{
    const struct intent *intent = finding->intent;
    struct marks *marks = &finding->marks;
    if (marks_init(marks, intent, first) == 0) {
        each_shown(finding, mark);
        each_ahead(finding, mark);
        for (size_t i = first; i < intent->blobs.count; i++)
            if (is_duty(finding, intent->blobs.items[i]))
                find_idle_of(finding, intent->blobs.items[i],
                             marks->used + marks->offsets[i - first]);
    }
    marks_done(marks);
}

static bool has_duty(const struct finding *finding, size_t first)
{
    for (size_t i = first; i < finding->intent->blobs.count; i++)
        if (is_duty(finding, finding->intent->blobs.items[i]))
            return true;
    return false;
}

size_t holders_changes(const struct intent *intent, const struct view *view,
                       const struct id *leader, const struct id *self, struct holders_change *ret,
                       size_t max)
{
    struct finding finding = {
        .intent = intent, .view = view, .leader = leader, .self = self, .changes = ret, .max = max};
    size_t first = first_secret(intent);
    if (id_is_none(leader) || !has_duty(&finding, first))
        return 0;
    find_lacking(&finding, first);
    if (finding.count == 0)
        find_idle(&finding, first);
    return finding.count;
}

bool holders_waits(const struct intent *intent, const struct id *peer,
                   const struct service_spec *spec, char *ret_words, size_t size)
{
    for (size_t i = 0; i < spec->file_count; i++) {
        const struct spec_file *file = &spec->files[i];
        const struct intent_blob *blob =
            file->kind == SPEC_FILE_SECRET
                ? intent_blob_at(intent, file->kind, file->source, file->version)
                : NULL;
        if (!blob || intent_wrap_find(blob, peer))
            continue;
        snprintf(ret_words, size, "waits for its secret %s to be sealed to this peer",
                 file->source);
        return true;
    }
    return false;
}

bool holders_is_last(const struct intent *intent, const struct id *peer)
{
    for (size_t i = first_secret(intent); i < intent->blobs.count; i++) {
        const struct intent_blob *blob = intent->blobs.items[i];
        if (blob->wrap_count == 1 && id_equal(&blob->wraps[0].peer, peer))
            return true;
    }
    return false;
}
