#include <string.h>

#include "base/cleanup.h"
#include "node/compose/parse.h"

static const struct {
    const char *key, *words;
} reasons[] = {
    {"build", "images are not built here; build it elsewhere, then: consort image import"},
    {"cgroup_parent", "Consort's own holds all its containers, to limit and to end them"},
    {"cpu_count", "it is for Windows; cpus is the limit"},
    {"cpu_percent", "it is for Windows; cpus is the limit"},
    {"cpu_rt_period", "kernels with real-time groups are not supported"},
    {"cpu_rt_runtime", "kernels with real-time groups are not supported"},
    {"credential_spec", "it is for Windows"},
    {"develop", "it is for docker compose watch"},
    {"cdi", "CDI names mean nothing to Consort; name the device files, as in /dev/nvidia0"},
    {"devices", "name the device files under the service's own devices"},
    {"external_links", "give both services a network in common, with external: true"},
    {"generic_resources", "name what a machine has as its label, and that under constraints"},
    {"gpus", "name the device files that it needs under devices, as in /dev/dri"},
    {"host_ip", "every peer answers at all of its addresses"},
    {"isolation", "it is for Windows"},
    {"labels", "only services have labels"},
    {"mac_address", "each peer gives its containers their own"},
    {"models", "models are not run here"},
    {"oom_kill_disable", "cgroup v2 has no such thing; see oom_score_adj"},
    {"platform", "an image runs on machines of its own architecture"},
    {"provider", "no other program is asked to provide services"},
    {"runtime", "each peer has its own: consort node --runtime"},
    {"selinux", "containers here are not labelled"},
    {"storage_opt", "layers are shared by all containers and have no size of their own"},
    {"use_api_socket", "there is no Docker API; mount Consort's socket"},
    {"version", "it is obsolete, and means nothing"},
};

const char *parse_reason(const char *key)
{
    for (size_t i = 0; i < array_count(reasons); i++)
        if (strcmp(reasons[i].key, key) == 0)
            return reasons[i].words;
    return NULL;
}
