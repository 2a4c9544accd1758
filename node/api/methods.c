/* What can be called: the table of each methods_*.c. Tests link a list of their own instead. */
#include <stddef.h>

#include "node/api/call.h"

const struct api_entry *const api_methods[] = {
    api_cluster_methods, api_service_methods, api_query_methods,
    api_peer_methods,    api_watch_methods,   api_container_methods,
    api_exec_methods,    api_image_methods,   api_profile_methods,
    api_blob_methods,    api_quota_methods,   api_voters_methods,
    api_recover_methods, api_deploy_methods,  NULL};
