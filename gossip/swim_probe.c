/* Is it there? SWIM's probes (Das, Gupta, Motivala 2002, section 4), directly and through helpers,
 * with Lifeguard's local health (section IV-A): a peer that misses answers it should have had takes
 * itself to be slow, and becomes more patient before it accuses others.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELPER_SAMPLE = 3,         /* a helper is the nearest of so many */
    RTT_WEIGHT = 8,            /* a new sample is an eighth of the smoothed round trip */
    NACK_TIMEOUT_PERCENT = 80, /* of the probe timeout: the nack should arrive before the verdict */
};

void health_add(struct swim *swim, int misses)
{
    int health = (int)swim->health + misses;
    if (health < 0 || swim->config.plain)
        health = 0;
    swim->health = health > SWIM_HEALTH_MAX ? SWIM_HEALTH_MAX : (unsigned)health;
}

void sequences_init(struct swim *swim)
{
    _Static_assert(SEQUENCE_KEY_BYTES == crypto_shorthash_KEYBYTES, "one key size");
    crypto_generichash(swim->sequence_key, sizeof(swim->sequence_key),
                       (const uint8_t *)&swim->config.seed, sizeof(swim->config.seed), NULL, 0);
}

uint32_t next_sequence(struct swim *swim)
{
    uint32_t sequence = 0;
    while (sequence == 0) {
        uint8_t hash[crypto_shorthash_BYTES];
        swim->sequence_count++;
        crypto_shorthash(hash, (const uint8_t *)&swim->sequence_count, sizeof(swim->sequence_count),
                         swim->sequence_key);
        memcpy(&sequence, hash, sizeof(sequence));
    }
    return sequence;
}

/* Swaps the ring into a fresh order, each order as likely (Fisher and Yates). */
static void ring_shuffle(struct swim *swim)
{
    for (size_t i = swim->ring_count; i > 1; i--) {
        size_t other = (size_t)random_below(&swim->random, i);
        struct member *member = swim->ring[i - 1];
        swim->ring[i - 1] = swim->ring[other];
        swim->ring[other] = member;
    }
}

int ring_add(struct swim *swim, struct member *member)
{
    if (swim->ring_count == swim->ring_capacity) {
        size_t capacity = swim->ring_capacity ? 2 * swim->ring_capacity : 8;
        struct member **ring = reallocarray(swim->ring, capacity, sizeof(struct member *));
        if (!ring)
            return -ENOMEM;
        swim->ring = ring;
        swim->ring_capacity = capacity;
    }
    /* Its place is drawn at random; whoever stood there goes to the end of its part of the ring,
     * that of those that were probed in this round or of those that were not. */
    size_t place = (size_t)random_below(&swim->random, swim->ring_count + 1);
    size_t empty = swim->ring_count++;
    if (place < swim->ring_next) {
        swim->ring[empty] = swim->ring[swim->ring_next];
        empty = swim->ring_next++;
    }
    swim->ring[empty] = swim->ring[place];
    swim->ring[place] = member;
    return 0;
}

void probe_forget(struct swim *swim, const struct member *member)
{
    for (size_t i = 0; i < swim->ring_count; i++) {
        if (swim->ring[i] != member)
            continue;
        swim->ring_count--;
        memmove(&swim->ring[i], &swim->ring[i + 1],
                (swim->ring_count - i) * sizeof(struct member *));
        if (i < swim->ring_next)
            swim->ring_next--;
        return;
    }
}

void probe_reset(struct swim *swim)
{
    memset(swim->probes, 0, sizeof(swim->probes));
    memset(swim->relays, 0, sizeof(swim->relays));
    swim->probe_round_ms = swim->now_ms + swim->config.probe_interval_ms;
}

void probes_delay(struct swim *swim, int64_t lost_ms)
{
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++) {
        struct probe *probe = &swim->probes[i];
        if (probe->relay_ms != NEVER_MS)
            probe->relay_ms += lost_ms;
        probe->fail_ms += lost_ms;
    }
    for (size_t i = 0; i < SWIM_RELAYS_MAX; i++)
        if (swim->relays[i].nack_ms != NEVER_MS)
            swim->relays[i].nack_ms += lost_ms;
}

