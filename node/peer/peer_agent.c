/* Drives the agent: inputs in, and everything it asks for carried out. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/mesh_process/host.h"
#include "node/peer/addresses.h"
#include "node/peer/peer.h"
#include "node/peer/pings.h"
#include "node/peer/proposals.h"
#include "node/peer/reads.h"
#include "node/peer/replicas.h"
#include "node/peer/sealing.h"
#include "node/peer/spares.h"

int64_t peer_now_ms(const struct peer *peer)
{
    (void)peer;
    return clock_boot_ms();
}

int64_t peer_now_us(void)
{
    return (int64_t)(uv_hrtime() / 1000);
}

int64_t peer_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A packet or message that can't be sent is as good as lost on the way: the cores repeat what
 * matters. That a stream can't be had at all is worth telling. */
static void send_one(struct peer *peer, const struct agent_send *send)
{
    struct bytes bytes = buffer_view(&send->bytes);
    if (id_is_none(
            &send->to)) { /* a session would have to know whom it addresses; a link finds out */
        if (send->kind != 0)
            links_greet(peer->links, &send->address, send->kind, bytes);
        return;
    }
    if (send->kind == 0) {
        udp_send(peer->udp, &send->to, &send->address, bytes);
        return;
    }
    if (!address_is_none(&send->address))
        links_set_address(peer->links, &send->to, &send->address);
    int rc = links_send_message(peer->links, &send->to, send->kind, bytes);
    if (rc < 0)
        log_limited(LOG_DEBUG, "message kind=%u to %s not sent: %s", (unsigned)send->kind,
                    id_short(&send->to), strerror(-rc));
}

static const char *name_of(const struct peer *peer, const struct id *id)
{
    const struct intent_peer *known = intent_peer_find(agent_intent(peer->agent), id);
    return known ? known->name : id_short(id);
}

static void add_helper(const struct peer *peer, const struct id *target, const struct id *id,
                       struct links_helpers *ret)
{
    struct swim_member member;
    if (ret->count == LINKS_HELPERS_MAX || id_equal(id, target) ||
        id_equal(id, &peer->identity.id) ||
        !swim_member_find(agent_swim(peer->agent), id, &member) || member.state != SWIM_ALIVE)
        return;
    for (size_t i = 0; i < ret->count; i++)
        if (id_equal(&ret->items[i].id, id))
            return;
    ret->items[ret->count].id = *id;
    ret->items[ret->count++].address = member.stream_address;
}

bool peer_locate(void *context, const struct id *id, struct address *ret)
{
    const struct peer *peer = context;
    struct swim_member member;
    if (!peer->agent || !swim_member_find(agent_swim(peer->agent), id, &member))
        return false;
    *ret = member.address;
    return !address_is_none(ret);
}

void peer_helpers(void *context, const struct id *id, struct links_helpers *ret)
{
    const struct peer *peer = context;
    const struct swim *swim = agent_swim(peer->agent);
    struct id known[SWIM_CONTACTS_MAX + 1];
    struct swim_member target;
    *ret = (struct links_helpers){0};
    if (!swim_member_find(swim, id, &target) || target.state != SWIM_ALIVE)
        return; /* who is not there is not reached by others either */
    ret->is_apart = target.path == SWIM_PATH_HELPER;
    size_t count = swim_member_helpers(swim, id, known);
    for (size_t i = 0; i < count; i++)
        add_helper(peer, id, &known[i], ret);
    for (size_t i = 0; i < LINKS_HELPERS_MAX; i++) {
        uint32_t index = randombytes_uniform((uint32_t)swim_member_count(swim));
        struct swim_member other = swim_member_at(swim, index);
        add_helper(peer, id, &other.id, ret);
    }
}

static void remember_address(struct peer *peer, const struct id *id)
{
    struct swim_member member;
    if (swim_member_find(agent_swim(peer->agent), id, &member))
        peer_remember_address(peer, id, &member.address);
}

