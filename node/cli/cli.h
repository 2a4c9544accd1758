/* The command line of the `consort` binary: what its verbs share.
 *
 * Each verb lives in a file of its own and has one function here, which main.c's table names. It
 * gets what stands behind its words, reads it with options_parse(), and returns the exit code:
 *
 *     int verb_scale(struct cli *cli, int argc, char **argv);      argv[0] is the verb's last word
 *
 * Errors go to standard error as "consort: MESSAGE" and, on a line of its own, what to do next.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "node/cli/json.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2, /* the words typed make no sense */
};

enum cli_format { CLI_TEXT, CLI_JSON };

struct cli;

struct verb {
    const char *name;    /* "scale", or two words: "token create" */
    const char *usage;   /* what stands behind it: "SERVICE=N..." */
    const char *summary; /* one line */
    int (*run)(struct cli *cli, int argc, char **argv);
};

struct cli {
    const char *socket;  /* --socket; NULL: see client.h */
    const char *context; /* --context */
    enum cli_format format;
    bool consistent;         /* --consistent, where a verb has it */
    const struct verb *verb; /* the one that runs */
};

/* Prints the error and returns CLI_FAILED. */
int cli_fail(const struct error *error);

/* Prints what is wrong with the words typed, and where to read on; returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Asks the cluster: opens a connection, calls `method`, closes. Takes over `params` (may be NULL);
 * adds what the global options and --consistent say.
 * CLI_OK and the result in `*ret`, which the caller gives to json_decref(); or CLI_FAILED, printed.
 */
int cli_ask(const struct cli *cli, const char *method, json_t *params, json_t **ret);

/* As cli_ask, for what answers nothing worth showing as text: prints the line (without a newline)
 * made of the result by `say`, or the result with --format json. */
int cli_do(const struct cli *cli, const char *method, json_t *params,
           void (*say)(const json_t *result));

int verb_node(struct cli *cli, int argc, char **argv);
int verb_mesh_process(struct cli *cli, int argc, char **argv);
int verb_init(struct cli *cli, int argc, char **argv);
int verb_join(struct cli *cli, int argc, char **argv);
int verb_leave(struct cli *cli, int argc, char **argv);
int verb_recover(struct cli *cli, int argc, char **argv);
int verb_token_create(struct cli *cli, int argc, char **argv);
int verb_token_ls(struct cli *cli, int argc, char **argv);
int verb_token_revoke(struct cli *cli, int argc, char **argv);
int verb_peer_ls(struct cli *cli, int argc, char **argv);
int verb_peer_inspect(struct cli *cli, int argc, char **argv);
int verb_peer_ping(struct cli *cli, int argc, char **argv);
int verb_peer_trace(struct cli *cli, int argc, char **argv);
int verb_peer_revoke(struct cli *cli, int argc, char **argv);
int verb_cluster_profile(struct cli *cli, int argc, char **argv);
int verb_cluster_voters(struct cli *cli, int argc, char **argv);
int verb_status(struct cli *cli, int argc, char **argv);
int verb_deploy(struct cli *cli, int argc, char **argv);
int verb_ps(struct cli *cli, int argc, char **argv);
int verb_stats(struct cli *cli, int argc, char **argv);
int verb_attach(struct cli *cli, int argc, char **argv);
int verb_cp(struct cli *cli, int argc, char **argv);
int verb_top(struct cli *cli, int argc, char **argv);
int verb_port(struct cli *cli, int argc, char **argv);
int verb_service_ls(struct cli *cli, int argc, char **argv);
int verb_service_inspect(struct cli *cli, int argc, char **argv);
int verb_scale(struct cli *cli, int argc, char **argv);
int verb_update(struct cli *cli, int argc, char **argv);
int verb_rollback(struct cli *cli, int argc, char **argv);
int verb_rm(struct cli *cli, int argc, char **argv);
int verb_logs(struct cli *cli, int argc, char **argv);
int verb_exec(struct cli *cli, int argc, char **argv);
int verb_events(struct cli *cli, int argc, char **argv);
int verb_watch(struct cli *cli, int argc, char **argv);
int verb_why(struct cli *cli, int argc, char **argv);
int verb_image_import(struct cli *cli, int argc, char **argv);
int verb_image_ls(struct cli *cli, int argc, char **argv);
int verb_image_pull(struct cli *cli, int argc, char **argv);
int verb_image_rm(struct cli *cli, int argc, char **argv);
int verb_image_save(struct cli *cli, int argc, char **argv);
int verb_config_set(struct cli *cli, int argc, char **argv);
int verb_config_get(struct cli *cli, int argc, char **argv);
int verb_config_ls(struct cli *cli, int argc, char **argv);
int verb_config_rm(struct cli *cli, int argc, char **argv);
int verb_secret_set(struct cli *cli, int argc, char **argv);
int verb_secret_ls(struct cli *cli, int argc, char **argv);
int verb_secret_rm(struct cli *cli, int argc, char **argv);
int verb_quota_set(struct cli *cli, int argc, char **argv);
int verb_quota_ls(struct cli *cli, int argc, char **argv);
int verb_quota_rm(struct cli *cli, int argc, char **argv);
int verb_context_create(struct cli *cli, int argc, char **argv);
int verb_context_ls(struct cli *cli, int argc, char **argv);
int verb_context_use(struct cli *cli, int argc, char **argv);
int verb_context_rm(struct cli *cli, int argc, char **argv);
int verb_pull_worker(struct cli *cli, int argc, char **argv);
int verb_version(struct cli *cli, int argc, char **argv);
