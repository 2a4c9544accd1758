/* What each owner says about itself, as its latest signed record for each key.
 *
 * Versions are drawn from one counter an owner. Each record carries two signed numbers besides: the
 * floor, below which everything that the owner has said is void, and the sum of (the signatures of)
 * all its other records then in force. So records may arrive in any order, by rumour or by sync,
 * from anyone: whoever holds records that sum up to what the newest one says holds exactly what the
 * owner had said by then, and no peer can hide a record or revive a withdrawn one for long. A
 * mismatch makes sync ask again from the start (swim_sync.c).
 *
 * Withdrawn records stay as tombstones until the owner's floor passes them (swim_self.c).
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <string.h>

/* Below it, nothing that the member has said holds: it has begun a new generation, or left. */
static uint64_t void_floor(const struct member *member)
{
    uint64_t generation = member_incarnation(member) >> 32;
    return (generation + member->presence->view.presence.left) << 32;
}

size_t records_count(const struct member *member)
{
    return member->records ? member->records->count : 0;
}

struct fact *record_find(const struct member *member, const struct record_key *key)
{
    return member->records ? record_set_find(member->records, key) : NULL;
}

uint64_t records_base(const struct member *member)
{
    return member->records ? member->records->base : void_floor(member);
}

uint64_t records_newest(const struct member *member)
{
    return member->records ? member->records->newest : void_floor(member);
}

uint64_t records_floor(const struct member *member)
{
    return member->records ? member->records->floor : void_floor(member);
}

uint64_t records_sum(const struct member *member)
{
    return member->records ? member->records->sum : 0;
}

bool records_are_complete(const struct member *member)
{
    return !member->records || member->records->sum == member->records->newest_sum;
}

struct record_set *records_edit(struct swim *swim, struct member *owner)
{
    struct record_set *set = owner->records;
    set = set ? record_set_edit(swim->sets, set, set->count + (size_t)1)
              : record_set_new(void_floor(owner));
    if (set)
        owner->records = set;
    return set;
}

void records_edited(struct swim *swim, struct member *owner)
{
    struct record_set *set = owner->records;
    if (set->sum == set->newest_sum)
        set->base = set->newest;
    if (!swim->owns_pool)
        owner->records = record_set_share(swim->sets, set);
}

int records_set_base(struct swim *swim, struct member *member, uint64_t base)
{
    struct record_set *set = records_edit(swim, member);
    if (!set)
        return -ENOMEM;
    set->base = base;
    records_edited(swim, member);
    return 0;
}

void record_drop_at(struct swim *swim, struct member *owner, size_t index)
{
    struct fact *fact = record_set_take(owner->records, index);
    swim->record_count--;
    rumor_drop(swim, fact);
    fact_release(swim->pool, fact);
}

void records_done(struct swim *swim, struct member *member)
{
    for (size_t i = 0; i < records_count(member); i++)
        rumor_drop(swim, member->records->facts[i]);
    swim->record_count -= records_count(member);
    record_set_release(swim->sets, member->records);
    member->records = NULL;
}

void record_put(struct swim *swim, struct member *owner, struct fact *fact,
                struct fact **ret_previous)
{
    const struct fact_view *view = &fact->view;
    struct record_set *set = owner->records;
    record_set_put(set, fact, ret_previous);
    if (*ret_previous)
        rumor_drop(swim, *ret_previous);
    else
        swim->record_count++;
    if (view->version >= set->newest) {
        set->newest = view->version;
        set->newest_sum = view->record.sum + view->mix;
    }
}

/* Drops all records below `floor`, but for the one with the key `except`, which is about to be
 * replaced. They are being edited. */
static void raise_floor(struct swim *swim, struct member *owner, uint64_t floor,
                        const struct record_key *except)
{
    struct record_set *set = owner->records;
    if (floor <= set->floor)
        return;
    set->floor = floor;
    for (size_t i = set->count; i-- > 0;) {
        struct fact *fact = set->facts[i];
        if (fact->view.version >= floor)
            continue;
        if (record_key_compare(&fact->view.record.key, except) == 0)
            continue;
        if (!fact->view.record.withdrawn && owner != swim->self)
            swim_record_event(swim, SWIM_RECORD_WITHDRAWN, fact);
        record_drop_at(swim, owner, i);
    }
}

void records_void(struct swim *swim, struct member *member)
{
    /* The floor is of the newest record's generation: what is below it goes as a whole. */
    if (!member->records || member->records->floor >= void_floor(member))
        return;
    for (size_t i = records_count(member); i-- > 0 && member != swim->self;)
        if (!member->records->facts[i]->view.record.withdrawn)
            swim_record_event(swim, SWIM_RECORD_WITHDRAWN, member->records->facts[i]);
    records_done(swim, member);
}

/* Whether a record would change what we hold. */
static bool is_news(const struct swim *swim, const struct member *owner,
                    const struct fact_view *view)
{
    bool owner_is_self = owner == swim->self;
    if (owner_is_self && view->version > swim->record_version)
        return true;
    if (view->version >> 32 < member_incarnation(owner) >> 32 ||
        view->version < records_floor(owner))
        return false;
    const struct fact *held = record_find(owner, &view->record.key);
    if (!held || held->view.version < view->version)
        return true;
    if (held->view.version > view->version)
        return false;
    /* An owner that says two things under one version: all others keep the same one of them. */
    return owner_is_self ? view->mix != held->view.mix : view->mix > held->view.mix;
}

