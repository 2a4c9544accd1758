#include "tests/etcd/configuration.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct id id_of_number(uint64_t number)
{
    struct id id = {0};
    for (size_t i = 0; i < sizeof(number); i++)
        id.bytes[ID_BYTES - 1 - i] = (uint8_t)(number >> (8 * i));
    return id;
}

uint64_t number_of_id(const struct id *id)
{
    uint64_t number = 0;
    for (size_t i = ID_BYTES - sizeof(number); i < ID_BYTES; i++)
        number = number << 8 | id->bytes[i];
    return number;
}

void append_text(struct buffer *buffer, const char *format, ...)
{
    cleanup_free char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0 || buffer_append_text(buffer, text) < 0)
        abort();
}

const char *text_of(struct buffer *buffer)
{
    if (buffer_reserve(buffer, 1) < 0)
        abort();
    buffer->bytes[buffer->size] = '\0';
    return (const char *)buffer->bytes;
}

bool changes_of_text(const char *text, struct raft_changes *ret)
{
    *ret = (struct raft_changes){.transition = RAFT_TRANSITION_AUTO};
    while (text[strspn(text, " ")]) {
        static const char letters[RAFT_CHANGE_TYPES] = {'v', 'l', 'r'};
        text += strspn(text, " ");
        char letter = *text++;
        const char *type = memchr(letters, letter, sizeof(letters));
        if ((!type && letter != 'u') || !isdigit((unsigned char)*text))
            return false;
        char *end;
        struct id id = id_of_number(strtoull(text, &end, 10));
        text = end;
        if (!type)
            continue;
        if (ret->count == RAFT_MEMBERS_MAX)
            return false;
        ret->members[ret->count++] =
            (struct raft_change){(enum raft_change_type)(type - letters), id};
    }
    return true;
}

void text_of_changes(const struct raft_changes *changes, struct buffer *ret)
{
    for (uint32_t i = 0; i < changes->count; i++)
        append_text(ret, "%s%c%llu", i > 0 ? " " : "", "vlr"[changes->members[i].type],
                    (unsigned long long)number_of_id(&changes->members[i].id));
}

static void add_members(struct raft_configuration *configuration, const struct numbers *numbers,
                        enum raft_part part)
{
    for (size_t i = 0; i < numbers->count && configuration->count < RAFT_MEMBERS_MAX; i++) {
        struct id id = id_of_number(numbers->items[i]);
        uint32_t at = configuration->count++;
        for (; at > 0 && id_compare(&configuration->members[at - 1].id, &id) > 0; at--)
            configuration->members[at] = configuration->members[at - 1];
        configuration->members[at] = (struct raft_member){id, (uint8_t)part};
    }
}

struct raft_configuration configuration_of(const struct numbers *voters,
                                           const struct numbers *learners)
{
    struct raft_configuration configuration = {0};
    add_members(&configuration, voters, RAFT_VOTER);
    add_members(&configuration, learners, RAFT_LEARNER);
    return configuration;
}

static void append_part(const struct raft_configuration *configuration, enum raft_part part,
                        const char *before, bool even_if_empty, struct buffer *ret)
{
    size_t count = 0;
    for (uint32_t i = 0; i < configuration->count; i++)
        if (configuration->members[i].parts & part)
            append_text(ret, "%s%llu", count++ == 0 ? before : " ",
                        (unsigned long long)number_of_id(&configuration->members[i].id));
    if (count > 0)
        append_text(ret, ")");
    else if (even_if_empty)
        append_text(ret, "%s)", before);
}

void text_of_configuration(const struct raft_configuration *configuration, struct buffer *ret)
{
    append_part(configuration, RAFT_VOTER, "voters=(", true, ret);
    append_part(configuration, RAFT_OUTGOING, "&&(", false, ret);
    append_part(configuration, RAFT_LEARNER, " learners=(", false, ret);
    append_part(configuration, RAFT_LEARNER_NEXT, " learners_next=(", false, ret);
    if (configuration->auto_leave)
        append_text(ret, " autoleave");
}
