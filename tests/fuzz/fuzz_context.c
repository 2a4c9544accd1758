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

enum { PATH_BYTES = 128 };

static const char *const folders[] = {"consort", "consort/contexts", "consort/contexts/lab"};
static const char membership[] = "consort/contexts/lab/membership";
static const char key[] = "consort/contexts/lab/identity.key";
static const char current[] = "consort/current";

static const char *in_scratch(const char *name)
{
    static char path[PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s/%s", scratch, name);
    assert(length < (int)sizeof(path));
    return path;
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
    int fd = open(in_scratch(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0);
    ssize_t written = size > 0 ? write(fd, data, size) : 0;
    assert(written == (ssize_t)size);
    close(fd);
}

static void clean_up(void)
{
    unlink(in_scratch(membership));
    unlink(in_scratch(key));
    unlink(in_scratch(current));
    for (size_t i = sizeof(folders) / sizeof(folders[0]); i-- > 0;)
        rmdir(in_scratch(folders[i]));
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
        mkdir(in_scratch(folders[i]), 0700);
    write_file(key, seed, sizeof(seed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct operator_context *context = NULL;
    struct error error = {0};
    char name[BASE_NAME_BYTES_MAX + 1];
    prepare();
    write_file(membership, data, size);
    if (context_load("lab", &context, &error) == 0)
        assert(context->seed_count <= JOIN_SEEDS_MAX);
    else
        assert(error.code < 0 && error.message[0]);
    context_free(context);
    write_file(current, data, size);
    if (context_current(name) == 0)
        assert(certificate_name_is_valid(name));
    return 0;
}
