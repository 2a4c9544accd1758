#include "consensus/raft_configuration.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* The position of `id`, or where it would have to be inserted. */
static uint32_t position(const struct raft_configuration *configuration, const struct id *id)
{
    uint32_t i = 0;
    while (i < configuration->count && id_compare(&configuration->members[i].id, id) < 0)
        i++;
    return i;
}

const struct raft_member *raft_configuration_find(const struct raft_configuration *configuration,
                                                  const struct id *id)
{
    uint32_t i = position(configuration, id);
    if (i == configuration->count || !id_equal(&configuration->members[i].id, id))
        return NULL;
    return &configuration->members[i];
}

static uint32_t count_parts(const struct raft_configuration *configuration, uint8_t parts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->count; i++)
        if (configuration->members[i].parts & parts)
            count++;
    return count;
}

bool raft_configuration_is_joint(const struct raft_configuration *configuration)
{
    return count_parts(configuration, RAFT_OUTGOING) > 0;
}

bool raft_configuration_votes(const struct raft_configuration *configuration, const struct id *id)
{
    const struct raft_member *member = raft_configuration_find(configuration, id);
    return member && (member->parts & (RAFT_VOTER | RAFT_OUTGOING));
}

bool raft_configuration_equal(const struct raft_configuration *a,
                              const struct raft_configuration *b)
{
    if (a->count != b->count || a->auto_leave != b->auto_leave)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!id_equal(&a->members[i].id, &b->members[i].id) ||
            a->members[i].parts != b->members[i].parts)
            return false;
    return true;
}

/* Gives `id` exactly these parts: inserts the member, or removes it if no part is left. */
static int set_parts(struct raft_configuration *configuration, const struct id *id, uint8_t parts)
{
    struct raft_member *members = configuration->members;
    uint32_t i = position(configuration, id);
    bool exists = i < configuration->count && id_equal(&members[i].id, id);
    if (exists && parts) {
        members[i].parts = parts;
    } else if (exists) {
        configuration->count--;
        memmove(members + i, members + i + 1, (configuration->count - i) * sizeof(*members));
    } else if (parts) {
        if (configuration->count == RAFT_MEMBERS_MAX)
            return -E2BIG;
        memmove(members + i + 1, members + i, (configuration->count - i) * sizeof(*members));
        members[i] = (struct raft_member){*id, parts};
        configuration->count++;
    }
    return 0;
}

static int change_one(struct raft_configuration *configuration, const struct raft_change *change)
{
    if (id_is_none(&change->id))
        return 0;
    const struct raft_member *member = raft_configuration_find(configuration, &change->id);
    uint8_t parts = member ? member->parts : 0;
    switch (change->type) {
    case RAFT_ADD_VOTER:
        parts = (parts & RAFT_OUTGOING) | RAFT_VOTER;
        break;
    case RAFT_ADD_LEARNER:
        /* Who still votes in the outgoing half must not be a learner at the same time. */
        parts = parts & RAFT_OUTGOING ? RAFT_OUTGOING | RAFT_LEARNER_NEXT : RAFT_LEARNER;
        break;
    default:
        parts &= RAFT_OUTGOING;
        break;
    }
    return set_parts(configuration, &change->id, parts);
}

static void leave_joint(struct raft_configuration *configuration)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        struct raft_member member = configuration->members[i];
        if (member.parts & RAFT_LEARNER_NEXT)
            member.parts |= RAFT_LEARNER;
        member.parts &= RAFT_VOTER | RAFT_LEARNER;
        if (member.parts)
            configuration->members[count++] = member;
    }
    configuration->count = count;
    configuration->auto_leave = false;
}

static int enter_joint(struct raft_configuration *configuration)
{
    if (count_parts(configuration, RAFT_VOTER) == 0)
        return -EINVAL;
    for (uint32_t i = 0; i < configuration->count; i++)
        if (configuration->members[i].parts & RAFT_VOTER)
            configuration->members[i].parts |= RAFT_OUTGOING;
    return 0;
}

