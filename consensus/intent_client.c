#include "consensus/intent_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/codec.h"
#include "consensus/intent_items.h"

enum {
    CLIENT_FIELDS = 11,
};

static size_t text_bytes(const struct intent_client *client)
{
    return client->message && client->hint ? strlen(client->message) + strlen(client->hint) : 0;
}

void intent_client_free(struct intent_client *client)
{
    if (!client)
        return;
    free(client->message);
    free(client->hint);
    free(client);
}

bool intent_client_answers(struct intent_apply *apply)
{
    const struct command_head *head = apply->head;
    struct intent_result *result = apply->result;
    const struct intent_client *client = table_find(&apply->intent->clients, &head->client);
    if (!client && head->since >= apply->intent->forgotten)
        return false;
    if (client && head->sequence > client->sequence)
        return false;
    if (!client || head->sequence < client->sequence) {
        error_set(&result->error, -ESTALE,
                  "nobody remembers whether this change was made already: %s",
                  client ? "its sender has made another since" : "too many others came since");
        error_hint(&result->error, "look at what is there, and ask again for what is missing");
        return true;
    }
    result->serial = client->serial;
    result->version = client->version;
    result->revision = client->revision;
    result->unchanged = client->unchanged;
    if (client->code < 0) {
        error_set(&result->error, client->code, "%s", client->message);
        error_hint(&result->error, "%s", client->hint);
    }
    return true;
}

static void forget_oldest(struct intent *intent)
{
    struct intent_client *oldest = intent->clients.items[0];
    for (size_t i = 1; i < intent->clients.count; i++) {
        struct intent_client *client = intent->clients.items[i];
        if (client->index < oldest->index)
            oldest = client;
    }
    intent->forgotten = oldest->index;
    intent->client_bytes -= text_bytes(oldest);
    table_remove(&intent->clients, &oldest->client);
    intent_client_free(oldest);
}

static struct intent_client *find_or_add(struct intent_apply *apply)
{
    struct intent *intent = apply->intent;
    struct intent_client *client = table_find(&intent->clients, &apply->head->client);
    if (client)
        return client;
    if (intent->clients.count == INTENT_CLIENTS_MAX)
        forget_oldest(intent);
    client = calloc(1, sizeof(*client));
    if (!client)
        return NULL;
    client->client = apply->head->client;
    if (table_insert(&intent->clients, client) < 0) {
        free(client);
        return NULL;
    }
    return client;
}

int intent_client_remember(struct intent_apply *apply, int code)
{
    struct intent *intent = apply->intent;
    const struct intent_result *result = apply->result;
    struct intent_client *client = find_or_add(apply);
    char *message = code < 0 ? strdup(result->error.message) : NULL;
    char *hint = code < 0 ? strdup(result->error.hint) : NULL;
    if (!client || (code < 0 && (!message || !hint))) {
        free(message);
        free(hint);
        return -ENOMEM;
    }
    intent->client_bytes -= text_bytes(client);
    free(client->message);
    free(client->hint);
    client->message = message;
    client->hint = hint;
    client->sequence = apply->head->sequence;
    client->since = apply->head->since;
    client->index = apply->index;
    client->code = code;
    client->serial = result->serial;
    client->version = result->version;
    client->revision = result->revision;
    client->unchanged = result->unchanged;
    intent->client_bytes += text_bytes(client);
    while (intent->client_bytes > INTENT_CLIENT_TEXTS_BYTES_MAX)
        forget_oldest(intent); /* never this one: it is the newest */
    return code;
}

static void client_write(struct writer *writer, const struct intent_client *client)
{
    writer_array(writer, CLIENT_FIELDS);
    writer_u64(writer, client->client);
    writer_u64(writer, client->sequence);
    writer_u64(writer, client->since);
    writer_u64(writer, client->index);
    writer_i64(writer, client->code);
    writer_u64(writer, client->serial);
    writer_u64(writer, client->version);
    writer_u64(writer, client->revision);
    writer_bool(writer, client->unchanged);
    writer_text(writer, client->message ? client->message : "");
    writer_text(writer, client->hint ? client->hint : "");
}

void intent_clients_write(struct writer *writer, const struct intent *intent)
{
    writer_u64(writer, intent->forgotten);
    writer_array(writer, intent->clients.count);
    for (size_t i = 0; i < intent->clients.count; i++)
        client_write(writer, intent->clients.items[i]);
}

static void client_read(struct reader *reader, const struct intent *intent,
                        struct intent_client *client)
{
    int64_t code = 0;
    reader_array_exact(reader, CLIENT_FIELDS);
    reader_u64(reader, &client->client);
    reader_u64(reader, &client->sequence);
    reader_u64(reader, &client->since);
    reader_u64(reader, &client->index);
    reader_i64(reader, &code);
    reader_u64(reader, &client->serial);
    reader_u64(reader, &client->version);
    reader_u32(reader, &client->revision);
    reader_bool(reader, &client->unchanged);
    reader_dup_text(reader, &client->message, BASE_ERROR_BYTES_MAX - 1);
    reader_dup_text(reader, &client->hint, BASE_ERROR_BYTES_MAX - 1);
    if (code > 0 || code < INT32_MIN || client->index > intent->applied_index ||
        client->index <= intent->forgotten)
        reader_refuse(reader);
    if (code == 0 && reader_check(reader) == 0 && (*client->message || *client->hint))
        reader_refuse(reader);
    client->code = (int)code;
}

void intent_clients_read(struct reader *reader, struct intent *intent)
{
    reader_u64(reader, &intent->forgotten);
    if (intent->forgotten > intent->applied_index)
        reader_refuse(reader);
    uint32_t count = codec_read_count(reader, INTENT_CLIENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct intent_client *client = intent_item_new(reader, sizeof(*client));
        if (!client)
            return;
        client_read(reader, intent, client);
        if (!intent_item_append(reader, &intent->clients, client)) {
            intent_client_free(client);
            return;
        }
        intent->client_bytes += text_bytes(client);
    }
    if (intent->client_bytes > INTENT_CLIENT_TEXTS_BYTES_MAX)
        reader_refuse(reader);
}
