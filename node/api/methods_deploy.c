/* Deploying a stack; and seeing before what that would change. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/intent_plan.h"
#include "node/api/describe.h"
#include "node/api/privilege.h"
#include "node/api/resolve.h"
#include "node/api/sealed.h"

/* --- Both --- */

/* The command that the call brings, checked against the caller's role, secrets sealed. False once
 * the call was failed, or passed on to a peer that can open the secrets. */
static bool take_command(struct api_call *call, struct bytes params, struct command *ret)
{
    struct reader reader;
    struct bytes packed;
    int rc = frame_find(params, "spec", &reader) ? reader_binary(&reader, &packed) : -EINVAL;
    if (rc == 0)
        rc = command_decode(packed, ret);
    if (rc < 0 || ret->head.type != COMMAND_DEPLOY) {
        api_fail_with(call, -EBADMSG, "use the same version of consort here and at the peer",
                      "the deploy's contents make no sense to this peer");
        if (rc == 0)
            command_done(ret);
        return false;
    }
    struct command_deploy *deploy = &ret->deploy;
    if (!api_refuse_privileged(call, deploy->services, deploy->service_count) &&
        api_seal(call, params, deploy->blobs, deploy->blob_count))
        return true;
    command_done(ret);
    return false;
}

/* --- Deploy --- */

static void on_changed(void *context, const struct agent_result *decided)
{
    answer_changed(context, decided, "revision", decided->result.revision);
}

static void method_deploy(struct api_call *call, struct bytes params)
{
    struct command command;
    if (take_command(call, params, &command))
        propose_resolved(call, &command, command.deploy.services, command.deploy.service_count,
                         on_changed);
}

/* --- The plan --- */

static void put_parts(struct writer *writer, uint32_t parts)
{
    size_t count = 0;
    for (int part = 0; part < INTENT_PLAN_PARTS; part++)
        count += parts >> part & 1;
    writer_text(writer, "differs_in");
    writer_array(writer, count);
    for (int part = 0; part < INTENT_PLAN_PARTS; part++)
        if (parts >> part & 1)
            writer_text(writer, intent_plan_part_text(part));
}

static int put_services(struct writer *writer, const struct intent *intent,
                        struct command_deploy *deploy)
{
    static const char *const changes[] = {[INTENT_PLAN_NEW] = "new",
                                          [INTENT_PLAN_UNCHANGED] = "unchanged",
                                          [INTENT_PLAN_SCALE] = "scale",
                                          [INTENT_PLAN_LIMITS] = "limits",
                                          [INTENT_PLAN_UPDATE] = "update"};
    writer_text(writer, "services");
    writer_array(writer, deploy->service_count);
    for (size_t i = 0; i < deploy->service_count; i++) {
        struct intent_plan_service plan;
        int rc = intent_plan_service(intent, deploy, i, &plan);
        if (rc < 0)
            return rc;
        writer_map(writer, 5);
        put_text(writer, "name", deploy->services[i].name);
        put_text(writer, "change", changes[plan.change]);
        put_u64(writer, "revision", plan.revision);
        put_u64(writer, "replicas", plan.replicas);
        put_parts(writer, plan.parts);
    }
    return 0;
}

static void put_removed(struct writer *writer, const struct intent *intent,
                        const struct command_deploy *deploy)
{
    size_t count = 0;
    for (size_t i = 0; i < intent->services.count; i++)
        count += intent_plan_removes(deploy, intent->services.items[i]);
    writer_text(writer, "removed");
    writer_array(writer, count);
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        if (intent_plan_removes(deploy, service))
            writer_text(writer, service->name);
    }
}

static void put_missing(struct writer *writer, const struct text_list *missing)
{
    writer_text(writer, "missing_images");
    writer_array(writer, missing->count);
    for (size_t i = 0; i < missing->count; i++)
        writer_text(writer, missing->items[i]);
}

static int plan(const struct peer *peer, struct command_deploy *deploy, struct buffer *ret,
                struct error *error)
{
    const struct intent *intent = agent_intent(peer->agent);
    struct text_list missing = {0};
    struct writer writer;
    writer_init(&writer, ret);
    int rc = intent_plan_check(intent, deploy, error);
    if (rc == 0)
        rc = resolve_now(peer, deploy->services, deploy->service_count, &missing, error);
    if (rc == 0) {
        writer_map(&writer, 3);
        rc = put_services(&writer, intent, deploy);
        put_removed(&writer, intent, deploy);
        put_missing(&writer, &missing);
        rc = rc < 0 ? rc : writer_check(&writer);
        if (rc < 0)
            error_set_errno(error, rc, "comparing with what runs");
    }
    text_list_done(&missing);
    return rc;
}

/* Whoever may not deploy may not ask either: by the answers, contents of secrets can be guessed. */
static void method_plan(struct api_call *call, struct bytes params)
{
    struct command command;
    cleanup_buffer struct buffer result = {0};
    struct error error = {0};
    if (!take_command(call, params, &command))
        return;
    int rc = plan(call->peer, &command.deploy, &result, &error);
    command_done(&command);
    if (rc < 0)
        api_fail(call, &error);
    else
        api_answer(call, &result);
}

const struct api_entry api_deploy_methods[] = {
    {"deploy", ROLE_DEPLOYER, API_IN_CLUSTER, method_deploy},
    {"deploy.plan", ROLE_DEPLOYER, API_IN_CLUSTER, method_plan},
    {0},
};