void probe_start(struct swim *swim, struct member *member)
{
    struct probe *probe = NULL;
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++) {
        if (swim->probes[i].sequence == 0)
            probe = probe ? probe : &swim->probes[i];
        else if (id_equal(&swim->probes[i].target, member_id(member)))
            return;
    }
    if (!probe)
        return;
    int64_t patience = 1 + swim->health;
    *probe = (struct probe){
        .sequence = next_sequence(swim),
        .target = *member_id(member),
        .sent_us = swim->now_us,
        .relay_ms = swim->now_ms + swim->config.probe_timeout_ms * patience,
        .fail_ms = swim->now_ms + swim->config.probe_window_ms * patience,
        .address = path_address(swim, member),
        .told = swim->announcements,
    };
    swim->counters.probes_sent++;
    ping_send(swim, member, &probe->address, probe->sequence);
}

/* The next member in the order of ids that nobody suspects, and round again; NULL if there is none.
 */
static struct member *neighbour(const struct swim *swim)
{
    size_t count = swim->members.count;
    size_t index = table_lower_bound(&swim->members, &swim->config.self);
    for (size_t i = 1; i < count; i++) {
        struct member *member = member_at(swim, (index + i) % count);
        if (member->state == SWIM_ALIVE)
            return member;
    }
    return NULL;
}

/* Every other probe is of our neighbour: so each member is somebody's, and is probed at least that
 * often, however chance has it. The rest go round the ring, so that no member depends on one other
 * alone, and all ways between members are tried (section 4.3). */
static void probe_round(struct swim *swim)
{
    swim->probes_neighbour = !swim->probes_neighbour && !swim->config.plain;
    struct member *next = swim->probes_neighbour ? neighbour(swim) : NULL;
    if (next) {
        probe_start(swim, next);
        return;
    }
    for (size_t tries = 0; tries < swim->ring_count; tries++) {
        if (swim->ring_next >= swim->ring_count) {
            ring_shuffle(swim);
            swim->ring_next = 0;
        }
        struct member *member = swim->ring[swim->ring_next++];
        if (member_is_live(member)) {
            probe_start(swim, member);
            return;
        }
    }
}

void relay_ask(struct swim *swim, const struct member *helper, const struct id *target,
               uint32_t sequence)
{
    struct packet_draft draft;
    struct address address = path_address(swim, helper);
    packet_start(swim, &draft, PACKET_RELAY, sequence, target, member_id(helper));
    packet_finish(swim, &draft, member_id(helper), &address);
}

static bool is_nearer(const struct member *a, const struct member *b)
{
    return a->rtt_us > 0 && (b->rtt_us == 0 || a->rtt_us < b->rtt_us);
}

/* Whom to ask next. First those who likely reach the target, as it says or as we saw; then one at
 * random, since all that are near may be cut off from it together; then the nearest of a few, whose
 * answers leave the most time. */
static struct member *pick_helper(struct swim *swim, struct member *const * not, size_t count,
                                  const struct id *known, size_t known_count)
{
    for (size_t i = 0; i < known_count; i++) {
        struct member *member = member_find(swim, &known[i]);
        bool is_new = member && member_is_live(member) && member != swim->self;
        for (size_t k = 0; k < count && is_new; k++)
            is_new = not [k] != member;
        if (is_new)
            return member;
    }
    struct member *best = member_pick(swim, not, count);
    for (int i = 1; i < HELPER_SAMPLE && best && count > 1; i++) {
        struct member *other = member_pick(swim, not, count);
        if (is_nearer(other, best))
            best = other;
    }
    return best;
}

/* Tries the target once more, for one packet may just be lost, and in all other ways at once:
 * through others, at the other address if there is one, and over a stream, since UDP may be
 * blocked. */
