/* Looking: version, status, services, replicas, why, events. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/ip_network.h"
#include "base/ula.h"
#include "node/api/describe.h"
#include "node/api/find.h"
#include "node/control/control.h"
#include "node/control/level.h"
#include "node/control/stand_in.h"
#include "node/control/voters.h"
#include "node/mesh/mesh.h"
#include "node/mesh_process/host.h"
#include "node/transport/socket.h"

static void method_version(struct api_call *call, struct bytes params)
{
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    (void)params;
    writer_init(&writer, &result);
    writer_map(&writer, 2);
    put_text(&writer, "version", CONSORT_VERSION);
    put_u64(&writer, "protocol", LINK_PROTOCOL_VERSION);
    api_answer(call, &result);
}

static const char *phase_text(enum peer_phase phase)
{
    static const char *const words[] = {[PEER_ALONE] = "no cluster",
                                        [PEER_JOINING] = "joining",
                                        [PEER_MEMBER] = "member",
                                        [PEER_LEAVING] = "leaving",
                                        [PEER_GONE] = "gone"};
    return words[phase];
}

/* An address, or an empty text for none. */
static void put_address(struct writer *writer, const char *key, const struct address *address)
{
    char text[ADDRESS_TEXT_BYTES] = "";
    if (!address_is_none(address))
        address_format(address, text);
    put_text(writer, key, text);
}

/* At which level the cluster's state is, the highest that any peer knows, and who keeps it from
 * there. */
static void put_level(struct writer *writer, const struct peer *peer)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct view *view = agent_view(peer->agent);
    uint32_t next = level_of_any(intent, view);
    size_t count = 0;
    if (next < intent->level.number)
        next = intent->level.number;
    put_u64(writer, "level", intent->level.number);
    put_text(writer, "level_version", intent->level.version);
    put_u64(writer, "level_next", next);
    for (size_t i = 0; i < intent->peers.count; i++)
        count += level_is_above(next, intent->peers.items[i], view);
    writer_text(writer, "level_waits_for");
    writer_array(writer, count);
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *known = intent->peers.items[i];
        if (level_is_above(next, known, view))
            writer_text(writer, known->name);
    }
}

/* Of this peer: what is free where its data is, and whether that is too little to vote. */
static void put_disk(struct writer *writer, const struct peer *peer)
{
    const struct view_peer *self = view_peer_find(agent_view(peer->agent), &peer->identity.id);
    bool is_known = self && self->has_disk;
    put_u64(writer, "disk_free_bytes", is_known ? self->disk.free_bytes : 0);
    put_flag(writer, "disk_is_full", is_known && voters_disk_is_full(self->disk.free_bytes));
}

/* For how long there was no quorum, -1: there is one; and how many replicas run in another's place.
 */
static void put_stand_ins(struct writer *writer, const struct peer *peer)
{
    const struct view *view = agent_view(peer->agent);
    int64_t since_ms = agent_no_quorum_since(peer->agent);
    uint64_t count = 0;
    for (size_t i = 0; i < view->stand_ins.count; i++) {
        const struct view_stand_in *stand_in = view->stand_ins.items[i];
        count +=
            stand_in->replica.want == INTENT_RUN && view_is_alive(view, &stand_in->replica.peer);
    }
    put_i64(writer, "no_quorum_ms", since_ms == INT64_MAX ? -1 : peer_now_ms(peer) - since_ms);
    put_u64(writer, "stand_ins", count);
}

static void status_of_member(struct writer *writer, const struct peer *peer)
{
    const struct intent *intent = agent_intent(peer->agent);
    struct address seen = {0};
    swim_is_misplaced(agent_swim(peer->agent), &seen);
    struct agent_status status;
    uint32_t wanted = 0, serving = 0;
    agent_status(peer->agent, &status);
    for (size_t i = 0; i < intent->services.count; i++) {
        wanted += count_wanted(peer, intent->services.items[i]);
        serving += count_serving(peer, intent->services.items[i]);
    }
    bool has_leader = !id_is_none(&status.leader) &&
                      (status.leader_is_alive || id_equal(&status.leader, &peer->identity.id));
    put_id(writer, "cluster", &peer->cluster);
    put_text(writer, "role", raft_role_name(status.role));
    put_flag(writer, "is_voter", status.is_voter);
    put_u64(writer, "term", status.term);
    put_text(writer, "leader", has_leader ? peer_name(peer, &status.leader) : NULL);
    put_flag(writer, "quorum", has_leader && status.live_voter_count * 2 > status.voter_count);
    put_u64(writer, "applied", status.applied_index);
    put_u64(writer, "newest", status.newest_index);
    put_stand_ins(writer, peer);
    put_u64(writer, "voters", status.voter_count);
    put_u64(writer, "live_voters", status.live_voter_count);
    put_u64(writer, "voters_max", agent_voters_max(peer->agent));
    put_disk(writer, peer);
    put_u64(writer, "members", status.member_count);
    put_u64(writer, "live", status.live_count);
    put_text(writer, "profile", intent_profile_text(intent->gossip.profile));
    put_u64(writer, "services", intent->services.count);
    put_u64(writer, "replicas_wanted", wanted);
    put_u64(writer, "replicas_serving", serving);
    put_address(writer, "seen_at", &seen);
    put_flag(writer, "called_revoked", peer->links && links_is_called_revoked(peer->links));
    put_u64(writer, "connections", mesh_host_connection_count(peer->mesh));
    put_level(writer, peer);
}

