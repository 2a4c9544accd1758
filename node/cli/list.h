/* Verbs that are much alike: those that list, and those that name one thing. */
#pragma once

#include "node/cli/cli.h"
#include "node/cli/output.h"

/* Prints the array `key` of the result as a table or as JSON, and gives the result back. CLI_OK. */
int list_print(const struct cli *cli, json_t *result, const char *key, const struct column *columns,
               size_t count);

/* A verb without arguments that shows such a list. */
int list_verb(struct cli *cli, int argc, char **argv, const char *method, const char *key,
              const struct column *columns, size_t count);

/* The same of intent, so that it has --consistent. */
int list_intent_verb(struct cli *cli, int argc, char **argv, const char *method, const char *key,
                     const struct column *columns, size_t count);

/* A verb with one argument, passed as `param`. */
int named_verb(struct cli *cli, int argc, char **argv, const char *method, const char *param,
               void (*say)(const json_t *result));

/* The same for what shows intent, so that it has --consistent. */
int show_intent_verb(struct cli *cli, int argc, char **argv, const char *method, const char *param,
                     void (*say)(const json_t *result));

/* All peers, asked for a page after the other; of the peer `at` (NULL: the one that is asked), as
 * it sees them. CLI_OK, or the exit code once the error was printed. */
int list_all_peers(const struct cli *cli, const char *at, json_t **ret);

/* Prints nothing: for what is done is done. */
void say_done(const json_t *result);
