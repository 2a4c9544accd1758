#include "runtime/image/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int disk_open_directory(int parent_fd, const char *name, int *ret_fd)
{
    if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int disk_write_all(int fd, const void *data, size_t size_bytes)
{
    const char *position = data;
    while (size_bytes > 0) {
        ssize_t written = write(fd, position, size_bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        position += written;
        size_bytes -= (size_t)written;
    }
    return 0;
}

int disk_replace_file(int directory_fd, const char *name, const void *data, size_t size_bytes)
{
    char temporary[NAME_MAX + 1];
    if (snprintf(temporary, sizeof(temporary), ".%s.tmp", name) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    cleanup_close int fd = openat(directory_fd, temporary,
                                  O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = disk_write_all(fd, data, size_bytes);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(directory_fd, temporary, directory_fd, name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(directory_fd, temporary, 0);
        return r;
    }
    return fsync(directory_fd) < 0 ? -errno : 0;
}

int disk_read_all(int fd, size_t max_bytes, struct buffer *ret)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EBADMSG;
    if ((uint64_t)status.st_size > max_bytes)
        return -E2BIG;
    size_t before = ret->size, size = (size_t)status.st_size;
    int r = buffer_reserve(ret, size + 1); /* so that an empty file has bytes to point to, too */
    if (r < 0)
        return r;
    while (ret->size - before < size) {
        size_t done = ret->size - before;
        ssize_t count = pread(fd, ret->bytes + ret->size, size - done, (off_t)done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            ret->size = before;
            return count < 0 ? -errno : -EIO;
        }
        ret->size += (size_t)count;
    }
    return 0;
}

int disk_read_file(int directory_fd, const char *name, size_t max_bytes, struct buffer *ret)
{
    /* O_NONBLOCK: a FIFO of that name must not hold the thread. */
    cleanup_close int fd =
        openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return disk_read_all(fd, max_bytes, ret);
}

int disk_each_entry(int directory_fd, int (*each)(void *context, const char *name), void *context)
{
    /* A description of its own, since closedir() closes it and readdir() moves its offset. */
    int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int r = -errno;
        close(fd);
        return r;
    }
    int r = 0;
    while (r == 0) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) {
            r = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        r = each(context, entry->d_name);
    }
    closedir(directory);
    return r;
}
