/* Changing what runs: scale, update, rollback, rm; and waiting until it does. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/describe.h"
#include "node/api/find.h"
#include "node/api/privilege.h"
#include "node/api/resolve.h"
#include "node/transport/socket.h"

static void on_changed(void *context, const struct agent_result *decided)
{
    answer_changed(context, decided, "revision", decided->result.revision);
}

/* --- One service --- */

static void method_scale(struct api_call *call, struct bytes params)
{
    uint64_t replicas = 0;
    struct command command = {.head.type = COMMAND_SCALE};
    if (!frame_u64(params, "replicas", &replicas) || replicas > INTENT_REPLICAS_MAX) {
        api_fail_with(call, -EINVAL, "as in: consort scale web=3", "how many replicas?");
        return;
    }
    if (!named_service(call, params, command.scale.service))
        return;
    command.scale.replicas = (uint32_t)replicas;
    propose_for(call, &command, on_changed);
}

/* Sets or removes "KEY=VALUE" in an environment. */
static int change_environment(struct service_spec *spec, const char *entry)
{
    struct text_list changed = {0};
    size_t key_size = strcspn(entry, "=");
    int rc = 0;
    for (size_t i = 0; i < spec->environment.count && rc == 0; i++) {
        const char *old = spec->environment.items[i];
        if (strcspn(old, "=") != key_size || memcmp(old, entry, key_size) != 0)
            rc = text_list_add(&changed, old);
    }
    if (rc == 0 && entry[key_size] == '=')
        rc = text_list_add(&changed, entry);
    if (rc < 0) {
        text_list_done(&changed);
        return rc;
    }
    text_list_done(&spec->environment);
    spec->environment = changed;
    return 0;
}

static int change_environments(struct service_spec *spec, struct bytes params, const char *key)
{
    struct reader reader;
    uint32_t count = 0;
    int rc = 0;
    if (!frame_find(params, key, &reader))
        return 0;
    if (reader_array(&reader, &count) < 0)
        return -EBADMSG;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        char *entry = NULL;
        rc = reader_dup_text(&reader, &entry, SPEC_TEXT_BYTES_MAX);
        if (rc == 0)
            rc = change_environment(spec, entry);
        free(entry);
    }
    return rc;
}

/* A label that is new each time makes a new revision of an unchanged spec. */
static int force_revision(struct service_spec *spec, uint32_t revision)
{
    char entry[64];
    snprintf(entry, sizeof(entry), "CONSORT_FORCED_UPDATE=%u", revision + 1);
    return change_environment(spec, entry);
}

/* Asks for the newest versions of configs and secrets that no stack brings. */
static void take_newest(const struct intent *intent, struct service_spec *spec)
{
    for (size_t i = 0; i < spec->file_count; i++) {
        struct spec_file *file = &spec->files[i];
        const struct intent_blob *newest = intent_blob_find(intent, file->kind, file->source);
        if (newest && newest->stack[0] == '\0')
            file->version = 0;
    }
}

/* Reads a number if it is there; -ERANGE with words if it is more than may be. */
static int change_number(struct bytes params, const char *key, uint32_t max, uint32_t *to,
                         struct error *error)
{
    uint64_t value;
    if (!frame_u64(params, key, &value))
        return 0;
    if (value > max)
        return error_set(error, -ERANGE, "%s can't be %" PRIu64 ": the most is %u", key, value,
                         max);
    *to = (uint32_t)value;
    return 0;
}

/* `*ret_image` says whether the spec names another image, whose digest is to be found. */
static int change_spec(struct bytes params, uint32_t revision, struct service_spec *spec,
                       bool *ret_image, struct error *error)
{
    char image[IMAGE_REFERENCE_BYTES_MAX];
    uint64_t value;
    int rc = change_environments(spec, params, "environment_add");
    if (rc == 0)
        rc = change_environments(spec, params, "environment_remove");
    if (rc == 0 && frame_flag(params, "force"))
        rc = force_revision(spec, revision);
    if (rc < 0)
        return error_set_errno(error, rc, "changing the environment");
    rc = change_number(params, "cpu_millis", UINT32_MAX, &spec->resources.cpu_limit_millis, error);
    if (rc == 0)
        rc = change_number(params, "replicas", INTENT_REPLICAS_MAX, &spec->replicas, error);
    if (rc < 0)
        return rc;
    if (frame_u64(params, "memory_bytes", &value))
        spec->resources.memory_limit_bytes = value;
    if (frame_text(params, "image", image, sizeof(image))) {
        free(spec->image);
        spec->image = strdup(image);
        if (!spec->image)
            return error_set_errno(error, -ENOMEM, "changing the image");
        *ret_image = true;
    }
    return 0;
}

