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

/* Ports FIRST to LAST. */
struct range {
    unsigned long first, last;
};

/* "80" or "8000-8010"; `size` bytes of the text. */
static bool read_range(const char *text, size_t size, struct range *ret)
{
    char digits[16], *end;
    if (size == 0 || size >= sizeof(digits) || !isdigit((unsigned char)text[0]))
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    ret->first = ret->last = strtoul(digits, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1]))
        ret->last = strtoul(end + 1, &end, 10);
    return *end == '\0' && ret->first > 0 && ret->first <= ret->last && ret->last <= UINT16_MAX;
}

/* As many ports of the one range as of the other; or one of many for a single target: the first. */
static int add_range(struct parse *parse, const struct tree_node *node, struct service_spec *spec,
                     const struct range *published, const struct range *target,
                     const char *protocol)
{
    unsigned long count = target->last - target->first + 1;
    bool is_choice = count == 1 && published && published->last > published->first;
    int rc = 0;
    if (is_choice)
        rc = parse_warn(parse, node, "of the ports to choose from, %lu is published",
                        published->first);
    else if (published && published->last - published->first + 1 != count)
        return parse_fail(parse, node, "%lu ports published for %lu in the container",
                          published->last - published->first + 1, count);
    for (unsigned long i = 0; i < count && rc == 0; i++)
        rc = add_port(parse, node, spec, published ? published->first + i : 0, target->first + i,
                      protocol);
    return rc;
}

/* "[HOST:][PUBLISHED:]TARGET[/PROTOCOL]"; each port may be a range. HOST may be an IPv6 address in
 * brackets. */
static int read_short_port(struct parse *parse, const struct tree_node *node,
                           struct service_spec *spec)
{
    if (node->type != TREE_SCALAR)
        return parse_fail(parse, node, "PUBLISHED:TARGET is expected, as in 8080:80");
    const char *text = node->text, *slash = strchr(text, '/');
    const char *protocol = slash ? slash + 1 : "tcp", *end = slash ? slash : text + strlen(text);
    const char *colon = memrchr(text, ':', (size_t)(end - text));
    const char *target_text = colon ? colon + 1 : text;
    const char *host_end = colon ? memrchr(text, ':', (size_t)(colon - text)) : NULL;
    const char *published_text = host_end ? host_end + 1 : text;
    bool is_chosen = colon && published_text < colon; /* "127.0.0.1::80" leaves it open */
    struct range published, target;
    if (!read_range(target_text, (size_t)(end - target_text), &target) ||
        (is_chosen && !read_range(published_text, (size_t)(colon - published_text), &published)) ||
        (colon && !is_chosen && !host_end))
        return parse_fail(parse, node, "%s: PUBLISHED:TARGET is expected, as in 8080:80", text);
    int rc = host_end && is_chosen
                 ? parse_warn(parse, node, "published on all of every peer's addresses")
                 : 0;
    return rc < 0 ? rc
                  : add_range(parse, node, spec, is_chosen ? &published : NULL, &target, protocol);
}

struct long_port {
    struct range target, published; /* 0: none */
    char *protocol;
};

static int read_port_range(struct parse *parse, const struct tree_node *node, struct range *ret)
{
    if (node->type != TREE_SCALAR || !read_range(node->text, strlen(node->text), ret))
        return parse_fail(parse, node, "a port from 1 to 65535 is expected, or a range");
    return 0;
}

static int port_target(struct parse *parse, const struct tree_node *node, void *port)
{
    return read_port_range(parse, node, &((struct long_port *)port)->target);
}

static int port_published(struct parse *parse, const struct tree_node *node, void *port)
{
    if (node->type == TREE_SCALAR && (!node->text[0] || strcmp(node->text, "0") == 0))
        return 0; /* Compose would choose one */
    return read_port_range(parse, node, &((struct long_port *)port)->published);
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
        {"target", port_target}, {"published", port_published},     {"protocol", port_protocol},
        {"mode", port_mode},     {"name", parse_pass_over}, /* for people alone */
        {"host_ip", NULL},       {"app_protocol", parse_pass_over}, {0}};
    struct long_port port = {0};
    int rc = parse_map(parse, node, keys, &port);
    if (rc == 0 && tree_is_null(tree_find(node, "target")))
        rc = parse_fail(parse, node, "a port needs a target");
    if (rc == 0)
        rc = add_range(parse, node, spec, port.published.first > 0 ? &port.published : NULL,
                       &port.target, port.protocol ? port.protocol : "tcp");
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

