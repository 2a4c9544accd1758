/* consort deploy */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/command.h"
#include "consensus/intent_plan.h"
#include "node/cli/client.h"
#include "node/cli/deploy.h"
#include "node/cli/follow.h"
#include "node/cli/image.h"
#include "node/cli/options.h"
#include "node/cli/output.h"

static int pack_params(const struct compose_result *loaded, const struct command *command,
                       struct buffer *ret)
{
    cleanup_buffer struct buffer packed = {0};
    struct writer writer;
    int rc = command_encode(command, &packed);
    if (rc < 0)
        return rc;
    writer_init(&writer, ret);
    writer_map(&writer, 2);
    writer_text(&writer, "stack");
    writer_text(&writer, loaded->stack);
    writer_text(&writer, "spec");
    writer_binary(&writer, packed.bytes, packed.size);
    return writer_check(&writer);
}

int deploy_make_params(const struct compose_result *loaded, struct buffer *ret, struct error *error)
{
    struct command command = {.head.type = COMMAND_DEPLOY,
                              .deploy = {.services = loaded->services,
                                         .service_count = loaded->service_count,
                                         .blobs = loaded->blobs,
                                         .blob_count = loaded->blob_count}};
    memcpy(command.deploy.stack, loaded->stack, sizeof(command.deploy.stack));
    int rc = intent_plan_check_alone(&command.deploy, error);
    if (rc < 0)
        return rc;
    rc = pack_params(loaded, &command, ret);
    if (rc == -E2BIG)
        return error_set(error, rc,
                         "the file's services, configs and secrets come to more than %d MiB",
                         COMMAND_BYTES_MAX / 1024 / 1024);
    return rc < 0 ? error_set_errno(error, rc, "packing what to deploy") : 0;
}

static int send_deploy(struct cli *cli, const struct compose_result *loaded, json_t **ret)
{
    cleanup_buffer struct buffer params = {0};
    struct client *client = NULL;
    struct error error = {0};
    int rc = deploy_make_params(loaded, &params, &error);
    if (rc == 0)
        rc = client_open(cli, &client, &error);
    if (rc == 0)
        rc = client_call(client, "deploy", buffer_view(&params), NULL, NULL, ret, &error);
    client_close(client);
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}

static json_t *service_names(const struct compose_result *loaded)
{
    json_t *names = json_array();
    for (size_t i = 0; i < loaded->service_count; i++) {
        char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
        snprintf(name, sizeof(name), "%s_%s", loaded->stack, loaded->services[i].name);
        json_array_append_new(names, json_string(name));
    }
    return names;
}