static void method_status(struct api_call *call, struct bytes params)
{
    const struct peer *peer = call->peer;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    char address[ADDRESS_TEXT_BYTES];
    (void)params;
    address_format(&peer->options.advertised, address);
    writer_init(&writer, &result);
    writer_map(&writer, 5 + (peer->agent ? 28 : 0));
    put_text(&writer, "phase", phase_text(peer->phase));
    put_id(&writer, "id", &peer->identity.id);
    put_text(&writer, "name", peer->options.name);
    put_text(&writer, "version", CONSORT_VERSION);
    put_text(&writer, "address", address);
    if (peer->agent)
        status_of_member(&writer, peer);
    api_answer(call, &result);
}

/* --- Services --- */

enum {
    SERVICE_KEYS = 12,
};

static void format_ports(const struct service_spec *spec, char *ret, size_t capacity)
{
    size_t length = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < spec->port_count && length < capacity; i++) {
        int written = snprintf(ret + length, capacity - length, "%s%u:%u%s", i > 0 ? "," : "",
                               spec->ports[i].published, spec->ports[i].target,
                               spec->ports[i].protocol == SPEC_UDP ? "/udp" : "");
        length += (size_t)written;
    }
}

void put_service(struct writer *writer, const struct peer *peer,
                 const struct intent_service *service, size_t more)
{
    const struct intent_revision *revision = intent_revision_find(service, service->revision);
    const struct service_spec *spec = &revision->spec;
    char ports[256];
    format_ports(spec, ports, sizeof(ports));
    writer_map(writer, SERVICE_KEYS + more);
    put_text(writer, "name", service->name);
    put_text(writer, "stack", service->stack);
    put_text(writer, "mode", spec->mode == SPEC_GLOBAL ? "global" : "replicated");
    put_u64(writer, "replicas", count_wanted(peer, service));
    put_u64(writer, "serving", count_serving(peer, service));
    put_text(writer, "image", spec->image);
    put_text(writer, "ports", ports);
    put_u64(writer, "revision", service->revision);
    put_text(writer, "rollout", intent_rollout_state_text(service->rollout.state));
    put_text(writer, "reason", service->rollout.reason);
    put_flag(writer, "removing", service->removing);
    put_i64(writer, "since_wall_ms", revision->wall_ms);
}

static void method_service_ls(struct api_call *call, struct bytes params)
{
    const struct table *services = &agent_intent(call->peer->agent)->services;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    (void)params;
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    writer_text(&writer, "services");
    writer_array(&writer, services->count);
    for (size_t i = 0; i < services->count; i++)
        put_service(&writer, call->peer, services->items[i], 0);
    api_answer(call, &result);
}

/* The images that the revision mounts, beside its own. */
static void write_mounted_images(struct writer *writer, const struct service_spec *spec)
{
    struct spec_image image;
    size_t count = 1;
    while (service_spec_image(spec, count, &image))
        count++;
    writer_text(writer, "mounted_images");
    writer_array(writer, count - 1);
    for (size_t i = 1; i < count; i++) {
        service_spec_image(spec, i, &image);
        writer_map(writer, 2);
        put_text(writer, "image", image.name);
        put_text(writer, "image_digest", image.digest ? image.digest : "");
    }
}

