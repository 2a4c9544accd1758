#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/image/image.h"
#include "runtime/image/image_json.h"

enum {
    NS_PER_MS = 1000 * 1000,
};

/* "2024-02-03T04:05:06.789Z", with Z or an offset; anything else is 0, for it is only shown. */
static int64_t parse_time(const char *text)
{
    struct tm parts = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    if (!rest)
        return 0;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    int64_t seconds = timegm(&parts);
    struct tm offset = {0};
    if ((*rest == '+' || *rest == '-') && strptime(rest + 1, "%H:%M", &offset))
        seconds += (*rest == '+' ? -1 : 1) * (offset.tm_hour * 3600 + offset.tm_min * 60);
    return seconds > 0 ? seconds : 0;
}

/* "80/tcp", "53/udp", "80". What is neither TCP nor UDP is passed over: ports are only advice. */
static int parse_ports(const json_t *object, struct image_config *config, struct error *error)
{
    const json_t *ports = NULL;
    int r = image_json_object(object, "ExposedPorts", &ports, error);
    if (r < 0)
        return r;
    const char *text;
    json_t *value;
    json_object_foreach((json_t *)ports, text, value)
    {
        char *end;
        unsigned long port = strtoul(text, &end, 10);
        bool udp = strcmp(end, "/udp") == 0;
        if (port == 0 || port > UINT16_MAX || (!udp && *end && strcmp(end, "/tcp") != 0))
            continue;
        if (config->port_count == IMAGE_PORTS_MAX)
            return error_set(error, -E2BIG, "more than %d exposed ports", IMAGE_PORTS_MAX);
        config->ports[config->port_count++] =
            (struct image_port){.port = (uint16_t)port, .udp = udp};
    }
    return 0;
}

/* "/data", without what a path may have besides names: a path that leads elsewhere is no place. */
static bool is_plain_path(const char *path)
{
    if (path[0] != '/' || path[1] == '\0' || strlen(path) > LAYER_PATH_BYTES_MAX)
        return false;
    for (const char *at = path; *at; at += 1 + strcspn(at + 1, "/")) {
        size_t size = strcspn(at + 1, "/");
        if (size == 0 || (size == 1 && at[1] == '.') || (size == 2 && strncmp(at, "/..", 3) == 0))
            return false;
    }
    return true;
}

/* The members' names are paths; their values say nothing. */
static int parse_volumes(const json_t *object, struct text_list *ret, struct error *error)
{
    const json_t *volumes = NULL;
    int r = image_json_object(object, "Volumes", &volumes, error);
    const char *text;
    json_t *value;
    if (r < 0)
        return r;
    json_object_foreach((json_t *)volumes, text, value)
    {
        char path[LAYER_PATH_BYTES_MAX + 1];
        if (snprintf(path, sizeof(path), "%s", text) >= (int)sizeof(path))
            continue;
        for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
            path[length - 1] = '\0';
        if (!is_plain_path(path))
            continue;
        if (ret->count == IMAGE_VOLUMES_MAX)
            return error_set(error, -E2BIG, "more than %d volumes", IMAGE_VOLUMES_MAX);
        if (text_list_add(ret, path) < 0)
            return error_set_errno(error, -ENOMEM, "\"Volumes\"");
    }
    return 0;
}

static int parse_duration(const json_t *object, const char *member, int64_t *ret_ms,
                          struct error *error)
{
    int64_t ns = 0;
    int r = image_json_integer(object, member, INT64_MAX, &ns, error);
    if (r == 0)
        *ret_ms = ns > 0 && ns < NS_PER_MS ? 1 : ns / NS_PER_MS;
    return r;
}

static int parse_health(const json_t *object, struct image_health *health, struct error *error)
{
    const json_t *check = NULL;
    int64_t retries = 0;
    int r;
    if ((r = image_json_object(object, "Healthcheck", &check, error)) < 0 ||
        (r = image_json_list(check, "Test", &health->test, error)) < 0 ||
        (r = parse_duration(check, "Interval", &health->interval_ms, error)) < 0 ||
        (r = parse_duration(check, "Timeout", &health->timeout_ms, error)) < 0 ||
        (r = parse_duration(check, "StartPeriod", &health->start_period_ms, error)) < 0 ||
        (r = parse_duration(check, "StartInterval", &health->start_interval_ms, error)) < 0 ||
        (r = image_json_integer(check, "Retries", UINT32_MAX, &retries, error)) < 0)
        return r;
    health->retries = (uint32_t)retries;
    return 0;
}

