/* What the feed brought, on the disk: a whole intent, and behind it the entries that came since, as
 * Raft keeps its own behind a snapshot. So what is written is in proportion to what has changed.
 * Each step's are in its write, so that a restart never acts on an older intent than this peer did
 * (docs/decisions/feed-stored.md).
 */
#include <errno.h>
#include <stdlib.h>

#include "node/control/agent_private.h"

/* How much all entries may take: as much as the intent, so that at least half of all that is
 * written is entries; and no less than what one large change brings. */
static size_t bytes_max(const struct feed_stored *stored)
{
    return stored->intent_bytes > FEED_STORED_BYTES_MIN ? stored->intent_bytes
                                                        : FEED_STORED_BYTES_MIN;
}

static size_t size_of(const struct raft_entry *entries, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += entries[i].data.size + FEED_STORED_ENTRY_BYTES;
    return size;
}

/* Of more, too, since what is stored may have been written under other bounds. */
static bool has_room(const struct agent *agent, size_t count, size_t size)
{
    const struct feed_stored *stored = &agent->feed.stored;
    size_t most_bytes = bytes_max(stored);
    size_t most = (size_t)FEED_STORED_COMPACTIONS * agent->config.compact_after_entries;
    if (most > FEED_STORED_ENTRIES_MAX)
        most = FEED_STORED_ENTRIES_MAX;
    return stored->entry_count <= most && count <= most - stored->entry_count &&
           stored->entry_bytes <= most_bytes && size <= most_bytes - stored->entry_bytes;
}

int agent_feed_start(struct agent *agent, const struct agent_stored *stored, struct intent *intent)
{
    struct feed_stored *known = &agent->feed.stored;
    for (size_t i = 0; i < stored->fed_count; i++) {
        const struct raft_entry *entry = &stored->fed[i];
        struct intent_result result = {0};
        struct id admitted;
        if (entry->index <= intent->applied_index)
            continue; /* the intent was stored anew by a build that knows of no entries behind it */
        if (entry->index != intent->applied_index + 1)
            return -EINVAL;
        int rc = feed_apply_entry(intent, entry, &result, &admitted);
        if (rc < 0)
            return rc;
    }
    *known = (struct feed_stored){.index = intent->applied_index,
                                  .level = intent->level.number,
                                  .intent_bytes = stored->intent.size,
                                  .entry_count = stored->fed_count,
                                  .entry_bytes = size_of(stored->fed, stored->fed_count)};
    return 0;
}

void agent_feed_store_whole(struct agent *agent)
{
    struct agent_write *write = agent_add_write(agent);
    if (!write || intent_write(agent->intent, &write->intent) < 0) {
        agent->failed = true;
        return;
    }
    agent->feed.stored = (struct feed_stored){.index = agent->intent->applied_index,
                                              .level = agent->intent->level.number,
                                              .intent_bytes = write->intent.size};
}

/* False if they don't follow what is stored, or there is no room for them. */
static bool store_entries(struct agent *agent, const struct feed_push *push, uint64_t before)
{
    struct feed_stored *stored = &agent->feed.stored;
    cleanup_buffer struct buffer arena = {0};
    struct raft_entry *entries;
    size_t count;
    /* One level is all that who can't read the intent needs to look for. */
    if (stored->is_damaged || stored->intent_bytes == 0 || stored->index != before ||
        stored->level != agent->intent->level.number)
        return false;
    if (feed_entries_copy(push, before, &arena, &entries, &count) < 0) {
        agent->failed = true;
        return true;
    }
    size_t size = size_of(entries, count);
    struct agent_write *write = has_room(agent, count, size) ? agent_add_write(agent) : NULL;
    if (!write) {
        free(entries);
        return agent->failed;
    }
    write->fed = entries;
    write->fed_count = count;
    write->arena = arena;
    buffer_init(&arena);
    stored->index = agent->intent->applied_index;
    stored->entry_count += count;
    stored->entry_bytes += size;
    return true;
}

void agent_feed_store(struct agent *agent, const struct feed_push *push, uint64_t before)
{
    if (!push || !store_entries(agent, push, before))
        agent_feed_store_whole(agent);
}

void agent_feed_stored_by_raft(struct agent *agent, struct agent_write *write)
{
    struct feed_stored *stored = &agent->feed.stored;
    bool begins_epoch = intent_epoch_of(write->snapshot.index) > agent->intent->epoch;
    if ((stored->is_damaged && !begins_epoch) || stored->index > write->snapshot.index)
        return;
    write->drops_fed = stored->is_damaged || stored->entry_count > 0;
    *stored = (struct feed_stored){0};
}
