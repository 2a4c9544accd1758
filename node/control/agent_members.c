/* Gossip's events become the view: who lives, what each peer says of itself and its replicas. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "node/control/agent_private.h"
#include "node/control/stand_in.h"

static const char capacity_key[] = "capacity";
static const char disk_key[] = "disk"; /* of the same table: it changes more often */

static struct bytes generation_key(uint64_t generation, uint64_t *storage)
{
    *storage = htobe64(generation);
    return (struct bytes){(const uint8_t *)storage, sizeof(*storage)};
}

static enum view_liveness liveness_of(enum swim_state state)
{
    switch (state) {
    case SWIM_ALIVE:
        return VIEW_ALIVE;
    case SWIM_SUSPECT:
        return VIEW_SUSPECT;
    case SWIM_DEAD:
        return VIEW_DEAD;
    case SWIM_LEFT:
        break;
    }
    return VIEW_LEFT;
}

static void member_changed(struct agent *agent, const struct id *id)
{
    struct swim_member member;
    if (!swim_member_find(agent->swim, id, &member))
        return;
    struct view_peer *peer = view_peer_get(&agent->view, id);
    if (!peer) {
        agent->failed = true;
        return;
    }
    enum view_liveness liveness = liveness_of(member.state);
    bool is_news = peer->since_ms == 0 || peer->liveness != liveness;
    peer->liveness = liveness;
    peer->since_ms = member.since_ms;
    peer->start = (uint32_t)(member.incarnation >> 32);
    agent->output->routes_changed = true;
    agent->control_due = true;
    agent->names_due |= is_news && liveness == VIEW_ALIVE;
    struct agent_event *event = is_news ? agent_add_event(agent, AGENT_MEMBER, id) : NULL;
    if (event)
        event->liveness = liveness;
}

static void member_gone(struct agent *agent, const struct id *id)
{
    view_peer_remove(&agent->view, id);
    for (size_t i = agent->view.replicas.count; i-- > 0;) {
        struct view_replica *replica = agent->view.replicas.items[i];
        if (id_equal(&replica->peer, id))
            view_replica_remove(&agent->view, replica->generation);
    }
    agent->output->routes_changed = true;
    agent->control_due = true;
}

static void capacity_changed(struct agent *agent, const struct swim_record *record)
{
    struct view_capacity capacity;
    if (view_capacity_decode(record->value, &capacity) < 0)
        return; /* a newer peer's words: what it can is unknown to us */
    struct view_peer *peer = view_peer_get(&agent->view, &record->owner);
    if (!peer) {
        agent->failed = true;
        return;
    }
    peer->capacity = capacity;
    peer->has_capacity = true;
    agent->control_due = true;
}

static void disk_changed(struct agent *agent, const struct swim_record *record)
{
    struct view_disk disk;
    if (view_disk_decode(record->value, &disk) < 0)
        return;
    struct view_peer *peer = view_peer_get(&agent->view, &record->owner);
    if (!peer) {
        agent->failed = true;
        return;
    }
    peer->disk = disk;
    peer->has_disk = true;
}

/* A peer speaks for itself only: about the replicas that the intent places there, and those that it
 * runs in another's place. What it says
 * before we know that is read again when we do. */
static void replica_changed(struct agent *agent, const struct swim_record *record)
{
    struct view_replica heard;
    struct intent_replica stand_in;
    uint64_t storage;
    if (view_replica_decode(record->value, &heard, &stand_in) < 0 ||
        !bytes_equal(record->key, generation_key(heard.generation, &storage)))
        return;
    if (stand_in_is(heard.generation)) {
        agent_stand_in_heard(agent, &record->owner, &heard, &stand_in);
        return;
    }
    const struct intent_replica *placed = intent_replica_find(agent->intent, heard.generation);
    if (!placed || !id_equal(&placed->peer, &record->owner))
        return;
    struct view_replica *replica = view_replica_get(&agent->view, heard.generation);
    if (!replica) {
        agent->failed = true;
        return;
    }
    *replica = heard;
    replica->peer = record->owner;
    agent->output->routes_changed = true;
    agent->control_due = true;
}

void agent_members_read_again(struct agent *agent)
{
    for (size_t i = agent->view.replicas.count; i-- > 0;) {
        const struct view_replica *replica = agent->view.replicas.items[i];
        if (!id_equal(&replica->peer, &agent->self) && !stand_in_is(replica->generation))
            view_replica_remove(&agent->view, replica->generation);
    }
}

