#include "tests/sim/fleet/fleet.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gossip/fact.h"
#include "gossip/swim_message.h"
#include "tests/sim/fleet/wire.h"

enum {
    FLEET_LOOK_MS = 10,
    FLEET_PORT = 7300,
    FLEET_NETWORK = 10 << 24, /* 10.0.0.0/8: a peer's number is in its address */
    FLEET_NUMBER_MASK = 0xffffff,
    FLEET_INBOX_PACKETS = 256, /* what Linux's default receive buffer holds of small datagrams */
    FLEET_RETRANSMIT_MS = 200, /* before TCP sends again what was lost */
    FLEET_ARENA_KEPT = 4096,   /* a step's output over this is not kept for the next steps */
    FLEET_LESSON_FACTS = 100,  /* presences told at once when the fleet begins */
};

#define NEVER_MS INT64_MAX

struct fleet_options fleet_defaults(void)
{
    return (struct fleet_options){
        .peers = 20,
        .seed = 1,
        .delay_min_ms = 1,
        .delay_max_ms = 3,
        .config = swim_config_lan(),
    };
}

static void must(int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "fleet: %s\n", strerror(-rc));
    abort();
}

static void wake(void *context, void *payload);
static void arrive(void *context, void *payload);

static void plan(struct fleet_peer *peer)
{
    if (peer->deadline_ms >= peer->planned_ms)
        return;
    peer->planned_ms = peer->deadline_ms;
    timeline_at(&peer->fleet->timeline, peer->deadline_ms, wake, peer, NULL);
}

static void queue_add(struct fleet_queue *queue, struct fleet_message *message)
{
    queue->messages =
        sim_grow(queue->messages, queue->count, &queue->capacity, sizeof(*queue->messages));
    queue->messages[queue->count++] = message;
}

static struct fleet_queue queue_take(struct fleet_queue *queue)
{
    struct fleet_queue taken = *queue;
    *queue = (struct fleet_queue){0};
    return taken;
}

static void queue_done(struct fleet_queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        free(queue->messages[i]);
    free(queue->messages);
}

/* Puts a message on the wire. */
static void put_on_wire(struct fleet *fleet, struct fleet_message *message)
{
    struct random *random = &fleet->random;
    const struct fleet_options *options = &fleet->options;
    uint64_t spread = (uint64_t)(options->delay_max_ms - options->delay_min_ms) + 1;
    int64_t delay_ms = options->delay_min_ms + (int64_t)random_below(random, spread);

    wire_count(fleet, message);
    if (options->loss_permille > 0 &&
        random_chance(random, options->loss_permille, FLEET_PERMILLE)) {
        if (!message->is_stream) {
            free(message);
            return;
        }
        delay_ms += FLEET_RETRANSMIT_MS;
    }
    timeline_at(&fleet->timeline, fleet->timeline.now_ms + delay_ms, arrive, fleet, message);
}

static unsigned number_of(const struct address *address)
{
    unsigned number = 0;
    for (size_t i = 13; i < 16; i++)
        number = number << 8 | address->ip[i];
    return number & FLEET_NUMBER_MASK;
}

static void take_message(struct fleet_peer *peer, const struct swim_message *sent)
{
    struct fleet *fleet = peer->fleet;
    struct fleet_message *message = sim_allocate(sizeof(*message) + sent->bytes.size);
    message->from = peer->number;
    message->to = number_of(&sent->address);
    message->is_stream = sent->channel == SWIM_CHANNEL_STREAM;
    message->size = (uint32_t)sent->bytes.size;
    memcpy(message->bytes, sent->bytes.data, sent->bytes.size);
    assert(message->to < fleet->count);
    if (peer->condition == FLEET_BLOCKED)
        queue_add(&peer->outbox, message);
    else
        put_on_wire(fleet, message);
}

static void step(struct fleet_peer *peer, struct swim_input *input)
{
    struct fleet *fleet = peer->fleet;
    struct swim_output *output = &fleet->output;
    input->now_ms = fleet->timeline.now_ms;
    must(swim_step(peer->swim, input, output));
    peer->traffic.steps++;
    for (size_t i = 0; i < output->message_count; i++)
        take_message(peer, &output->messages[i]);
    for (size_t i = 0; i < output->event_count && fleet->on_event; i++)
        fleet->on_event(fleet->context, peer, &output->events[i]);
    peer->deadline_ms = output->next_deadline_ms;
    plan(peer);
    /* Instances keep the memory of the output that they are given, which adds up by thousands. */
    if (output->arena.capacity > FLEET_ARENA_KEPT || output->event_capacity > FLEET_LESSON_FACTS)
        swim_output_done(output);
}

