/* The peers, one by one: how they are seen from here, and how they are reached. */
#include <errno.h>
#include <string.h>

#include "node/api/describe.h"
#include "node/api/find.h"
#include "node/api/pinging.h"

enum {
    JOINING_MS = 5 * 60 * 1000, /* from the admission until it must have been heard of */
    PEERS_PAGE = 1000,          /* a thousand descriptions fit a frame */
    PEER_KEYS = 24,
    INSPECT_KEYS = 7,
};

/* Of those whom gossip has not seen: gossip forgets the dead, and begins with nothing at each
 * start, so only who was admitted a moment ago is still to come. */
static const char *unseen_state(const struct peer *peer, const struct intent_peer *known)
{
    const struct view_peer *self = view_peer_find(agent_view(peer->agent), &peer->identity.id);
    int64_t up_ms = self ? peer_now_ms(peer) - self->since_ms : 0;
    if (peer_wall_ms() - known->admitted_wall_ms < JOINING_MS)
        return "joining";
    return up_ms < CONTROL_UNKNOWN_PEER_MS ? "unknown" : "dead";
}

const char *peer_state_text(const struct peer *peer, const struct intent_peer *known)
{
    const struct view_peer *seen = view_peer_find(agent_view(peer->agent), &known->id);
    static const char *const words[] = {[VIEW_ALIVE] = "alive",
                                        [VIEW_SUSPECT] = "suspect",
                                        [VIEW_DEAD] = "dead",
                                        [VIEW_LEFT] = "left"};
    if (known->state == INTENT_REVOKED)
        return "revoked";
    if (known->state == INTENT_LEFT)
        return "left";
    if (id_equal(&known->id, &peer->identity.id))
        return "alive";
    return seen ? words[seen->liveness] : unseen_state(peer, known);
}

int64_t peer_state_ms(const struct peer *peer, const struct intent_peer *known)
{
    const struct view_peer *seen = view_peer_find(agent_view(peer->agent), &known->id);
    int64_t since_ms = -1;
    if (known->state == INTENT_REVOKED || known->state == INTENT_LEFT)
        since_ms = peer_wall_ms() - known->state_wall_ms;
    else if (seen)
        since_ms = peer_now_ms(peer) - seen->since_ms;
    else if (strcmp(unseen_state(peer, known), "joining") == 0)
        since_ms = peer_wall_ms() - known->admitted_wall_ms;
    else
        return -1;
    return since_ms < 0 ? 0 : since_ms; /* clocks of two machines differ */
}

static uint64_t replicas_at(const struct peer *peer, const struct id *id)
{
    const struct intent *intent = agent_intent(peer->agent);
    uint64_t count = 0;
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        count += replica->want == INTENT_RUN && id_equal(&replica->peer, id);
    }
    return count;
}

/* The value of the label `zone`, or "". */
static void zone_of(const char *labels, char ret[VIEW_LABELS_BYTES_MAX + 1])
{
    static const char key[] = "zone=";
    size_t key_size = sizeof(key) - 1;
    ret[0] = '\0';
    while (*labels) {
        size_t size = strcspn(labels, ",");
        if (size >= key_size && memcmp(labels, key, key_size) == 0) {
            memcpy(ret, labels + key_size, size - key_size);
            ret[size - key_size] = '\0';
            return;
        }
        labels += size + (labels[size] == ',');
    }
}

