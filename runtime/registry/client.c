#include "runtime/registry/client.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "runtime/image/image_json.h"
#include "runtime/registry/challenge.h"
#include "runtime/registry/settings.h"

enum {
    TRIES_MAX = 5,
    TRIES_OF_NOBODY = 2,
    WAIT_FIRST_MS = 500, /* doubles with each try */
    WAIT_MS_MAX = 30 * 1000,
    STATUS_OK = 200,
    STATUS_PARTIAL = 206,
    STATUS_UNAUTHORIZED = 401,
    STATUS_FORBIDDEN = 403,
    STATUS_NOT_FOUND = 404,
    STATUS_NOT_SATISFIABLE = 416,
    STATUS_TOO_MANY = 429,
};

static const char manifest_types[] =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

/* Docker's own registry is not where its name says. */
static const char docker_registry[] = "docker.io", docker_host[] = "registry-1.docker.io";

struct endpoint {
    char base[REGISTRY_TEXT_BYTES_MAX]; /* "https://registry-1.docker.io" */
    struct registry_settings settings;  /* of this host; its mirrors are not asked */
    char *authorization;                /* what was accepted last, or NULL */
};

struct registry_client {
    struct image_reference reference;
    struct endpoint endpoints[REGISTRY_ENDPOINTS_MAX]; /* mirrors first */
    size_t endpoint_count;
    size_t chosen;         /* the one that had the manifest */
    pthread_mutex_t mutex; /* over `authorization` and `base` */
};

static int add_endpoint(struct registry_client *client, const char *base, const char *host,
                        const char *settings_path, const char *docker_path, struct error *error)
{
    if (client->endpoint_count == REGISTRY_ENDPOINTS_MAX)
        return error_set(error, -E2BIG, "%s: registry %s has more than %d mirrors", settings_path,
                         client->reference.registry, REGISTRY_ENDPOINTS_MAX - 1);
    struct endpoint *endpoint = &client->endpoints[client->endpoint_count];
    int size = snprintf(endpoint->base, sizeof(endpoint->base), "%s", base);
    if (size >= (int)sizeof(endpoint->base))
        return error_set(error, -E2BIG, "the address of registry %s is too long", host);
    while (size > 0 && endpoint->base[size - 1] == '/')
        endpoint->base[--size] = '\0';
    client->endpoint_count++;
    return registry_settings_load(settings_path, docker_path, host, &endpoint->settings, error);
}