static bool has_room(const struct swim *swim, const struct member *owner,
                     const struct fact_view *view)
{
    if (record_find(owner, &view->record.key))
        return true;
    return records_count(owner) < swim->config.records_per_owner_max &&
           swim->record_count < SWIM_RECORDS_MAX;
}

static void tell_change(struct swim *swim, const struct fact *fact, const struct fact *previous)
{
    bool was_there = previous && !previous->view.record.withdrawn;
    if (fact->view.record.withdrawn) {
        if (was_there)
            swim_record_event(swim, SWIM_RECORD_WITHDRAWN, fact);
    } else if (!was_there || !bytes_equal(fact->view.record.value, previous->view.record.value)) {
        swim_record_event(swim, SWIM_RECORD_CHANGED, fact);
    }
}

bool record_apply(struct swim *swim, const struct fact_view *view, bool relay)
{
    struct member *owner = member_find(swim, &view->signer);
    struct fact *fact, *previous;

    if (!owner || owner->state == SWIM_LEFT || !is_news(swim, owner, view))
        return false;
    if (relay && owner != swim->self && !rumor_budget_has(swim, view)) {
        swim->counters.rumors_refused++;
        return false; /* as if it had been lost on the way */
    }
    if (owner != swim->self && !trust_owner(swim, &view->signer))
        return false;
    int rc = fact_pool_admit(swim->pool, view, &fact);
    if (rc < 0) {
        swim_fail(swim, rc);
        return false;
    }
    if (owner == swim->self) {
        fact_release(swim->pool, fact);
        self_outrun(swim, view->version);
        return true;
    }
    trust_charge_owner(swim, &view->signer);
    if (!records_edit(swim, owner)) {
        swim_fail(swim, -ENOMEM);
        fact_release(swim->pool, fact);
        return false;
    }
    raise_floor(swim, owner, view->record.floor, &view->record.key);
    bool room = has_room(swim, owner, view);
    if (room)
        record_put(swim, owner, fact, &previous);
    records_edited(swim, owner);
    if (!room) {
        fact_release(swim->pool, fact);
        return false;
    }
    if (relay)
        rumor_add(swim, fact, RUMOR_RECORD);
    tell_change(swim, fact, previous);
    fact_release(swim->pool, previous);
    return true;
}

static void record_show(const struct fact *fact, struct swim_record *ret)
{
    const struct fact_view *view = &fact->view;
    *ret = (struct swim_record){
        .owner = view->signer,
        .table = (enum swim_table)view->record.key.table,
        .version = view->version,
        .key = view->record.key.key,
        .value = view->record.value,
    };
}

int swim_record_find(const struct swim *swim, const struct id *owner, enum swim_table table,
                     struct bytes key, struct swim_record *ret)
{
    const struct member *member = member_find(swim, owner);
    struct record_key record_key = {table, key};
    if (!member)
        return -ENOENT;
    const struct fact *fact = record_find(member, &record_key);
    if (!fact || fact->view.record.withdrawn)
        return -ENOENT;
    record_show(fact, ret);
    return 0;
}

struct swim_cursor swim_cursor_all(enum swim_table table)
{
    return (struct swim_cursor){.table = table};
}

struct swim_cursor swim_cursor_of(const struct id *owner, enum swim_table table)
{
    return (struct swim_cursor){.table = table, .one_owner = true, .owner = *owner};
}

/* The next record of one owner at or after the cursor's index. */
static bool cursor_within(const struct member *owner, struct swim_cursor *cursor,
                          struct swim_record *ret)
{
    while (cursor->record_index < records_count(owner)) {
        const struct fact *fact = owner->records->facts[cursor->record_index];
        if (fact->view.record.key.table != cursor->table)
            return false;
        cursor->record_index++;
        if (fact->view.record.withdrawn)
            continue;
        record_show(fact, ret);
        return true;
    }
    return false;
}

bool swim_cursor_next(const struct swim *swim, struct swim_cursor *cursor, struct swim_record *ret)
{
    struct record_key first = {.table = cursor->table}; /* an empty key is before all others */
    if (!cursor->started && cursor->one_owner)
        cursor->member_index = table_lower_bound(&swim->members, &cursor->owner);
    while (cursor->member_index < swim->members.count) {
        const struct member *owner = member_at(swim, cursor->member_index);
        if (cursor->one_owner && !id_equal(member_id(owner), &cursor->owner))
            return false;
        if (!cursor->started)
            cursor->record_index =
                owner->records ? record_set_lower_bound(owner->records, &first) : 0;
        cursor->started = true;
        if (cursor_within(owner, cursor, ret))
            return true;
        cursor->member_index++;
        cursor->started = false;
        if (cursor->one_owner)
            cursor->member_index = swim->members.count;
    }
    return false;
}
