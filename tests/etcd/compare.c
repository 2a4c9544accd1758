#include "tests/etcd/compare.h"

#include <stdlib.h>
#include <string.h>

#include "tests/etcd/configuration.h"

static const char *role_name(enum raft_role role)
{
    static const char *const names[] = {"StateFollower", "StatePreCandidate", "StateCandidate",
                                        "StateLeader"};
    return names[role];
}

static enum outcome check(const struct comparison *comparison, const struct node *node,
                          const char *what, const char *expected, const char *found)
{
    if (strcmp(expected, found) == 0)
        return OUTCOME_SAME;
    cleanup_buffer struct buffer whose;
    buffer_init(&whose);
    append_text(&whose, "%s of node %llu", what, (unsigned long long)node->number);
    return differs(comparison->script, comparison->directive, text_of(&whose), expected, found,
                   comparison->why);
}

static void show_hard_state(const struct shown_state *state, struct buffer *ret)
{
    append_text(ret, "Term:%llu Vote:%llu Commit:%llu", (unsigned long long)state->term,
                (unsigned long long)state->vote, (unsigned long long)state->commit);
}

static void show_soft_state(const struct shown_state *state, struct buffer *ret)
{
    append_text(ret, "Lead:%llu State:%s", (unsigned long long)state->lead, role_name(state->role));
}

static void show_lines(const struct lines *lines, size_t from, struct buffer *ret)
{
    append_text(ret, "[");
    for (size_t i = from; i < lines->count; i++)
        append_text(ret, "%s%s", i > from ? ", " : "", lines->items[i]);
    append_text(ret, "]");
}

/* Both logs from the first index on that both know of. */
static void show_log(const struct shown_log *log, uint64_t base, struct buffer *ret)
{
    append_text(ret, "up to %llu ", (unsigned long long)(log->base + log->entries.count));
    show_lines(&log->entries, base > log->base ? (size_t)(base - log->base) : 0, ret);
}

static enum outcome check_lines(const struct comparison *comparison, const struct node *node,
                                const char *what, const struct lines *expected,
                                const struct lines *found)
{
    cleanup_buffer struct buffer there, here;
    buffer_init(&there);
    buffer_init(&here);
    show_lines(expected, 0, &there);
    show_lines(found, 0, &here);
    return check(comparison, node, what, text_of(&there), text_of(&here));
}

static enum outcome check_log(const struct comparison *comparison, const struct node *node,
                              const struct shown_log *expected, const struct shown_log *found)
{
    cleanup_buffer struct buffer there, here;
    uint64_t base = expected->base > found->base ? expected->base : found->base;
    buffer_init(&there);
    buffer_init(&here);
    show_log(expected, base, &there);
    show_log(found, base, &here);
    return check(comparison, node, "the log", text_of(&there), text_of(&here));
}

static enum outcome check_configuration(const struct comparison *comparison,
                                        const struct node *node, const char *expected)
{
    cleanup_buffer struct buffer here;
    buffer_init(&here);
    text_of_configuration(raft_configuration(node->raft), &here);
    return check(comparison, node, "the configuration", expected, text_of(&here));
}

static enum outcome check_state(const struct comparison *comparison, const struct node *node,
                                const struct expected_node *expected)
{
    cleanup_buffer struct buffer there, here;
    buffer_init(&there);
    buffer_init(&here);
    if (expected->hard_state_known) {
        show_hard_state(&expected->state, &there);
        show_hard_state(&node->handed_state, &here);
    }
    if (expected->soft_state_known) {
        append_text(&there, " ");
        append_text(&here, " ");
        show_soft_state(&expected->state, &there);
        show_soft_state(&node->handed_state, &here);
    }
    return check(comparison, node, "the state", text_of(&there), text_of(&here));
}

static enum outcome check_node(const struct comparison *comparison, const struct node *node)
{
    const struct expected_node *expected = &comparison->expected->nodes[node->number - 1];
    enum outcome outcome = OUTCOME_SAME;
    if (!comparison->expected->directive_is_quiet)
        outcome =
            check_lines(comparison, node, "what is refused", &expected->refused, &node->refused);
    if (outcome == OUTCOME_SAME)
        outcome = check_state(comparison, node, expected);
    if (outcome == OUTCOME_SAME && expected->log_known)
        outcome = check_log(comparison, node, &expected->log, &node->handed);
    if (outcome == OUTCOME_SAME && !comparison->expected->directive_is_quiet)
        outcome =
            check_lines(comparison, node, "what is applied", &expected->applied, &node->applied);
    if (outcome == OUTCOME_SAME && expected->configuration)
        outcome = check_configuration(comparison, node, expected->configuration);
    return outcome;
}

