/* Packets: what rides on each, and what is done with those that arrive.
 *
 * First of all a packet tells its receiver what that must know: that we are there (until it is
 * known to have heard it) and who accuses it (Lifeguard's buddy system). Pings and their answers
 * carry a hash of all that is known and, where hashes differ, a few digest entries; whoever sees
 * that the other lacks something sends it along, so that what rumours missed is repaired within a
 * few probes. The rest is rumours.
 */
#include <assert.h>
#include <errno.h>

#include "gossip/swim_internal.h"

enum {
    DIGESTS_RIDING = 8,      /* entries on a ping or answer, our own included */
    DIFFERING_INTERVALS = 2, /* pings carry them so long after views were seen to differ */
    UNDECIDED_RIDING = 8,    /* further ones, of suspects that lack accusers */
    LOOKS_MAX = 1024,        /* at doubted members, to find one of those */
};

static size_t room_for(const struct swim *swim, const struct id *to)
{
    const struct swim_config *config = &swim->config;
    if (!config->packet_room)
        return config->packet_bytes_max;
    size_t room = config->packet_room(config->packet_room_context, swim->now_ms, to);
    if (room > config->packet_bytes_max)
        return config->packet_bytes_max;
    return room < SWIM_PACKET_BYTES_MIN ? SWIM_PACKET_BYTES_MIN : room;
}

static void start(struct swim *swim, struct packet_draft *draft, enum packet_kind kind,
                  uint32_t sequence, const struct id *subject, const struct id *to, size_t room)
{
    const struct member *member = member_find(swim, to);
    packet_draft_init(draft, kind, sequence, subject, room);
    if (!member || member->told != swim->announcements)
        packet_draft_add(draft, swim->self->presence);
    if (member && member_is_accused(member) && !swim->config.plain)
        packet_draft_add(draft, member->suspicion->accusations[0]);
}

void packet_start(struct swim *swim, struct packet_draft *draft, enum packet_kind kind,
                  uint32_t sequence, const struct id *subject, const struct id *to)
{
    start(swim, draft, kind, sequence, subject, to, room_for(swim, to));
}

void packet_start_answer(struct swim *swim, struct packet_draft *draft, enum packet_kind kind,
                         uint32_t sequence, const struct id *subject, const struct id *to,
                         const struct address *source, size_t asked_bytes)
{
    const struct member *member = member_find(swim, to);
    size_t room = room_for(swim, to);
    /* Without anything else on it, the answer is of the size of the least that may ask. */
    size_t bare = PACKET_BARE_BYTES + (subject ? PACKET_SUBJECT_BYTES : 0);
    size_t more = asked_bytes > bare ? asked_bytes - bare : 0;
    if ((!member || !path_is_confirmed(swim, member, source)) &&
        more < room - PACKET_OVERHEAD_BYTES)
        room = PACKET_OVERHEAD_BYTES + more;
    start(swim, draft, kind, sequence, subject, to, room);
}

static void send_packet(struct swim *swim, struct packet_draft *draft, const struct id *to,
                        const struct address *address,
                        void (*ride)(struct swim *swim, struct packet_draft *draft))
{
    size_t start = swim_message_begin(swim);
    const struct member *member = member_find(swim, to);
    bool is_there = !member || member_is_live(member); /* to the dead they would go in vain */
    swim->rumor_reader = to;
    if (ride && is_there)
        ride(swim, draft);
    swim->rumor_reader = NULL;
    int rc = packet_write(draft, &swim->pending.arena);
    rumors_retire(swim);
    swim_message_end(swim, start, rc, to, address, SWIM_CHANNEL_PACKET);
}

void packet_finish(struct swim *swim, struct packet_draft *draft, const struct id *to,
                   const struct address *address)
{
    send_packet(swim, draft, to, address, rumors_ride);
}

/* Rumours are sent so many times, and an answer counts as one: so whoever asks without end hears
 * them once in a gossip interval, or none would be left for others. */
static bool answer_carries_rumors(struct swim *swim, const struct id *to)
{
    uint64_t prefix = id_prefix(to);
    for (size_t i = 0; i < SWIM_ANSWERED_MAX; i++)
        if (swim->answered[i].prefix == prefix && swim->answered[i].at_ms > 0 &&
            swim->now_ms - swim->answered[i].at_ms < swim->config.gossip_interval_ms)
            return false;
    swim->answered[swim->answered_next] = (struct answered){prefix, swim->now_ms};
    swim->answered_next = (swim->answered_next + 1) % SWIM_ANSWERED_MAX;
    return true;
}

static void packet_answer(struct swim *swim, struct packet_draft *draft,
                          const struct swim_input *input)
{
    bool rumors = answer_carries_rumors(swim, &input->from);
    send_packet(swim, draft, &input->from, &input->source, rumors ? rumors_ride : NULL);
}

