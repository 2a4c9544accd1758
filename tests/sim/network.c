#include "tests/sim/network.h"

#include <stdlib.h>
#include <string.h>

enum {
    NETWORK_RETRANSMIT_MS = 200, /* before TCP sends again what was lost */
    NETWORK_OVERTAKEN_MS = 50,   /* how much later a packet comes that others overtake */
    NETWORK_REDIAL_MS = 700,     /* before a link is tried again */
    NETWORK_TRIES_MAX = 12,      /* then the link counts as broken */
};

struct network_weather network_calm(void)
{
    return (struct network_weather){.delay_min_ms = 1, .delay_max_ms = 3};
}

void network_init(struct network *network, struct timeline *timeline, unsigned count, uint64_t seed)
{
    *network = (struct network){.timeline = timeline, .weather = network_calm(), .count = count};
    network->ways = sim_allocate((size_t)count * count * sizeof(*network->ways));
    network->packets_blocked = sim_allocate(count * sizeof(*network->packets_blocked));
    random_init(&network->random, seed);
}

void network_done(struct network *network)
{
    free(network->ways);
    free(network->packets_blocked);
}

struct way *network_way(struct network *network, unsigned from, unsigned to)
{
    return &network->ways[(size_t)from * network->count + to];
}

static bool happens(struct network *network, unsigned permille)
{
    return permille > 0 && random_chance(&network->random, permille, SIM_PERMILLE);
}

static int64_t some_delay(struct network *network)
{
    const struct network_weather *weather = &network->weather;
    uint64_t spread = (uint64_t)(weather->delay_max_ms - weather->delay_min_ms) + 1;
    return weather->delay_min_ms + (int64_t)random_below(&network->random, spread);
}

static void arrive(void *context, void *payload);

static void lose(struct network *network, struct network_message *message)
{
    network->lost++;
    free(message);
}

/* Later messages on the same link wait behind this one, unless the two ends have two links. */
static void put_on_link(struct network *network, struct network_message *message, int64_t wait_ms)
{
    int64_t *last_ms = &network_way(network, message->from, message->to)->link_ms;
    int64_t at_ms = network->timeline->now_ms + wait_ms;
    if (!happens(network, network->weather.reorder)) {
        if (at_ms < *last_ms)
            at_ms = *last_ms;
        *last_ms = at_ms;
    }
    timeline_at(network->timeline, at_ms, arrive, network, message);
}

/* What did not get through a link is sent again, until the link counts as broken. */
static void send_again(struct network *network, struct network_message *message, int64_t wait_ms)
{
    if (++message->tries > NETWORK_TRIES_MAX || happens(network, SIM_PERMILLE / 8))
        lose(network, message);
    else
        timeline_at(network->timeline, network->timeline->now_ms + wait_ms, arrive, network,
                    message);
}

static void arrive(void *context, void *payload)
{
    struct network *network = context;
    struct network_message *message = payload;
    bool is_packet = message->kind == 0;
    uint64_t epoch = network->epoch_of(network->context, message->to);
    if (message->to_epoch == 0)
        message->to_epoch = epoch; /* the link is opened only now */
    if (is_packet &&
        (network->packets_blocked[message->from] || network->packets_blocked[message->to])) {
        lose(network, message);
        return;
    }
    if (network_way(network, message->from, message->to)->is_cut) {
        if (is_packet)
            lose(network, message);
        else
            send_again(network, message, NETWORK_RETRANSMIT_MS << (message->tries / 3));
        return;
    }
    if (!is_packet && epoch != message->to_epoch) {
        lose(network, message); /* what was sent to an earlier run died with its link */
        return;
    }
    switch (network->deliver(network->context, message)) {
    case NETWORK_TAKEN:
        free(message);
        break;
    case NETWORK_ABSENT:
        if (is_packet)
            lose(network, message);
        else
            send_again(network, message, NETWORK_REDIAL_MS);
        break;
    case NETWORK_FROZEN:
        send_again(network, message, NETWORK_RETRANSMIT_MS);
        break;
    }
}

static struct network_message *message_new(struct network *network,
                                           const struct network_message *address,
                                           struct bytes bytes)
{
    struct network_message *message = sim_allocate(sizeof(*message) + bytes.size);
    memcpy(message, address, sizeof(*message));
    message->to_epoch = network->epoch_of(network->context, message->to);
    message->size = bytes.size;
    if (bytes.size > 0)
        memcpy(message->bytes, bytes.data, bytes.size);
    return message;
}

static void send_packet(struct network *network, const struct network_message *address,
                        struct bytes bytes)
{
    if (happens(network, network->weather.loss)) {
        network->lost++;
        return;
    }
    int64_t delay_ms = some_delay(network);
    if (happens(network, network->weather.reorder))
        delay_ms += 1 + (int64_t)random_below(&network->random, NETWORK_OVERTAKEN_MS);
    timeline_at(network->timeline, network->timeline->now_ms + delay_ms, arrive, network,
                message_new(network, address, bytes));
}

void network_send(struct network *network, const struct network_message *address,
                  struct bytes bytes)
{
    network->sent++;
    if (address->kind == 0) {
        send_packet(network, address, bytes);
        if (happens(network, network->weather.duplicate))
            send_packet(network, address, bytes);
        return;
    }
    int64_t wait_ms = some_delay(network);
    while (happens(network, network->weather.loss) && wait_ms < 10 * NETWORK_RETRANSMIT_MS)
        wait_ms += NETWORK_RETRANSMIT_MS;
    put_on_link(network, message_new(network, address, bytes), wait_ms);
}
