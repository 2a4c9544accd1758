#include "node/store/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

enum {
    FILE_MODE = 0600,
};

static int sync_directory_of(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash ? snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path)
                       : snprintf(directory, sizeof(directory), ".");
    if (length < 0 || (size_t)length >= sizeof(directory))
        return -ENAMETOOLONG;
    cleanup_close int fd = open(length == 0 ? "/" : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        data += written;
        size -= (size_t)written;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* A file written in place could be left half written by a crash; so it is written beside, and
 * linked to its name, which (unlike rename) never replaces one that is there. */
int secret_file_create(const char *path, const void *data, size_t size, struct error *error)
{
    char temporary[PATH_MAX];
    int length = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof(temporary))
        return error_set_errno(error, -ENAMETOOLONG, "create %s", path);
    if (access(path, F_OK) == 0)
        return error_set_errno(error, -EEXIST, "create %s", path);
    unlink(temporary); /* left by a crash */
    cleanup_close int fd =
        open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return error_set_errno(error, -errno, "create %s", temporary);
    int rc = write_all(fd, data, size);
    if (rc == 0 && link(temporary, path) < 0)
        rc = -errno;
    unlink(temporary);
    if (rc == 0)
        rc = sync_directory_of(path);
    return rc < 0 ? error_set_errno(error, rc, "create %s", path) : 0;
}

/* Reads until `size` bytes or the end; returns how many came. */
static ssize_t read_all(int fd, uint8_t *ret, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t bytes = read(fd, ret + got, size - got);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return -errno;
        if (bytes == 0)
            break;
        got += (size_t)bytes;
    }
    return (ssize_t)got;
}

int secret_file_read(const char *path, void *ret, size_t size, struct error *error)
{
    struct stat file;
    cleanup_close int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &file) < 0)
        return error_set_errno(error, -errno, "read %s", path);
    if ((file.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        error_set(error, -EPERM, "read %s: others than its owner may use this secret key", path);
        error_hint(error, "if nobody has copied it: chmod 600 %s", path);
        return -EPERM;
    }
    if (file.st_size < 0 || (size_t)file.st_size != size)
        return error_set(error, -EBADMSG, "read %s: %lld bytes where a key has %zu", path,
                         (long long)file.st_size, size);
    ssize_t got = read_all(fd, ret, size);
    if (got < 0)
        return error_set_errno(error, (int)got, "read %s", path);
    if ((size_t)got != size)
        return error_set(error, -EBADMSG, "read %s: cut short", path);
    return 0;
}