static void ask_helpers(struct swim *swim, struct probe *probe)
{
    struct member * not [SWIM_HELPERS_MAX + 1];
    struct member *target = member_find(swim, &probe->target);
    struct id known[SWIM_CONTACTS_MAX + 1];
    size_t count = 0;

    probe->relay_ms = NEVER_MS;
    if (!target)
        return;
    struct address stream = path_stream_address(swim, target);
    probe->address = path_address(swim, target);
    probe->other_address = path_other_address(swim, target);
    ping_send(swim, target, &probe->address, probe->sequence);
    if (!address_is_none(&probe->other_address)) {
        probe->other_sequence = next_sequence(swim);
        ping_send(swim, target, &probe->other_address, probe->other_sequence);
    }
    sync_ping(swim, &probe->target, &stream, SYNC_PING, probe->sequence);
    size_t known_count = swim_member_helpers(swim, &probe->target, known);
    not [count++] = target;
    while (count <= swim->config.helpers) {
        struct member *helper = pick_helper(swim, not, count, known, known_count);
        if (!helper)
            break;
        probe->helpers[count - 1] = id_prefix(member_id(helper));
        not [count++] = helper;
        relay_ask(swim, helper, &probe->target, probe->sequence);
    }
    probe->nacks_expected = (unsigned)count - 1;
    swim->counters.probes_indirect += probe->nacks_expected > 0;
}

/* How many of the helpers owed us a nack: those whom others hold suspect too are likely gone. That
 * only we accuse one excuses nothing, for it may be us who can't be reached. */
static unsigned nacks_owed(const struct swim *swim, const struct probe *probe)
{
    unsigned owed = 0;
    for (size_t i = 0; i < probe->nacks_expected; i++) {
        const struct member *helper = member_find_prefix(swim, probe->helpers[i]);
        owed += helper && !is_accused_by_others(swim, helper);
    }
    return owed;
}

static void probe_fail(struct swim *swim, struct probe *probe)
{
    struct member *member = member_find(swim, &probe->target);
    unsigned expected = probe->nacks_expected, nacks = probe->nacks, owed = nacks_owed(swim, probe);
    probe->sequence = 0;
    swim->counters.probes_failed++;
    if (!member)
        return;
    /* Helpers that say nothing at all hint that it is us whom packets don't reach. */
    if (expected == 0)
        health_add(swim, 1);
    else if (nacks < owed)
        health_add(swim, (int)(owed - nacks));
    if (member->health < SWIM_HEALTH_MAX)
        member->health++;
    member_accuse(swim, member);
}

static struct probe *find_probe(struct swim *swim, uint32_t sequence)
{
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++)
        if (sequence != 0 && swim->probes[i].sequence != 0 &&
            (swim->probes[i].sequence == sequence || swim->probes[i].other_sequence == sequence))
            return &swim->probes[i];
    return NULL;
}

/* The target is there, as its answer or that of others shows; NULL if it was forgotten since. */
static struct member *probe_end(struct swim *swim, struct probe *probe, enum swim_path way)
{
    struct member *member = member_find(swim, &probe->target);
    probe->sequence = 0;
    swim->counters.answers[way]++;
    health_add(swim, -1);
    if (member)
        member->health = 0;
    return member;
}

static void probe_answered(struct swim *swim, struct probe *probe, uint32_t sequence,
                           const struct address *source)
{
    const struct path *path = path_find(swim, &probe->target);
    bool by_other = sequence == probe->other_sequence;
    bool learnt = by_other != (path && path->is_used);
    struct member *member = probe_end(swim, probe, learnt ? SWIM_PATH_LEARNT : SWIM_PATH_DIRECT);
    if (!member)
        return;
    if (address_equal(source, by_other ? &probe->other_address : &probe->address))
        path_confirm(swim, member, source);
    path_answered(swim, member, by_other);
    member->told = probe->told;
    if (by_other)
        return; /* that ping was sent later, and the next will tell how long it takes */
    int64_t sample_us = rtt_sample_us(swim, probe->sent_us);
    int64_t rtt_us = member->rtt_us;
    rtt_us = rtt_us == 0 ? sample_us : rtt_us + (sample_us - rtt_us) / RTT_WEIGHT;
    member->rtt_us = (uint32_t)rtt_us;
}

