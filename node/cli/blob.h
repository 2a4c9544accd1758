/* What `consort config` and `consort secret` have in common. `kind` is "config" or "secret". */
#pragma once

#include "node/cli/cli.h"

int blob_set_verb(struct cli *cli, int argc, char **argv, const char *kind);
int blob_ls_verb(struct cli *cli, int argc, char **argv, const char *kind);
int blob_rm_verb(struct cli *cli, int argc, char **argv, const char *kind);
