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

static int compare_record(const void *item, const void *key)
{
    return record_key_compare(&((const struct fact *)item)->view.record.key, key);
}

static const void *key_of_record(const void *item)
{
    return &((const struct fact *)item)->view.record.key;
}

static struct fact *record_at(const struct member *owner, size_t index)
{
    return owner->records.items[index];
}

void records_init(struct member *member)
{
    table_init(&member->records, compare_record, key_of_record);
}

void records_done(struct swim *swim, struct member *member)
{
    while (member->records.count > 0)
        record_drop_at(swim, member, member->records.count - 1);
    table_done(&member->records);
}

bool records_are_complete(const struct member *member)
{
    return member->sum == member->newest_sum;
}

static void note_complete(struct member *owner)
{
    if (records_are_complete(owner))
        owner->base = owner->newest;
}

void record_drop_at(struct swim *swim, struct member *owner, size_t index)
{
    struct fact *fact = record_at(owner, index);
    owner->sum -= fact->view.mix;
    table_remove(&owner->records, &fact->view.record.key);
    swim->record_count--;
    rumor_drop(swim, fact);
    fact_release(swim->pool, fact);
}

int record_put(struct swim *swim, struct member *owner, struct fact *fact,
               struct fact **ret_previous)
{
    const struct fact_view *view = &fact->view;
    struct fact *previous = table_find(&owner->records, &view->record.key);
    if (previous) {
        size_t index = table_lower_bound(&owner->records, &view->record.key);
        owner->records.items[index] = fact;
        owner->sum -= previous->view.mix;
        rumor_drop(swim, previous);
    } else {
        int rc = table_insert(&owner->records, fact);
        if (rc < 0)
            return rc;
        swim->record_count++;
    }
    owner->sum += view->mix;
    if (view->version >= owner->newest) {
        owner->newest = view->version;
        owner->newest_sum = view->record.sum + view->mix;
    }
    note_complete(owner);
    *ret_previous = previous;
    return 0;
}

/* Drops all records below `floor`, but for the one with the key `except`, which is about to be
 * replaced. */
static void raise_floor(struct swim *swim, struct member *owner, uint64_t floor,
                        const struct record_key *except)
{
    if (floor <= owner->floor)
        return;
    owner->floor = floor;
    for (size_t i = owner->records.count; i-- > 0;) {
        struct fact *fact = record_at(owner, i);
        if (fact->view.version >= floor)
            continue;
        if (except && record_key_compare(&fact->view.record.key, except) == 0)
            continue;
        if (!fact->view.record.withdrawn && owner != swim->self)
            swim_record_event(swim, SWIM_RECORD_WITHDRAWN, fact);
        record_drop_at(swim, owner, i);
    }
    note_complete(owner);
}

void records_void(struct swim *swim, struct member *member, uint64_t incarnation)
{
    uint64_t floor = incarnation >> 32 << 32;
    raise_floor(swim, member, floor, NULL);
    if (member->newest < floor) {
        member->newest = floor;
        member->newest_sum = 0;
    }
    note_complete(member);
}

/* Whether a record would change what we hold. */
static bool is_news(const struct swim *swim, const struct member *owner,
                    const struct fact_view *view)
{
    bool owner_is_self = owner == swim->self;
    if (owner_is_self && view->version > swim->record_version)
        return true;
    if (view->version >> 32 < owner->view.incarnation >> 32 || view->version < owner->floor)
        return false;
    const struct fact *held = table_find(&owner->records, &view->record.key);
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
    if (table_find(&owner->records, &view->record.key))
        return true;
    return owner->records.count < swim->config.records_per_owner_max &&
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

    if (!owner || owner->view.state == SWIM_LEFT || !is_news(swim, owner, view))
        return false;
    int rc = fact_pool_admit(swim->pool, view, &fact);
    if (rc < 0) {
        if (rc == -ENOMEM)
            swim_fail(swim, rc);
        return false;
    }
    if (owner == swim->self) {
        fact_release(swim->pool, fact);
        self_outrun(swim, view->version);
        return true;
    }
    raise_floor(swim, owner, view->record.floor, &view->record.key);
    rc = has_room(swim, owner, view) ? record_put(swim, owner, fact, &previous) : -ENOSPC;
    if (rc < 0) {
        if (rc == -ENOMEM)
            swim_fail(swim, rc);
        fact_release(swim->pool, fact);
        return false;
    }
    if (relay)
        rumor_add(swim, fact);
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
    const struct fact *fact = table_find(&member->records, &record_key);
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
    while (cursor->record_index < owner->records.count) {
        const struct fact *fact = record_at(owner, cursor->record_index);
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
        if (cursor->one_owner && !id_equal(&owner->view.id, &cursor->owner))
            return false;
        if (!cursor->started)
            cursor->record_index = table_lower_bound(&owner->records, &first);
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
