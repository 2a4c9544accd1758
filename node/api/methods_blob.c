/* The cluster's configs and secrets: set, listed, removed; configs are also read. What a secret
 * holds is answered to nobody. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "node/api/describe.h"
#include "node/api/sealed.h"

enum {
    BLOBS_PAGE = 1000,
    BLOB_KEYS = 7,           /* of a config; a secret has one more */
    NAMED_SERVICES_MAX = 16, /* of those that use it */
};

/* --- Set and remove --- */

static void on_set(void *context, const struct agent_result *decided)
{
    answer_changed(context, decided, "version", decided->result.version);
}

static bool read_data(struct bytes params, struct bytes *ret)
{
    struct reader reader;
    if (!frame_find(params, "data", &reader))
        return false;
    return (reader_peek(&reader) == READER_TEXT ? reader_text(&reader, ret)
                                                : reader_binary(&reader, ret)) == 0;
}

/* False, and the call is answered, without a name that can be one. */
static bool read_name(struct api_call *call, struct bytes params, uint8_t kind,
                      char ret[INTENT_SERVICE_NAME_BYTES_MAX + 1])
{
    if (frame_text(params, "name", ret, INTENT_SERVICE_NAME_BYTES_MAX + 1) && ret[0] != '\0')
        return true;
    api_fail_with(call, -EINVAL, NULL, "a %s's name is missing, or longer than %d bytes",
                  intent_blob_kind_text(kind), INTENT_SERVICE_NAME_BYTES_MAX);
    return false;
}

static void set_blob(struct api_call *call, struct bytes params, enum spec_file_kind kind)
{
    struct command command = {.head.type = COMMAND_BLOB_SET, .blob_set.blob.kind = (uint8_t)kind};
    struct command_blob_set *set = &command.blob_set;
    struct bytes data;
    struct reader expected;
    if (!read_name(call, params, kind, set->blob.name))
        return;
    if (!read_data(params, &data)) {
        api_fail_with(call, -EINVAL, NULL, "what shall the %s hold?", intent_blob_kind_text(kind));
        return;
    }
    if (data.size > INTENT_BLOB_BYTES_MAX) {
        api_fail_with(call, -E2BIG, NULL, "a %s is at most %d KiB large",
                      intent_blob_kind_text(kind), INTENT_BLOB_BYTES_MAX / 1024);
        return;
    }
    set->has_expected = frame_find(params, "expected", &expected);
    if (set->has_expected && reader_u64(&expected, &set->expected) < 0) {
        api_fail_with(call, -EINVAL, NULL, "the expected version is no number");
        return;
    }
    if (buffer_append(&set->blob.content, data.data, data.size) < 0) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    if (kind == SPEC_FILE_CONFIG || api_seal(call, params, &set->blob, 1))
        propose_for(call, &command, on_set);
    command_done(&command);
}

static void remove_blob(struct api_call *call, struct bytes params, enum spec_file_kind kind)
{
    struct command command = {.head.type = COMMAND_BLOB_REMOVE, .blob_remove.kind = (uint8_t)kind};
    if (read_name(call, params, kind, command.blob_remove.name))
        propose_for(call, &command, answer_done);
}

/* --- Look --- */

/* Those that use it, some of many; only counts without `writer`. */
static size_t put_users(struct writer *writer, const struct intent *intent,
                        const struct intent_blob *blob)
{
    size_t count = 0;
    for (size_t i = 0; i < intent->services.count && count < NAMED_SERVICES_MAX; i++) {
        const struct intent_service *service = intent->services.items[i];
        uint64_t version = intent_blob_used_by(intent, service, blob->kind, blob->name);
        if (version == 0)
            continue;
        count++;
        if (!writer)
            continue;
        writer_map(writer, 2);
        put_text(writer, "service", service->name);
        put_u64(writer, "version", version);
    }
    return count;
}

/* The peers that can open a secret. */
static void put_holders(struct writer *writer, const struct intent *intent,
                        const struct intent_blob *blob)
{
    writer_text(writer, "sealed_to");
    writer_array(writer, blob->wrap_count);
    for (size_t i = 0; i < blob->wrap_count; i++) {
        const struct id *id = &blob->wraps[i].peer;
        const struct intent_peer *peer = intent_peer_find(intent, id);
        writer_text(writer, peer ? peer->name : id_short(id));
    }
}

