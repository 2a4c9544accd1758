/* Files of variables: .env, and what `env_file` names.
 *
 *     KEY=VALUE            a comment may follow behind white space and #; variables are filled in
 *     KEY="VALUE"          may go over several lines; \n, \t, \", \\ and \$ are as elsewhere
 *     KEY='VALUE'          as it stands, over several lines too
 *     export KEY=VALUE     the same as without
 *     KEY                  its value comes from the environment
 */
#pragma once

#include "node/compose/interpolate.h"

struct environment_file {
    const char *path;
    bool is_raw;                       /* values as they stand, quotes and all */
    const struct variables *variables; /* for what is filled in; the file's own lines come first */
    struct text_list *warnings;        /* added to: variables that are not set */
};

/* Adds the file's "KEY=VALUE" to `ret`, each key once: of two the later one counts. -EINVAL with
 * path and line for what is no such line; else what reading said. */
int environment_file_read(const struct environment_file *file, struct text_list *ret,
                          struct error *error);