/* The next suspect of whom we know too few accusers to be sure soon; NULL if there is none. */
static const struct member *undecided_next(struct swim *swim)
{
    if (swim->doubted_count == swim->dead_count)
        return NULL;
    for (size_t i = 0; i < LOOKS_MAX && i < swim->doubted_count; i++) {
        swim->undecided_next = (swim->undecided_next + 1) % swim->doubted_count;
        const struct member *member = swim->doubted[swim->undecided_next];
        if (member->state == SWIM_SUSPECT && member_accusers(member) <= swim->config.confirmations)
            return member;
    }
    return NULL;
}

/* Whether the sender's view is our own. What it says of itself costs nobody else anything. */
static bool view_agrees(struct swim *swim, const struct packet *packet)
{
    uint32_t ours = packet->view == 0 ? 0 : view_hash(swim);
    swim->views_agree = ours != 0 && packet->view == ours;
    swim->view_ms = swim->now_ms;
    if (!swim->views_agree)
        swim->differing_ms = swim->now_ms;
    return swim->views_agree;
}

static bool views_differ(const struct swim *swim)
{
    int64_t until_ms = swim->differing_ms + DIFFERING_INTERVALS * swim->config.probe_interval_ms;
    return !swim->views_agree || swim->now_ms < until_ms;
}

static void add_digests(struct swim *swim, struct packet_draft *draft)
{
    struct digest_entry entry = sync_digest_of(swim->self);
    packet_draft_add_digest(draft, &entry);
    for (int i = 1; i < DIGESTS_RIDING; i++) {
        swim->digest_next = (swim->digest_next + 1) % swim->members.count;
        entry = sync_digest_of(member_at(swim, swim->digest_next));
        packet_draft_add_digest(draft, &entry);
    }
}

/* Whoever knows more accusers of those tells us, so that nobody waits for the longest time. */
static void add_undecided(struct swim *swim, struct packet_draft *draft)
{
    for (int i = 0; i < UNDECIDED_RIDING; i++) {
        const struct member *member = undecided_next(swim);
        if (!member)
            return;
        struct digest_entry entry = sync_digest_of(member);
        packet_draft_add_digest(draft, &entry);
    }
}

/* Tells the receiver at which other address than it advertises it is. */
static void add_place(struct packet_draft *draft, const struct member *member,
                      const struct address *address)
{
    if (member && !address_equal(member_address(member), address))
        packet_draft_place(draft, address);
}

void ping_send(struct swim *swim, const struct member *member, const struct address *address,
               uint32_t sequence)
{
    struct packet_draft draft;
    packet_start(swim, &draft, PACKET_PING, sequence, NULL, member_id(member));
    add_place(&draft, member, address);
    packet_draft_view(&draft, view_hash(swim));
    if (draft.view == 0 || views_differ(swim))
        add_digests(swim, &draft);
    add_undecided(swim, &draft);
    packet_finish(swim, &draft, member_id(member), address);
}

void ping_everywhere(struct swim *swim, const struct member *member, uint32_t sequence)
{
    struct address address = path_address(swim, member);
    struct address other = path_other_address(swim, member);
    ping_send(swim, member, &address, sequence);
    if (!address_is_none(&other))
        ping_send(swim, member, &other, sequence);
}

/* Puts into the draft what the sender of `packet` lacks, and entries about what we lack. */
static void answer_digests(struct swim *swim, const struct id *from, const struct packet *packet,
                           struct packet_draft *draft)
{
    for (size_t i = 0; i < packet->digest_count; i++) {
        const struct digest_entry *theirs = &packet->digests[i];
        const struct member *ours = member_find_prefix(swim, theirs->prefix);
        struct digest_entry entry = {.prefix = theirs->prefix};
        if (ours)
            entry = sync_digest_of(ours);
        if (digest_is_behind(ours, theirs)) {
            packet_draft_add_digest(draft, &entry);
            repair_note(swim, from, theirs);
        }
        if (!ours)
            continue;
        struct fact_list list = {.limit_bytes = draft->room};
        digest_answer(swim, ours, theirs, &list);
        for (size_t k = 0; k < list.count; k++)
            packet_draft_add(draft, list.facts[k]);
        fact_list_done(&list);
    }
}

/* An answer that carries nothing but what the sender lacks, who accuses it, and rumours; whether
 * there was need of one. */
static bool gossip_back(struct swim *swim, const struct swim_input *input,
                        const struct packet *packet)
{
    struct packet_draft draft;
    packet_start_answer(swim, &draft, PACKET_GOSSIP, 0, NULL, &input->from, &input->source,
                        input->bytes.size);
    size_t told = draft.fact_count;
    answer_digests(swim, &input->from, packet, &draft);
    draft.digest_count = 0; /* else two peers that both lack something would never stop */
    if (draft.fact_count <= told)
        return false;
    packet_answer(swim, &draft, input);
    return true;
}

