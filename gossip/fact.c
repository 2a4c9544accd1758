#include "gossip/fact.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/writer.h"
#include "gossip/identity.h"
#include "gossip/record_set.h"
#include "gossip/swim.h"

static const char purpose[] = "consort swim fact";

enum {
    BUCKETS_MIN = 64, /* a power of two */
    PRESENCE_FIELDS = 5,
    ACCUSATION_FIELDS = 4,
    RECORD_FIELDS = 8,
};

/* A hash set of facts. The place of a fact is drawn from its signature and a secret number, so that
 * nobody can choose signatures that crowd one bucket. */
struct fact_pool {
    struct fact **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    uint64_t secret;
    struct record_sets sets; /* of facts of this pool */
};

int record_key_compare(const struct record_key *a, const struct record_key *b)
{
    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    size_t common = a->key.size < b->key.size ? a->key.size : b->key.size;
    int order = common > 0 ? memcmp(a->key.data, b->key.data, common) : 0;
    if (order != 0)
        return order;
    return a->key.size < b->key.size ? -1 : a->key.size > b->key.size;
}

static int parse_presence(struct reader *reader, struct fact_view *view)
{
    reader_fixed(reader, view->signer.bytes, ID_BYTES);
    reader_u64(reader, &view->version);
    reader_bool(reader, &view->presence.left);
    return address_read(reader, &view->presence.address);
}

static int parse_accusation(struct reader *reader, struct fact_view *view)
{
    reader_fixed(reader, view->signer.bytes, ID_BYTES);
    reader_fixed(reader, view->accusation.accused.bytes, ID_BYTES);
    return reader_u64(reader, &view->version);
}

static int parse_record(struct reader *reader, struct fact_view *view)
{
    uint32_t age = 0;
    reader_fixed(reader, view->signer.bytes, ID_BYTES);
    reader_u64(reader, &view->version);
    reader_u32(reader, &age);
    reader_u64(reader, &view->record.sum);
    reader_u32(reader, &view->record.key.table);
    reader_binary(reader, &view->record.key.key);
    view->record.withdrawn = reader_peek(reader) == READER_NIL;
    if (view->record.withdrawn)
        reader_nil(reader);
    else
        reader_binary(reader, &view->record.value);
    if (reader_check(reader) < 0)
        return -EBADMSG;

    struct bytes key = view->record.key.key;
    if (key.size == 0 || key.size > SWIM_KEY_BYTES_MAX)
        return -EBADMSG;
    if (view->record.value.size > SWIM_VALUE_BYTES_MAX ||
        view->record.key.table >= SWIM_TABLE_COUNT)
        return -EBADMSG;
    if (age >= (uint32_t)view->version) /* the floor is of the same generation, its counter >= 1 */
        return -EBADMSG;
    view->record.floor = view->version - age;
    return 0;
}

int fact_parse(struct bytes raw, struct fact_view *ret)
{
    if (raw.size <= SIGNATURE_BYTES || raw.size > SWIM_FACT_BYTES_MAX)
        return -EBADMSG;
    size_t signed_size = raw.size - SIGNATURE_BYTES;
    struct fact_view view = {.raw = raw};
    struct reader reader;
    uint32_t fields = 0;
    uint8_t kind = 0;
    int rc = -EBADMSG;

    reader_init(&reader, raw.data, signed_size);
    reader_array(&reader, &fields);
    reader_u8(&reader, &kind);
    if (kind == FACT_PRESENCE && fields == PRESENCE_FIELDS)
        rc = parse_presence(&reader, &view);
    else if (kind == FACT_ACCUSATION && fields == ACCUSATION_FIELDS)
        rc = parse_accusation(&reader, &view);
    else if (kind == FACT_RECORD && fields == RECORD_FIELDS)
        rc = parse_record(&reader, &view);
    if (rc < 0 || reader_end(&reader) < 0 || id_is_none(&view.signer))
        return -EBADMSG;

    view.kind = (enum fact_kind)kind;
    for (size_t i = 0; i < sizeof(view.mix); i++)
        view.mix = view.mix << 8 | raw.data[signed_size + i];
    *ret = view;
    return 0;
}

static int encode(const struct id *signer, const struct fact_view *view, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    switch (view->kind) {
    case FACT_PRESENCE:
        writer_array(&writer, PRESENCE_FIELDS);
        writer_u64(&writer, FACT_PRESENCE);
        writer_binary(&writer, signer->bytes, ID_BYTES);
        writer_u64(&writer, view->version);
        writer_bool(&writer, view->presence.left);
        address_write(&writer, &view->presence.address);
        break;
    case FACT_ACCUSATION:
        writer_array(&writer, ACCUSATION_FIELDS);
        writer_u64(&writer, FACT_ACCUSATION);
        writer_binary(&writer, signer->bytes, ID_BYTES);
        writer_binary(&writer, view->accusation.accused.bytes, ID_BYTES);
        writer_u64(&writer, view->version);
        break;
    case FACT_RECORD:
        assert(view->record.floor <= view->version);
        writer_array(&writer, RECORD_FIELDS);
        writer_u64(&writer, FACT_RECORD);
        writer_binary(&writer, signer->bytes, ID_BYTES);
        writer_u64(&writer, view->version);
        writer_u64(&writer, view->version - view->record.floor);
        writer_u64(&writer, view->record.sum);
        writer_u64(&writer, view->record.key.table);
        writer_binary(&writer, view->record.key.key.data, view->record.key.key.size);
        if (view->record.withdrawn)
            writer_nil(&writer);
        else
            writer_binary(&writer, view->record.value.data, view->record.value.size);
        break;
    }
    return writer_check(&writer);
}