static int add_mirror(struct registry_client *client, const char *url, const char *settings_path,
                      const char *docker_path, struct error *error)
{
    char host[REGISTRY_TEXT_BYTES_MAX];
    const char *at = strstr(url, "://");
    if (!at || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
        return error_set(error, -EBADMSG, "%s: mirror %s is no https://HOST", settings_path, url);
    snprintf(host, sizeof(host), "%.*s", (int)strcspn(at + 3, "/"), at + 3);
    return add_endpoint(client, url, host, settings_path, docker_path, error);
}

int registry_client_new(const struct image_reference *reference, const char *settings_path,
                        const char *docker_path, struct registry_client **ret, struct error *error)
{
    const char *registry = reference->registry;
    bool is_docker = strcmp(registry, docker_registry) == 0;
    char base[REGISTRY_TEXT_BYTES_MAX];
    struct registry_settings settings = {0};
    struct registry_client *client = calloc(1, sizeof(*client));
    if (!client)
        return error_set_errno(error, -ENOMEM, "registry %s", registry);
    pthread_mutex_init(&client->mutex, NULL);
    client->reference = *reference;
    int rc = registry_settings_load(settings_path, docker_path, registry, &settings, error);
    for (size_t i = 0; rc == 0 && i < settings.mirrors.count; i++)
        rc = add_mirror(client, settings.mirrors.items[i], settings_path, docker_path, error);
    snprintf(base, sizeof(base), "https://%s", is_docker ? docker_host : registry);
    if (rc == 0)
        rc = add_endpoint(client, base, registry, settings_path, docker_path, error);
    registry_settings_done(&settings);
    if (rc < 0) {
        registry_client_free(client);
        return rc;
    }
    *ret = client;
    return 0;
}

static void wipe(char **text)
{
    if (*text)
        sodium_memzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void registry_client_free(struct registry_client *client)
{
    if (!client)
        return;
    for (size_t i = 0; i < client->endpoint_count; i++) {
        registry_settings_done(&client->endpoints[i].settings);
        wipe(&client->endpoints[i].authorization);
    }
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

/* --- Logging in --- */

/* "Basic …" of the endpoint's login; NULL without one. The caller wipes it. */
static char *basic_authorization(const struct endpoint *endpoint)
{
    const char *login = endpoint->settings.login;
    size_t size = login ? strlen(login) : 0;
    size_t capacity = sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_ORIGINAL);
    char *text = login ? malloc(strlen("Basic ") + capacity) : NULL;
    if (!text)
        return NULL;
    char *end = stpcpy(text, "Basic ");
    sodium_bin2base64(end, capacity, (const unsigned char *)login, size,
                      sodium_base64_VARIANT_ORIGINAL);
    return text;
}

static int on_small_data(void *context, int64_t offset, const void *data, size_t size)
{
    struct buffer *buffer = context;
    (void)offset;
    if (size > IMAGE_JSON_BYTES_MAX - buffer->size)
        return -E2BIG;
    return buffer_append(buffer, data, size);
}

static int put_query(struct buffer *url, const char *name, const char *value)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    int rc = buffer_printf(url, "%c%s=", memchr(url->bytes, '?', url->size) ? '&' : '?', name);
    for (; *value && rc == 0; value++) {
        unsigned char byte = (unsigned char)*value;
        const char escaped[] = {'%', hex[byte >> 4], hex[byte & 15]};
        rc = strchr(plain, byte) ? buffer_append(url, value, 1) : buffer_append(url, escaped, 3);
    }
    return rc;
}

static char *token_url(const struct registry_client *client,
                       const struct registry_challenge *challenge)
{
    cleanup_buffer struct buffer url = {0};
    char scope[REGISTRY_TEXT_BYTES_MAX];
    snprintf(scope, sizeof(scope), "repository:%s:pull", client->reference.repository);
    int rc = buffer_append_text(&url, challenge->realm);
    if (rc == 0 && challenge->service[0])
        rc = put_query(&url, "service", challenge->service);
    if (rc == 0)
        rc = put_query(&url, "scope", challenge->scope[0] ? challenge->scope : scope);
    return rc == 0 ? buffer_take_text(&url) : NULL;
}

static int read_token(struct bytes json, char **ret, struct error *error)
{
    cleanup_json json_t *root = NULL;
    const char *token = NULL;
    int rc = image_json_parse(json, "the token's answer", &root, error);
    if (rc == 0)
        rc = image_json_text(root, "token", &token, error);
    if (rc == 0 && !token)
        rc = image_json_text(root, "access_token", &token, error);
    if (rc < 0)
        return rc;
    if (!token || !*token || strpbrk(token, "\r\n"))
        return error_set(error, -EBADMSG, "it holds no token");
    cleanup_buffer struct buffer value = {0};
    if (buffer_printf(&value, "Bearer %s", token) < 0 || !(*ret = buffer_take_text(&value)))
        return error_set_errno(error, -ENOMEM, "keeping the token");
    return 0;
}

/* Gets a token where the challenge says, with the login if there is one. */
static int fetch_token(const struct registry_client *client, const struct endpoint *endpoint,
                       const struct registry_challenge *challenge, char **ret, struct error *error)
{
    cleanup_buffer struct buffer answer = {0};
    cleanup_free char *url = token_url(client, challenge);
    char *basic = basic_authorization(endpoint);
    struct http_response response = {0};
    struct http_request request = {
        .url = url,
        .authorization = basic,
        .ca_file = endpoint->settings.ca_file,
        .is_insecure = endpoint->settings.is_insecure,
        .context = &answer,
        .on_data = on_small_data,
    };
    int rc =
        url ? http_get(&request, &response, error) : error_set_errno(error, -ENOMEM, "logging in");
    wipe(&basic);
    if (rc < 0)
        return rc;
    if (response.status != STATUS_OK)
        return error_set(error, -EACCES, "%s answers %ld%s%.200s", challenge->realm,
                         response.status, response.problem[0] ? ": " : "", response.problem);
    rc = read_token(buffer_view(&answer), ret, error);
    sodium_memzero(answer.bytes, answer.size);
    return rc;
}

/* Makes what the registry asks for; -EACCES if there is nothing (else) to offer. */
static int authorize(struct registry_client *client, struct endpoint *endpoint,
                     const char *challenge_text, const char *tried, struct error *error)
{
    struct registry_challenge challenge;
    char *authorization = NULL;
    int rc = registry_challenge_parse(challenge_text, &challenge);
    if (rc < 0)
        return error_set(error, -EACCES, "registry %s asks for a login that is not understood: %s",
                         client->reference.registry, challenge_text);
    if (challenge.is_bearer)
        rc = fetch_token(client, endpoint, &challenge, &authorization, error);
    else if (!(authorization = basic_authorization(endpoint)) ||
             (tried && strcmp(tried, authorization) == 0))
        rc = error_set(error, -EACCES, "registry %s %s", client->reference.registry,
                       authorization ? "refuses this login" : "asks for a login");
    if (rc < 0) {
        wipe(&authorization);
        return rc;
    }
    pthread_mutex_lock(&client->mutex);
    wipe(&endpoint->authorization);
    endpoint->authorization = authorization;
    pthread_mutex_unlock(&client->mutex);
    return 0;
}

/* --- Asking --- */

/* Something that is asked for, and how far it has come. */
struct question {
    const char *kind, *name; /* "manifests", "latest" */
    const char *accept;
    int64_t offset; /* of the next byte */
    int (*on_data)(void *context, int64_t offset, const void *data, size_t size);
    void *context;
};

static int pass_on(void *context, int64_t offset, const void *data, size_t size)
{
    struct question *question = context;
    int rc = question->on_data(question->context, offset, data, size);
    question->offset = offset + (int64_t)size;
    return rc;
}

static int answer_of(const struct registry_client *client, const struct question *question,
                     const struct http_response *response, struct error *error)
{
    const struct image_reference *reference = &client->reference;
    const char *colon = response->problem[0] ? ": " : "";
    switch (response->status) {
    case STATUS_OK:
    case STATUS_PARTIAL:
        return 0;
    case STATUS_NOT_FOUND:
        return error_set(error, -ENOENT, "registry %s has no %s %s of %s", reference->registry,
                         question->accept ? "image" : "blob", question->name,
                         reference->repository);
    case STATUS_UNAUTHORIZED:
    case STATUS_FORBIDDEN:
        return error_set(error, -EACCES, "registry %s does not give out %s with this login%s%.200s",
                         reference->registry, reference->repository, colon, response->problem);
    case STATUS_TOO_MANY:
        return error_set(error, -EBUSY, "registry %s wants fewer pulls%s%.200s",
                         reference->registry, colon, response->problem);
    default:
        return error_set(error, response->status >= 500 ? -EIO : -EPROTO,
                         "registry %s answers %ld%s%.200s", reference->registry, response->status,
                         colon, response->problem);
    }
}

/* One request. An insecure registry that does not speak TLS is asked in the clear from now on. */
static int ask(struct registry_client *client, struct endpoint *endpoint, struct question *question,
               const char *authorization, struct http_response *ret, struct error *error)
{
    char url[REGISTRY_URL_BYTES_MAX];
    pthread_mutex_lock(&client->mutex);
    int size = snprintf(url, sizeof(url), "%s/v2/%s/%s/%s", endpoint->base,
                        client->reference.repository, question->kind, question->name);
    pthread_mutex_unlock(&client->mutex);
    if (size >= (int)sizeof(url))
        return error_set(error, -E2BIG, "the address of %s at registry %s is too long",
                         client->reference.repository, client->reference.registry);
    struct http_request request = {
        .url = url,
        .accept = question->accept,
        .authorization = authorization,
        .ca_file = endpoint->settings.ca_file,
        .is_insecure = endpoint->settings.is_insecure,
        .from = question->offset,
        .context = question,
        .on_data = pass_on,
    };
    int rc = http_get(&request, ret, error);
    if (rc < 0 && ret->is_not_tls && request.is_insecure && strncmp(url, "https:", 6) == 0) {
        pthread_mutex_lock(&client->mutex);
        if (strncmp(endpoint->base, "https:", 6) == 0)
            memmove(endpoint->base + 4, endpoint->base + 5, strlen(endpoint->base + 5) + 1);
        pthread_mutex_unlock(&client->mutex);
        memmove(url + 4, url + 5, strlen(url + 5) + 1);
        rc = http_get(&request, ret, error);
    }
    return rc;
}

/* As ask(), and logs in when that is wanted: with a token that may have run out, twice. */
static int ask_authorized(struct registry_client *client, struct endpoint *endpoint,
                          struct question *question, struct http_response *ret, struct error *error)
{
    for (unsigned logins = 0;; logins++) {
        pthread_mutex_lock(&client->mutex);
        char *authorization = endpoint->authorization ? strdup(endpoint->authorization) : NULL;
        pthread_mutex_unlock(&client->mutex);
        int rc = ask(client, endpoint, question, authorization, ret, error);
        bool is_refused = rc == 0 && ret->status == STATUS_UNAUTHORIZED && ret->challenge[0];
        if (is_refused && logins < 2)
            rc = authorize(client, endpoint, ret->challenge, authorization, error);
        wipe(&authorization);
        if (rc < 0 || !is_refused || logins == 2)
            return rc < 0 ? rc : answer_of(client, question, ret, error);
    }
}

static void wait_before(unsigned attempt, const struct http_response *response)
{
    int64_t wait_ms = WAIT_FIRST_MS << attempt;
    if (response->retry_after_s > 0)
        wait_ms = response->retry_after_s * 1000;
    if (wait_ms > WAIT_MS_MAX)
        wait_ms = WAIT_MS_MAX;
    nanosleep(&(struct timespec){wait_ms / 1000, wait_ms % 1000 * 1000000}, NULL);
}

/* Tries again what may go better the next time: from where it was, if the connection broke. */
static int ask_patiently(struct registry_client *client, struct endpoint *endpoint,
                         struct question *question, struct error *error)
{
    for (unsigned attempt = 0;; attempt++) {
        struct http_response response = {0};
        int64_t before = question->offset;
        int rc = ask_authorized(client, endpoint, question, &response, error);
        if (response.status == STATUS_NOT_SATISFIABLE && before > 0) {
            question->offset = 0; /* it can't go on from there: from the start, then */
            rc = -EIO;
        }
        bool may_help = rc == -EIO || rc == -EBUSY;
        bool is_silent = response.status == 0 && before == 0; /* nobody there, most likely */
        if (question->offset > before)
            attempt = 0; /* it moves */
        if (!may_help || attempt + 1 == (is_silent ? TRIES_OF_NOBODY : TRIES_MAX))
            return rc;
        wait_before(attempt, &response);
    }
}

int registry_client_manifest(struct registry_client *client, const char *name, struct buffer *ret,
                             struct error *error)
{
    int rc = -ENOENT;
    for (size_t i = client->chosen; i < client->endpoint_count; i++) {
        cleanup_buffer struct buffer manifest = {0};
        struct question question = {.kind = "manifests",
                                    .name = name,
                                    .accept = manifest_types,
                                    .on_data = on_small_data,
                                    .context = &manifest};
        rc = ask_patiently(client, &client->endpoints[i], &question, error);
        if (rc == -E2BIG)
            return error_set(error, rc, "manifest %s at registry %s has more than %d bytes", name,
                             client->reference.registry, IMAGE_JSON_BYTES_MAX);
        if (rc == 0) {
            client->chosen = i;
            return buffer_append(ret, manifest.bytes, manifest.size);
        }
    }
    return rc;
}

int registry_client_blob(struct registry_client *client, const struct digest *digest,
                         int (*on_data)(void *context, int64_t offset, const void *data,
                                        size_t size),
                         void *context, struct error *error)
{
    char name[DIGEST_TEXT_BYTES];
    int rc = -ENOENT;
    digest_format(digest, name);
    for (size_t i = client->chosen; i < client->endpoint_count; i++) {
        struct question question = {
            .kind = "blobs", .name = name, .on_data = on_data, .context = context};
        rc = ask_patiently(client, &client->endpoints[i], &question, error);
        if (rc == 0)
            return 0;
    }
    return rc;
}
