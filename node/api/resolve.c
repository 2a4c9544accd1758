#include "node/api/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/agent_pulls.h"
#include "node/images/images.h"
#include "runtime/image/image_reference.h"

enum {
    RESOLVE_POLL_MS = 100,
    RESOLVE_PATIENCE_MS = 3000, /* several rounds of gossip */
};

static void note_holder(void *context, const struct swim_member *member)
{
    (void)member;
    *(bool *)context = true;
}

/* Whether this peer or another that lives has the image. */
static bool is_held(const struct peer *peer, const char *digest_text)
{
    struct digest digest;
    bool held = digest_parse(digest_text, &digest) == 0 && images_has(peer->images, &digest);
    if (!held)
        agent_image_holders(peer->agent, digest_text, note_holder, &held);
    return held;
}

/* Whether the text is that name, and not a digest. */
static bool is_named(const char *text, const struct image_reference *name)
{
    struct image_reference parsed;
    return image_reference_parse(text, &parsed, NULL) == 0 && !parsed.has_digest &&
           image_reference_same_name(&parsed, name);
}

/* What the name means in that spec; NULL: it does not say. */
static const char *meaning_in(const struct service_spec *spec, const struct image_reference *name)
{
    struct spec_image image;
    for (size_t i = 0; service_spec_image(spec, i, &image); i++)
        if (image.digest && strlen(image.digest) < AGENT_DIGEST_TEXT_BYTES &&
            is_named(image.name, name))
            return image.digest;
    return NULL;
}

/* What the name meant in the newest revision of any service that used it. */
static int resolve_from_intent(const struct peer *peer, const struct image_reference *name,
                               char ret[AGENT_DIGEST_TEXT_BYTES])
{
    const struct table *services = &agent_intent(peer->agent)->services;
    const struct intent_revision *newest = NULL;
    for (size_t i = 0; i < services->count; i++) {
        const struct intent_service *service = services->items[i];
        for (size_t j = 0; j < service->revisions.count; j++) {
            const struct intent_revision *revision = service->revisions.items[j];
            if ((!newest || revision->wall_ms > newest->wall_ms) &&
                meaning_in(&revision->spec, name))
                newest = revision;
        }
    }
    if (!newest)
        return -ENOENT;
    snprintf(ret, AGENT_DIGEST_TEXT_BYTES, "%s", meaning_in(&newest->spec, name));
    return 0;
}

static void drop_image_volumes(struct service_spec *spec)
{
    size_t kept = 0;
    for (size_t i = 0; i < spec->mount_count; i++) {
        if (spec->mounts[i].of_image)
            spec_mount_done(&spec->mounts[i]);
        else
            spec->mounts[kept++] = spec->mounts[i];
    }
    spec->mount_count = kept;
}

static int add_image_volume(struct service_spec *spec, const char *path)
{
    if (path[0] != '/' || strlen(path) > SPEC_TEXT_BYTES_MAX)
        return 0; /* not what a peer that means well says */
    for (size_t i = 0; i < spec->mount_count; i++)
        if (strcmp(spec->mounts[i].target, path) == 0)
            return 0;
    for (size_t i = 0; i < spec->file_count; i++)
        if (strcmp(spec->files[i].target, path) == 0)
            return 0;
    if (spec->mount_count + spec->file_count >= RUNTIME_MOUNTS_MAX)
        return -E2BIG;
    struct spec_mount *mount = service_spec_add_mount(spec);
    if (!mount)
        return -ENOMEM;
    mount->type = SPEC_MOUNT_VOLUME;
    mount->of_image = true;
    mount->target = strdup(path);
    return mount->target ? 0 : -ENOMEM;
}

/* The VOLUMEs of an image of which no name is known any more, as a revision with it has them. */
static int add_volumes_from_intent(const struct intent *intent, struct service_spec *spec)
{
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        for (size_t j = 0; j < service->revisions.count; j++) {
            const struct service_spec *known =
                &((const struct intent_revision *)service->revisions.items[j])->spec;
            if (!known->image_digest || strcmp(known->image_digest, spec->image_digest) != 0)
                continue;
            int rc = 0;
            for (size_t k = 0; k < known->mount_count && rc == 0; k++)
                if (known->mounts[k].of_image)
                    rc = add_image_volume(spec, known->mounts[k].target);
            return rc;
        }
    }
    return 0;
}

