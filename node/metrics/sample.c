#include <stdlib.h>
#include <string.h>

#include "node/metrics/http.h"
#include "node/metrics/metrics.h"
#include "node/peer/peer.h"
#include "node/peer/replicas.h"

static int compare(const void *a, const void *b)
{
    const struct metrics_container *one = a, *other = b;
    int order = strcmp(one->service, other->service);
    if (order == 0)
        order = (one->slot > other->slot) - (one->slot < other->slot);
    return order ? order
                 : (one->generation < other->generation) - (one->generation > other->generation);
}

void metrics_sample_order(struct metrics_sample *sample)
{
    struct metrics_container *all = sample->containers;
    size_t kept = 0;
    if (sample->count > 0)
        qsort(all, sample->count, sizeof(*all), compare);
    for (size_t i = 0; i < sample->count; i++) {
        bool is_older = kept > 0 && all[kept - 1].slot == all[i].slot &&
                        strcmp(all[kept - 1].service, all[i].service) == 0;
        if (!is_older)
            all[kept++] = all[i];
    }
    sample->count = kept < METRICS_CONTAINERS_MAX ? kept : METRICS_CONTAINERS_MAX;
    sample->left_out = kept - sample->count;
}

/* The containers' ids name them for the runtime; for people, service and slot do. */
static void take(const struct peer *peer, const struct stats_entry *entries, size_t entry_count,
                 struct metrics_sample *ret)
{
    const struct intent *intent = agent_intent(peer->agent);
    for (size_t i = 0; i < intent->replicas.count && ret->count < entry_count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        const struct container_stats *stats =
            replicas_stats(peer->replicas, replica, entries, entry_count);
        if (!stats)
            continue;
        struct metrics_container *container = &ret->containers[ret->count++];
        *container = (struct metrics_container){
            .slot = replica->slot, .generation = replica->generation, .stats = *stats};
        memcpy(container->service, replica->service, sizeof(container->service));
    }
}

static void on_stats(void *context, const struct stats_entry *entries, size_t count)
{
    struct peer *peer = context;
    struct metrics_sample sample = {.at_ms = (int64_t)uv_now(peer->loop)};
    peer->sample.is_under_way = false;
    if (peer->is_stopping || !peer->agent || !peer->replicas)
        return;
    if (count > 0)
        sample.containers = calloc(count, sizeof(*sample.containers));
    if (sample.containers)
        take(peer, entries, count, &sample);
    metrics_sample_order(&sample);
    metrics_sample_done(&peer->sample);
    peer->sample = sample;
    if (peer->http)
        http_ready(peer->http);
}

bool metrics_sample_begin(struct peer *peer)
{
    const struct stats_callback callback = {peer, on_stats};
    struct metrics_sample *sample = &peer->sample;
    if (!peer->runtime || !peer->runtime_is_ready || peer->is_stopping)
        return false;
    if (sample->is_under_way)
        return true;
    if (sample->at_ms > 0 && (int64_t)uv_now(peer->loop) - sample->at_ms < METRICS_SAMPLE_AGE_MS)
        return false;
    sample->is_under_way = runtime_stats(peer->runtime, &callback) == 0;
    return sample->is_under_way;
}

void metrics_sample_done(struct metrics_sample *sample)
{
    free(sample->containers);
    *sample = (struct metrics_sample){0};
}
