/* Scripts of a whole cluster: each directive is carried out on nodes of Consort's core, and then
 * every node is compared with what etcd's library printed of its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/etcd/compare.h"
#include "tests/etcd/configuration.h"
#include "tests/etcd/run.h"

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_TERSE, /* warnings and errors */
    LOG_NONE,
};

struct interaction {
    struct script *script;
    struct cluster cluster;
    struct expected expected;
    enum log_level level;
    bool dropped; /* the last proposal */
};

/* What a directive came to: NULL if all is well, else what is wrong. */
typedef const char *(*act_function)(struct interaction *run, const struct directive *directive);

static struct node *first_node(struct interaction *run, const struct directive *directive)
{
    struct numbers arguments = directive_arguments(directive);
    return arguments.count > 0 ? cluster_node(&run->cluster, arguments.items[0]) : NULL;
}

static const char no_node[] = "there is no such node";

static const char *act_log_level(struct interaction *run, const struct directive *directive)
{
    const char *level = directive->words.count > 1 ? directive->words.items[1] : "";
    if (strcasecmp(level, "none") == 0)
        run->level = LOG_NONE;
    else if (strcasecmp(level, "debug") == 0)
        run->level = LOG_DEBUG;
    else if (strcasecmp(level, "info") == 0)
        run->level = LOG_INFO;
    else
        run->level = LOG_TERSE;
    return NULL;
}

static const char *act_add_nodes(struct interaction *run, const struct directive *directive)
{
    const char *voters = directive_option(directive, "voters");
    const char *learners = directive_option(directive, "learners");
    const char *read_only = directive_option(directive, "read-only");
    struct numbers count = directive_arguments(directive);
    struct numbers voting = numbers_of(voters ? voters : "");
    struct numbers learning = numbers_of(learners ? learners : "");
    struct node_options options = {
        .configuration = configuration_of(&voting, &learning),
        .index = directive_number(directive, "index", 0),
        .inflight = (uint32_t)directive_number(directive, "inflight", 0),
        .pre_vote = directive_flag(directive, "prevote", false),
        .check_quorum = directive_flag(directive, "checkquorum", false),
        .lead_when_removed = !directive_flag(directive, "step-down-on-removal", false),
        .read_by_lease = strcmp(read_only ? read_only : "", "lease-based") == 0,
        .is_async = directive_flag(directive, "async-storage-writes", false),
    };
    for (uint64_t i = 0; i < (count.count > 0 ? count.items[0] : 0); i++) {
        struct node *node = cluster_add(&run->cluster, &options);
        if (!node)
            return "the node can't be made";
        expected_start(&run->expected, node->number, &options);
    }
    return NULL;
}

static const char *act_campaign(struct interaction *run, const struct directive *directive)
{
    struct node *node = first_node(run, directive);
    if (!node)
        return no_node;
    node_step(node, (struct raft_input){.type = RAFT_CAMPAIGN});
    return NULL;
}

static const char *act_propose(struct interaction *run, const struct directive *directive)
{
    struct node *node = first_node(run, directive);
    if (!node)
        return no_node;
    const char *text = directive->words.count > 2 ? directive->words.items[2] : "";
    run->dropped =
        node_step(node, (struct raft_input){.type = RAFT_PROPOSE, .data = bytes_of_text(text)}) < 0;
    return NULL;
}

static enum raft_transition transition_of(const struct directive *directive)
{
    const char *name = directive_option(directive, "transition");
    if (name && strcmp(name, "implicit") == 0)
        return RAFT_TRANSITION_JOINT;
    if (name && strcmp(name, "explicit") == 0)
        return RAFT_TRANSITION_EXPLICIT;
    return RAFT_TRANSITION_AUTO;
}

static const char *act_propose_changes(struct interaction *run, const struct directive *directive)
{
    cleanup_buffer struct buffer text;
    struct raft_changes changes;
    struct node *node = first_node(run, directive);
    buffer_init(&text);
    if (!node)
        return no_node;
    for (size_t i = 0; i < directive->input.count; i++)
        append_text(&text, "%s ", directive->input.items[i]);
    if (!changes_of_text(text_of(&text), &changes))
        return "the changes make no sense";
    changes.transition = transition_of(directive);
    int rc = node_step(
        node, (struct raft_input){.type = RAFT_PROPOSE_CONFIGURATION, .changes = &changes});
    /* etcd puts an empty entry in place of a change that is not possible now; ours says so to who
     * proposes it, and that is what the caller makes of it here. */
    if (rc == -EBUSY || rc == -EINVAL)
        rc = node_step(node, (struct raft_input){.type = RAFT_PROPOSE});
    run->dropped = rc < 0;
    return NULL;
}

