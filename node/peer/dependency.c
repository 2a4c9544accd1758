#include "node/peer/dependency.h"

#include <stdio.h>
#include <string.h>

#include "node/control/stand_in.h"

static bool is_met(const struct intent *intent, const struct view *view,
                   const struct intent_replica *replica, uint8_t condition)
{
    const struct view_replica *told = view_replica_find(view, replica->generation);
    bool has_ended = view_replica_has_completed(told, intent_spec_of(intent, replica));
    switch ((enum spec_dependency_condition)condition) {
    case SPEC_DEPENDS_STARTED:
        return has_ended || (told && told->state == VIEW_REPLICA_RUNNING);
    case SPEC_DEPENDS_HEALTHY:
        return told && view_replica_serves(told);
    case SPEC_DEPENDS_COMPLETED:
        return has_ended;
    }
    return true;
}

bool dependency_waits(const struct intent *intent, const struct view *view, const char *stack,
                      const struct service_spec *spec, char ret_words[DEPENDENCY_WORDS_BYTES])
{
    static const char *const states[] = {[SPEC_DEPENDS_STARTED] = "start",
                                         [SPEC_DEPENDS_HEALTHY] = "be healthy",
                                         [SPEC_DEPENDS_COMPLETED] = "complete"};
    for (size_t i = 0; i < spec->dependency_count; i++) {
        const struct spec_dependency *dependency = &spec->dependencies[i];
        char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
        snprintf(name, sizeof(name), "%s_%s", stack, dependency->name);
        const struct intent_service *service = intent_service_find(intent, name);
        if (!service || service->removing)
            continue;
        bool is_one_met = false;
        const struct intent_replica *replica;
        for (size_t j = 0; (replica = any_replica_at(intent, view, j)) && !is_one_met; j++) {
            is_one_met = strcmp(replica->service, name) == 0 &&
                         is_met(intent, view, replica, dependency->condition);
        }
        if (is_one_met)
            continue;
        snprintf(ret_words, DEPENDENCY_WORDS_BYTES, "waits for %s to %s", name,
                 states[dependency->condition]);
        return true;
    }
    return false;
}
