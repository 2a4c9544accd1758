/* What else a spec's sandbox may say, each in one text, "NAME=VALUE":
 *
 *     pid=host, ipc=host, uts=host, cgroup=host     the machine's namespace, not one's own
 *     domainname=NAME                               the NIS domain
 *     swappiness=N                                  0 to 100; cgroup v1 only, v2 has none
 *     device=c 1:3 rwm                              what may be opened; * for any number
 *     annotation=KEY=VALUE                          for the OCI runtime; none that orders it about
 *     apparmor=PROFILE, apparmor=unconfined         see runtime/apparmor.h
 *     userns=auto                                   a user namespace: see runtime/userns.h
 *     blkio_weight=N                                10 to 1000; where the kernel has weights
 *     blkio_weight_device=/dev/sda=N                likewise
 *     blkio_read_bps=/dev/sda=BYTES                 likewise read_iops, write_bps, write_iops
 *
 * Pure but for sandbox_options_apply(), which looks at /dev and at the kernel.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/text_list.h"

bool sandbox_option_is_valid(const char *text);

/* True if one of them shares something of the machine's, or opens its devices: what only admins may
 * grant. */
bool sandbox_options_reach_machine(const struct text_list *options);

/* The value of the first option of that name, borrowed; NULL if there is none. */
const char *sandbox_options_find(const struct text_list *options, const char *name);

/* True for the key of an annotation (or a text that begins with it) that changes what the OCI
 * runtime does: nobody's to give. */
bool sandbox_annotation_is_reserved(const char *key);

/* True if the namespace ("pid") shall be the machine's. */
bool sandbox_options_share(const struct text_list *options, const char *namespace);

/* Whether a user namespace of its own is asked for. */
bool sandbox_options_want_userns(const struct text_list *options);

/* If one is asked for beside what it can't have, as with Docker: what that is ("privileged", "pid:
 * host"), else NULL. */
const char *sandbox_options_bar_userns(const struct text_list *options, bool is_privileged,
                                       bool has_host_network);

/* Puts them into the OCI runtime's configuration, whose parts are there already. -ENODEV with words
 * for a device that is not there; -ENOMEM. */
int sandbox_options_apply(const struct text_list *options, json_t *document, struct error *error);
