/* Messages under way: encoded as on the wire, lost, late, twice and out of order. */
#include <errno.h>
#include <stdlib.h>

#include "tests/sim/raft/world.h"

enum {
    STRAGGLER_MS_MAX = 8000,
};

static void queue(struct sim_world *world, const struct sim_peer *from, const struct sim_peer *to,
                  const struct raft_message *message, int64_t delay_us)
{
    struct sim_packet *packet = calloc(1, sizeof(*packet));
    if (!packet)
        abort();
    *packet = (struct sim_packet){
        .from = from->number, .to = to->number, .from_id = from->id, .to_id = to->id};
    if (raft_message_encode(message, &packet->bytes) < 0)
        abort();
    sim_schedule(world, world->now_us + delay_us,
                 (struct sim_event){.type = SIM_EVENT_MESSAGE, .packet = packet});
}

/* A sender whose memory or disk fails sends other bytes than its hash is of. */
static struct bytes spoil_chunk(struct sim_world *world, struct bytes chunk)
{
    uint8_t *copy = (uint8_t *)sim_copy(chunk).data;
    copy[random_below(&world->random, chunk.size)] ^=
        (uint8_t)(1 + random_below(&world->random, 255));
    return (struct bytes){copy, chunk.size};
}

static void send_bytes(struct sim_world *world, const struct sim_peer *from,
                       const struct raft_message *message)
{
    const struct sim_peer *to = sim_peer_of(world, &message->to);
    if (from == to)
        sim_fail(world, "peer %d sends to itself", from->number);
    sim_check_said(world, from, message);
    if (!to || world->is_blocked[from->number][to->number] ||
        random_chance(&world->random, world->loss_permille, 1000))
        return;
    int64_t delay_us = 100 + (int64_t)random_below(&world->random, (uint64_t)world->delay_max_us);
    queue(world, from, to, message, delay_us);
    if (!random_chance(&world->random, world->duplicate_permille, 1000))
        return;
    /* A copy that comes when nobody expects it any more. */
    delay_us = random_chance(&world->random, 1, 2) ? sim_draw_us(world, 0, STRAGGLER_MS_MAX)
                                                   : sim_draw_us(world, 0, 50);
    queue(world, from, to, message, delay_us);
}

void sim_send(struct sim_world *world, const struct sim_peer *from,
              const struct raft_message *message)
{
    world->counts[SIM_COUNT_CHUNKS] += message->type == RAFT_SNAPSHOT;
    if (message->type != RAFT_SNAPSHOT || message->chunk.size == 0 ||
        !random_chance(&world->random, world->rubbish_permille, 1000)) {
        send_bytes(world, from, message);
        return;
    }
    struct raft_message spoilt = *message;
    spoilt.chunk = spoil_chunk(world, message->chunk);
    send_bytes(world, from, &spoilt);
    free((void *)spoilt.chunk.data);
}

void sim_packet_free(struct sim_packet *packet)
{
    if (packet)
        buffer_done(&packet->bytes);
    free(packet);
}

void sim_deliver(struct sim_world *world, struct sim_packet *packet)
{
    struct sim_peer *to = &world->peers[packet->to];
    struct raft_message message;
    if (!to->raft || !id_equal(&to->id, &packet->to_id) ||
        world->is_blocked[packet->from][packet->to])
        return;
    if (raft_message_decode(buffer_view(&packet->bytes), &message) < 0) {
        sim_fail(world, "a message does not decode");
        return;
    }
    message.from = packet->from_id;
    int rc =
        sim_peer_give(world, to, (struct raft_input){.type = RAFT_MESSAGE, .message = &message});
    if (rc < 0 && rc != -ESRCH)
        sim_fail(world, "peer %d refused a message of peer %d, %s in term %llu: %d", to->number,
                 packet->from, raft_message_type_name(message.type),
                 (unsigned long long)message.term, rc);
    raft_message_done(&message);
}
