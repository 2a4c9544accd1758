/* ports, volumes, tmpfs, configs and secrets of a service; and the contents of configs and secrets.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/compose/parse.h"

static void *grow(void *items, size_t count, size_t size)
{
    void *grown = realloc(items, (count + 1) * size);
    if (grown)
        memset((char *)grown + count * size, 0, size);
    return grown;
}

/* --- Ports --- */

static int add_port(struct parse *parse, const struct tree_node *node, struct service_spec *spec,
                    unsigned long published, unsigned long target, const char *protocol)
{
    if (target == 0 || target > UINT16_MAX || published > UINT16_MAX)
        return parse_fail(parse, node, "a port is a number from 1 to 65535");
    if (strcmp(protocol, "udp") == 0)
        return parse_warn(parse, node, "UDP ports are not supported by Consort: ignored");
    if (strcmp(protocol, "tcp") != 0)
        return parse_fail(parse, node, "the protocol %s is neither tcp nor udp", protocol);
    struct spec_port *ports = grow(spec->ports, spec->port_count, sizeof(*ports));
    if (!ports)
        return -ENOMEM;
    spec->ports = ports;
    ports[spec->port_count++] = (struct spec_port){(uint16_t)published, (uint16_t)target, SPEC_TCP};
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
    unsigned long target = strtoul(colon ? colon + 1 : text, &end, 10);
    if (*end)
        return parse_fail(parse, node, "%s: PUBLISHED:TARGET is expected, as in 8080:80",
                          node->text);
    if (!colon)
        return add_port(parse, node, spec, 0, target, protocol);
    *colon = '\0';
    char *host_end = strrchr(text, ':');
    unsigned long published = strtoul(host_end ? host_end + 1 : text, &end, 10);
    if (*end || published == 0)
        return parse_fail(parse, node, "%s: PUBLISHED:TARGET is expected, as in 8080:80",
                          node->text);
    int rc = host_end ? parse_warn(parse, node, "published on all of every peer's addresses") : 0;
    return rc < 0 ? rc : add_port(parse, node, spec, published, target, protocol);
}

static int read_long_port(struct parse *parse, const struct tree_node *node,
                          struct service_spec *spec)
{
    uint64_t published = 0, target = 0;
    const struct tree_node *published_node = tree_find(node, "published");
    const struct tree_node *target_node = tree_find(node, "target");
    const struct tree_node *protocol = tree_find(node, "protocol");
    static const char *const known[] = {"target", "published", "protocol",    "mode",
                                        "name",   "host_ip",   "app_protocol"};
    for (size_t i = 0; i < node->count; i++) {
        bool is_known = false;
        for (size_t j = 0; j < array_count(known); j++)
            is_known = is_known || strcmp(node->children[i]->key, known[j]) == 0;
        if (!is_known)
            return parse_fail(parse, node->children[i], "unknown key of a port");
    }
    if (!target_node)
        return parse_fail(parse, node, "a port needs a target");
    int rc = parse_number(parse, target_node, UINT16_MAX, &target);
    if (rc == 0 && published_node)
        rc = parse_number(parse, published_node, UINT16_MAX, &published);
    return rc < 0 ? rc
                  : add_port(parse, node, spec, published, target,
                             protocol && protocol->type == TREE_SCALAR ? protocol->text : "tcp");
}

int read_ports(struct parse *parse, const struct tree_node *node, void *spec)
{
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = node->children[i]->type == TREE_MAP ? read_long_port(parse, node->children[i], spec)
                                                 : read_short_port(parse, node->children[i], spec);
    return rc;
}

/* --- Volumes --- */

static struct spec_mount *add_mount(struct service_spec *spec)
{
    struct spec_mount *mounts = grow(spec->mounts, spec->mount_count, sizeof(*mounts));
    if (!mounts)
        return NULL;
    spec->mounts = mounts;
    return &mounts[spec->mount_count++];
}

static int check_target(struct parse *parse, const struct tree_node *node,
                        const struct spec_mount *mount)
{
    if (!mount->target || mount->target[0] != '/')
        return parse_fail(parse, node, "the path in the container must be absolute");
    return 0;
}

