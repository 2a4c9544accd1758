/* Compose files: what an operator writes, made into what the cluster agrees on.
 *
 * The Compose Specification's keys are taken as data; what Consort does not support is a warning
 * that names its line, never silently dropped; a key that nobody knows is an error that names the
 * nearest one. ${VAR}, ${VAR:-default} and ${VAR:?words} are filled in from the environment, then
 * from .env in the project's folder. Several files are merged, `extends` and `include` carried out,
 * and services left out whose profiles are not wanted.
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
    struct text_list pulled;   /* services whose image's registry is to be asked anew, by name */
    struct text_list warnings; /* "compose.yaml:12: services.web.devices: not supported, ignored" */
};

struct compose_options {
    const struct text_list *files;     /* at least one; later ones are merged over earlier ones */
    const char *stack_name;            /* NULL: the file's `name`, or its folder's */
    const char *folder;                /* where relative paths begin; NULL: the first file's */
    const struct text_list *profiles;  /* NULL: those of COMPOSE_PROFILES only */
    const struct text_list *env_files; /* NULL: .env in the folder, if it is there */
};

/* Reads the files. -EINVAL for one that makes no sense, with file, line and key in `error`; else
 * what reading said. `ret` is the caller's to release on success only. */
int compose_load(const struct compose_options *options, struct compose_result *ret,
                 struct error *error);

/* The files that count where none is named: those of COMPOSE_FILE, in the environment or in the
 * files of variables (NULL or none: .env here); else compose.yaml or one of its other names here or
 * in a folder above, with compose.override.yaml beside it. -ENOENT with words if there is none. The
 * caller frees `ret` in any case. */
int compose_find(const struct text_list *env_files, struct text_list *ret, struct error *error);
void compose_result_done(struct compose_result *result);
