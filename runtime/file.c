#include "runtime/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

int file_make_directories(const char *path, mode_t mode)
{
    char part[PATH_BYTES];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(part))
        return -ENAMETOOLONG;
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char saved = part[i];
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return -errno;
        part[i] = saved;
    }
    struct stat status;
    if (stat(path, &status) < 0)
        return -errno;
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

int file_write_all(int fd, const void *data, size_t size_bytes)
{
    const uint8_t *at = data;
    while (size_bytes > 0) {
        ssize_t written = write(fd, at, size_bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        at += written;
        size_bytes -= (size_t)written;
    }
    return 0;
}

int file_open_inside(int root_fd, const char *path, uint64_t flags, int *ret_fd)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    if (fd < 0)
        return -errno;
    *ret_fd = (int)fd;
    return 0;
}

static int sync_parent(const char *path)
{
    char parent[PATH_BYTES];
    path_format(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    if (!slash)
        return 0;
    *slash = '\0';
    cleanup_close int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

int file_replace(const char *path, mode_t mode, const void *data, size_t size_bytes, bool synced)
{
    char temporary[PATH_BYTES];
    path_format(temporary, sizeof(temporary), "%s.new", path);
    cleanup_close int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    int result = file_write_all(fd, data, size_bytes);
    if (result == 0 && ((synced && fsync(fd) < 0) || rename(temporary, path) < 0))
        result = -errno;
    if (result < 0) {
        unlink(temporary);
        return result;
    }
    return synced ? sync_parent(path) : 0;
}

int file_write(const char *path, mode_t mode, const void *data, size_t size_bytes)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, mode) < 0) /* whatever the umask is */
        return -errno;
    return file_write_all(fd, data, size_bytes);
}

int file_write_setting(const char *path, const char *text)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int file_read(const char *path, size_t max_bytes, struct buffer *ret)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t before = ret->size;
    for (;;) {
        uint8_t chunk[4096];
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        int result = got < 0 ? -errno : 0;
        if (result == 0 && (size_t)got > max_bytes - (ret->size - before))
            result = -EFBIG;
        if (result == 0 && got > 0)
            result = buffer_append(ret, chunk, (size_t)got);
        if (result < 0)
            ret->size = before;
        if (result < 0 || got == 0)
            return result;
    }
}

int file_read_text(const char *path, char *ret, size_t capacity)
{
    assert(capacity > 0);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t got = read(fd, ret, capacity - 1);
    if (got < 0)
        return -errno;
    if (got > 0 && ret[got - 1] == '\n')
        got--;
    ret[got] = '\0';
    return 0;
}

int file_read_u64(const char *path, uint64_t *ret)
{
    char text[32];
    int result = file_read_text(path, text, sizeof(text));
    if (result < 0)
        return result;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-')
        return -EINVAL;
    *ret = value;
    return 0;
}

void path_format(char *ret, size_t capacity, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(ret, capacity, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    assert((size_t)length < capacity);
}
