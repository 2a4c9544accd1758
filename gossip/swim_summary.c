/* What differs at all: two peers compare hashes of what they know of all members, range of ids by
 * range, and go into those ranges in which the hashes differ. When all is the same, that costs some
 * hundred bytes, however many members there are.
 *
 * A hash is the sum of a keyed hash of each live member; the key is drawn for each summary, so that
 * nobody can make up what cancels out. The dead and those that left don't count, for peers forget
 * them at different times; who thinks that one of them lives has another hash, though.
 *
 * A small fleet's pings and their answers carry a short one of all members, with a key that
 * everybody knows: it only saves bytes while nothing differs.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

enum {
    FEW_MEMBERS = 64,    /* of so many, a digest is sent rather than a finer summary */
    SEPARATE_RANGES = 4, /* up to so many are gone into one by one */
};

static void put_u64(uint8_t *bytes, uint64_t value)
{
    for (size_t i = 0; i < sizeof(value); i++)
        bytes[i] = (uint8_t)(value >> 8 * (sizeof(value) - 1 - i));
}

static uint64_t hash_of_member(const struct member *member, uint64_t salt)
{
    uint8_t key[crypto_shorthash_KEYBYTES] = {0}, hash[crypto_shorthash_BYTES];
    uint8_t said[ID_BYTES + 2 * sizeof(uint64_t) + 2];
    struct digest_entry entry = sync_digest_of(member);
    uint64_t sum = 0;

    put_u64(key, salt);
    memcpy(said, entry.id.bytes, ID_BYTES);
    put_u64(said + ID_BYTES, entry.incarnation);
    put_u64(said + ID_BYTES + sizeof(uint64_t), entry.version);
    said[sizeof(said) - 2] = entry.accusers;
    said[sizeof(said) - 1] = records_are_complete(member);
    crypto_shorthash(hash, said, sizeof(said), key);
    for (size_t i = 0; i < sizeof(sum); i++)
        sum = sum << 8 | hash[i];
    return sum;
}

uint32_t view_hash(const struct swim *swim)
{
    uint64_t hash = 0;
    if (swim->live_count > SWIM_VIEW_MEMBERS_MAX)
        return 0;
    for (size_t i = 0; i < swim->members.count; i++)
        if (member_is_live(member_at(swim, i)))
            hash += hash_of_member(member_at(swim, i), 0);
    uint32_t folded = (uint32_t)(hash ^ hash >> 32);
    return folded == 0 ? 1 : folded;
}

/* What we know of the members from that index on up to `through`; moves the index on. */
static uint64_t hash_through(const struct swim *swim, size_t *index, const struct id *through,
                             uint64_t salt)
{
    uint64_t hash = 0;
    for (; *index < swim->members.count; (*index)++) {
        const struct member *member = member_at(swim, *index);
        if (id_compare(member_id(member), through) > 0)
            break;
        if (member_is_live(member))
            hash += hash_of_member(member, salt);
    }
    return hash;
}

/* How many members there are in that range. */
static size_t count_in(const struct swim *swim, const struct id *after, const struct id *through)
{
    return sync_first_after(swim, through) - sync_first_after(swim, after);
}

void summary_send(struct swim *swim, const struct id *to, const struct address *address,
                  const struct id *after, const struct id *through, size_t parts)
{
    struct sync_range ranges[SWIM_SYNC_RANGES_MAX];
    size_t index = sync_first_after(swim, after), first = index;
    size_t members = count_in(swim, after, through);
    size_t count = members < parts ? 1 : parts;
    uint64_t salt = random_u64(&swim->random);

    for (size_t i = 0; i < count; i++) {
        ranges[i].after = i == 0 ? *after : ranges[i - 1].through;
        ranges[i].through =
            i + 1 == count ? *through
                           : *member_id(member_at(swim, first + members * (i + 1) / count - 1));
        ranges[i].hash = hash_through(swim, &index, &ranges[i].through, salt);
    }
    swim->sync_summaries--;
    swim->sync_wants++;
    size_t start = swim_message_begin(swim);
    int rc = sync_write_summary(salt, ranges, count, &swim->pending.arena);
    swim_message_end(swim, start, rc, to, address, SWIM_CHANNEL_STREAM);
}

void summary_receive(struct swim *swim, const struct swim_input *input,
                     struct sync_message *message)
{
    struct sync_range wanted[SWIM_SYNC_RANGES_MAX], range;
    size_t count = 0, index = sync_first_after(swim, &message->after);
    while (sync_next_range(message, &range))
        if (hash_through(swim, &index, &range.through, message->salt) != range.hash)
            wanted[count++] = range;
    if (count == 0)
        return;
    size_t start = swim_message_begin(swim);
    int rc = sync_write_want(wanted, count, &swim->pending.arena);
    swim_message_end(swim, start, rc, &input->from, &input->source, SWIM_CHANNEL_STREAM);
}

static void send_digest(struct swim *swim, const struct swim_input *input,
                        const struct sync_range *range)
{
    struct id end =
        sync_send_digest(swim, &input->from, &input->source, true, &range->after, &range->through);
    if (!id_equal(&end, &range->through))
        swim->sync_cut = true;
}

/* Where little differs, we go into that; where much does, one digest of it all is less. */
void want_receive(struct swim *swim, const struct swim_input *input, struct sync_message *message)
{
    struct sync_range ranges[SWIM_SYNC_RANGES_MAX];
    size_t count = 0;
    if (id_is_none(&swim->sync_peer)) /* it was asked as whoever answers at an address */
        swim->sync_peer = input->from;
    if (!id_equal(&input->from, &swim->sync_peer) || swim->sync_wants == 0)
        return;
    swim->sync_wants--;
    while (sync_next_range(message, &ranges[count]))
        count++;
    if (count > SEPARATE_RANGES) {
        ranges[0].through = ranges[count - 1].through;
        send_digest(swim, input, &ranges[0]);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct sync_range *range = &ranges[i];
        if (count_in(swim, &range->after, &range->through) <= FEW_MEMBERS ||
            swim->sync_summaries == 0)
            send_digest(swim, input, range);
        else
            summary_send(swim, &input->from, &input->source, &range->after, &range->through,
                         SWIM_SYNC_RANGES_MAX);
    }
}