static void method_update(struct api_call *call, struct bytes params)
{
    struct command command = {.head.type = COMMAND_UPDATE};
    struct error error = {0};
    const struct intent_service *service = named_service(call, params, command.update.service);
    if (!service)
        return;
    const struct intent_revision *revision = intent_revision_find(service, service->revision);
    if (api_refuse_privileged(call, &revision->spec, 1))
        return;
    int rc = service_spec_copy(&revision->spec, &command.update.spec);
    if (rc < 0) {
        api_fail_with(call, rc, NULL, "out of memory");
        return;
    }
    command.update.spec.replicas = service->replicas;
    if (frame_flag(params, "force"))
        take_newest(agent_intent(call->peer->agent), &command.update.spec);
    uint32_t newest =
        ((const struct intent_revision *)service->revisions.items[service->revisions.count - 1])
            ->number;
    bool has_new_image = false;
    rc = change_spec(params, newest, &command.update.spec, &has_new_image, &error);
    if (rc < 0) {
        api_fail(call, &error);
        command_done(&command);
        return;
    }
    propose_resolved(call, &command, &command.update.spec, has_new_image ? 1 : 0, on_changed);
}

static void method_rollback(struct api_call *call, struct bytes params)
{
    struct command command = {.head.type = COMMAND_ROLLBACK};
    struct error error = {0};
    if (!named_service(call, params, command.rollback.service))
        return;
    if (change_number(params, "revision", UINT32_MAX, &command.rollback.revision, &error) < 0) {
        api_fail(call, &error);
        return;
    }
    propose_for(call, &command, on_changed);
}

static void method_rm(struct api_call *call, struct bytes params)
{
    struct command command = {.head.type = COMMAND_REMOVE};
    const struct intent *intent = agent_intent(call->peer->agent);
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1] = "";
    struct error error = {0};
    frame_text(params, "name", name, sizeof(name));
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        if (strcmp(service->stack, name) == 0)
            command.remove.is_stack = true;
    }
    const struct intent_service *service = find_service(call->peer, name, &error);
    if (!service && !command.remove.is_stack) {
        if (error.code == -ENOENT)
            error_set(&error, -ENOENT, "there is no service or stack %s", name);
        fail_find(call, &error);
        return;
    }
    memcpy(command.remove.name, command.remove.is_stack ? name : service->name,
           sizeof(command.remove.name));
    propose_for(call, &command, on_changed);
}

/* --- Waiting --- */

enum {
    WAIT_POLL_MS = 100,
    WAIT_SERVICES_MAX = 64,
    WAIT_MAX_MS = 24 * 60 * 60 * 1000,
};

struct waiting {
    uv_timer_t timer;
    struct api_call *call;
    char services[WAIT_SERVICES_MAX][INTENT_SERVICE_NAME_BYTES_MAX + 1];
    size_t service_count;
    int64_t give_up_ms;
    bool starts_no_rollout; /* what is waited for: how the last one ended is past */
    uint64_t told;          /* a sum of what was told last: only changes are */
};

enum wait_verdict { WAIT_ON, WAIT_GOOD, WAIT_BAD };

static enum wait_verdict verdict_of(const struct waiting *waiting,
                                    const struct intent_service *service)
{
    const struct peer *peer = waiting->call->peer;
    if (!service)
        return WAIT_GOOD; /* removed */
    switch (service->rollout.state) {
    case INTENT_ROLLOUT_FAILED:
    case INTENT_ROLLOUT_ROLLED_BACK:
    case INTENT_ROLLOUT_PAUSED:
        if (!waiting->starts_no_rollout)
            return WAIT_BAD;
        break;
    case INTENT_ROLLOUT_RUNNING:
    case INTENT_ROLLOUT_ROLLING_BACK:
        return WAIT_ON;
    default:
        break;
    }
    return !service->removing && count_serving(peer, service) >= count_wanted(peer, service)
               ? WAIT_GOOD
               : WAIT_ON;
}

