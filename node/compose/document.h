/* What an operator deploys, from all its files: read, `extends` and `include` carried out, one file
 * merged over the other, and services left out whose profiles are not wanted.
 */
#pragma once

#include "node/compose/compose.h"
#include "node/compose/tree.h"

enum {
    DOCUMENT_FILES_MAX = 64,
    DOCUMENT_EXTENDS_MAX = 16, /* services, one extending the other */
    DOCUMENT_INCLUDE_DEPTH_MAX = 8,
};

struct document {
    struct document_file *files; /* each that was read; sources of the tree's nodes */
    struct variables variables;
    struct tree_budget budget;
    const char *path; /* the first file's, for messages about the whole */
    char *folder;     /* the project's */
    char *name;       /* of COMPOSE_PROJECT_NAME, in the environment or .env; NULL: not set */
    struct tree_node *root;
    size_t unwanted_count; /* services that were left out */
};

/* Adds what the files of variables say; where none is named, what .env in the folder says, if it is
 * there. -EINVAL with path and line; else what reading said. */
int document_load_variables(const struct text_list *files, const char *folder,
                            struct variables *variables, struct error *error);

/* -EINVAL with file, line and key in `error`; else what reading said. document_done() in either
 * case. */
int document_load(const struct compose_options *options, struct document *ret, struct error *error);
void document_done(struct document *document);
