/* consort events, why */
#include <stdio.h>
#include <time.h>

#include "base/cleanup.h"
#include "node/cli/follow.h"
#include "node/cli/list.h"
#include "node/cli/options.h"

static void say_event(const json_t *event)
{
    char when[32] = "";
    time_t seconds = (time_t)(json_number(event, "wall_ms") / 1000);
    struct tm local;
    if (localtime_r(&seconds, &local))
        strftime(when, sizeof(when), "%F %T", &local);
    printf("%s  %-8s  %-12s  %-20s  ", when, json_text(event, "kind"), json_text(event, "actor"),
           json_text(event, "subject"));
    output_text(json_text(event, "text"));
    putchar('\n');
}

int verb_events(struct cli *cli, int argc, char **argv)
{
    bool follow = false;
    struct option_row rows[] = {
        OPTION_ROW('f', "follow", NULL, "Go on with what happens", OPTION_FLAG, &follow),
        OPTION_CONSISTENT(cli),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "events takes no argument");
    json_t *params = json_pack("{s:b s:b}", "follow", follow, "consistent", cli->consistent);
    return follow ? follow_call(cli, "events", params, "event", say_event)
                  : follow_list(cli, "events", params, "event", say_event);
}

static void say_lines(const json_t *result)
{
    const json_t *lines = json_object_get(result, "lines");
    for (size_t i = 0; i < json_array_size(lines); i++) {
        output_text(json_string_value(json_array_get(lines, i)));
        putchar('\n');
    }
}

int verb_why(struct cli *cli, int argc, char **argv)
{
    return show_intent_verb(cli, argc, argv, "why", "subject", say_lines);
}
