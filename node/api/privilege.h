/* What only an admin may: have a container run as root on the machine ("privileged"), change what
 * such a service runs, and enter its containers.
 */
#pragma once

#include "node/api/call.h"

/* True once the call was failed, because one of the specs is privileged and the caller no admin. */
bool api_refuse_privileged(struct api_call *call, const struct service_spec *specs, size_t count);
