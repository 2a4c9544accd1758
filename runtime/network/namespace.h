/* Network namespaces, pinned by a mount so that they outlive whoever made them. Functions return 0
 * or a negative errno.
 */
#pragma once

#include <stdbool.h>

/* Makes a namespace and pins it at `path`. `has_ipv6`: ipv6_prepare_namespace(). With `userns_fd`
 * (-1: none) it belongs to that user namespace, whose root then rules in it. */
int namespace_pin(const char *path, bool has_ipv6, int userns_fd);

/* Whether that user namespace owns it; true for -1. */
bool namespace_is_owned(int netns_fd, int userns_fd);

/* Opens the pinned namespace; -ENOENT if the path is no mount of one. */
int namespace_open(const char *path, int *ret_fd);

/* Runs `function` with this thread in another network namespace (`netns_fd`, or -1 for a new one).
 * A worker thread that could not return would do everything else in the wrong network, so that is
 * where the daemon ends itself. */
int namespace_run(int netns_fd, int (*function)(const void *context), const void *context);
