#include "tests/unit/gossip/fake_network.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PORT = 7300,
    NETWORK_IP = 0x0a000001,
    START_MS = 1000,
    SOCKET_PACKETS = 256,    /* about what Linux's default buffer takes of full ones */
    OUTSIDE_IP = 0xc6336401, /* where moved peers are */
    OUTSIDE_PORT = 40000,    /* of those behind NAT */
};

struct fake_message {
    int64_t due_ms;
    uint64_t order;
    size_t from, to;
    enum swim_input_type type;
    size_t size;
    uint8_t bytes[];
};

static const uint64_t fnv_prime = UINT64_C(0x100000001b3);

static void trace(struct fake_network *net, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        net->trace = (net->trace ^ bytes[i]) * fnv_prime;
}

void fake_init(struct fake_network *net, size_t count, uint64_t seed)
{
    memset(net, 0, sizeof(*net));
    assert(count <= FAKE_PEERS_MAX);
    random_init(&net->random, seed);
    swim_output_init(&net->output);
    int rc = fact_pool_new(seed, &net->pool);
    assert(rc == 0);
    net->now_ms = START_MS;
    net->config = swim_config_lan();
    net->config.pool = net->pool;
    net->count = count;
    net->delay_min_ms = 1;
    net->delay_max_ms = 5;
    net->socket_packets_max = SOCKET_PACKETS;
    for (size_t i = 0; i < count; i++) {
        uint8_t key_seed[IDENTITY_SEED_BYTES];
        random_fill(&net->random, key_seed, sizeof(key_seed));
        identity_init(&net->peers[i].identity, key_seed);
        net->peers[i].address = address_from_v4(NETWORK_IP + (uint32_t)i, PORT);
        net->peers[i].place = net->peers[i].address;
    }
    for (size_t i = 0; i < count; i++)
        fake_start(net, i);
}

void fake_done(struct fake_network *net)
{
    for (size_t i = 0; i < net->count; i++) {
        swim_free(net->peers[i].swim);
        identity_done(&net->peers[i].identity);
    }
    for (size_t i = 0; i < net->queue_count; i++)
        free(net->queue[i]);
    free(net->queue);
    swim_output_done(&net->output);
    fact_pool_free(net->pool);
}

const struct id *fake_id(const struct fake_network *net, size_t index)
{
    return &net->peers[index].identity.id;
}

void fake_start(struct fake_network *net, size_t index)
{
    struct fake_peer *peer = &net->peers[index];
    struct swim_config config = net->config;
    assert(!peer->swim);
    config.self = peer->identity.id;
    config.identity = &peer->identity;
    config.generation = ++peer->generation;
    config.seed = random_u64(&net->random);
    config.advertised = peer->address;
    int rc = swim_new(&config, net->now_ms, &peer->swim);
    assert(rc == 0);
    const struct fake_peer *seed = &net->peers[index == 0 && net->count > 1 ? 1 : 0];
    rc = swim_add_seed(peer->swim, &seed->identity.id, &seed->address);
    assert(rc == 0);
    peer->deadline_ms = net->now_ms;
    memset(peer->event_counts, 0, sizeof(peer->event_counts));
}

void fake_stop(struct fake_network *net, size_t index)
{
    swim_free(net->peers[index].swim);
    net->peers[index].swim = NULL;
}

