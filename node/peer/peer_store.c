/* What the agent must not forget, as the store's records: Raft's hard state, log and snapshot, and
 * the newest intent. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "node/peer/peer.h"
#include "node/peer/stored.h"
#include "node/store/secret_file.h"

enum {
    FOUNDING_INDEX = 2, /* of the snapshot that agent_bootstrap() makes */
    FED_DIGITS = 16,    /* so that the keys are in the order of the entries */
};

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

static void write_fed(struct store_batch *batch, const struct raft_entry *entry)
{
    cleanup_buffer struct buffer bytes = {0};
    char key[sizeof(PEER_FED_PREFIX) + FED_DIGITS];
    struct writer writer;
    writer_init(&writer, &bytes);
    stored_entry_write(&writer, entry);
    snprintf(key, sizeof(key), PEER_FED_PREFIX "%0*" PRIx64, FED_DIGITS, entry->index);
    put(batch, key, &writer, &bytes);
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
    peer_step(peer,
              &(struct agent_input){.type = AGENT_STORED, .sequence = sequence, .more = true});
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
        store_batch_delete_all(&batch, PEER_FED_PREFIX);
    }
    if (write->drops_fed)
        store_batch_delete_all(&batch, PEER_FED_PREFIX);
    for (size_t i = 0; i < write->fed_count; i++)
        write_fed(&batch, &write->fed[i]);
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

struct loaded_entries {
    struct raft_entry *entries;
    struct buffer *bytes; /* the data of each */
    size_t count, capacity;
};

/* The stored state, with the memory that `stored` borrows from. */
struct peer_loaded {
    struct agent_stored stored;
    struct stored_snapshot snapshot;
    bool snapshot_is_damaged;
    struct buffer hard_state_bytes, snapshot_bytes, intent_bytes;
    struct loaded_entries log, fed;
};

static void forget_entries(struct loaded_entries *loaded)
{
    while (loaded->count > 0)
        buffer_done(&loaded->bytes[--loaded->count]);
}

static void entries_done(struct loaded_entries *loaded)
{
    forget_entries(loaded);
    free(loaded->bytes);
    free(loaded->entries);
}

