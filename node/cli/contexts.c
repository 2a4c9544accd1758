#include "node/cli/contexts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/store/secret_file.h"

enum {
    CONTEXT_VERSION = 1,
    CONTEXT_FILE_BYTES_MAX = 16 * 1024,
    CONTEXT_DIRECTORY_MODE = 0700,
    CONTEXT_FILE_MODE = 0600,
};

static const char membership_file[] = "membership";

/* The path of `consort/…`; the parts may be NULL. */
static int config_path(char ret[PATH_MAX], const char *one, const char *two, const char *three)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool is_set = config && *config == '/';
    if (!is_set && (!home || !*home))
        return -ENOENT;
    int size = snprintf(ret, PATH_MAX, "%s%s/consort%s%s%s%s%s%s", is_set ? config : home,
                        is_set ? "" : "/.config", one ? "/" : "", one ? one : "", two ? "/" : "",
                        two ? two : "", three ? "/" : "", three ? three : "");
    return size < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int check_name(const char *name, struct error *error)
{
    if (certificate_name_is_valid(name))
        return 0;
    return error_set(error, -EINVAL, "context %s: want a name of a-z, 0-9 and '-'", name);
}

/* Makes the directory with those above it. */
static int make_directories(const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, CONTEXT_DIRECTORY_MODE) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(part, CONTEXT_DIRECTORY_MODE) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_file(const char *path, struct bytes data)
{
    char next[PATH_MAX];
    if (snprintf(next, sizeof(next), "%s.new", path) >= (int)sizeof(next))
        return -ENAMETOOLONG;
    cleanup_close int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, CONTEXT_FILE_MODE);
    if (fd < 0)
        return -errno;
    ssize_t size = write(fd, data.data, data.size);
    if (size < 0)
        return -errno;
    if ((size_t)size != data.size)
        return -ENOSPC;
    return fsync(fd) < 0 || rename(next, path) < 0 ? -errno : 0;
}

/* Reads at most `capacity` bytes. */
static ssize_t read_file(const char *path, void *ret, size_t capacity)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, ret, capacity);
    return size < 0 ? -errno : size;
}

static int write_membership(const struct operator_context *context, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, 4);
    writer_u64(&writer, CONTEXT_VERSION);
    writer_binary(&writer, context->cluster.bytes, ID_BYTES);
    certificate_chain_write(&writer, &context->chain);
    writer_array(&writer, context->seed_count);
    for (uint32_t i = 0; i < context->seed_count; i++) {
        writer_array(&writer, 2);
        writer_binary(&writer, context->seeds[i].id.bytes, ID_BYTES);
        address_write(&writer, &context->seeds[i].address);
    }
    return writer_check(&writer);
}

static int read_membership(struct bytes bytes, struct operator_context *ret)
{
    struct reader reader;
    uint64_t version = 0;
    uint32_t count = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 4);
    reader_u64(&reader, &version);
    if (reader_check(&reader) < 0 || version != CONTEXT_VERSION)
        return -EBADMSG;
    reader_fixed(&reader, ret->cluster.bytes, ID_BYTES);
    certificate_chain_read(&reader, &ret->chain);
    reader_array(&reader, &count);
    if (count > JOIN_SEEDS_MAX)
        return -EBADMSG;
    for (uint32_t i = 0; i < count; i++) {
        reader_array_exact(&reader, 2);
        reader_fixed(&reader, ret->seeds[i].id.bytes, ID_BYTES);
        address_read(&reader, &ret->seeds[i].address);
    }
    ret->seed_count = count;
    return reader_end(&reader);
}

int context_check_new(const char *name, struct error *error)
{
    char path[PATH_MAX];
    int rc = check_name(name, error);
    if (rc < 0)
        return rc;
    rc = config_path(path, "contexts", name, NULL);
    if (rc < 0)
        return error_set_errno(error, rc, "finding your home directory");
    if (access(path, F_OK) < 0)
        return 0;
    error_set(error, -EEXIST, "there is a context %s already", name);
    error_hint(error, "choose another name, or remove it with: consort context rm %s", name);
    return -EEXIST;
}

int context_save(const char *name, const uint8_t seed[IDENTITY_SEED_BYTES],
                 const struct operator_context *context, struct error *error)
{
    char path[PATH_MAX];
    cleanup_buffer struct buffer membership = {0};
    int rc = context_check_new(name, error);
    if (rc < 0)
        return rc;
    rc = config_path(path, "contexts", name, NULL);
    if (rc == 0)
        rc = make_directories(path);
    if (rc < 0)
        return error_set_errno(error, rc, "making %s", path);
    rc = config_path(path, "contexts", name, SECRET_FILE_IDENTITY);
    if (rc == 0)
        rc = secret_file_create(path, seed, IDENTITY_SEED_BYTES, error);
    if (rc < 0)
        return rc;
    rc = write_membership(context, &membership);
    if (rc == 0)
        rc = config_path(path, "contexts", name, membership_file);
    if (rc == 0)
        rc = write_file(path, buffer_view(&membership));
    return rc < 0 ? error_set_errno(error, rc, "writing %s", path) : 0;
}

