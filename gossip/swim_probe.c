/* Is it there? SWIM's probes (Das, Gupta, Motivala 2002, section 4), directly and through helpers,
 * with Lifeguard's local health (section IV-A): a peer that misses answers it should have had takes
 * itself to be slow, and becomes more patient before it accuses others.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    RTT_WEIGHT = 8,            /* a new sample is an eighth of the smoothed round trip */
    NACK_TIMEOUT_PERCENT = 80, /* of the probe timeout: the nack should arrive before the verdict */
};

void health_add(struct swim *swim, int misses)
{
    int health = (int)swim->health + misses;
    if (health < 0)
        health = 0;
    swim->health = health > SWIM_HEALTH_MAX ? SWIM_HEALTH_MAX : (unsigned)health;
}

uint32_t next_sequence(struct swim *swim)
{
    if (++swim->sequence == 0)
        swim->sequence = 1;
    return swim->sequence;
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
        .fail_ms = swim->now_ms + swim->config.probe_interval_ms * patience,
        .told = swim->announcements,
    };
    swim->counters.probes_sent++;
    ping_send(swim, member, probe->sequence);
}

/* Probes the next live member in the ring. */
static void probe_round(struct swim *swim)
{
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
    packet_start(swim, &draft, PACKET_RELAY, sequence, target, member_id(helper));
    packet_finish(swim, &draft, member_id(helper), member_address(helper));
}

/* Asks others to probe the target, and tries it once more ourselves: one packet may just be lost.
 */
static void ask_helpers(struct swim *swim, struct probe *probe)
{
    struct member * not [SWIM_HELPERS_MAX + 1];
    struct member *target = member_find(swim, &probe->target);
    size_t count = 0;

    probe->relay_ms = NEVER_MS;
    if (!target)
        return;
    ping_send(swim, target, probe->sequence);
    not [count++] = target;
    while (count <= swim->config.helpers) {
        struct member *helper = member_pick(swim, not, count);
        if (!helper)
            break;
        not [count++] = helper;
        relay_ask(swim, helper, &probe->target, probe->sequence);
    }
    probe->nacks_expected = (unsigned)count - 1;
    swim->counters.probes_indirect += probe->nacks_expected > 0;
}

static void probe_fail(struct swim *swim, struct probe *probe)
{
    struct member *member = member_find(swim, &probe->target);
    unsigned expected = probe->nacks_expected, nacks = probe->nacks;
    probe->sequence = 0;
    swim->counters.probes_failed++;
    if (!member)
        return;
    /* Helpers that say nothing at all hint that it is us whom packets don't reach. */
    if (expected == 0)
        health_add(swim, 1);
    else if (nacks < expected)
        health_add(swim, (int)(expected - nacks));
    if (member->health < SWIM_HEALTH_MAX)
        member->health++;
    member_accuse(swim, member);
}

static struct probe *find_probe(struct swim *swim, uint32_t sequence)
{
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++)
        if (sequence != 0 && swim->probes[i].sequence == sequence)
            return &swim->probes[i];
    return NULL;
}

static void probe_succeed(struct swim *swim, struct probe *probe, bool direct)
{
    struct member *member = member_find(swim, &probe->target);
    probe->sequence = 0;
    health_add(swim, -1);
    if (!member)
        return;
    member->health = 0;
    if (!direct)
        return;
    member->told = probe->told;
    int64_t sample_us = rtt_sample_us(swim, probe->sent_us);
    int64_t rtt_us = member->rtt_us;
    rtt_us = rtt_us == 0 ? sample_us : rtt_us + (sample_us - rtt_us) / RTT_WEIGHT;
    member->rtt_us = (uint32_t)rtt_us;
}

/* Passes an answer on to the peer that asked us to probe. */
static void relay_answer(struct swim *swim, struct relay *relay, enum packet_kind kind)
{
    struct packet_draft draft;
    packet_start(swim, &draft, kind, relay->origin_sequence, &relay->target, &relay->origin);
    packet_finish(swim, &draft, &relay->origin, &relay->origin_address);
    relay->sequence = 0;
    if (kind == PACKET_ACK)
        swim->counters.acks_sent++;
    else
        swim->counters.nacks_sent++;
}

void probe_acked(struct swim *swim, const struct id *from, const struct packet *packet)
{
    bool direct = id_is_none(&packet->subject);
    struct probe *probe = find_probe(swim, packet->sequence);
    if (probe && id_equal(&probe->target, direct ? from : &packet->subject)) {
        probe_succeed(swim, probe, direct);
        return;
    }
    for (size_t i = 0; i < SWIM_RELAYS_MAX && direct; i++) {
        struct relay *relay = &swim->relays[i];
        if (relay->sequence != 0 && relay->sequence == packet->sequence &&
            id_equal(&relay->target, from)) {
            relay_answer(swim, relay, PACKET_ACK);
            return;
        }
    }
}

void probe_nacked(struct swim *swim, const struct packet *packet)
{
    struct probe *probe = find_probe(swim, packet->sequence);
    if (probe && id_equal(&probe->target, &packet->subject) && probe->nacks < probe->nacks_expected)
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

void relay_start(struct swim *swim, const struct swim_input *input, const struct packet *packet)
{
    struct member *target = member_find(swim, &packet->subject);
    if (!target || target == swim->self || id_equal(&input->from, &packet->subject))
        return;
    for (size_t i = 0; i < SWIM_RELAYS_MAX; i++) {
        struct relay *relay = &swim->relays[i];
        if (relay->sequence != 0)
            continue;
        *relay = (struct relay){
            .sequence = next_sequence(swim),
            .target = packet->subject,
            .origin = input->from,
            .origin_address = input->source,
            .origin_sequence = packet->sequence,
            .nack_ms = swim->now_ms + swim->config.probe_timeout_ms * NACK_TIMEOUT_PERCENT / 100,
        };
        swim->counters.relays_taken++;
        ping_send(swim, target, relay->sequence);
        return;
    }
}

/* Where there are few, each is probed often enough by fewer probes. */
static uint32_t probes_of_interval(const struct swim *swim)
{
    size_t enough = (swim->ring_count + SWIM_TARGETS_PER_PROBE - 1) / SWIM_TARGETS_PER_PROBE;
    if (enough == 0)
        return 1;
    return enough < swim->config.probes ? (uint32_t)enough : swim->config.probes;
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
