#include "runtime/runtime.h"

const char *container_state_name(enum container_state state)
{
    switch (state) {
    case CONTAINER_CREATING:
        return "creating";
    case CONTAINER_STARTING:
        return "starting";
    case CONTAINER_RUNNING:
        return "running";
    case CONTAINER_STOPPING:
        return "stopping";
    case CONTAINER_EXITED:
        return "exited";
    case CONTAINER_BACKOFF:
        return "backoff";
    case CONTAINER_FAILED:
        return "failed";
    case CONTAINER_REMOVED:
        return "removed";
    }
    return "unknown";
}

const char *health_state_name(enum health_state state)
{
    switch (state) {
    case HEALTH_NONE:
        return "none";
    case HEALTH_STARTING:
        return "starting";
    case HEALTH_HEALTHY:
        return "healthy";
    case HEALTH_UNHEALTHY:
        return "unhealthy";
    }
    return "unknown";
}
