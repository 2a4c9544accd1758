/* consort logs: of one replica, or of all of a service's, wherever they run */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cli/client.h"
#include "node/cli/follow.h"
#include "node/cli/options.h"
#include "node/cli/output.h"

enum {
    FOLLOW_LOOK_S = 1, /* between looks for replicas that have started */
};

static bool show_times;

static void say_line(const json_t *line)
{
    FILE *to = json_number(line, "stream") == 2 ? stderr : stdout;
    char when[40] = "";
    if (show_times) {
        time_t seconds = (time_t)(json_number(line, "wall_ns") / 1000000000);
        struct tm utc;
        if (gmtime_r(&seconds, &utc))
            strftime(when, sizeof(when), "%FT%TZ ", &utc);
    }
    fprintf(to, "%s%s@%s | %s\n", when, json_text(line, "replica"), json_text(line, "peer"),
            json_text(line, "text"));
}

/* The replicas that the subject means, as the API's list. */
static int list_replicas(struct cli *cli, const char *subject, json_t **ret)
{
    char service[256];
    snprintf(service, sizeof(service), "%.*s", (int)strcspn(subject, "."), subject);
    return cli_ask(cli, "ps", json_pack("{s:s}", "service", service), ret);
}

/* "service.slot.generation": a slot's replicas come and go, and each has a log of its own. */
static void name_of(const json_t *replica, char ret[320])
{
    snprintf(ret, 320, "%s.%lld", json_text(replica, "name"),
             (long long)json_number(replica, "generation"));
}

static int show_one(struct cli *cli, const char *name, const json_t *options)
{
    json_t *params = json_deep_copy(options);
    json_object_set_new(params, "subject", json_string(name));
    return follow_call(cli, "logs", params, "line", say_line);
}

/* One call for each replica, one after the other: their peers answer for them. */
static int show_each(struct cli *cli, const json_t *replicas, const json_t *options)
{
    int rc = CLI_OK;
    for (size_t i = 0; i < json_array_size(replicas) && rc == CLI_OK; i++) {
        char name[320];
        name_of(json_array_get(replicas, i), name);
        rc = show_one(cli, name, options);
    }
    return rc;
}

/* Follows each replica that is not in `followed` yet from a process of its own, which ends with
 * this one. */
static void follow_new(struct cli *cli, const json_t *replicas, const json_t *options,
                       json_t *followed)
{
    pid_t parent = getpid();
    for (size_t i = 0; i < json_array_size(replicas); i++) {
        char name[320];
        name_of(json_array_get(replicas, i), name);
        if (json_object_get(followed, name))
            continue;
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            _exit(getppid() == parent ? show_one(cli, name, options) : CLI_FAILED);
        }
        if (pid > 0)
            json_object_set_new(followed, name, json_true());
    }
}

/* Replicas that start later are followed too. Ends when the service is gone, or nobody answers. */
static int follow_all(struct cli *cli, const char *service, const json_t *options)
{
    json_t *followed = json_object();
    for (;;) {
        json_t *listed = NULL;
        int rc = list_replicas(cli, service, &listed);
        if (rc != CLI_OK) {
            while (wait(NULL) > 0 || errno == EINTR)
                ; /* what was printed last is still shown */
            json_decref(followed);
            return rc;
        }
        follow_new(cli, json_object_get(listed, "replicas"), options, followed);
        json_decref(listed);
        sleep(FOLLOW_LOOK_S);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

int verb_logs(struct cli *cli, int argc, char **argv)
{
    bool follow = false;
    uint32_t tail = 0;
    int64_t since_ms = 0;
    struct option_row rows[] = {
        OPTION_ROW('f', "follow", NULL, "Go on with what is printed", OPTION_FLAG, &follow),
        OPTION_ROW('n', "tail", "N", "Only the last lines of each replica", OPTION_COUNT, &tail),
        OPTION_ROW(0, "since", "TIME", "Only what is younger, as 10m", OPTION_DURATION, &since_ms),
        OPTION_ROW('t', "timestamps", NULL, "Show when", OPTION_FLAG, &show_times),
    };
    json_t *listed = NULL;
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one service or replica is expected");
    json_t *options = json_pack("{s:b}", "follow", follow);
    if (rows[1].is_given)
        json_object_set_new(options, "tail", json_integer(tail));
    if (since_ms > 0)
        json_object_set_new(options, "since_wall_ms",
                            json_integer((json_int_t)time(NULL) * 1000 - since_ms));
    if (strchr(argv[0], '.')) {
        json_object_set_new(options, "subject", json_string(argv[0]));
        return follow_call(cli, "logs", options, "line", say_line);
    }
    if (follow) {
        rc = follow_all(cli, argv[0], options);
    } else {
        rc = list_replicas(cli, argv[0], &listed);
        if (rc == CLI_OK)
            rc = show_each(cli, json_object_get(listed, "replicas"), options);
        json_decref(listed);
    }
    json_decref(options);
    return rc;
}
