/* consort secret set, ls, rm: what a secret holds is shown by none of them */
#include "node/cli/blob.h"

int verb_secret_set(struct cli *cli, int argc, char **argv)
{
    return blob_set_verb(cli, argc, argv, "secret");
}

int verb_secret_ls(struct cli *cli, int argc, char **argv)
{
    return blob_ls_verb(cli, argc, argv, "secret");
}

int verb_secret_rm(struct cli *cli, int argc, char **argv)
{
    return blob_rm_verb(cli, argc, argv, "secret");
}