static void member_event(struct peer *peer, const struct agent_event *event)
{
    static const char *const words[] = {[VIEW_ALIVE] = "is alive",
                                        [VIEW_SUSPECT] = "is suspected: it does not answer",
                                        [VIEW_DEAD] = "is dead",
                                        [VIEW_LEFT] = "has left"};
    enum log_level level = event->liveness == VIEW_ALIVE ? LOG_INFO : LOG_NOTICE;
    log_line(level, "peer %s %s", name_of(peer, &event->id), words[event->liveness]);
    if (event->liveness == VIEW_ALIVE)
        remember_address(peer, &event->id);
}

/* How this peer reaches another one, where that is out of the ordinary. */
static void path_event(struct peer *peer, const struct agent_event *event)
{
    char advertised[ADDRESS_TEXT_BYTES], address[ADDRESS_TEXT_BYTES];
    const char *name = name_of(peer, &event->id);
    struct swim_member member = {0};
    swim_member_find(agent_swim(peer->agent), &event->id, &member);
    address_format(&member.address, advertised);
    address_format(&event->address, address);
    switch (event->path) {
    case SWIM_PATH_DIRECT:
        log_limited(LOG_INFO, "peer %s answers at %s, which it advertises", name, advertised);
        break;
    case SWIM_PATH_LEARNT:
        log_limited(LOG_NOTICE,
                    "peer %s does not answer at %s, which it advertises, but at %s, where its "
                    "packets come from: it has moved, is behind NAT, or its --advertise is wrong",
                    name, advertised, address);
        break;
    case SWIM_PATH_HELPER:
        log_limited(LOG_NOTICE,
                    "peer %s at %s is reached through other peers only: something stops packets "
                    "and links from here to there",
                    name, advertised);
        break;
    case SWIM_PATH_STREAM:
        log_limited(LOG_NOTICE,
                    "peer %s at %s answers over TCP and not over UDP: something stops packets "
                    "from here to there",
                    name, advertised);
        break;
    }
}

static void misplaced_event(struct peer *peer, const struct agent_event *event)
{
    char advertised[ADDRESS_TEXT_BYTES], seen[ADDRESS_TEXT_BYTES];
    address_format(&peer->options.advertised, advertised);
    address_format(&event->address, seen);
    log_warning("no peer reaches this one at %s, which it advertises; they see it at %s: give the "
                "right one with --advertise, or let UDP and TCP in there",
                advertised, seen);
}

static void namesakes_event(struct peer *peer, const struct agent_event *event)
{
    const struct swim *swim = agent_swim(peer->agent);
    char first[ADDRESS_TEXT_BYTES] = "", second[ADDRESS_TEXT_BYTES] = "";
    struct swim_member member;
    if (swim_member_find(swim, &event->id, &member))
        address_format(&member.address, first);
    if (swim_member_find(swim, &event->other, &member))
        address_format(&member.address, second);
    log_warning("%s is the name of two living peers: %s at %s and %s at %s: commands take their "
                "ids; shut out the one that should not be there with: consort peer revoke ID",
                name_of(peer, &event->id), id_short(&event->id), first, id_short(&event->other),
                second);
}

static void stand_in_event(struct peer *peer, const struct agent_event *event)
{
    struct happening *happening = happenings_add(&peer->happenings, peer_wall_ms());
    const char *name = name_of(peer, &event->id);
    snprintf(happening->subject, sizeof(happening->subject), "%s", event->subject);
    snprintf(happening->text, sizeof(happening->text), "peer %s %s", name, event->text);
    log_notice("%s: %s", happening->subject, happening->text);
}