static void record_changed(struct agent *agent, const struct swim_event *event)
{
    struct swim_record record;
    struct bytes key = {event->key, event->key_size};
    if (swim_record_find(agent->swim, &event->id, event->table, key, &record) < 0)
        return; /* replaced or withdrawn since, within the same step */
    if (event->table == SWIM_TABLE_CAPACITY && bytes_equal(key, bytes_of_text(disk_key)))
        disk_changed(agent, &record);
    else if (event->table == SWIM_TABLE_CAPACITY)
        capacity_changed(agent, &record);
    else if (event->table == SWIM_TABLE_REPLICA)
        replica_changed(agent, &record);
    else if (event->table == SWIM_TABLE_FEED && agent_is_holding_key(record.key))
        agent_holding_seen(agent, &record.owner, record.value);
    else if (event->table == SWIM_TABLE_FEED)
        agent_feed_head_seen(agent, &record.owner, record.value);
}

static void record_withdrawn(struct agent *agent, const struct swim_event *event)
{
    uint64_t generation;
    if (event->table == SWIM_TABLE_FEED &&
        agent_is_holding_key((struct bytes){event->key, event->key_size}))
        agent_holding_withdrawn(agent, &event->id);
    if (event->table != SWIM_TABLE_REPLICA || event->key_size != sizeof(generation))
        return;
    memcpy(&generation, event->key, sizeof(generation));
    generation = be64toh(generation);
    const struct view_replica *replica = view_replica_find(&agent->view, generation);
    if (!replica || !id_equal(&replica->peer, &event->id))
        return;
    agent_stand_in_withdrawn(agent, generation);
    view_replica_remove(&agent->view, generation);
    agent->output->routes_changed = true;
    agent->control_due = true;
}

static void outrun(struct agent *agent, const struct swim_event *event)
{
    struct agent_event *told = agent_add_event(agent, AGENT_OUTRUN, &event->id);
    if (told)
        hex_encode((const uint8_t *)&(uint32_t){htobe32((uint32_t)(event->version >> 32))},
                   sizeof(uint32_t), told->text);
}

static void pong(struct agent *agent, const struct swim_event *event)
{
    struct agent_event *told = agent_add_event(agent, AGENT_PONG, &event->id);
    if (told)
        told->pong = (struct agent_pong){.token = event->token,
                                         .is_lost = event->type == SWIM_PING_LOST,
                                         .nacked = event->nacked,
                                         .rtt_us = event->rtt_us};
}

static void tell_path(struct agent *agent, const struct swim_event *event,
                      enum agent_event_type type)
{
    struct agent_event *told = agent_add_event(agent, type, &event->id);
    struct swim_member member = {0};
    if (!told)
        return;
    told->path = event->path;
    told->address = event->address;
    if (type == AGENT_READDRESSED && swim_member_find(agent->swim, &event->id, &member))
        told->address = member.address;
}

static void carry_out(struct agent *agent, const struct swim_event *event)
{
    switch (event->type) {
    case SWIM_MEMBER_PATH:
        tell_path(agent, event, AGENT_PATH);
        break;
    case SWIM_SELF_MISPLACED:
        tell_path(agent, event, AGENT_MISPLACED);
        break;
    case SWIM_SELF_PLACED:
        tell_path(agent, event, AGENT_PLACED);
        break;
    case SWIM_MEMBER_JOINED:
    case SWIM_MEMBER_ALIVE:
    case SWIM_MEMBER_SUSPECT:
    case SWIM_MEMBER_DEAD:
    case SWIM_MEMBER_LEFT:
    case SWIM_MEMBER_CHANGED:
        if (event->type == SWIM_MEMBER_CHANGED)
            tell_path(agent, event, AGENT_READDRESSED);
        member_changed(agent, &event->id);
        agent_shut_out_changed(agent, &event->id);
        break;
    case SWIM_MEMBER_REVOKED:
    case SWIM_MEMBER_FORGOTTEN:
        member_gone(agent, &event->id);
        break;
    case SWIM_RECORD_CHANGED:
        record_changed(agent, event);
        break;
    case SWIM_RECORD_WITHDRAWN:
        record_withdrawn(agent, event);
        break;
    case SWIM_SELF_OUTRUN:
        outrun(agent, event);
        break;
    case SWIM_PONG:
    case SWIM_PING_LOST:
        pong(agent, event);
        break;
    case SWIM_SELF_REFUTED:
        break;
    }
}

int agent_members_step(struct agent *agent, const struct swim_input *input)
{
    struct swim_output *output = &agent->swim_output;
    int rc = swim_step(agent->swim, input, output);
    for (size_t i = 0; i < output->message_count; i++) {
        const struct swim_message *message = &output->messages[i];
        uint8_t kind = message->channel == SWIM_CHANNEL_STREAM ? AGENT_SYNC : 0;
        struct buffer *bytes = agent_add_send(agent, &message->to, &message->address, kind);
        if (bytes && buffer_append(bytes, message->bytes.data, message->bytes.size) < 0)
            agent->output->send_count--; /* as if the network had lost it */
    }
    for (size_t i = 0; i < output->event_count; i++)
        carry_out(agent, &output->events[i]);
    return rc;
}