static const char *for_each(struct interaction *run, const struct directive *directive,
                            void (*act)(struct cluster *cluster, struct node *node))
{
    struct numbers arguments = directive_arguments(directive);
    for (size_t i = 0; i < arguments.count; i++) {
        struct node *node = cluster_node(&run->cluster, arguments.items[i]);
        if (!node)
            return no_node;
        act(&run->cluster, node);
    }
    return NULL;
}

static const char *act_process_ready(struct interaction *run, const struct directive *directive)
{
    return for_each(run, directive, node_handle_ready);
}

static void work_once(struct cluster *cluster, struct node *node)
{
    node_work(cluster, node);
}

static const char *act_append_thread(struct interaction *run, const struct directive *directive)
{
    return for_each(run, directive, work_once);
}

static const char *act_deliver(struct interaction *run, const struct directive *directive)
{
    const char *dropped = directive_option(directive, "drop");
    struct numbers arguments = directive_arguments(directive);
    struct numbers drop = numbers_of(dropped ? dropped : "");
    for (size_t i = 0; i < arguments.count; i++)
        cluster_deliver(&run->cluster, arguments.items[i], false);
    for (size_t i = 0; i < drop.count; i++)
        cluster_deliver(&run->cluster, drop.items[i], true);
    return NULL;
}

static const char *act_stabilize(struct interaction *run, const struct directive *directive)
{
    struct numbers arguments = directive_arguments(directive);
    return cluster_stabilize(&run->cluster, &arguments) ? NULL : "the nodes never come to rest";
}

static const char *act_tick_heartbeat(struct interaction *run, const struct directive *directive)
{
    struct node *node = first_node(run, directive);
    if (!node)
        return no_node;
    node_tick(node, 1);
    return NULL;
}

static const char *act_tick_election(struct interaction *run, const struct directive *directive)
{
    struct node *node = first_node(run, directive);
    if (!node)
        return no_node;
    node_tick(node, CLUSTER_ELECTION_TICKS);
    return NULL;
}

static const char *act_set_timeout(struct interaction *run, const struct directive *directive)
{
    struct node *node = first_node(run, directive);
    if (!node)
        return no_node;
    raft_set_election_timeout(node->raft, (int64_t)directive_number(directive, "timeout", 0));
    return NULL;
}

static const char *act_transfer(struct interaction *run, const struct directive *directive)
{
    struct node *node = cluster_node(&run->cluster, directive_number(directive, "from", 0));
    if (!node)
        return no_node;
    node_step(node, (struct raft_input){
                        .type = RAFT_TRANSFER,
                        .peer = id_of_number(directive_number(directive, "to", 0)),
                    });
    return NULL;
}

static const char *act_forget_leader(struct interaction *run, const struct directive *directive)
{
    struct node *node = first_node(run, directive);
    if (!node)
        return no_node;
    node_step(node, (struct raft_input){.type = RAFT_FORGET_LEADER});
    return NULL;
}

static const char *act_unreachable(struct interaction *run, const struct directive *directive)
{
    struct numbers arguments = directive_arguments(directive);
    struct node *node = first_node(run, directive);
    if (!node || arguments.count < 2)
        return no_node;
    node_step(node, (struct raft_input){.type = RAFT_UNREACHABLE,
                                        .peer = id_of_number(arguments.items[1])});
    return NULL;
}

static const char *act_send_snapshot(struct interaction *run, const struct directive *directive)
{
    struct numbers arguments = directive_arguments(directive);
    struct node *node = first_node(run, directive);
    if (!node || arguments.count < 2)
        return no_node;
    node_send_snapshot(&run->cluster, node, arguments.items[1]);
    return NULL;
}

