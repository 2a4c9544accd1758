#include "node/api/privilege.h"

#include <errno.h>

bool api_refuse_privileged(struct api_call *call, const struct service_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool has_host = specs[i].network_mode == SPEC_NETWORK_HOST;
        if ((!specs[i].sandbox.privileged && !has_host) || call->role == ROLE_ADMIN)
            continue;
        api_fail_with(call, -EACCES,
                      has_host ? "use an admin's context, or take network_mode: host away"
                               : "use an admin's context, or take privileged away",
                      "%s %s, which needs the role admin; %s is a %s", specs[i].name,
                      has_host ? "has its machine's network" : "is privileged", call->actor,
                      role_name(call->role));
        return true;
    }
    return false;
}
