#include "node/cli/blob.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/writer.h"
#include "consensus/bounds.h"
#include "node/cli/bounds.h"
#include "node/cli/client.h"
#include "node/cli/list.h"
#include "node/cli/options.h"
#include "node/cli/output.h"
#include "runtime/file.h"

enum { NAMED_HOLDERS_MAX = 5 };

/* --- set --- */

static int read_content(const char *path, struct buffer *ret, struct error *error)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int rc = file_read(is_stdin ? "/dev/stdin" : path, INTENT_BLOB_BYTES_MAX, ret);
    if (rc == -EFBIG)
        return error_set(error, rc, "%s: larger than %d KiB", is_stdin ? "standard input" : path,
                         INTENT_BLOB_BYTES_MAX / 1024);
    return rc < 0 ? error_set_errno(error, rc, "%s", is_stdin ? "standard input" : path) : 0;
}

static int make_params(const char *name, const struct buffer *content, const uint64_t *expected,
                       struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_map(&writer, expected ? 3 : 2);
    writer_text(&writer, "name");
    writer_text(&writer, name);
    writer_text(&writer, "data");
    writer_binary(&writer, content->bytes, content->size);
    if (expected) {
        writer_text(&writer, "expected");
        writer_u64(&writer, *expected);
    }
    return writer_check(&writer);
}

static int send_content(struct cli *cli, const char *kind, const char *name, const char *path,
                        const uint64_t *expected, json_t **ret)
{
    cleanup_buffer struct buffer content = {0}, params = {0};
    char method[CLI_TEXT_BYTES_MAX];
    struct client *client = NULL;
    struct error error = {0};
    snprintf(method, sizeof(method), "%s.set", kind);
    int rc = read_content(path, &content, &error);
    if (rc == 0 && make_params(name, &content, expected, &params) < 0)
        rc = error_set_errno(&error, -ENOMEM, "packing the %s", kind);
    if (rc == 0)
        rc = client_open(cli, &client, &error);
    if (rc == 0)
        rc = client_call(client, method, buffer_view(&params), NULL, NULL, ret, &error);
    client_close(client);
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}

int blob_set_verb(struct cli *cli, int argc, char **argv, const char *kind)
{
    const char *expected_text = NULL;
    uint64_t expected = 0;
    json_t *result = NULL;
    struct option_row rows[] = {
        OPTION_ROW(0, "expect", "VERSION",
                   "Only if that is its version now; 0: only if there is none", OPTION_TEXT,
                   &expected_text),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 2)
        return cli_usage(cli, "a name and a file are expected; -: standard input");
    if (expected_text) {
        char *end;
        errno = 0;
        expected = strtoull(expected_text, &end, 10);
        if (errno != 0 || *end != '\0' || expected_text[0] < '0' || expected_text[0] > '9')
            return cli_usage(cli, "%s is no version: see consort %s ls", expected_text, kind);
    }
    rc = send_content(cli, kind, argv[0], argv[1], expected_text ? &expected : NULL, &result);
    if (rc != CLI_OK)
        return rc;
    if (cli->format == CLI_JSON)
        output_json(result);
    else
        printf("version %" JSON_INTEGER_FORMAT "%s\n", json_number(result, "version"),
               json_flag(result, "unchanged") ? ", unchanged" : "");
    json_decref(result);
    return CLI_OK;
}

/* --- ls --- */

/* The services, each with its version where that is an earlier one. */
static void cell_users(const json_t *row, const char *key, char *ret)
{
    const json_t *users = json_object_get(row, key), *user;
    size_t i, length = 0;
    ret[0] = '\0';
    json_array_foreach(users, i, user)
    {
        char earlier[32] = "";
        if (json_number(user, "version") != json_number(row, "version"))
            snprintf(earlier, sizeof(earlier), " (%" JSON_INTEGER_FORMAT ")",
                     json_number(user, "version"));
        length += (size_t)snprintf(ret + length, CLI_TEXT_BYTES_MAX - length, "%s%s%s",
                                   i > 0 ? "," : "", json_text(user, "service"), earlier);
        if (length >= CLI_TEXT_BYTES_MAX)
            return;
    }
}

/* Their names while they are few, else how many. */
static void cell_holders(const json_t *row, const char *key, char *ret)
{
    const json_t *holders = json_object_get(row, key), *holder;
    size_t i, length = 0, count = json_array_size(holders);
    snprintf(ret, CLI_TEXT_BYTES_MAX, count == 0 ? "nobody: set it again" : "%zu peers", count);
    if (count == 0 || count > NAMED_HOLDERS_MAX)
        return;
    json_array_foreach(holders, i, holder)
    {
        length += (size_t)snprintf(ret + length, CLI_TEXT_BYTES_MAX - length, "%s%s",
                                   i > 0 ? "," : "", json_string_value(holder));
        if (length >= CLI_TEXT_BYTES_MAX)
            return;
    }
}

/* All of them, a page after the other. */
static int list_all(const struct cli *cli, const char *kind, json_t **ret)
{
    json_t *all = json_array(), *page = NULL;
    char next[CLI_TEXT_BYTES_MAX] = "", method[CLI_TEXT_BYTES_MAX], key[CLI_TEXT_BYTES_MAX];
    snprintf(method, sizeof(method), "%s.ls", kind);
    snprintf(key, sizeof(key), "%ss", kind);
    do {
        int rc = cli_ask(cli, method, json_pack("{s:s}", "after", next), &page);
        if (rc != CLI_OK) {
            json_decref(all);
            return rc;
        }
        json_array_extend(all, json_object_get(page, key));
        snprintf(next, sizeof(next), "%s", json_text(page, "next"));
        json_decref(page);
    } while (next[0] != '\0');
    *ret = all;
    return CLI_OK;
}

int blob_ls_verb(struct cli *cli, int argc, char **argv, const char *kind)
{
    static const struct column columns[] = {{"NAME", "name", NULL},
                                            {"VERSION", "version", NULL},
                                            {"SIZE", "size_bytes", cell_size},
                                            {"STACK", "stack", NULL},
                                            {"SET", "wall_ms", cell_since},
                                            {"BY", "actor", NULL},
                                            {"USED BY", "services", cell_users},
                                            {"SEALED TO", "sealed_to", cell_holders}};
    size_t column_count = array_count(columns) - (strcmp(kind, "secret") != 0);
    struct option_row option = OPTION_CONSISTENT(cli);
    json_t *rows = NULL;
    int rc = options_parse(cli, &option, 1, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "%s takes no argument", cli->verb->name);
    rc = list_all(cli, kind, &rows);
    if (rc != CLI_OK)
        return rc;
    if (cli->format == CLI_JSON)
        output_json(rows);
    else
        output_table(rows, columns, column_count);
    json_decref(rows);
    return CLI_OK;
}

/* --- rm --- */

int blob_rm_verb(struct cli *cli, int argc, char **argv, const char *kind)
{
    char method[CLI_TEXT_BYTES_MAX];
    snprintf(method, sizeof(method), "%s.rm", kind);
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc == 0)
        return cli_usage(cli, "which %s?", kind);
    rc = CLI_OK;
    for (int i = 0; i < argc && rc == CLI_OK; i++)
        rc = cli_do(cli, method, json_pack("{s:s}", "name", argv[i]), say_done);
    return rc;
}
