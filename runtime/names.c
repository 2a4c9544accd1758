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
