/* What a service says of another: links, and volumes_from. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "node/compose/parse.h"

static struct service_spec *find_service(const struct parse *parse, const char *name, size_t size)
{
    for (size_t i = 0; i < parse->result->service_count; i++) {
        struct service_spec *spec = &parse->result->services[i];
        if (strlen(spec->name) == size && strncmp(spec->name, name, size) == 0)
            return spec;
    }
    return NULL;
}

static bool depends_on(const struct service_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->dependency_count; i++)
        if (strcmp(spec->dependencies[i].name, name) == 0)
            return true;
    return false;
}

/* "SERVICE" or "SERVICE:ALIAS": it starts first, and has that name on its networks. */
static int read_link(struct parse *parse, const struct tree_node *node, const char *link,
                     struct service_spec *spec)
{
    size_t size = strcspn(link, ":");
    struct service_spec *other = find_service(parse, link, size);
    if (!other)
        return parse_fail(parse, node, "there is no service %.*s", (int)size, link);
    int rc = depends_on(spec, other->name)
                 ? 0
                 : parse_add_dependency(parse, node, other->name, SPEC_DEPENDS_STARTED, spec);
    return rc < 0 || !link[size] ? rc : parse_add_alias(parse, node, link + size + 1, other);
}

static bool has_target(const struct service_spec *spec, const char *target)
{
    for (size_t i = 0; i < spec->mount_count; i++)
        if (strcmp(spec->mounts[i].target, target) == 0)
            return true;
    return false;
}

/* "SERVICE[:ro|rw]": what that one mounts, where this one mounts nothing itself. */
static int read_volumes_from(struct parse *parse, const struct tree_node *node, const char *text,
                             struct service_spec *spec)
{
    size_t size = strcspn(text, ":");
    const struct service_spec *other = find_service(parse, text, size);
    bool is_read_only = strcmp(text + size, ":ro") == 0;
    if (strncmp(text, "container:", 10) == 0)
        return parse_fail(parse, node, "a service of this file is expected");
    if (!other || other == spec)
        return parse_fail(parse, node, "there is no other service %.*s", (int)size, text);
    if (text[size] && !is_read_only && strcmp(text + size, ":rw") != 0)
        return parse_fail(parse, node, "%s: ro or rw is expected behind the colon", text);
    int rc = 0;
    for (size_t i = 0; i < other->mount_count && rc == 0; i++) {
        const struct spec_mount *from = &other->mounts[i];
        if (has_target(spec, from->target))
            continue;
        if (!from->source) {
            rc = parse_warn(parse, node, "%s of %s is that service's alone: left out", from->target,
                            other->name);
            continue;
        }
        struct spec_mount *to = service_spec_add_mount(spec);
        if (!to || spec_mount_copy(from, to) < 0)
            return -ENOMEM;
        to->read_only = from->read_only || is_read_only;
    }
    return rc;
}

static int read_each(struct parse *parse, const struct tree_node *service, const char *key,
                     int (*read)(struct parse *, const struct tree_node *, const char *,
                                 struct service_spec *),
                     struct service_spec *spec)
{
    const struct tree_node *node = tree_find(service, key);
    struct text_list texts = {0};
    int rc = tree_is_null(node) ? 0 : parse_list(parse, node, &texts);
    for (size_t i = 0; i < texts.count && rc == 0; i++)
        rc = read(parse, node, texts.items[i], spec);
    text_list_done(&texts);
    return rc;
}

int parse_links(struct parse *parse)
{
    const struct tree_node *services = tree_find(parse->root, "services");
    int rc = 0;
    for (size_t i = 0; i < parse->result->service_count && rc == 0; i++) {
        struct service_spec *spec = &parse->result->services[i];
        const struct tree_node *service = tree_find(services, spec->name);
        rc = read_each(parse, service, "links", read_link, spec);
        if (rc == 0)
            rc = read_each(parse, service, "volumes_from", read_volumes_from, spec);
    }
    return rc;
}
