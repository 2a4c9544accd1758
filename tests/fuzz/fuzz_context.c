/* An operator's context as it lies on the disk: cluster, certificates and peers; and the name of
 * the one in use. */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bounds.h"
#include "node/cli/contexts.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const folders[] = {"consort", "consort/contexts", "consort/contexts/lab"};
static const char membership[] = "consort/contexts/lab/membership";
static const char key[] = "consort/contexts/lab/identity.key";
static const char current[] = "consort/current";

static void clean_up(void)
{
    unlink(scratch_path(membership));
    unlink(scratch_path(key));
    unlink(scratch_path(current));
    for (size_t i = sizeof(folders) / sizeof(folders[0]); i-- > 0;)
        rmdir(scratch_path(folders[i]));
}

static void prepare(void)
{
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {1};
    if (scratch[0])
        return;
    scratch_make();
    atexit(clean_up); /* runs before scratch's own */
    setenv("XDG_CONFIG_HOME", scratch, 1);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        mkdir(scratch_path(folders[i]), 0700);
    scratch_write(key, seed, sizeof(seed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct operator_context *context = NULL;
    struct error error = {0};
    char name[BASE_NAME_BYTES_MAX + 1];
    prepare();
    scratch_write(membership, data, size);
    if (context_load("lab", &context, &error) == 0)
        assert(context->seed_count <= JOIN_SEEDS_MAX);
    else
        assert(error.code < 0 && error.message[0]);
    context_free(context);
    scratch_write(current, data, size);
    if (context_current(name) == 0)
        assert(certificate_name_is_valid(name));
    return 0;
}
