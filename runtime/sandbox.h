/* What a spec's sandbox may say, as texts from Compose files: checked there, and read again when a
 * container is made.
 *
 * Pure but for sandbox_devices(), which looks at /dev.
 */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/container_spec.h"

struct sandbox_ulimit {
    char name[32]; /* as the OCI runtime calls it: "RLIMIT_NOFILE" */
    int resource;  /* as setrlimit() does */
    uint64_t soft, hard;
};

struct sandbox_device {
    char source[PATH_MAX], target[PATH_MAX];
    char access[4]; /* of "rwm" */
};

/* "nofile=SOFT:HARD" or "nofile=LIMIT"; -1 and "unlimited" are no limit. -EINVAL. */
int sandbox_parse_ulimit(const char *text, struct sandbox_ulimit *ret);

/* Lowers it to what this daemon may grant: without CAP_SYS_RESOURCE, no more than it has itself.
 * True if it had to. */
bool sandbox_ulimit_fit(struct sandbox_ulimit *limit);

/* "HERE[:THERE[:ACCESS]]", both absolute. -EINVAL. */
int sandbox_parse_device(const char *text, struct sandbox_device *ret);

/* True for "NAME=VALUE" of a setting that belongs to the container's own namespaces: any other
 * would be the machine's. */
bool sandbox_sysctl_is_safe(const char *text);

/* "0-2,7". */
bool sandbox_cpuset_is_valid(const char *text);

/* True for what may stand in a line of resolv.conf: no white space, nothing that ends the line. */
bool sandbox_word_is_valid(const char *text);

/* -EINVAL with what is wrong. */
int sandbox_check(const struct container_sandbox *sandbox, struct error *error);

/* `linux.devices` of the OCI runtime's configuration for what the sandbox names, and adds to
 * `allowed` what its control group lets pass. Devices that are not there are an error with words;
 * a privileged container has all of the machine's. The caller owns `*ret`. */
int sandbox_devices(const struct container_sandbox *sandbox, json_t *allowed, json_t **ret,
                    struct error *error);
