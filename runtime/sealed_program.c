#include "runtime/sealed_program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/process.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

enum {
    /* Above those that a child gets under fixed numbers, which would take its place. */
    DESCRIPTOR_MIN = 10,
    SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, /* as crun looks for */
};

void sealed_program_init(struct sealed_program *program, const char *file)
{
    *program = (struct sealed_program){.file = file, .copy = -1};
}

/* Linux before 6.3 knows no flag for a memory file that may be executed: all may. */
static int make_memory_file(void)
{
    int fd = memfd_create("oci-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("oci-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);
    int result = high < 0 ? -errno : high;
    close(fd);
    return result;
}

/* A script would look for its own text under a path that its interpreter does not have. */
static bool is_elf(int file)
{
    char magic[SELFMAG];
    return pread(file, magic, sizeof(magic), 0) == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static int copy_all(int file, int copy, off_t size)
{
    while (size > 0) {
        ssize_t sent = sendfile(copy, file, NULL, (size_t)size);
        if (sent <= 0)
            return sent < 0 ? -errno : -EIO; /* it became shorter meanwhile */
        size -= sent;
    }
    return fcntl(copy, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

static int make_copy(struct sealed_program *program)
{
    cleanup_close int file = open(program->file, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &program->status) < 0)
        return -errno;
    if (!is_elf(file))
        return -ENOEXEC;
    cleanup_close int copy = make_memory_file();
    if (copy < 0)
        return copy;
    int result = copy_all(file, copy, program->status.st_size);
    if (result == 0)
        program->copy = take_fd(copy);
    return result;
}

void sealed_program_copy(struct sealed_program *program, int timeout_ms)
{
    int result = make_copy(program);
    if (result == 0) {
        snprintf(program->copy_path, sizeof(program->copy_path), "/proc/self/fd/%d", program->copy);
        const char *const argv[] = {program->copy_path, "--version", NULL};
        result = process_run(argv, timeout_ms, NULL);
        if (result != 0)
            sealed_program_done(program);
    }
    if (result != 0 && result != -ENOEXEC)
        log_notice("%s is run without a copy in memory, which takes longer: %s", program->file,
                   result < 0 ? strerror(-result) : "the copy does not run");
}

void sealed_program_done(struct sealed_program *program)
{
    if (program->copy >= 0)
        close(program->copy);
    program->copy = -1;
}

int sealed_program_descriptor(const struct sealed_program *program)
{
    const struct stat *was = &program->status;
    struct stat now;
    if (program->copy < 0 || stat(program->file, &now) < 0)
        return -1;
    bool is_same = now.st_dev == was->st_dev && now.st_ino == was->st_ino &&
                   now.st_size == was->st_size && now.st_ctim.tv_sec == was->st_ctim.tv_sec &&
                   now.st_ctim.tv_nsec == was->st_ctim.tv_nsec;
    return is_same ? program->copy : -1;
}

const char *sealed_program_path(const struct sealed_program *program)
{
    return sealed_program_descriptor(program) >= 0 ? program->copy_path : program->file;
}
