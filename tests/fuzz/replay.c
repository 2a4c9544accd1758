/* Runs a fuzz target as an ordinary test, without libFuzzer: over inputs that every decoder must
 * bear, then over each file of a directory (inputs that once broke the target, and samples of what
 * is valid) and over every beginning of each, as a peer would see it cut off; and likewise over the
 * seeds (seed.h) that unit tests leave for TARGET.
 *
 * usage: replay DIRECTORY [TARGET TEST…]   (a directory that does not exist counts as empty)
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/random.h"
#include "tests/fuzz/seed.h"

enum {
    REPLAY_FILE_BYTES_MAX = 1024 * 1024,
    REPLAY_PREFIX_BYTES_MAX = 2048, /* longer files are not cut at every byte */
    REPLAY_RANDOM_COUNT = 2000,
    REPLAY_RANDOM_BYTES_MAX = 512,
    REPLAY_PATH_BYTES = 4096,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* On the heap and ending where the allocation ends, so that the sanitizer sees a read past it. */
static void replay(const uint8_t *data, size_t size)
{
    cleanup_free uint8_t *copy = calloc(1, size + 1);

    assert(copy);
    if (size > 0)
        memcpy(copy + 1, data, size);
    LLVMFuzzerTestOneInput(copy + 1, size);
}

static void replay_single_bytes(void)
{
    replay(NULL, 0);
    for (int value = 0; value <= UINT8_MAX; value++)
        replay(&(uint8_t){(uint8_t)value}, 1);
}

/* The same byte again and again: deepest nesting, largest counts, longest text. */
static void replay_runs(void)
{
    static uint8_t run[65536];

    for (int value = 0; value <= UINT8_MAX; value++) {
        memset(run, value, sizeof(run));
        for (size_t size = 2; size <= sizeof(run); size *= 8)
            replay(run, size);
    }
}

static void replay_random(void)
{
    struct random random;
    uint8_t data[REPLAY_RANDOM_BYTES_MAX];

    random_init(&random, 1);
    for (int i = 0; i < REPLAY_RANDOM_COUNT; i++) {
        size_t size = random_below(&random, sizeof(data) + 1);

        random_fill(&random, data, size);
        replay(data, size);
    }
}

static int replay_file(const char *path)
{
    cleanup_free uint8_t *data = malloc(REPLAY_FILE_BYTES_MAX);
    FILE *file = fopen(path, "rb");
    size_t size;

    if (!file || !data) {
        fprintf(stderr, "replay: open %s: %s\n", path, strerror(errno));
        return 1;
    }
    size = fread(data, 1, REPLAY_FILE_BYTES_MAX, file);
    fclose(file);
    replay(data, size);
    for (size_t prefix = 1; prefix < size && prefix < REPLAY_PREFIX_BYTES_MAX; prefix++)
        replay(data, prefix);
    return 0;
}

static int replay_directory(const char *directory, int *ret_count)
{
    DIR *dir = opendir(directory);
    const struct dirent *entry;
    int count = 0;
    int r = 0;

    if (!dir && errno != ENOENT) {
        fprintf(stderr, "replay: open %s: %s\n", directory, strerror(errno));
        return 1;
    }
    while (dir && r == 0 && (entry = readdir(dir))) {
        char path[REPLAY_PATH_BYTES];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        r = replay_file(path);
        count++;
    }
    if (dir)
        closedir(dir);
    *ret_count = count;
    return r;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static int run_quietly(const char *program)
{
    char *argv[] = {(char *)program, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = -1;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&child, program, &actions, NULL, argv, environ) == 0)
        waitpid(child, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    return status == 0 ? 0 : -1;
}

/* Has the tests make seeds, and replays those for the target: there are some, or the check is off.
 */
static int replay_seeds(const char *target, char *const *tests, int *ret_count)
{
    char own[] = "/tmp/consort-seeds-XXXXXX";
    char path[REPLAY_PATH_BYTES];
    const char *directory = getenv(SEED_ENVIRONMENT); /* a fuzzer wants them */
    int r = 0;

    if (!directory) {
        directory = own;
        r = mkdtemp(own) && setenv(SEED_ENVIRONMENT, own, 1) == 0 ? 0 : 1;
    }

    for (; r == 0 && *tests; tests++) {
        r = run_quietly(*tests) < 0;
        if (r != 0)
            fprintf(stderr, "replay: %s fails, so it makes no seeds\n", *tests);
    }
    snprintf(path, sizeof(path), "%s/%s", directory, target);
    if (r == 0)
        r = replay_directory(path, ret_count);
    if (r == 0 && *ret_count == 0) {
        fprintf(stderr, "replay: the tests made no seed for %s\n", target);
        r = 1;
    }
    if (directory == own)
        nftw(own, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return r;
}

int main(int argc, char **argv)
{
    int count = 0, seed_count = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY [TARGET TEST...]\n", argv[0]);
        return 2;
    }
    replay_single_bytes();
    replay_runs();
    replay_random();
    if (replay_directory(argv[1], &count))
        return 1;
    if (argc > 2 && replay_seeds(argv[2], argv + 3, &seed_count))
        return 1;
    printf("built-in inputs, %d files of %s and %d seeds passed\n", count, argv[1], seed_count);
    return 0;
}
