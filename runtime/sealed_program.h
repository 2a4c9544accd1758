/* A program that is run from a sealed copy in memory.
 *
 * An OCI runtime must not be changed by the containers whose processes it becomes (CVE-2019-5736),
 * so crun copies itself into memory at each call, seals the copy, and begins anew from there: that
 * is as much work as all that it does before its first word. A copy that is sealed already it runs
 * at once. So we make one, when the daemon starts, for all calls; it is half a megabyte.
 *
 * Read only once opened, so worker threads share it.
 */
#pragma once

#include <sys/stat.h>

struct sealed_program {
    const char *file; /* borrowed: where it is installed */
    int copy;         /* -1: none, the file is run itself */
    char copy_path[32];
    struct stat status; /* the file's when it was copied */
};

/* Nothing is copied yet: the file is run. */
void sealed_program_init(struct sealed_program *program, const char *file);

/* Copies it, if it is an ELF program that also runs from there (it is run once, with --version, for
 * at most `timeout_ms`); else the file goes on being run. Blocks. */
void sealed_program_copy(struct sealed_program *program, int timeout_ms);

void sealed_program_done(struct sealed_program *program);

/* The copy's descriptor, for a child that runs the program itself; -1 without a copy, or once the
 * file is another one than was copied: there is a new version. */
int sealed_program_descriptor(const struct sealed_program *program);

/* What a child of ours is started from: a path to that descriptor, or the file. */
const char *sealed_program_path(const struct sealed_program *program);