/* Passes an answer on to the peer that asked us to probe. Its patience may be greater than ours:
 * the target's own answer is passed on after a nack, too. */
static void relay_answer(struct swim *swim, struct relay *relay, enum packet_kind kind)
{
    struct packet_draft draft;
    relay->nack_ms = NEVER_MS;
    if (kind == PACKET_NACK && swim->config.plain)
        return;
    packet_start_answer(swim, &draft, kind, relay->origin_sequence, &relay->target, &relay->origin,
                        &relay->origin_address, relay->origin_bytes);
    packet_finish(swim, &draft, &relay->origin, &relay->origin_address);
    if (kind == PACKET_ACK) {
        relay->sequence = 0;
        swim->counters.acks_sent++;
    } else {
        swim->counters.nacks_sent++;
    }
}

static bool was_asked(const struct probe *probe, const struct id *helper)
{
    for (size_t i = 0; i < probe->nacks_expected; i++)
        if (probe->helpers[i] == id_prefix(helper))
            return true;
    return false;
}

void probe_acked(struct swim *swim, const struct swim_input *input, const struct packet *packet)
{
    const struct id *from = &input->from;
    bool direct = id_is_none(&packet->subject);
    const struct id *target = direct ? from : &packet->subject;
    struct probe *probe = find_probe(swim, packet->sequence);
    struct member *member = member_find(swim, target);
    if (probe && id_equal(&probe->target, target)) {
        if (direct)
            probe_answered(swim, probe, packet->sequence, &input->source);
        else if (was_asked(probe, from) && probe_end(swim, probe, SWIM_PATH_HELPER) && member)
            path_helped(swim, member, packet->sequence, from);
        return;
    }
    if (direct && member && path_was_probed(swim, member_id(member), packet->sequence))
        path_answered(swim, member, false); /* late, but it gets through */
    if (!direct && member && path_was_probed(swim, member_id(member), packet->sequence))
        path_witnessed(swim, member, from);
    for (size_t i = 0; i < SWIM_RELAYS_MAX && direct; i++) {
        struct relay *relay = &swim->relays[i];
        if (relay->sequence != 0 && relay->sequence == packet->sequence &&
            id_equal(&relay->target, from)) {
            relay_answer(swim, relay, PACKET_ACK);
            return;
        }
    }
}

void probe_stream_acked(struct swim *swim, const struct id *from, uint32_t sequence)
{
    struct member *member = member_find(swim, from);
    struct probe *probe = find_probe(swim, sequence);
    bool ends = probe && id_equal(&probe->target, from);
    if (ends)
        probe_end(swim, probe, SWIM_PATH_STREAM);
    if (member && (ends || path_was_probed(swim, member_id(member), sequence)))
        path_streamed(swim, member, sequence);
}

void probe_nacked(struct swim *swim, const struct id *from, const struct packet *packet)
{
    struct probe *probe = find_probe(swim, packet->sequence);
    if (probe && id_equal(&probe->target, &packet->subject) && was_asked(probe, from) &&
        probe->nacks < probe->nacks_expected)
        probe->nacks++;
}

void probe_unreached(struct swim *swim, const struct id *id)
{
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++) {
        struct probe *probe = &swim->probes[i];
        if (probe->sequence != 0 && probe->relay_ms != NEVER_MS && id_equal(&probe->target, id))
            probe->relay_ms = swim->now_ms;
    }
}

/* A free one, or else the one that was nacked first; NULL if all wait. */
static struct relay *relay_slot(struct swim *swim)
{
    struct relay *oldest = NULL;
    for (size_t i = 0; i < SWIM_RELAYS_MAX; i++) {
        struct relay *relay = &swim->relays[i];
        if (relay->sequence == 0)
            return relay;
        if (relay->nack_ms == NEVER_MS && (!oldest || relay->order < oldest->order))
            oldest = relay;
    }
    return oldest;
}

