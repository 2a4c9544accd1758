#include "node/peer/replicas.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/control/holders.h"
#include "node/control/stand_in.h"
#include "node/images/images.h"
#include "node/mesh_process/host.h"
#include "node/peer/dependency.h"
#include "node/peer/image_pins.h"
#include "node/peer/peer.h"
#include "node/peer/replica_spec.h"

enum {
    REPLICA_DRAIN_MS = 1000, /* between saying that a replica stops and stopping it: until then, all
                              * peers have heard that it gets no new connections */
    REPLICA_WAIT_MS = 200,   /* between two looks at what a replica waits for */
    REPLICA_RETRY_MS = 2000, /* after an image could not be fetched or a start was refused */
    NAME_BYTES = 40,         /* of the service's name in a container's id … */
    STAND_IN_NAME_BYTES = 32, /* … where the number is long */
};

/* One replica that is wanted or still there. */
struct replica {
    uint64_t generation;
    char container_id[RUNTIME_ID_BYTES_MAX + 1];
    struct digest_set images; /* pinned: its own, and those that it mounts */
    bool is_wanted;
    bool is_fetching;
    bool is_started; /* the runtime has it */
    bool is_removing;
    bool waits_for_key;    /* of a secret */
    bool is_limiting;      /* the runtime changes its limits */
    int64_t drained_at_ms; /* unwanted, and to be stopped then; 0: not yet */
    int64_t retry_at_ms;
    struct address addresses[RUNTIME_NETWORKS_MAX];
    struct text_list networks; /* one for each address */
    struct view_replica told;  /* what was last published */
};

struct replicas {
    struct peer *peer;
    struct table table; /* of struct replica, by generation */
    uv_timer_t timer;   /* fires at once after a change, later for a retry */
    bool adopted;       /* containers found at the start have been taken in */
};

static int compare_generation(const void *item, const void *key)
{
    uint64_t a = ((const struct replica *)item)->generation, b = *(const uint64_t *)key;
    return a < b ? -1 : a > b;
}

static const void *generation_of(const void *item)
{
    return &((const struct replica *)item)->generation;
}

uint64_t replicas_generation_of(const char *container_id)
{
    const char *dot = strrchr(container_id, '.');
    char *end;
    if (!dot || dot[1] < '1' || dot[1] > '9')
        return 0;
    uint64_t generation = strtoull(dot + 1, &end, 10);
    return *end ? 0 : generation;
}

static struct replica *get(struct replicas *replicas, uint64_t generation)
{
    struct replica *replica = table_find(&replicas->table, &generation);
    if (replica)
        return replica;
    replica = calloc(1, sizeof(*replica));
    if (!replica)
        return NULL;
    replica->generation = generation;
    if (table_insert(&replicas->table, replica) < 0) {
        free(replica);
        return NULL;
    }
    return replica;
}

static void free_replica(struct replica *replica)
{
    text_list_done(&replica->networks);
    digest_set_done(&replica->images);
    free(replica);
}

static void forget(struct replicas *replicas, struct replica *replica)
{
    struct peer *peer = replicas->peer;
    image_pins_drop(peer->image_store, &replica->images);
    if (peer->agent)
        agent_withdraw_replica(peer->agent, peer_now_ms(peer), replica->generation);
    table_remove(&replicas->table, &replica->generation);
    free_replica(replica);
    mesh_host_changed(peer->mesh);
}

static void publish(struct replicas *replicas, struct replica *replica,
                    const struct view_replica *status)
{
    struct peer *peer = replicas->peer;
    replica->told = *status;
    replica->told.generation = replica->generation;
    int rc = agent_publish_replica(peer->agent, peer_now_ms(peer), &replica->told);
    if (rc < 0)
        log_limited(LOG_WARNING, "replica %s: its state can't be told to others: %s",
                    replica->container_id, strerror(-rc));
    mesh_host_changed(peer->mesh);
    peer_wake(peer);
}

/* Says that the replica can't be started yet, or at all, and why. */
static void publish_trouble(struct replicas *replicas, struct replica *replica,
                            enum view_replica_state state, const char *detail)
{
    struct view_replica status = {.state = (uint8_t)state};
    snprintf(status.detail, sizeof(status.detail), "%.*s", VIEW_DETAIL_BYTES_MAX, detail);
    publish(replicas, replica, &status);
}

