/* What `consort deploy --check` says, made of what the files and a peer say. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/cli/bounds.h"
#include "node/cli/deploy.h"
#include "node/cli/output.h"

/* --- What the files say --- */

static void add_once(json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
            return;
    json_array_append_new(list, json_string(text));
}

static json_t *list_texts(const struct text_list *texts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < texts->count; i++)
        json_array_append_new(list, json_string(texts->items[i]));
    return list;
}

/* "8080:80", "53/udp" */
static json_t *list_ports(const struct service_spec *spec)
{
    json_t *list = json_array();
    for (size_t i = 0; i < spec->port_count; i++) {
        const struct spec_port *port = &spec->ports[i];
        char text[32], published[8] = "";
        if (port->published)
            snprintf(published, sizeof(published), "%u:", port->published);
        snprintf(text, sizeof(text), "%s%u%s", published, port->target,
                 port->protocol == SPEC_UDP ? "/udp" : "");
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *list_images(const struct service_spec *spec)
{
    json_t *list = json_array();
    struct spec_image image;
    for (size_t i = 0; service_spec_image(spec, i, &image); i++)
        add_once(list, image.name);
    return list;
}

static json_t *list_networks(const char *stack, const struct service_spec *spec)
{
    json_t *list = json_array();
    char name[SPEC_NETWORK_NAME_MAX + 1];
    if (spec->network_mode == SPEC_NETWORK_BRIDGE && spec->network_count == 0) {
        spec_network_default(stack, name);
        add_once(list, name);
    }
    for (size_t i = 0; i < spec->network_count; i++)
        add_once(list, spec->networks[i].name);
    return list;
}

/* What the service mounts of those types by name. */
static json_t *list_mounts(const struct service_spec *spec, unsigned types)
{
    json_t *list = json_array();
    for (size_t i = 0; i < spec->mount_count; i++)
        if (spec->mounts[i].source && types >> spec->mounts[i].type & 1)
            add_once(list, spec->mounts[i].source);
    return list;
}

static json_t *list_files(const struct service_spec *spec, enum spec_file_kind kind)
{
    json_t *list = json_array();
    for (size_t i = 0; i < spec->file_count; i++)
        if (spec->files[i].kind == kind)
            add_once(list, spec->files[i].source);
    return list;
}

static json_t *describe_service(const char *stack, const struct service_spec *spec)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    bool is_global = spec->mode == SPEC_GLOBAL;
    snprintf(name, sizeof(name), "%s_%s", stack, spec->name);
    return json_pack(
        "{s:s, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", name, "mode",
        is_global ? "global" : "replicated", "image", spec->image, "replicas",
        is_global ? json_null() : json_integer(spec->replicas), "ports", list_ports(spec), "images",
        list_images(spec), "networks", list_networks(stack, spec), "volumes",
        list_mounts(spec, 1U << SPEC_MOUNT_VOLUME), "host_paths",
        list_mounts(spec, 1U << SPEC_MOUNT_BIND | 1U << SPEC_MOUNT_DEVICE), "configs",
        list_files(spec, SPEC_FILE_CONFIG), "secrets", list_files(spec, SPEC_FILE_SECRET));
}

/* --- What the peer says --- */

/* "web" of "shop_web" */
static const char *short_name(const json_t *service, const char *stack)
{
    return json_text(service, "name") + strlen(stack) + 1;
}

/* The texts of what the peer answered. */
static json_t *take_texts(const json_t *map, const char *key)
{
    const json_t *list = json_object_get(map, key);
    json_t *texts = json_array();
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_string(json_array_get(list, i)))
            json_array_append(texts, json_array_get(list, i));
    return texts;
}

/* Adds to each service what would become of it. */
static void take_plan(json_t *services, const char *stack, const json_t *plan)
{
    const json_t *planned = json_object_get(plan, "services");
    for (size_t i = 0; i < json_array_size(services); i++) {
        json_t *service = json_array_get(services, i);
        for (size_t j = 0; j < json_array_size(planned); j++) {
            const json_t *other = json_array_get(planned, j);
            if (strcmp(short_name(service, stack), json_text(other, "name")) != 0)
                continue;
            json_object_set_new(service, "change", json_string(json_text(other, "change")));
            json_object_set_new(service, "present_revision",
                                json_integer(json_number(other, "revision")));
            json_object_set_new(service, "present_replicas",
                                json_integer(json_number(other, "replicas")));
            json_object_set_new(service, "differs_in", take_texts(other, "differs_in"));
        }
    }
}

