/* consort config set, get, ls, rm */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "node/api/frame.h"
#include "node/cli/blob.h"
#include "node/cli/client.h"
#include "node/cli/options.h"
#include "node/cli/output.h"

int verb_config_set(struct cli *cli, int argc, char **argv)
{
    return blob_set_verb(cli, argc, argv, "config");
}

int verb_config_ls(struct cli *cli, int argc, char **argv)
{
    return blob_ls_verb(cli, argc, argv, "config");
}

int verb_config_rm(struct cli *cli, int argc, char **argv)
{
    return blob_rm_verb(cli, argc, argv, "config");
}

/* What it holds, byte by byte: JSON's text could not hold all of them. */
static int print_data(struct client *client, struct error *error)
{
    struct reader reader;
    struct bytes data;
    if (!frame_find(client_packed(client), "data", &reader) || reader_binary(&reader, &data) < 0)
        return error_set(error, -EBADMSG, "the peer's answer makes no sense");
    if (fwrite(data.data, 1, data.size, stdout) != data.size)
        return error_set_errno(error, -EIO, "writing the output");
    return 0;
}

int verb_config_get(struct cli *cli, int argc, char **argv)
{
    struct client *client = NULL;
    struct error error = {0};
    json_t *result = NULL;
    struct option_row rows[] = {OPTION_CONSISTENT(cli)};
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one name is expected");
    rc = client_open(cli, &client, &error);
    if (rc == 0)
        rc =
            client_call_json(client, "config.get",
                             json_pack("{s:s s:b}", "name", argv[0], "consistent", cli->consistent),
                             NULL, NULL, &result, &error);
    if (rc == 0 && cli->format == CLI_JSON)
        output_json(result);
    else if (rc == 0)
        rc = print_data(client, &error);
    json_decref(result);
    client_close(client);
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}
