#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/cli/bounds.h"
#include "node/cli/cli.h"
#include "node/cli/client.h"
#include "node/cli/options.h"
#include "node/cli/output.h"

static const struct verb verbs[] = {
    {"node", "", "Run this machine's peer", verb_node},
    {"init", "", "Begin a new cluster with this peer", verb_init},
    {"join", "TOKEN", "Make this peer a member of the token's cluster", verb_join},
    {"leave", "", "Drain this peer, then leave the cluster", verb_leave},
    {"token create", "", "Make a token for peers or operators to join with", verb_token_create},
    {"token ls", "", "List the tokens that can still be used", verb_token_ls},
    {"token revoke", "ID", "Make a token useless", verb_token_revoke},
    {"peer ls", "", "List the peers of the cluster", verb_peer_ls},
    {"peer inspect", "PEER", "Show all about a peer", verb_peer_inspect},
    {"peer ping", "PEER", "See whether and how fast a peer answers", verb_peer_ping},
    {"peer trace", "PEER PEER", "Try each way from one peer to another", verb_peer_trace},
    {"peer revoke", "PEER", "Shut a peer or an operator out for good", verb_peer_revoke},
    {"cluster profile", "[lan|wan|edge]", "Show or choose how patiently peers watch one another",
     verb_cluster_profile},
    {"cluster voters", "[1|3|5|7]", "Show or choose how many peers vote at most",
     verb_cluster_voters},
    {"recover", "", "Go on without voters that are gone for good", verb_recover},
    {"status", "", "Show how this peer and the cluster are", verb_status},
    {"deploy", "[-f FILE] [NAME]", "Run what a Compose file says", verb_deploy},
    {"ps", "[SERVICE]", "List replicas", verb_ps},
    {"stats", "[SERVICE]", "Show what replicas take of CPU and memory", verb_stats},
    {"service ls", "", "List services", verb_service_ls},
    {"service inspect", "SERVICE", "Show all about a service", verb_service_inspect},
    {"scale", "SERVICE=N...", "Change how many replicas run", verb_scale},
    {"update", "SERVICE", "Change a service, replica by replica", verb_update},
    {"rollback", "SERVICE [REVISION]", "Go back to an earlier revision of a service",
     verb_rollback},
    {"rm", "NAME...", "Remove services or whole stacks", verb_rm},
    {"logs", "SERVICE|REPLICA", "Show what replicas print", verb_logs},
    {"exec", "REPLICA [--] COMMAND [ARGUMENT...]", "Run a command inside a replica", verb_exec},
    {"attach", "REPLICA", "See what a replica prints, and type to it", verb_attach},
    {"cp", "SOURCE DESTINATION", "Copy files into a replica (REPLICA:PATH) or out of it", verb_cp},
    {"top", "REPLICA", "List the processes of a replica", verb_top},
    {"port", "SERVICE [PORT]", "Show where a service's ports are published", verb_port},
    {"events", "", "Show what happened in the cluster", verb_events},
    {"watch", "", "Show peers, services and what happens, live", verb_watch},
    {"why", "SERVICE|REPLICA", "Explain why something is as it is", verb_why},
    {"image import", "FILE [NAME]",
     "Take in an OCI or docker archive ('-': standard input), or an OCI layout", verb_image_import},
    {"image pull", "NAME...", "Pull images from their registries", verb_image_pull},
    {"image save", "NAME [FILE]", "Write an image as an archive (else to standard output)",
     verb_image_save},
    {"image ls", "", "List images", verb_image_ls},
    {"image rm", "NAME...", "Remove images", verb_image_rm},
    {"config set", "NAME FILE|-", "Keep a file for services that say external", verb_config_set},
    {"config get", "NAME", "Print what a config holds", verb_config_get},
    {"config ls", "", "List configs and who uses them", verb_config_ls},
    {"config rm", "NAME...", "Remove configs that no service uses", verb_config_rm},
    {"secret set", "NAME FILE|-", "Keep a secret file, which is never printed again",
     verb_secret_set},
    {"secret ls", "", "List secrets and who uses them", verb_secret_ls},
    {"secret rm", "NAME...", "Remove secrets that no service uses", verb_secret_rm},
    {"quota set", "STACK", "Limit what a stack's services have together", verb_quota_set},
    {"quota ls", "", "List quotas, and what is used of them", verb_quota_ls},
    {"quota rm", "STACK", "Take a stack's quota away", verb_quota_rm},
    {"context create", "NAME TOKEN", "Manage a fleet elsewhere from this machine",
     verb_context_create},
    {"context ls", "", "List the fleets known here", verb_context_ls},
    {"context use", "NAME", "Choose the fleet that commands are for", verb_context_use},
    {"context rm", "NAME", "Forget a fleet and the key to it", verb_context_rm},
    {"version", "", "Show the version", verb_version},
    {"mesh-process", "", NULL, verb_mesh_process}, /* likewise, see node/mesh_process/process.h */
    {"pull-worker", "", NULL, verb_pull_worker},   /* for the peer itself, see node/images/pull.c */
};