static const char *act_compact(struct interaction *run, const struct directive *directive)
{
    struct numbers arguments = directive_arguments(directive);
    struct node *node = first_node(run, directive);
    if (!node || arguments.count < 2)
        return no_node;
    node_compact(node, arguments.items[1]);
    shown_log_discard(&run->expected.nodes[node->number - 1].log, arguments.items[1]);
    return NULL;
}

/* The apply thread has nothing to do: ours applies as the entries are handed out. */
static const char *act_nothing(struct interaction *run, const struct directive *directive)
{
    (void)run;
    (void)directive;
    return NULL;
}

static const struct {
    const char *name;
    act_function act;
    bool may_hand_out; /* its output tells what nodes did, unless the log level hides it */
} directives[] = {
    {"log-level", act_log_level, false},
    {"add-nodes", act_add_nodes, false},
    {"campaign", act_campaign, false},
    {"propose", act_propose, false},
    {"propose-conf-change", act_propose_changes, false},
    {"process-ready", act_process_ready, true},
    {"process-append-thread", act_append_thread, true},
    {"process-apply-thread", act_nothing, true},
    {"deliver-msgs", act_deliver, true},
    {"stabilize", act_stabilize, true},
    {"tick-heartbeat", act_tick_heartbeat, false},
    {"tick-election", act_tick_election, false},
    {"set-randomized-election-timeout", act_set_timeout, false},
    {"transfer-leadership", act_transfer, false},
    {"forget-leader", act_forget_leader, false},
    {"report-unreachable", act_unreachable, false},
    {"send-snapshot", act_send_snapshot, false},
    {"compact", act_compact, false},
    {"raft-state", act_nothing, false},
    {"raft-log", act_nothing, false},
    {"status", act_nothing, false},
};

/* Options that turn something on which Consort's core has not, and the reason in
 * docs/decisions/etcd-scripts.md. */
static const char *unsupported(const struct directive *directive)
{
    static const char *const options[][2] = {
        {"disable-conf-change-validation", "true"},
    };
    for (size_t i = 0; i < array_count(options); i++) {
        const char *value = directive_option(directive, options[i][0]);
        if (value && strcmp(value, options[i][1]) == 0)
            return options[i][0];
    }
    return NULL;
}

static bool level_is_quiet(const struct interaction *run, const struct directive *directive)
{
    const char *level = directive_option(directive, "log-level");
    return level ? strcasecmp(level, "none") == 0 : run->level == LOG_NONE;
}

static enum outcome run_directive(struct interaction *run, const struct directive *directive,
                                  struct buffer *ret_why)
{
    const char *option = unsupported(directive);
    if (option) {
        append_text(ret_why, "%s:%zu: Consort has no %s", run->script->path, directive->line,
                    option);
        return OUTCOME_SKIPPED;
    }
    size_t i = 0;
    while (i < array_count(directives) &&
           strcmp(directive_name(directive), directives[i].name) != 0)
        i++;
    if (i == array_count(directives))
        return differs(run->script, directive, "the directive", "known", "unknown", ret_why);
    for (size_t n = 0; n < run->cluster.count; n++) {
        lines_clear(&run->cluster.nodes[n].applied);
        lines_clear(&run->cluster.nodes[n].refused);
    }
    bool is_quiet = directives[i].may_hand_out && level_is_quiet(run, directive);
    run->dropped = false;
    expected_read(&run->expected, directive, is_quiet, run->level == LOG_TERSE);
    const char *wrong = directives[i].act(run, directive);
    if (wrong)
        return differs(run->script, directive, "the directive", "possible", wrong, ret_why);
    struct comparison comparison = {
        .script = run->script,
        .directive = directive,
        .cluster = &run->cluster,
        .expected = &run->expected,
        .dropped = run->dropped,
        .why = ret_why,
    };
    return compare(&comparison);
}

enum outcome run_interaction(struct script *script, struct buffer *ret_why)
{
    struct interaction run = {.script = script, .level = LOG_DEBUG};
    struct directive directive;
    enum outcome outcome = OUTCOME_SAME;
    while (outcome == OUTCOME_SAME && script_next(script, &directive)) {
        outcome = run_directive(&run, &directive, ret_why);
        directive_done(&directive);
    }
    cluster_done(&run.cluster);
    expected_done(&run.expected);
    return outcome;
}