static void retry_later(struct replicas *replicas, struct replica *replica)
{
    replica->retry_at_ms = peer_now_ms(replicas->peer) + REPLICA_RETRY_MS;
    replicas_changed(replicas);
}

struct fetch {
    struct replicas *replicas;
    uint64_t generation;
};

static void on_fetched(void *context, const struct error *error)
{
    struct fetch *fetch = context;
    struct replicas *replicas = fetch->replicas;
    struct replica *replica = table_find(&replicas->table, &fetch->generation);
    free(fetch);
    if (!replica || replicas->peer->is_stopping)
        return;
    replica->is_fetching = false;
    if (error) {
        publish_trouble(replicas, replica, VIEW_REPLICA_PENDING, error->message);
        retry_later(replicas, replica);
        return;
    }
    replica->retry_at_ms = 0;
    replicas_changed(replicas);
}

/* The first of its images that is not here; NULL: all are. */
static const struct digest *missing_image(const struct replicas *replicas,
                                          const struct replica *replica)
{
    for (size_t i = 0; i < replica->images.count; i++)
        if (!images_has(replicas->peer->images, &replica->images.items[i]))
            return &replica->images.items[i];
    return NULL;
}

/* Sees to it that the images are here, one after the other. Returns true when they are already. */
static bool have_images(struct replicas *replicas, struct replica *replica)
{
    struct peer *peer = replicas->peer;
    const struct digest *missing = missing_image(replicas, replica);
    if (!missing)
        return true;
    struct fetch *fetch = malloc(sizeof(*fetch));
    if (!fetch) {
        retry_later(replicas, replica);
        return false;
    }
    *fetch = (struct fetch){replicas, replica->generation};
    replica->is_fetching = true;
    publish_trouble(replicas, replica, VIEW_REPLICA_PENDING, "fetching its image");
    int rc = images_fetch(peer->images, missing, false, on_fetched, fetch);
    if (rc < 0) {
        free(fetch);
        replica->is_fetching = false;
        retry_later(replicas, replica);
    }
    return false;
}

static void start(struct replicas *replicas, struct replica *replica,
                  const struct agent_wanted *wanted)
{
    struct peer *peer = replicas->peer;
    struct container_spec spec;
    struct error error = {0};
    int rc =
        replica_spec_make(wanted, agent_intent(peer->agent), replica->container_id, &spec, &error);
    if (rc == 0) {
        rc = runtime_start(peer->runtime, &spec, &error);
        container_spec_done(&spec);
    }
    if (rc < 0) {
        log_warning("replica %s can't be started: %s", replica->container_id, error.message);
        publish_trouble(replicas, replica, VIEW_REPLICA_FAILED, error.message);
        retry_later(replicas, replica);
        return;
    }
    replica->is_started = true;
    replica->waits_for_key = false;
    replica->retry_at_ms = 0;
}

/* Whether a secret that it shows is not sealed to this peer yet. */
static bool waits_for_key(const struct peer *peer, const struct agent_wanted *wanted, char *words,
                          size_t size)
{
    return holders_waits(agent_intent(peer->agent), &peer->identity.id, wanted->spec, words, size);
}

/* Looks again a little later, for nobody tells what has changed; or, for a secret's key, once the
 * intent brings it. */
static bool must_wait(struct replicas *replicas, struct replica *replica,
                      const struct agent_wanted *wanted)
{
    const struct peer *peer = replicas->peer;
    char words[DEPENDENCY_WORDS_BYTES];
    bool waits = dependency_waits(agent_intent(peer->agent), agent_view(peer->agent),
                                  wanted->service->stack, wanted->spec, words);
    replica->waits_for_key = !waits && waits_for_key(peer, wanted, words, sizeof(words));
    if (!waits && !replica->waits_for_key)
        return false;
    if (replica->told.state != VIEW_REPLICA_PENDING || strcmp(replica->told.detail, words) != 0)
        publish_trouble(replicas, replica, VIEW_REPLICA_PENDING, words);
    replica->retry_at_ms = peer_now_ms(peer) + REPLICA_WAIT_MS;
    return true;
}

struct limiting {
    struct peer *peer; /* the runtime may call when the replicas are gone, but not the peer */
    uint64_t generation;
};