/* Volumes belong to their stack, as with Docker: "STACK_name". A path is relative to the file. */
static int set_source(struct parse *parse, const char *source, struct spec_mount *mount)
{
    int length;
    if (mount->type == SPEC_MOUNT_VOLUME) {
        length = asprintf(&mount->source, "%s_%s", parse->result->stack, source);
    } else if (source[0] == '/') {
        length = asprintf(&mount->source, "%s", source);
    } else {
        const char *slash = strrchr(parse->path, '/');
        cleanup_free char *folder =
            slash ? strndup(parse->path, (size_t)(slash - parse->path)) : strdup(".");
        cleanup_free char *full = folder ? realpath(folder, NULL) : NULL;
        if (!full)
            return -errno;
        length = asprintf(&mount->source, "%s/%s", full, source);
    }
    return length < 0 ? -ENOMEM : 0;
}

/* "SOURCE:TARGET[:ro]" or "TARGET". */
static int read_short_volume(struct parse *parse, const struct tree_node *node,
                             struct service_spec *spec)
{
    struct spec_mount *mount = add_mount(spec);
    if (!mount)
        return -ENOMEM;
    if (node->type != TREE_SCALAR)
        return parse_fail(parse, node, "SOURCE:TARGET is expected");
    const char *colon = strchr(node->text, ':');
    if (!colon) {
        mount->target = strdup(node->text);
        return mount->target ? check_target(parse, node, mount) : -ENOMEM;
    }
    cleanup_free char *source = strndup(node->text, (size_t)(colon - node->text));
    const char *options = strchr(colon + 1, ':');
    mount->target = options ? strndup(colon + 1, (size_t)(options - colon - 1)) : strdup(colon + 1);
    if (!source || !mount->target)
        return -ENOMEM;
    mount->read_only = options && (strcmp(options, ":ro") == 0 || strncmp(options, ":ro,", 4) == 0);
    mount->type = source[0] == '/' || source[0] == '.' ? SPEC_MOUNT_BIND : SPEC_MOUNT_VOLUME;
    int rc = set_source(parse, source, mount);
    return rc < 0 ? rc : check_target(parse, node, mount);
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

static int mount_tmpfs(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"size", tmpfs_size}, {"mode", NULL}, {0}};
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
        rc = set_source(parse, source, mount);
    return rc < 0 ? rc : check_target(parse, node, mount);
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

int read_tmpfs(struct parse *parse, const struct tree_node *node, void *spec)
{
    struct text_list paths = {0};
    int rc = parse_list(parse, node, &paths);
    for (size_t i = 0; i < paths.count && rc == 0; i++) {
        struct spec_mount *mount = add_mount(spec);
        if (!mount)
            rc = -ENOMEM;
        else {
            mount->type = SPEC_MOUNT_TMPFS;
            mount->target = strndup(paths.items[i], strcspn(paths.items[i], ":"));
            rc = mount->target ? check_target(parse, node, mount) : -ENOMEM;
        }
    }
    text_list_done(&paths);
    return rc;
}

/* --- Configs and secrets --- */

enum {
    FILE_MODE_DEFAULT = 0444,
};

static int file_number(struct parse *parse, const struct tree_node *node, int base, uint32_t *ret)
{
    char *end;
    if (node->type != TREE_SCALAR)
        return parse_fail(parse, node, "a number is expected");
    unsigned long value = strtoul(node->text, &end, base);
    if (*end || end == node->text || value > UINT32_MAX)
        return parse_fail(parse, node, "%s is no number", node->text);
    *ret = (uint32_t)value;
    return 0;
}