/* What gossip knows of it. Of ourselves that is how slow we take ourselves to be. */
static void put_membership(struct writer *writer, const struct peer *peer, const struct id *id)
{
    static const char *const path_words[] = {[SWIM_PATH_DIRECT] = "direct",
                                             [SWIM_PATH_LEARNT] = "learnt",
                                             [SWIM_PATH_HELPER] = "helper",
                                             [SWIM_PATH_STREAM] = "stream"};
    struct swim_member member = {0};
    const struct address *learnt = swim_member_learnt(agent_swim(peer->agent), id);
    struct swim_counters counters;
    bool is_member = swim_member_find(agent_swim(peer->agent), id, &member);
    bool is_self = id_equal(id, &peer->identity.id);
    char address[ADDRESS_TEXT_BYTES] = "";
    swim_counters(agent_swim(peer->agent), &counters);
    if (is_self)
        address_format(&peer->options.advertised, address);
    else if (is_member)
        address_format(&member.address, address);
    put_text(writer, "address", address);
    if (learnt)
        address_format(learnt, address);
    put_text(writer, "path", path_words[member.path]);
    put_text(writer, "reached_at", learnt ? address : "");
    put_flag(writer, "udp_blocked", member.udp_blocked);
    put_u64(writer, "rtt_us", member.rtt_us);
    put_u64(writer, "health", is_self ? counters.health : member.health);
}

static void put_since(struct writer *writer, int64_t since_ms)
{
    writer_text(writer, "since_ms");
    if (since_ms < 0)
        writer_nil(writer);
    else
        writer_i64(writer, since_ms);
}

void put_peer(struct writer *writer, const struct peer *peer, const struct intent_peer *known,
              size_t more)
{
    static const struct view_capacity unknown;
    const struct view_peer *seen = view_peer_find(agent_view(peer->agent), &known->id);
    const struct view_capacity *capacity = seen && seen->has_capacity ? &seen->capacity : &unknown;
    struct agent_status status;
    char zone[VIEW_LABELS_BYTES_MAX + 1];
    agent_status(peer->agent, &status);
    zone_of(capacity->labels, zone);
    writer_map(writer, PEER_KEYS + more);
    put_id(writer, "id", &known->id);
    put_text(writer, "name", known->name);
    put_text(writer, "state", peer_state_text(peer, known));
    put_text(writer, "intent", intent_peer_state_text(known->state));
    put_text(writer, "role", intent_role_text(known->role));
    put_flag(writer, "is_voter", intent_is_voter(agent_intent(peer->agent), &known->id));
    put_flag(writer, "is_leader", id_equal(&known->id, &status.leader));
    put_membership(writer, peer, &known->id);
    put_text(writer, "version", capacity->version);
    put_u64(writer, "level", capacity->level);
    put_text(writer, "labels", capacity->labels);
    put_text(writer, "zone", zone);
    put_u64(writer, "cpu_millis", capacity->cpu_millis);
    put_u64(writer, "memory_bytes", capacity->memory_bytes);
    put_u64(writer, "disk_free_bytes", seen && seen->has_disk ? seen->disk.free_bytes : 0);
    put_u64(writer, "disk_bytes", seen && seen->has_disk ? seen->disk.bytes : 0);
    put_since(writer, peer_state_ms(peer, known));
    put_u64(writer, "replicas", replicas_at(peer, &known->id));
    put_flag(writer, "self", id_equal(&known->id, &peer->identity.id));
}

/* Passes the call on if its parameter "at" names another peer than this one; true if the call is
 * gone. A call that was passed on is for this peer. */
static bool is_for_another(struct api_call *call, struct bytes params)
{
    struct reader at;
    if (call->is_passed_on || !frame_find(params, "at", &at))
        return false;
    const struct intent_peer *peer = peer_of_param(call, params, "at");
    if (peer && id_equal(&peer->id, &call->peer->identity.id))
        return false;
    if (peer)
        api_forward(call, &peer->id, params);
    return true;
}

/* The peers after that id, as many as go into one answer; only counts them without `writer`. */
static size_t put_page(struct writer *writer, const struct peer *peer, const struct id *after,
                       const struct id **ret_last)
{
    const struct table *peers = &agent_intent(peer->agent)->peers;
    size_t count = 0;
    for (size_t i = 0; i < peers->count && count < PEERS_PAGE; i++) {
        const struct intent_peer *known = peers->items[i];
        if (known->role != INTENT_PEER || id_compare(&known->id, after) <= 0)
            continue;
        count++;
        *ret_last = &known->id;
        if (writer)
            put_peer(writer, peer, known, 0);
    }
    return count;
}

