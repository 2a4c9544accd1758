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
    GRAVE_LIFE_FACTOR = 2, /* a grave lasts this many times as long as the dead are listed */
};

static int compare_member(const void *item, const void *key)
{
    return id_compare(member_id(item), key);
}

static const void *member_key(const void *item)
{
    return member_id(item);
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

struct member *member_find_prefix(const struct swim *swim, uint64_t prefix)
{
    struct id id = ID_NONE;
    for (size_t i = 0; i < ID_PREFIX_BYTES; i++)
        id.bytes[i] = (uint8_t)(prefix >> (8 * (ID_PREFIX_BYTES - 1 - i)));
    size_t index = table_lower_bound(&swim->members, &id);
    if (index == swim->members.count)
        return NULL;
    struct member *member = member_at(swim, index);
    return id_prefix(member_id(member)) == prefix ? member : NULL;
}

bool member_is_live(const struct member *member)
{
    return member->state == SWIM_ALIVE || member->state == SWIM_SUSPECT;
}

static void count_state(struct swim *swim, enum swim_state state, int step)
{
    swim->live_count += state == SWIM_ALIVE || state == SWIM_SUSPECT ? (size_t)step : 0;
    swim->alive_count += state == SWIM_ALIVE ? (size_t)step : 0;
    swim->dead_count += state == SWIM_DEAD ? (size_t)step : 0;
}

static void note_left(struct swim *swim, const struct member *member)
{
    int64_t deadline_ms = member->since_ms + swim->config.forget_left_ms;
    if (deadline_ms < swim->left_ms)
        swim->left_ms = deadline_ms;
}

void member_set_state(struct swim *swim, struct member *member, enum swim_state state)
{
    count_state(swim, member->state, -1);
    count_state(swim, state, 1);
    member->state = state;
    member->since_ms = swim->now_ms;
    if (state == SWIM_LEFT && member != swim->self)
        note_left(swim, member);
    if (state == SWIM_DEAD) {
        struct suspicion *suspicion = member->suspicion;
        suspicion_uphold(swim, member);
        suspicion_set_deadline(swim, member);
        suspicion->reconnect_backoff_ms = swim->config.reconnect_min_ms;
        suspicion->reconnect_ms = swim->now_ms + suspicion->reconnect_backoff_ms;
        reach_soon(swim);
    }
}

/* Makes a member of an admitted presence. The reference passes to the member on success. */
static int create(struct swim *swim, struct fact *presence, struct member **ret)
{
    struct member *member = member_alloc(swim);
    if (!member)
        return -ENOMEM;
    member->state = SWIM_ALIVE;
    member->since_ms = swim->now_ms;
    member->presence = presence;
    int rc = table_insert(&swim->members, member);
    if (rc < 0) {
        member_free(swim, member);
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
    member_free(swim, member);
}

/* Takes a member out of everything, without an event. */
static void remove_member(struct swim *swim, struct member *member)
{
    count_state(swim, member->state, -1);
    table_remove(&swim->members, member_id(member));
    trust_forget(swim, member_id(member));
    probe_forget(swim, member);
    path_forget(swim, member_id(member));
    destroy(swim, member);
}

int members_init(struct swim *swim)
{
    struct fact *presence;
    table_init(&swim->members, compare_member, member_key);
    table_init(&swim->revoked, compare_id, id_key);
    table_init(&swim->graves, compare_grave, grave_key);
    paths_init(swim);
    trust_init(swim);
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
    swim->announcements = 1;
    rumor_add(swim, presence, RUMOR_NEWS);
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
    slabs_done(swim);
    free(swim->doubted);
    paths_done(swim);
    trust_done(swim);
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
    rumor_add(swim, presence, RUMOR_NEWS);
    swim_event(swim, SWIM_MEMBER_JOINED, &view->signer, NULL, view->version);
    return true;
}

/* Takes a newer presence of a member: whatever was held against it is void. */
static void presence_renew(struct swim *swim, struct member *member, struct fact *presence)
{
    const struct fact_view *view = &presence->view;
    enum swim_state before = member->state;
    bool restarted = view->version >> 32 > member_incarnation(member) >> 32;
    bool moved = !address_equal(&view->presence.address, member_address(member));

    suspicion_clear(swim, member);
    rumor_drop(swim, member->presence);
    fact_release(swim->pool, member->presence);
    member->presence = presence;
    if (restarted && !view->presence.left)
        records_void(swim, member);
    rumor_add(swim, presence, restarted ? RUMOR_NEWS : RUMOR_URGENT);

    if (view->presence.left) {
        if (before != SWIM_LEFT) {
            member_set_state(swim, member, SWIM_LEFT);
            swim_event(swim, SWIM_MEMBER_LEFT, &view->signer, NULL, view->version);
        }
        records_void(swim, member);
        return;
    }
    if (before != SWIM_ALIVE)
        member_set_state(swim, member, SWIM_ALIVE);
    if (before != SWIM_ALIVE || restarted)
        swim_event(swim, SWIM_MEMBER_ALIVE, &view->signer, NULL, view->version);
    if (moved) {
        member->is_confirmed = false;
        path_readdressed(swim, member);
        swim_event(swim, SWIM_MEMBER_CHANGED, &view->signer, NULL, view->version);
    }
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
    if (view->version <= member_incarnation(member))
        return false;
    struct fact *presence;
    int rc = fact_pool_admit(swim->pool, view, &presence);
    if (rc < 0) {
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

/* Makes room for one more: the grave that would be cleared first is given up. */
static void clear_oldest_grave(struct swim *swim)
{
    size_t oldest = 0;
    for (size_t i = 1; i < swim->graves.count; i++) {
        const struct grave *grave = swim->graves.items[i];
        if (grave->until_ms < ((const struct grave *)swim->graves.items[oldest])->until_ms)
            oldest = i;
    }
    free(table_remove(&swim->graves, grave_key(swim->graves.items[oldest])));
}

/* A grave refuses what its member has said so far. Also of one that left: who was cut off from us
 * when it did holds it dead, and lists it for as long as the dead are listed. */
static void bury(struct swim *swim, const struct member *member)
{
    int64_t until_ms = swim->now_ms + GRAVE_LIFE_FACTOR * (int64_t)swim->config.forget_dead_ms;
    struct grave *grave = malloc(sizeof(*grave));
    if (swim->graves.count == SWIM_GRAVES_MAX)
        clear_oldest_grave(swim);
    if (grave)
        *grave = (struct grave){*member_id(member), member_incarnation(member), until_ms};
    if (!grave || table_insert(&swim->graves, grave) < 0) {
        free(grave);
        swim_fail(swim, -ENOMEM);
    } else if (until_ms < swim->graves_ms) {
        swim->graves_ms = until_ms;
    }
}

static void forget(struct swim *swim, struct member *member)
{
    bury(swim, member);
    if (member->state == SWIM_DEAD)
        seed_forgotten(swim, member);
    swim_event(swim, SWIM_MEMBER_FORGOTTEN, member_id(member), NULL, member_incarnation(member));
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

static void clear_graves(struct swim *swim)
{
    size_t kept = 0;
    if (swim->now_ms < swim->graves_ms)
        return;
    swim->graves_ms = NEVER_MS;
    for (size_t i = 0; i < swim->graves.count; i++) {
        struct grave *grave = swim->graves.items[i];
        if (grave->until_ms <= swim->now_ms) {
            free(grave);
            continue;
        }
        if (grave->until_ms < swim->graves_ms)
            swim->graves_ms = grave->until_ms;
        swim->graves.items[kept++] = grave;
    }
    swim->graves.count = kept;
}

/* Forgets those that left long ago. */
static void clear_left(struct swim *swim)
{
    if (swim->now_ms < swim->left_ms)
        return;
    swim->left_ms = NEVER_MS;
    for (size_t i = swim->members.count; i-- > 0;) {
        struct member *member = member_at(swim, i);
        if (member->state != SWIM_LEFT || member == swim->self)
            continue;
        if (member->since_ms + swim->config.forget_left_ms <= swim->now_ms)
            forget(swim, member);
        else
            note_left(swim, member);
    }
}

/* Whoever dies makes the fleet smaller, and so the suspicions of the others shorter. */
static struct member *next_doubted(struct swim *swim)
{
    suspicions_keep_pace(swim);
    if (swim->doubted_count == 0 || swim->doubted[0]->suspicion->deadline_ms > swim->now_ms)
        return NULL;
    return swim->doubted[0];
}

void members_run(struct swim *swim)
{
    struct member *member;
    while ((member = next_doubted(swim))) {
        if (member->state == SWIM_DEAD) {
            forget(swim, member);
            continue;
        }
        member_set_state(swim, member, SWIM_DEAD);
        swim->counters.deaths++;
        swim_event(swim, SWIM_MEMBER_DEAD, member_id(member),
                   &member->suspicion->accusations[0]->view.signer, member_incarnation(member));
    }
    clear_left(swim);
    clear_graves(swim);
}

int64_t members_deadline(const struct swim *swim)
{
    int64_t deadline_ms = swim->left_ms < swim->graves_ms ? swim->left_ms : swim->graves_ms;
    if (swim->doubted_count > 0 && swim->doubted[0]->suspicion->deadline_ms < deadline_ms)
        return swim->doubted[0]->suspicion->deadline_ms;
    return deadline_ms;
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
    uint64_t incarnation = member ? member_incarnation(member) : 0;
    if (member)
        remove_member(swim, member);
    suspicion_drop_accuser(swim, id);
    relays_forget(swim, id);
    swim_event(swim, SWIM_MEMBER_REVOKED, id, NULL, incarnation);
    return 0;
}
