/* Who is there: the members in the order of their ids, their states, and how they come and go.
 *
 * A member is created by its own signed presence only. It is forgotten long after it died or left;
 * a grave keeps others' older words from bringing it back.
 */
#include "gossip/swim_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    PICK_TRIES = 16,
    COUNTER_START_MAX = 1 << 24,
    GRAVE_LIFE_FACTOR = 2, /* a grave lasts this many times as long as its peer was listed dead */
};

static int compare_member(const void *item, const void *key)
{
    return id_compare(&((const struct member *)item)->view.id, key);
}

static const void *member_key(const void *item)
{
    return &((const struct member *)item)->view.id;
}

static int compare_id(const void *item, const void *key)
{
    return id_compare(item, key);
}

static const void *id_key(const void *item)
{
    return item;
}

static int compare_grave(const void *item, const void *key)
{
    return id_compare(&((const struct grave *)item)->id, key);
}

static const void *grave_key(const void *item)
{
    return &((const struct grave *)item)->id;
}

struct member *member_find(const struct swim *swim, const struct id *id)
{
    return table_find(&swim->members, id);
}

struct member *member_at(const struct swim *swim, size_t index)
{
    return swim->members.items[index];
}

bool member_is_live(const struct member *member)
{
    return member->view.state == SWIM_ALIVE || member->view.state == SWIM_SUSPECT;
}

static void count_state(struct swim *swim, enum swim_state state, int step)
{
    swim->live_count += state == SWIM_ALIVE || state == SWIM_SUSPECT ? (size_t)step : 0;
    swim->alive_count += state == SWIM_ALIVE ? (size_t)step : 0;
    swim->dead_count += state == SWIM_DEAD ? (size_t)step : 0;
}

void member_set_state(struct swim *swim, struct member *member, enum swim_state state)
{
    count_state(swim, member->view.state, -1);
    count_state(swim, state, 1);
    member->view.state = state;
    member->view.since_ms = swim->now_ms;
    swim->members_ms = swim->now_ms; /* deadlines depend on states: look at all of them again */
    if (state == SWIM_DEAD) {
        member->reconnect_backoff_ms = swim->config.reconnect_min_ms;
        member->reconnect_ms = swim->now_ms + member->reconnect_backoff_ms;
        reach_soon(swim);
    }
}

/* Makes a member of an admitted presence. The reference passes to the member on success. */
static int create(struct swim *swim, struct fact *presence, struct member **ret)
{
    struct member *member = calloc(1, sizeof(*member));
    if (!member)
        return -ENOMEM;
    const struct fact_view *view = &presence->view;
    member->view.id = view->signer;
    member->view.address = view->presence.address;
    member->view.incarnation = view->version;
    member->view.state = SWIM_ALIVE;
    member->view.since_ms = swim->now_ms;
    member->presence = presence;
    records_init(member);
    int rc = table_insert(&swim->members, member);
    if (rc < 0) {
        free(member);
        return rc;
    }
    count_state(swim, SWIM_ALIVE, 1);
    *ret = member;
    return 0;
}

static void destroy(struct swim *swim, struct member *member)
{
    suspicion_clear(swim, member);
    records_done(swim, member);
    rumor_drop(swim, member->presence);
    fact_release(swim->pool, member->presence);
    free(member);
}

/* Takes a member out of everything, without an event. */
static void remove_member(struct swim *swim, struct member *member)
{
    count_state(swim, member->view.state, -1);
    table_remove(&swim->members, &member->view.id);
    probe_forget(swim, member);
    destroy(swim, member);
}

int members_init(struct swim *swim)
{
    struct fact *presence;
    table_init(&swim->members, compare_member, member_key);
    table_init(&swim->revoked, compare_id, id_key);
    table_init(&swim->graves, compare_grave, grave_key);
    /* Counters begin at random, so that if the generation was lost (a disk put back from a backup),
     * what we say does not pass for what was said under the same numbers: see self_outrun(). */
    swim->incarnation = (uint64_t)swim->config.generation << 32 |
                        (1 + random_below(&swim->random, COUNTER_START_MAX));
    swim->record_version = swim->incarnation;
    struct fact_view self = {
        .kind = FACT_PRESENCE,
        .version = swim->incarnation,
        .presence.address = swim->config.advertised,
    };
    int rc = fact_sign(swim->pool, swim->config.identity, &self, &presence);
    if (rc < 0)
        return rc;
    rc = create(swim, presence, &swim->self);
    if (rc < 0) {
        fact_release(swim->pool, presence);
        return rc;
    }
    records_void(swim, swim->self, swim->incarnation);
    rumor_add(swim, presence);
    return swim->rc;
}

