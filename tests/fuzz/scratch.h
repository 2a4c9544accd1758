/* A directory in memory for the fuzz targets that write files: made once a process, and left empty.
 */
#pragma once

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SCRATCH_PATH_BYTES = 64,
};

static char scratch[SCRATCH_PATH_BYTES];

/* rmdir() takes it only if the target has cleaned up after itself. */
static void scratch_remove(void)
{
    if (rmdir(scratch) < 0)
        perror(scratch);
}

static inline void scratch_make(void)
{
    if (scratch[0])
        return;
    snprintf(scratch, sizeof(scratch), "%s/consort-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    char *made = mkdtemp(scratch);
    assert(made);
    atexit(scratch_remove);
}

/* A name's path in the scratch directory; until the next call. */
static inline const char *scratch_path(const char *name)
{
    static char path[2 * SCRATCH_PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s/%s", scratch, name);
    assert(length < (int)sizeof(path));
    return path;
}

static inline void scratch_write(const char *name, const uint8_t *data, size_t size)
{
    int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0);
    ssize_t written = size > 0 ? write(fd, data, size) : 0;
    assert(written == (ssize_t)size);
    close(fd);
}

/* An open file with the input's bytes. */
static inline int scratch_input(const uint8_t *data, size_t size)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    assert(fd >= 0);
    ssize_t written = size > 0 ? write(fd, data, size) : 0;
    assert(written == (ssize_t)size);
    return fd;
}
