/* A seccomp profile compiled once for many containers.
 *
 * crun compiles the profile of each container that it creates, which takes it longer than all the
 * rest. It takes a compiled one, too: an annotation with the filter in base64. So the filter is
 * made here, by the same library and from the same profile, and kept in the run directory. Another
 * OCI runtime knows nothing of the annotation and compiles the profile, which stays where it was.
 */
#pragma once

#include <jansson.h>

#include "base/buffer.h"

/* The annotation's name. */
#define SECCOMP_FILTER_ANNOTATION "run.oci.seccomp_bpf_data"

/* Compiles a profile (seccomp_profile()) to the kernel's struct sock_filter, appended to `ret`. */
int seccomp_filter_compile(const json_t *profile, struct buffer *ret);

/* The filter of a profile in base64: from `directory`, or compiled and put there. The caller frees
 * *ret. To be called on a worker thread; several may at once. */
int seccomp_filter_text(const json_t *profile, const char *directory, char **ret);
