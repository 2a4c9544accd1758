#include <stdlib.h>

#include "node/control/agent_private.h"

void agent_output_init(struct agent_output *output)
{
    *output = (struct agent_output){.next_deadline_ms = INT64_MAX};
}

void agent_output_reset(struct agent_output *output)
{
    for (size_t i = 0; i < output->send_count; i++)
        buffer_done(&output->sends[i].bytes);
    for (size_t i = 0; i < output->write_count; i++) {
        free(output->writes[i].entries);
        free(output->writes[i].fed);
        buffer_done(&output->writes[i].intent);
        buffer_done(&output->writes[i].arena);
    }
    agent_compaction_free(output->compaction);
    output->compaction = NULL;
    output->send_count = output->write_count = 0;
    output->result_count = output->event_count = 0;
    output->wanted_changed = output->routes_changed = false;
    output->next_deadline_ms = INT64_MAX;
}

void agent_output_done(struct agent_output *output)
{
    if (!output)
        return;
    agent_output_reset(output);
    free(output->sends);
    free(output->writes);
    free(output->results);
    free(output->events);
    agent_output_init(output);
}

/* Makes room for one more item in a growing array and returns it zeroed; NULL marks the failure. */
static void *grow(struct agent *agent, void **items, size_t *count, size_t *capacity, size_t size)
{
    if (*count == *capacity) {
        size_t wanted = *capacity ? 2 * *capacity : 8;
        void *grown = realloc(*items, wanted * size);
        if (!grown) {
            agent->failed = true;
            return NULL;
        }
        *items = grown;
        *capacity = wanted;
    }
    void *item = (char *)*items + (*count)++ * size;
    __builtin_memset(item, 0, size);
    return item;
}

struct buffer *agent_add_send(struct agent *agent, const struct id *to,
                              const struct address *address, uint8_t kind)
{
    struct agent_output *output = agent->output;
    struct agent_send *send = grow(agent, (void **)&output->sends, &output->send_count,
                                   &output->send_capacity, sizeof(*send));
    if (!send)
        return NULL;
    send->to = *to;
    send->kind = kind;
    if (address) {
        send->address = *address;
    } else {
        struct swim_member member;
        if (swim_member_find(agent->swim, to, &member))
            send->address = member.stream_address;
    }
    return &send->bytes;
}

struct agent_write *agent_add_write(struct agent *agent)
{
    struct agent_output *output = agent->output;
    return grow(agent, (void **)&output->writes, &output->write_count, &output->write_capacity,
                sizeof(struct agent_write));
}

struct agent_result *agent_add_result(struct agent *agent, uint64_t request)
{
    struct agent_output *output = agent->output;
    struct agent_result *result = grow(agent, (void **)&output->results, &output->result_count,
                                       &output->result_capacity, sizeof(*result));
    if (result)
        result->request = request;
    return result;
}

struct agent_event *agent_add_event(struct agent *agent, enum agent_event_type type,
                                    const struct id *id)
{
    struct agent_output *output = agent->output;
    struct agent_event *event = grow(agent, (void **)&output->events, &output->event_count,
                                     &output->event_capacity, sizeof(*event));
    if (event) {
        event->type = type;
        event->id = *id;
    }
    return event;
}