/* How many voters are in one of the two and not in the other. */
static uint32_t voters_changed(const struct raft_configuration *a,
                               const struct raft_configuration *b)
{
    uint32_t common = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct raft_member *member = raft_configuration_find(b, &a->members[i].id);
        if (member && (a->members[i].parts & member->parts & RAFT_VOTER))
            common++;
    }
    return count_parts(a, RAFT_VOTER) + count_parts(b, RAFT_VOTER) - 2 * common;
}

int raft_configuration_change(const struct raft_configuration *before,
                              const struct raft_changes *changes, struct raft_configuration *ret)
{
    struct raft_configuration after = *before;
    bool was_joint = raft_configuration_is_joint(before);
    bool leaves = changes->count == 0 && changes->transition == RAFT_TRANSITION_AUTO;
    if (was_joint != leaves)
        return -EINVAL;
    if (leaves) {
        leave_joint(&after);
        *ret = after;
        return 0;
    }
    bool enters = changes->transition == RAFT_TRANSITION_JOINT ||
                  changes->transition == RAFT_TRANSITION_EXPLICIT ||
                  (changes->transition == RAFT_TRANSITION_AUTO && changes->count > 1);
    int rc = enters ? enter_joint(&after) : 0;
    for (uint32_t i = 0; i < changes->count && rc == 0; i++)
        rc = change_one(&after, &changes->members[i]);
    if (rc < 0)
        return rc;
    if (count_parts(&after, RAFT_VOTER) == 0)
        return -EINVAL;
    if (!enters && voters_changed(before, &after) > 1)
        return -EINVAL;
    after.auto_leave = enters && changes->transition != RAFT_TRANSITION_EXPLICIT;
    *ret = after;
    return 0;
}

void raft_configuration_settle(struct raft_configuration *configuration)
{
    if (raft_configuration_is_joint(configuration))
        leave_joint(configuration);
}

static uint64_t majority_committed(const struct raft_configuration *configuration, uint8_t part,
                                   const uint64_t held[])
{
    uint64_t sorted[RAFT_MEMBERS_MAX]; /* descending */
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        if (!(configuration->members[i].parts & part))
            continue;
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] < held[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = held[i];
    }
    return count == 0 ? UINT64_MAX : sorted[count / 2];
}

uint64_t raft_configuration_committed(const struct raft_configuration *configuration,
                                      const uint64_t held[])
{
    uint64_t incoming = majority_committed(configuration, RAFT_VOTER, held);
    uint64_t outgoing = majority_committed(configuration, RAFT_OUTGOING, held);
    return incoming < outgoing ? incoming : outgoing;
}

static enum raft_vote_result majority_vote(const struct raft_configuration *configuration,
                                           uint8_t part, const int8_t votes[])
{
    uint32_t voters = 0, yes = 0, no = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        if (!(configuration->members[i].parts & part))
            continue;
        voters++;
        yes += votes[i] > 0;
        no += votes[i] < 0;
    }
    uint32_t quorum = voters / 2 + 1;
    if (voters == 0 || yes >= quorum)
        return RAFT_VOTE_WON;
    return voters - no >= quorum ? RAFT_VOTE_PENDING : RAFT_VOTE_LOST;
}

enum raft_vote_result raft_configuration_vote(const struct raft_configuration *configuration,
                                              const int8_t votes[])
{
    enum raft_vote_result incoming = majority_vote(configuration, RAFT_VOTER, votes);
    enum raft_vote_result outgoing = majority_vote(configuration, RAFT_OUTGOING, votes);
    if (incoming == RAFT_VOTE_LOST || outgoing == RAFT_VOTE_LOST)
        return RAFT_VOTE_LOST;
    if (incoming == RAFT_VOTE_WON && outgoing == RAFT_VOTE_WON)
        return RAFT_VOTE_WON;
    return RAFT_VOTE_PENDING;
}

void raft_configuration_write(const struct raft_configuration *configuration, struct writer *writer)
{
    writer_array(writer, 2);
    writer_bool(writer, configuration->auto_leave);
    writer_array(writer, configuration->count);
    for (uint32_t i = 0; i < configuration->count; i++) {
        writer_array(writer, 2);
        writer_binary(writer, configuration->members[i].id.bytes, ID_BYTES);
        writer_u64(writer, configuration->members[i].parts);
    }
}