static int load(const char *name, struct operator_context *context, struct error *error)
{
    char path[PATH_MAX];
    uint8_t seed[IDENTITY_SEED_BYTES], bytes[CONTEXT_FILE_BYTES_MAX];
    int rc = config_path(path, "contexts", name, membership_file);
    ssize_t size = rc < 0 ? rc : read_file(path, bytes, sizeof(bytes));
    if (size == -ENOENT) {
        error_set(error, -ENOENT, "there is no context %s", name);
        error_hint(error, "see which there are with: consort context ls");
        return -ENOENT;
    }
    if (size < 0)
        return error_set_errno(error, (int)size, "reading %s", path);
    rc = read_membership((struct bytes){bytes, (size_t)size}, context);
    if (rc < 0) {
        error_set(error, rc, "%s is damaged", path);
        error_hint(error, "remove it with: consort context rm %s; then create it anew", name);
        return rc;
    }
    rc = config_path(path, "contexts", name, SECRET_FILE_IDENTITY);
    if (rc == 0)
        rc = secret_file_read(path, seed, sizeof(seed), error);
    if (rc < 0)
        return rc;
    identity_init(&context->identity, seed);
    sodium_memzero(seed, sizeof(seed));
    return 0;
}

int context_load(const char *name, struct operator_context **ret, struct error *error)
{
    int rc = check_name(name, error);
    if (rc < 0)
        return rc;
    struct operator_context *context = calloc(1, sizeof(*context));
    if (!context)
        return error_set_errno(error, -ENOMEM, "reading context %s", name);
    rc = load(name, context, error);
    if (rc < 0) {
        free(context);
        return rc;
    }
    *ret = context;
    return 0;
}

void context_free(struct operator_context *context)
{
    if (!context)
        return;
    identity_done(&context->identity);
    free(context);
}

int context_current(char *ret)
{
    char path[PATH_MAX], name[BASE_NAME_BYTES_MAX + 2];
    int rc = config_path(path, "current", NULL, NULL);
    ssize_t size = rc < 0 ? rc : read_file(path, name, sizeof(name) - 1);
    if (size <= 0)
        return -ENOENT;
    name[size] = '\0';
    name[strcspn(name, "\n")] = '\0';
    if (!certificate_name_is_valid(name))
        return -ENOENT;
    memcpy(ret, name, strlen(name) + 1);
    return 0;
}

int context_use(const char *name, struct error *error)
{
    char path[PATH_MAX];
    struct operator_context *context = NULL;
    int rc = context_load(name, &context, error);
    context_free(context);
    if (rc < 0)
        return rc;
    rc = config_path(path, "current", NULL, NULL);
    if (rc == 0)
        rc = write_file(path, bytes_of_text(name));
    return rc < 0 ? error_set_errno(error, rc, "writing %s", path) : 0;
}

static int is_name(const struct dirent *entry)
{
    return certificate_name_is_valid(entry->d_name);
}

int context_list(struct text_list *ret, struct error *error)
{
    char path[PATH_MAX];
    struct dirent **entries = NULL;
    int rc = config_path(path, "contexts", NULL, NULL);
    int count = rc < 0 ? -1 : scandir(path, &entries, is_name, alphasort);
    if (count < 0)
        return rc < 0 || errno == ENOENT ? 0 : error_set_errno(error, -errno, "reading %s", path);
    for (int i = 0; i < count; i++) {
        if (rc == 0)
            rc = text_list_add(ret, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return rc < 0 ? error_set_errno(error, rc, "listing contexts") : 0;
}

int context_remove(const char *name, struct error *error)
{
    static const char *const files[] = {membership_file, SECRET_FILE_IDENTITY, NULL};
    char path[PATH_MAX], current[BASE_NAME_BYTES_MAX + 1];
    int rc = check_name(name, error);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < array_count(files); i++) {
        rc = config_path(path, "contexts", name, files[i]);
        if (rc == 0 && remove(path) < 0 && (errno != ENOENT || !files[i]))
            rc = -errno;
    }
    if (rc == -ENOENT)
        return error_set(error, rc, "there is no context %s", name);
    if (rc < 0)
        return error_set_errno(error, rc, "removing %s", path);
    if (context_current(current) == 0 && strcmp(current, name) == 0 &&
        config_path(path, "current", NULL, NULL) == 0)
        unlink(path);
    return 0;
}
