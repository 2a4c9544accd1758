#include "node/compose/document.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/compose/environment.h"
#include "node/compose/merge.h"

/* A file that was read, as it stands there: before anything is merged. */
struct document_file {
    struct tree_source source;
    const struct variables *variables; /* with which it was read */
    struct tree_node *root;
    struct document_file *next;
};

/* What is being put together: the operator's files, or those that an `include` names. */
struct project {
    struct document *document;
    struct variables *variables;
    const char *folder;
    int depth; /* of includes */
    struct error *error;
};

/* --- Files --- */

static char *join(const char *folder, const char *path)
{
    char *joined = NULL;
    bool is_absolute = path[0] == '/';
    if (asprintf(&joined, "%s%s%s", is_absolute ? "" : folder, is_absolute ? "" : "/", path) < 0)
        return NULL;
    return joined;
}

/* The absolute folder of `path`; the caller frees it. NULL with errno. */
static char *folder_of(const char *path)
{
    cleanup_free char *copy = strdup(path);
    return copy ? realpath(strcmp(path, "-") == 0 ? "." : dirname(copy), NULL) : NULL;
}

/* Reads a file, unless it was read before in the same way. */
static int open_file(const struct project *project, const char *path, const char *folder,
                     struct document_file **ret)
{
    struct document *document = project->document;
    size_t count = 0;
    for (struct document_file *file = document->files; file; file = file->next, count++) {
        if (strcmp(file->source.path, path) != 0 || strcmp(file->source.folder, folder) != 0 ||
            file->variables != project->variables)
            continue;
        *ret = file;
        return 0;
    }
    if (count == DOCUMENT_FILES_MAX)
        return error_set(project->error, -E2BIG, "%s: more than %d files in one deploy", path,
                         DOCUMENT_FILES_MAX);
    struct document_file *file = calloc(1, sizeof(*file));
    if (!file)
        return -ENOMEM;
    file->next = document->files;
    document->files = file;
    file->variables = project->variables;
    file->source.path = strdup(path);
    file->source.folder = strdup(folder);
    if (!file->source.path || !file->source.folder)
        return -ENOMEM;
    int rc = tree_load(&file->source, project->variables, &document->budget, &file->root,
                       project->error);
    *ret = file;
    return rc;
}

static int copy_tree(const struct project *project, const struct tree_node *from,
                     struct tree_node **ret)
{
    int rc = tree_copy(from, &project->document->budget, ret);
    return rc == -E2BIG ? tree_fail(project->error, from,
                                    "with all that is extended and merged, more than %d values",
                                    TREE_NODES_MAX)
                        : rc;
}

/* A file that can't be read is told with the place that names it. */
static int say_where(const struct project *project, const struct tree_node *node, int rc)
{
    char place[512], words[BASE_ERROR_BYTES_MAX];
    if (rc >= 0 || rc == -EINVAL || !project->error || !project->error->message[0])
        return rc; /* what is wrong within the file has its own place */
    snprintf(words, sizeof(words), "%s", project->error->message);
    tree_place(node, place, sizeof(place));
    return error_set(project->error, rc, "%s%s", place, words);
}

/* --- extends --- */

/* The service that `extends` names; `*file` is where `extends` stands, and then where that service
 * does. */
static int find_extended(const struct project *project, const struct tree_node *extends,
                         struct document_file **file, const struct tree_node **ret)
{
    const struct tree_node *name = extends, *path = NULL;
    if (extends->type == TREE_MAP) {
        name = tree_find(extends, "service");
        path = tree_find(extends, "file");
    }
    if (!name || name->type != TREE_SCALAR || (path && path->type != TREE_SCALAR))
        return tree_fail(project->error, extends, "service: NAME is expected, and file: PATH");
    if (path) {
        cleanup_free char *full = join(extends->source->folder, path->text);
        cleanup_free char *folder = full ? folder_of(full) : NULL;
        if (!full)
            return -ENOMEM;
        if (!folder)
            return tree_fail(project->error, path, "finding %s: %s", full, strerror(errno));
        int rc = say_where(project, path, open_file(project, full, folder, file));
        if (rc < 0)
            return rc;
    }
    *ret = tree_find(tree_find((*file)->root, "services"), name->text);
    return *ret ? 0
                : tree_fail(project->error, name, "%s is not among the services of %s", name->text,
                            (*file)->source.path);
}

/* Puts the copy of `from` into the place of the services' entry, and merges what was there over it.
 */