static void put_blob(struct writer *writer, const struct intent *intent,
                     const struct intent_blob *blob)
{
    bool is_secret = blob->kind == SPEC_FILE_SECRET;
    writer_map(writer, is_secret ? BLOB_KEYS + 1 : BLOB_KEYS);
    put_text(writer, "name", blob->name);
    put_u64(writer, "version", blob->version);
    put_u64(writer, "size_bytes", intent_blob_size(blob));
    put_text(writer, "stack", blob->stack);
    put_i64(writer, "wall_ms", blob->wall_ms);
    put_text(writer, "actor", blob->actor);
    writer_text(writer, "services");
    writer_array(writer, put_users(NULL, intent, blob));
    put_users(writer, intent, blob);
    if (is_secret)
        put_holders(writer, intent, blob);
}

/* The newest versions of those after that name, as many as go into one answer; only counts them
 * without `writer`. */
static size_t put_page(struct writer *writer, const struct intent *intent, uint8_t kind,
                       const char *after, const char **ret_last)
{
    size_t count = 0;
    for (size_t i = 0; i < intent->blobs.count && count < BLOBS_PAGE; i++) {
        const struct intent_blob *blob = intent->blobs.items[i];
        if (blob->kind != kind || strcmp(blob->name, after) <= 0 ||
            intent_blob_find(intent, kind, blob->name) != blob)
            continue;
        count++;
        *ret_last = blob->name;
        if (writer)
            put_blob(writer, intent, blob);
    }
    return count;
}

static void list_blobs(struct api_call *call, struct bytes params, enum spec_file_kind kind)
{
    const struct intent *intent = agent_intent(call->peer->agent);
    cleanup_buffer struct buffer result = {0};
    char after[INTENT_SERVICE_NAME_BYTES_MAX + 1] = "";
    const char *last = "";
    struct writer writer;
    frame_text(params, "after", after, sizeof(after));
    size_t count = put_page(NULL, intent, (uint8_t)kind, after, &last);
    writer_init(&writer, &result);
    writer_map(&writer, 2);
    writer_text(&writer, kind == SPEC_FILE_SECRET ? "secrets" : "configs");
    writer_array(&writer, count);
    put_page(&writer, intent, (uint8_t)kind, after, &last);
    put_text(&writer, "next", count == BLOBS_PAGE ? last : "");
    api_answer(call, &result);
}

static void method_config_get(struct api_call *call, struct bytes params)
{
    cleanup_buffer struct buffer result = {0};
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    struct writer writer;
    if (!read_name(call, params, SPEC_FILE_CONFIG, name))
        return;
    const struct intent_blob *blob =
        intent_blob_find(agent_intent(call->peer->agent), SPEC_FILE_CONFIG, name);
    if (!blob) {
        api_fail_with(call, -ENOENT, "see what there is: consort config ls",
                      "there is no config %s", name);
        return;
    }
    writer_init(&writer, &result);
    writer_map(&writer, 4);
    writer_text(&writer, "data");
    writer_binary(&writer, blob->content.bytes, blob->content.size);
    put_u64(&writer, "version", blob->version);
    put_text(&writer, "actor", blob->actor);
    put_i64(&writer, "wall_ms", blob->wall_ms);
    api_answer(call, &result);
}

static void method_config_set(struct api_call *call, struct bytes params)
{
    set_blob(call, params, SPEC_FILE_CONFIG);
}

static void method_config_ls(struct api_call *call, struct bytes params)
{
    list_blobs(call, params, SPEC_FILE_CONFIG);
}

static void method_config_rm(struct api_call *call, struct bytes params)
{
    remove_blob(call, params, SPEC_FILE_CONFIG);
}

static void method_secret_set(struct api_call *call, struct bytes params)
{
    set_blob(call, params, SPEC_FILE_SECRET);
}

static void method_secret_ls(struct api_call *call, struct bytes params)
{
    list_blobs(call, params, SPEC_FILE_SECRET);
}

static void method_secret_rm(struct api_call *call, struct bytes params)
{
    remove_blob(call, params, SPEC_FILE_SECRET);
}

const struct api_entry api_blob_methods[] = {
    {"config.set", ROLE_DEPLOYER, API_IN_CLUSTER, method_config_set},
    {"config.get", ROLE_VIEWER, API_OF_INTENT, method_config_get},
    {"config.ls", ROLE_VIEWER, API_OF_INTENT, method_config_ls},
    {"config.rm", ROLE_DEPLOYER, API_IN_CLUSTER, method_config_rm},
    {"secret.set", ROLE_DEPLOYER, API_IN_CLUSTER, method_secret_set},
    {"secret.ls", ROLE_VIEWER, API_OF_INTENT, method_secret_ls},
    {"secret.rm", ROLE_DEPLOYER, API_IN_CLUSTER, method_secret_rm},
    {0},
};
