/* What a deploy would change, found out without changing anything: for `consort deploy --check`.
 *
 *     rc = intent_plan_check(intent, &command.deploy, &error);      would it be refused?
 *     for (i …) rc = intent_plan_service(intent, &command.deploy, i, &plan);
 *
 * It is what intent_apply() would do with the command if it were the next one: the same checks, the
 * same comparisons. Nothing here keeps the state from changing before the deploy comes.
 */
#pragma once

#include "consensus/command.h"
#include "consensus/intent.h"

enum intent_plan_change {
    INTENT_PLAN_NEW,       /* the service is not there, or goes */
    INTENT_PLAN_UNCHANGED, /* nothing happens */
    INTENT_PLAN_SCALE,     /* other replicas of the same revision */
    INTENT_PLAN_LIMITS,    /* a revision with other limits, which replicas get while they run on */
    INTENT_PLAN_UPDATE,    /* another revision, rolled out replica by replica */
};

/* In what a revision differs from the one before. */
enum intent_plan_part {
    INTENT_PLAN_IMAGE,
    INTENT_PLAN_COMMAND, /* with entrypoint, user and folder */
    INTENT_PLAN_ENVIRONMENT,
    INTENT_PLAN_PORTS,
    INTENT_PLAN_VOLUMES,
    INTENT_PLAN_FILES, /* configs and secrets, also their contents */
    INTENT_PLAN_HEALTHCHECK,
    INTENT_PLAN_RESOURCES,
    INTENT_PLAN_NETWORKS,
    INTENT_PLAN_PLACEMENT, /* with the mode */
    INTENT_PLAN_LABELS,
    INTENT_PLAN_OTHER, /* anything else */
    INTENT_PLAN_PARTS,
};

struct intent_plan_service {
    enum intent_plan_change change;
    uint32_t revision, replicas; /* that there are now; 0 for a new one */
    uint32_t parts;              /* of limits and updates: 1 << enum intent_plan_part, together */
};

/* Whether the deploy contradicts itself, whatever cluster it is for: 0, or why it is refused. */
int intent_plan_check_alone(const struct command_deploy *deploy, struct error *error);

/* Whether it would be refused now: 0, or why. */
int intent_plan_check(const struct intent *intent, const struct command_deploy *deploy,
                      struct error *error);

/* What becomes of the deploy's service with that index, whose files are given the versions that
 * they would have. -ENOMEM. */
int intent_plan_service(const struct intent *intent, struct command_deploy *deploy, size_t index,
                        struct intent_plan_service *ret);

/* Whether the service of the cluster would go: it is the stack's, and not among the deploy's. */
bool intent_plan_removes(const struct command_deploy *deploy, const struct intent_service *service);

/* "image", "command", …; `part` below INTENT_PLAN_PARTS. */
const char *intent_plan_part_text(enum intent_plan_part part);