static void on_limited(void *context, const struct error *error)
{
    struct limiting limiting = *(struct limiting *)context;
    struct replicas *replicas = limiting.peer->is_stopping ? NULL : limiting.peer->replicas;
    struct replica *replica = replicas ? table_find(&replicas->table, &limiting.generation) : NULL;
    free(context);
    if (!replica)
        return;
    replica->is_limiting = false;
    if (!error) {
        replica->retry_at_ms = 0;
        replicas_changed(replicas); /* they may have changed again */
        return;
    }
    log_warning("replica %s keeps its limits: %s", replica->container_id, error->message);
    struct view_replica told = replica->told;
    snprintf(told.detail, sizeof(told.detail), "its limits can't be changed: %.*s",
             VIEW_DETAIL_BYTES_MAX / 2, error->message);
    publish(replicas, replica, &told);
    retry_later(replicas, replica);
}

/* A revision may differ from the one that a container was started with in limits alone: then it
 * runs on, with those. */
static void keep_limits(struct replicas *replicas, struct replica *replica,
                        const struct service_spec *spec)
{
    struct peer *peer = replicas->peer;
    struct container_status status;
    if (replica->is_limiting || peer_now_ms(peer) < replica->retry_at_ms)
        return;
    replica->retry_at_ms = 0;
    if (runtime_status(peer->runtime, replica->container_id, &status) < 0 ||
        (status.spec->cpu_millicores == spec->resources.cpu_limit_millis &&
         status.spec->memory_bytes == spec->resources.memory_limit_bytes))
        return;
    struct limiting *limiting = malloc(sizeof(*limiting));
    if (!limiting) {
        retry_later(replicas, replica);
        return;
    }
    *limiting = (struct limiting){peer, replica->generation};
    int rc = runtime_update_limits(peer->runtime, replica->container_id,
                                   spec->resources.cpu_limit_millis,
                                   spec->resources.memory_limit_bytes, on_limited, limiting);
    replica->is_limiting = rc == 0;
    if (rc < 0) {
        free(limiting);
        retry_later(replicas, replica);
    }
}

/* What is left of the service's name leaves room for the largest slot and generation. */
static void name_container(const struct agent_wanted *wanted, char ret[RUNTIME_ID_BYTES_MAX + 1])
{
    const struct intent_replica *replica = wanted->replica;
    snprintf(ret, RUNTIME_ID_BYTES_MAX + 1, "%.*s.%u.%" PRIu64,
             stand_in_is(replica->generation) ? STAND_IN_NAME_BYTES : NAME_BYTES,
             wanted->service->name, replica->slot, replica->generation);
}

static void want(void *context, const struct agent_wanted *wanted)
{
    struct replicas *replicas = context;
    struct peer *peer = replicas->peer;
    struct replica *replica = get(replicas, wanted->replica->generation);
    if (!replica)
        return;
    replica->is_wanted = true;
    name_container(wanted, replica->container_id);
    if (replica->waits_for_key && !waits_for_key(peer, wanted, NULL, 0))
        replica->retry_at_ms = 0;
    if (replica->is_started && !replica->is_removing)
        keep_limits(replicas, replica, wanted->spec);
    if (replica->is_started || replica->is_fetching || replica->is_removing ||
        peer_now_ms(peer) < replica->retry_at_ms)
        return;
    int rc = image_pins_add(peer->image_store, wanted->spec, &replica->images);
    if (rc == -EINVAL)
        publish_trouble(replicas, replica, VIEW_REPLICA_FAILED, "its image has no digest");
    else if (rc < 0)
        retry_later(replicas, replica);
    if (rc < 0)
        return;
    if (have_images(replicas, replica) && !must_wait(replicas, replica, wanted))
        start(replicas, replica, wanted);
}

/* A stand-in is in no intent: its container tells what it is. */
static void adopt_stand_in(struct replicas *replicas, const struct container_status *status,
                           uint64_t generation)
{
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    const char *name = status->spec->name, *dot = name ? strrchr(name, '.') : NULL;
    if (!dot || (size_t)(dot - name) >= sizeof(service))
        return;
    snprintf(service, sizeof(service), "%.*s", (int)(dot - name), name);
    int rc = agent_adopt_stand_in(replicas->peer->agent, generation, service,
                                  (uint32_t)strtoul(dot + 1, NULL, 10));
    if (rc < 0)
        log_warning("container %s can't be taken over: %s", status->id, strerror(-rc));
}