static void carry_out_event(struct peer *peer, const struct agent_event *event)
{
    switch (event->type) {
    case AGENT_MEMBER:
        member_event(peer, event);
        sealing_changed(peer->sealing);
        break;
    case AGENT_LEADER:
        if (id_is_none(&event->id))
            log_notice("nobody leads: containers go on, changes wait for a majority of voters");
        else
            log_info("peer %s leads", name_of(peer, &event->id));
        if (!id_is_none(&event->id))
            proposals_retry(peer);
        sealing_changed(peer->sealing);
        break;
    case AGENT_SHUT_OUT:
        log_notice("peer %s is shut out: it was revoked or has left", name_of(peer, &event->id));
        sessions_forget(udp_sessions(peer->udp), &event->id);
        links_drop(peer->links, &event->id);
        mesh_host_drop(peer->mesh, &event->id);
        peer_forget_address(peer, &event->id);
        break;
    case AGENT_PATH:
        path_event(peer, event);
        break;
    case AGENT_READDRESSED:
        peer_remember_address(peer, &event->id, &event->address);
        break;
    case AGENT_MISPLACED:
        misplaced_event(peer, event);
        break;
    case AGENT_PLACED:
        log_notice("this peer is reached at the address that it advertises");
        break;
    case AGENT_REMOVED:
        peer_removed(peer);
        break;
    case AGENT_FEED_BAD:
        log_limited(LOG_WARNING,
                    "peer %s sent intent that no voter signed: ignored. If the cluster was "
                    "recovered there, that has to be done again with its root key: consort recover "
                    "--root-key FILE",
                    name_of(peer, &event->id));
        break;
    case AGENT_FEED_TOO_FAR:
        log_limited(LOG_ERROR,
                    "peer %s is so far ahead that it can't show how the voters changed since this "
                    "peer's intent: ignored. If this goes on, let this peer join again: stop it, "
                    "remove its data directory %s, and join with a new token",
                    name_of(peer, &event->id), peer->options.data_dir);
        break;
    case AGENT_SNAPSHOT_BAD:
        log_limited(LOG_WARNING,
                    "peer %s sent a snapshot that is not what its hash says: ignored, and asked "
                    "for again; check the memory and the disk (dmesg) there",
                    name_of(peer, &event->id));
        break;
    case AGENT_MENDED:
        log_notice("the other peers have brought all that was lost here: this peer takes part in "
                   "votes again");
        break;
    case AGENT_EPOCH:
        log_warning(
            "a new epoch of the cluster begins: it was recovered at peer %s; what the epoch "
            "before agreed on and that peer did not hold is void",
            name_of(peer, &event->id));
        break;
    case AGENT_OUTRUN:
        log_error("the others know generation 0x%s of this peer, which is newer than its data "
                  "directory %s: was that put back from a backup? It goes on under a newer one",
                  event->text, peer->options.data_dir);
        break;
    case AGENT_NAMESAKES:
        namesakes_event(peer, event);
        break;
    case AGENT_STANDS_IN:
    case AGENT_STOOD_IN:
        stand_in_event(peer, event);
        break;
    case AGENT_PONG:
        pings_answered(peer, &event->pong);
        break;
    }
}

/* A compaction on its way through libuv's threads. */
struct compacting {
    uv_work_t work;
    struct peer *peer;
    struct agent_compaction *compaction;
};

static void run_compaction(uv_work_t *work)
{
    struct compacting *compacting = work->data;
    agent_compaction_run(compacting->compaction);
}

static void on_compacted(uv_work_t *work, int status)
{
    struct compacting *compacting = work->data;
    struct peer *peer = compacting->peer;
    struct agent_input input = {.type = AGENT_COMPACTED, .compaction = compacting->compaction};
    free(compacting);
    if (status < 0 || peer->is_stopping || peer->is_forgetting)
        agent_compaction_free(input.compaction);
    else
        peer_step(peer, &input);
}

/* If it can't be begun, the agent does it itself when the log gets too long. */
static void compact(struct peer *peer)
{
    struct compacting *compacting = calloc(1, sizeof(*compacting));
    if (!compacting)
        return;
    *compacting = (struct compacting){.peer = peer, .compaction = peer->output.compaction};
    compacting->work.data = compacting;
    if (uv_queue_work(peer->loop, &compacting->work, run_compaction, on_compacted) < 0)
        free(compacting);
    else
        peer->output.compaction = NULL;
}

static void on_deadline(uv_timer_t *timer)
{
    struct peer *peer = timer->data;
    uv_update_time(peer->loop);
    metrics_lag_add(&peer->lag, (int64_t)(uv_now(peer->loop) - peer->deadline_due_ms));
    peer_tick(peer);
}