static void wake(void *context, void *payload)
{
    struct fleet_peer *peer = context;
    (void)payload;
    if (peer->planned_ms != peer->fleet->timeline.now_ms)
        return; /* an earlier one came instead */
    peer->planned_ms = NEVER_MS;
    if (peer->condition == FLEET_DEAD || peer->condition == FLEET_STOPPED)
        return;
    if (peer->deadline_ms > peer->fleet->timeline.now_ms)
        plan(peer);
    else
        step(peer, &(struct swim_input){.type = SWIM_TICK});
}

static void deliver(struct fleet_peer *peer, const struct fleet_message *message)
{
    const struct fleet_peer *from = &peer->fleet->peers[message->from];
    struct swim_input input = {
        .type = message->is_stream ? SWIM_STREAM : SWIM_PACKET,
        .from = from->identity.id,
        .source = address_from_v4(FLEET_NETWORK | from->number, FLEET_PORT),
        .bytes = {message->bytes, message->size},
    };
    step(peer, &input);
}

static void arrive(void *context, void *payload)
{
    struct fleet *fleet = context;
    struct fleet_message *message = payload;
    struct fleet_peer *peer = &fleet->peers[message->to];
    bool is_cut = peer->side != fleet->peers[message->from].side;
    if (peer->condition == FLEET_DEAD || is_cut) {
        free(message);
    } else if (peer->condition == FLEET_RUNS) {
        deliver(peer, message);
        free(message);
    } else if (message->is_stream || peer->inbox.count < FLEET_INBOX_PACKETS) {
        queue_add(&peer->inbox, message);
    } else {
        free(message);
    }
}

/* An anomaly ends. A stopped process runs its timers before it reads, as libuv's loop does. */
static void recover(void *context, void *payload)
{
    struct fleet_peer *peer = context;
    (void)payload;
    if (peer->condition == FLEET_DEAD)
        return;
    peer->condition = FLEET_RUNS;
    struct fleet_queue out = queue_take(&peer->outbox), in = queue_take(&peer->inbox);
    for (size_t i = 0; i < out.count; i++)
        put_on_wire(peer->fleet, out.messages[i]);
    if (peer->deadline_ms <= peer->fleet->timeline.now_ms)
        step(peer, &(struct swim_input){.type = SWIM_TICK});
    plan(peer);
    for (size_t i = 0; i < in.count; i++)
        deliver(peer, in.messages[i]);
    free(out.messages);
    queue_done(&in);
}

void fleet_disturb(struct fleet *fleet, unsigned number, enum fleet_condition condition,
                   int64_t duration_ms)
{
    struct fleet_peer *peer = &fleet->peers[number];
    assert(peer->condition == FLEET_RUNS);
    peer->condition = condition;
    timeline_at(&fleet->timeline, fleet->timeline.now_ms + duration_ms, recover, peer, NULL);
}

void fleet_kill(struct fleet *fleet, unsigned number)
{
    fleet->peers[number].condition = FLEET_DEAD;
}

void fleet_tick(struct fleet *fleet, unsigned number)
{
    step(&fleet->peers[number], &(struct swim_input){.type = SWIM_TICK});
}

static int compare_peers(const void *a, const void *b)
{
    return id_compare(&((const struct fleet_peer *)a)->identity.id,
                      &((const struct fleet_peer *)b)->identity.id);
}

static int compare_peer_to_id(const void *key, const void *item)
{
    return id_compare(key, &((const struct fleet_peer *)item)->identity.id);
}

unsigned fleet_find(const struct fleet *fleet, const struct id *id)
{
    const struct fleet_peer *peer =
        bsearch(id, fleet->peers, fleet->count, sizeof(*peer), compare_peer_to_id);
    assert(peer);
    return peer->number;
}

static void start(struct fleet *fleet, struct fleet_peer *peer)
{
    struct swim_config config = fleet->options.config;
    config.self = peer->identity.id;
    config.identity = &peer->identity;
    config.generation = 1;
    config.seed = random_u64(&fleet->random);
    config.advertised = address_from_v4(FLEET_NETWORK | peer->number, FLEET_PORT);
    config.pool = fleet->pool;
    must(swim_new(&config, fleet->timeline.now_ms, &peer->swim));
}

/* The very words by which each peer says that it is there. */
static struct fact **sign_presences(struct fleet *fleet)
{
    struct fact **presences = sim_allocate(fleet->count * sizeof(struct fact *));
    for (unsigned i = 0; i < fleet->count; i++) {
        const struct fleet_peer *peer = &fleet->peers[i];
        struct swim_member self;
        must(swim_member_find(peer->swim, &peer->identity.id, &self) ? 0 : -ENOENT);
        struct fact_view view = {
            .kind = FACT_PRESENCE,
            .version = self.incarnation,
            .presence.address = self.address,
        };
        must(fact_sign(fleet->pool, &peer->identity, &view, &presences[i]));
    }
    return presences;
}