static void write_revisions(struct writer *writer, const struct intent_service *service)
{
    writer_text(writer, "revisions");
    writer_array(writer, service->revisions.count);
    for (size_t i = 0; i < service->revisions.count; i++) {
        const struct intent_revision *revision = service->revisions.items[i];
        writer_map(writer, 6);
        put_u64(writer, "number", revision->number);
        put_i64(writer, "wall_ms", revision->wall_ms);
        put_text(writer, "actor", revision->actor);
        put_text(writer, "image", revision->spec.image);
        put_text(writer, "image_digest",
                 revision->spec.image_digest ? revision->spec.image_digest : "");
        write_mounted_images(writer, &revision->spec);
    }
}

/* "172.28.0.5 in shop_front": what it has within its networks, of the revision that is wanted. */
static void put_addresses(struct writer *writer, const struct intent_service *service)
{
    const struct intent_revision *revision = intent_revision_find(service, service->revision);
    cleanup_buffer struct buffer text = {0};
    for (size_t i = 0; revision && i < revision->spec.network_count; i++) {
        const struct spec_network *network = &revision->spec.networks[i];
        for (size_t j = 0; j < network->address_count; j++) {
            char ip[IP_TEXT_BYTES];
            ip_format(&network->addresses[j], ip);
            buffer_printf(&text, "%s%s in %s", text.size > 0 ? ", " : "", ip, network->name);
        }
    }
    cleanup_free char *taken = buffer_take_text(&text);
    put_text(writer, "addresses", taken ? taken : "");
}

static void method_service_inspect(struct api_call *call, struct bytes params)
{
    const struct intent_service *service = wanted_service(call, params);
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    char virtual_ip[INET_ADDRSTRLEN], virtual_ipv6[INET6_ADDRSTRLEN];
    if (!service)
        return;
    struct in_addr address = {htonl(MESH_VIRTUAL_BASE + service->virtual_ip)};
    inet_ntop(AF_INET, &address, virtual_ip, sizeof(virtual_ip));
    const struct address ula = ula_make(ULA_VIRTUAL_SUBNET, ntohl(address.s_addr));
    inet_ntop(AF_INET6, ula.ip, virtual_ipv6, sizeof(virtual_ipv6));
    writer_init(&writer, &result);
    put_service(&writer, call->peer, service, 5);
    put_text(&writer, "virtual_ip", virtual_ip);
    put_text(&writer, "virtual_ipv6", virtual_ipv6);
    put_addresses(&writer, service);
    write_revisions(&writer, service);
    writer_text(&writer, "replica_list");
    put_replicas(&writer, call->peer, service->name, NULL);
    api_answer(call, &result);
}

static bool slot_is_placed(const struct intent *intent, const char *service, uint32_t slot)
{
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        if (replica->want == INTENT_RUN && replica->slot == slot &&
            strcmp(replica->service, service) == 0)
            return true;
    }
    return false;
}

/* Replicas that no peer has taken yet: rows of `ps` without a peer. Counts them when `writer` is
 * NULL. */
static size_t put_pending(struct writer *writer, const struct intent *intent,
                          const struct intent_service *service)
{
    const struct intent_revision *revision = intent_revision_find(service, service->revision);
    size_t count = 0;
    if (service->removing || !revision || revision->spec.mode == SPEC_GLOBAL)
        return 0;
    for (uint32_t slot = 1; slot <= service->replicas; slot++) {
        char name[INTENT_SERVICE_NAME_BYTES_MAX + 16];
        if (slot_is_placed(intent, service->name, slot))
            continue;
        count++;
        if (!writer)
            continue;
        snprintf(name, sizeof(name), "%s.%u", service->name, slot);
        writer_map(writer, 11);
        put_text(writer, "name", name);
        put_text(writer, "service", service->name);
        put_u64(writer, "slot", slot);
        put_u64(writer, "generation", 0);
        put_u64(writer, "revision", service->revision);
        put_text(writer, "peer", "");
        put_text(writer, "state", "pending");
        put_text(writer, "health", "none");
        put_u64(writer, "restarts", 0);
        put_text(writer, "detail", "no peer has taken it: see consort why");
        put_text(writer, "image", revision->spec.image);
    }
    return count;
}

/* All rows of `ps`: what is placed, and what is not. */
static void write_rows(struct writer *writer, const struct peer *peer,
                       const struct intent_service *only)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct view *view = agent_view(peer->agent);
    const struct intent_replica *replica;
    size_t count = 0;
    for (size_t i = 0; (replica = any_replica_at(intent, view, i)); i++) {
        count += !only || strcmp(replica->service, only->name) == 0;
    }
    for (size_t i = 0; i < intent->services.count; i++)
        if (!only || only == intent->services.items[i])
            count += put_pending(NULL, intent, intent->services.items[i]);
    writer_array(writer, count);
    for (size_t i = 0; (replica = any_replica_at(intent, view, i)); i++) {
        if (!only || strcmp(replica->service, only->name) == 0)
            put_replica(writer, peer, replica);
    }
    for (size_t i = 0; i < intent->services.count; i++)
        if (!only || only == intent->services.items[i])
            put_pending(writer, intent, intent->services.items[i]);
}