static void free_items(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->items[i]);
    table_done(table);
}

void members_done(struct swim *swim)
{
    for (size_t i = 0; i < swim->members.count; i++)
        destroy(swim, member_at(swim, i));
    table_done(&swim->members);
    free_items(&swim->revoked);
    free_items(&swim->graves);
}

/* Adds a peer that was not known. */
static bool presence_join(struct swim *swim, const struct fact_view *view)
{
    const struct swim_config *config = &swim->config;
    struct grave *grave = table_find(&swim->graves, &view->signer);
    struct fact *presence;
    struct member *member;

    if (view->presence.left || (grave && view->version <= grave->incarnation))
        return false;
    if (swim->members.count >= config->members_max)
        return false;
    if (config->admits && !config->admits(config->admits_context, &view->signer))
        return false;
    int rc = fact_pool_admit(swim->pool, view, &presence);
    if (rc < 0) {
        if (rc == -ENOMEM)
            swim_fail(swim, rc);
        return false;
    }
    rc = create(swim, presence, &member);
    if (rc < 0) {
        swim_fail(swim, rc);
        fact_release(swim->pool, presence);
        return false;
    }
    rc = ring_add(swim, member);
    if (rc < 0) {
        swim_fail(swim, rc);
        remove_member(swim, member);
        return false;
    }
    if (grave)
        free(table_remove(&swim->graves, &view->signer));
    records_void(swim, member, view->version);
    rumor_add(swim, presence);
    swim_event(swim, SWIM_MEMBER_JOINED, &view->signer, NULL, view->version);
    return true;
}

static uint64_t next_generation(uint64_t incarnation)
{
    return ((incarnation >> 32) + 1) << 32;
}

/* Takes a newer presence of a member: whatever was held against it is void. */
static void presence_renew(struct swim *swim, struct member *member, struct fact *presence)
{
    const struct fact_view *view = &presence->view;
    enum swim_state before = member->view.state;
    bool restarted = view->version >> 32 > member->view.incarnation >> 32;
    bool moved = !address_equal(&view->presence.address, &member->view.address);

    suspicion_clear(swim, member);
    rumor_drop(swim, member->presence);
    fact_release(swim->pool, member->presence);
    member->presence = presence;
    member->view.incarnation = view->version;
    member->view.address = view->presence.address;
    if (restarted)
        records_void(swim, member, view->version);
    rumor_add(swim, presence);

    if (view->presence.left) {
        if (before != SWIM_LEFT) {
            member_set_state(swim, member, SWIM_LEFT);
            swim_event(swim, SWIM_MEMBER_LEFT, &view->signer, NULL, view->version);
        }
        records_void(swim, member, next_generation(view->version));
        return;
    }
    if (before != SWIM_ALIVE)
        member_set_state(swim, member, SWIM_ALIVE);
    if (before != SWIM_ALIVE || restarted)
        swim_event(swim, SWIM_MEMBER_ALIVE, &view->signer, NULL, view->version);
    if (moved)
        swim_event(swim, SWIM_MEMBER_CHANGED, &view->signer, NULL, view->version);
    if (before == SWIM_DEAD) {
        /* It may come from the other side of a partition, and so the others there with it. */
        sync_soon(swim, &view->signer);
        reach_again(swim);
    }
}

bool presence_apply(struct swim *swim, const struct fact_view *view)
{
    if (swim_is_revoked(swim, &view->signer))
        return false;
    struct member *member = member_find(swim, &view->signer);
    if (!member)
        return presence_join(swim, view);
    if (view->version <= member->view.incarnation)
        return false;
    struct fact *presence;
    int rc = fact_pool_admit(swim->pool, view, &presence);
    if (rc < 0) {
        if (rc == -ENOMEM)
            swim_fail(swim, rc);
        return false;
    }
    if (member == swim->self) {
        fact_release(swim->pool, presence);
        self_outrun(swim, view->version);
        return true;
    }
    presence_renew(swim, member, presence);
    return true;
}

static bool is_among(struct member *const *members, size_t count, const struct member *member)
{
    for (size_t i = 0; i < count; i++)
        if (members[i] == member)
            return true;
    return false;
}

struct member *member_pick(struct swim *swim, struct member *const * not, size_t not_count)
{
    size_t count = swim->members.count;
    size_t index = 0;
    for (int i = 0; i < PICK_TRIES; i++) {
        index = (size_t)random_below(&swim->random, count);
        struct member *member = member_at(swim, index);
        if (member_is_live(member) && member != swim->self && !is_among(not, not_count, member))
            return member;
    }
    /* Few are left to choose from: take the next one after a random place. */
    for (size_t i = 0; i < count; i++) {
        struct member *member = member_at(swim, (index + i) % count);
        if (member_is_live(member) && member != swim->self && !is_among(not, not_count, member))
            return member;
    }
    return NULL;
}