static int merge_over(const struct project *project, struct tree_node *services, size_t index,
                      const struct tree_node *from)
{
    struct tree_node *under = NULL;
    int rc = copy_tree(project, from, &under);
    if (rc < 0)
        return rc;
    struct tree_node *over = services->children[index];
    under->key = strdup(over->key);
    under->parent = services;
    under->line = over->line; /* messages about the whole service name its own line */
    under->source = over->source;
    services->children[index] = under;
    over->parent = NULL;
    rc = under->key ? tree_merge(under, over, project->error) : -ENOMEM;
    tree_free(over);
    return rc;
}

static int extend_service(const struct project *project, struct document_file *file,
                          struct tree_node *services, size_t index)
{
    int rc = 0;
    for (int extended = 0; rc == 0; extended++) {
        struct tree_node *service = services->children[index];
        size_t at = tree_index(service, "extends");
        if (at == service->count)
            return 0;
        const struct tree_node *from = NULL;
        if (extended == DOCUMENT_EXTENDS_MAX)
            return tree_fail(project->error, service->children[at],
                             "more than %d services, one extending the other, or in a circle",
                             DOCUMENT_EXTENDS_MAX);
        rc = find_extended(project, service->children[at], &file, &from);
        if (rc == 0 && from->type != TREE_MAP)
            rc = tree_fail(project->error, from, "a map of keys and values is expected");
        if (rc < 0)
            return rc;
        tree_free(tree_take(service, at)); /* the extended one's own `extends` comes next */
        rc = merge_over(project, services, index, from);
    }
    return rc;
}

static int extend_services(const struct project *project, struct document_file *file,
                           struct tree_node *root)
{
    struct tree_node *services = tree_find(root, "services");
    int rc = 0;
    for (size_t i = 0; services && services->type == TREE_MAP && i < services->count && rc == 0;
         i++)
        rc = extend_service(project, file, services, i);
    return rc;
}

/* --- include --- */

static int load_project(const struct project *project, const struct text_list *paths,
                        struct tree_node **ret);

/* Adds a section's entries to those of `root`: a name that both have must say the same. */
static int take_section(const struct project *project, struct tree_node *root,
                        struct tree_node *section)
{
    struct tree_node *into = tree_find(root, section->key);
    int rc = 0;
    if (!into) {
        into = tree_new(TREE_MAP, section, NULL);
        rc = into ? tree_add(root, into, section->key) : -ENOMEM;
        if (rc < 0) {
            tree_free(into);
            return rc;
        }
    }
    if (into->type != TREE_MAP)
        return tree_fail(project->error, into, "a map of keys and values is expected");
    while (section->count > 0 && rc == 0) {
        struct tree_node *entry = tree_take(section, 0), *other = tree_find(into, entry->key);
        if (other && !tree_equal(entry, other))
            rc = tree_fail(project->error, other, "%s, which is included, has it too",
                           entry->source->path);
        else if (!other)
            rc = into->count < TREE_KEYS_MAX
                     ? tree_add(into, entry, entry->key)
                     : tree_fail(project->error, into, "too many keys in one map");
        if (rc < 0 || other)
            tree_free(entry);
    }
    return rc;
}

static int take_included(const struct project *project, struct tree_node *root,
                         struct tree_node *included)
{
    static const char *const sections[] = {"services", "networks", "volumes", "configs", "secrets"};
    int rc = 0;
    for (size_t i = 0; i < array_count(sections) && rc == 0; i++) {
        struct tree_node *section = tree_find(included, sections[i]);
        if (section && section->type == TREE_MAP)
            rc = take_section(project, root, section);
    }
    return rc;
}

static int list_texts(const struct project *project, const struct tree_node *node,
                      const char *folder, struct text_list *ret)
{
    size_t count = node->type == TREE_LIST ? node->count : 1;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct tree_node *item = node->type == TREE_LIST ? node->children[i] : node;
        if (item->type != TREE_SCALAR || !item->text[0])
            return tree_fail(project->error, item, "a path is expected");
        if (strstr(item->text, "://"))
            return tree_fail(project->error, item,
                             "%s is not on this machine: fetch it, and name the file", item->text);
        cleanup_free char *full = join(folder, item->text);
        rc = full ? text_list_add(ret, full) : -ENOMEM;
    }
    return rc == 0 && ret->count == 0 ? tree_fail(project->error, node, "a path is expected") : rc;
}

