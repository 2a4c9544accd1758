/* What a peer answers to the CLI, made into JSON: what is taken packs again, if it is not deeper
 * than what is asked with. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "node/cli/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer packed = {0};
    json_t *value = NULL, *again = NULL;
    if (json_from_packed((struct bytes){data, size}, &value) < 0)
        return 0;
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    assert(text);
    free(text);
    json_text(value, "service");
    json_number(value, "replicas");
    json_flag(value, "unchanged");
    int rc = json_to_packed(value, &packed);
    assert(rc == 0 || rc == -EINVAL);
    if (rc == 0) {
        rc = json_from_packed(buffer_view(&packed), &again);
        assert(rc == 0);
        assert(json_equal(value, again));
    }
    json_decref(again);
    json_decref(value);
    return 0;
}