static void answer_ping(struct swim *swim, const struct swim_input *input,
                        const struct packet *packet)
{
    struct packet_draft draft;
    struct fact *challenge = NULL;
    const struct member *member = member_find(swim, &input->from);
    packet_start_answer(swim, &draft, PACKET_ACK, packet->sequence, NULL, &input->from,
                        &input->source, input->bytes.size);
    add_place(&draft, member, &input->source);
    if (!member)
        challenge = grave_challenge(swim, &input->from);
    if (challenge)
        packet_draft_add(&draft, challenge);
    packet_draft_view(&draft, view_hash(swim));
    answer_digests(swim, &input->from, packet, &draft);
    if (!view_agrees(swim, packet))
        add_digests(swim, &draft);
    add_undecided(swim, &draft);
    packet_answer(swim, &draft, input);
    swim->counters.acks_sent++;
    fact_release(swim->pool, challenge);
}

/* Tells a member that just spoke, without a question, that it is held suspect or dead. */
static void nudge(struct swim *swim, const struct swim_input *input)
{
    struct member *member = member_find(swim, &input->from);
    struct packet_draft draft;
    if (swim->config.plain || !member || !member_is_accused(member) ||
        swim->now_ms < member->suspicion->nudge_ms)
        return;
    member->suspicion->nudge_ms = swim->now_ms + swim->config.probe_timeout_ms;
    packet_start_answer(swim, &draft, PACKET_GOSSIP, 0, NULL, &input->from, &input->source,
                        input->bytes.size);
    if (draft.fact_count > 0)
        packet_finish(swim, &draft, &input->from, &input->source);
}

bool fact_apply(struct swim *swim, const struct fact_view *view, bool relay)
{
    if (swim_is_revoked(swim, &view->signer))
        return false;
    switch (view->kind) {
    case FACT_PRESENCE:
        return presence_apply(swim, view);
    case FACT_ACCUSATION:
        return accusation_apply(swim, view);
    case FACT_RECORD:
        return record_apply(swim, view, relay);
    }
    return false;
}

int packet_receive(struct swim *swim, const struct swim_input *input)
{
    struct packet packet;
    int rc = packet_read(input->bytes, &packet);
    if (rc < 0)
        return rc;
    bool may_tell = packet.fact_count > 0 && sync_may_tell(swim, &input->from, input->bytes.size);
    for (size_t i = 0; may_tell && i < packet.fact_count; i++) {
        fact_apply(swim, &packet.facts[i], true);
        if (swim->rc == -EBADMSG)
            return -EBADMSG;
    }
    struct member *member = member_find(swim, &input->from);
    if (member) {
        path_seen(swim, member, &input->source);
        path_placed(swim, &input->from, &packet);
    }

    switch (packet.kind) {
    case PACKET_PING:
        answer_ping(swim, input, &packet);
        return 0;
    case PACKET_ACK:
        swim->counters.acks_received++;
        if (id_is_none(&packet.subject))
            view_agrees(swim, &packet);
        if (!ping_acked(swim, &input->from, &packet))
            probe_acked(swim, input, &packet);
        if (gossip_back(swim, input, &packet))
            return 0;
        break;
    case PACKET_RELAY:
        relay_start(swim, input, &packet);
        break;
    case PACKET_NACK:
        probe_nacked(swim, &input->from, &packet);
        ping_nacked(swim, &input->from, &packet);
        swim->counters.nacks_received++;
        break;
    case PACKET_GOSSIP:
        break;
    }
    nudge(swim, input);
    return 0;
}

void gossip_soon(struct swim *swim)
{
    if (swim->gossip_ms == NEVER_MS)
        swim->gossip_ms = swim->now_ms;
}

/* Sends a member rumours: a packet of them, or some if many died at once. One that is accused is
 * likely among those, and gets one. */
static void tell(struct swim *swim, const struct member *member)
{
    struct address address = path_address(swim, member);
    struct packet_draft draft;
    packet_start(swim, &draft, PACKET_GOSSIP, 0, NULL, member_id(member));
    packet_finish(swim, &draft, member_id(member), &address);
    bool is_sound = !member_is_accused(member);
    for (int i = 1; i < SWIM_TOLD_PACKETS_MAX && is_sound && rumors_press(swim); i++) {
        packet_start(swim, &draft, PACKET_GOSSIP, 0, NULL, member_id(member));
        send_packet(swim, &draft, member_id(member), &address, rumors_ride_on);
    }
}

void gossip_run(struct swim *swim)
{
    struct member *chosen[SWIM_FANOUT_MAX];
    size_t count = 0;

    if (swim->now_ms < swim->gossip_ms)
        return;
    while (count < swim->config.gossip_fanout && rumors_count(swim) > 0) {
        struct member *member = member_pick(swim, chosen, count);
        if (!member)
            break;
        chosen[count++] = member;
        if (rumors_for(swim, member_id(member)))
            tell(swim, member);
    }
    /* With nobody there, the rumours wait for someone to join (whose presence is a rumour too). */
    swim->gossip_ms = count > 0 ? swim->now_ms + swim->config.gossip_interval_ms : NEVER_MS;
}
