/* What the agent must not forget, as the store's records: Raft's hard state, log and snapshot, and
 * the newest intent. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/peer/peer.h"
#include "node/peer/stored.h"

/* Adds a record to the batch, if it could be written. */
static void put(struct store_batch *batch, const char *key, const struct writer *writer,
                const struct buffer *bytes)
{
    if (writer_check(writer) < 0)
        batch->failed = -ENOMEM;
    else
        store_batch_put(batch, key, buffer_view(bytes));
}

static void write_hard_state(struct store_batch *batch, const struct raft_hard_state *state)
{
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    stored_hard_state_write(&writer, state);
    put(batch, STORE_KEY_HARD_STATE, &writer, &bytes);
}

static void write_snapshot(struct store_batch *batch, const struct raft_snapshot *snapshot,
                           uint64_t log_index, uint64_t log_term)
{
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    stored_snapshot_write(&writer, &(struct stored_snapshot){*snapshot, log_index, log_term});
    put(batch, STORE_KEY_SNAPSHOT, &writer, &bytes);
}

static void write_entry(struct store_batch *batch, const struct raft_entry *entry)
{
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    writer_init(&writer, &bytes);
    stored_entry_write(&writer, entry);
    if (writer_check(&writer) < 0)
        batch->failed = -ENOMEM;
    else
        store_batch_append(batch, entry->index, buffer_view(&bytes));
}

void peer_store_put_snapshot(struct store_batch *batch, const struct raft_snapshot *snapshot)
{
    write_snapshot(batch, snapshot, snapshot->index, snapshot->term);
}

struct waiting_write {
    struct peer *peer;
    uint64_t sequence;
};

static void on_stored(void *context, int result, const struct error *error)
{
    struct waiting_write *waiting = context;
    struct peer *peer = waiting->peer;
    uint64_t sequence = waiting->sequence;
    free(waiting);
    if (result < 0) {
        if (result == -ECANCELED)
            return; /* the store was closed */
        log_error("stopping: what was agreed on can't be stored: %s%s%s", error->message,
                  error->hint[0] ? "; " : "", error->hint);
        log_notice("containers go on; start this peer again once that is solved");
        peer_stop(peer, 1);
        return;
    }
    if (sequence == 0 || !peer->agent)
        return;
    peer_step(peer, &(struct agent_input){.type = AGENT_STORED, .sequence = sequence});
}

int peer_store_write(struct peer *peer, const struct agent_write *write)
{
    struct store_batch batch;
    store_batch_init(&batch);
    if (write->hard_state_changed)
        write_hard_state(&batch, &write->hard_state);
    if (write->has_snapshot && write->keeps_log) {
        write_snapshot(&batch, &write->snapshot, write->log_index, write->log_term);
        store_batch_compact_to(&batch, write->log_index);
    } else if (write->has_snapshot) {
        write_snapshot(&batch, &write->snapshot, write->snapshot.index, write->snapshot.term);
        store_batch_truncate_from(&batch, 1);
    } else if (write->intent.size > 0) {
        store_batch_put(&batch, STORE_KEY_INTENT, buffer_view(&write->intent));
    }
    if (write->truncate_from > 0)
        store_batch_truncate_from(&batch, write->truncate_from);
    for (size_t i = 0; i < write->entry_count; i++)
        write_entry(&batch, &write->entries[i]);

    struct waiting_write *waiting = malloc(sizeof(*waiting));
    int rc = -ENOMEM;
    if (waiting) {
        *waiting = (struct waiting_write){peer, write->sequence};
        rc = store_write(peer->store, &batch, on_stored, waiting);
    }
    if (rc < 0)
        free(waiting);
    store_batch_done(&batch);
    return rc;
}

/* The stored state, with the memory that `stored` borrows from. */
struct peer_loaded {
    struct agent_stored stored;
    struct stored_snapshot snapshot;
    struct buffer hard_state_bytes, snapshot_bytes, intent_bytes;
    struct raft_entry *entries;
    struct buffer *entry_bytes;
    size_t entry_count, entry_capacity;
};

