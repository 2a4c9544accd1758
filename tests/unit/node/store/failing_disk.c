#include "tests/unit/node/store/failing_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    SECTOR_BYTES = 512,
};

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __real_writev(int fd, const struct iovec *parts, int count);
int __real_ftruncate(int fd, off_t size);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_msync(void *memory, size_t size, int flags);

/* One thread at a time writes: the store's, while the test's own waits for it. */
static _Atomic int64_t left[DISK_CALLS] = {-1, -1, -1, -1};
static _Atomic bool has_failed;
static bool is_recording;
static struct disk_history recorded;

void disk_fail_after(enum disk_call call, int64_t count)
{
    for (int i = 0; i < DISK_CALLS; i++)
        left[i] = -1;
    left[call] = count;
    has_failed = false;
}

bool disk_has_failed(void)
{
    return has_failed;
}

static bool fails(enum disk_call call)
{
    if (left[call] < 0 || left[call]-- > 0)
        return false;
    has_failed = true;
    errno = EIO;
    return true;
}

static void record(struct disk_event event, const void *data, size_t size)
{
    if (!is_recording)
        return;
    recorded.events = reallocarray(recorded.events, recorded.count + 1, sizeof(*recorded.events));
    if (!recorded.events || buffer_append(&event.bytes, data, size) < 0)
        abort();
    recorded.events[recorded.count++] = event;
}

static void record_write(int fd, const void *data, size_t size, off_t offset)
{
    bool is_atomic = (fcntl(fd, F_GETFL) & O_DSYNC) && size <= SECTOR_BYTES;
    record((struct disk_event){.is_atomic = is_atomic, .offset = (uint64_t)offset}, data, size);
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (fails(DISK_WRITES))
        return -1;
    if (fails(DISK_TORN_WRITES)) {
        if (size <= SECTOR_BYTES || __real_pwrite(fd, data, size / 2, offset) < 0)
            errno = EIO; /* a sector is written, or not */
        errno = EIO;
        return -1;
    }
    record_write(fd, data, size, offset);
    return __real_pwrite(fd, data, size, offset);
}

ssize_t __wrap_writev(int fd, const struct iovec *parts, int count)
{
    off_t offset = lseek(fd, 0, SEEK_CUR);
    if (fails(DISK_WRITES))
        return -1;
    if (fails(DISK_TORN_WRITES)) {
        if (__real_writev(fd, parts, 1) < 0)
            return -1;
        errno = EIO;
        return -1;
    }
    for (int i = 0; i < count; i++) {
        record_write(fd, parts[i].iov_base, parts[i].iov_len, offset);
        offset += (off_t)parts[i].iov_len;
    }
    return __real_writev(fd, parts, count);
}

int __wrap_ftruncate(int fd, off_t size)
{
    return fails(DISK_SIZES) ? -1 : __real_ftruncate(fd, size);
}

static int sync_file(void)
{
    if (fails(DISK_SYNCS))
        return -1;
    record((struct disk_event){.is_sync = true}, NULL, 0);
    return 0;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return sync_file();
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return sync_file();
}

int __wrap_msync(void *memory, size_t size, int flags)
{
    (void)memory;
    (void)size;
    (void)flags;
    return sync_file();
}

void disk_record_begin(void)
{
    is_recording = true;
}

void disk_record_end(struct disk_history *ret)
{
    is_recording = false;
    *ret = recorded;
    recorded = (struct disk_history){0};
}

void disk_history_done(struct disk_history *history)
{
    for (size_t i = 0; i < history->count; i++)
        buffer_done(&history->events[i].bytes);
    free(history->events);
    *history = (struct disk_history){0};
}

static void put(struct buffer *image, uint64_t offset, const uint8_t *bytes, size_t size)
{
    static const uint8_t zeros[4096];
    while (image->size < offset + size) {
        size_t missing = (size_t)(offset + size - image->size);
        if (buffer_append(image, zeros, missing < sizeof(zeros) ? missing : sizeof(zeros)) < 0)
            abort();
    }
    if (size > 0)
        memcpy(image->bytes + offset, bytes, size);
}

/* What became of a write that nobody knows to be on the disk. */
static void put_some(struct buffer *image, const struct disk_event *event, struct random *random)
{
    uint8_t rubbish[SECTOR_BYTES];
    size_t size = event->bytes.size;
    size_t sectors = (size + SECTOR_BYTES - 1) / SECTOR_BYTES;
    size_t at = (size_t)random_below(random, sectors) * SECTOR_BYTES;
    switch (event->is_atomic ? random_below(random, 2) : random_below(random, 4)) {
    case 0:
        break;
    case 1:
        put(image, event->offset, event->bytes.bytes, size);
        break;
    case 2:
        put(image, event->offset, event->bytes.bytes, at);
        break;
    default:
        put(image, event->offset, event->bytes.bytes, size);
        random_fill(random, rubbish, sizeof(rubbish));
        put(image, event->offset + at, rubbish,
            size - at < sizeof(rubbish) ? size - at : sizeof(rubbish));
        break;
    }
}

void disk_crash(const struct disk_history *history, size_t count, struct random *random,
                struct buffer *image)
{
    size_t synced = 0, done = count < history->count ? count : history->count;
    for (size_t i = 0; i < done; i++)
        if (history->events[i].is_sync || (history->events[i].is_atomic && i + 1 < count))
            synced = i + 1;
    for (size_t i = 0; i < done; i++) {
        const struct disk_event *event = &history->events[i];
        if (event->is_sync)
            continue;
        if (i < synced)
            put(image, event->offset, event->bytes.bytes, event->bytes.size);
        else
            put_some(image, event, random);
    }
}

bool disk_has_committed(const struct disk_history *history, size_t count)
{
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < history->count; i++)
        if (history->events[i].is_atomic)
            last = i;
    return last < count;
}
