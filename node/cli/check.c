/* consort deploy --check: what a deploy would do, without doing it */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "node/cli/client.h"
#include "node/cli/deploy.h"
#include "node/cli/output.h"

/* 0 with the plan, or with none and why; or what the peer refuses the deploy for. */
static int ask_plan(struct cli *cli, struct bytes params, json_t **ret_plan,
                    struct error *ret_reason, struct error *error)
{
    struct client *client = NULL;
    struct error why = {0};
    int rc = client_open(cli, &client, ret_reason);
    if (rc < 0)
        return 0;
    rc = client_call(client, "deploy.plan", params, NULL, NULL, ret_plan, &why);
    client_close(client);
    if (rc == -ENOTCONN || rc == -EPIPE || rc == -ECONNRESET || rc == -ETIMEDOUT) {
        *ret_reason = why;
        return 0;
    }
    if (rc == -ENOSYS)
        return error_set(ret_reason, 0, "the peer is of an older version");
    if (rc < 0)
        *error = why;
    return rc;
}

int deploy_check(struct cli *cli, const struct compose_result *loaded)
{
    cleanup_buffer struct buffer params = {0}, text = {0};
    struct error error = {0}, reason = {0};
    json_t *plan = NULL;
    int rc = deploy_make_params(loaded, &params, &error);
    if (rc == 0)
        rc = ask_plan(cli, buffer_view(&params), &plan, &reason, &error);
    if (rc < 0)
        return cli_fail(&error);
    json_t *report = deploy_report(loaded, plan, reason.message);
    json_decref(plan);
    if (report && cli->format == CLI_JSON)
        output_json(report);
    else if (report)
        deploy_format_report(report, &text);
    if (text.size > 0)
        fwrite(text.bytes, 1, text.size, stdout);
    json_decref(report);
    if (report)
        return CLI_OK;
    error_set_errno(&error, -ENOMEM, "checking %s", loaded->stack);
    return cli_fail(&error);
}