int document_load_variables(const struct text_list *files, const char *folder,
                            struct variables *variables, struct error *error)
{
    cleanup_free char *path = join(folder, ".env");
    int rc = path ? 0 : -ENOMEM;
    struct environment_file file = {
        .path = path, .variables = variables, .warnings = &variables->warnings};
    if (rc == 0 && (!files || files->count == 0))
        return access(path, R_OK) == 0 ? environment_file_read(&file, &variables->values, error)
                                       : 0;
    for (size_t i = 0; files && i < files->count && rc == 0; i++) {
        file.path = files->items[files->count - 1 - i]; /* the last one counts most */
        rc = environment_file_read(&file, &variables->values, error);
    }
    return rc;
}

/* What `include` names: a path, or a map of path, project_directory and env_file. */
struct included {
    struct text_list paths, env_files;
    char *folder;
};

static int check_included(const struct project *project, const struct tree_node *item)
{
    static const char *const known[] = {"path", "project_directory", "env_file"};
    for (size_t i = 0; item->type == TREE_MAP && i < item->count; i++) {
        size_t j = 0;
        while (j < array_count(known) && strcmp(known[j], item->children[i]->key) != 0)
            j++;
        if (j == array_count(known))
            return tree_fail(project->error, item->children[i],
                             "unknown key; there are path, project_directory and env_file");
    }
    return 0;
}

static int read_included(const struct project *project, const struct tree_node *item,
                         struct included *ret)
{
    const char *at = item->source->folder;
    const struct tree_node *path = item->type == TREE_MAP ? tree_find(item, "path") : item;
    const struct tree_node *folder = tree_find(item, "project_directory");
    const struct tree_node *env_file = tree_find(item, "env_file");
    if (!path || (folder && folder->type != TREE_SCALAR))
        return tree_fail(project->error, item, "a path is expected, or a map with path");
    int rc = check_included(project, item);
    if (rc < 0)
        return rc;
    rc = list_texts(project, path, at, &ret->paths);
    if (rc == 0 && !tree_is_null(env_file))
        rc = list_texts(project, env_file, at, &ret->env_files);
    if (rc < 0)
        return rc;
    cleanup_free char *named = folder ? join(at, folder->text) : NULL;
    ret->folder = named ? realpath(named, NULL) : folder_of(ret->paths.items[0]);
    return ret->folder ? 0
                       : tree_fail(project->error, item, "finding %s: %s",
                                   named ? named : ret->paths.items[0], strerror(errno));
}

static int include_project(const struct project *project, struct tree_node *root,
                           const struct tree_node *item, const struct included *included)
{
    struct tree_node *tree = NULL;
    struct variables variables;
    int rc = variables_copy(project->variables, &variables);
    struct project inner = {.document = project->document,
                            .variables = &variables,
                            .folder = included->folder,
                            .depth = project->depth + 1,
                            .error = project->error};
    if (rc == 0)
        rc = say_where(project, item,
                       document_load_variables(&included->env_files, included->folder, &variables,
                                               project->error));
    if (rc == 0 && inner.depth > DOCUMENT_INCLUDE_DEPTH_MAX)
        rc = tree_fail(project->error, item, "more than %d files, one including the other",
                       DOCUMENT_INCLUDE_DEPTH_MAX);
    if (rc == 0)
        rc = say_where(project, item, load_project(&inner, &included->paths, &tree));
    if (rc == 0)
        rc = take_included(project, root, tree);
    for (size_t i = 0; i < variables.warnings.count && rc == 0; i++)
        rc = text_list_add(&project->variables->warnings, variables.warnings.items[i]);
    for (struct document_file *file = project->document->files; file; file = file->next)
        if (file->variables == &variables)
            file->variables = NULL; /* no later one is read with them */
    variables_done(&variables);
    tree_free(tree);
    return rc;
}

/* Takes `include` out of the tree and what it names into it. */
static int include_all(const struct project *project, struct tree_node *root)
{
    size_t at = tree_index(root, "include");
    if (at == root->count)
        return 0;
    struct tree_node *list = root->children[at];
    int rc = list->type == TREE_LIST || tree_is_null(list)
                 ? 0
                 : tree_fail(project->error, list, "a list of paths is expected");
    for (size_t i = 0; i < list->count && rc == 0; i++) {
        struct included included = {0};
        rc = read_included(project, list->children[i], &included);
        if (rc == 0)
            rc = include_project(project, root, list->children[i], &included);
        text_list_done(&included.paths);
        text_list_done(&included.env_files);
        free(included.folder);
    }
    tree_free(tree_take(root, at));
    return rc;
}

/* --- All of it --- */

