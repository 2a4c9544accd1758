/* configs and secrets of a service; and what the top level says that they hold. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "node/compose/parse.h"
#include "runtime/container_spec.h"
#include "runtime/file.h"

enum {
    FILE_MODE_DEFAULT = 0444,
};

/* A use of a config or secret, as it is written. */
struct file_use {
    char *source, *target;
    uint32_t uid, gid, mode;
};

static int file_source(struct parse *parse, const struct tree_node *node, void *use)
{
    return parse_text(parse, node, &((struct file_use *)use)->source);
}

static int file_target(struct parse *parse, const struct tree_node *node, void *use)
{
    return parse_text(parse, node, &((struct file_use *)use)->target);
}

static int file_uid(struct parse *parse, const struct tree_node *node, void *use)
{
    return parse_u32(parse, node, &((struct file_use *)use)->uid);
}

static int file_gid(struct parse *parse, const struct tree_node *node, void *use)
{
    return parse_u32(parse, node, &((struct file_use *)use)->gid);
}

static int file_mode(struct parse *parse, const struct tree_node *node, void *use)
{
    return parse_octal(parse, node, RUNTIME_MODE_MAX, &((struct file_use *)use)->mode);
}

/* As with Docker, they belong to their stack: "STACK_name", unless the top level names them
 * otherwise, or says that they are not the stack's. */
static int name_blob(struct parse *parse, const struct tree_node *item, bool *ret_is_external,
                     char ret[INTENT_SERVICE_NAME_BYTES_MAX + 1])
{
    const struct tree_node *name = NULL;
    int rc = parse_external(parse, item, ret_is_external, &name);
    if (rc < 0)
        return rc;
    if (!tree_is_null(name) && name->type != TREE_SCALAR)
        return parse_fail(parse, name, "text is expected");
    bool is_own = tree_is_null(name) && !*ret_is_external;
    int length = snprintf(ret, INTENT_SERVICE_NAME_BYTES_MAX + 1, "%s%s%s",
                          is_own ? parse->result->stack : "", is_own ? "_" : "",
                          tree_is_null(name) ? item->key : name->text);
    return length <= INTENT_SERVICE_NAME_BYTES_MAX
               ? 0
               : parse_fail(parse, item, "the name is too long");
}

