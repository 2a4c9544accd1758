/* ports, volumes and tmpfs of a service */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "node/compose/parse.h"
#include "runtime/container_spec.h"

/* --- Ports --- */

static int add_port(struct parse *parse, const struct tree_node *node, struct service_spec *spec,
                    unsigned long published, unsigned long target, const char *protocol)
{
    if (target == 0 || target > UINT16_MAX || published > UINT16_MAX)
        return parse_fail(parse, node, "a port is a number from 1 to 65535");
    bool is_udp = strcmp(protocol, "udp") == 0;
    if (!is_udp && strcmp(protocol, "tcp") != 0)
        return parse_fail(parse, node, "the protocol %s is neither tcp nor udp", protocol);
    if (spec->port_count == SPEC_LIST_ITEMS_MAX)
        return parse_fail(parse, node, "more than %d ports", SPEC_LIST_ITEMS_MAX);
    struct spec_port *ports = parse_grow(spec->ports, spec->port_count, sizeof(*ports));
    if (!ports)
        return -ENOMEM;
    spec->ports = ports;
    ports[spec->port_count++] =
        (struct spec_port){(uint16_t)published, (uint16_t)target, is_udp ? SPEC_UDP : SPEC_TCP};
    return 0;
}

/* "[HOST:]PUBLISHED:TARGET[/PROTOCOL]" or "TARGET[/PROTOCOL]". */
static int read_short_port(struct parse *parse, const struct tree_node *node,
                           struct service_spec *spec)
{
    char text[128], *end;
    const char *protocol = "tcp";
    if (node->type != TREE_SCALAR || strlen(node->text) >= sizeof(text))
        return parse_fail(parse, node, "PUBLISHED:TARGET is expected, as in 8080:80");
    memcpy(text, node->text, strlen(node->text) + 1);
    char *slash = strchr(text, '/');
    if (slash) {
        *slash = '\0';
        protocol = slash + 1;
    }
    char *colon = strrchr(text, ':');
    const char *target_text = colon ? colon + 1 : text;
    unsigned long target = strtoul(target_text, &end, 10);
    if (*end || !isdigit((unsigned char)target_text[0]))
        return parse_fail(parse, node, "%s: PUBLISHED:TARGET is expected, as in 8080:80",
                          node->text);
    if (!colon)
        return add_port(parse, node, spec, 0, target, protocol);
    *colon = '\0';
    char *host_end = strrchr(text, ':');
    const char *published_text = host_end ? host_end + 1 : text;
    unsigned long published = strtoul(published_text, &end, 10);
    if (*end || !isdigit((unsigned char)published_text[0]) || published == 0)
        return parse_fail(parse, node, "%s: PUBLISHED:TARGET is expected, as in 8080:80",
                          node->text);
    int rc = host_end ? parse_warn(parse, node, "published on all of every peer's addresses") : 0;
    return rc < 0 ? rc : add_port(parse, node, spec, published, target, protocol);
}

struct long_port {
    uint64_t target, published;
    char *protocol;
};

static int port_target(struct parse *parse, const struct tree_node *node, void *port)
{
    return parse_number(parse, node, UINT16_MAX, &((struct long_port *)port)->target);
}

static int port_published(struct parse *parse, const struct tree_node *node, void *port)
{
    return parse_number(parse, node, UINT16_MAX, &((struct long_port *)port)->published);
}

static int port_protocol(struct parse *parse, const struct tree_node *node, void *port)
{
    return parse_text(parse, node, &((struct long_port *)port)->protocol);
}

/* Every peer answers for every service; "host" would be a port of one machine's. */
static int port_mode(struct parse *parse, const struct tree_node *node, void *port)
{
    static const char *const modes[] = {"ingress", "host", NULL};
    uint8_t mode = 0;
    (void)port;
    int rc = parse_word(parse, node, modes, &mode);
    return rc < 0 || mode == 0
               ? rc
               : parse_warn(parse, node, "host is not supported by Consort: as ingress");
}

static int read_long_port(struct parse *parse, const struct tree_node *node,
                          struct service_spec *spec)
{
    static const struct parse_key keys[] = {
        {"target", port_target}, {"published", port_published}, {"protocol", port_protocol},
        {"mode", port_mode},     {"name", parse_pass_over}, /* for people alone */
        {"host_ip", NULL},       {"app_protocol", NULL},        {0}};
    struct long_port port = {0};
    int rc = parse_map(parse, node, keys, &port);
    if (rc == 0 && tree_is_null(tree_find(node, "target")))
        rc = parse_fail(parse, node, "a port needs a target");
    if (rc == 0)
        rc = add_port(parse, node, spec, port.published, port.target,
                      port.protocol ? port.protocol : "tcp");
    free(port.protocol);
    return rc;
}

int read_ports(struct parse *parse, const struct tree_node *node, void *spec)
{
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = node->children[i]->type == TREE_MAP ? read_long_port(parse, node->children[i], spec)
                                                 : read_short_port(parse, node->children[i], spec);
    return rc;
}

