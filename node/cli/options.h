/* Options of a verb, described once: parsed from that, and printed by --help.
 *
 *     bool wait = false;
 *     uint32_t replicas;
 *     struct option_row rows[] = {
 *         OPTION_ROW(0, "wait", NULL, "Wait until all replicas serve", OPTION_FLAG, &wait),
 *         OPTION_ROW(0, "replicas", "N", "How many", OPTION_COUNT, &replicas),
 *     };
 *     int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
 *     if (rc >= 0) return rc;                     help was printed, or the words made no sense
 *     if (rows[1].is_given) …
 *
 * The global options (--socket, --context, --format, --help) are understood everywhere.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "node/cli/cli.h"

enum option_type {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *, borrowed from argv */
    OPTION_LIST,     /* struct text_list: may be given often; the caller frees it */
    OPTION_COUNT,    /* uint32_t */
    OPTION_SIZE,     /* uint64_t bytes */
    OPTION_DURATION, /* int64_t ms */
    OPTION_CPUS,     /* uint32_t thousandths */
};

struct option_row {
    char short_name; /* 0: none */
    const char *name;
    const char *value; /* the value's name in --help; NULL for a flag */
    const char *help;
    enum option_type type;
    void *target;
    bool is_given;
};

#define OPTION_ROW(short_name, name, value, help, type, target)                                    \
    {                                                                                              \
        (short_name), (name), (value), (help), (type), (target), false                             \
    }

/* Of verbs that show intent; cli_ask() says it on. */
#define OPTION_CONSISTENT(cli)                                                                     \
    OPTION_ROW(0, "consistent", NULL, "Show all that was agreed on by now; needs a quorum",        \
               OPTION_FLAG, &(cli)->consistent)

enum { OPTIONS_GO_ON = -1 };

/* Parses up to the arguments, which `*argc` and `*argv` are then. OPTIONS_GO_ON, or the exit code
 * that the verb returns. */
int options_parse(struct cli *cli, struct option_row *rows, size_t count, int *argc, char ***argv);

/* As options_parse, and everything from the first argument on is an argument: for `exec`, and for
 * what stands before the verb. */
int options_parse_ahead(struct cli *cli, struct option_row *rows, size_t count, int *argc,
                        char ***argv);