void peer_loaded_free(struct peer_loaded *loaded)
{
    if (!loaded)
        return;
    for (size_t i = 0; i < loaded->entry_count; i++)
        buffer_done(&loaded->entry_bytes[i]);
    free(loaded->entry_bytes);
    free(loaded->entries);
    buffer_done(&loaded->hard_state_bytes);
    buffer_done(&loaded->snapshot_bytes);
    buffer_done(&loaded->intent_bytes);
    free(loaded);
}

static int read_snapshot(struct peer_loaded *loaded)
{
    int rc = stored_snapshot_read(buffer_view(&loaded->snapshot_bytes), &loaded->snapshot);
    if (rc < 0)
        return rc;
    loaded->stored.raft.snapshot = &loaded->snapshot.snapshot;
    loaded->stored.raft.log_index = loaded->snapshot.log_index;
    loaded->stored.raft.log_term = loaded->snapshot.log_term;
    return 0;
}

static int grow_entries(struct peer_loaded *loaded)
{
    size_t capacity = loaded->entry_capacity ? 2 * loaded->entry_capacity : 256;
    struct raft_entry *entries = realloc(loaded->entries, capacity * sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    loaded->entries = entries;
    struct buffer *bytes = realloc(loaded->entry_bytes, capacity * sizeof(*bytes));
    if (!bytes)
        return -ENOMEM;
    loaded->entry_bytes = bytes;
    loaded->entry_capacity = capacity;
    return 0;
}

static int visit_entry(void *context, uint64_t index, struct bytes record)
{
    struct peer_loaded *loaded = context;
    if (loaded->entry_count == loaded->entry_capacity && grow_entries(loaded) < 0)
        return -ENOMEM;
    struct raft_entry *entry = &loaded->entries[loaded->entry_count];
    struct buffer *bytes = &loaded->entry_bytes[loaded->entry_count];
    buffer_init(bytes);
    int rc = stored_entry_read(record, entry);
    if (rc == 0)
        rc = buffer_append(bytes, entry->data.data, entry->data.size);
    if (rc < 0)
        return rc;
    entry->index = index;
    entry->data = buffer_view(bytes);
    loaded->entry_count++;
    return 0;
}

static int get_optional(struct store *store, const char *key, struct buffer *ret,
                        struct error *error)
{
    int rc = store_get(store, key, ret, error);
    return rc == -ENOENT ? 0 : rc;
}

static int load(struct peer *peer, struct peer_loaded *loaded, struct error *error)
{
    int rc = get_optional(peer->store, STORE_KEY_HARD_STATE, &loaded->hard_state_bytes, error);
    if (rc == 0)
        rc = get_optional(peer->store, STORE_KEY_SNAPSHOT, &loaded->snapshot_bytes, error);
    if (rc == 0)
        rc = get_optional(peer->store, STORE_KEY_INTENT, &loaded->intent_bytes, error);
    if (rc < 0)
        return rc;
    if (loaded->hard_state_bytes.size > 0 &&
        stored_hard_state_read(buffer_view(&loaded->hard_state_bytes),
                               &loaded->stored.raft.hard_state) < 0)
        return error_set(error, -EBADMSG, "the stored vote makes no sense");
    if (loaded->snapshot_bytes.size > 0 && read_snapshot(loaded) < 0)
        return error_set(error, -EBADMSG, "the stored snapshot makes no sense");
    loaded->stored.intent = buffer_view(&loaded->intent_bytes);
    rc = store_log_each(peer->store, 0, visit_entry, loaded, error);
    if (rc == -EBADMSG && error->code == 0)
        error_set(error, rc, "a stored log entry makes no sense");
    loaded->stored.raft.entries = loaded->entries;
    loaded->stored.raft.entry_count = loaded->entry_count;
    return rc;
}

int peer_store_load(struct peer *peer, struct peer_loaded **ret,
                    const struct agent_stored **ret_stored, struct error *error)
{
    struct peer_loaded *loaded = calloc(1, sizeof(*loaded));
    if (!loaded)
        return error_set_errno(error, -ENOMEM, "reading what was stored");
    int rc = load(peer, loaded, error);
    if (rc < 0) {
        if (rc == -EBADMSG)
            error_hint(error,
                       "move %s away and join again with a new token: the other peers have it all",
                       peer->options.data_dir);
        peer_loaded_free(loaded);
        return rc;
    }
    *ret = loaded;
    *ret_stored = &loaded->stored;
    return 0;
}
