/* The cluster's own configs and secrets, which no stack brings: set, and removed. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "consensus/intent_apply.h"

static int refuse_of_stack(struct intent_apply *apply, const struct intent_blob *blob)
{
    struct error *error = &apply->result->error;
    error_set(error, -EEXIST, "the %s %s belongs to the stack %s",
              intent_blob_kind_text(blob->kind), blob->name, blob->stack);
    error_hint(error, "change it in that stack's Compose file, and deploy it again");
    return -EEXIST;
}

static int expected_check(struct intent_apply *apply, const struct command_blob_set *set,
                          const struct intent_blob *present)
{
    struct error *error = &apply->result->error;
    const char *kind = intent_blob_kind_text(set->blob.kind);
    uint64_t version = present ? present->version : 0;
    if (!set->has_expected || set->expected == version)
        return 0;
    if (version == 0)
        error_set(error, -EBADE, "there is no %s %s, of which version %" PRIu64 " is expected",
                  kind, set->blob.name, set->expected);
    else
        error_set(error, -EBADE, "the %s %s is at version %" PRIu64 ", not at %" PRIu64, kind,
                  set->blob.name, version, set->expected);
    error_hint(error, "somebody else changed it; look at it again, then set it");
    return -EBADE;
}

int intent_apply_blob_set(struct intent_apply *apply, const struct command_blob_set *set)
{
    const struct intent_blob *given = &set->blob;
    const struct intent_blob *present = intent_blob_find(apply->intent, given->kind, given->name);
    struct intent_result *result = apply->result;
    const char *kind = intent_blob_kind_text(given->kind);
    if (!intent_name_is_valid(given->name)) {
        error_set(&result->error, -EINVAL, "\"%s\" can't be the name of a %s", given->name, kind);
        error_hint(&result->error, "use letters, digits, '-', '_' and '.'");
        return -EINVAL;
    }
    if (present && present->stack[0] != '\0')
        return refuse_of_stack(apply, present);
    int rc = expected_check(apply, set, present);
    if (rc == 0 && !intent_blob_is_there(apply->intent, given)) {
        rc = intent_blob_check_sealed(apply, given);
        if (rc == 0)
            rc = intent_blob_room(apply, 1, given->content.size);
        if (rc == 0)
            rc = intent_wrap_room(apply, given->wrap_count);
    }
    if (rc == 0)
        rc = intent_blob_put(apply, given, "", &result->version);
    if (rc < 0)
        return rc;
    if (result->version != apply->index) {
        result->unchanged = true;
        return 0;
    }
    intent_event_add(apply, kind, given->name, "set: version %" PRIu64 ", %zu bytes",
                     result->version, intent_blob_size(given));
    intent_blob_sweep_older(apply->intent,
                            intent_blob_find(apply->intent, given->kind, given->name));
    return 0;
}

int intent_apply_blob_remove(struct intent_apply *apply, const struct command_blob_remove *remove)
{
    struct intent *intent = apply->intent;
    struct error *error = &apply->result->error;
    const char *kind = intent_blob_kind_text(remove->kind);
    const struct intent_blob *blob = intent_blob_find(intent, remove->kind, remove->name);
    if (!blob) {
        error_set(error, -ENOENT, "there is no %s %s", kind, remove->name);
        error_hint(error, "see what there is: consort %s ls", kind);
        return -ENOENT;
    }
    if (blob->stack[0] != '\0')
        return refuse_of_stack(apply, blob);
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        if (intent_blob_used_by(intent, service, remove->kind, remove->name) == 0)
            continue;
        error_set(error, -ETXTBSY, "%s uses the %s %s", service->name, kind, remove->name);
        error_hint(error, "deploy it without that, or first: consort rm %s", service->name);
        return -ETXTBSY;
    }
    do {
        struct intent_blob *taken = table_remove(&intent->blobs, blob);
        intent_blob_free(taken);
        blob = intent_blob_find(intent, remove->kind, remove->name);
    } while (blob);
    intent_event_add(apply, kind, remove->name, "removed, with all its versions");
    return 0;
}