/* Buries a member: its grave refuses what it has said so far. */
static void forget(struct swim *swim, struct member *member)
{
    bool left = member->view.state == SWIM_LEFT;
    int64_t listed_ms = left ? swim->config.forget_left_ms : swim->config.forget_dead_ms;
    if (swim->graves.count < SWIM_GRAVES_MAX) {
        struct grave *grave = malloc(sizeof(*grave));
        if (grave)
            *grave = (struct grave){member->view.id, member->view.incarnation,
                                    swim->now_ms + GRAVE_LIFE_FACTOR * listed_ms};
        if (!grave || table_insert(&swim->graves, grave) < 0) {
            free(grave);
            swim_fail(swim, -ENOMEM);
        }
    }
    swim_event(swim, SWIM_MEMBER_FORGOTTEN, &member->view.id, NULL, member->view.incarnation);
    remove_member(swim, member);
}

bool is_buried(const struct swim *swim, const struct id *id)
{
    return table_find(&swim->graves, id) != NULL;
}

struct fact *grave_challenge(struct swim *swim, const struct id *id)
{
    struct grave *grave = table_find(&swim->graves, id);
    struct fact *accusation;
    if (!grave)
        return NULL;
    struct fact_view view = {
        .kind = FACT_ACCUSATION,
        .version = grave->incarnation,
        .accusation.accused = *id,
    };
    int rc = fact_sign(swim->pool, swim->config.identity, &view, &accusation);
    if (rc < 0) {
        swim_fail(swim, rc);
        return NULL;
    }
    return accusation;
}

/* When that member's state changes by time alone, if it does. */
static int64_t member_deadline(const struct swim *swim, const struct member *member)
{
    switch (member->view.state) {
    case SWIM_ALIVE:
        return NEVER_MS;
    case SWIM_SUSPECT:
        return suspicion_deadline(swim, member);
    case SWIM_DEAD:
        return member->view.since_ms + swim->config.forget_dead_ms;
    case SWIM_LEFT:
        return member == swim->self ? NEVER_MS
                                    : member->view.since_ms + swim->config.forget_left_ms;
    }
    return NEVER_MS;
}

static void clear_graves(struct swim *swim)
{
    size_t kept = 0;
    for (size_t i = 0; i < swim->graves.count; i++) {
        struct grave *grave = swim->graves.items[i];
        if (grave->until_ms <= swim->now_ms) {
            free(grave);
            continue;
        }
        if (grave->until_ms < swim->members_ms)
            swim->members_ms = grave->until_ms;
        swim->graves.items[kept++] = grave;
    }
    swim->graves.count = kept;
}

void members_run(struct swim *swim)
{
    if (swim->now_ms < swim->members_ms)
        return;
    int64_t next_ms = NEVER_MS;
    for (size_t i = 0; i < swim->members.count;) {
        struct member *member = member_at(swim, i);
        int64_t deadline_ms = member_deadline(swim, member);
        if (deadline_ms > swim->now_ms) {
            if (deadline_ms < next_ms)
                next_ms = deadline_ms;
            i++;
        } else if (member->view.state == SWIM_SUSPECT) {
            member_set_state(swim, member, SWIM_DEAD);
            swim_event(swim, SWIM_MEMBER_DEAD, &member->view.id,
                       &member->suspicion->accusations[0]->view.signer, member->view.incarnation);
        } else {
            forget(swim, member);
        }
    }
    swim->members_ms = next_ms;
    clear_graves(swim);
}

bool swim_is_revoked(const struct swim *swim, const struct id *id)
{
    return table_find(&swim->revoked, id) != NULL;
}

int swim_revoke(struct swim *swim, int64_t now_ms, const struct id *id)
{
    if (id_equal(id, &swim->config.self))
        return -EINVAL;
    if (swim_is_revoked(swim, id))
        return 0;
    if (swim->revoked.count >= SWIM_REVOKED_MAX)
        return -ENOSPC;
    struct id *copy = malloc(sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *copy = *id;
    int rc = table_insert(&swim->revoked, copy);
    if (rc < 0) {
        free(copy);
        return rc;
    }

    swim->now_ms = now_ms;
    struct member *member = member_find(swim, id);
    uint64_t incarnation = member ? member->view.incarnation : 0;
    if (member)
        remove_member(swim, member);
    suspicion_drop_accuser(swim, id);
    swim_event(swim, SWIM_MEMBER_REVOKED, id, NULL, incarnation);
    return 0;
}