void peer_loaded_free(struct peer_loaded *loaded)
{
    if (!loaded)
        return;
    entries_done(&loaded->log);
    entries_done(&loaded->fed);
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

static int grow_entries(struct loaded_entries *loaded)
{
    size_t capacity = loaded->capacity ? 2 * loaded->capacity : 256;
    struct raft_entry *entries = realloc(loaded->entries, capacity * sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    loaded->entries = entries;
    struct buffer *bytes = realloc(loaded->bytes, capacity * sizeof(*bytes));
    if (!bytes)
        return -ENOMEM;
    loaded->bytes = bytes;
    loaded->capacity = capacity;
    return 0;
}

static int visit_entry(void *context, uint64_t index, struct bytes record)
{
    struct loaded_entries *loaded = context;
    if (loaded->count == loaded->capacity && grow_entries(loaded) < 0)
        return -ENOMEM;
    struct raft_entry *entry = &loaded->entries[loaded->count];
    struct buffer *bytes = &loaded->bytes[loaded->count];
    buffer_init(bytes);
    int rc = stored_entry_read(record, entry);
    if (rc == 0)
        rc = buffer_append(bytes, entry->data.data, entry->data.size);
    if (rc < 0)
        return rc;
    entry->index = index;
    entry->data = buffer_view(bytes);
    loaded->count++;
    return 0;
}

struct fed_walk {
    struct loaded_entries *loaded;
    size_t size; /* of all their data */
    struct error why;
};

static bool fed_index_parse(const char *key, uint64_t *ret)
{
    const char *digits = key + strlen(PEER_FED_PREFIX);
    size_t count = strspn(digits, "0123456789abcdef");
    if (count != FED_DIGITS || digits[count] != '\0')
        return false;
    *ret = strtoull(digits, NULL, 16);
    return true;
}

static int visit_fed(void *context, const char *key, struct bytes record)
{
    struct fed_walk *walk = context;
    struct loaded_entries *loaded = walk->loaded;
    uint64_t index;
    if (!fed_index_parse(key, &index) || index == 0)
        return error_set(&walk->why, -EBADMSG, "record '%s' has no index", key);
    if (loaded->count > 0 && index != loaded->entries[loaded->count - 1].index + 1)
        return error_set(&walk->why, -EBADMSG, "before record '%s' one is missing", key);
    if (loaded->count == FEED_STORED_ENTRIES_MAX || record.size > FEED_STATE_BYTES_MAX - walk->size)
        return error_set(&walk->why, -EBADMSG, "record '%s' is more than is ever stored", key);
    walk->size += record.size;
    int rc = visit_entry(loaded, index, record);
    return rc == -EBADMSG ? error_set(&walk->why, rc, "record '%s' makes no sense", key) : rc;
}

static int get_optional(struct store *store, const char *key, struct buffer *ret,
                        struct error *error)
{
    int rc = store_get(store, key, ret, error);
    if (rc != -ENOENT)
        return rc;
    *error = (struct error){0};
    return 0;
}

static void on_mended(void *context, int result, const struct error *error)
{
    (void)context;
    if (result < 0 && result != -ECANCELED)
        log_warning(
            "what is damaged could not be dropped, and is found again at the next start: %s",
            error->message);
}

static void mend(struct peer *peer, struct store_batch *batch)
{
    if (store_write(peer->store, batch, on_mended, peer) < 0)
        log_warning("what is damaged could not be dropped, and is found again at the next start");
    store_batch_done(batch);
}

static int read_log(struct peer *peer, struct peer_loaded *loaded, uint64_t first,
                    struct error *error)
{
    int rc = store_log_each(peer->store, first, visit_entry, &loaded->log, error);
    if (rc == -EBADMSG && error->code == 0)
        error_set(error, rc, "a stored log entry makes no sense");
    return rc;
}

/* Entries that the snapshot holds too are kept for slow followers only: a damaged one of them is no
 * loss. */
static void cut_log(struct peer *peer, struct peer_loaded *loaded)
{
    const struct raft_snapshot *snapshot = loaded->stored.raft.snapshot;
    struct store_batch batch;
    log_warning("the snapshot has all up to %llu: the log is cut there",
                (unsigned long long)snapshot->index);
    loaded->stored.raft.log_index = snapshot->index;
    loaded->stored.raft.log_term = snapshot->term;
    store_batch_init(&batch);
    write_snapshot(&batch, snapshot, snapshot->index, snapshot->term);
    store_batch_compact_to(&batch, snapshot->index);
    mend(peer, &batch);
}

/* Finds up to where the log, or the snapshot under it, is of no use. */
static int find_loss(struct peer *peer, struct peer_loaded *loaded, struct error *error)
{
    const struct raft_snapshot *snapshot = loaded->stored.raft.snapshot;
    uint64_t first = 0, last = 0, damaged = 0;
    int rc = store_log_bounds(peer->store, &first, &last, error);
    if (rc == 0)
        rc = store_log_damaged(peer->store, 0, &damaged, error);
    if (rc < 0)
        return rc;
    if (!snapshot && first > 0 && damaged < first)
        damaged = first - 1;
    if (snapshot && damaged <= snapshot->index)
        cut_log(peer, loaded);
    else
        loaded->stored.lost_through = damaged;
    loaded->stored.intent_is_old |= loaded->stored.lost_through > 0;
    return 0;
}

/* A damaged entry behind the snapshot was acknowledged, and so is what a damaged snapshot holds:
 * the peer must not act as if it had not (docs/decisions/corrupt-records.md). */
static int load_log(struct peer *peer, struct peer_loaded *loaded, struct error *error)
{
    const struct raft_snapshot *snapshot = loaded->stored.raft.snapshot;
    int rc = loaded->snapshot_is_damaged ? -EBADMSG : read_log(peer, loaded, 0, error);
    if (rc == -EBADMSG && loaded->hard_state_bytes.size > 0 &&
        (snapshot || loaded->intent_bytes.size > 0)) {
        struct error why = *error;
        forget_entries(&loaded->log);
        rc = find_loss(peer, loaded, error);
        uint64_t from = loaded->stored.lost_through;
        if (rc < 0 || (from == 0 && !snapshot))
            return rc < 0 ? rc : -EBADMSG; /* nobody can tell any more where the log ended */
        log_warning("%s", why.message);
        if (from > 0)
            log_error("this peer takes no part in votes until the others have brought it all that "
                      "was agreed on up to %llu",
                      (unsigned long long)from);
        *error = (struct error){0};
        rc = read_log(peer, loaded, (from > 0 ? from : snapshot->index) + 1, error);
    }
    loaded->stored.raft.entries = loaded->log.entries;
    loaded->stored.raft.entry_count = loaded->log.count;
    return rc;
}

/* Behind one that is damaged, what follows is of no use: the intent is as old as that. It is named,
 * and stays until the others have brought the newest, as a damaged intent does. */
static int load_fed(struct peer *peer, struct peer_loaded *loaded, struct error *error)
{
    struct fed_walk walk = {.loaded = &loaded->fed};
    struct error why = {0};
    int rc = store_each(peer->store, PEER_FED_PREFIX, visit_fed, &walk, &why);
    if (rc == -EBADMSG) {
        log_warning("%s; what was agreed on from there on is fetched again from the other peers",
                    walk.why.code < 0 ? walk.why.message : why.message);
        loaded->stored.intent_is_old = true;
        rc = 0;
    }
    if (rc < 0)
        *error = why;
    loaded->stored.fed = loaded->fed.entries;
    loaded->stored.fed_count = loaded->fed.count;
    return rc;
}

/* What the feed brought can be had from it again, by who knows whom to believe: by one who has a
 * state of Raft's, if an older one. The damaged one stays until then, so that a restart finds it
 * once more and takes nothing for the newest. */
static int load_intent(struct peer *peer, struct peer_loaded *loaded, struct error *error)
{
    struct error why = {0};
    int rc = get_optional(peer->store, STORE_KEY_INTENT, &loaded->intent_bytes, &why);
    if (rc == -EBADMSG && loaded->stored.raft.snapshot) {
        log_warning("%s; it is fetched again from the other peers", why.message);
        buffer_clear(&loaded->intent_bytes);
        loaded->stored.intent_is_old = true;
        rc = 0;
    }
    if (rc < 0)
        *error = why;
    loaded->stored.intent = buffer_view(&loaded->intent_bytes);
    return rc == 0 && loaded->intent_bytes.size > 0 ? load_fed(peer, loaded, error) : rc;
}

/* A damaged snapshot stays where it is until another takes its place; `error` says so from here on.
 */
static int load_snapshot(struct peer *peer, struct peer_loaded *loaded, struct error *error)
{
    int rc = get_optional(peer->store, STORE_KEY_SNAPSHOT, &loaded->snapshot_bytes, error);
    if (rc == 0 && loaded->snapshot_bytes.size > 0 && read_snapshot(loaded) < 0)
        rc = error_set(error, -EBADMSG, "the stored snapshot makes no sense");
    if (rc != -EBADMSG)
        return rc;
    loaded->snapshot_is_damaged = loaded->stored.intent_is_old = true;
    return 0;
}

/* A vote is stored before the first entry. Where it is missing, the damage is in its key, and a
 * peer that begins anew at term 0 would vote twice. */
static int check_vote(const struct peer *peer, const struct peer_loaded *loaded,
                      struct error *error)
{
    const struct raft_stored *raft = &loaded->stored.raft;
    if (loaded->hard_state_bytes.size > 0 ||
        (raft->entry_count == 0 && (!raft->snapshot || raft->snapshot->index <= FOUNDING_INDEX)))
        return 0;
    return error_set(error, -EBADMSG, "the store in %s is corrupt: this peer's vote is missing",
                     peer->options.data_dir);
}

/* The commit index is stored with or after what it counts. What is missing below it was
 * acknowledged once, and by its keys nothing is damaged. */
static int check_log_end(const struct peer *peer, const struct peer_loaded *loaded,
                         struct error *error)
{
    const struct raft_stored *raft = &loaded->stored.raft;
    uint64_t last = raft->snapshot ? raft->snapshot->index : 0;
    if (loaded->stored.lost_through > last)
        last = loaded->stored.lost_through;
    if (raft->entry_count > 0)
        last = raft->entries[raft->entry_count - 1].index;
    if (raft->hard_state.commit <= last)
        return 0;
    return error_set(error, -EBADMSG,
                     "the store in %s is corrupt: log entries %llu to %llu are missing",
                     peer->options.data_dir, (unsigned long long)last + 1,
                     (unsigned long long)raft->hard_state.commit);
}

static int load(struct peer *peer, struct peer_loaded *loaded, struct error *error)
{
    int rc = get_optional(peer->store, STORE_KEY_HARD_STATE, &loaded->hard_state_bytes, error);
    if (rc < 0)
        return rc;
    if (loaded->hard_state_bytes.size > 0 &&
        stored_hard_state_read(buffer_view(&loaded->hard_state_bytes),
                               &loaded->stored.raft.hard_state) < 0)
        return error_set(error, -EBADMSG, "the stored vote makes no sense");
    rc = load_snapshot(peer, loaded, error);
    if (rc < 0)
        return rc;
    rc = load_intent(peer, loaded, error);
    if (rc == 0)
        rc = load_log(peer, loaded, error);
    if (rc == 0)
        rc = check_vote(peer, loaded, error);
    return rc < 0 ? rc : check_log_end(peer, loaded, error);
}

/* What to do with a peer that forgot what it promised. Under its key nobody may begin anew. */
static int refuse_to_start(const struct peer *peer, struct error *error)
{
    const char *directory = peer->options.data_dir, *name = peer->options.name;
    error_hint(error,
               "it may have voted, or agreed to what it no longer knows, so it does not start; "
               "what runs here goes on, and the other peers have all that was agreed on. Check "
               "the disk (dmesg). Then here: mv %s %s.lost; at another peer: consort peer revoke "
               "%s, and consort token create; here: start the daemon, and consort join TOKEN",
               directory, directory, name);
    return -EBADMSG;
}

int peer_store_open(struct peer *peer, struct error *error)
{
    const struct store_options options = {.directory = peer->options.data_dir};
    char key[PATH_MAX];
    snprintf(key, sizeof(key), "%s/%s", options.directory, SECRET_FILE_IDENTITY);
    if (access(key, F_OK) == 0 && !store_exists(options.directory)) {
        error_set(error, -EBADMSG, "the store in %s is gone, though this peer's key is there",
                  options.directory);
        return refuse_to_start(peer, error);
    }
    int rc = store_open(peer->loop, &options, &peer->store, error);
    return rc == -EBADMSG ? refuse_to_start(peer, error) : rc;
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
            refuse_to_start(peer, error);
        peer_loaded_free(loaded);
        return rc;
    }
    *ret = loaded;
    *ret_stored = &loaded->stored;
    return 0;
}