static void adopt(void *context, const struct container_status *status)
{
    struct replicas *replicas = context;
    uint64_t generation = replicas_generation_of(status->id);
    if (stand_in_is(generation))
        adopt_stand_in(replicas, status, generation);
    struct replica *replica = generation ? get(replicas, generation) : NULL;
    if (!replica)
        return;
    replica->is_started = true;
    snprintf(replica->container_id, sizeof(replica->container_id), "%s", status->id);
    image_pins_adopt(replicas->peer->image_store, status->spec, &replica->images);
    replicas_status(replicas, status);
}

/* Tells the others first, and waits until they have heard. What does not serve needs no such care,
 * and an exclusive replica without a lease must not wait. */
static bool is_drained(struct replicas *replicas, struct replica *replica)
{
    int64_t now_ms = peer_now_ms(replicas->peer);
    const struct intent_replica *known =
        intent_replica_find(agent_intent(replicas->peer->agent), replica->generation);
    const struct service_spec *spec =
        known ? intent_spec_of(agent_intent(replicas->peer->agent), known) : NULL;
    if ((spec && spec->exclusive) || replica->told.state != VIEW_REPLICA_RUNNING)
        return replica->drained_at_ms == 0 || now_ms >= replica->drained_at_ms;
    struct view_replica stopping = replica->told;
    stopping.state = VIEW_REPLICA_STOPPING;
    replica->drained_at_ms = now_ms + REPLICA_DRAIN_MS;
    publish(replicas, replica, &stopping);
    return false;
}

/* Removes what is no longer wanted; the entry goes when the runtime says that nothing is left. */
static void remove_unwanted(struct replicas *replicas)
{
    for (size_t i = replicas->table.count; i-- > 0;) {
        struct replica *replica = replicas->table.items[i];
        if (replica->is_wanted || replica->is_removing)
            continue;
        if (!replica->is_started) {
            if (!replica->is_fetching)
                forget(replicas, replica);
            continue;
        }
        if (!is_drained(replicas, replica))
            continue;
        replica->is_removing = true;
        if (runtime_remove(replicas->peer->runtime, replica->container_id) == -ENOENT)
            forget(replicas, replica);
    }
}

static void reconcile(uv_timer_t *timer)
{
    struct replicas *replicas = timer->data;
    struct peer *peer = replicas->peer;
    int64_t next_ms = INT64_MAX;
    if (!peer->runtime_is_ready || !peer->agent || peer->is_stopping)
        return;
    if (!replicas->adopted) {
        replicas->adopted = true;
        runtime_list(peer->runtime, adopt, replicas);
        images_begin_collecting(peer->images); /* what they use is pinned by now */
    }
    if (agent_intent_is_old(peer->agent))
        return; /* it may not name what was placed here since; called again when it is new */
    for (size_t i = 0; i < replicas->table.count; i++)
        ((struct replica *)replicas->table.items[i])->is_wanted = false;
    if (peer->phase != PEER_GONE)
        agent_wanted(peer->agent, peer_now_ms(peer), want, replicas);
    remove_unwanted(replicas);
    for (size_t i = 0; i < replicas->table.count; i++) {
        const struct replica *replica = replicas->table.items[i];
        bool is_due = replica->is_started ? replica->retry_at_ms > 0 && !replica->is_limiting
                                          : !replica->is_fetching;
        if (replica->is_wanted && is_due && replica->retry_at_ms < next_ms)
            next_ms = replica->retry_at_ms;
        if (!replica->is_wanted && replica->is_started && !replica->is_removing &&
            replica->drained_at_ms < next_ms)
            next_ms = replica->drained_at_ms;
    }
    if (next_ms != INT64_MAX) {
        int64_t wait_ms = next_ms - peer_now_ms(peer);
        uv_timer_start(timer, reconcile, wait_ms > 0 ? (uint64_t)wait_ms : 1, 0);
    }
}

void replicas_changed(struct replicas *replicas)
{
    if (!replicas)
        return;
    uv_timer_start(&replicas->timer, reconcile, 0, 0);
    peer_is_busy(replicas->peer);
}

static enum view_replica_state state_of(enum container_state state)
{
    switch (state) {
    case CONTAINER_CREATING:
    case CONTAINER_STARTING:
        return VIEW_REPLICA_STARTING;
    case CONTAINER_RUNNING:
        return VIEW_REPLICA_RUNNING;
    case CONTAINER_STOPPING:
        return VIEW_REPLICA_STOPPING;
    case CONTAINER_EXITED:
    case CONTAINER_REMOVED:
        return VIEW_REPLICA_EXITED;
    case CONTAINER_BACKOFF:
        return VIEW_REPLICA_BACKOFF;
    case CONTAINER_FAILED:
        break;
    }
    return VIEW_REPLICA_FAILED;
}

