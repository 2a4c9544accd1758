/* What we say about ourselves: that we are here, and our records.
 *
 * An owner's floor is the version of its oldest record in force, tombstones included. Tombstones
 * older than config.tombstone_ms are dropped once they are the oldest of all; a live record that is
 * older than such a tombstone is said again, one at each publication, so that the floor moves on.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    HEALTH_REFUTED = 1,    /* being accused is a sign that we are slow (Lifeguard, section IV-A) */
    REFUTE_PACE_MS = 1500, /* for each live member, between answers to those that are not heard */
};

static int announce(struct swim *swim, uint64_t incarnation, const struct address *address,
                    bool left)
{
    struct member *self = swim->self;
    struct fact *presence;
    struct fact_view view = {
        .kind = FACT_PRESENCE,
        .version = incarnation,
        .presence = {.address = *address, .left = left},
    };
    int rc = fact_sign(swim->pool, swim->config.identity, &view, &presence);
    if (rc < 0)
        return rc;
    rumor_drop(swim, self->presence);
    fact_release(swim->pool, self->presence);
    self->presence = presence;
    swim->incarnation = incarnation;
    if (++swim->announcements == 0)
        swim->announcements = 1; /* nobody was told number 0 */
    if (left && self->state != SWIM_LEFT)
        member_set_state(swim, self, SWIM_LEFT);
    rumor_add(swim, presence, RUMOR_URGENT);
    return 0;
}

/* Whose word makes us answer an accusation: the accuser's, unless it was refuted too often; else
 * that of another, who passes on what counts with it and not what does not; or NULL. */
static const struct id *believer(const struct swim *swim, const struct id *accuser)
{
    if (trust_accuser_of_us(swim, accuser))
        return accuser;
    if (!id_equal(&swim->teller, accuser) && trust_accuser_of_us(swim, &swim->teller))
        return &swim->teller;
    return NULL;
}

/* An accuser that is not heard is answered now and then all the same, so that it comes to know
 * better if it only errs; by all of the fleet together no more often than it can bear. */
bool self_must_refute(const struct swim *swim, const struct id *accuser)
{
    return believer(swim, accuser) ||
           swim->now_ms - swim->refuted_ms >= (int64_t)swim->live_count * REFUTE_PACE_MS;
}

void self_refute(struct swim *swim, const struct fact_view *accusation)
{
    const struct id *by = believer(swim, &accusation->signer);
    int rc = announce(swim, swim->incarnation + 1, member_address(swim->self), false);
    if (rc < 0) {
        swim_fail(swim, rc);
        return;
    }
    swim->counters.refutations++;
    swim->refuted_ms = swim->now_ms;
    if (by)
        health_add(swim, HEALTH_REFUTED);
    if (by && member_find(swim, by))
        trust_charge_accuser(swim, by);
    swim_event(swim, SWIM_SELF_REFUTED, &swim->config.self, &accusation->signer, swim->incarnation);
}

/* Signs and stores one record under the next version. */
static int say(struct swim *swim, const struct record_key *key, struct bytes value, bool withdrawn)
{
    struct member *self = swim->self;
    struct fact *fact, *previous;
    struct record_set *set;
    struct fact_view view = {
        .kind = FACT_RECORD,
        .version = swim->record_version + 1,
        .record = {.key = *key, .value = value, .withdrawn = withdrawn, .sum = records_sum(self)},
    };
    if ((uint32_t)view.version == 0)
        return -ENOSPC; /* 2^32 records in one generation */
    view.record.floor = view.version;
    for (size_t i = 0; i < records_count(self); i++) {
        const struct fact *other = self->records->facts[i];
        if (record_key_compare(&other->view.record.key, key) == 0)
            view.record.sum -= other->view.mix;
        else if (other->view.version < view.record.floor)
            view.record.floor = other->view.version;
    }
    int rc = fact_sign(swim->pool, swim->config.identity, &view, &fact);
    if (rc < 0)
        return rc;
    set = records_edit(swim, self);
    if (!set) {
        fact_release(swim->pool, fact);
        return -ENOMEM;
    }
    record_put(swim, self, fact, &previous);
    set->floor = view.record.floor;
    records_edited(swim, self);
    swim->record_version = view.version;
    fact_release(swim->pool, previous);
    rumor_add(swim, fact, RUMOR_RECORD);
    return 0;
}

void records_age(struct swim *swim)
{
    if (swim->now_ms < swim->tombstone_ms)
        return;
    swim->tombstone_old = swim->tombstone_new;
    swim->tombstone_new = swim->record_version;
    swim->tombstone_ms = swim->now_ms + swim->config.tombstone_ms;
}

/* The oldest record that is not withdrawn, or NULL. */
static struct fact *oldest_live(const struct member *owner)
{
    struct fact *oldest = NULL;
    for (size_t i = 0; i < records_count(owner); i++) {
        struct fact *fact = owner->records->facts[i];
        if (!fact->view.record.withdrawn && (!oldest || fact->view.version < oldest->view.version))
            oldest = fact;
    }
    return oldest;
}