int agent_publish_capacity(struct agent *agent, int64_t now_ms,
                           const struct view_capacity *capacity)
{
    cleanup_buffer struct buffer value = {0};
    struct view_capacity said = *capacity;
    said.level = agent->config.level;
    int rc = view_capacity_encode(&said, &value);
    if (rc < 0)
        return rc;
    struct view_peer *self = view_peer_get(&agent->view, &agent->self);
    if (!self)
        return -ENOMEM;
    self->capacity = said;
    self->has_capacity = true;
    return swim_publish(agent->swim, now_ms, SWIM_TABLE_CAPACITY, bytes_of_text(capacity_key),
                        buffer_view(&value));
}

int agent_publish_disk(struct agent *agent, int64_t now_ms, const struct view_disk *disk)
{
    cleanup_buffer struct buffer value = {0};
    int rc = view_disk_encode(disk, &value);
    if (rc < 0)
        return rc;
    struct view_peer *self = view_peer_get(&agent->view, &agent->self);
    if (!self)
        return -ENOMEM;
    self->disk = *disk;
    self->has_disk = true;
    return swim_publish(agent->swim, now_ms, SWIM_TABLE_CAPACITY, bytes_of_text(disk_key),
                        buffer_view(&value));
}

int agent_publish_replica(struct agent *agent, int64_t now_ms, const struct view_replica *replica)
{
    cleanup_buffer struct buffer value = {0};
    uint64_t storage;
    struct bytes key = generation_key(replica->generation, &storage);
    const struct view_stand_in *stand_in = view_stand_in_find(&agent->view, replica->generation);
    if (!stand_in && stand_in_is(replica->generation))
        return -ENOENT;
    int rc = view_replica_encode(replica, stand_in ? &stand_in->replica : NULL, &value);
    if (rc == 0)
        rc = swim_publish(agent->swim, now_ms, SWIM_TABLE_REPLICA, key, buffer_view(&value));
    if (rc < 0)
        return rc;
    const struct intent_replica *placed = intent_replica_find(agent->intent, replica->generation);
    if (placed && !id_equal(&placed->peer, &agent->self))
        return 0; /* of an epoch that is over: another's has that generation now */
    struct view_replica *own = view_replica_get(&agent->view, replica->generation);
    if (!own)
        return -ENOMEM;
    *own = *replica;
    own->peer = agent->self;
    agent->control_due = true;
    return 0;
}

static int withdraw(struct agent *agent, int64_t now_ms, uint64_t generation)
{
    uint64_t storage;
    const struct view_replica *own = view_replica_find(&agent->view, generation);
    if (own && id_equal(&own->peer, &agent->self))
        view_replica_remove(&agent->view, generation);
    agent->control_due = true;
    return swim_withdraw(agent->swim, now_ms, SWIM_TABLE_REPLICA,
                         generation_key(generation, &storage));
}

/* One that is exclusive ends with its lease, and is started again with the next. If nothing were
 * said of it meanwhile, a leader that has just decided to stop it would take it for gone, and have
 * another one started. */
int agent_withdraw_replica(struct agent *agent, int64_t now_ms, uint64_t generation)
{
    if (!agent_lease_is_awaited(agent, generation))
        return withdraw(agent, now_ms, generation);
    struct view_replica waiting = {
        .generation = generation, .state = VIEW_REPLICA_PENDING, .waits_for_lease = true};
    snprintf(waiting.detail, sizeof(waiting.detail), "waits for a leader that lets it run");
    return agent_publish_replica(agent, now_ms, &waiting);
}

/* Once the intent no longer means them to run here, they are gone for good. */
static void withdraw_those_that_wait(struct agent *agent)
{
    for (size_t i = agent->view.replicas.count; i-- > 0;) {
        const struct view_replica *replica = agent->view.replicas.items[i];
        if (replica->waits_for_lease && !agent_lease_is_awaited(agent, replica->generation))
            withdraw(agent, agent->now_ms, replica->generation);
    }
}

void agent_members_intent_changed(struct agent *agent)
{
    withdraw_those_that_wait(agent);
    for (size_t i = 0; i < agent->intent->replicas.count; i++) {
        const struct intent_replica *placed = agent->intent->replicas.items[i];
        const struct view_replica *seen = view_replica_find(&agent->view, placed->generation);
        struct swim_record record;
        uint64_t storage;
        struct bytes key = generation_key(placed->generation, &storage);
        if (!(seen && id_equal(&seen->peer, &placed->peer)) &&
            swim_record_find(agent->swim, &placed->peer, SWIM_TABLE_REPLICA, key, &record) == 0)
            replica_changed(agent, &record);
    }
}

/* An image's key is its digest's text without the algorithm: it fits SWIM_KEY_BYTES_MAX exactly. */
static struct bytes image_key(const char *digest)
{
    const char *colon = strchr(digest, ':');
    return bytes_of_text(colon ? colon + 1 : digest);
}

