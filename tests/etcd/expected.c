#include "tests/etcd/expected.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/etcd/configuration.h"

enum section {
    SECTION_NONE,
    SECTION_ENTRIES,
    SECTION_COMMITTED,
};

struct reading {
    struct expected *expected;
    uint64_t node;
    bool receiving;
    bool is_terse;
    enum section section;
};

static struct expected_node *node_of(struct expected *expected, uint64_t number)
{
    return number >= 1 && number <= CLUSTER_NODES_MAX ? &expected->nodes[number - 1] : NULL;
}

static void set_configuration(struct expected_node *node, const char *text)
{
    free(node->configuration);
    node->configuration = text ? strdup(text) : NULL;
    if (text && !node->configuration)
        abort();
}

void expected_start(struct expected *expected, uint64_t number, const struct node_options *options)
{
    struct expected_node *node = node_of(expected, number);
    cleanup_buffer struct buffer text;
    buffer_init(&text);
    if (!node)
        return;
    node->hard_state_known = node->soft_state_known = node->log_known = true;
    node->state = (struct shown_state){.commit = options->index, .role = RAFT_FOLLOWER};
    node->log.base = options->index;
    text_of_configuration(&options->configuration, &text);
    set_configuration(node, text_of(&text));
}

static void forget(struct expected_node *node)
{
    node->hard_state_known = node->soft_state_known = node->log_known = false;
    shown_log_clear(&node->log, 0);
    set_configuration(node, NULL);
}

void expected_done(struct expected *expected)
{
    for (size_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        forget(&expected->nodes[i]);
        lines_clear(&expected->nodes[i].applied);
        lines_clear(&expected->nodes[i].refused);
    }
}

bool expected_role(const char *name, enum raft_role *ret)
{
    static const char *const names[] = {
        [RAFT_FOLLOWER] = "StateFollower",
        [RAFT_PRE_CANDIDATE] = "StatePreCandidate",
        [RAFT_CANDIDATE] = "StateCandidate",
        [RAFT_LEADER] = "StateLeader",
    };
    for (size_t i = 0; i < array_count(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum raft_role)i;
            return true;
        }
    }
    return false;
}

bool expected_entry(const char *line, struct lines *ret)
{
    static const char change[] = "EntryConfChange";
    unsigned long long term, index;
    int size = 0;
    if (sscanf(line, "%llu/%llu Entry%n", &term, &index, &size) != 2 || size == 0)
        return false;
    const char *type = strchr(line, 'E');
    if (strncmp(type, change, strlen(change)) != 0) {
        lines_add(ret, line, strlen(line));
        return true;
    }
    type += strlen(change);
    type += strncmp(type, "V2", 2) == 0 ? 2 : 0;
    cleanup_buffer struct buffer text;
    struct raft_changes changes;
    buffer_init(&text);
    if (!changes_of_text(type, &changes))
        return false;
    if (changes.count > 0)
        append_text(&text, " ");
    text_of_changes(&changes, &text);
    lines_addf(ret, "%llu/%llu %s%s", term, index, change, text_of(&text));
    return true;
}

static void take_entry(struct reading *reading, struct expected_node *node, const char *line)
{
    unsigned long long term, index;
    if (sscanf(line, "%llu/%llu Entry", &term, &index) != 2)
        return;
    if (reading->section == SECTION_COMMITTED) {
        expected_entry(line, &node->applied);
        if (reading->is_terse && strstr(line, "EntryConfChange"))
            set_configuration(node, NULL);
        return;
    }
    if (!node->log_known)
        shown_log_clear(&node->log, index - 1);
    node->log_known = true;
    shown_log_truncate(&node->log, index);
    expected_entry(line, &node->log.entries);
}

static void take_hard_state(struct expected_node *node, const char *line)
{
    unsigned long long term = 0, vote = 0, commit = 0;
    const char *at;
    if ((at = strstr(line, "Term:")))
        term = strtoull(at + strlen("Term:"), NULL, 10);
    if ((at = strstr(line, "Vote:")))
        vote = strtoull(at + strlen("Vote:"), NULL, 10);
    if ((at = strstr(line, "Commit:")))
        commit = strtoull(at + strlen("Commit:"), NULL, 10);
    node->hard_state_known = true;
    node->state.term = term;
    node->state.vote = vote;
    node->state.commit = commit;
}

/* What a Ready says of its node. */
static void take_ready(struct reading *reading, struct expected_node *node, const char *line)
{
    unsigned long long number;
    char role[32];
    if (sscanf(line, "Lead:%llu State:%31s", &number, role) == 2) {
        node->soft_state_known = expected_role(role, &node->state.role);
        node->state.lead = number;
    } else if (strncmp(line, "HardState ", strlen("HardState ")) == 0) {
        take_hard_state(node, line);
    } else if (sscanf(line, "Snapshot Index:%llu", &number) == 1) {
        shown_log_clear(&node->log, number);
        node->log_known = true;
    } else if (reading->section != SECTION_NONE) {
        take_entry(reading, node, line);
    }
}

static bool take_header(struct reading *reading, const char *line)
{
    unsigned long long number;
    char word[32];
    if (sscanf(line, "> %llu %31s", &number, word) == 2) {
        reading->node = number;
        reading->receiving = strcmp(word, "receiving") == 0;
        reading->section = SECTION_NONE;
    } else if (strcmp(line, "Entries:") == 0) {
        reading->section = SECTION_ENTRIES;
    } else if (strcmp(line, "CommittedEntries:") == 0) {
        reading->section = SECTION_COMMITTED;
    } else if (strcmp(line, "Messages:") == 0 || strcmp(line, "Processing:") == 0 ||
               strcmp(line, "Responses:") == 0 || strncmp(line, "Ready ", strlen("Ready ")) == 0) {
        reading->section = SECTION_NONE;
    } else {
        return false;
    }
    return true;
}

static void take_line(struct reading *reading, const char *line)
{
    unsigned long long from, to, term;
    int size = 0;
    char type[32];
    line += strspn(line, " ");
    if (take_header(reading, line))
        return;
    if (sscanf(line, "INFO %llu switched to configuration %n", &from, &size) == 1 && size > 0) {
        if (node_of(reading->expected, from))
            set_configuration(node_of(reading->expected, from), line + size);
        return;
    }
    struct expected_node *node = node_of(reading->expected, reading->node);
    if (reading->receiving) {
        if (strstr(line, " Rejected") &&
            sscanf(line, "%llu->%llu %31s Term:%llu", &from, &to, type, &term) == 4 &&
            node_of(reading->expected, to))
            lines_addf(&node_of(reading->expected, to)->refused, "%llu->%llu %s Term:%llu", from,
                       to, type, term);
        return;
    }
    if (node)
        take_ready(reading, node, line);
}

void expected_read(struct expected *expected, const struct directive *directive, bool is_quiet,
                   bool is_terse)
{
    expected->directive_is_quiet = is_quiet;
    for (size_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        lines_clear(&expected->nodes[i].applied);
        lines_clear(&expected->nodes[i].refused);
        if (is_quiet)
            forget(&expected->nodes[i]);
    }
    struct numbers arguments = directive_arguments(directive);
    struct reading reading = {
        .expected = expected,
        .node = arguments.count > 0 ? arguments.items[0] : 0,
        .receiving = strcmp(directive_name(directive), "deliver-msgs") == 0,
        .is_terse = is_terse,
    };
    for (size_t i = 0; i < directive->output.count; i++)
        take_line(&reading, directive->output.items[i]);
}
