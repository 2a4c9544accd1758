/* Compose files for tests: written to a folder of their own, loaded as stack "shop", and removed.
 * Lines of a service are indented by four, and stand behind line 3.
 *
 *     bench_load_service("    user: ann\n", &result);       must be taken, without a warning
 *     bench_refuse_service("    usr: ann\n", ":4: …");       what is said behind the file's path
 *     bench_warn_service("    tty: true\n", ":4: …");        taken, with this as the only warning
 */
#pragma once

#include "node/compose/compose.h"

void bench_load(const char *text, struct compose_result *ret);
void bench_refuse(const char *text, const char *words);
void bench_warn(const char *text, const char *words);

void bench_load_service(const char *lines, struct compose_result *ret);
void bench_refuse_service(const char *lines, const char *words);
void bench_warn_service(const char *lines, const char *words);

/* A file beside the Compose file of the next load; `name` may have one folder in it. */
void bench_file(const char *name, const char *content);

/* compose_load() of one file. */
int bench_load_path(const char *path, const char *stack, struct compose_result *ret,
                    struct error *error);

/* Loads those files, of bench_file(), as one project, with profiles between commas; the folder is
 * cut off what the message begins with. All files are removed. */
int bench_load_project(const char *const *names, const char *profiles, struct compose_result *ret,
                       struct error *error);