/* One use of a config or secret: its name alone, or a map. */
static int read_file(struct parse *parse, const struct tree_node *node, enum spec_file_kind kind,
                     struct service_spec *spec)
{
    const char *section = kind == SPEC_FILE_SECRET ? "secrets" : "configs";
    const struct tree_node *source = node->type == TREE_MAP ? tree_find(node, "source") : node;
    const struct tree_node *target = tree_find(node, "target"), *value;
    if (!source || source->type != TREE_SCALAR)
        return parse_fail(parse, node, "the name of one of the %s is expected", section);
    if (!tree_find(tree_find(parse->root, section), source->text))
        return parse_fail(parse, node, "%s is not among the file's %s", source->text, section);
    struct spec_file *files = grow(spec->files, spec->file_count, sizeof(*files));
    if (!files)
        return -ENOMEM;
    spec->files = files;
    struct spec_file *file = &files[spec->file_count++];
    file->kind = (uint8_t)kind;
    file->mode = FILE_MODE_DEFAULT;
    const char *name = target && target->type == TREE_SCALAR ? target->text : source->text;
    const char *folder = name[0] == '/' ? "" : kind == SPEC_FILE_SECRET ? "/run/secrets/" : "/";
    if (asprintf(&file->source, "%s_%s", parse->result->stack, source->text) < 0 ||
        asprintf(&file->target, "%s%s", folder, name) < 0)
        return -ENOMEM;
    int rc = 0;
    if ((value = tree_find(node, "uid")))
        rc = file_number(parse, value, 10, &file->uid);
    if (rc == 0 && (value = tree_find(node, "gid")))
        rc = file_number(parse, value, 10, &file->gid);
    if (rc == 0 && (value = tree_find(node, "mode")))
        rc = file_number(parse, value, 8, &file->mode);
    return rc;
}

static int read_files(struct parse *parse, const struct tree_node *node, enum spec_file_kind kind,
                      struct service_spec *spec)
{
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = read_file(parse, node->children[i], kind, spec);
    return rc;
}

int read_configs(struct parse *parse, const struct tree_node *node, void *spec)
{
    return read_files(parse, node, SPEC_FILE_CONFIG, spec);
}

int read_secrets(struct parse *parse, const struct tree_node *node, void *spec)
{
    return read_files(parse, node, SPEC_FILE_SECRET, spec);
}

static int read_content(struct parse *parse, const struct tree_node *node, struct buffer *ret)
{
    char path[PATH_MAX], chunk[4096];
    const struct tree_node *file = tree_find(node, "file");
    const struct tree_node *content = tree_find(node, "content");
    const struct tree_node *variable = tree_find(node, "environment");
    if (content && content->type == TREE_SCALAR)
        return buffer_append_text(ret, content->text);
    if (variable && variable->type == TREE_SCALAR) {
        const char *value = getenv(variable->text);
        return value ? buffer_append_text(ret, value)
                     : parse_fail(parse, variable, "the variable %s is not set", variable->text);
    }
    if (!file || file->type != TREE_SCALAR)
        return parse_fail(parse, node, "file, content or environment is expected");
    const char *slash = strrchr(parse->path, '/');
    snprintf(path, sizeof(path), "%.*s%s",
             file->text[0] == '/' || !slash ? 0 : (int)(slash - parse->path + 1), parse->path,
             file->text);
    FILE *stream = fopen(path, "re");
    if (!stream)
        return parse_fail(parse, file, "reading %s: %s", path, strerror(errno));
    size_t size;
    int rc = 0;
    while (rc == 0 && (size = fread(chunk, 1, sizeof(chunk), stream)) > 0)
        rc = size > INTENT_BLOB_BYTES_MAX - ret->size
                 ? parse_fail(parse, file, "%s is larger than %d KiB", path,
                              INTENT_BLOB_BYTES_MAX / 1024)
                 : buffer_append(ret, chunk, size);
    fclose(stream);
    return rc;
}

int parse_blobs(struct parse *parse, const struct tree_node *node, enum spec_file_kind kind)
{
    struct compose_result *result = parse->result;
    int rc = node->type == TREE_MAP ? 0 : parse_fail(parse, node, "a map is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        struct intent_blob *blobs = grow(result->blobs, result->blob_count, sizeof(*blobs));
        if (!blobs)
            return -ENOMEM;
        result->blobs = blobs;
        struct intent_blob *blob = &blobs[result->blob_count++];
        blob->kind = (uint8_t)kind;
        int length = snprintf(blob->name, sizeof(blob->name), "%s_%s", result->stack,
                              node->children[i]->key);
        if (length >= (int)sizeof(blob->name))
            return parse_fail(parse, node->children[i], "the name is too long");
        rc = read_content(parse, node->children[i], &blob->content);
    }
    return rc;
}