int fact_pool_new(uint64_t seed, struct fact_pool **ret)
{
    struct fact_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pool->secret = seed;
    pool->bucket_count = BUCKETS_MIN;
    pool->buckets = calloc(pool->bucket_count, sizeof(struct fact *));
    if (!pool->buckets) {
        free(pool);
        return -ENOMEM;
    }
    record_sets_init(&pool->sets, pool);
    *ret = pool;
    return 0;
}

void fact_pool_free(struct fact_pool *pool)
{
    if (!pool)
        return;
    record_sets_done(&pool->sets);
    assert(pool->count == 0);
    free(pool->buckets);
    free(pool);
}

struct record_sets *fact_pool_sets(struct fact_pool *pool)
{
    return &pool->sets;
}

static struct fact **bucket_of(const struct fact_pool *pool, uint64_t mix)
{
    uint64_t hash = (mix ^ pool->secret) * UINT64_C(0x9e3779b97f4a7c15);
    return &pool->buckets[(hash >> 32) & (pool->bucket_count - 1)];
}

/* Doubles the buckets; if there is no memory for that, chains just get longer. */
static void grow(struct fact_pool *pool)
{
    struct fact_pool wider = *pool;
    wider.bucket_count = pool->bucket_count * 2;
    wider.buckets = calloc(wider.bucket_count, sizeof(struct fact *));
    if (!wider.buckets)
        return;
    for (size_t i = 0; i < pool->bucket_count; i++) {
        while (pool->buckets[i]) {
            struct fact *fact = pool->buckets[i];
            struct fact **bucket = bucket_of(&wider, fact->view.mix);
            pool->buckets[i] = fact->next;
            fact->next = *bucket;
            *bucket = fact;
        }
    }
    free(pool->buckets);
    *pool = wider;
}

/* Copies bytes that are known to be well-formed and rightly signed into the pool. */
static int insert(struct fact_pool *pool, struct bytes raw, struct fact **ret)
{
    struct fact *fact = malloc(sizeof(*fact) + raw.size);
    if (!fact)
        return -ENOMEM;
    memcpy(fact->bytes, raw.data, raw.size);
    int rc = fact_parse((struct bytes){fact->bytes, raw.size}, &fact->view);
    assert(rc == 0);
    fact->references = 1;
    if (pool->count >= pool->bucket_count)
        grow(pool);
    struct fact **bucket = bucket_of(pool, fact->view.mix);
    fact->next = *bucket;
    *bucket = fact;
    pool->count++;
    *ret = fact;
    return 0;
}

static struct fact *find(const struct fact_pool *pool, const struct fact_view *view)
{
    struct fact *fact = *bucket_of(pool, view->mix);
    while (fact && !bytes_equal(fact->view.raw, view->raw))
        fact = fact->next;
    return fact;
}

int fact_pool_admit(struct fact_pool *pool, const struct fact_view *view, struct fact **ret)
{
    struct fact *known = find(pool, view);
    if (known) {
        *ret = fact_retain(known);
        return 0;
    }
    struct bytes message = {view->raw.data, view->raw.size - SIGNATURE_BYTES};
    if (!identity_verify(&view->signer, purpose, message, view->raw.data + message.size))
        return -EBADMSG;
    return insert(pool, view->raw, ret);
}

int fact_sign(struct fact_pool *pool, const struct identity *identity, const struct fact_view *view,
              struct fact **ret)
{
    cleanup_buffer struct buffer buffer;
    uint8_t signature[SIGNATURE_BYTES];
    struct fact_view parsed;

    buffer_init(&buffer);
    int rc = encode(&identity->id, view, &buffer);
    if (rc < 0)
        return rc;
    identity_sign(identity, purpose, buffer_view(&buffer), signature);
    rc = buffer_append(&buffer, signature, sizeof(signature));
    if (rc < 0)
        return rc;
    rc = fact_parse(buffer_view(&buffer), &parsed);
    assert(rc == 0);
    struct fact *known = find(pool, &parsed); /* the same words give the same signature */
    if (known) {
        *ret = fact_retain(known);
        return 0;
    }
    return insert(pool, parsed.raw, ret);
}

struct fact *fact_retain(struct fact *fact)
{
    fact->references++;
    return fact;
}

void fact_release(struct fact_pool *pool, struct fact *fact)
{
    if (!fact || --fact->references > 0)
        return;
    struct fact **link = bucket_of(pool, fact->view.mix);
    while (*link != fact)
        link = &(*link)->next;
    *link = fact->next;
    pool->count--;
    free(fact);
}