static void note_progress(struct waiting *waiting)
{
    const struct peer *peer = waiting->call->peer;
    uint64_t sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < waiting->service_count; i++) {
            const struct intent_service *service =
                intent_service_find(agent_intent(peer->agent), waiting->services[i]);
            if (!service)
                continue;
            uint32_t serving = count_serving(peer, service), wanted = count_wanted(peer, service);
            if (pass == 0) {
                sum = sum * 31 + serving * 1000003u + wanted * 7919u + service->rollout.state;
                continue;
            }
            cleanup_buffer struct buffer payload = {0};
            struct writer writer;
            writer_init(&writer, &payload);
            writer_map(&writer, 5);
            put_text(&writer, "service", service->name);
            put_u64(&writer, "serving", serving);
            put_u64(&writer, "replicas", wanted);
            put_text(&writer, "rollout", intent_rollout_state_text(service->rollout.state));
            put_text(&writer, "reason", service->rollout.reason);
            api_note(waiting->call, "progress", buffer_view(&payload));
        }
        if (pass == 0 && sum == waiting->told)
            return;
    }
    waiting->told = sum;
}

static void finish_wait(struct waiting *waiting, const struct intent_service *failed,
                        bool is_timeout)
{
    struct api_call *call = waiting->call;
    if (failed)
        api_fail_with(call, -ECANCELED, "see more with: consort why SERVICE, consort logs SERVICE",
                      "%s: revision %u %s: %s", failed->name, failed->rollout.to,
                      intent_rollout_state_text(failed->rollout.state), failed->rollout.reason);
    else if (is_timeout)
        api_fail_with(call, -ETIMEDOUT, "see what is missing with: consort why SERVICE",
                      "not all replicas serve yet");
    else
        api_answer(call, NULL);
    uv_close((uv_handle_t *)&waiting->timer, socket_free_owner);
}

static void on_wait_timer(uv_timer_t *timer)
{
    struct waiting *waiting = timer->data;
    struct peer *peer = waiting->call->peer;
    bool all_good = true;
    if (waiting->call->is_canceled || !peer->agent) {
        finish_wait(waiting, NULL, true);
        return;
    }
    note_progress(waiting);
    for (size_t i = 0; i < waiting->service_count; i++) {
        const struct intent_service *service =
            intent_service_find(agent_intent(peer->agent), waiting->services[i]);
        enum wait_verdict verdict = verdict_of(waiting, service);
        if (verdict == WAIT_BAD) {
            finish_wait(waiting, service, false);
            return;
        }
        all_good = all_good && verdict == WAIT_GOOD;
    }
    if (all_good)
        finish_wait(waiting, NULL, false);
    else if (peer_now_ms(peer) >= waiting->give_up_ms)
        finish_wait(waiting, NULL, true);
}

static void method_wait(struct api_call *call, struct bytes params)
{
    struct reader reader;
    uint32_t count = 0;
    uint64_t timeout_ms = 120000;
    struct waiting *waiting = calloc(1, sizeof(*waiting));
    if (!waiting || !frame_find(params, "services", &reader) || reader_array(&reader, &count) < 0 ||
        count > WAIT_SERVICES_MAX) {
        free(waiting);
        api_fail_with(call, -EINVAL, NULL, "wait for which services?");
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (reader_copy_text(&reader, waiting->services[i], sizeof(waiting->services[i])) == 0)
            waiting->service_count++;
    frame_u64(params, "timeout_ms", &timeout_ms);
    if (timeout_ms > WAIT_MAX_MS)
        timeout_ms = WAIT_MAX_MS;
    waiting->call = call;
    waiting->starts_no_rollout = frame_flag(params, "starts_no_rollout");
    waiting->give_up_ms = peer_now_ms(call->peer) + (int64_t)timeout_ms;
    uv_timer_init(call->peer->loop, &waiting->timer);
    waiting->timer.data = waiting;
    uv_timer_start(&waiting->timer, on_wait_timer, WAIT_POLL_MS, WAIT_POLL_MS);
}

const struct api_entry api_service_methods[] = {
    {"scale", ROLE_DEPLOYER, API_IN_CLUSTER, method_scale},
    {"update", ROLE_DEPLOYER, API_IN_CLUSTER, method_update},
    {"rollback", ROLE_DEPLOYER, API_IN_CLUSTER, method_rollback},
    {"rm", ROLE_DEPLOYER, API_IN_CLUSTER, method_rm},
    {"wait", ROLE_VIEWER, API_OF_INTENT, method_wait},
    {0},
};