static void carry_out(struct peer *peer)
{
    struct agent_output *output = &peer->output;
    for (size_t i = 0; i < output->write_count; i++) {
        int rc = peer_store_write(peer, &output->writes[i]);
        if (rc < 0) {
            log_error("stopping: what was agreed on can't be stored: %s", strerror(-rc));
            peer_stop(peer, 1);
            return;
        }
    }
    if (output->compaction)
        compact(peer);
    for (size_t i = 0; i < output->send_count; i++)
        send_one(peer, &output->sends[i]);
    for (size_t i = 0; i < output->event_count; i++)
        carry_out_event(peer, &output->events[i]);
    for (size_t i = 0; i < output->result_count; i++)
        if (!reads_decided(peer, &output->results[i]))
            proposals_decided(peer, &output->results[i]);
    if (output->wanted_changed || output->routes_changed)
        addresses_changed(peer); /* before containers are started that may ask there */
    if (output->wanted_changed) {
        replicas_changed(peer->replicas);
        spares_changed(peer->spares);
        sealing_changed(peer->sealing);
    }
    if (output->routes_changed)
        mesh_host_changed(peer->mesh);
}

static void say_why_stopping(const struct intent_level *outdated)
{
    if (!outdated)
        log_error("stopping: out of memory; containers go on");
    else
        log_error(
            "stopping: the cluster's state is at level %u, which takes consort %s: upgrade it on "
            "this machine; containers go on",
            outdated->number, outdated->version[0] ? outdated->version : "in a newer version");
}

void peer_step(struct peer *peer, struct agent_input *input)
{
    assert(!peer->is_stepping);
    if (peer->is_stopping || peer->is_forgetting)
        return;
    if (input->more)
        peer_wake(peer); /* for what is due, once all that has come in this turn was taken */
    else
        uv_idle_stop(&peer->wake);
    uv_update_time(peer->loop);
    input->now_ms = peer_now_ms(peer);
    input->now_us = peer_now_us();
    input->wall_ms = peer_wall_ms();
    peer->is_stepping = true;
    int rc = agent_step(peer->agent, input, &peer->output);
    if (rc == -ENOMEM || rc == -ENOTRECOVERABLE) {
        say_why_stopping(rc == -ENOMEM ? NULL : agent_outdated(peer->agent));
        peer_stop(peer, 1);
    } else {
        if (rc == -EBADMSG)
            log_limited(LOG_WARNING, "message kind=%u from peer %s makes no sense: ignored",
                        (unsigned)input->kind, name_of(peer, &input->from));
        else if (rc == -EPROTONOSUPPORT)
            log_limited(LOG_WARNING,
                        "message kind=%u from peer %s is of a newer version of consort: ignored; "
                        "upgrade it on this machine",
                        (unsigned)input->kind, name_of(peer, &input->from));
        carry_out(peer);
    }
    peer->is_stepping = false;
    if (input->more)
        return;
    stopping_look(peer);
    /* Never at once: timers that are due run before sockets are looked at again. On a grid, so that
     * what is due at about the same time costs one waking. */
    int64_t now_ms = peer_now_ms(peer);
    int64_t wait_ms = peer->output.next_deadline_ms - now_ms;
    wait_ms = wait_ms < 0 ? 0 : wait_ms > PEER_SLEEP_MS_MAX ? PEER_SLEEP_MS_MAX : wait_ms;
    wait_ms += PEER_GRID_MS - (now_ms + wait_ms) % PEER_GRID_MS;
    if (peer->is_stopping)
        return;
    peer->deadline_due_ms = uv_now(peer->loop) + (uint64_t)wait_ms;
    uv_timer_start(&peer->deadline, on_deadline, (uint64_t)wait_ms, 0);
}

static void on_wake(uv_idle_t *idle)
{
    uv_idle_stop(idle);
    peer_tick(idle->data);
}

void peer_wake(struct peer *peer)
{
    uv_idle_start(&peer->wake, on_wake);
}

void peer_tick(struct peer *peer)
{
    if (peer->agent && !peer->is_stepping)
        peer_step(peer, &(struct agent_input){.type = AGENT_TICK});
}