/* Everybody hears of everybody, as if by anti-entropy long ago; what they say to that is lost. */
static void introduce(struct fleet *fleet)
{
    struct fact **presences = sign_presences(fleet);
    for (unsigned first = 0; first < fleet->count; first += FLEET_LESSON_FACTS) {
        unsigned rest = fleet->count - first;
        struct buffer lesson;
        buffer_init(&lesson);
        must(sync_write_delta(false, &presences[first],
                              rest < FLEET_LESSON_FACTS ? rest : FLEET_LESSON_FACTS, &lesson));
        for (unsigned i = 0; i < fleet->count; i++) {
            struct fleet_peer *peer = &fleet->peers[i];
            struct swim_input input = {
                .now_ms = fleet->timeline.now_ms,
                .type = SWIM_STREAM,
                .from = fleet->peers[i == 0].identity.id,
                .source = address_from_v4(FLEET_NETWORK | (i == 0), FLEET_PORT),
                .bytes = buffer_view(&lesson),
            };
            must(swim_step(peer->swim, &input, &fleet->output));
            peer->deadline_ms = fleet->output.next_deadline_ms;
            swim_output_done(&fleet->output);
        }
        buffer_done(&lesson);
    }
    for (unsigned i = 0; i < fleet->count; i++)
        fact_release(fleet->pool, presences[i]);
    free(presences);
}

void fleet_init(struct fleet *fleet, const struct fleet_options *options)
{
    *fleet = (struct fleet){.options = *options, .count = options->peers};
    timeline_init(&fleet->timeline);
    random_init(&fleet->random, options->seed);
    swim_output_init(&fleet->output);
    must(fact_pool_new(random_u64(&fleet->random), &fleet->pool));
    fleet->peers = sim_allocate(fleet->count * sizeof(*fleet->peers));
    for (unsigned i = 0; i < fleet->count; i++) {
        uint8_t seed[IDENTITY_SEED_BYTES];
        random_fill(&fleet->random, seed, sizeof(seed));
        identity_init(&fleet->peers[i].identity, seed);
    }
    qsort(fleet->peers, fleet->count, sizeof(*fleet->peers), compare_peers);
    for (unsigned i = 0; i < fleet->count; i++) {
        struct fleet_peer *peer = &fleet->peers[i];
        peer->fleet = fleet;
        peer->number = i;
        peer->planned_ms = NEVER_MS;
        start(fleet, peer);
    }
    if (fleet->count > 1)
        introduce(fleet);
    for (unsigned i = 0; i < fleet->count; i++)
        plan(&fleet->peers[i]);
}

void fleet_done(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        struct fleet_peer *peer = &fleet->peers[i];
        swim_free(peer->swim);
        queue_done(&peer->inbox);
        queue_done(&peer->outbox);
        identity_done(&peer->identity);
    }
    swim_output_done(&fleet->output);
    timeline_done(&fleet->timeline);
    fact_pool_free(fleet->pool);
    free(fleet->peers);
    free(fleet->links);
    *fleet = (struct fleet){0};
}

void fleet_run(struct fleet *fleet, int64_t until_ms)
{
    while (timeline_next(&fleet->timeline, until_ms))
        continue;
}

bool fleet_run_until(struct fleet *fleet, int64_t until_ms, bool (*is_over)(void *context),
                     void *context)
{
    while (!is_over(context)) {
        if (fleet->timeline.now_ms >= until_ms)
            return false;
        fleet_run(fleet, fleet->timeline.now_ms + FLEET_LOOK_MS);
    }
    return true;
}

unsigned fleet_count_in(const struct fleet *fleet, enum fleet_condition condition)
{
    unsigned count = 0;
    for (unsigned i = 0; i < fleet->count; i++)
        count += fleet->peers[i].condition == condition;
    return count;
}

struct fleet_traffic fleet_traffic_sum(const struct fleet *fleet)
{
    struct fleet_traffic sum = {0};
    for (unsigned i = 0; i < fleet->count; i++) {
        const struct fleet_traffic *traffic = &fleet->peers[i].traffic;
        sum.packets += traffic->packets;
        sum.packet_bytes += traffic->packet_bytes;
        sum.streams += traffic->streams;
        sum.stream_bytes += traffic->stream_bytes;
        sum.steps += traffic->steps;
    }
    return sum;
}
