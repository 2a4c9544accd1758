#include "node/api/privilege.h"

#include <errno.h>

bool api_refuse_privileged(struct api_call *call, const struct service_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!specs[i].sandbox.privileged || call->role == ROLE_ADMIN)
            continue;
        api_fail_with(call, -EACCES, "use an admin's context, or take privileged away",
                      "%s is privileged, which needs the role admin; %s is a %s", specs[i].name,
                      call->actor, role_name(call->role));
        return true;
    }
    return false;
}