static void method_peer_ls(struct api_call *call, struct bytes params)
{
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    struct id after = ID_NONE;
    const struct id *last = &ID_NONE;
    char text[ID_TEXT_BYTES] = "";
    if (is_for_another(call, params))
        return;
    frame_text(params, "after", text, sizeof(text));
    if (text[0] && id_parse(text, &after) < 0) {
        api_fail_with(call, -EINVAL, NULL, "%s is no id", text);
        return;
    }
    size_t count = put_page(NULL, call->peer, &after, &last);
    writer_init(&writer, &result);
    writer_map(&writer, 2);
    writer_text(&writer, "peers");
    writer_array(&writer, count);
    put_page(&writer, call->peer, &after, &last);
    if (count == PEERS_PAGE)
        put_id(&writer, "next", last);
    else
        put_text(&writer, "next", "");
    api_answer(call, &result);
}

/* Who holds it unreachable, and what follows from that. */
static void put_accusers(struct writer *writer, const struct peer *peer, const struct id *id)
{
    struct swim_suspicion suspicion;
    int64_t now_ms = peer_now_ms(peer);
    swim_suspicion(agent_swim(peer->agent), id, &suspicion);
    writer_text(writer, "accusers");
    writer_array(writer, suspicion.count);
    for (size_t i = 0; i < suspicion.count; i++) {
        writer_map(writer, 3);
        put_text(writer, "name", peer_name(peer, &suspicion.accusations[i].by));
        put_id(writer, "id", &suspicion.accusations[i].by);
        put_i64(writer, "heard_ms", now_ms - suspicion.accusations[i].heard_ms);
    }
    put_i64(writer, "accused_ms", suspicion.count > 0 ? now_ms - suspicion.since_ms : 0);
    int64_t left_ms = suspicion.dead_by_ms - now_ms;
    put_i64(writer, "dead_in_ms", suspicion.count > 0 && left_ms > 0 ? left_ms : 0);
}

static void method_peer_inspect(struct api_call *call, struct bytes params)
{
    cleanup_buffer struct buffer result = {0};
    char vote_reason[VOTERS_REASON_BYTES_MAX + 1];
    struct writer writer;
    if (is_for_another(call, params))
        return;
    const struct intent_peer *known = wanted_peer(call, params);
    if (!known)
        return;
    writer_init(&writer, &result);
    put_peer(&writer, call->peer, known, INSPECT_KEYS);
    put_u64(&writer, "serial", known->serial);
    put_i64(&writer, "admitted_wall_ms", known->admitted_wall_ms);
    agent_vote_reason(call->peer->agent, &known->id, vote_reason);
    put_text(&writer, "vote_reason", vote_reason);
    put_accusers(&writer, call->peer, &known->id);
    writer_text(&writer, "replica_list");
    put_replicas(&writer, call->peer, NULL, &known->id);
    api_answer(call, &result);
}

static void method_peer_ping(struct api_call *call, struct bytes params)
{
    struct pinging_options options = {.count = PINGING_COUNT_DEFAULT,
                                      .interval_ms = PINGING_INTERVAL_MS_DEFAULT,
                                      .with_helpers = frame_flag(params, "helpers")};
    if (is_for_another(call, params))
        return;
    const struct intent_peer *known = wanted_peer(call, params);
    if (!known)
        return;
    frame_u64(params, "count", &options.count);
    frame_u64(params, "interval_ms", &options.interval_ms);
    options.target = known->id;
    pinging_start(call, &options);
}

const struct api_entry api_peer_methods[] = {
    {"peer.ls", ROLE_VIEWER, API_OF_INTENT, method_peer_ls},
    {"peer.inspect", ROLE_VIEWER, API_OF_INTENT, method_peer_inspect},
    {"peer.ping", ROLE_VIEWER, API_IN_CLUSTER, method_peer_ping},
    {0},
};
