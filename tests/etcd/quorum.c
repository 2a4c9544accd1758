/* Scripts of quorums: `committed` (how far is the log held by a quorum?) and `vote`. */
#include <stdlib.h>
#include <string.h>

#include "tests/etcd/configuration.h"
#include "tests/etcd/run.h"

/* The members of both halves; what the n-th of those listed says belongs to `order[n]`. */
struct quorum {
    struct raft_configuration configuration;
    uint32_t order[RAFT_MEMBERS_MAX];
    size_t count;
};

static void add_half(struct quorum *quorum, const struct numbers *numbers, enum raft_part part)
{
    for (size_t i = 0; i < numbers->count && quorum->configuration.count < RAFT_MEMBERS_MAX; i++) {
        struct id id = id_of_number(numbers->items[i]);
        struct raft_configuration *configuration = &quorum->configuration;
        uint32_t at = 0;
        while (at < configuration->count && !id_equal(&configuration->members[at].id, &id))
            at++;
        if (at == configuration->count) {
            configuration->members[configuration->count++].id = id;
            quorum->order[quorum->count++] = at;
        }
        configuration->members[at].parts |= (uint8_t)part;
    }
}

static struct quorum quorum_of(const struct directive *directive)
{
    struct quorum quorum = {0};
    const char *incoming = directive_option(directive, "cfg");
    const char *outgoing = directive_option(directive, "cfgj");
    struct numbers numbers = numbers_of(incoming ? incoming : "");
    add_half(&quorum, &numbers, RAFT_VOTER);
    numbers = numbers_of(outgoing && strcmp(outgoing, "zero") != 0 ? outgoing : "");
    add_half(&quorum, &numbers, RAFT_OUTGOING);
    return quorum;
}

static void say_committed(const struct directive *directive, struct buffer *ret)
{
    struct quorum quorum = quorum_of(directive);
    const char *indexes = directive_option(directive, "idx");
    struct numbers numbers = numbers_of(indexes ? indexes : "");
    uint64_t held[RAFT_MEMBERS_MAX] = {0};
    for (size_t i = 0; i < numbers.count && i < quorum.count; i++)
        held[quorum.order[i]] = numbers.items[i];
    uint64_t index = raft_configuration_committed(&quorum.configuration, held);
    if (index == UINT64_MAX)
        append_text(ret, "∞");
    else
        append_text(ret, "%llu", (unsigned long long)index);
}

static void say_vote(const struct directive *directive, struct buffer *ret)
{
    static const char *const results[] = {
        [RAFT_VOTE_PENDING] = "VotePending",
        [RAFT_VOTE_WON] = "VoteWon",
        [RAFT_VOTE_LOST] = "VoteLost",
    };
    struct quorum quorum = quorum_of(directive);
    const char *said = directive_option(directive, "votes");
    int8_t votes[RAFT_MEMBERS_MAX] = {0};
    size_t count = 0;
    for (; said && *said && count < quorum.count; said++)
        if (strchr("yn_", *said))
            votes[quorum.order[count++]] = *said == 'y' ? 1 : *said == 'n' ? -1 : 0;
    append_text(ret, "%s", results[raft_configuration_vote(&quorum.configuration, votes)]);
}

enum outcome run_quorum(struct script *script, struct buffer *ret_why)
{
    struct directive directive;
    enum outcome outcome = OUTCOME_SAME;
    while (outcome == OUTCOME_SAME && script_next(script, &directive)) {
        cleanup_buffer struct buffer found;
        buffer_init(&found);
        const struct lines *output = &directive.output;
        const char *expected = output->count > 0 ? output->items[output->count - 1] : "";
        const char *sign = strstr(expected, "∞");
        if (strcmp(directive_name(&directive), "committed") == 0)
            say_committed(&directive, &found);
        else if (strcmp(directive_name(&directive), "vote") == 0)
            say_vote(&directive, &found);
        else
            append_text(&found, "no such directive");
        if (strcmp(text_of(&found), sign ? sign : expected) != 0)
            outcome = differs(script, &directive, "the result", expected, text_of(&found), ret_why);
        directive_done(&directive);
    }
    return outcome;
}
