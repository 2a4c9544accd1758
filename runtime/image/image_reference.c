#include "runtime/image/image_reference.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOWER_CASE_LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS             "0123456789"
#define LETTERS            LOWER_CASE_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const char docker_registry[] = "docker.io";
static const char docker_library[] = "library/";

/* One part between slashes: letters and digits, between them ".", "_", "__" or dashes. */
static bool component_valid(const char *text, size_t size)
{
    const char *end = text + size;
    while (text < end) {
        size_t word = strspn(text, LOWER_CASE_LETTERS DIGITS);
        if (word == 0)
            return false;
        text += word;
        if (text == end)
            return true;
        if (*text == '.')
            text++;
        else if (*text == '_')
            text += text[1] == '_' ? 2 : 1;
        else if (*text == '-')
            text += strspn(text, "-");
        else
            return false;
    }
    return false;
}

static bool repository_valid(const char *text)
{
    for (;;) {
        size_t size = strcspn(text, "/");
        if (!component_valid(text, size))
            return false;
        if (text[size] == '\0')
            return true;
        text += size + 1;
    }
}

static bool tag_valid(const char *text)
{
    return *text && *text != '.' && *text != '-' &&
           text[strspn(text, LETTERS DIGITS "_.-")] == '\0';
}

static bool registry_valid(const char *text)
{
    size_t host = strspn(text, LETTERS DIGITS ".-");
    if (host == 0 || *text == '.' || *text == '-' || strstr(text, ".."))
        return false;
    if (text[host] == '\0')
        return true;
    const char *port = text + host + 1;
    return text[host] == ':' && *port && port[strspn(port, DIGITS)] == '\0';
}

static bool is_registry(const char *text, size_t size)
{
    return memchr(text, '.', size) || memchr(text, ':', size) ||
           (size == strlen("localhost") && memcmp(text, "localhost", size) == 0);
}

/* Cuts `text`, "[REGISTRY/]NAME" by now, into its two parts. */
static bool split_name(const char *text, struct image_reference *reference)
{
    const char *slash = strchr(text, '/');
    snprintf(reference->registry, sizeof(reference->registry), "%s", docker_registry);
    if (slash && is_registry(text, (size_t)(slash - text))) {
        snprintf(reference->registry, sizeof(reference->registry), "%.*s", (int)(slash - text),
                 text);
        text = slash + 1;
    }
    if (strcmp(reference->registry, "index.docker.io") == 0)
        snprintf(reference->registry, sizeof(reference->registry), "%s", docker_registry);
    bool short_name = strcmp(reference->registry, docker_registry) == 0 && !strchr(text, '/');
    int size = snprintf(reference->repository, sizeof(reference->repository), "%s%s",
                        short_name ? docker_library : "", text);
    return size < (int)sizeof(reference->repository) && registry_valid(reference->registry) &&
           repository_valid(reference->repository);
}

int image_reference_parse(const char *text, struct image_reference *ret, struct error *error)
{
    struct image_reference reference = {0};
    char rest[IMAGE_REFERENCE_BYTES_MAX + DIGEST_TEXT_BYTES];
    if (snprintf(rest, sizeof(rest), "%s", text) >= (int)sizeof(rest))
        return error_set(error, -EINVAL, "image name of %zu characters is too long", strlen(text));
    char *at = strchr(rest, '@');
    if (at) {
        *at = '\0';
        if (digest_parse(at + 1, &reference.digest) < 0)
            return error_set(error, -EINVAL,
                             "image '%s': after '@' must come sha256: and 64 lower-case hex digits",
                             text);
        reference.has_digest = true;
    }
    char *slash = strrchr(rest, '/');
    char *colon = strchr(slash ? slash : rest, ':');
    const char *tag = colon ? colon + 1 : at ? "" : "latest";
    if (colon && (strlen(tag) >= sizeof(reference.tag) || !tag_valid(tag)))
        return error_set(error, -EINVAL, "image '%s': '%s' is no tag", text, tag);
    if (colon)
        *colon = '\0';
    snprintf(reference.tag, sizeof(reference.tag), "%s", tag);
    size_t parts = strlen(rest) + strlen(docker_library) + strlen(tag) + 1;
    if (parts >= IMAGE_REFERENCE_BYTES_MAX || !split_name(rest, &reference)) {
        error_set(error, -EINVAL, "image '%s': this is no image name", text);
        error_hint(error, "names look like nginx, nginx:1.25 or registry.example:5000/team/app:v2, "
                          "in lower case");
        return -EINVAL;
    }
    *ret = reference;
    return 0;
}

void image_reference_format(const struct image_reference *reference,
                            char ret[IMAGE_REFERENCE_BYTES_MAX])
{
    bool docker = strcmp(reference->registry, docker_registry) == 0;
    size_t library = strlen(docker_library);
    const char *repository = reference->repository;
    if (docker && strncmp(repository, docker_library, library) == 0 &&
        !strchr(repository + library, '/'))
        repository += library;
    int size =
        snprintf(ret, IMAGE_REFERENCE_BYTES_MAX, "%s%s%s:%s", docker ? "" : reference->registry,
                 docker ? "" : "/", repository, reference->tag);
    assert(size < IMAGE_REFERENCE_BYTES_MAX); /* image_reference_parse() has seen to it */
}

bool image_reference_same_name(const struct image_reference *a, const struct image_reference *b)
{
    return strcmp(a->registry, b->registry) == 0 && strcmp(a->repository, b->repository) == 0 &&
           strcmp(a->tag, b->tag) == 0;
}
