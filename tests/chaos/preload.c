/* What tools/chaos puts under a daemon (LD_PRELOAD) to break its disk and its wall clock.
 *
 *     CHAOS_CONTROL   a file of struct control, which the tool writes into while the daemon runs
 *     CHAOS_STORE     the path of the store's file; writes to others are left alone
 *     CHAOS_JOURNAL   a file in which stands what a power cut would take back
 *
 * A machine that loses its power loses what was written and not synced, any part of it in any
 * order. So before each write the bytes that it replaces go into the journal, which each sync that
 * succeeds empties; after a power cut the tool puts some of them back. Monotonic clocks are left
 * alone.
 */
#undef _FILE_OFFSET_BITS /* pwrite and pwrite64 are two symbols, and both are wanted */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* As tools/chaos_lib/preload.py packs it. */
struct control {
    volatile int64_t wall_offset_ms;
    volatile uint32_t fail_errno;    /* of writes and syncs; 0: none fails */
    volatile uint32_t fail_permille; /* of them */
    volatile uint32_t failed;        /* so far, for the tool */
};

/* Before the bytes in the journal. */
struct record {
    uint64_t offset;
    uint64_t size;      /* of the bytes that follow: what was there */
    uint64_t file_size; /* of the store, then */
};

static struct control no_control, *control = &no_control;
static const char *store_path;
static int journal = -1;
static uint64_t dice;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("CHAOS_CONTROL"), *journal_path = getenv("CHAOS_JOURNAL");
    store_path = getenv("CHAOS_STORE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || !journal_path || !store_path)
        return; /* a program that the daemon runs */
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED)
        abort();
    control = mapped;
    journal = open(journal_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0)
        abort();
    dice = (uint64_t)getpid();
    /* What the daemon starts runs without. */
    unsetenv("LD_PRELOAD");
    unsetenv("CHAOS_CONTROL");
}

/* --- The wall clock --- */

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    long rc = syscall(SYS_clock_gettime, clock, ret);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = ret->tv_nsec + control->wall_offset_ms % 1000 * 1000000;
        ret->tv_sec += control->wall_offset_ms / 1000 + (ns < 0 ? -1 : ns / 1000000000);
        ret->tv_nsec = ns < 0 ? ns + 1000000000 : ns % 1000000000;
    }
    return (int)rc;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

/* --- The disk --- */

static bool is_store(int fd)
{
    char link[64], path[PATH_MAX];
    if (journal < 0 || fd < 0)
        return false;
    strcpy(link, "/proc/self/fd/");
    char digits[16];
    int count = 0;
    for (int rest = fd; count == 0 || rest > 0; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    size_t end = strlen(link);
    while (count > 0)
        link[end++] = digits[--count];
    link[end] = '\0';
    ssize_t size = readlink(link, path, sizeof(path));
    return size > 0 && (size_t)size == strlen(store_path) &&
           memcmp(path, store_path, (size_t)size) == 0;
}

static bool fails(void)
{
    if (control->fail_errno == 0)
        return false;
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    if ((dice >> 33) % 1000 >= control->fail_permille)
        return false;
    control->failed++;
    errno = (int)control->fail_errno;
    return true;
}

/* A file that is open for synchronous writing has nothing that a power cut could take back. */
static void remember(int fd, off_t offset, size_t size)
{
    struct stat file;
    if (fcntl(fd, F_GETFL) & O_DSYNC || fstat(fd, &file) < 0)
        return;
    uint8_t *bytes = malloc(sizeof(struct record) + size);
    if (!bytes)
        abort();
    ssize_t was = pread(fd, bytes + sizeof(struct record), size, offset);
    struct record record = {.offset = (uint64_t)offset,
                            .size = was > 0 ? (uint64_t)was : 0,
                            .file_size = (uint64_t)file.st_size};
    memcpy(bytes, &record, sizeof(record));
    long length = (long)(sizeof(record) + record.size);
    if (syscall(SYS_write, journal, bytes, length) != length)
        abort();
    free(bytes);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (is_store(fd)) {
        if (fails())
            return -1;
        remember(fd, offset, size);
    }
    return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite(fd, bytes, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (is_store(fd)) {
        size_t size = 0;
        for (int i = 0; i < count; i++)
            size += parts[i].iov_len;
        if (fails())
            return -1;
        remember(fd, lseek(fd, 0, SEEK_CUR), size);
    }
    return syscall(SYS_writev, fd, parts, count);
}

static int synced(int fd, long rc)
{
    if (rc == 0 && is_store(fd) && ftruncate(journal, 0) < 0)
        abort();
    return (int)rc;
}

int fdatasync(int fd)
{
    return is_store(fd) && fails() ? -1 : synced(fd, syscall(SYS_fdatasync, fd));
}

int fsync(int fd)
{
    return is_store(fd) && fails() ? -1 : synced(fd, syscall(SYS_fsync, fd));
}
