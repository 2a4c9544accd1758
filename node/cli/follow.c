#include "node/cli/follow.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/bounds.h"
#include "node/cli/output.h"

struct follow {
    const struct cli *cli;
    const char *kind;
    void (*say)(const json_t *payload);
    json_t *collected; /* NULL: printed as they come */
};

static void on_note(void *context, const char *kind, struct bytes payload)
{
    const struct follow *follow = context;
    json_t *value = NULL;
    if (strcmp(kind, follow->kind) != 0 || json_from_packed(payload, &value) < 0)
        return;
    if (follow->collected)
        json_array_append(follow->collected, value);
    else if (follow->cli->format == CLI_JSON)
        output_json_line(value);
    else if (follow->say)
        follow->say(value);
    json_decref(value);
    fflush(stdout);
}

static int call(struct follow *follow, const char *method, json_t *params)
{
    const struct client_handler handler = {.on_note = on_note};
    struct client *client = NULL;
    struct error error = {0};
    int rc = client_open(follow->cli, &client, &error);
    if (rc == 0)
        rc = client_call_json(client, method, params, &handler, follow, NULL, &error);
    else
        json_decref(params);
    client_close(client);
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}

int follow_call(struct cli *cli, const char *method, json_t *params, const char *kind,
                void (*say)(const json_t *payload))
{
    struct follow follow = {.cli = cli, .kind = kind, .say = say};
    return call(&follow, method, params);
}

int follow_list(struct cli *cli, const char *method, json_t *params, const char *kind,
                void (*say)(const json_t *payload))
{
    struct follow follow = {.cli = cli, .kind = kind, .say = say};
    if (cli->format == CLI_JSON)
        follow.collected = json_array();
    int rc = call(&follow, method, params);
    if (rc == CLI_OK && follow.collected)
        output_json(follow.collected);
    json_decref(follow.collected);
    return rc;
}

static void say_progress(const json_t *progress)
{
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "%s: %lld of %lld serve, rollout %s\n", json_text(progress, "service"),
            (long long)json_number(progress, "serving"),
            (long long)json_number(progress, "replicas"), json_text(progress, "rollout"));
}

int follow_wait(struct cli *cli, json_t *services, bool starts_rollout)
{
    struct cli quiet = *cli;
    quiet.format = CLI_TEXT; /* progress is for people; the result is the exit code */
    return follow_call(&quiet, "wait",
                       json_pack("{s:o, s:I, s:b}", "services", services, "timeout_ms",
                                 (json_int_t)CLI_WAIT_DEFAULT_MS, "starts_no_rollout",
                                 !starts_rollout),
                       "progress", say_progress);
}