int cli_fail(const struct error *error)
{
    fflush(stdout);
    fprintf(stderr, "consort: %s\n", error->message);
    if (error->hint[0] != '\0')
        fprintf(stderr, "  %s\n", error->hint);
    return CLI_FAILED;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fputs("consort: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    const char *name = cli->verb ? cli->verb->name : ""; /* empty before any verb */
    fprintf(stderr, "\n  see: consort %s%s--help\n", name, *name ? " " : "");
    return CLI_USAGE;
}

int cli_ask(const struct cli *cli, const char *method, json_t *params, json_t **ret)
{
    struct client *client = NULL;
    struct error error = {0};
    int rc = client_open(cli, &client, &error);
    if (cli->consistent) {
        params = params ? params : json_object();
        json_object_set_new(params, "consistent", json_true());
    }
    if (rc == 0)
        rc = client_call_json(client, method, params, NULL, NULL, ret, &error);
    else
        json_decref(params);
    client_close(client);
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}

int cli_do(const struct cli *cli, const char *method, json_t *params,
           void (*say)(const json_t *result))
{
    json_t *result = NULL;
    int rc = cli_ask(cli, method, params, &result);
    if (rc != CLI_OK)
        return rc;
    if (cli->format == CLI_JSON)
        output_json(result);
    else
        say(result);
    json_decref(result);
    return CLI_OK;
}

/* Lists the verbs that begin with that word and a space; all of them for NULL. */
static void print_verbs(const char *word)
{
    for (size_t i = 0; i < array_count(verbs); i++) {
        char left[CLI_TEXT_BYTES_MAX];
        size_t size = word ? strlen(word) : 0;
        if (!verbs[i].summary)
            continue;
        if (word && (strncmp(verbs[i].name, word, size) != 0 || verbs[i].name[size] != ' '))
            continue;
        snprintf(left, sizeof(left), "%s%s%s", verbs[i].name, *verbs[i].usage ? " " : "",
                 verbs[i].usage);
        printf("  %-40s  %s\n", left, verbs[i].summary);
    }
}

static int print_overview(void)
{
    puts("Usage: consort [OPTIONS] COMMAND\n\nRuns containers on a fleet of equal machines.\n\n"
         "Commands:");
    print_verbs(NULL);
    puts("\nOptions:\n"
         "  --socket PATH         The peer's socket (or CONSORT_SOCKET; " CLIENT_SOCKET_DEFAULT
         ")\n"
         "  --context NAME        A fleet elsewhere (or CONSORT_CONTEXT): see consort context\n"
         "  --format text|json    How to print\n"
         "  --help                Show this; consort COMMAND --help: show a command's options\n\n"
         "A first fleet: consort node & consort init; consort token create; and on the next "
         "machine\n"
         "consort node & consort join TOKEN.");
    return CLI_OK;
}

/* The verb of one word or two; `*ret_words` says which. */
static const struct verb *find_verb(int argc, char **argv, int *ret_words)
{
    for (size_t i = 0; i < array_count(verbs); i++) {
        const char *name = verbs[i].name, *space = strchr(name, ' ');
        size_t size = space ? (size_t)(space - name) : strlen(name);
        if (strlen(argv[0]) != size || strncmp(argv[0], name, size) != 0)
            continue;
        if (space && (argc < 2 || strcmp(argv[1], space + 1) != 0))
            continue;
        *ret_words = space ? 2 : 1;
        return &verbs[i];
    }
    return NULL;
}

static bool is_group(const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i < array_count(verbs); i++)
        if (strncmp(verbs[i].name, word, size) == 0 && verbs[i].name[size] == ' ')
            return true;
    return false;
}

static int run_group(const struct cli *cli, int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("Usage: consort %s COMMAND\n\nCommands:\n", argv[0]);
        print_verbs(argv[0]);
        return CLI_OK;
    }
    const struct verb group = {argv[0], "", "", NULL}; /* whose --help lists its commands */
    struct cli at_group = *cli;
    at_group.verb = &group;
    if (argc > 1)
        return cli_usage(&at_group, "there is no command %s %s", argv[0], argv[1]);
    return cli_usage(&at_group, "%s what?", argv[0]);
}

/* Whether --help stands before any command. */
static bool wants_overview(int argc, char **argv)
{
    for (int i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
        if (strcmp(argv[i], "--socket") == 0 || strcmp(argv[i], "--context") == 0 ||
            strcmp(argv[i], "--format") == 0)
            i++; /* its value */
    }
    return false;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct verb top = {"", "", "", NULL};
    int words;
    if (wants_overview(argc, argv))
        return print_overview();
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return verb_version(cli, 1, argv);
    cli->verb = &top;
    int rc = options_parse_ahead(cli, NULL, 0, &argc, &argv);
    cli->verb = NULL;
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc == 0)
        return cli_usage(cli, "which command?");
    cli->verb = find_verb(argc, argv, &words);
    if (cli->verb)
        return cli->verb->run(cli, argc - words + 1, argv + words - 1);
    if (is_group(argv[0]))
        return run_group(cli, argc, argv);
    return cli_usage(cli, "there is no command %s", argv[0]);
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    signal(SIGPIPE, SIG_IGN);
    if (sodium_init() < 0) {
        fputs("consort: libsodium does not start: no source of random numbers?\n", stderr);
        return CLI_FAILED;
    }
    int code = run(&cli, argc, argv);
    if (fflush(stdout) != 0 && code == CLI_OK && errno != EPIPE) {
        fprintf(stderr, "consort: writing the output: %s\n", strerror(errno));
        return CLI_FAILED;
    }
    return code;
}
