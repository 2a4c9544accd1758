/* Compose files: what an operator writes, made into what the cluster agrees on.
 *
 * The Compose Specification's keys are taken as data; what Consort does not support is a warning
 * that names its line, never silently dropped; a key that nobody knows is an error that names the
 * nearest one. ${VAR}, ${VAR:-default} and ${VAR:?words} are filled in from the environment, then
 * from .env beside the file.
 */
#pragma once

#include "base/error.h"
#include "base/text_list.h"
#include "consensus/intent.h"
#include "consensus/spec.h"

struct compose_result {
    char stack[BASE_NAME_BYTES_MAX + 1];
    struct service_spec *services;
    size_t service_count;
    struct intent_blob *blobs; /* configs and secrets, named STACK_name */
    size_t blob_count;
    struct text_list warnings; /* "compose.yaml:12: services.web.devices: not supported, ignored" */
};

/* Reads `path`. The stack's name is `stack_name`, or if that is NULL the file's `name`, or its
 * folder's. -EINVAL for a file that makes no sense, with file, line and key in `error`; else what
 * reading said. `ret` is the caller's to release on success only. */
int compose_load(const char *path, const char *stack_name, struct compose_result *ret,
                 struct error *error);
void compose_result_done(struct compose_result *result);