/* What the image keeps outlives a container, as with Docker: an anonymous volume for each of its
 * VOLUMEs where the service mounts nothing itself. */
static int add_image_volumes(const struct peer *peer, struct service_spec *spec)
{
    struct text_list paths = {0};
    drop_image_volumes(spec); /* of another image, before an update */
    int rc = agent_image_volumes(peer->agent, spec->image_digest, &paths);
    if (rc == -ENOENT)
        rc = add_volumes_from_intent(agent_intent(peer->agent), spec);
    for (size_t i = 0; i < paths.count && rc == 0; i++)
        rc = add_image_volume(spec, paths.items[i]);
    text_list_done(&paths);
    return rc;
}

/* One of the images that the specs name. */
struct named_image {
    struct service_spec *spec;
    size_t index; /* among those of the spec */
    const char *name;
};

/* The image with that index among those of all specs; false beyond the last. */
static bool find_named(struct service_spec *specs, size_t spec_count, size_t index,
                       struct named_image *ret)
{
    struct spec_image image;
    for (size_t i = 0; i < spec_count; i++)
        for (size_t j = 0; service_spec_image(&specs[i], j, &image); j++)
            if (index-- == 0) {
                *ret = (struct named_image){&specs[i], j, image.name};
                return true;
            }
    return false;
}

/* Sets the digest of the image; -ENOENT if no peer that lives has it (yet). */
static int resolve_image(const struct peer *peer, const struct named_image *named,
                         struct error *error)
{
    struct service_spec *spec = named->spec;
    struct image_reference reference;
    char text[IMAGE_REFERENCE_BYTES_MAX], digest[AGENT_DIGEST_TEXT_BYTES];
    int rc = image_reference_parse(named->name, &reference, error);
    if (rc < 0) {
        error_prefix(error, "service %s", spec->name);
        return rc;
    }
    image_reference_format(&reference, text);
    if (reference.has_digest)
        digest_format(&reference.digest, digest);
    else if ((rc = agent_image_resolve(peer->agent, text, digest)) < 0)
        rc = resolve_from_intent(peer, &reference, digest);
    if (rc < 0 || !is_held(peer, digest)) {
        error_set(error, -ENOENT, "service %s: no peer has the image %s", spec->name, text);
        return -ENOENT;
    }
    rc = service_spec_set_digest(spec, named->index, digest);
    if (rc < 0)
        return error_set_errno(error, rc, "service %s", spec->name);
    rc = named->index == 0 ? add_image_volumes(peer, spec) : 0;
    return rc < 0 ? error_set_errno(error, rc, "service %s: the volumes of its image", spec->name)
                  : 0;
}

static int add_once(struct text_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return 0;
    return text_list_add(list, text);
}

int resolve_now(const struct peer *peer, struct service_spec *specs, size_t spec_count,
                struct text_list *ret_missing, struct error *error)
{
    struct named_image named = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && find_named(specs, spec_count, i, &named); i++) {
        rc = resolve_image(peer, &named, error);
        if (rc == -ENOENT)
            rc = add_once(ret_missing, named.name);
    }
    return rc == -ENOMEM ? error_set_errno(error, rc, "finding images") : rc;
}

struct resolving {
    uv_timer_t timer;
    struct api_call *call;
    struct command command; /* owned */
    struct service_spec *specs;
    size_t spec_count;
    int64_t give_up_ms;
    size_t pulled_count; /* images that were asked of their registry: once each */
    char announced[IMAGE_REFERENCE_BYTES_MAX]; /* what others know that is to be pulled here; "" */
    bool is_pulling, is_closed;
    struct error pull_error;
    proposal_callback *callback;
};

static void free_resolving(uv_handle_t *handle)
{
    struct resolving *resolving = handle->data;
    resolving->is_closed = true;
    if (resolving->is_pulling)
        return; /* freed when that ends */
    command_done(&resolving->command);
    free(resolving);
}

