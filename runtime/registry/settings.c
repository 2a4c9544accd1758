#include "runtime/registry/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/bounds.h"
#include "runtime/image/disk.h"
#include "runtime/image/image_json.h"
#include "runtime/registry/helper.h"

/* Whether a key of "auths" means that registry: Docker also writes "https://index.docker.io/v1/".
 */
static bool is_key_of(const char *key, const char *registry)
{
    const char *scheme = strstr(key, "://");
    const char *host = scheme ? scheme + 3 : key;
    size_t size = strcspn(host, "/");
    if (size == strlen("index.docker.io") && strncmp(host, "index.docker.io", size) == 0)
        return strcmp(registry, "docker.io") == 0;
    return size == strlen(registry) && strncmp(host, registry, size) == 0;
}

static int decode_login(const char *text, char **ret, struct error *error)
{
    size_t capacity = strlen(text) + 1, size = 0;
    char *login = calloc(1, capacity);
    if (!login)
        return error_set_errno(error, -ENOMEM, "\"auth\"");
    int rc = sodium_base642bin((unsigned char *)login, capacity - 1, text, strlen(text), " \t\r\n",
                               &size, NULL, sodium_base64_VARIANT_ORIGINAL);
    login[rc == 0 ? size : 0] = '\0';
    if (rc < 0 || strlen(login) != size || !strchr(login, ':')) {
        sodium_memzero(login, capacity);
        free(login);
        return error_set(error, -EBADMSG, "\"auth\" is not base64 of NAME:PASSWORD");
    }
    *ret = login;
    return 0;
}

/* What a helper keeps: the one named for this registry, else the one for all. */
static int ask_helper(const json_t *root, const char *registry, struct registry_settings *settings,
                      struct error *error)
{
    const json_t *helpers = NULL;
    const char *own = NULL, *store = NULL, *key;
    json_t *value;
    int rc = image_json_object(root, "credHelpers", &helpers, error);
    if (rc == 0)
        rc = image_json_text(root, "credsStore", &store, error);
    json_object_foreach((json_t *)helpers, key, value)
    {
        if (is_key_of(key, registry) && json_is_string(value))
            own = json_string_value(value);
    }
    if (rc < 0 || settings->login || (!own && (!store || !*store)))
        return rc;
    rc = credential_helper_get(own ? own : store, registry, &settings->login, error);
    /* Docker's desktop leaves the name of its store where no such program is. */
    return rc == -ENOENT && !own ? 0 : rc;
}

static int find_login(const json_t *root, const char *registry, struct registry_settings *settings,
                      struct error *error)
{
    const json_t *auths = NULL;
    const char *key;
    json_t *value;
    int rc = image_json_object(root, "auths", &auths, error);
    if (rc < 0 || settings->login)
        return rc;
    json_object_foreach((json_t *)auths, key, value)
    {
        const char *text = NULL;
        if (!is_key_of(key, registry) || !json_is_object(value))
            continue;
        rc = image_json_text(value, "auth", &text, error);
        if (rc == 0 && text && *text) /* Docker leaves it out where a helper keeps it */
            rc = decode_login(text, &settings->login, error);
        return rc;
    }
    return 0;
}

static int find_ways(const json_t *root, const char *registry, struct registry_settings *settings,
                     struct error *error)
{
    struct text_list insecure = {0};
    const json_t *authorities = NULL, *mirrors = NULL;
    int rc = image_json_object(root, "ca", &authorities, error);
    if (rc == 0)
        rc = image_json_dup_text(authorities, registry, &settings->ca_file, error);
    if (rc == 0)
        rc = image_json_object(root, "mirrors", &mirrors, error);
    if (rc == 0 && mirrors)
        rc = image_json_list(mirrors, registry, &settings->mirrors, error);
    if (rc == 0)
        rc = image_json_list(root, "insecure", &insecure, error);
    for (size_t i = 0; i < insecure.count; i++)
        settings->is_insecure |= strcmp(insecure.items[i], registry) == 0;
    text_list_done(&insecure);
    return rc;
}

/* `*ret` stays NULL if there is no such file. */
static int read_file(const char *path, json_t **ret, struct error *error)
{
    cleanup_buffer struct buffer text = {0};
    int rc = path ? disk_read_file(AT_FDCWD, path, IMAGE_JSON_BYTES_MAX, &text) : -ENOENT;
    if (rc == -ENOENT || rc == -ENOTDIR)
        return 0;
    if (rc < 0)
        return error_set_errno(error, rc, "reading %s", path);
    rc = image_json_parse(buffer_view(&text), "registries", ret, error);
    sodium_memzero(text.bytes, text.size);
    if (rc == 0 && !json_is_object(*ret))
        rc = error_set(error, -EBADMSG, "not a JSON object");
    return rc;
}

int registry_settings_load(const char *path, const char *docker_path, const char *registry,
                           struct registry_settings *ret, struct error *error)
{
    struct registry_settings settings = {0};
    cleanup_json json_t *ours = NULL;
    cleanup_json json_t *docker = NULL;
    const char *from = path;
    int rc = read_file(path, &ours, error);
    if (rc == 0 && ours)
        rc = find_ways(ours, registry, &settings, error);
    if (rc == 0 && ours)
        rc = ask_helper(ours, registry, &settings, error);
    if (rc == 0 && ours)
        rc = find_login(ours, registry, &settings, error);
    if (rc == 0 && !settings.login) {
        from = docker_path;
        rc = read_file(docker_path, &docker, error);
        if (rc == 0 && docker)
            rc = ask_helper(docker, registry, &settings, error);
        if (rc == 0 && docker)
            rc = find_login(docker, registry, &settings, error);
    }
    if (rc < 0) {
        error_prefix(error, "%s", from);
        registry_settings_done(&settings);
        return rc;
    }
    *ret = settings;
    return 0;
}

void registry_settings_done(struct registry_settings *settings)
{
    if (settings->login)
        sodium_memzero(settings->login, strlen(settings->login));
    free(settings->login);
    free(settings->ca_file);
    text_list_done(&settings->mirrors);
    *settings = (struct registry_settings){0};
}