static enum view_health health_of(enum health_state health)
{
    switch (health) {
    case HEALTH_NONE:
        return VIEW_HEALTH_NONE;
    case HEALTH_STARTING:
        return VIEW_HEALTH_STARTING;
    case HEALTH_HEALTHY:
        return VIEW_HEALTH_GOOD;
    case HEALTH_UNHEALTHY:
        break;
    }
    return VIEW_HEALTH_BAD;
}

/* Without memory an address is left out: nobody is let through to it or from it. */
static void keep_addresses(struct replica *replica, const struct container_status *status)
{
    memcpy(replica->addresses, status->addresses, sizeof(replica->addresses));
    text_list_done(&replica->networks);
    for (size_t i = 0; i < status->address_count; i++)
        if (text_list_add(&replica->networks, status->networks[i]) < 0)
            return;
}

void replicas_status(struct replicas *replicas, const struct container_status *status)
{
    uint64_t generation = replicas_generation_of(status->id);
    struct replica *replica = table_find(&replicas->table, &generation);
    if (!replica)
        return;
    if (replica->drained_at_ms > 0 && status->state == CONTAINER_RUNNING)
        return; /* it still runs, but was said to stop */
    if (status->state == CONTAINER_REMOVED) {
        forget(replicas, replica);
        replicas_changed(replicas);
        return;
    }
    struct view_replica told = {
        .state = (uint8_t)state_of(status->state),
        .health = (uint8_t)health_of(status->health),
        .restarts = status->restarts,
        .exit_code = status->exit_code,
    };
    snprintf(told.detail, sizeof(told.detail), "%s%.480s",
             status->oom_killed ? "out of memory: " : "", status->error);
    keep_addresses(replica, status);
    publish(replicas, replica, &told);
}

void replicas_each_address(const struct replicas *replicas,
                           void (*each)(void *context, uint64_t generation, const char *service,
                                        const char *network, const struct address *address),
                           void *context)
{
    const struct intent *intent = agent_intent(replicas->peer->agent);
    for (size_t i = 0; i < replicas->table.count; i++) {
        const struct replica *replica = replicas->table.items[i];
        const struct intent_replica *known =
            any_replica_find(intent, agent_view(replicas->peer->agent), replica->generation);
        for (size_t j = 0; known && j < replica->networks.count; j++)
            each(context, replica->is_started ? replica->generation : 0, known->service,
                 replica->networks.items[j], &replica->addresses[j]);
    }
}

size_t replicas_count(const struct replicas *replicas)
{
    return replicas->table.count;
}

bool replicas_container_id(const struct replicas *replicas, uint64_t generation,
                           char ret[RUNTIME_ID_BYTES_MAX + 1])
{
    const struct replica *replica = table_find(&replicas->table, &generation);
    if (!replica || !replica->is_started)
        return false;
    memcpy(ret, replica->container_id, sizeof(replica->container_id));
    return true;
}

const struct container_stats *replicas_stats(const struct replicas *replicas,
                                             const struct intent_replica *replica,
                                             const struct stats_entry *entries, size_t count)
{
    char id[RUNTIME_ID_BYTES_MAX + 1];
    if (!id_equal(&replica->peer, &replicas->peer->identity.id) ||
        !replicas_container_id(replicas, replica->generation, id))
        return NULL;
    return stats_find(entries, count, id);
}

struct replicas *replicas_new(struct peer *peer)
{
    struct replicas *replicas = calloc(1, sizeof(*replicas));
    if (!replicas)
        return NULL;
    replicas->peer = peer;
    table_init(&replicas->table, compare_generation, generation_of);
    uv_timer_init(peer->loop, &replicas->timer);
    replicas->timer.data = replicas;
    return replicas;
}

static void on_closed(uv_handle_t *handle)
{
    struct replicas *replicas = handle->data;
    for (size_t i = 0; i < replicas->table.count; i++)
        free_replica(replicas->table.items[i]);
    table_done(&replicas->table);
    free(replicas);
}

void replicas_free(struct replicas *replicas)
{
    if (!replicas)
        return;
    uv_close((uv_handle_t *)&replicas->timer, on_closed);
}
