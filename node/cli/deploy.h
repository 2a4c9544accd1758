/* What `consort deploy` sends, and what it says with --check. */
#pragma once

#include "node/cli/cli.h"
#include "node/compose/compose.h"

/* The call's params: the stack's services and blobs, as the command that the peer would propose.
 * What contradicts itself is an error already, whatever the cluster. */
int deploy_make_params(const struct compose_result *loaded, struct buffer *ret,
                       struct error *error);

/* Prints what would be deployed and, if a peer answers, what that would change; nothing is changed.
 * CLI_OK if all that could be checked is well. */
int deploy_check(struct cli *cli, const struct compose_result *loaded);

/* As deploy_check prints it: what the files say; `plan` (NULL: not compared) is what the peer
 * answered, `reason` why there is none. NULL for no memory; else for the caller to give to
 * json_decref(). */
json_t *deploy_report(const struct compose_result *loaded, const json_t *plan, const char *reason);

/* The report for people, appended to `ret`. */
void deploy_format_report(const json_t *report, struct buffer *ret);
