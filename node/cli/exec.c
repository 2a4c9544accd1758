/* consort exec and consort attach */
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text_list.h"
#include "node/cli/options.h"
#include "node/cli/session.h"

static json_t *arguments(size_t count, char **words)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(words[i]));
    return array;
}

int verb_exec(struct cli *cli, int argc, char **argv)
{
    bool interactive = false, tty = false;
    const char *user = NULL, *working_dir = NULL;
    struct text_list environment = {0};
    struct option_row rows[] = {
        OPTION_ROW('i', "interactive", NULL, "Pass standard input on", OPTION_FLAG, &interactive),
        OPTION_ROW('t', "tty", NULL, "Give the command a terminal", OPTION_FLAG, &tty),
        OPTION_ROW('u', "user", "USER[:GROUP]", "Run as that user of the image", OPTION_TEXT,
                   &user),
        OPTION_ROW('e', "env", "NAME=VALUE", "Set a variable; may be given often", OPTION_LIST,
                   &environment),
        OPTION_ROW('w', "workdir", "DIR", "Run in that directory", OPTION_TEXT, &working_dir),
    };
    struct client *client = NULL;
    struct error error = {0};
    json_t *result = NULL;
    int rc = options_parse_ahead(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    int words = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (argc <= words) {
        text_list_done(&environment);
        return cli_usage(cli, "a replica and a command are expected");
    }
    tty = tty && isatty(STDIN_FILENO);
    json_t *params = json_pack("{s:s, s:o, s:o, s:b, s:s*, s:s*}", "replica", argv[0], "argv",
                               arguments((size_t)(argc - words), argv + words), "environment",
                               arguments(environment.count, environment.items), "tty", tty, "user",
                               user, "working_dir", working_dir);
    text_list_done(&environment);
    rc = client_open(cli, &client, &error);
    if (rc == 0)
        rc = session_run(client, "exec", params,
                         &(struct session_options){.interactive = interactive, .tty = tty}, &result,
                         &error);
    else
        json_decref(params);
    client_close(client);
    if (rc < 0)
        return cli_fail(&error);
    int code = (int)json_number(result, "exit_code"); /* the command's own, as docker exec has it */
    json_decref(result);
    return code;
}

int verb_attach(struct cli *cli, int argc, char **argv)
{
    bool no_input = false;
    struct option_row rows[] = {
        OPTION_ROW(0, "no-stdin", NULL, "Only look on", OPTION_FLAG, &no_input),
    };
    struct client *client = NULL;
    struct error error = {0};
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one replica is expected");
    rc = client_open(cli, &client, &error);
    if (rc == 0)
        rc = session_run(client, "attach", json_pack("{s:s}", "replica", argv[0]),
                         &(struct session_options){.interactive = !no_input, .detachable = true},
                         NULL, &error);
    client_close(client);
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}
