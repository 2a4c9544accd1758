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
#define FUNCTIONS(FUNCTION)                                                                        \
    FUNCTION(curl_, global_init)                                                                   \
    FUNCTION(curl_, easy_init)                                                                     \
    FUNCTION(curl_, easy_setopt)                                                                   \
    FUNCTION(curl_, easy_perform)                                                                  \
    FUNCTION(curl_, easy_getinfo)                                                                  \
    FUNCTION(curl_, easy_cleanup)                                                                  \
    FUNCTION(curl_, easy_strerror)                                                                 \
    FUNCTION(curl_, slist_append)                                                                  \
    FUNCTION(curl_, slist_free_all)

static struct {
    FUNCTIONS(LIBRARY_POINTER)
} libcurl;

static struct library library = LIBRARY("libcurl.so.4", "libcurl4", FUNCTIONS, libcurl);

int http_start(struct error *error)
{
    int rc = library_use(&library, error);
    if (rc == 0 && libcurl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
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
    libcurl.easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
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
    const char *words = detail[0] ? detail : libcurl.easy_strerror(code);
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
        headers = libcurl.slist_append(headers, text ? text : "");
    }
    if (request->authorization &&
        buffer_printf(&line, "Authorization: %s", request->authorization) == 0) {
        cleanup_free char *text = buffer_take_text(&line);
        headers = libcurl.slist_append(headers, text ? text : "");
    }
    return headers;
}

static void set_options(struct transfer *transfer, struct curl_slist *headers, char *detail)
{
    const struct http_request *request = transfer->request;
    CURL *curl = transfer->curl;
    const char *schemes = request->is_insecure ? "http,https" : "https";
    char range[32];
    libcurl.easy_setopt(curl, CURLOPT_URL, request->url);
    libcurl.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, schemes);
    libcurl.easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, schemes);
    libcurl.easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    libcurl.easy_setopt(curl, CURLOPT_MAXREDIRS, (long)HTTP_REDIRECTS_MAX);
    libcurl.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    libcurl.easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    libcurl.easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    libcurl.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    libcurl.easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    libcurl.easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    libcurl.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    libcurl.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)HTTP_CONNECT_S);
    libcurl.easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    libcurl.easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)HTTP_CRAWL_S);
    libcurl.easy_setopt(curl, CURLOPT_USERAGENT, "consort/" CONSORT_VERSION);
    if (request->ca_file)
        libcurl.easy_setopt(curl, CURLOPT_CAINFO, request->ca_file);
    if (request->is_insecure) {
        libcurl.easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        libcurl.easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (request->from > 0) {
        snprintf(range, sizeof(range), "%lld-", (long long)request->from);
        libcurl.easy_setopt(curl, CURLOPT_RANGE, range); /* copied */
    }
}

int http_get(const struct http_request *request, struct http_response *ret, struct error *error)
{
    char detail[CURL_ERROR_SIZE] = "";
    struct transfer transfer = {
        .request = request, .response = ret, .curl = libcurl.easy_init(), .offset = -1};
    *ret = (struct http_response){0};
    if (!transfer.curl)
        return error_set_errno(error, -ENOMEM, "%s", request->url);
    struct curl_slist *headers = make_headers(request);
    set_options(&transfer, headers, detail);
    CURLcode code = libcurl.easy_perform(transfer.curl);
    libcurl.easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &ret->status);
    int rc = 0;
    if (transfer.rc < 0)
        rc = transfer.rc;
    else if (code != CURLE_OK)
        rc = words_of(code, request->url, detail, ret, error);
    libcurl.slist_free_all(headers);
    libcurl.easy_cleanup(transfer.curl);
    return rc;
}
