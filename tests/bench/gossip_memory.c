/* What membership costs in memory: how many bytes an instance of swim holds for each peer that it
 * knows, once each has said a META and a CAPACITY record.
 *
 *     gossip_memory MEMBERS INSTANCES [FIRST_MAX FURTHER_MAX]
 *
 * One instance has a pool of its own, as a real peer has; more share one, as a simulated fleet
 * does: the first of them brings the facts into the pool. Prints one line of JSON; fails if a
 * member costs the first or a further instance more bytes than that. Counted are the chunks that
 * the heap gives out, with its own overhead, through --wrap at the link (see meson.build).
 */
#include <malloc.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gossip/fact.h"
#include "gossip/identity.h"
#include "gossip/swim.h"
#include "gossip/swim_message.h"

enum {
    CHUNK_MIN = 32,
    DELTA_FACTS = 300, /* fit into one sync message */
    NAME_BYTES = 80,   /* about what peers say there */
    CAPACITY_BYTES = 60,
    FACTS_PER_MEMBER = 3,
    HOUR_MS = 3600 * 1000,
    SETTLING_MS = 60 * 1000,
};

static struct fact_pool *signers;
static struct fact **facts;
static struct buffer *deltas;
static size_t delta_count;

static size_t heap_bytes;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
void __wrap_free(void *memory);

/* What glibc takes for an allocation: 8 bytes more, rounded up to 16. */
static size_t chunk_bytes(void *memory)
{
    size_t size = memory ? (malloc_usable_size(memory) + 8 + 15) / 16 * 16 : 0;
    return memory && size < CHUNK_MIN ? CHUNK_MIN : size;
}

static void *count(void *memory)
{
    heap_bytes += chunk_bytes(memory);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return count(__real_malloc(size));
}