static int add_file(struct parse *parse, const struct tree_node *node, enum spec_file_kind kind,
                    const struct file_use *use, struct service_spec *spec)
{
    const char *section = kind == SPEC_FILE_SECRET ? "secrets" : "configs";
    char blob[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    bool is_external;
    if (!use->source)
        return parse_fail(parse, node, "the name of one of the %s is expected", section);
    const struct tree_node *item = tree_find(tree_find(parse->root, section), use->source);
    if (!item)
        return parse_fail(parse, node, "%s is not among the file's %s", use->source, section);
    int rc = name_blob(parse, item, &is_external, blob);
    if (rc < 0)
        return rc;
    struct spec_file *files = parse_grow(spec->files, spec->file_count, sizeof(*files));
    if (!files)
        return -ENOMEM;
    spec->files = files;
    struct spec_file *file = &files[spec->file_count++];
    *file = (struct spec_file){
        .kind = (uint8_t)kind, .uid = use->uid, .gid = use->gid, .mode = use->mode};
    const char *name = use->target ? use->target : use->source;
    const char *folder = name[0] == '/' ? "" : kind == SPEC_FILE_SECRET ? "/run/secrets/" : "/";
    file->source = strdup(blob);
    if (!file->source || asprintf(&file->target, "%s%s", folder, name) < 0)
        return -ENOMEM;
    return parse_target(parse, node, file->target);
}

/* One use of a config or secret: its name alone, or a map. */
static int read_file(struct parse *parse, const struct tree_node *node, enum spec_file_kind kind,
                     struct service_spec *spec)
{
    static const struct parse_key keys[] = {{"source", file_source}, {"target", file_target},
                                            {"uid", file_uid},       {"gid", file_gid},
                                            {"mode", file_mode},     {0}};
    struct file_use use = {.mode = FILE_MODE_DEFAULT};
    int rc = node->type == TREE_SCALAR ? file_source(parse, node, &use)
                                       : parse_map(parse, node, keys, &use);
    if (rc == 0)
        rc = add_file(parse, node, kind, &use, spec);
    free(use.source);
    free(use.target);
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

/* Where the contents of a config or secret come from. */
struct blob_source {
    struct buffer *content;
    bool is_set;
};

static int set_content(struct parse *parse, const struct tree_node *node,
                       struct blob_source *source, struct bytes content)
{
    if (source->is_set)
        return parse_fail(parse, node, "only one of file, content and environment is expected");
    source->is_set = true;
    if (content.size > INTENT_BLOB_BYTES_MAX)
        return parse_fail(parse, node, "larger than %d KiB", INTENT_BLOB_BYTES_MAX / 1024);
    return buffer_append(source->content, content.data, content.size);
}

static int blob_content(struct parse *parse, const struct tree_node *node, void *source)
{
    return node->type == TREE_SCALAR ? set_content(parse, node, source, bytes_of_text(node->text))
                                     : parse_fail(parse, node, "text is expected");
}

static int blob_environment(struct parse *parse, const struct tree_node *node, void *source)
{
    const char *value =
        node->type == TREE_SCALAR ? variables_find(parse->variables, node->text) : NULL;
    return value ? set_content(parse, node, source, bytes_of_text(value))
                 : parse_fail(parse, node, "the variable %s is not set",
                              node->type == TREE_SCALAR ? node->text : "");
}

static int blob_file(struct parse *parse, const struct tree_node *node, void *source)
{
    cleanup_buffer struct buffer content = {0};
    cleanup_free char *path = NULL;
    if (node->type != TREE_SCALAR)
        return parse_fail(parse, node, "a path is expected");
    int rc = parse_path(parse, node, node->text, &path);
    if (rc < 0)
        return rc;
    rc = file_read(path, INTENT_BLOB_BYTES_MAX, &content);
    if (rc == -EFBIG)
        return parse_fail(parse, node, "%s is larger than %d KiB", path,
                          INTENT_BLOB_BYTES_MAX / 1024);
    return rc < 0 ? parse_fail(parse, node, "reading %s: %s", path, strerror(-rc))
                  : set_content(parse, node, source, buffer_view(&content));
}

static int read_blob(struct parse *parse, const struct tree_node *node, struct buffer *ret)
{
    static const struct parse_key keys[] = {
        {"file", blob_file},           {"content", blob_content}, {"environment", blob_environment},
        {"name", parse_pass_over}, /* read by name_blob() */
        {"external", parse_pass_over}, {"labels", NULL},          {"driver", NULL},
        {"driver_opts", NULL},         {"template_driver", NULL}, {0}};
    struct blob_source source = {.content = ret};
    int rc = parse_map(parse, node, keys, &source);
    return rc < 0 || source.is_set
               ? rc
               : parse_fail(parse, node, "file, content or environment is expected");
}

/* What is external is set with `consort config set` and holds what that says. */
static int read_external(struct parse *parse, const struct tree_node *item)
{
    static const struct parse_key keys[] = {
        {"name", parse_pass_over}, {"external", parse_pass_over}, {0}};
    return parse_map(parse, item, keys, NULL);
}

static bool blob_is_named(const struct compose_result *result, const struct intent_blob *blob)
{
    for (size_t i = 0; i < result->blob_count; i++)
        if (result->blobs[i].kind == blob->kind && strcmp(result->blobs[i].name, blob->name) == 0)
            return true;
    return false;
}

static int add_blob(struct parse *parse, const struct tree_node *item,
                    const struct intent_blob *blob)
{
    struct compose_result *result = parse->result;
    if (blob_is_named(result, blob))
        return parse_fail(parse, item, "another one has the name %s already", blob->name);
    if (result->blob_count == COMMAND_DEPLOY_BLOBS_MAX)
        return parse_fail(parse, item, "more than %d configs and secrets",
                          COMMAND_DEPLOY_BLOBS_MAX);
    struct intent_blob *blobs = parse_grow(result->blobs, result->blob_count, sizeof(*blobs));
    if (!blobs)
        return -ENOMEM;
    result->blobs = blobs;
    blobs[result->blob_count] = *blob;
    return read_blob(parse, item, &blobs[result->blob_count++].content);
}

/* Whether the list of a service's configs or secrets has it. */
static bool has_source(const struct tree_node *list, const char *key)
{
    for (size_t i = 0; list && list->type == TREE_LIST && i < list->count; i++) {
        const struct tree_node *item = list->children[i];
        const struct tree_node *source = item->type == TREE_MAP ? tree_find(item, "source") : item;
        if (source && source->type == TREE_SCALAR && strcmp(source->text, key) == 0)
            return true;
    }
    return false;
}

static bool is_used(const struct parse *parse, enum spec_file_kind kind, const char *key)
{
    const struct tree_node *services = tree_find(parse->root, "services");
    for (size_t i = 0; services && services->type == TREE_MAP && i < services->count; i++)
        if (has_source(
                tree_find(services->children[i], kind == SPEC_FILE_SECRET ? "secrets" : "configs"),
                key))
            return true;
    return false;
}

/* Whether it comes from a file that is not there, or a variable that is not set. */
static bool is_absent(struct parse *parse, const struct tree_node *item)
{
    const struct tree_node *file = tree_find(item, "file");
    const struct tree_node *variable = tree_find(item, "environment");
    cleanup_free char *path = NULL;
    if (file && file->type == TREE_SCALAR)
        return parse_path(parse, file, file->text, &path) == 0 && access(path, F_OK) != 0;
    return variable && variable->type == TREE_SCALAR &&
           !variables_find(parse->variables, variable->text);
}

int parse_blobs(struct parse *parse, const struct tree_node *node, enum spec_file_kind kind)
{
    int rc = node->type == TREE_MAP ? 0 : parse_fail(parse, node, "a map is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct tree_node *item = node->children[i];
        struct intent_blob blob = {.kind = (uint8_t)kind};
        bool is_external = false;
        if (strncmp(item->key, "x-", 2) == 0)
            continue;
        /* What is only for a build, or services of other profiles, need not be there. */
        if (!is_used(parse, kind, item->key) && is_absent(parse, item))
            continue;
        rc = name_blob(parse, item, &is_external, blob.name);
        if (rc == 0)
            rc = is_external ? read_external(parse, item) : add_blob(parse, item, &blob);
    }
    return rc;
}
