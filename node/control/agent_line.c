/* Who may say what Raft's voters and leaders say, as far as this peer can know.
 *
 * Raft itself takes requests from anybody, since a sender may vote in a configuration that this
 * peer has not heard of yet. Here that takes a proof: a peer that does not know the sender as a
 * voter asks it for its line, the sealed changes by which it came to vote
 * (node/control/succession.h), the last of them perhaps not committed yet. The feed can't tell it:
 * it may be this very peer's vote that is needed for anybody to lead.
 */
#include <errno.h>
#include <stdlib.h>

#include "node/control/agent_private.h"

enum {
    PENDING_MAX = 4, /* a leader proposes a change only once the one before is applied */
    LINE_COUNT_MAX = INTENT_SUCCESSIONS_MAX + PENDING_MAX,
};

/* Goes through the changes in this peer's own log that its intent does not have yet. */
static size_t pending_changes(const struct agent *agent, struct intent_succession ret[PENDING_MAX],
                              struct raft_configuration *ret_latest)
{
    size_t count = 0;
    uint64_t from = agent->intent->configuration_index;
    struct raft_configuration latest = agent->intent->configuration;
    for (uint64_t i = agent->intent->applied_index + 1; i <= agent->raft_status.last_index; i++) {
        const struct raft_entry *entry = raft_entry_at(agent->raft, i);
        struct raft_changes changes;
        if (!entry || entry->type != RAFT_ENTRY_CONFIGURATION ||
            raft_changes_decode(entry->data, &changes) < 0 ||
            raft_configuration_change(&latest, &changes, &latest) < 0 || changes.count == 0)
            continue;
        if (count < PENDING_MAX)
            ret[count++] = (struct intent_succession){
                .from = from, .index = i, .configuration = latest, .seal = changes.seal};
        from = i;
    }
    *ret_latest = latest;
    return count;
}

bool agent_may_request(const struct agent *agent, const struct id *from)
{
    struct intent_succession pending[PENDING_MAX];
    struct raft_configuration latest;
    const struct intent_peer *peer = intent_peer_find(agent->intent, from);
    if (id_equal(from, &agent->raft_status.leader))
        return true; /* it may be leading those who come after it to where it does not vote */
    if (peer && peer->state == INTENT_REVOKED)
        return false;
    if (intent_is_voter(agent->intent, from))
        return true;
    pending_changes(agent, pending, &latest);
    return raft_configuration_votes(&latest, from) ||
           (agent->shown_index > agent->intent->configuration_index &&
            raft_configuration_votes(&agent->shown, from));
}

/* Says from where on it needs the changes. */
void agent_line_ask(struct agent *agent, const struct id *from)
{
    struct buffer *bytes = agent_add_send(agent, from, NULL, AGENT_LINE_ASK);
    struct writer writer;
    if (!bytes)
        return;
    writer_init(&writer, bytes);
    writer_u64(&writer, agent->intent->configuration_index);
    if (writer_check(&writer) < 0)
        agent->failed = true;
}

int agent_line_asked(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct intent_succession pending[PENDING_MAX];
    struct raft_configuration latest;
    struct reader reader;
    struct writer writer;
    uint64_t known = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_u64(&reader, &known);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    struct buffer *answer = agent_add_send(agent, from, NULL, AGENT_LINE);
    if (!answer)
        return -ENOMEM;
    const struct intent *intent = agent->intent;
    size_t first = 0, pending_count = pending_changes(agent, pending, &latest);
    while (first < intent->succession_count && intent->successions[first].index <= known)
        first++;
    writer_init(&writer, answer);
    writer_array(&writer, intent->succession_count - first + pending_count);
    for (size_t i = first; i < intent->succession_count; i++)
        intent_succession_write(&writer, &intent->successions[i]);
    for (size_t i = 0; i < pending_count; i++)
        intent_succession_write(&writer, &pending[i]);
    return writer_check(&writer);
}

static int read_line(struct bytes bytes, struct intent_succession **ret, size_t *ret_count)
{
    struct reader reader;
    uint32_t count = 0;
    reader_init(&reader, bytes.data, bytes.size);
    if (reader_array(&reader, &count) < 0 || count > LINE_COUNT_MAX)
        return -EBADMSG;
    struct intent_succession *line = calloc(count + 1, sizeof(*line));
    if (!line)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        intent_succession_read(&reader, &line[i]);
    int rc = reader_end(&reader);
    if (rc < 0) {
        free(line);
        return rc;
    }
    *ret = line;
    *ret_count = count;
    return 0;
}

/* A line that leads to nothing is nothing bad: the sender may be one who voted once, and knows no
 * better. */
int agent_line_told(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct raft_configuration shown;
    struct intent_succession *line;
    size_t count;
    uint64_t index;
    int rc = read_line(bytes, &line, &count);
    if (rc < 0)
        return rc;
    rc = succession_follow(agent->intent, line, count, &shown, &index);
    free(line);
    if (rc == -ESTALE)
        agent_add_event(agent, AGENT_FEED_TOO_FAR, from);
    if (rc == 0 && raft_configuration_votes(&shown, from)) {
        agent->shown = shown;
        agent->shown_index = index;
    }
    return rc == -ENOMEM ? rc : 0;
}
