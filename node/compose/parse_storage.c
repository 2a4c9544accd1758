/* volumes and tmpfs of a service */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "node/compose/parse.h"
#include "runtime/container_spec.h"
#include "runtime/image/image_reference.h"

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
    const struct tree_node *name = NULL;
    bool is_external = false;
    int rc = parse_external(parse, entry, &is_external, &name);
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
        value.is_plain = false; /* mode=1777 is no number of YAML's */
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

/* How mounts below a bind are seen on the other side, if the word says that. */
static bool read_propagation(const char *word, size_t size, struct spec_mount *mount)
{
    for (uint8_t i = 0; spec_propagation_words[i]; i++)
        if (strlen(spec_propagation_words[i]) == size &&
            strncmp(spec_propagation_words[i], word, size) == 0) {
            mount->propagation = i;
            return true;
        }
    return false;
}

/* The file system `type` of a device or server, for mount(8). */
static int set_device(struct parse *parse, const struct tree_node *options,
                      struct spec_mount *mount)
{
    const char *type = option_of(options, "type"), *words = option_of(options, "o");
    if (strlen(type) + strlen(words) > SPEC_TEXT_BYTES_MAX)
        return parse_fail(parse, options, "too long");
    mount->type = SPEC_MOUNT_DEVICE;
    mount->source = strdup(option_of(options, "device"));
    mount->fs_type = strdup(type);
    mount->fs_options = words[0] ? strdup(words) : NULL;
    return mount->source && mount->fs_type && (!words[0] || mount->fs_options) ? 0 : -ENOMEM;
}

/* The local driver's `o: bind` and `type: tmpfs` are the mounts of these names; all else is for
 * mount(8). */
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
        for (const char *at = option_of(options, "o"); *at; at += (*at == ',')) {
            size_t size = strcspn(at, ",");
            read_propagation(at, size, mount);
            at += size;
        }
        return parse_path(parse, options, device, &mount->source);
    }
    if (strcmp(option_of(options, "type"), "tmpfs") == 0) {
        mount->type = SPEC_MOUNT_TMPFS;
        return read_tmpfs_options(parse, options, option_of(options, "o"), mount);
    }
    if (option_of(options, "type")[0] && device[0])
        return set_device(parse, options, mount);
    return parse_warn(parse, options, "ignored: type and device are needed, or device and o: bind");
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

/* What is so anyway, and what was for Docker Desktop alone. */
static bool is_without_effect(const char *option, size_t size)
{
    static const char *const words[] = {"rw", "consistent", "cached", "delegated"};
    for (size_t i = 0; i < array_count(words); i++)
        if (strlen(words[i]) == size && strncmp(words[i], option, size) == 0)
            return true;
    return false;
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
        else if (!read_propagation(options, size, mount) && !is_without_effect(options, size))
            rc = parse_warn(parse, node, "the option %.*s is ignored: %s", (int)size, options,
                            size == 1 && strchr("zZ", options[0]) ? parse_reason("selinux")
                                                                  : "Consort has no such");
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
    struct spec_mount *mount = service_spec_add_mount(spec);
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
    static const char *const words[] = {"volume", "bind", "tmpfs", "image", NULL};
    static const uint8_t types[] = {SPEC_MOUNT_VOLUME, SPEC_MOUNT_BIND, SPEC_MOUNT_TMPFS,
                                    SPEC_MOUNT_IMAGE};
    uint8_t index = 0;
    int rc = parse_word(parse, node, words, &index);
    ((struct spec_mount *)target)->type = types[index];
    return rc;
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

static int bind_propagation(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_word(parse, node, spec_propagation_words,
                      &((struct spec_mount *)target)->propagation);
}

static int mount_bind(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"create_host_path", bind_create},
                                            {"propagation", bind_propagation},
                                            {"selinux", NULL},
                                            {"recursive", NULL},
                                            {0}};
    return parse_map(parse, node, keys, target);
}

static int volume_nocopy(struct parse *parse, const struct tree_node *node, void *target)
{
    return parse_flag(parse, node, &((struct spec_mount *)target)->is_empty);
}

static int mount_subpath(struct parse *parse, const struct tree_node *node, void *target)
{
    struct spec_mount *mount = target;
    free(take_pointer(mount->subpath)); /* a map may have both `volume` and `image` */
    int rc = parse_text(parse, node, &mount->subpath);
    return rc < 0 || (mount->subpath[0] && mount->subpath[0] != '/')
               ? rc
               : parse_fail(parse, node,
                            "a path within what is mounted is expected, as in data/pictures");
}

static int mount_volume(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {
        {"nocopy", volume_nocopy}, {"subpath", mount_subpath}, {"labels", NULL}, {0}};
    return parse_map(parse, node, keys, target);
}

static int mount_image(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"subpath", mount_subpath}, {0}};
    return parse_map(parse, node, keys, target);
}

/* What the source of a mount of an image names. It is read-only, whatever the file says. */
static int set_image(struct parse *parse, const struct tree_node *node, const char *source,
                     struct spec_mount *mount)
{
    struct image_reference reference;
    struct error why = {0};
    if (!source)
        return parse_fail(parse, node, "a mount of an image needs the image as its source");
    if (image_reference_parse(source, &reference, &why) < 0)
        return parse_fail(parse, node, "%s%s%s", why.message, why.hint[0] ? "; " : "", why.hint);
    mount->read_only = true;
    mount->source = strdup(source);
    return mount->source ? 0 : -ENOMEM;
}

static int read_long_volume(struct parse *parse, const struct tree_node *node,
                            struct service_spec *spec)
{
    static const struct parse_key keys[] = {{"type", mount_type},
                                            {"source", mount_source},
                                            {"target", mount_target},
                                            {"read_only", mount_read_only},
                                            {"tmpfs", mount_tmpfs},
                                            {"bind", mount_bind},
                                            {"volume", mount_volume},
                                            {"image", mount_image},
                                            {"consistency", parse_pass_over},
                                            {0}};
    struct spec_mount *mount = service_spec_add_mount(spec);
    if (!mount)
        return -ENOMEM;
    int rc = parse_map(parse, node, keys, mount);
    cleanup_free char *source = take_pointer(mount->source);
    if (rc == 0 && mount->type == SPEC_MOUNT_IMAGE)
        rc = set_image(parse, node, source, mount);
    else if (rc == 0 && source && mount->type != SPEC_MOUNT_TMPFS)
        rc = set_source(parse, node, source, mount);
    if (rc == 0 && !source && mount->type == SPEC_MOUNT_BIND)
        rc = parse_fail(parse, node, "a bind mount needs a source");
    if (rc == 0 && mount->subpath && mount->type != SPEC_MOUNT_IMAGE &&
        (mount->type != SPEC_MOUNT_VOLUME || !source))
        rc = parse_fail(parse, node,
                        "only an image or a named volume, of no driver_opts, has a subpath");
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
    struct spec_mount *mount = service_spec_add_mount(spec);
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