static size_t relays_of(const struct swim *swim, const struct id *origin)
{
    size_t count = 0;
    for (size_t i = 0; i < SWIM_RELAYS_MAX; i++)
        count += swim->relays[i].sequence != 0 && swim->relays[i].nack_ms != NEVER_MS &&
                 id_equal(&swim->relays[i].origin, origin);
    return count;
}

void relays_forget(struct swim *swim, const struct id *id)
{
    for (size_t i = 0; i < SWIM_RELAYS_MAX; i++)
        if (id_equal(&swim->relays[i].origin, id) || id_equal(&swim->relays[i].target, id))
            swim->relays[i].sequence = 0;
}

void relay_start(struct swim *swim, const struct swim_input *input, const struct packet *packet)
{
    struct member *target = member_find(swim, &packet->subject);
    if (!target || target == swim->self || id_equal(&input->from, &packet->subject))
        return;
    struct relay *relay =
        relays_of(swim, &input->from) < SWIM_RELAYS_PER_ORIGIN_MAX ? relay_slot(swim) : NULL;
    if (!relay) {
        swim->counters.relays_refused++;
        return;
    }
    *relay = (struct relay){
        .sequence = next_sequence(swim),
        .target = packet->subject,
        .origin = input->from,
        .origin_address = input->source,
        .origin_sequence = packet->sequence,
        .origin_bytes = (uint32_t)input->bytes.size,
        .order = swim->sequence_count,
        .nack_ms = swim->now_ms + swim->config.probe_timeout_ms * NACK_TIMEOUT_PERCENT / 100,
    };
    swim->counters.relays_taken++;
    ping_everywhere(swim, target, relay->sequence);
}

/* Who is suspected may be the first of many: then more are probed, until it is cleared or held
 * dead. Where there are few, each is probed often enough by fewer probes. */
static uint32_t probes_of_interval(const struct swim *swim)
{
    bool alert = swim->doubted_count > swim->dead_count && !swim->config.plain;
    uint32_t probes = alert ? swim->config.alert_probes : swim->config.probes;
    size_t enough = (swim->ring_count + SWIM_TARGETS_PER_PROBE - 1) / SWIM_TARGETS_PER_PROBE;
    if (enough == 0)
        return 1;
    return enough < probes ? (uint32_t)enough : probes;
}

void probes_run(struct swim *swim)
{
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++) {
        struct probe *probe = &swim->probes[i];
        if (probe->sequence != 0 && probe->relay_ms <= swim->now_ms)
            ask_helpers(swim, probe);
        if (probe->sequence != 0 && probe->fail_ms <= swim->now_ms)
            probe_fail(swim, probe);
    }
    for (size_t i = 0; i < SWIM_RELAYS_MAX; i++)
        if (swim->relays[i].sequence != 0 && swim->relays[i].nack_ms <= swim->now_ms)
            relay_answer(swim, &swim->relays[i], PACKET_NACK);
    if (swim->now_ms < swim->probe_round_ms)
        return;
    swim->probe_round_ms = swim->now_ms + (int64_t)swim->config.probe_interval_ms *
                                              (1 + swim->health) / probes_of_interval(swim);
    if (swim->self->state == SWIM_ALIVE)
        probe_round(swim);
}

int64_t probes_deadline(const struct swim *swim)
{
    int64_t deadline_ms = swim->probe_round_ms;
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++) {
        const struct probe *probe = &swim->probes[i];
        if (probe->sequence == 0)
            continue;
        if (probe->relay_ms < deadline_ms)
            deadline_ms = probe->relay_ms;
        if (probe->fail_ms < deadline_ms)
            deadline_ms = probe->fail_ms;
    }
    for (size_t i = 0; i < SWIM_RELAYS_MAX; i++)
        if (swim->relays[i].sequence != 0 && swim->relays[i].nack_ms < deadline_ms)
            deadline_ms = swim->relays[i].nack_ms;
    return deadline_ms;
}
