#include "tests/fuzz/seed.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SEED_PATH_BYTES = 4096 };

/* FNV-1a, for a name: who has the same is taken for the same. */
static uint64_t hash_of(struct bytes input)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < input.size; i++)
        hash = (hash ^ input.data[i]) * 0x100000001b3;
    return hash;
}

void seed_keep(const char *target, struct bytes input)
{
    const char *directory = getenv(SEED_ENVIRONMENT);
    char path[SEED_PATH_BYTES];
    if (!directory)
        return;
    snprintf(path, sizeof(path), "%s/%s", directory, target);
    int r = mkdir(path, 0700);
    assert(r == 0 || errno == EEXIST);
    snprintf(path, sizeof(path), "%s/%s/%016" PRIx64, directory, target, hash_of(input));
    FILE *file = fopen(path, "wb");
    assert(file);
    size_t written = fwrite(input.data, 1, input.size, file);
    r = fclose(file);
    assert(written == input.size && r == 0);
}
