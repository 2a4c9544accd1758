#include "tests/sim/sealed/world.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gossip/fact.h"
#include "gossip/swim_message.h"
#include "tests/sim/sealed/attacker.h"
#include "tests/sim/sealed/rules.h"

#define NEVER_MS INT64_MAX

enum {
    START_MS = 1000000,
    NETWORK_PEERS = 10 << 24 | 1 << 16, /* 10.1.0.0/16 */
    NETWORK_LAIR = 10 << 24 | 66 << 16,
    NETWORK_VICTIMS = 10 << 24 | 77 << 16,
    NETWORK_BYTE = 13, /* of an address: what tells these networks apart */
    OVERTAKEN_MS = 60,
    TICK_SESSIONS_MS = 5000,
};

struct stream_message {
    unsigned from, to;
    uint32_t from_generation, to_generation;
    size_t size;
    uint8_t bytes[];
};

struct world_options world_defaults(void)
{
    return (struct world_options){
        .peers = 12,
        .seed = 1,
        .delay_min_ms = 1,
        .delay_max_ms = 5,
        .rekey_after_ms = 15000,
    };
}

static void must(int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "sealed: %s\n", strerror(-rc));
    abort();
}

void world_say(const struct world *world, const char *format, ...)
{
    va_list arguments;
    if (!world->is_verbose)
        return;
    printf("%9.3f ", (double)(world->timeline.now_ms - START_MS) / 1000);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

/* --- Addresses --- */

struct address world_lair(unsigned number)
{
    return address_from_v4(NETWORK_LAIR | (number + 1), WORLD_PORT);
}

struct address world_victim(unsigned number)
{
    return address_from_v4(NETWORK_VICTIMS | (number + 1), WORLD_PORT);
}

enum world_place world_place_of(const struct address *address)
{
    switch (address->ip[NETWORK_BYTE]) {
    case NETWORK_LAIR >> 16 & 0xff:
        return WORLD_LAIR;
    case NETWORK_VICTIMS >> 16 & 0xff:
        return WORLD_VICTIM;
    default:
        return WORLD_PEER;
    }
}

unsigned world_find_address(const struct world *world, const struct address *address)
{
    for (unsigned i = 0; i < world->count; i++)
        if (address_equal(&world->peers[i].address, address))
            return i;
    return WORLD_NOBODY;
}

unsigned world_find_id(const struct world *world, const struct id *id)
{
    for (unsigned i = 0; i < world->count; i++)
        if (id_equal(&world->peers[i].identity.id, id))
            return i;
    return WORLD_NOBODY;
}

/* --- The wire --- */

static void trace(struct world *world, struct bytes bytes)
{
    const uint64_t prime = UINT64_C(0x100000001b3);
    world->trace = (world->trace ^ (uint64_t)world->timeline.now_ms) * prime;
    for (size_t i = 0; i < bytes.size; i++)
        world->trace = (world->trace ^ bytes.data[i]) * prime;
}

static void arrive(void *context, void *payload);

void world_inject(struct world *world, const struct address *source, const struct address *to,
                  struct bytes bytes, int64_t delay_ms)
{
    struct world_datagram *datagram = sim_allocate(sizeof(*datagram) + bytes.size);
    datagram->source = *source;
    datagram->to = *to;
    datagram->size = bytes.size;
    memcpy(datagram->bytes, bytes.data, bytes.size);
    world->counters.injected++;
    timeline_at(&world->timeline, world->timeline.now_ms + delay_ms, arrive, world, datagram);
}

static bool happens(struct world *world, unsigned permille)
{
    return permille > 0 && random_chance(&world->random, permille, WORLD_PERMILLE);
}

/* A peer's datagram, past the attacker and through the weather. */
static void emit(struct world_peer *peer, const struct address *to, struct bytes bytes)
{
    struct world *world = peer->world;
    const struct world_options *options = &world->options;
    world->counters.datagrams++;
    trace(world, bytes);
    rules_emit(world, peer, to, bytes.size);
    struct world_datagram *datagram = sim_allocate(sizeof(*datagram) + bytes.size);
    datagram->source = peer->address;
    datagram->to = *to;
    datagram->size = bytes.size;
    memcpy(datagram->bytes, bytes.data, bytes.size);
    if ((world->attacker && attacker_takes(world->attacker, peer->number, datagram)) ||
        happens(world, options->loss_permille)) {
        free(datagram);
        return;
    }
    uint64_t spread = (uint64_t)(options->delay_max_ms - options->delay_min_ms) + 1;
    int64_t delay_ms = options->delay_min_ms + (int64_t)random_below(&world->random, spread);
    if (happens(world, options->reorder_permille))
        delay_ms += 1 + (int64_t)random_below(&world->random, OVERTAKEN_MS);
    timeline_at(&world->timeline, world->timeline.now_ms + delay_ms, arrive, world, datagram);
}

/* --- Peers --- */

static void wake(void *context, void *payload);
static void arrive_stream(void *context, void *payload);

static void plan(struct world_peer *peer)
{
    if (peer->deadline_ms >= peer->planned_ms)
        return;
    peer->planned_ms = peer->deadline_ms;
    timeline_at(&peer->world->timeline, peer->deadline_ms, wake, peer, NULL);
}

static enum world_purpose purpose_of(struct bytes bytes)
{
    struct packet packet;
    must(packet_read(bytes, &packet));
    if (packet.kind == PACKET_PING || packet.kind == PACKET_RELAY)
        return WORLD_QUESTION;
    return id_is_none(&packet.subject) ? WORLD_ANSWER : WORLD_LATE_ANSWER;
}

/* As udp_send() does, with the serial number behind. */
static void send_packet(struct world_peer *peer, const struct swim_message *message)
{
    struct world *world = peer->world;
    int64_t now_ms = world->timeline.now_ms;
    cleanup_buffer struct buffer payload = {0}, datagram = {0};
    unsigned to = world_find_id(world, &message->to);
    if (to == WORLD_NOBODY)
        return;
    must(buffer_append(&payload, message->bytes.data, message->bytes.size));
    uint64_t serial = rules_sealing(world, peer->number, to, message->bytes);
    must(buffer_append(&payload, &serial, sizeof(serial)));
    bool asks = packet_asks(message->bytes);
    world->purpose = purpose_of(message->bytes);
    int rc =
        asks ? sessions_seal(peer->sessions, now_ms, &message->to, buffer_view(&payload), &datagram)
             : sessions_reply(peer->sessions, now_ms, &message->to, buffer_view(&payload),
                              &datagram);
    if (rc == -EMSGSIZE) { /* an answer just sent took the room that this was made for */
        world->counters.too_large++;
        return;
    }
    if (rc < 0) {
        rules_broken(world, "peer %u cannot seal %zu bytes: %s", peer->number, payload.size,
                     strerror(-rc));
        return;
    }
    rules_sealed(world, serial, datagram.bytes[0]);
    if (asks)
        sessions_asked(peer->sessions, now_ms, &message->to);
    emit(peer, &message->address, buffer_view(&datagram));
    world->purpose = WORLD_ANSWER;
}

static void send_stream(struct world_peer *peer, const struct swim_message *message)
{
    struct world *world = peer->world;
    unsigned to = world->attacker ? attacker_passes_stream(world->attacker, peer->number,
                                                           &message->address, &message->to)
                                  : world_find_address(world, &message->address);
    if (to == WORLD_NOBODY || to == peer->number ||
        (!id_is_none(&message->to) && world_find_id(world, &message->to) != to))
        return;
    struct stream_message *stream = sim_allocate(sizeof(*stream) + message->bytes.size);
    stream->from = peer->number;
    stream->to = to;
    stream->from_generation = peer->generation;
    stream->to_generation = world->peers[to].generation;
    stream->size = message->bytes.size;
    memcpy(stream->bytes, message->bytes.data, message->bytes.size);
    world->counters.streams++;
    timeline_at(&world->timeline, world->timeline.now_ms + world->options.delay_max_ms,
                arrive_stream, world, stream);
}

static int step(struct world_peer *peer, struct swim_input *input)
{
    struct world *world = peer->world;
    struct swim_output *output = &world->output;
    input->now_ms = world->timeline.now_ms;
    int rc = swim_step(peer->swim, input, output);
    for (size_t i = 0; i < output->message_count; i++) {
        if (output->messages[i].channel == SWIM_CHANNEL_PACKET)
            send_packet(peer, &output->messages[i]);
        else
            send_stream(peer, &output->messages[i]);
    }
    for (size_t i = 0; i < output->event_count; i++)
        rules_event(world, peer, &output->events[i]);
    peer->deadline_ms = output->next_deadline_ms;
    plan(peer);
    return rc;
}

static void wake(void *context, void *payload)
{
    struct world_peer *peer = context;
    (void)payload;
    if (peer->planned_ms != peer->world->timeline.now_ms)
        return; /* an earlier one came instead */
    peer->planned_ms = NEVER_MS;
    if (!peer->swim)
        return;
    if (peer->deadline_ms > peer->world->timeline.now_ms)
        plan(peer);
    else
        step(peer, &(struct swim_input){.type = SWIM_TICK});
}

/* As udp.c does. What is due anyway is done before, and does not count as an answer. */
static void receive(struct world_peer *peer, const struct world_datagram *datagram)
{
    struct world *world = peer->world;
    int64_t now_ms = world->timeline.now_ms;
    struct bytes bytes = {datagram->bytes, datagram->size};
    struct sessions_opened opened;
    uint8_t payload[SESSION_DATAGRAM_BYTES_MAX];
    if (peer->deadline_ms <= now_ms)
        step(peer, &(struct swim_input){.type = SWIM_TICK});
    rules_begin(world, peer, datagram);
    must(sessions_open(peer->sessions, now_ms, &datagram->source, bytes, &opened));
    world->counters.refused[opened.refusal]++;
    rules_opened(world, peer, datagram, &opened);
    if (opened.reply.size > 0)
        emit(peer, &datagram->source, opened.reply);
    struct id from = opened.from;
    if (opened.refusal == SESSION_ACCEPTED && opened.payload.size >= WORLD_SERIAL_BYTES) {
        memcpy(payload, opened.payload.data, opened.payload.size);
        struct swim_input input = {
            .type = SWIM_PACKET,
            .from = from,
            .source = datagram->source,
            .bytes = {payload, opened.payload.size - WORLD_SERIAL_BYTES},
        };
        int rc = step(peer, &input);
        if (rc < 0 && rc != -EPERM)
            rules_broken(world, "peer %u cannot read what came from %u: %s", peer->number,
                         world_find_id(world, &from), strerror(-rc));
    }
    if (opened.refusal == SESSION_ACCEPTED && opened.answer_due) {
        cleanup_buffer struct buffer answer = {0};
        must(sessions_answer(peer->sessions, now_ms, &from, &answer));
        if (answer.size > 0)
            emit(peer, &datagram->source, buffer_view(&answer));
    }
    rules_end(world, peer, &opened);
}

static void arrive(void *context, void *payload)
{
    struct world *world = context;
    struct world_datagram *datagram = payload;
    unsigned to = world_find_address(world, &datagram->to);
    if (to != WORLD_NOBODY && world->peers[to].swim && datagram->size <= SESSION_DATAGRAM_BYTES_MAX)
        receive(&world->peers[to], datagram);
    free(datagram);
}

static void arrive_stream(void *context, void *payload)
{
    struct world *world = context;
    struct stream_message *stream = payload;
    const struct world_peer *from = &world->peers[stream->from];
    struct world_peer *to = &world->peers[stream->to];
    struct swim_input input = {
        .type = SWIM_STREAM,
        .from = from->identity.id,
        .source = from->address,
        .bytes = {stream->bytes, stream->size},
    };
    if (to->swim && to->generation == stream->to_generation &&
        from->generation == stream->from_generation && !from->is_revoked)
        step(to, &input);
    free(stream);
}

static bool admit(void *context, const struct id *id, const struct certificate_chain *chain)
{
    const struct world *world = context;
    unsigned number = world_find_id(world, id);
    (void)chain;
    return number != WORLD_NOBODY && !world->peers[number].is_revoked;
}

static size_t packet_room(void *context, int64_t now_ms, const struct id *to)
{
    const struct world_peer *peer = context;
    return sessions_room(peer->sessions, now_ms, to) - WORLD_SERIAL_BYTES;
}

static void fill(void *context, void *ret, size_t size)
{
    random_fill(context, ret, size);
}

void world_start(struct world *world, unsigned number)
{
    struct world_peer *peer = &world->peers[number];
    assert(!peer->swim);
    peer->generation++;
    random_init(&peer->entropy, random_u64(&world->random));
    struct sessions_config sealing = {
        .identity = &peer->identity,
        .chain = &peer->chain,
        .cluster = world->root.id,
        .entropy = {fill, &peer->entropy},
        .generation = peer->generation,
        .admit = admit,
        .admit_context = world,
        .rekey_after_ms = world->options.rekey_after_ms,
    };
    peer->sessions = sessions_new(&sealing);
    assert(peer->sessions);
    struct swim_config config = swim_config_lan();
    config.self = peer->identity.id;
    config.identity = &peer->identity;
    config.generation = peer->generation;
    config.seed = random_u64(&world->random);
    config.advertised = peer->address;
    config.pool = world->pool;
    config.packet_room = packet_room;
    config.packet_room_context = peer;
    must(swim_new(&config, world->timeline.now_ms, &peer->swim));
    for (unsigned i = 0; i < world->count && i < 3; i++)
        if (i != number)
            must(swim_add_seed(peer->swim, NULL, &world->peers[i].address));
    for (unsigned i = 0; i < world->count; i++)
        if (world->peers[i].is_revoked && i != number)
            must(swim_revoke(peer->swim, world->timeline.now_ms, &world->peers[i].identity.id));
    memset(peer->first_serials, 0, sizeof(peer->first_serials));
    memset(peer->generations, 0, sizeof(peer->generations));
    peer->changed_ms = peer->deadline_ms = world->timeline.now_ms;
    world->counters.starts++;
    world_say(world, "peer %u starts, generation %u", number, peer->generation);
    plan(peer);
}

static void count_firsts(struct world_peer *peer)
{
    struct sessions_counters counters;
    sessions_counters(peer->sessions, &counters);
    peer->world->counters.firsts_sent += counters.firsts_sent;
}

void world_stop(struct world *world, unsigned number)
{
    struct world_peer *peer = &world->peers[number];
    assert(peer->swim);
    count_firsts(peer);
    swim_free(peer->swim);
    sessions_free(peer->sessions);
    peer->swim = NULL;
    peer->sessions = NULL;
    peer->changed_ms = world->timeline.now_ms;
    world->counters.stops++;
    world_say(world, "peer %u is gone", number);
}

void world_revoke(struct world *world, unsigned number)
{
    const struct id *id = &world->peers[number].identity.id;
    world->peers[number].is_revoked = true;
    world_say(world, "peer %u is revoked", number);
    for (unsigned i = 0; i < world->count; i++) {
        struct world_peer *peer = &world->peers[i];
        if (i == number || !peer->swim)
            continue;
        sessions_forget(peer->sessions, id);
        must(swim_revoke(peer->swim, world->timeline.now_ms, id));
        peer->deadline_ms = world->timeline.now_ms;
        plan(peer);
    }
}

static void look(void *context, void *payload)
{
    struct world *world = context;
    int64_t now_ms = world->timeline.now_ms;
    (void)payload;
    rules_look(world);
    for (unsigned i = 0; i < world->count && now_ms % TICK_SESSIONS_MS < RULES_LOOK_MS; i++)
        if (world->peers[i].sessions)
            sessions_tick(world->peers[i].sessions, now_ms);
    timeline_at(&world->timeline, now_ms + RULES_LOOK_MS, look, world, NULL);
}

static void certify(struct world *world, struct world_peer *peer)
{
    static const struct certificate_chain none;
    struct certificate leaf = {
        .cluster = world->root.id,
        .subject = peer->identity.id,
        .role = ROLE_PEER,
        .serial = peer->number + 1,
    };
    snprintf(leaf.name, sizeof(leaf.name), "peer-%u", peer->number);
    must(certificate_sign(&leaf, &world->root));
    must(certificate_chain_extend(&leaf, &none, &peer->chain));
}

void world_init(struct world *world, const struct world_options *options)
{
    uint8_t seed[IDENTITY_SEED_BYTES];
    assert(options->peers <= WORLD_PEERS_MAX);
    *world = (struct world){.options = *options, .count = options->peers};
    timeline_init(&world->timeline);
    world->timeline.now_ms = START_MS;
    random_init(&world->random, options->seed);
    swim_output_init(&world->output);
    must(fact_pool_new(random_u64(&world->random), &world->pool));
    random_fill(&world->random, seed, sizeof(seed));
    identity_init(&world->root, seed);
    for (unsigned i = 0; i < world->count; i++) {
        struct world_peer *peer = &world->peers[i];
        random_fill(&world->random, seed, sizeof(seed));
        identity_init(&peer->identity, seed);
        peer->world = world;
        peer->number = i;
        peer->planned_ms = NEVER_MS;
        peer->address = address_from_v4(NETWORK_PEERS | (i + 1), WORLD_PORT);
        world->isolated_ms[i] = 0;
        certify(world, peer);
    }
    for (unsigned i = 0; i < world->count; i++)
        world_start(world, i);
    timeline_at(&world->timeline, START_MS, look, world, NULL);
}

void world_done(struct world *world)
{
    for (unsigned i = 0; i < world->count; i++) {
        struct world_peer *peer = &world->peers[i];
        if (peer->swim)
            world_stop(world, i);
        identity_done(&peer->identity);
    }
    identity_done(&world->root);
    swim_output_done(&world->output);
    timeline_done(&world->timeline);
    fact_pool_free(world->pool);
    rules_done(world);
}

void world_run(struct world *world, int64_t until_ms)
{
    while (world->failure[0] == 0 && timeline_next(&world->timeline, until_ms))
        continue;
}