/* "53/udp": containers reach it at the service's virtual address. TCP ports are open there all. */
int read_expose(struct parse *parse, const struct tree_node *node, void *target)
{
    struct service_spec *spec = target;
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct tree_node *item = node->children[i];
        char *end = NULL;
        unsigned long port = item->type == TREE_SCALAR ? strtoul(item->text, &end, 10) : 0;
        if (!end || !isdigit((unsigned char)item->text[0]) || (*end && *end != '/' && *end != '-'))
            return parse_fail(parse, item, "PORT[/PROTOCOL] is expected, as in 53/udp");
        bool is_udp = strcmp(end + strcspn(end, "/"), "/udp") == 0;
        if (is_udp && *end == '-')
            return parse_fail(parse, item, "a range of UDP ports: write one port an item");
        if (is_udp)
            rc = add_port(parse, item, spec, 0, port, "udp");
    }
    return rc;
}

/* --- Volumes --- */

static struct spec_mount *add_mount(struct service_spec *spec)
{
    struct spec_mount *mounts = parse_grow(spec->mounts, spec->mount_count, sizeof(*mounts));
    if (!mounts)
        return NULL;
    spec->mounts = mounts;
    return &mounts[spec->mount_count++];
}

/* Takes "." and ".." out of an absolute path, and doubled slashes. */
static void make_plain(char *path)
{
    char *end = path;
    for (const char *at = path; *at;) {
        size_t size = 1 + strcspn(at + 1, "/");
        if (size == 3 && memcmp(at, "/..", size) == 0) {
            while (end > path && *--end != '/')
                ;
        } else if (size > 1 && (size != 2 || at[1] != '.')) {
            memmove(end, at, size);
            end += size;
        }
        at += size;
    }
    if (end == path)
        *end++ = '/';
    *end = '\0';
}

int parse_target(struct parse *parse, const struct tree_node *node, char *target)
{
    if (target && target[0] == '/')
        make_plain(target);
    if (!target || target[0] != '/' || strcmp(target, "/") == 0)
        return parse_fail(parse, node, "the path in the container must be absolute, and below /");
    return strlen(target) < PATH_MAX ? 0 : parse_fail(parse, node, "the path is too long");
}

/* Volumes belong to their stack, as with Docker: "STACK_name", unless the top level names it
 * otherwise, or says that it is not the stack's. */
static int name_volume(struct parse *parse, const char *volume, char **ret)
{
    const struct tree_node *entry = tree_find(tree_find(parse->root, "volumes"), volume);
    const struct tree_node *name = tree_find(entry, "name");
    const struct tree_node *external = tree_find(entry, "external");
    bool is_external = false;
    int rc = tree_is_null(external) ? 0 : parse_flag(parse, external, &is_external);
    if (rc < 0)
        return rc;
    if (name && name->type != TREE_SCALAR)
        return parse_fail(parse, name, "text is expected");
    int length = name          ? asprintf(ret, "%s", name->text)
                 : is_external ? asprintf(ret, "%s", volume)
                               : asprintf(ret, "%s_%s", parse->result->stack, volume);
    return length < 0 ? -ENOMEM : 0;
}

/* A path is relative to the file. */
static int set_source(struct parse *parse, const struct tree_node *node, const char *source,
                      struct spec_mount *mount)
{
    if (mount->type == SPEC_MOUNT_VOLUME) {
        int rc = name_volume(parse, source, &mount->source);
        if (rc < 0)
            return rc;
        return container_id_valid(mount->source) && source[0]
                   ? 0
                   : parse_fail(parse, node,
                                "%s can't be a volume's name: letters, digits, - _ and . are "
                                "expected, with the stack's name at most %d; a path begins with "
                                "/ or .",
                                source, RUNTIME_ID_BYTES_MAX);
    }
    int rc = parse_path(parse, node, source, &mount->source);
    if (rc < 0)
        return rc;
    make_plain(mount->source);
    return 0;
}

/* What may follow the second colon, as a list between commas. */
static int read_volume_options(struct parse *parse, const struct tree_node *node,
                               const char *options, struct spec_mount *mount)
{
    int rc = 0;
    while (rc == 0 && *options) {
        size_t size = strcspn(options, ",");
        if (size == 2 && memcmp(options, "ro", size) == 0)
            mount->read_only = true;
        else if (size != 2 || memcmp(options, "rw", size) != 0)
            rc = parse_warn(parse, node, "the option %.*s is not supported by Consort: ignored",
                            (int)size, options);
        options += size + (options[size] == ',');
    }
    return rc;
}

