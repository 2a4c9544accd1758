/* Pings that an operator asks for: one packet, there and back, directly or through a helper. They
 * show what the network does with packets now, and are no evidence: no verdict hangs on them.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>

const uint32_t swim_rtt_bounds_us[SWIM_RTT_BUCKETS] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000};

uint32_t rtt_sample_us(struct swim *swim, int64_t sent_us)
{
    struct swim_counters *counters = &swim->counters;
    int64_t sample_us = swim->now_us - sent_us;
    if (sample_us < 1)
        sample_us = 1;
    if (sample_us > UINT32_MAX)
        sample_us = UINT32_MAX;
    for (size_t i = 0; i < SWIM_RTT_BUCKETS; i++) {
        if (sample_us <= swim_rtt_bounds_us[i]) {
            counters->rtt_counts[i]++;
            break;
        }
    }
    counters->rtt_count++;
    counters->rtt_sum_us += (uint64_t)sample_us;
    return (uint32_t)sample_us;
}

static size_t ping_count(const struct swim *swim)
{
    return swim->pings ? SWIM_PINGS_MAX : 0;
}

static struct ping *free_ping(struct swim *swim)
{
    for (size_t i = 0; i < ping_count(swim); i++)
        if (swim->pings[i].sequence == 0)
            return &swim->pings[i];
    return NULL;
}

int swim_ping(struct swim *swim, int64_t now_ms, int64_t now_us, const struct id *id,
              const struct id *via, uint64_t token)
{
    struct member *member = member_find(swim, id);
    struct member *helper = via ? member_find(swim, via) : NULL;
    if (member == swim->self || (via && (helper == swim->self || helper == member)))
        return -EINVAL;
    if (!member || (via && !helper))
        return -ENOENT;
    if (!swim->pings)
        swim->pings = calloc(SWIM_PINGS_MAX, sizeof(*swim->pings));
    if (!swim->pings)
        return -ENOMEM;
    struct ping *ping = free_ping(swim);
    if (!ping)
        return -EBUSY;
    swim->now_ms = now_ms;
    swim->now_us = now_us;
    *ping = (struct ping){
        .sequence = next_sequence(swim),
        .token = token,
        .target = *id,
        .via = via ? *via : ID_NONE,
        .sent_us = now_us,
        .lost_ms = now_ms + SWIM_PING_TIMEOUT_MS,
    };
    swim->counters.pings_sent++;
    struct address address = path_address(swim, member);
    if (helper)
        relay_ask(swim, helper, id, ping->sequence);
    else
        ping_send(swim, member, &address, ping->sequence);
    return 0;
}

static void finish(struct swim *swim, struct ping *ping, enum swim_event_type type, uint32_t rtt_us)
{
    struct swim_event *event = swim_event(swim, type, &ping->target, &ping->via, 0);
    if (event) {
        event->token = ping->token;
        event->rtt_us = rtt_us;
        event->nacked = ping->nacked;
    }
    ping->sequence = 0;
}

static struct ping *find_ping(struct swim *swim, uint32_t sequence)
{
    for (size_t i = 0; i < ping_count(swim); i++)
        if (sequence != 0 && swim->pings[i].sequence == sequence)
            return &swim->pings[i];
    return NULL;
}

bool ping_acked(struct swim *swim, const struct id *from, const struct packet *packet)
{
    struct ping *ping = find_ping(swim, packet->sequence);
    bool direct = id_is_none(&packet->subject);
    if (!ping || direct != id_is_none(&ping->via) ||
        !id_equal(&ping->target, direct ? from : &packet->subject) ||
        (!direct && !id_equal(&ping->via, from)))
        return false;
    uint32_t rtt_us;
    if (direct) {
        rtt_us = rtt_sample_us(swim, ping->sent_us);
    } else {
        int64_t took_us = swim->now_us - ping->sent_us;
        rtt_us = took_us < 1 ? 1 : (uint32_t)took_us; /* at most SWIM_PING_TIMEOUT_MS */
    }
    finish(swim, ping, SWIM_PONG, rtt_us);
    return true;
}

void ping_nacked(struct swim *swim, const struct id *from, const struct packet *packet)
{
    struct ping *ping = find_ping(swim, packet->sequence);
    if (ping && id_equal(&ping->via, from) && id_equal(&ping->target, &packet->subject))
        ping->nacked = true;
}

void pings_run(struct swim *swim)
{
    for (size_t i = 0; i < ping_count(swim); i++) {
        struct ping *ping = &swim->pings[i];
        if (ping->sequence == 0 || ping->lost_ms > swim->now_ms)
            continue;
        swim->counters.pings_lost++;
        finish(swim, ping, SWIM_PING_LOST, 0);
    }
}

int64_t pings_deadline(const struct swim *swim)
{
    int64_t deadline_ms = NEVER_MS;
    for (size_t i = 0; i < ping_count(swim); i++)
        if (swim->pings[i].sequence != 0 && swim->pings[i].lost_ms < deadline_ms)
            deadline_ms = swim->pings[i].lost_ms;
    return deadline_ms;
}

static void count_paths(const struct swim *swim, size_t ret[SWIM_PATHS])
{
    ret[SWIM_PATH_DIRECT] = swim->live_count;
    if (member_is_live(swim->self))
        ret[SWIM_PATH_DIRECT]--;
    for (size_t i = 0; i < swim->paths.count; i++) {
        const struct path *path = swim->paths.items[i];
        const struct member *member = member_find(swim, &path->id);
        if (path->kind == SWIM_PATH_DIRECT || !member || !member_is_live(member))
            continue;
        ret[path->kind]++;
        ret[SWIM_PATH_DIRECT]--;
    }
}

void swim_counters(const struct swim *swim, struct swim_counters *ret)
{
    *ret = swim->counters;
    ret->alive = swim->alive_count;
    ret->suspect = swim->live_count - swim->alive_count;
    ret->dead = swim->dead_count;
    ret->left = swim->members.count - swim->live_count - swim->dead_count;
    ret->rumors = rumors_count(swim);
    ret->records = swim->record_count;
    count_paths(swim, ret->paths);
    ret->revoked = swim->revoked.count;
    ret->forgotten = swim->graves.count;
    ret->is_misplaced = swim->is_misplaced;
    ret->health = swim->health;
}
