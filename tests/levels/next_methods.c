/* The API as it will be, with a method `note` beside those that there are: instead of
 * node/api/methods.c. */
#include <errno.h>

#include "node/api/describe.h"
#include "tests/levels/next_level.h"

static void method_note(struct api_call *call, struct bytes params)
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1] = "";
    frame_text(params, "name", name, sizeof(name));
    struct command command = next_note(name);
    propose_for(call, &command, answer_done);
}

static const struct api_entry next_methods[] = {
    {"note", ROLE_DEPLOYER, API_IN_CLUSTER, method_note},
    {0},
};

const struct api_entry *const api_methods[] = {API_TABLES, next_methods, NULL};