json_t *deploy_report(const struct compose_result *loaded, const json_t *plan, const char *reason)
{
    json_t *services = json_array();
    for (size_t i = 0; i < loaded->service_count; i++)
        json_array_append_new(services, describe_service(loaded->stack, &loaded->services[i]));
    if (plan)
        take_plan(services, loaded->stack, plan);
    return json_pack("{s:s, s:o, s:o, s:o, s:b, s:s?, s:o}", "stack", loaded->stack, "services",
                     services, "removed", take_texts(plan, "removed"), "missing_images",
                     take_texts(plan, "missing_images"), "compared", plan != NULL, "not_compared",
                     plan ? NULL : reason, "warnings", list_texts(&loaded->warnings));
}

/* --- For people --- */

static void join_list(const json_t *list, char *ret, size_t capacity)
{
    size_t length = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < json_array_size(list) && length < capacity; i++)
        length += (size_t)snprintf(ret + length, capacity - length, "%s%s", i > 0 ? ", " : "",
                                   json_string_value(json_array_get(list, i)));
}

static void cell_list(const json_t *row, const char *key, char *ret)
{
    join_list(json_object_get(row, key), ret, CLI_TEXT_BYTES_MAX);
}

static void cell_replicas(const json_t *row, const char *key, char *ret)
{
    if (json_is_integer(json_object_get(row, key)))
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%lld", (long long)json_number(row, key));
    else
        snprintf(ret, CLI_TEXT_BYTES_MAX, "one a peer");
}

static void cell_change(const json_t *row, const char *key, char *ret)
{
    const char *change = json_text(row, key);
    char parts[CLI_TEXT_BYTES_MAX / 2];
    long long present = (long long)json_number(row, "present_replicas");
    join_list(json_object_get(row, "differs_in"), parts, sizeof(parts));
    if (strcmp(change, "scale") == 0)
        snprintf(ret, CLI_TEXT_BYTES_MAX, "scaled, from %lld", present);
    else if (strcmp(change, "limits") == 0)
        snprintf(ret, CLI_TEXT_BYTES_MAX, "other limits, replicas run on");
    else if (strcmp(change, "update") == 0)
        snprintf(ret, CLI_TEXT_BYTES_MAX, "updated from revision %lld: %s",
                 (long long)json_number(row, "present_revision"), parts);
    else
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%s", change);
}

static void format_list(const json_t *list, const char *title, struct buffer *ret)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        buffer_printf(ret, "%s%s", i > 0 ? ", " : title,
                      json_string_value(json_array_get(list, i)));
    if (json_array_size(list) > 0)
        buffer_printf(ret, "\n");
}

/* A line with what all services have of a kind, if they have any. */
static void format_all(const json_t *services, const char *key, const char *title,
                       struct buffer *ret)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *list = json_object_get(json_array_get(services, i), key);
        for (size_t j = 0; j < json_array_size(list); j++)
            add_once(all, json_string_value(json_array_get(list, j)));
    }
    format_list(all, title, ret);
    json_decref(all);
}

void deploy_format_report(const json_t *report, struct buffer *ret)
{
    static const struct column columns[] = {{"SERVICE", "name", NULL},
                                            {"REPLICAS", "replicas", cell_replicas},
                                            {"IMAGE", "image", NULL},
                                            {"PORTS", "ports", cell_list},
                                            {"CHANGE", "change", cell_change}};
    static const struct {
        const char *key, *title;
    } lines[] = {{"networks", "networks: "},
                 {"volumes", "volumes: "},
                 {"host_paths", "host paths: "},
                 {"configs", "configs: "},
                 {"secrets", "secrets: "}};
    const json_t *services = json_object_get(report, "services");
    bool is_compared = json_flag(report, "compared");
    output_format_table(services, columns, array_count(columns) - (is_compared ? 0 : 1), ret);
    for (size_t i = 0; i < array_count(lines); i++)
        format_all(services, lines[i].key, lines[i].title, ret);
    format_list(json_object_get(report, "removed"), "removed: ", ret);
    format_list(json_object_get(report, "missing_images"),
                "images that no peer has, to be pulled: ", ret);
    if (!is_compared)
        buffer_printf(ret,
                      "not checked: what it would change, the images, and whether its ports and "
                      "names are free (%s)\n",
                      json_text(report, "not_compared"));
    buffer_printf(ret, "%s: can be deployed%s; nothing was changed\n", json_text(report, "stack"),
                  is_compared ? "" : ", as far as the files say");
}