static void method_ps(struct api_call *call, struct bytes params)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    const struct intent_service *service = NULL;
    if (frame_text(params, "service", name, sizeof(name))) {
        service = wanted_service(call, params);
        if (!service)
            return;
    }
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    writer_text(&writer, "replicas");
    write_rows(&writer, call->peer, service);
    api_answer(call, &result);
}

/* --- Why --- */

static void explain_replica(const struct peer *peer, const struct intent_replica *replica,
                            struct buffer *text)
{
    const struct view_replica *seen =
        view_replica_find(agent_view(peer->agent), replica->generation);
    char words[STAND_IN_WORDS_BYTES];
    bool is_stand_in = stand_in_is(replica->generation);
    if (is_stand_in)
        stand_in_describe(agent_intent(peer->agent), agent_view(peer->agent), replica, words);
    buffer_printf(text, "%s.%u revision %u at peer %s: %s", replica->service, replica->slot,
                  replica->revision, peer_name(peer, &replica->peer),
                  is_stand_in ? words : replica->reason);
    if (seen && seen->detail[0])
        buffer_printf(text, "; %s", seen->detail);
    if (seen && seen->restarts > 0)
        buffer_printf(text, "; restarted %u times", seen->restarts);
    buffer_append_text(text, "\n");
}

/* Without a quorum: for how long, and what the service's on_minority makes of it. */
static void explain_minority(const struct peer *peer, const struct intent_service *service,
                             struct buffer *text)
{
    int64_t since_ms = agent_no_quorum_since(peer->agent);
    if (since_ms == INT64_MAX)
        return;
    const struct service_spec *spec = &intent_revision_find(service, service->revision)->spec;
    buffer_printf(text,
                  "no quorum since %lld s: ", (long long)((peer_now_ms(peer) - since_ms) / 1000));
    if (service_spec_is_duplicated(spec))
        buffer_append_text(text, "peers that are reached stand in for those that are not "
                                 "(on_minority: duplicate)\n");
    else if (spec->on_minority == SPEC_MINORITY_DUPLICATE && service_spec_has_volumes(spec))
        buffer_append_text(text, "replicas on peers that are not reached wait for them, with "
                                 "their volumes\n");
    else
        buffer_append_text(text, "replicas on peers that are not reached wait for them "
                                 "(on_minority: hold)\n");
}

static void explain_history(const struct peer *peer, const char *service, struct buffer *text)
{
    const struct intent_event *event;
    size_t length = strlen(service);
    for (size_t i = 0; (event = intent_event_at(agent_intent(peer->agent), i)); i++) {
        bool is_ours = strncmp(event->subject, service, length) == 0 &&
                       (event->subject[length] == '\0' || event->subject[length] == '.');
        if (is_ours)
            buffer_printf(text, "#%llu %s %s: %s\n", (unsigned long long)event->index, event->actor,
                          event->subject, event->text);
    }
}

static void answer_lines(struct api_call *call, struct buffer *text)
{
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    size_t count = 0;
    while (text->size > 0 && text->bytes[text->size - 1] != '\n')
        text->size--; /* a line that there was no memory to end */
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    writer_text(&writer, "lines");
    for (size_t i = 0; i < text->size; i++)
        count += text->bytes[i] == '\n';
    writer_array(&writer, count);
    for (size_t start = 0; start < text->size;) {
        size_t end = start;
        while (text->bytes[end] != '\n')
            end++;
        writer_text_bytes(&writer, (struct bytes){text->bytes + start, end - start});
        start = end + 1;
    }
    api_answer(call, &result);
}