/* Drops the tombstones up to `expired` that the floor can pass. Says how many it can't. -ENOMEM,
 * nothing dropped. */
static int drop_tombstones(struct swim *swim, uint64_t expired, size_t *ret_pinned)
{
    struct member *self = swim->self;
    const struct fact *live = oldest_live(self);
    size_t pinned = 0;
    if (records_count(self) == 0) {
        *ret_pinned = 0;
        return 0;
    }
    struct record_set *set = records_edit(swim, self);
    if (!set)
        return -ENOMEM;
    for (size_t i = set->count; i-- > 0;) {
        const struct fact *fact = set->facts[i];
        if (!fact->view.record.withdrawn || fact->view.version > expired)
            continue;
        if (live && live->view.version < fact->view.version)
            pinned++;
        else
            record_drop_at(swim, self, i);
    }
    records_edited(swim, self);
    *ret_pinned = pinned;
    return 0;
}

static bool is_full(const struct swim *swim)
{
    return records_count(swim->self) >= swim->config.records_per_owner_max;
}

/* Makes the floor move on (see above). When there is no room for another record, tombstones of any
 * age have to go. */
static int compact(struct swim *swim)
{
    records_age(swim);
    for (;;) {
        uint64_t expired = is_full(swim) ? swim->record_version : swim->tombstone_old;
        size_t pinned = 0;
        int rc = drop_tombstones(swim, expired, &pinned);
        if (rc < 0 || pinned == 0)
            return rc;
        const struct fact *oldest = oldest_live(swim->self);
        rc = say(swim, &oldest->view.record.key, oldest->view.record.value, false);
        if (rc < 0 || !is_full(swim))
            return rc;
    }
}

int swim_publish(struct swim *swim, int64_t now_ms, enum swim_table table, struct bytes key,
                 struct bytes value)
{
    struct record_key record_key = {table, key};
    if (table >= SWIM_TABLE_COUNT || key.size == 0 || key.size > SWIM_KEY_BYTES_MAX ||
        value.size > SWIM_VALUE_BYTES_MAX)
        return -EINVAL;
    swim->now_ms = now_ms;
    const struct fact *held = record_find(swim->self, &record_key);
    if (held && !held->view.record.withdrawn && bytes_equal(held->view.record.value, value))
        return 0;
    int rc = compact(swim);
    if (rc < 0)
        return rc;
    if (is_full(swim) && !record_find(swim->self, &record_key))
        return -ENOSPC;
    return say(swim, &record_key, value, false);
}

int swim_withdraw(struct swim *swim, int64_t now_ms, enum swim_table table, struct bytes key)
{
    struct record_key record_key = {table, key};
    swim->now_ms = now_ms;
    const struct fact *held = record_find(swim->self, &record_key);
    if (!held || held->view.record.withdrawn)
        return -ENOENT;
    int rc = compact(swim);
    if (rc < 0)
        return rc;
    return say(swim, &record_key, (struct bytes){NULL, 0}, true);
}

/* Says all of our records again, under the versions of the generation that has begun. */
static void say_all_again(struct swim *swim)
{
    struct member *self = swim->self;
    size_t count = records_count(self);
    struct fact **facts = calloc(count + 1, sizeof(struct fact *));
    if (!facts) {
        swim_fail(swim, -ENOMEM);
        return;
    }
    for (size_t i = 0; i < count; i++)
        facts[i] = fact_retain(self->records->facts[i]);
    records_void(swim, self);
    swim->record_version = swim->incarnation >> 32 << 32;
    for (size_t i = 0; i < count; i++) {
        const struct fact_view *view = &facts[i]->view;
        int rc =
            view->record.withdrawn ? 0 : say(swim, &view->record.key, view->record.value, false);
        if (rc < 0)
            swim_fail(swim, rc);
        fact_release(swim->pool, facts[i]);
    }
    free(facts);
}

void self_outrun(struct swim *swim, uint64_t version)
{
    uint64_t generation = version >> 32;
    if (generation < swim->incarnation >> 32)
        generation = swim->incarnation >> 32;
    if (generation == UINT32_MAX)
        return;
    bool left = swim->self->state == SWIM_LEFT;
    int rc = announce(swim, (generation + 1) << 32 | 1, member_address(swim->self), left);
    if (rc < 0) {
        swim_fail(swim, rc);
        return;
    }
    say_all_again(swim);
    swim_event(swim, SWIM_SELF_OUTRUN, &swim->config.self, NULL, swim->incarnation);
}

int swim_leave(struct swim *swim, int64_t now_ms)
{
    swim->now_ms = now_ms;
    if (swim->self->state == SWIM_LEFT)
        return 0;
    return announce(swim, swim->incarnation + 1, member_address(swim->self), true);
}

int swim_readdress(struct swim *swim, int64_t now_ms, const struct address *advertised)
{
    swim->now_ms = now_ms;
    if (address_equal(member_address(swim->self), advertised))
        return 0;
    bool left = swim->self->state == SWIM_LEFT;
    int rc = announce(swim, swim->incarnation + 1, advertised, left);
    if (rc == 0)
        path_self_readdressed(swim);
    return rc;
}