/* Options between commas, of which size=… and mode=… say something; "ro", and what is so anyway. */
static int read_tmpfs_options(struct parse *parse, const struct tree_node *node, const char *text,
                              struct spec_mount *mount)
{
    static const char *const usual[] = {"rw", "nosuid", "nodev", "noexec"};
    int rc = 0;
    while (rc == 0 && *text) {
        size_t size = strcspn(text, ",");
        cleanup_free char *option = strndup(text, size);
        bool is_usual = false;
        if (!option)
            return -ENOMEM;
        for (size_t i = 0; i < array_count(usual); i++)
            is_usual = is_usual || strcmp(option, usual[i]) == 0;
        struct tree_node value = *node; /* for its place in messages */
        value.type = TREE_SCALAR;
        value.text = strchr(option, '=') ? strchr(option, '=') + 1 : option;
        if (strncmp(option, "size=", strlen("size=")) == 0)
            rc = parse_size(parse, &value, &mount->size_bytes);
        else if (strncmp(option, "mode=", strlen("mode=")) == 0)
            rc = parse_octal(parse, &value, RUNTIME_MODE_MAX, &mount->mode);
        else if (strcmp(option, "ro") == 0)
            mount->read_only = true;
        else if (!is_usual)
            rc = parse_warn(parse, node, "the option %s is not supported by Consort: ignored",
                            option);
        text += size + (text[size] == ',');
    }
    return rc;
}

static const char *option_of(const struct tree_node *options, const char *key)
{
    const struct tree_node *node = tree_find(options, key);
    return node && node->type == TREE_SCALAR ? node->text : "";
}

/* True if the word is among those between commas. */
static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; *at;) {
        size_t size = strcspn(at, ",");
        if (size == length && strncmp(at, word, size) == 0)
            return true;
        at += size + (at[size] == ',');
    }
    return false;
}

/* The local driver's `o: bind` and `type: tmpfs` are the mounts of these names. */
static int read_driver_opts(struct parse *parse, const char *volume, struct spec_mount *mount)
{
    const struct tree_node *entry = tree_find(tree_find(parse->root, "volumes"), volume);
    const struct tree_node *options = tree_find(entry, "driver_opts");
    const char *device = option_of(options, "device");
    if (tree_is_null(options))
        return 0;
    if (has_word(option_of(options, "o"), "bind") && device[0]) {
        mount->type = SPEC_MOUNT_BIND;
        mount->must_exist = true;
        mount->read_only = mount->read_only || has_word(option_of(options, "o"), "ro");
        return parse_path(parse, options, device, &mount->source);
    }
    if (strcmp(option_of(options, "type"), "tmpfs") == 0) {
        mount->type = SPEC_MOUNT_TMPFS;
        return read_tmpfs_options(parse, options, option_of(options, "o"), mount);
    }
    return parse_warn(parse, options,
                      "ignored: a volume is a folder of its machine's; mount what is elsewhere "
                      "on each machine, and give it as device, with o: bind");
}

/* A path is relative to the file. */
static int set_source(struct parse *parse, const struct tree_node *node, const char *source,
                      struct spec_mount *mount)
{
    if (mount->type == SPEC_MOUNT_VOLUME) {
        int rc = read_driver_opts(parse, source, mount);
        if (rc == 0 && mount->type == SPEC_MOUNT_VOLUME)
            rc = name_volume(parse, source, &mount->source);
        if (rc < 0 || mount->type != SPEC_MOUNT_VOLUME)
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
        else if (size == 6 && memcmp(options, "nocopy", size) == 0)
            mount->is_empty = true;
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

static int bind_create(struct parse *parse, const struct tree_node *node, void *target)
{
    bool is_made = true;
    int rc = parse_flag(parse, node, &is_made);
    ((struct spec_mount *)target)->must_exist = !is_made;
    return rc;
}

static int mount_bind(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"create_host_path", bind_create},
                                            {"propagation", NULL},
                                            {"selinux", NULL},
                                            {"recursive", NULL},
                                            {0}};
    return parse_map(parse, node, keys, target);
}

static int volume_nocopy(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_flag(parse, node, &((struct spec_mount *)target)->is_empty);
}

static int mount_volume(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {
        {"nocopy", volume_nocopy}, {"subpath", NULL}, {"labels", NULL}, {0}};
    return parse_map(parse, node, keys, target);
}

static int read_long_volume(struct parse *parse, const struct tree_node *node,
                            struct service_spec *spec)
{
    static const struct parse_key keys[] = {
        {"type", mount_type},           {"source", mount_source}, {"target", mount_target},
        {"read_only", mount_read_only}, {"tmpfs", mount_tmpfs},   {"bind", mount_bind},
        {"volume", mount_volume},       {"consistency", NULL},    {0}};
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

/* "TARGET[:OPTIONS]". */
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
    return rc < 0 ? rc : read_tmpfs_options(parse, node, text, mount);
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