/* Keeps what has the form NAME=value; the rest means nothing to a program. */
static int parse_environment(const json_t *object, struct text_list *ret, struct error *error)
{
    struct text_list all = {0};
    int r = image_json_list(object, "Env", &all, error);
    for (size_t i = 0; r == 0 && i < all.count; i++) {
        const char *equals = strchr(all.items[i], '=');
        if (equals && equals > all.items[i] && text_list_add(ret, all.items[i]) < 0)
            r = error_set_errno(error, -ENOMEM, "\"Env\"");
    }
    text_list_done(&all);
    return r;
}

static int parse_working_dir(const json_t *object, char **ret, struct error *error)
{
    const char *text = NULL;
    int r = image_json_text(object, "WorkingDir", &text, error);
    if (r < 0 || !text || !*text)
        return r;
    /* Docker takes a relative one to be relative to the root. */
    if (asprintf(ret, "%s%s", *text == '/' ? "" : "/", text) < 0) {
        *ret = NULL;
        return error_set_errno(error, -ENOMEM, "\"WorkingDir\"");
    }
    return 0;
}

static int parse_process(const json_t *document, struct image_config *config, struct error *error)
{
    const json_t *object = NULL;
    int r;
    if ((r = image_json_object(document, "config", &object, error)) < 0 ||
        (r = image_json_list(object, "Entrypoint", &config->entrypoint, error)) < 0 ||
        (r = image_json_list(object, "Cmd", &config->command, error)) < 0 ||
        (r = parse_environment(object, &config->environment, error)) < 0 ||
        (r = parse_working_dir(object, &config->working_dir, error)) < 0 ||
        (r = image_json_dup_text(object, "User", &config->user, error)) < 0 ||
        (r = image_json_dup_text(object, "StopSignal", &config->stop_signal, error)) < 0 ||
        (r = parse_ports(object, config, error)) < 0 ||
        (r = parse_volumes(object, &config->volumes, error)) < 0)
        return r;
    return parse_health(object, &config->health, error);
}

/* Adds up to one diff_id a layer of the manifest. */
static int parse_diff_ids(const json_t *document, struct image *image, struct error *error)
{
    const json_t *rootfs = NULL, *ids = NULL;
    int r = image_json_object(document, "rootfs", &rootfs, error);
    if (r == 0)
        r = image_json_array(rootfs, "diff_ids", &ids, error);
    if (r < 0)
        return r;
    if (json_array_size(ids) != image->layer_count)
        return error_set(error, -EBADMSG, "it names %zu layers, but the manifest %zu",
                         json_array_size(ids), image->layer_count);
    for (size_t i = 0; i < image->layer_count; i++) {
        const char *text = json_string_value(json_array_get(ids, i));
        if (!text || digest_parse(text, &image->layers[i].diff_id) < 0)
            return error_set(error, -EBADMSG, "diff_id %zu is not a sha256 digest", i);
    }
    return 0;
}

int image_config_parse(struct bytes json, struct image *image, struct error *error)
{
    cleanup_json json_t *document = NULL;
    int r = image_json_parse(json, "image configuration", &document, error);
    if (r < 0)
        return r;
    struct image_config config = {0};
    const char *created = NULL;
    if ((r = image_json_text(document, "created", &created, error)) < 0 ||
        (r = image_json_dup_text(document, "architecture", &config.architecture, error)) < 0 ||
        (r = image_json_dup_text(document, "os", &config.os, error)) < 0 ||
        (r = parse_process(document, &config, error)) < 0 ||
        (r = parse_diff_ids(document, image, error)) < 0) {
        image_config_done(&config);
        error_prefix(error, "image configuration");
        return r;
    }
    config.created_wall_s = parse_time(created);
    image->config = config;
    return 0;
}

void image_config_done(struct image_config *config)
{
    text_list_done(&config->entrypoint);
    text_list_done(&config->command);
    text_list_done(&config->environment);
    text_list_done(&config->health.test);
    text_list_done(&config->volumes);
    free(config->working_dir);
    free(config->user);
    free(config->stop_signal);
    free(config->architecture);
    free(config->os);
    *config = (struct image_config){0};
}
