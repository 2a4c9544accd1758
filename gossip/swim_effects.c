/* What a step brings about: messages and events are collected as pending, and handed over at the
 * end of the step.
 */
#include <string.h>

#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    CAPACITY_MIN = 8,
};

void swim_fail(struct swim *swim, int rc)
{
    if (swim->rc == 0)
        swim->rc = rc;
}

/* Makes room for one more item in an array; returns its new address, or NULL without a change. */
static void *grow_array(void *array, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return array;
    size_t wanted = *capacity ? 2 * *capacity : CAPACITY_MIN;
    void *grown = reallocarray(array, wanted, item_size);
    if (grown)
        *capacity = wanted;
    return grown;
}

static struct swim_event *add_event(struct swim *swim)
{
    struct swim_output *pending = &swim->pending;
    struct swim_event *events = grow_array(pending->events, pending->event_count,
                                           &pending->event_capacity, sizeof(*events));
    if (!events) {
        swim_fail(swim, -ENOMEM);
        return NULL;
    }
    pending->events = events;
    struct swim_event *event = &events[pending->event_count++];
    memset(event, 0, sizeof(*event));
    return event;
}

struct swim_event *swim_event(struct swim *swim, enum swim_event_type type, const struct id *id,
                              const struct id *by, uint64_t version)
{
    struct swim_event *event = add_event(swim);
    if (!event)
        return NULL;
    event->type = type;
    event->id = *id;
    event->by = by ? *by : ID_NONE;
    event->version = version;
    return event;
}

void swim_record_event(struct swim *swim, enum swim_event_type type, const struct fact *record)
{
    struct swim_event *event = add_event(swim);
    if (!event)
        return;
    const struct fact_view *view = &record->view;
    event->type = type;
    event->id = view->signer;
    event->version = view->version;
    event->table = (enum swim_table)view->record.key.table;
    event->key_size = (uint8_t)view->record.key.key.size;
    memcpy(event->key, view->record.key.key.data, event->key_size);
}

size_t swim_message_begin(const struct swim *swim)
{
    return swim->pending.arena.size;
}

static void count_sent(struct swim *swim, enum swim_channel channel, size_t size)
{
    struct swim_counters *counters = &swim->counters;
    if (channel == SWIM_CHANNEL_PACKET) {
        counters->packets_sent++;
        counters->packet_bytes_sent += size;
    } else {
        counters->syncs_sent++;
        counters->sync_bytes_sent += size;
    }
}

void swim_message_end(struct swim *swim, size_t start, int rc, const struct id *to,
                      const struct address *address, enum swim_channel channel)
{
    struct swim_output *pending = &swim->pending;
    struct swim_message *messages = NULL;
    if (rc == 0)
        messages = grow_array(pending->messages, pending->message_count, &pending->message_capacity,
                              sizeof(*messages));
    if (!messages) {
        swim_fail(swim, -ENOMEM);
        pending->arena.size = start;
        return;
    }
    pending->messages = messages;
    count_sent(swim, channel, pending->arena.size - start);
    messages[pending->message_count++] = (struct swim_message){
        .to = *to,
        .address = *address,
        .channel = channel,
        .bytes = {NULL, pending->arena.size - start}, /* swim_output_finish() says where */
    };
}

void swim_output_begin(struct swim *swim, struct swim_output *output)
{
    bool waits = swim->pending.event_count > 0 || swim->pending.message_count > 0;
    if (waits) { /* what came about between two steps */
        swim_output_done(output);
        return;
    }
    swim_output_done(&swim->pending);
    swim->pending = *output;
    swim->pending.message_count = swim->pending.event_count = 0;
    buffer_clear(&swim->pending.arena);
    swim_output_init(output);
}

void swim_output_finish(struct swim *swim, struct swim_output *output)
{
    size_t offset = 0;

    *output = swim->pending;
    swim_output_init(&swim->pending);
    for (size_t i = 0; i < output->message_count; i++) {
        output->messages[i].bytes.data = output->arena.bytes + offset;
        offset += output->messages[i].bytes.size;
    }
}
