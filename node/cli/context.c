/* consort context create, ls, use, rm */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cli/contexts.h"
#include "node/cli/options.h"
#include "node/cli/output.h"
#include "node/join/join_client.h"

struct creation {
    const char *name;
    uint8_t seed[IDENTITY_SEED_BYTES];
    struct error error;
};

static void on_answer(void *context, const struct join_answer *answer, const struct error *error)
{
    struct creation *creation = context;
    struct operator_context made = {0};
    if (!answer) {
        creation->error = *error;
        return;
    }
    made.cluster = answer->chain.certificates[0].cluster;
    made.chain = answer->chain;
    memcpy(made.seeds, answer->seeds, sizeof(made.seeds));
    made.seed_count = answer->seed_count;
    context_save(creation->name, creation->seed, &made, &creation->error);
}

/* The operator's label in the cluster: the context, the machine, and some of the key, for a machine
 * may have several. */
static void operator_name(const char *context, const struct id *key, char *ret, size_t capacity)
{
    char host[64] = "";
    size_t length = 0;
    gethostname(host, sizeof(host) - 1);
    snprintf(ret, capacity, "%.24s-%.24s-%.8s", context, host, id_short(key));
    for (; ret[length]; length++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", ret[length]))
            ret[length] = '-';
    while (length > 0 && ret[length - 1] == '-')
        ret[--length] = '\0';
}

static int join(struct creation *creation, const struct token *token, enum role role)
{
    uv_loop_t loop;
    struct identity identity;
    struct join_request request = {.role = role};
    randombytes_buf(creation->seed, sizeof(creation->seed));
    identity_init(&identity, creation->seed);
    operator_name(creation->name, &identity.id, request.name, sizeof(request.name));
    uv_loop_init(&loop);
    int rc = join_start(&loop, &identity, token, &request, NULL, on_answer, creation);
    if (rc < 0)
        error_set_errno(&creation->error, rc, "joining");
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    identity_done(&identity);
    sodium_memzero(creation->seed, sizeof(creation->seed));
    return creation->error.code;
}

int verb_context_create(struct cli *cli, int argc, char **argv)
{
    const char *role_text = "deployer";
    struct option_row rows[] = {
        OPTION_ROW(0, "role", "ROLE",
                   "The token's: viewer, deployer or admin (found out by trying)", OPTION_TEXT,
                   &role_text),
    };
    struct creation creation = {0};
    struct token token;
    enum role role;
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 2 || role_parse(role_text, &role) < 0 || role == ROLE_PEER)
        return cli_usage(cli, "a name and an operator's token are expected; make one at a member "
                              "with: consort token create --role deployer");
    creation.name = argv[0];
    if (context_check_new(argv[0], &creation.error) < 0 ||
        token_parse(argv[1], &token, &creation.error) < 0)
        return cli_fail(&creation.error);
    rc = join(&creation, &token, role);
    for (role = ROLE_VIEWER; rc < 0 && !rows[0].is_given && role <= ROLE_ADMIN; role++) {
        if (role == ROLE_DEPLOYER)
            continue; /* was tried */
        creation.error = (struct error){0};
        rc = join(&creation, &token, role);
    }
    token_done(&token);
    if (rc == 0)
        rc = context_use(argv[0], &creation.error);
    if (rc < 0)
        return cli_fail(&creation.error);
    if (cli->format == CLI_TEXT)
        printf("commands are for %s now; go back with: consort context use NAME\n", argv[0]);
    return CLI_OK;
}

int verb_context_ls(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {{"NAME", "name", NULL}, {"IN USE", "current", NULL}};
    char current[BASE_NAME_BYTES_MAX + 1] = "";
    struct text_list names = {0};
    struct error error = {0};
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (context_list(&names, &error) < 0)
        return cli_fail(&error);
    context_current(current);
    json_t *rows = json_array();
    for (size_t i = 0; i < names.count; i++)
        json_array_append_new(rows, json_pack("{s:s, s:b}", "name", names.items[i], "current",
                                              strcmp(names.items[i], current) == 0));
    if (cli->format == CLI_JSON)
        output_json(rows);
    else
        output_table(rows, columns, array_count(columns));
    json_decref(rows);
    text_list_done(&names);
    return CLI_OK;
}

static int one_name(struct cli *cli, int argc, char **argv,
                    int (*act)(const char *name, struct error *error))
{
    struct error error = {0};
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one context's name is expected; list them with: consort context ls");
    return act(argv[0], &error) < 0 ? cli_fail(&error) : CLI_OK;
}

int verb_context_use(struct cli *cli, int argc, char **argv)
{
    return one_name(cli, argc, argv, context_use);
}

int verb_context_rm(struct cli *cli, int argc, char **argv)
{
    return one_name(cli, argc, argv, context_remove);
}
