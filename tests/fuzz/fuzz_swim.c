/* SWIM: whatever an admitted peer sends, as bytes or as facts that are rightly signed but say
 * strange things, swim stays consistent: no crash, members in order, records in order, all in
 * bounds.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/reader.h"
#include "gossip/fact.h"
#include "gossip/identity.h"
#include "gossip/swim.h"
#include "gossip/swim_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PEERS = 4,       /* the first is the one that is fuzzed */
    STEP_BYTES = 16, /* of the input, for one step of a script */
    STEPS_MAX = 32,  /* signing is slow */
    KEYS = 8,
    GENERATIONS = 4,
};

enum mode {
    MODE_PACKET, /* the rest is one packet */
    MODE_STREAM, /* the rest is one sync message */
    MODE_SCRIPT, /* the rest tells which facts to sign and send */
    MODE_COUNT,
};

static struct identity identities[PEERS];

static void make_identities(void)
{
    if (!id_is_none(&identities[0].id))
        return;
    int rc = sodium_init();
    assert(rc >= 0);
    for (int i = 0; i < PEERS; i++) {
        uint8_t seed[IDENTITY_SEED_BYTES] = {(uint8_t)(i + 1)};
        identity_init(&identities[i], seed);
    }
}

static struct swim *make_swim(struct fact_pool *pool)
{
    struct swim_config config = swim_config_lan();
    struct swim *swim;
    config.self = identities[0].id;
    config.identity = &identities[0];
    config.generation = 1;
    config.seed = 1;
    config.advertised = address_from_v4(0x7f000001, 1);
    config.pool = pool;
    config.members_max = PEERS;
    config.records_per_owner_max = KEYS / 2;
    int rc = swim_new(&config, 0, &swim);
    assert(rc == 0);
    return swim;
}

static void check(const struct swim *swim)
{
    struct id previous = ID_NONE;
    assert(swim_member_count(swim) <= PEERS);
    for (size_t i = 0; i < swim_member_count(swim); i++) {
        const struct swim_member member = swim_member_at(swim, i);
        assert(id_compare(&previous, &member.id) < 0);
        assert(member.state != SWIM_SUSPECT || member.accusers > 0);
        previous = member.id;
        size_t records = 0;
        for (int table = 0; table < SWIM_TABLE_COUNT; table++) {
            struct swim_cursor cursor = swim_cursor_of(&member.id, (enum swim_table)table);
            struct swim_record record;
            while (swim_cursor_next(swim, &cursor, &record))
                records++;
        }
        assert(records <= KEYS / 2);
    }
}

static void take(struct swim *swim, int64_t now_ms, enum swim_input_type type, size_t from,
                 struct bytes bytes)
{
    struct swim_output output;
    struct swim_input input = {
        .now_ms = now_ms,
        .type = type,
        .from = identities[from].id,
        .source = address_from_v4(0x7f000001, (uint16_t)(from + 1 + now_ms % 3)),
        .bytes = bytes,
    };
    swim_output_init(&output);
    swim_step(swim, &input, &output);
    swim_output_done(&output);
    check(swim);
}

/* Signs what 16 bytes tell, and sends it as a packet or as a delta. */
static void play_step(struct swim *swim, struct fact_pool *pool, int64_t now_ms,
                      const uint8_t step[STEP_BYTES])
{
    const struct identity *signer = &identities[step[1] % PEERS];
    uint64_t version = (uint64_t)(step[2] % GENERATIONS) << 32 | step[3];
    struct fact_view view = {.version = version};
    char key = (char)('a' + step[4] % KEYS), value = (char)step[5];
    struct fact *fact;
    struct buffer buffer;

    switch (step[0] % 3) {
    case 0:
        view.kind = FACT_PRESENCE;
        view.presence.address = address_from_v4(0x7f000001, step[4]);
        view.presence.left = step[5] & 1;
        break;
    case 1:
        view.kind = FACT_ACCUSATION;
        view.accusation.accused = identities[step[4] % PEERS].id;
        break;
    case 2:
        if (step[3] == 0)
            return;
        view.kind = FACT_RECORD;
        view.record.key.table = step[6] % SWIM_TABLE_COUNT;
        view.record.key.key = (struct bytes){(const uint8_t *)&key, 1};
        view.record.withdrawn = step[7] & 1;
        if (!view.record.withdrawn)
            view.record.value = (struct bytes){(const uint8_t *)&value, 1};
        view.record.floor = version - step[8] % step[3];
        view.record.sum = step[9];
        break;
    }
    int rc = fact_sign(pool, signer, &view, &fact);
    assert(rc == 0);
    buffer_init(&buffer);
    if (step[10] & 1) {
        struct packet_draft draft;
        const struct address place = address_from_v4(0x7f000001, step[15]);
        packet_draft_init(&draft, step[11] & 1 ? PACKET_PING : PACKET_ACK, step[11], NULL,
                          SESSION_PAYLOAD_BYTES_MAX);
        packet_draft_place(&draft, &place);
        packet_draft_add(&draft, fact);
        rc = packet_write(&draft, &buffer);
    } else {
        rc = sync_write_delta(step[11] & 1, &fact, 1, &buffer);
    }
    assert(rc == 0);
    take(swim, now_ms, step[10] & 1 ? SWIM_PACKET : SWIM_STREAM, 1 + step[12] % (PEERS - 1),
         buffer_view(&buffer));
    buffer_done(&buffer);
    fact_release(pool, fact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fact_pool *pool;
    int64_t now_ms = 0;
    if (size == 0)
        return 0;
    make_identities();
    int rc = fact_pool_new(1, &pool);
    assert(rc == 0);
    struct swim *swim = make_swim(pool);
    enum mode mode = data[0] % MODE_COUNT;
    data++;
    size--;
    if (mode == MODE_SCRIPT) {
        for (size_t i = 0; i < STEPS_MAX && size >= STEP_BYTES; i++) {
            now_ms += (int64_t)data[13] * data[14];
            play_step(swim, pool, now_ms, data);
            data += STEP_BYTES;
            size -= STEP_BYTES;
        }
    } else {
        take(swim, now_ms, mode == MODE_PACKET ? SWIM_PACKET : SWIM_STREAM, 1,
             (struct bytes){data, size});
    }
    take(swim, now_ms + 1000, SWIM_TICK, 0, (struct bytes){NULL, 0});
    swim_free(swim);
    fact_pool_free(pool);
    return 0;
}