static bool is_among(const struct text_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

/* Has the peer ask for the images of a service anew, unless it has. */
static int pull_of_service(struct cli *cli, const struct service_spec *spec,
                           struct text_list *pulled, struct error *error)
{
    struct spec_image image;
    int rc = 0;
    for (size_t i = 0; rc == 0 && service_spec_image(spec, i, &image); i++) {
        json_t *result = NULL;
        if (is_among(pulled, image.name))
            continue;
        rc = image_pull(cli, image.name, &result, error);
        json_decref(result);
        if (rc == 0 && text_list_add(pulled, image.name) < 0)
            rc = error_set_errno(error, -ENOMEM, "pulling %s", image.name);
    }
    return rc;
}

/* Has the peer ask for the images anew that the file wants so, or all of them; each once. */
static int pull_images(struct cli *cli, const struct compose_result *loaded, bool all)
{
    struct text_list pulled = {0};
    struct error error = {0};
    int rc = 0;
    for (size_t i = 0; i < loaded->service_count && rc == 0; i++) {
        const struct service_spec *spec = &loaded->services[i];
        if (all || is_among(&loaded->pulled, spec->name))
            rc = pull_of_service(cli, spec, &pulled, &error);
    }
    text_list_done(&pulled);
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}

static int deploy(struct cli *cli, const struct compose_result *loaded, bool pull, bool wait)
{
    json_t *result = NULL;
    int rc = pull_images(cli, loaded, pull);
    if (rc == CLI_OK)
        rc = send_deploy(cli, loaded, &result);
    if (rc != CLI_OK)
        return rc;
    if (wait)
        rc = follow_wait(cli, service_names(loaded), !json_flag(result, "unchanged"));
    if (rc == CLI_OK && cli->format == CLI_JSON)
        output_json(result);
    else if (rc == CLI_OK)
        printf("%s: %zu service%s %s\n", loaded->stack, loaded->service_count,
               loaded->service_count == 1 ? "" : "s",
               json_flag(result, "unchanged") ? "unchanged"
               : wait                         ? "serving"
                                              : "accepted");
    json_decref(result);
    return rc;
}

/* The files, profiles and variables that the options name. */
struct chosen {
    struct text_list files, profiles, env_files;
    const char *folder;
    bool pull, wait, check;
};

static int load_and_deploy(struct cli *cli, struct chosen *chosen, const char *stack)
{
    struct compose_result loaded;
    struct error error = {0};
    const struct compose_options options = {.files = &chosen->files,
                                            .stack_name = stack,
                                            .folder = chosen->folder,
                                            .profiles = &chosen->profiles,
                                            .env_files = &chosen->env_files};
    int rc =
        chosen->files.count == 0 ? compose_find(&chosen->env_files, &chosen->files, &error) : 0;
    if (rc == -ENOENT)
        return cli_usage(cli, "%s; name one, as in: consort deploy -f compose.yaml", error.message);
    if (rc < 0)
        return cli_fail(&error);
    if (compose_load(&options, &loaded, &error) < 0)
        return cli_fail(&error);
    for (size_t i = 0; i < loaded.warnings.count; i++)
        fprintf(stderr, "warning: %s\n", loaded.warnings.items[i]);
    rc = chosen->check ? deploy_check(cli, &loaded)
                       : deploy(cli, &loaded, chosen->pull, chosen->wait);
    compose_result_done(&loaded);
    return rc;
}

int verb_deploy(struct cli *cli, int argc, char **argv)
{
    struct chosen chosen = {0};
    struct option_row rows[] = {
        OPTION_ROW('f', "file", "FILE",
                   "A Compose file, or -; the next one is merged over it (default: compose.yaml)",
                   OPTION_LIST, &chosen.files),
        OPTION_ROW(0, "profile", "NAME", "Deploy the services of this profile too", OPTION_LIST,
                   &chosen.profiles),
        OPTION_ROW(0, "env-file", "FILE", "Variables for the file (default: .env)", OPTION_LIST,
                   &chosen.env_files),
        OPTION_ROW(0, "project-directory", "DIR",
                   "Where relative paths begin (default: the first file's folder)", OPTION_TEXT,
                   &chosen.folder),
        OPTION_ROW(0, "pull", NULL, "Ask the registries anew for all images", OPTION_FLAG,
                   &chosen.pull),
        OPTION_ROW(0, "wait", NULL, "Wait until all replicas serve", OPTION_FLAG, &chosen.wait),
        OPTION_ROW(0, "check", NULL, "Only say what would be deployed, and what that would change",
                   OPTION_FLAG, &chosen.check),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc == OPTIONS_GO_ON && chosen.check && (chosen.pull || chosen.wait))
        rc = cli_usage(cli, "--check deploys nothing: --%s can't go with it",
                       chosen.pull ? "pull" : "wait");
    if (rc == OPTIONS_GO_ON)
        rc = argc > 1 ? cli_usage(cli, "at most one name is expected")
                      : load_and_deploy(cli, &chosen, argc > 0 ? argv[0] : NULL);
    text_list_done(&chosen.files);
    text_list_done(&chosen.profiles);
    text_list_done(&chosen.env_files);
    return rc;
}
