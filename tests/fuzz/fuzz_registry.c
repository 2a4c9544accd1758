/* What a registry says to who does not say who they are: whatever it is, a value ends where it
 * must. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/registry/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct registry_challenge challenge;
    char *header = malloc(size + 1);
    if (!header)
        return 0;
    memcpy(header, data, size);
    header[size] = '\0';
    if (registry_challenge_parse(header, &challenge) == 0) {
        assert(!challenge.is_bearer || challenge.realm[0]);
        assert(strlen(challenge.realm) <= size && strlen(challenge.service) <= size &&
               strlen(challenge.scope) <= size);
    }
    free(header);
    return 0;
}
