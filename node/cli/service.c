/* consort service ls, inspect */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/cli/bounds.h"
#include "node/cli/list.h"

static void cell_serving(const json_t *row, const char *key, char *ret)
{
    (void)key;
    snprintf(ret, 32, "%lld/%lld", (long long)json_number(row, "serving"),
             (long long)json_number(row, "replicas"));
}

int verb_service_ls(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", NULL},      {"MODE", "mode", NULL},   {"SERVING", NULL, cell_serving},
        {"IMAGE", "image", NULL},    {"PORTS", "ports", NULL}, {"REVISION", "revision", NULL},
        {"ROLLOUT", "rollout", NULL}};
    return list_intent_verb(cli, argc, argv, "service.ls", "services", columns,
                            array_count(columns));
}

/* As much as tells images apart: what a tag meant then. */
static void cell_digest(const json_t *row, const char *key, char *ret)
{
    const char *digest = json_text(row, key), *colon = strchr(digest, ':');
    snprintf(ret, CLI_TEXT_BYTES_MAX, "%.12s", colon ? colon + 1 : digest);
}

/* What the service mounts of images, as its newest revision has it. */
static void say_mounted_images(const json_t *service)
{
    static const struct column images[] = {{"  MOUNTED DIGEST", "image_digest", cell_digest},
                                           {"IMAGE", "image", NULL}};
    const json_t *revisions = json_object_get(service, "revisions");
    for (size_t i = 0; i < json_array_size(revisions); i++) {
        const json_t *revision = json_array_get(revisions, i);
        const json_t *mounted = json_object_get(revision, "mounted_images");
        if (json_number(revision, "number") == json_number(service, "revision") &&
            json_array_size(mounted) > 0)
            output_table(mounted, images, array_count(images));
    }
}

static void say_service(const json_t *service)
{
    static const struct column revisions[] = {{"  REVISION", "number", NULL},
                                              {"SINCE", "wall_ms", cell_since},
                                              {"BY", "actor", NULL},
                                              {"DIGEST", "image_digest", cell_digest},
                                              {"IMAGE", "image", NULL}};
    static const struct column replicas[] = {{"  REPLICA", "name", NULL},
                                             {"PEER", "peer", NULL},
                                             {"REVISION", "revision", NULL},
                                             {"STATE", "state", NULL},
                                             {"HEALTH", "health", NULL}};
    printf(
        "name:       %s\nstack:      %s\nmode:       %s\nserving:    %lld of %lld\n"
        "image:      %s\nports:      %s\nvirtual ip: %s, %s\naddresses:  %s\nrollout:    %s %s\n",
        json_text(service, "name"), json_text(service, "stack"), json_text(service, "mode"),
        (long long)json_number(service, "serving"), (long long)json_number(service, "replicas"),
        json_text(service, "image"), json_text(service, "ports"), json_text(service, "virtual_ip"),
        json_text(service, "virtual_ipv6"), json_text(service, "addresses"),
        json_text(service, "rollout"), json_text(service, "reason"));
    output_table(json_object_get(service, "revisions"), revisions, array_count(revisions));
    say_mounted_images(service);
    output_table(json_object_get(service, "replica_list"), replicas, array_count(replicas));
}

int verb_service_inspect(struct cli *cli, int argc, char **argv)
{
    return show_intent_verb(cli, argc, argv, "service.inspect", "service", say_service);
}