/* Has the other peers wait for this one, or (NULL) no longer. */
static void announce(struct resolving *resolving, const char *image, bool has_begun)
{
    struct peer *peer = resolving->call->peer;
    struct image_reference reference;
    char text[IMAGE_REFERENCE_BYTES_MAX] = "";
    if (image && image_reference_parse(image, &reference, NULL) == 0)
        image_reference_format(&reference, text);
    if (!peer->agent || (strcmp(text, resolving->announced) == 0 && !has_begun))
        return;
    if (resolving->announced[0] && strcmp(text, resolving->announced) != 0)
        agent_withdraw_pull(peer->agent, peer_now_ms(peer), resolving->announced);
    if (text[0])
        agent_publish_pull(peer->agent, peer_now_ms(peer), text, has_begun);
    memcpy(resolving->announced, text, sizeof(text));
    peer_wake(peer);
}

static void on_pulled(void *context, const struct digest *digest, const struct error *error)
{
    struct resolving *resolving = context;
    (void)digest;
    resolving->is_pulling = false;
    if (error)
        resolving->pull_error = *error;
    if (resolving->is_closed)
        free_resolving((uv_handle_t *)&resolving->timer);
}

/* Asks the registry of an image that no peer has, unless another peer does: once it has the image,
 * its name is heard of. Whether it is pulled now. */
static bool pull(struct resolving *resolving, size_t index, const char *image)
{
    struct peer *peer = resolving->call->peer;
    static const struct images_pull_handler handler = {NULL, on_pulled};
    if (index < resolving->pulled_count)
        return false;
    if (resolving->announced[0] && agent_pull_is_others(peer->agent, resolving->announced))
        return true;
    resolving->pulled_count = index + 1;
    announce(resolving, image, true);
    resolving->is_pulling = images_pull(peer->images, image, &handler, resolving) == 0;
    return resolving->is_pulling;
}

/* Neither a peer nor the registry has it. */
static void say_unknown(const struct resolving *resolving, struct error *error)
{
    if (resolving->pull_error.code < 0) {
        size_t used = strlen(error->message);
        snprintf(error->message + used, sizeof(error->message) - used, "; %s",
                 resolving->pull_error.message);
    }
    error_hint(error, "%s",
               resolving->pull_error.hint[0] ? resolving->pull_error.hint
                                             : "import it first: consort image import FILE");
}

static void on_look(uv_timer_t *timer)
{
    struct resolving *resolving = timer->data;
    struct api_call *call = resolving->call;
    struct peer *peer = call->peer;
    struct error error = {0};
    struct named_image named = {0};
    size_t resolved = 0;
    int rc = 0;
    if (call->is_canceled || peer->is_stopping || !peer->agent)
        rc = error_set_errno(&error, -ECANCELED, "waiting for an image's name");
    else if (resolving->is_pulling)
        return;
    for (; rc == 0 && find_named(resolving->specs, resolving->spec_count, resolved, &named);
         resolved += rc == 0)
        rc = resolve_image(peer, &named, &error);
    if (rc == -ENOENT && resolved >= resolving->pulled_count)
        announce(resolving, named.name, false);
    bool is_pulled_in_vain = resolving->pull_error.code < 0;
    if (rc == -ENOENT && !is_pulled_in_vain &&
        (peer_now_ms(peer) < resolving->give_up_ms || pull(resolving, resolved, named.name)))
        return; /* the name may be on its way */
    if (rc == -ENOENT)
        say_unknown(resolving, &error);
    announce(resolving, NULL, false);
    uv_close((uv_handle_t *)timer, free_resolving);
    if (rc < 0)
        api_fail(call, &error);
    else
        propose_for(call, &resolving->command, resolving->callback);
}

void propose_resolved(struct api_call *call, struct command *command, struct service_spec *specs,
                      size_t spec_count, proposal_callback *callback)
{
    struct resolving *resolving = calloc(1, sizeof(*resolving));
    if (!resolving) {
        command_done(command);
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    resolving->call = call;
    resolving->command = *command;
    resolving->specs = specs == &command->update.spec ? &resolving->command.update.spec : specs;
    resolving->spec_count = spec_count;
    resolving->give_up_ms = peer_now_ms(call->peer) + RESOLVE_PATIENCE_MS;
    resolving->callback = callback;
    uv_timer_init(call->peer->loop, &resolving->timer);
    resolving->timer.data = resolving;
    uv_timer_start(&resolving->timer, on_look, 0, RESOLVE_POLL_MS);
}
