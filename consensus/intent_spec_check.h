/* Whether a spec can be a service of this cluster: what the decoder can't see. */
#pragma once

#include "consensus/intent_apply.h"

/* Joins stack and service, or stack and blob: "hello_web". */
void intent_full_name(const char *stack, const char *name,
                      char ret[INTENT_SERVICE_NAME_BYTES_MAX + 1]);

/* The spec by itself: names, image, replicas, ports. 0, or why it is refused. */
int intent_spec_check(struct intent_apply *apply, const char *full_name,
                      const struct service_spec *spec);

/* That no other service publishes one of the spec's ports, or has one of its addresses in the same
 * network. Services of `stack_replaced` (NULL: none) do not count, nor do services that are going.
 */
int intent_clashes_check(struct intent_apply *apply, const char *full_name,
                         const struct service_spec *spec, const char *stack_replaced);

/* Says that the service `other` has that address. Returns -EADDRINUSE. */
int intent_refuse_address(struct intent_apply *apply, const char *name, const char *other,
                          const char *network, const struct address *address);

/* That every config and secret is there: among the intent's blobs, or those of the deploy. */
int intent_files_check(struct intent_apply *apply, const char *full_name,
                       const struct service_spec *spec, const struct command_deploy *deploy);

/* Whether both specs publish one port; which, in `*ret` (may be NULL). */
bool intent_ports_clash(const struct service_spec *a, const struct service_spec *b,
                        const struct spec_port **ret);

const char *intent_protocol_text(uint8_t protocol);