int agent_publish_image(struct agent *agent, int64_t now_ms, const char *digest,
                        const char *references)
{
    struct bytes value = bytes_of_text(references);
    if (value.size > SWIM_VALUE_BYTES_MAX)
        value.size = SWIM_VALUE_BYTES_MAX; /* the last names are not known elsewhere */
    return swim_publish(agent->swim, now_ms, SWIM_TABLE_IMAGE, image_key(digest), value);
}

/* Whether `list`, separated by commas, has the word. */
static bool has_word(struct bytes list, const char *word)
{
    size_t length = strlen(word);
    for (size_t start = 0; start + length <= list.size;) {
        const uint8_t *comma = memchr(list.data + start, ',', list.size - start);
        size_t end = comma ? (size_t)(comma - list.data) : list.size;
        if (end - start == length && memcmp(list.data + start, word, length) == 0)
            return true;
        start = end + 1;
    }
    return false;
}

static bool find_image(const struct agent *agent, struct swim_cursor cursor, const char *reference,
                       char ret[AGENT_DIGEST_TEXT_BYTES])
{
    struct swim_record record;
    while (swim_cursor_next(agent->swim, &cursor, &record)) {
        if (record.key.size != SWIM_KEY_BYTES_MAX || !has_word(record.value, reference))
            continue;
        memcpy(ret, "sha256:", 7);
        memcpy(ret + 7, record.key.data, SWIM_KEY_BYTES_MAX);
        ret[7 + SWIM_KEY_BYTES_MAX] = '\0';
        return true;
    }
    return false;
}

int agent_image_resolve(const struct agent *agent, const char *reference,
                        char ret[AGENT_DIGEST_TEXT_BYTES])
{
    bool found =
        find_image(agent, swim_cursor_of(&agent->self, SWIM_TABLE_IMAGE), reference, ret) ||
        find_image(agent, swim_cursor_all(SWIM_TABLE_IMAGE), reference, ret);
    return found ? 0 : -ENOENT;
}

/* Only a path begins with a slash. */
static int add_volumes(struct bytes list, struct text_list *ret)
{
    char path[SWIM_VALUE_BYTES_MAX + 1];
    int rc = 0;
    for (size_t start = 0; start < list.size && rc == 0;) {
        const uint8_t *comma = memchr(list.data + start, ',', list.size - start);
        size_t end = comma ? (size_t)(comma - list.data) : list.size;
        if (list.data[start] == '/' && !memchr(list.data + start, '\0', end - start)) {
            memcpy(path, list.data + start, end - start);
            path[end - start] = '\0';
            rc = text_list_add(ret, path);
        }
        start = end + 1;
    }
    return rc;
}

int agent_image_volumes(const struct agent *agent, const char *digest, struct text_list *ret)
{
    struct swim_cursor cursor = swim_cursor_all(SWIM_TABLE_IMAGE);
    struct swim_record record;
    while (swim_cursor_next(agent->swim, &cursor, &record))
        if (record.value.size > 0 && bytes_equal(record.key, image_key(digest)))
            return add_volumes(record.value, ret);
    return -ENOENT; /* who has no name for it says nothing of it */
}

int agent_withdraw_image(struct agent *agent, int64_t now_ms, const char *digest)
{
    return swim_withdraw(agent->swim, now_ms, SWIM_TABLE_IMAGE, image_key(digest));
}

void agent_image_holders(const struct agent *agent, const char *digest,
                         void (*each)(void *context, const struct swim_member *member),
                         void *context)
{
    for (size_t i = 0; i < swim_member_count(agent->swim); i++) {
        const struct swim_member member = swim_member_at(agent->swim, i);
        struct swim_record record;
        if (member.state == SWIM_ALIVE && !id_equal(&member.id, &agent->self) &&
            swim_record_find(agent->swim, &member.id, SWIM_TABLE_IMAGE, image_key(digest),
                             &record) == 0)
            each(context, &member);
    }
}

int agent_add_seed(struct agent *agent, const struct id *id, const struct address *address)
{
    return swim_add_seed(agent->swim, id, address);
}

void agent_remove_seed(struct agent *agent, const struct address *address)
{
    swim_remove_seed(agent->swim, address);
}

int agent_readdress(struct agent *agent, int64_t now_ms, const struct address *advertised)
{
    return swim_readdress(agent->swim, now_ms, advertised);
}

int agent_leave(struct agent *agent, int64_t now_ms)
{
    return swim_leave(agent->swim, now_ms);
}

int agent_ping(struct agent *agent, int64_t now_ms, int64_t now_us, const struct id *id,
               const struct id *via, uint64_t token)
{
    return swim_ping(agent->swim, now_ms, now_us, id, via, token);
}
