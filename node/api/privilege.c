#include "node/api/privilege.h"

#include <errno.h>

#include "runtime/sandbox_options.h"

static bool has_device(const struct service_spec *spec)
{
    for (size_t i = 0; i < spec->mount_count; i++)
        if (spec->mounts[i].type == SPEC_MOUNT_DEVICE)
            return true;
    return false;
}

static bool has_privileged_hook(const struct spec_hook *hooks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (hooks[i].privileged)
            return true;
    return false;
}

bool api_refuse_privileged(struct api_call *call, const struct service_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct service_spec *spec = &specs[i];
        const char *what = spec->network_mode == SPEC_NETWORK_HOST ? "has its machine's network"
                           : spec->sandbox.privileged              ? "is privileged"
                           : sandbox_options_reach_machine(&spec->sandbox.options)
                               ? "reaches its machine's namespaces or devices"
                           : has_device(spec) ? "has a file system mounted on its machine"
                           : has_privileged_hook(spec->post_start, spec->post_start_count) ||
                                   has_privileged_hook(spec->pre_stop, spec->pre_stop_count)
                               ? "has a privileged hook"
                               : NULL;
        if (!what || call->role == ROLE_ADMIN)
            continue;
        api_fail_with(call, -EACCES,
                      "use an admin's context, or take privileged, device_cgroup_rules, a "
                      "volume's driver_opts, and host (of network_mode, pid, ipc, uts, cgroup) "
                      "away",
                      "%s %s, which needs the role admin; %s is a %s", spec->name, what,
                      call->actor, role_name(call->role));
        return true;
    }
    return false;
}