static bool parts_are_possible(uint8_t parts)
{
    switch (parts) {
    case RAFT_VOTER:
    case RAFT_OUTGOING:
    case RAFT_LEARNER:
    case RAFT_VOTER | RAFT_OUTGOING:
    case RAFT_OUTGOING | RAFT_LEARNER_NEXT:
        return true;
    default:
        return false;
    }
}

int raft_configuration_read(struct reader *reader, struct raft_configuration *ret)
{
    struct raft_configuration configuration = {0};
    reader_array_exact(reader, 2);
    reader_bool(reader, &configuration.auto_leave);
    reader_array(reader, &configuration.count);
    if (reader_check(reader) < 0 || configuration.count > RAFT_MEMBERS_MAX)
        return reader_refuse(reader);
    for (uint32_t i = 0; i < configuration.count; i++) {
        struct raft_member *member = &configuration.members[i];
        reader_array_exact(reader, 2);
        reader_fixed(reader, member->id.bytes, ID_BYTES);
        reader_u8(reader, &member->parts);
        if (reader_check(reader) < 0 || !parts_are_possible(member->parts) ||
            id_is_none(&member->id) || (i > 0 && id_compare(&member[-1].id, &member->id) >= 0))
            return reader_refuse(reader);
    }
    bool is_joint = raft_configuration_is_joint(&configuration);
    if ((configuration.count > 0 && count_parts(&configuration, RAFT_VOTER) == 0) ||
        (configuration.auto_leave && !is_joint))
        return reader_refuse(reader);
    *ret = configuration;
    return 0;
}

void raft_seal_write(const struct raft_seal *seal, struct writer *writer)
{
    if (id_is_none(&seal->signer)) {
        writer_nil(writer);
        return;
    }
    writer_array(writer, 2);
    writer_binary(writer, seal->signer.bytes, ID_BYTES);
    writer_binary(writer, seal->signature, sizeof(seal->signature));
}

int raft_seal_read(struct reader *reader, struct raft_seal *ret)
{
    struct raft_seal seal = {0};
    if (reader_peek(reader) == READER_NIL) {
        reader_nil(reader);
    } else {
        reader_array_exact(reader, 2);
        reader_fixed(reader, seal.signer.bytes, ID_BYTES);
        reader_fixed(reader, seal.signature, sizeof(seal.signature));
        if (reader_check(reader) == 0 && id_is_none(&seal.signer))
            reader_refuse(reader);
    }
    if (reader_check(reader) < 0)
        return -EBADMSG;
    *ret = seal;
    return 0;
}

void raft_changes_write(const struct raft_changes *changes, struct writer *writer)
{
    writer_array(writer, 3);
    writer_u64(writer, changes->transition);
    writer_array(writer, changes->count);
    for (uint32_t i = 0; i < changes->count; i++) {
        writer_array(writer, 2);
        writer_u64(writer, changes->members[i].type);
        writer_binary(writer, changes->members[i].id.bytes, ID_BYTES);
    }
    raft_seal_write(&changes->seal, writer);
}

int raft_changes_decode(struct bytes bytes, struct raft_changes *ret)
{
    struct raft_changes changes = {.transition = RAFT_TRANSITION_AUTO};
    if (bytes.size == 0) {
        *ret = changes;
        return 0;
    }
    struct reader reader;
    uint8_t transition = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 3);
    reader_u8(&reader, &transition);
    reader_array(&reader, &changes.count);
    if (reader_check(&reader) < 0 || changes.count > RAFT_MEMBERS_MAX ||
        transition >= RAFT_TRANSITIONS)
        return -EBADMSG;
    changes.transition = transition;
    for (uint32_t i = 0; i < changes.count; i++) {
        uint8_t type = 0;
        reader_array_exact(&reader, 2);
        reader_u8(&reader, &type);
        reader_fixed(&reader, changes.members[i].id.bytes, ID_BYTES);
        if (reader_check(&reader) < 0 || type >= RAFT_CHANGE_TYPES)
            return -EBADMSG;
        changes.members[i].type = type;
    }
    raft_seal_read(&reader, &changes.seal);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    *ret = changes;
    return 0;
}