static int load_one(const struct project *project, const char *path, struct tree_node **root)
{
    struct document_file *file = NULL;
    struct tree_node *tree = NULL;
    int rc = open_file(project, path, project->folder, &file);
    if (rc == 0)
        rc = copy_tree(project, file->root, &tree);
    if (rc == 0 && tree->type != TREE_MAP)
        rc = tree_fail(project->error, tree, "a map of keys and values is expected");
    if (rc == 0)
        rc = extend_services(project, file, tree);
    if (rc == 0)
        rc = include_all(project, tree);
    if (rc == 0 && *root)
        rc = tree_merge(*root, tree, project->error);
    else if (rc == 0)
        *root = take_pointer(tree);
    tree_free(tree);
    return rc;
}

static int load_project(const struct project *project, const struct text_list *paths,
                        struct tree_node **ret)
{
    struct tree_node *root = NULL;
    int rc = 0;
    for (size_t i = 0; i < paths->count && rc == 0; i++)
        rc = load_one(project, paths->items[i], &root);
    if (rc == 0)
        tree_drop_reset(root);
    if (rc < 0)
        tree_free(root);
    else
        *ret = root;
    return rc;
}

/* --- Profiles --- */

static bool is_wanted(const char *profile, const struct text_list *wanted)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (strcmp(wanted->items[i], profile) == 0 || strcmp(wanted->items[i], "*") == 0)
            return true;
    return false;
}

/* Those that the operator names, and those of COMPOSE_PROFILES, between commas. */
static int list_profiles(const struct text_list *given, const struct variables *variables,
                         struct text_list *ret)
{
    const char *names = variables_find(variables, "COMPOSE_PROFILES");
    int rc = given ? text_list_copy(ret, given) : 0;
    while (rc == 0 && names && *names) {
        size_t size = strcspn(names, ",");
        cleanup_free char *name = strndup(names, size);
        rc = name ? text_list_add(ret, name) : -ENOMEM;
        names += size + (names[size] == ',');
    }
    return rc;
}

/* Takes out the services that have profiles, of which none is wanted. */
static int drop_unwanted(struct document *document, const struct text_list *wanted,
                         struct error *error)
{
    struct tree_node *services = tree_find(document->root, "services");
    for (size_t i = 0; services && i < services->count; i++) {
        const struct tree_node *profiles = tree_find(services->children[i], "profiles");
        if (tree_is_null(profiles))
            continue;
        if (profiles->type != TREE_LIST)
            return tree_fail(error, profiles, "a list of names is expected");
        bool is_one_wanted = profiles->count == 0;
        for (size_t j = 0; j < profiles->count; j++) {
            if (profiles->children[j]->type != TREE_SCALAR)
                return tree_fail(error, profiles, "a list of names is expected");
            is_one_wanted = is_one_wanted || is_wanted(profiles->children[j]->text, wanted);
        }
        if (is_one_wanted)
            continue;
        tree_free(tree_take(services, i--));
        document->unwanted_count++;
    }
    return 0;
}

int document_load(const struct compose_options *options, struct document *ret, struct error *error)
{
    struct text_list profiles = {0};
    *ret = (struct document){.budget = {TREE_NODES_MAX}, .path = options->files->items[0]};
    ret->folder = options->folder ? realpath(options->folder, NULL) : folder_of(ret->path);
    if (!ret->folder)
        return error_set_errno(error, -errno, "finding the folder of %s", ret->path);
    int rc = options->stack_name
                 ? variables_set(&ret->variables, PROJECT_VARIABLE, options->stack_name)
                 : 0;
    if (rc == 0)
        rc = document_load_variables(options->env_files, ret->folder, &ret->variables, error);
    const char *name = variables_find(&ret->variables, PROJECT_VARIABLE);
    if (rc == 0 && name && name[0] && !(ret->name = strdup(name)))
        rc = -ENOMEM;
    struct project project = {
        .document = ret, .variables = &ret->variables, .folder = ret->folder, .error = error};
    if (rc == 0)
        rc = load_project(&project, options->files, &ret->root);
    if (rc == 0)
        rc = list_profiles(options->profiles, &ret->variables, &profiles);
    if (rc == 0)
        rc = drop_unwanted(ret, &profiles, error);
    text_list_done(&profiles);
    return rc;
}

void document_done(struct document *document)
{
    tree_free(document->root);
    while (document->files) {
        struct document_file *file = document->files;
        document->files = file->next;
        tree_free(file->root);
        free(file->source.path);
        free(file->source.folder);
        free(file);
    }
    variables_done(&document->variables);
    free(document->folder);
    free(document->name);
    *document = (struct document){0};
}
