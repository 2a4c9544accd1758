/* Clients: one operation at a time each, tried at one peer after another until it is answered or
 * given up; then nobody knows whether it was or will be done. */
#include <string.h>

#include "tests/sim/raft/world.h"

enum {
    THINK_MS_MAX = 300,
    ATTEMPT_MS_MIN = 250, /* then the next peer is asked */
    ATTEMPT_MS_MAX = 700,
    RETRY_MS_MAX = 60, /* after a refusal */
    PATIENCE_MS_MIN = 1500,
    PATIENCE_MS_MAX = 6000,
};

static void wake(struct sim_world *world, int number, int64_t after_us)
{
    struct sim_client *client = &world->clients[number];
    sim_schedule(
        world, world->now_us + after_us,
        (struct sim_event){.type = SIM_EVENT_CLIENT, .subject = number, .token = ++client->token});
}

void sim_clients_start(struct sim_world *world)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        world->clients[i].favourite = -1;
        wake(world, i, sim_draw_us(world, 0, 1000));
    }
}

static void finish(struct sim_world *world, int number, uint64_t returns)
{
    struct sim_client *client = &world->clients[number];
    client->operation.returns = returns;
    if (linear_add(&world->history, &client->operation) < 0)
        sim_fail(world, "no memory");
    client->is_waiting = false;
    client->context = 0;
    sim_trace(world, "client %d: %s %llu of %llu %s", number,
              client->operation.type == LINEAR_READ ? "read" : "write",
              (unsigned long long)client->operation.value,
              (unsigned long long)client->operation.object,
              returns == LINEAR_PENDING ? "is given up" : "is done");
    if (returns != LINEAR_PENDING && world->is_calm)
        client->done_when_calm |= client->operation.type == LINEAR_READ ? 1 : 2;
    wake(world, number, sim_draw_us(world, 0, THINK_MS_MAX));
}

static void begin(struct sim_world *world, int number)
{
    struct sim_client *client = &world->clients[number];
    client->operation = (struct linear_operation){
        .type = random_chance(&world->random, 1, 2)
                    ? LINEAR_READ
                    : (enum linear_type)(LINEAR_WRITE + random_below(&world->random, 2)),
        .client = (uint32_t)number,
        .object = random_below(&world->random, SIM_REGISTERS),
        .call = ++world->moment,
    };
    if (client->operation.type != LINEAR_READ) {
        client->sequence++;
        client->operation.value = ++world->value;
        client->operation.expected = client->seen;
    }
    memset(client->asked, 0, sizeof(client->asked));
    client->is_waiting = true;
    client->attempts = 0;
    client->deadline_us = world->now_us + sim_draw_us(world, PATIENCE_MS_MIN, PATIENCE_MS_MAX);
}

static struct sim_peer *choose(struct sim_world *world, const struct sim_client *client)
{
    struct sim_peer *peer =
        &world->peers[random_below(&world->random, (uint64_t)world->peer_count)];
    if (client->favourite >= 0 && random_chance(&world->random, 1, 3))
        return &world->peers[client->favourite];
    if (random_chance(&world->random, 1, 3) || !peer->raft)
        return peer;
    struct sim_peer *leader = sim_peer_of(world, &peer->status.leader);
    return leader ? leader : peer;
}

static int ask(struct sim_world *world, int number, struct sim_peer *peer)
{
    struct sim_client *client = &world->clients[number];
    const struct linear_operation *operation = &client->operation;
    if (operation->type == LINEAR_READ) {
        client->context = ++world->context;
        sim_check_asked(world, client->context);
        return sim_peer_give(world, peer,
                             (struct raft_input){.type = RAFT_READ, .context = client->context});
    }
    struct sim_command command = {
        .client = (uint64_t)number,
        .sequence = client->sequence,
        .type = operation->type,
        .object = operation->object,
        .value = operation->value,
        .expected = operation->expected,
    };
    uint8_t bytes[sizeof(command) + 200] = {0};
    memcpy(bytes, &command, sizeof(command));
    size_t size = sizeof(command) + random_below(&world->random, sizeof(bytes) - sizeof(command));
    unsigned before = client->asked[peer->number];
    client->asked[peer->number] = peer->lives; /* it may be done within this step */
    int rc = sim_peer_give(world, peer,
                           (struct raft_input){.type = RAFT_PROPOSE,
                                               .data = {bytes, size},
                                               .more = random_chance(&world->random, 1, 2)});
    if (rc < 0)
        client->asked[peer->number] = before;
    return rc;
}

void sim_client_move(struct sim_world *world, int number)
{
    struct sim_client *client = &world->clients[number];
    if (!client->is_waiting) {
        if (world->is_calm && client->done_when_calm == 3)
            return;
        begin(world, number);
    } else if (world->now_us >= client->deadline_us && !world->is_calm) {
        finish(world, number, LINEAR_PENDING);
        return;
    }
    struct sim_peer *peer = choose(world, client);
    uint64_t token = ++client->token;
    bool is_taken =
        peer->raft && peer->paused_until_us <= world->now_us && ask(world, number, peer) == 0;
    client->attempts++;
    if (client->token != token)
        return; /* it is done already */
    client->favourite = is_taken ? peer->number : -1;
    wake(world, number,
         is_taken ? sim_draw_us(world, ATTEMPT_MS_MIN, ATTEMPT_MS_MAX)
                  : sim_draw_us(world, 1, RETRY_MS_MAX));
}

void sim_client_applied(struct sim_world *world, const struct sim_peer *peer,
                        const struct sim_command *command)
{
    int number = (int)command->client;
    struct sim_client *client = &world->clients[number];
    if (!client->is_waiting || client->operation.type == LINEAR_READ ||
        client->sequence != command->sequence || client->asked[peer->number] != peer->lives)
        return;
    const struct sim_session *session = &peer->machine.sessions[number];
    client->operation.swapped = session->swapped != 0;
    if (session->swapped)
        client->seen = command->value;
    world->counts[SIM_COUNT_WRITES]++;
    finish(world, number, ++world->moment);
}

static int reader_of(const struct sim_world *world, uint64_t context)
{
    for (int i = 0; i < SIM_CLIENTS; i++)
        if (world->clients[i].is_waiting && world->clients[i].context == context)
            return i;
    return -1;
}

void sim_client_read(struct sim_world *world, const struct sim_peer *peer, uint64_t context)
{
    int number = reader_of(world, context);
    if (number < 0)
        return;
    struct sim_client *client = &world->clients[number];
    client->operation.value = peer->machine.registers[client->operation.object];
    client->seen = client->operation.value;
    world->counts[peer->status.role == RAFT_LEADER ? SIM_COUNT_READS : SIM_COUNT_FOLLOWER_READS]++;
    finish(world, number, ++world->moment);
}

void sim_client_read_failed(struct sim_world *world, uint64_t context)
{
    int number = reader_of(world, context);
    if (number < 0)
        return;
    world->clients[number].context = 0;
    wake(world, number, sim_draw_us(world, 1, RETRY_MS_MAX));
}

void sim_clients_end(struct sim_world *world)
{
    for (int i = 0; i < SIM_CLIENTS; i++)
        if (world->clients[i].is_waiting)
            finish(world, i, LINEAR_PENDING);
}