/* "SOURCE:TARGET[:OPTIONS]" or "TARGET". */
static int read_short_volume(struct parse *parse, const struct tree_node *node,
                             struct service_spec *spec)
{
    if (node->type != TREE_SCALAR || strlen(node->text) > SPEC_TEXT_BYTES_MAX)
        return parse_fail(parse, node, "SOURCE:TARGET is expected");
    struct spec_mount *mount = add_mount(spec);
    if (!mount)
        return -ENOMEM;
    const char *colon = strchr(node->text, ':');
    if (!colon) {
        mount->target = strdup(node->text);
        return mount->target ? parse_target(parse, node, mount->target) : -ENOMEM;
    }
    cleanup_free char *source = strndup(node->text, (size_t)(colon - node->text));
    size_t target_size = strcspn(colon + 1, ":");
    const char *options = colon + 1 + target_size;
    mount->target = strndup(colon + 1, target_size);
    if (!source || !mount->target)
        return -ENOMEM;
    mount->type = strchr("/.~", source[0]) && source[0] ? SPEC_MOUNT_BIND : SPEC_MOUNT_VOLUME;
    int rc = *options ? read_volume_options(parse, node, options + 1, mount) : 0;
    if (rc == 0)
        rc = set_source(parse, node, source, mount);
    return rc < 0 ? rc : parse_target(parse, node, mount->target);
}

static int mount_type(struct parse *parse, const struct tree_node *node, void *target)
{
    static const char *const types[] = {"volume", "bind", "tmpfs", NULL};
    return parse_word(parse, node, types, &((struct spec_mount *)target)->type);
}

static int mount_source(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_text(parse, node, &((struct spec_mount *)target)->source);
}

static int mount_target(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_text(parse, node, &((struct spec_mount *)target)->target);
}

static int mount_read_only(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_flag(parse, node, &((struct spec_mount *)target)->read_only);
}

static int tmpfs_size(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_size(parse, node, &((struct spec_mount *)target)->size_bytes);
}

static int tmpfs_mode(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_octal(parse, node, RUNTIME_MODE_MAX, &((struct spec_mount *)target)->mode);
}

static int mount_tmpfs(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"size", tmpfs_size}, {"mode", tmpfs_mode}, {0}};
    return parse_map(parse, node, keys, target);
}

static int read_long_volume(struct parse *parse, const struct tree_node *node,
                            struct service_spec *spec)
{
    static const struct parse_key keys[] = {{"type", mount_type},
                                            {"source", mount_source},
                                            {"target", mount_target},
                                            {"read_only", mount_read_only},
                                            {"tmpfs", mount_tmpfs},
                                            {"bind", NULL},
                                            {"volume", NULL},
                                            {"consistency", NULL},
                                            {0}};
    struct spec_mount *mount = add_mount(spec);
    if (!mount)
        return -ENOMEM;
    int rc = parse_map(parse, node, keys, mount);
    cleanup_free char *source = take_pointer(mount->source);
    if (rc == 0 && source && mount->type != SPEC_MOUNT_TMPFS)
        rc = set_source(parse, node, source, mount);
    if (rc == 0 && !source && mount->type == SPEC_MOUNT_BIND)
        rc = parse_fail(parse, node, "a bind mount needs a source");
    return rc < 0 ? rc : parse_target(parse, node, mount->target);
}

int read_volumes(struct parse *parse, const struct tree_node *node, void *spec)
{
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = node->children[i]->type == TREE_MAP
                 ? read_long_volume(parse, node->children[i], spec)
                 : read_short_volume(parse, node->children[i], spec);
    return rc;
}

/* "TARGET[:OPTIONS]", of which size=… and mode=… are supported. */
static int add_tmpfs(struct parse *parse, const struct tree_node *node, struct service_spec *spec,
                     const char *text)
{
    struct spec_mount *mount = add_mount(spec);
    size_t target_size = strcspn(text, ":");
    if (!mount)
        return -ENOMEM;
    mount->type = SPEC_MOUNT_TMPFS;
    mount->target = strndup(text, target_size);
    int rc = mount->target ? parse_target(parse, node, mount->target) : -ENOMEM;
    text += target_size + (text[target_size] == ':');
    while (rc == 0 && *text) {
        size_t size = strcspn(text, ",");
        cleanup_free char *option = strndup(text, size);
        if (!option)
            return -ENOMEM;
        struct tree_node value = *node; /* for its place in messages */
        value.type = TREE_SCALAR;
        value.text = strchr(option, '=') ? strchr(option, '=') + 1 : option;
        if (strncmp(option, "size=", strlen("size=")) == 0)
            rc = parse_size(parse, &value, &mount->size_bytes);
        else if (strncmp(option, "mode=", strlen("mode=")) == 0)
            rc = parse_octal(parse, &value, RUNTIME_MODE_MAX, &mount->mode);
        else
            rc = parse_warn(parse, node, "the option %s is not supported by Consort: ignored",
                            option);
        text += size + (text[size] == ',');
    }
    return rc;
}

int read_tmpfs(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct text_list paths = {0};
    int rc = parse_list(parse, node, &paths);
    for (size_t i = 0; i < paths.count && rc == 0; i++)
        rc = add_tmpfs(parse, node, spec, paths.items[i]);
    text_list_done(&paths);
    return rc;
}