void *__wrap_calloc(size_t items, size_t size)
{
    return count(__real_calloc(items, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    heap_bytes -= chunk_bytes(memory);
    return count(__real_realloc(memory, size));
}

void *__wrap_reallocarray(void *memory, size_t items, size_t size)
{
    heap_bytes -= chunk_bytes(memory);
    return count(__real_reallocarray(memory, items, size));
}

void __wrap_free(void *memory)
{
    heap_bytes -= chunk_bytes(memory);
    __real_free(memory);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct identity identity_of(size_t index)
{
    uint8_t seed[IDENTITY_SEED_BYTES] = {(uint8_t)index, (uint8_t)(index >> 8), 1};
    struct identity identity;
    identity_init(&identity, seed);
    return identity;
}

static void check(int rc)
{
    if (rc < 0)
        abort();
}

/* What member `index` says: that it is there, and two records. */
static void sign_facts(size_t index)
{
    static const uint8_t value[NAME_BYTES];
    struct identity identity = identity_of(index);
    uint64_t version = (uint64_t)1 << 32 | 1;
    struct fact **said = &facts[index * FACTS_PER_MEMBER];
    struct fact_view presence = {
        .kind = FACT_PRESENCE,
        .version = version,
        .presence.address = address_from_v4((uint32_t)(0x0a000000 + index), 7300),
    };
    struct fact_view meta = {
        .kind = FACT_RECORD,
        .version = version + 1,
        .record = {.key = {SWIM_TABLE_META, bytes_of_text("peer")},
                   .value = {value, NAME_BYTES},
                   .floor = version + 1},
    };
    check(fact_sign(signers, &identity, &presence, &said[0]));
    check(fact_sign(signers, &identity, &meta, &said[1]));
    struct fact_view capacity = {
        .kind = FACT_RECORD,
        .version = version + 2,
        .record = {.key = {SWIM_TABLE_CAPACITY, bytes_of_text("peer")},
                   .value = {value, CAPACITY_BYTES},
                   .floor = version + 1,
                   .sum = said[1]->view.mix},
    };
    check(fact_sign(signers, &identity, &capacity, &said[2]));
    identity_done(&identity);
}

static int compare_signer(const void *a, const void *b)
{
    const struct fact_view *one = &(*(struct fact *const *)a)->view;
    const struct fact_view *other = &(*(struct fact *const *)b)->view;
    int order = id_compare(&one->signer, &other->signer);
    return order ? order : one->version < other->version ? -1 : 1;
}

static void make_deltas(size_t members)
{
    size_t count = members * FACTS_PER_MEMBER;
    facts = calloc(count, sizeof(struct fact *));
    deltas = calloc(count / DELTA_FACTS + 1, sizeof(*deltas));
    if (!facts || !deltas)
        abort();
    for (size_t i = 0; i < members; i++)
        sign_facts(i);
    qsort(facts, count, sizeof(struct fact *), compare_signer);
    for (size_t i = 0; i < count; i += DELTA_FACTS) {
        size_t part = count - i < DELTA_FACTS ? count - i : DELTA_FACTS;
        buffer_init(&deltas[delta_count]);
        check(sync_write_delta(false, &facts[i], part, &deltas[delta_count++]));
    }
    for (size_t i = 0; i < count; i++)
        fact_release(signers, facts[i]);
    free(facts);
}

static struct swim *fill(size_t index, struct identity *identity, struct fact_pool *pool,
                         struct swim_output *output)
{
    struct swim_config config = swim_config_lan();
    struct swim *swim;
    *identity = identity_of(index);
    config.self = identity->id;
    config.identity = identity;
    config.generation = 2;
    config.seed = index;
    config.advertised = address_from_v4((uint32_t)(0x0a000000 + index), 7300);
    config.pool = pool;
    /* Nobody answers here, and rumours should be over soon. */
    config.probe_interval_ms = HOUR_MS;
    config.packet_bytes_max = SWIM_PACKET_BYTES_LIMIT;
    config.retransmit_multiplier = 1;
    config.gossip_fanout = SWIM_FANOUT_MAX;
    check(swim_new(&config, 0, &swim));
    struct swim_input input = {.type = SWIM_STREAM, .now_ms = 1};
    input.from.bytes[0] = 1;
    for (size_t i = 0; i < delta_count; i++) {
        input.bytes = buffer_view(&deltas[i]);
        check(swim_step(swim, &input, output));
    }
    for (int64_t now_ms = 100; now_ms <= SETTLING_MS; now_ms += 100) {
        struct swim_input tick = {.type = SWIM_TICK, .now_ms = now_ms};
        check(swim_step(swim, &tick, output));
    }
    return swim;
}

/* What each member costs the instances. */
struct cost {
    double first, further, seconds;
};

static struct cost measure(size_t members, size_t instances, struct swim **swims,
                           struct identity *identities, struct fact_pool *pool)
{
    struct swim_output output;
    size_t before = heap_bytes, first = 0;
    double start = seconds();
    for (size_t i = 0; i < instances; i++) {
        swim_output_init(&output);
        swims[i] = fill(i, &identities[i], pool, &output);
        swim_output_done(&output);
        if (i == 0)
            first = heap_bytes - before;
        if (swim_member_count(swims[i]) < members)
            abort();
    }
    double further = (double)(heap_bytes - before - first);
    return (struct cost){
        .first = (double)first / (double)members,
        .further = instances > 1 ? further / (double)(instances - 1) / (double)members : 0,
        .seconds = (seconds() - start) / (double)instances,
    };
}

static size_t argument(int argc, char **argv, int index, size_t otherwise)
{
    return argc > index ? strtoul(argv[index], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    size_t members = argument(argc, argv, 1, SWIM_MEMBERS_MAX);
    size_t instances = argument(argc, argv, 2, 1);
    struct fact_pool *pool = NULL;
    if (sodium_init() < 0 || members == 0 || members > SWIM_MEMBERS_MAX || instances == 0)
        return 1;
    struct swim **swims = calloc(instances, sizeof(struct swim *));
    struct identity *identities = calloc(instances, sizeof(*identities));
    if (!swims || !identities)
        return 1;
    check(fact_pool_new(1, &signers));
    make_deltas(members);
    if (instances > 1)
        check(fact_pool_new(2, &pool));

    struct cost cost = measure(members, instances, swims, identities, pool);
    printf("{\"members\": %zu, \"instances\": %zu, \"first_bytes_per_member\": %.1f, "
           "\"further_bytes_per_member\": %.1f, \"seconds_each\": %.3f}\n",
           members, instances, cost.first, cost.further, cost.seconds);

    for (size_t i = 0; i < instances; i++) {
        swim_free(swims[i]);
        identity_done(&identities[i]);
    }
    for (size_t i = 0; i < delta_count; i++)
        buffer_done(&deltas[i]);
    fact_pool_free(pool);
    fact_pool_free(signers);
    free(deltas);
    free(swims);
    free(identities);
    return cost.first > (double)argument(argc, argv, 3, SIZE_MAX) ||
           cost.further > (double)argument(argc, argv, 4, SIZE_MAX);
}