/* `raft-state`: all nodes, as they are this moment. */
static enum outcome compare_states(const struct comparison *comparison)
{
    struct lines found = {0};
    for (size_t i = 0; i < comparison->cluster->count; i++) {
        const struct node *node = &comparison->cluster->nodes[i];
        struct shown_state state = node_state(node);
        struct id id = id_of_number(node->number);
        bool votes = raft_configuration_votes(raft_configuration(node->raft), &id);
        lines_addf(&found, "%llu: %s (%s) Term:%llu Lead:%llu", (unsigned long long)node->number,
                   role_name(state.role), votes ? "Voter" : "Non-Voter",
                   (unsigned long long)state.term, (unsigned long long)state.lead);
    }
    enum outcome outcome = OUTCOME_SAME;
    const struct lines *output = &comparison->directive->output;
    for (size_t i = 0; i < found.count && outcome == OUTCOME_SAME; i++)
        outcome = check(comparison, &comparison->cluster->nodes[i], "the state",
                        i < output->count ? output->items[i] : "nothing", found.items[i]);
    lines_clear(&found);
    return outcome;
}

/* `raft-log`: what is on that node's disk. */
static enum outcome compare_disk(const struct comparison *comparison)
{
    struct numbers arguments = directive_arguments(comparison->directive);
    struct node *node =
        cluster_node(comparison->cluster, arguments.count > 0 ? arguments.items[0] : 0);
    const struct lines *output = &comparison->directive->output;
    struct shown_log expected = {0};
    unsigned long long first = 0, last;
    if (!node || output->count == 0)
        return OUTCOME_SAME;
    if (sscanf(output->items[0], "log is empty: first index=%llu, last index=%llu", &first,
               &last) == 2)
        expected.base = last;
    else if (sscanf(output->items[0], "%llu/%llu ", &last, &first) == 2)
        expected.base = first - 1;
    for (size_t i = 0; i < output->count; i++)
        expected_entry(output->items[i], &expected.entries);
    enum outcome outcome = check_log(comparison, node, &expected, &node->disk);
    shown_log_clear(&expected, 0);
    return outcome;
}

/* The words of etcd's progress that are compared: its state, what is held, whether it takes part.
 */
static void show_progress(uint64_t number, const char *state, uint64_t match, bool is_learner,
                          bool is_inactive, struct lines *ret)
{
    lines_addf(ret, "%llu: %s match=%llu%s%s", (unsigned long long)number, state,
               (unsigned long long)match, is_learner ? " learner" : "",
               is_inactive ? " inactive" : "");
}

static void find_progress(const struct node *node, struct lines *ret)
{
    static const char *const states[] = {
        [RAFT_PROBE] = "StateProbe",
        [RAFT_REPLICATE] = "StateReplicate",
        [RAFT_INSTALL] = "StateSnapshot",
    };
    const struct raft_configuration *configuration = raft_configuration(node->raft);
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct raft_member *member = &configuration->members[i];
        struct raft_progress_status progress;
        if (raft_progress_of(node->raft, &member->id, &progress) == 0)
            show_progress(number_of_id(&member->id), states[progress.state], progress.match,
                          member->parts & RAFT_LEARNER, !progress.recently_active, ret);
    }
}

/* `status`: what a leader knows of the others. */
static enum outcome compare_progress(const struct comparison *comparison)
{
    struct numbers arguments = directive_arguments(comparison->directive);
    struct node *node =
        cluster_node(comparison->cluster, arguments.count > 0 ? arguments.items[0] : 0);
    const struct lines *output = &comparison->directive->output;
    struct lines expected = {0}, found = {0};
    if (!node)
        return OUTCOME_SAME;
    for (size_t i = 0; i < output->count; i++) {
        unsigned long long number, match;
        char state[32];
        const char *line = output->items[i];
        if (sscanf(line, "%llu: %31s match=%llu", &number, state, &match) == 3)
            show_progress(number, state, match, strstr(line, " learner") != NULL,
                          strstr(line, " inactive") != NULL, &expected);
    }
    find_progress(node, &found);
    enum outcome outcome = check_lines(comparison, node, "the progress", &expected, &found);
    lines_clear(&expected);
    lines_clear(&found);
    return outcome;
}

static enum outcome compare_dropped(const struct comparison *comparison)
{
    bool dropped_there = false;
    const struct lines *output = &comparison->directive->output;
    for (size_t i = 0; i < output->count; i++)
        dropped_there = dropped_there || strstr(output->items[i], "proposal dropped");
    if (dropped_there == comparison->dropped)
        return OUTCOME_SAME;
    return differs(comparison->script, comparison->directive, "the proposal",
                   dropped_there ? "dropped" : "taken", comparison->dropped ? "dropped" : "taken",
                   comparison->why);
}

enum outcome compare(const struct comparison *comparison)
{
    const char *name = directive_name(comparison->directive);
    enum outcome outcome = OUTCOME_SAME;
    if (strcmp(name, "raft-state") == 0)
        outcome = compare_states(comparison);
    else if (strcmp(name, "raft-log") == 0)
        outcome = compare_disk(comparison);
    else if (strcmp(name, "status") == 0)
        outcome = compare_progress(comparison);
    else if (strncmp(name, "propose", strlen("propose")) == 0)
        outcome = compare_dropped(comparison);
    for (size_t i = 0; i < comparison->cluster->count && outcome == OUTCOME_SAME; i++)
        outcome = check_node(comparison, &comparison->cluster->nodes[i]);
    return outcome;
}