static void method_why(struct api_call *call, struct bytes params)
{
    const struct peer *peer = call->peer;
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_replica *only;
    const struct intent_service *service = wanted_subject(call, params, &only);
    cleanup_buffer struct buffer text = {0};
    if (!service)
        return;
    buffer_printf(&text, "%s: %u of %u replicas serve; rollout of revision %u: %s\n", service->name,
                  count_serving(peer, service), count_wanted(peer, service), service->rollout.to,
                  intent_rollout_state_text(service->rollout.state));
    if (service->rollout.reason[0])
        buffer_printf(&text, "%s\n", service->rollout.reason);
    control_explain(intent, agent_view(peer->agent), service->name, &text);
    explain_minority(peer, service, &text);
    mesh_host_explain(peer->mesh, service->name, &text);
    const struct intent_replica *replica;
    for (size_t i = 0; (replica = any_replica_at(intent, agent_view(peer->agent), i)); i++) {
        if (only ? replica == only : strcmp(replica->service, service->name) == 0)
            explain_replica(peer, replica, &text);
    }
    explain_history(peer, service->name, &text);
    for (size_t i = 0; i < text.size; i++) /* last log lines may have any bytes */
        if (text.bytes[i] < 0x20 && text.bytes[i] != '\n')
            text.bytes[i] = ' ';
    answer_lines(call, &text);
}

/* --- Events --- */

enum {
    EVENTS_POLL_MS = 200, /* how often a follower is told what is new */
};

struct events {
    uv_timer_t timer;
    struct api_call *call;
    struct event_cursor cursor;
};

/* What was seen here alone has no index. */
static int note_happening(struct api_call *call, const struct happening *happening)
{
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_map(&writer, 6);
    put_u64(&writer, "index", 0);
    put_i64(&writer, "wall_ms", happening->wall_ms);
    put_text(&writer, "actor", "consort");
    put_text(&writer, "kind", "stand-in");
    put_text(&writer, "subject", happening->subject);
    put_text(&writer, "text", happening->text);
    return api_note(call, "event", buffer_view(&payload));
}

static int note_event(struct api_call *call, const struct intent_event *event)
{
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_map(&writer, 6);
    put_u64(&writer, "index", event->index);
    put_i64(&writer, "wall_ms", event->wall_ms);
    put_text(&writer, "actor", event->actor);
    put_text(&writer, "kind", event->kind);
    put_text(&writer, "subject", event->subject);
    put_text(&writer, "text", event->text);
    return api_note(call, "event", buffer_view(&payload));
}

/* Those that happened up to then, and are not told yet. */
static void note_happenings(struct api_call *call, int64_t until_wall_ms,
                            struct event_cursor *cursor)
{
    const struct happening *happening;
    while ((happening = happenings_after(&call->peer->happenings, cursor->happening)) &&
           happening->wall_ms <= until_wall_ms) {
        note_happening(call, happening);
        cursor->happening = happening->number;
    }
}

void note_newer_events(struct api_call *call, struct event_cursor *cursor)
{
    const struct intent_event *event;
    for (size_t i = 0; (event = intent_event_at(agent_intent(call->peer->agent), i)); i++) {
        if (event->index <= cursor->index)
            continue;
        note_happenings(call, event->wall_ms, cursor);
        note_event(call, event);
        cursor->index = event->index;
    }
    note_happenings(call, INT64_MAX, cursor);
}

static void on_events_timer(uv_timer_t *timer)
{
    struct events *events = timer->data;
    if (!events->call->is_canceled) {
        note_newer_events(events->call, &events->cursor);
        return;
    }
    api_answer(events->call, NULL);
    uv_close((uv_handle_t *)timer, socket_free_owner);
}

static void method_events(struct api_call *call, struct bytes params)
{
    struct event_cursor cursor = {0};
    note_newer_events(call, &cursor);
    struct events *events = frame_flag(params, "follow") ? calloc(1, sizeof(*events)) : NULL;
    if (!events) {
        api_answer(call, NULL);
        return;
    }
    events->call = call;
    events->cursor = cursor;
    uv_timer_init(call->peer->loop, &events->timer);
    events->timer.data = events;
    uv_timer_start(&events->timer, on_events_timer, EVENTS_POLL_MS, EVENTS_POLL_MS);
}

const struct api_entry api_query_methods[] = {
    {"version", ROLE_VIEWER, API_ANYWHERE, method_version},
    {"status", ROLE_VIEWER, API_ANYWHERE, method_status},
    {"service.ls", ROLE_VIEWER, API_OF_INTENT, method_service_ls},
    {"service.inspect", ROLE_VIEWER, API_OF_INTENT, method_service_inspect},
    {"ps", ROLE_VIEWER, API_OF_INTENT, method_ps},
    {"why", ROLE_VIEWER, API_OF_INTENT, method_why},
    {"events", ROLE_VIEWER, API_OF_INTENT, method_events},
    {0},
};