static bool comes_before(const struct fake_message *a, const struct fake_message *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void enqueue_later(struct fake_network *net, int64_t wait_ms, size_t from, size_t to,
                          enum swim_input_type type, struct bytes bytes)
{
    struct fake_message *message = malloc(sizeof(*message) + bytes.size);
    assert(message);
    uint64_t spread = (uint64_t)(net->delay_max_ms - net->delay_min_ms) + 1;
    message->due_ms =
        net->now_ms + wait_ms + net->delay_min_ms + (int64_t)random_below(&net->random, spread);
    message->due_ms += net->peers[from].extra_ms + net->peers[to].extra_ms;
    message->order = net->order++;
    message->from = from;
    message->to = to;
    message->type = type;
    message->size = bytes.size;
    if (bytes.size > 0)
        memcpy(message->bytes, bytes.data, bytes.size);

    if (net->queue_count == net->queue_capacity) {
        net->queue_capacity = net->queue_capacity ? 2 * net->queue_capacity : 64;
        net->queue = realloc(net->queue, net->queue_capacity * sizeof(struct fake_message *));
        assert(net->queue);
    }
    size_t index = net->queue_count++;
    while (index > 0 && comes_before(message, net->queue[index - 1])) {
        net->queue[index] = net->queue[index - 1];
        index--;
    }
    net->queue[index] = message;
}

static void enqueue(struct fake_network *net, size_t from, size_t to, enum swim_input_type type,
                    struct bytes bytes)
{
    enqueue_later(net, 0, from, to, type, bytes);
}

static size_t peer_at(const struct fake_network *net, const struct address *address)
{
    for (size_t i = 0; i < net->count; i++)
        if (address_equal(&net->peers[i].place, address))
            return i;
    return net->count;
}

/* Streams go over a link that is there, whoever dialed it, else to the address. */
static size_t stream_target(const struct fake_network *net, size_t from,
                            const struct swim_message *message)
{
    for (size_t i = 0; i < net->count; i++)
        if (id_equal(fake_id(net, i), &message->to) && net->linked[from][i])
            return i;
    size_t to = peer_at(net, &message->address);
    return to < net->count && net->peers[to].behind_nat ? net->count : to;
}

static bool packet_passes(const struct fake_network *net, size_t from, size_t to)
{
    bool is_open =
        net->opened_ms[to][from] > 0 && net->now_ms - net->opened_ms[to][from] < FAKE_NAT_MS;
    return !net->packets_cut[from][to] && (!net->peers[to].behind_nat || is_open);
}

void fake_move(struct fake_network *net, size_t index, bool behind_nat)
{
    struct fake_peer *peer = &net->peers[index];
    peer->place = address_from_v4(OUTSIDE_IP + (uint32_t)index, behind_nat ? OUTSIDE_PORT : PORT);
    peer->behind_nat = behind_nat;
    for (size_t i = 0; i < net->count; i++)
        net->linked[index][i] = net->linked[i][index] = false;
}

static bool can_reach(const struct fake_network *net, size_t from, size_t to)
{
    return to < net->count && net->peers[to].swim && !net->cut[from][to] &&
           net->peers[from].group == net->peers[to].group;
}

/* Sends what the last step of `from` asked for. */
static void carry_out(struct fake_network *net, size_t from)
{
    struct fake_peer *peer = &net->peers[from];
    for (size_t i = 0; i < net->output.event_count; i++) {
        const struct swim_event *event = &net->output.events[i];
        peer->event_counts[event->type]++;
        if (event->type == SWIM_PONG || event->type == SWIM_PING_LOST)
            peer->last_ping = *event;
        trace(net, event, sizeof(*event));
    }
    for (size_t i = 0; i < net->output.message_count; i++) {
        const struct swim_message *message = &net->output.messages[i];
        bool is_packet = message->channel == SWIM_CHANNEL_PACKET;
        size_t to = is_packet ? peer_at(net, &message->address) : stream_target(net, from, message);
        trace(net, message->bytes.data, message->bytes.size);
        trace(net, &message->to, sizeof(message->to));
        assert(!is_packet || message->bytes.size <= net->config.packet_bytes_max);
        net->packet_count += is_packet;
        if (is_packet && from == 0 && to < net->count)
            net->asked[to] += message->bytes.data[1] == PACKET_RELAY;
        if (is_packet && to < net->count && peer->behind_nat)
            net->opened_ms[from][to] = net->now_ms;
        *(is_packet ? &net->packet_bytes : &net->stream_bytes) += message->bytes.size;
        if (!can_reach(net, from, to)) {
            if (!is_packet && to < net->count)
                enqueue(net, to, from, SWIM_UNREACHED, (struct bytes){NULL, 0});
        } else if (!is_packet) {
            net->linked[from][to] = net->linked[to][from] = true;
            enqueue(net, from, to, SWIM_STREAM, message->bytes);
        } else if (packet_passes(net, from, to) &&
                   !random_chance(&net->random, net->loss_percent, 100)) {
            enqueue(net, from, to, SWIM_PACKET, message->bytes);
        }
    }
    peer->deadline_ms = net->output.next_deadline_ms;
}

int fake_inject(struct fake_network *net, size_t to, size_t from, enum swim_input_type type,
                struct bytes bytes)
{
    struct swim_input input = {
        .now_ms = net->now_ms,
        .type = type,
        .from = net->peers[from].identity.id,
        .source = net->peers[from].place,
        .bytes = bytes,
    };
    if (type != SWIM_PACKET)
        input.source = (struct address){0};
    int rc = swim_step(net->peers[to].swim, &input, &net->output);
    carry_out(net, to);
    return rc;
}

void fake_tick(struct fake_network *net, size_t index)
{
    int rc = fake_inject(net, index, index, SWIM_TICK, (struct bytes){NULL, 0});
    assert(rc == 0);
}

/* What comes for a peer that is paused waits in its socket as long as there is room; a connection
 * that is silent for too long is given up by its other side. */
static void wait_for(struct fake_network *net, const struct fake_message *message)
{
    enum { CONNECTION_DEAD_MS = 5000 };
    struct fake_peer *to = &net->peers[message->to];
    int64_t wait_ms = to->paused_until - net->now_ms;
    if (message->type == SWIM_STREAM && wait_ms > CONNECTION_DEAD_MS) {
        enqueue(net, message->to, message->from, SWIM_UNREACHED, (struct bytes){NULL, 0});
        return;
    }
    if (to->waiting_until != to->paused_until) {
        to->waiting_until = to->paused_until;
        to->waiting = 0;
    }
    if (message->type == SWIM_PACKET && to->waiting++ >= net->socket_packets_max)
        return;
    enqueue_later(net, wait_ms, message->from, message->to, message->type,
                  (struct bytes){message->bytes, message->size});
}

static bool is_tapped(struct fake_network *net, const struct fake_message *message)
{
    struct bytes bytes = {message->bytes, message->size};
    return net->tap && net->tap(net, message->from, message->to, message->type, bytes);
}

static void deliver_first(struct fake_network *net)
{
    struct fake_message *message = net->queue[0];
    struct fake_peer *to = &net->peers[message->to];
    net->queue_count--;
    memmove(net->queue, net->queue + 1, net->queue_count * sizeof(struct fake_message *));
    if (to->swim && to->paused_until > net->now_ms) {
        wait_for(net, message);
    } else if (to->swim && !is_tapped(net, message)) {
        int rc = fake_inject(net, message->to, message->from, message->type,
                             (struct bytes){message->bytes, message->size});
        assert(rc == 0 || rc == -EPERM);
    }
    free(message);
}

/* Does the next thing that is due by `end_ms`; false if there is none. */
static bool advance(struct fake_network *net, int64_t end_ms)
{
    size_t next = net->count;
    int64_t next_ms = end_ms + 1;
    for (size_t i = 0; i < net->count; i++) {
        struct fake_peer *peer = &net->peers[i];
        int64_t due_ms =
            peer->deadline_ms > peer->paused_until ? peer->deadline_ms : peer->paused_until;
        if (peer->swim && due_ms < next_ms) {
            next = i;
            next_ms = due_ms;
        }
    }
    bool message_first = net->queue_count > 0 && net->queue[0]->due_ms < next_ms;
    if (message_first)
        next_ms = net->queue[0]->due_ms;
    if (next_ms > end_ms)
        return false;
    if (next_ms > net->now_ms)
        net->now_ms = next_ms;
    if (message_first)
        deliver_first(net);
    else
        fake_tick(net, next);
    return true;
}

void fake_drop_streams(struct fake_network *net, size_t index)
{
    size_t kept = 0;
    for (size_t i = 0; i < net->queue_count; i++) {
        struct fake_message *message = net->queue[i];
        if (message->type == SWIM_STREAM && (message->from == index || message->to == index))
            free(message);
        else
            net->queue[kept++] = message;
    }
    net->queue_count = kept;
}

void fake_run(struct fake_network *net, int64_t ms)
{
    int64_t end_ms = net->now_ms + ms;
    while (advance(net, end_ms))
        ;
    net->now_ms = end_ms;
}

int64_t fake_wait(struct fake_network *net, int64_t ms, fake_condition *condition)
{
    enum { STEP_MS = 20 };
    int64_t start_ms = net->now_ms;
    while (!condition(net)) {
        if (net->now_ms - start_ms >= ms)
            return -1;
        fake_run(net, STEP_MS);
    }
    return net->now_ms - start_ms;
}

int fake_state(const struct fake_network *net, size_t observer, size_t subject)
{
    struct swim_member member;
    bool known = swim_member_find(net->peers[observer].swim, fake_id(net, subject), &member);
    return known ? (int)member.state : -1;
}

void fake_forget_events(struct fake_network *net)
{
    for (size_t i = 0; i < net->count; i++)
        memset(net->peers[i].event_counts, 0, sizeof(net->peers[i].event_counts));
}

int fake_publish(struct fake_network *net, size_t index, enum swim_table table, const char *key,
                 const char *value)
{
    int rc = swim_publish(net->peers[index].swim, net->now_ms, table, bytes_of_text(key),
                          bytes_of_text(value));
    net->peers[index].deadline_ms = net->now_ms;
    return rc;
}

bool fake_has(const struct fake_network *net, size_t observer, size_t owner, enum swim_table table,
              const char *key, const char *value)
{
    struct swim_record record;
    int rc = swim_record_find(net->peers[observer].swim, fake_id(net, owner), table,
                              bytes_of_text(key), &record);
    if (rc < 0 || !value)
        return rc < 0 && !value;
    return bytes_equal(record.value, bytes_of_text(value));
}

bool fake_all_alive(struct fake_network *net)
{
    size_t running = 0;
    for (size_t i = 0; i < net->count; i++)
        running += net->peers[i].swim != NULL;
    for (size_t i = 0; i < net->count; i++) {
        if (!net->peers[i].swim)
            continue;
        if (swim_live_count(net->peers[i].swim) != running)
            return false;
        for (size_t k = 0; k < net->count; k++)
            if (net->peers[k].swim && fake_state(net, i, k) != SWIM_ALIVE)
                return false;
    }
    return true;
}

/* Whether both hold the same records of an owner, table by table. */
static bool records_equal(const struct swim *a, const struct swim *b, const struct id *owner)
{
    for (int table = 0; table < SWIM_TABLE_COUNT; table++) {
        struct swim_cursor at_a = swim_cursor_of(owner, (enum swim_table)table), at_b = at_a;
        struct swim_record of_a, of_b;
        for (;;) {
            bool more = swim_cursor_next(a, &at_a, &of_a);
            if (more != swim_cursor_next(b, &at_b, &of_b))
                return false;
            if (!more)
                break;
            if (!bytes_equal(of_a.key, of_b.key) || !bytes_equal(of_a.value, of_b.value))
                return false;
        }
    }
    return true;
}

bool fake_all_equal(struct fake_network *net)
{
    for (size_t i = 0; i < net->count; i++)
        for (size_t k = 0; k < net->count; k++)
            if (net->peers[i].swim && net->peers[k].swim &&
                !records_equal(net->peers[i].swim, net->peers[k].swim, fake_id(net, k)))
                return false;
    return true;
}
