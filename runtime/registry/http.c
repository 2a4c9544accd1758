#include "runtime/registry/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/library.h"

enum {
    HTTP_CONNECT_S = 15,
    HTTP_CRAWL_S = 30,
    HTTP_REDIRECTS_MAX = 5,
    HTTP_OK = 200,
    HTTP_PARTIAL = 206,
};

/* What is used of libcurl. */
static struct {
    __typeof__(&curl_global_init) global_init;
    __typeof__(&curl_easy_init) easy_init;
    __typeof__(&(curl_easy_setopt)) easy_setopt;
    __typeof__(&curl_easy_perform) easy_perform;
    __typeof__(&(curl_easy_getinfo)) easy_getinfo;
    __typeof__(&curl_easy_cleanup) easy_cleanup;
    __typeof__(&curl_easy_strerror) easy_strerror;
    __typeof__(&curl_slist_append) slist_append;
    __typeof__(&curl_slist_free_all) slist_free_all;
} api;

int http_start(struct error *error)
{
    static const struct library_function functions[] = {
        {"curl_global_init", &api.global_init},       {"curl_easy_init", &api.easy_init},
        {"curl_easy_setopt", &api.easy_setopt},       {"curl_easy_perform", &api.easy_perform},
        {"curl_easy_getinfo", &api.easy_getinfo},     {"curl_easy_cleanup", &api.easy_cleanup},
        {"curl_easy_strerror", &api.easy_strerror},   {"curl_slist_append", &api.slist_append},
        {"curl_slist_free_all", &api.slist_free_all},
    };
    int rc = library_load("libcurl.so.4", "libcurl4", functions, array_count(functions), error);
    if (rc == 0 && api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        rc = error_set(error, -ELIBACC, "libcurl does not start");
    return rc;
}

/* A transfer under way. */
struct transfer {
    const struct http_request *request;
    struct http_response *response;
    CURL *curl;
    int64_t offset; /* of the next byte of the body; -1: nothing came yet */
    int rc;         /* what on_data said */
};

static void copy_value(const char *value, size_t size, char *ret, size_t capacity)
{
    while (size > 0 && strchr(" \t\r\n", value[size - 1]))
        size--;
    while (size > 0 && strchr(" \t", *value)) {
        value++;
        size--;
    }
    if (size < capacity && !memchr(value, '\0', size)) { /* too long: as if it were not there */
        memcpy(ret, value, size);
        ret[size] = '\0';
    }
}

static bool is_header(const char *line, size_t size, const char *name)
{
    size_t length = strlen(name);
    return size > length && line[length] == ':' && strncasecmp(line, name, length) == 0;
}

/* Each redirect's headers come too; the last ones count. */
static size_t on_header(char *line, size_t unit, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct http_response *response = transfer->response;
    size_t size = unit * count;
    char number[32] = "";
    if (size > 5 && strncmp(line, "HTTP/", 5) == 0)
        *response = (struct http_response){0};
    if (is_header(line, size, "WWW-Authenticate"))
        copy_value(line + 17, size - 17, response->challenge, sizeof(response->challenge));
    else if (is_header(line, size, "Docker-Content-Digest"))
        copy_value(line + 22, size - 22, response->digest, sizeof(response->digest));
    else if (is_header(line, size, "Retry-After")) {
        copy_value(line + 12, size - 12, number, sizeof(number));
        response->retry_after_s = strtoll(number, NULL, 10); /* a date is 0 */
    }
    return size;
}

static void note_problem(struct http_response *response, const char *data, size_t size)
{
    size_t used = strlen(response->problem);
    for (size_t i = 0; i < size && used + 1 < sizeof(response->problem); i++)
        if ((unsigned char)data[i] >= ' ' && data[i] != 0x7f)
            response->problem[used++] = data[i];
    response->problem[used] = '\0';
}

static size_t on_body(char *data, size_t unit, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t size = unit * count;
    long status = 0;
    api.easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != HTTP_OK && status != HTTP_PARTIAL) {
        note_problem(transfer->response, data, size);
        return size;
    }
    if (transfer->offset < 0)
        transfer->offset = status == HTTP_PARTIAL ? transfer->request->from : 0;
    transfer->rc =
        transfer->request->on_data(transfer->request->context, transfer->offset, data, size);
    transfer->offset += (int64_t)size;
    return transfer->rc < 0 ? 0 : size;
}

static int words_of(CURLcode code, const char *url, const char *detail,
                    struct http_response *response, struct error *error)
{
    const char *words = detail[0] ? detail : api.easy_strerror(code);
    int size = (int)strcspn(url, "?");
    response->is_not_tls = code == CURLE_SSL_CONNECT_ERROR || code == CURLE_COULDNT_CONNECT;
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        return error_set(error, -EKEYREJECTED, "%.*s: %s", size, url, words);
    if (code == CURLE_OUT_OF_MEMORY)
        return error_set_errno(error, -ENOMEM, "%.*s", size, url);
    return error_set(error, -EIO, "%.*s: %s", size, url, words);
}

static struct curl_slist *make_headers(const struct http_request *request)
{
    cleanup_buffer struct buffer line = {0};
    struct curl_slist *headers = NULL;
    if (request->accept && buffer_printf(&line, "Accept: %s", request->accept) == 0) {
        cleanup_free char *text = buffer_take_text(&line);
        headers = api.slist_append(headers, text ? text : "");
    }
    if (request->authorization &&
        buffer_printf(&line, "Authorization: %s", request->authorization) == 0) {
        cleanup_free char *text = buffer_take_text(&line);
        headers = api.slist_append(headers, text ? text : "");
    }
    return headers;
}

static void set_options(struct transfer *transfer, struct curl_slist *headers, char *detail)
{
    const struct http_request *request = transfer->request;
    CURL *curl = transfer->curl;
    const char *schemes = request->is_insecure ? "http,https" : "https";
    char range[32];
    api.easy_setopt(curl, CURLOPT_URL, request->url);
    api.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, schemes);
    api.easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, schemes);
    api.easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    api.easy_setopt(curl, CURLOPT_MAXREDIRS, (long)HTTP_REDIRECTS_MAX);
    api.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    api.easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    api.easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    api.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    api.easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    api.easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    api.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    api.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)HTTP_CONNECT_S);
    api.easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    api.easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)HTTP_CRAWL_S);
    api.easy_setopt(curl, CURLOPT_USERAGENT, "consort/" CONSORT_VERSION);
    if (request->ca_file)
        api.easy_setopt(curl, CURLOPT_CAINFO, request->ca_file);
    if (request->is_insecure) {
        api.easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        api.easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (request->from > 0) {
        snprintf(range, sizeof(range), "%lld-", (long long)request->from);
        api.easy_setopt(curl, CURLOPT_RANGE, range); /* copied */
    }
}

int http_get(const struct http_request *request, struct http_response *ret, struct error *error)
{
    char detail[CURL_ERROR_SIZE] = "";
    struct transfer transfer = {
        .request = request, .response = ret, .curl = api.easy_init(), .offset = -1};
    *ret = (struct http_response){0};
    if (!transfer.curl)
        return error_set_errno(error, -ENOMEM, "%s", request->url);
    struct curl_slist *headers = make_headers(request);
    set_options(&transfer, headers, detail);
    CURLcode code = api.easy_perform(transfer.curl);
    api.easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &ret->status);
    int rc = 0;
    if (transfer.rc < 0)
        rc = transfer.rc;
    else if (code != CURLE_OK)
        rc = words_of(code, request->url, detail, ret, error);
    api.slist_free_all(headers);
    api.easy_cleanup(transfer.curl);
    return rc;
}
