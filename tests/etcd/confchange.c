/* Scripts of configuration changes: `simple`, `enter-joint`, `leave-joint`. Each says what the
 * configuration is then, or why the change is refused, and then it stays as it was. What they print
 * of the leader's progress follows from the configuration, and is not compared. */
#include <string.h>

#include "tests/etcd/configuration.h"
#include "tests/etcd/run.h"

static bool change(const struct directive *directive, struct raft_configuration *configuration)
{
    cleanup_buffer struct buffer text;
    struct raft_changes changes;
    const char *name = directive_name(directive);
    buffer_init(&text);
    for (size_t i = 0; i < directive->input.count; i++)
        append_text(&text, "%s ", directive->input.items[i]);
    if (!changes_of_text(text_of(&text), &changes))
        return false;
    if (strcmp(name, "simple") == 0) {
        changes.transition = RAFT_TRANSITION_SIMPLE;
    } else if (strcmp(name, "enter-joint") == 0) {
        changes.transition = directive_flag(directive, "autoleave", false)
                                 ? RAFT_TRANSITION_JOINT
                                 : RAFT_TRANSITION_EXPLICIT;
    } else if (changes.count > 0) {
        return false;
    }
    return raft_configuration_change(configuration, &changes, configuration) == 0;
}

enum outcome run_confchange(struct script *script, struct buffer *ret_why)
{
    struct raft_configuration configuration = {0};
    struct directive directive;
    enum outcome outcome = OUTCOME_SAME;
    while (outcome == OUTCOME_SAME && script_next(script, &directive)) {
        cleanup_buffer struct buffer found;
        buffer_init(&found);
        const char *expected = directive.output.count > 0 ? directive.output.items[0] : "";
        bool refused_there = strncmp(expected, "voters=", strlen("voters=")) != 0;
        bool changed = change(&directive, &configuration);
        text_of_configuration(&configuration, &found);
        if (changed == refused_there)
            outcome = differs(script, &directive, "the change", expected,
                              changed ? text_of(&found) : "refused", ret_why);
        else if (changed && strcmp(text_of(&found), expected) != 0)
            outcome = differs(script, &directive, "the configuration", expected, text_of(&found),
                              ret_why);
        directive_done(&directive);
    }
    return outcome;
}
