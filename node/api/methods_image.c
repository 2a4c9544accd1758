/* Images of this peer: import from the client, list, remove. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/api/describe.h"
#include "node/api/image_save.h"
#include "node/images/images.h"
#include "runtime/image/image_reference.h"

/* --- Import: the archive arrives in chunks, is kept in a file, and imported from there --- */

struct import {
    uv_work_t work;
    struct api_call *call;
    char path[PATH_MAX];
    char reference[IMAGE_REFERENCE_BYTES_MAX];
    int fd;
    struct buffer arrived, writing;
    uint64_t taken;
    int error;
    bool is_writing, has_ended;
};

static void free_import(struct import *import)
{
    if (import->fd >= 0)
        close(import->fd);
    unlink(import->path);
    buffer_done(&import->arrived);
    buffer_done(&import->writing);
    free(import);
}

static void on_imported(void *context, const struct image_imported *imported, size_t imported_count,
                        const struct error *error)
{
    struct import *import = context;
    struct api_call *call = import->call;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    free_import(import);
    if (error) {
        api_fail(call, error);
        return;
    }
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    writer_text(&writer, "images");
    writer_array(&writer, imported_count);
    for (size_t i = 0; i < imported_count; i++) {
        char digest[DIGEST_TEXT_BYTES];
        digest_format(&imported[i].digest, digest);
        writer_map(&writer, 2);
        put_text(&writer, "reference", imported[i].reference);
        put_text(&writer, "digest", digest);
    }
    api_answer(call, &result);
}

static void give_up(struct import *import, int code)
{
    struct api_call *call = import->call;
    api_fail_with(call, code, code == -ENOSPC ? "free some space at the peer, and try again" : NULL,
                  "the archive can't be kept in %s: %s", call->peer->options.data_dir,
                  strerror(-code));
    free_import(import);
}

static void write_arrived(uv_work_t *work)
{
    struct import *import = work->data;
    size_t offset = 0;
    import->error = 0;
    while (offset < import->writing.size) {
        ssize_t written =
            write(import->fd, import->writing.bytes + offset, import->writing.size - offset);
        if (written < 0) {
            import->error = -errno;
            return;
        }
        offset += (size_t)written;
    }
}

static void on_written(uv_work_t *work, int status);

static void go_on(struct import *import)
{
    struct api_call *call = import->call;
    if (import->is_writing)
        return;
    if (call->is_canceled) {
        give_up(import, -ECANCELED);
    } else if (import->arrived.size > 0) {
        struct buffer emptied = import->writing;
        import->writing = import->arrived;
        import->arrived = emptied;
        import->is_writing = true;
        uv_queue_work(call->peer->loop, &import->work, write_arrived, on_written);
    } else if (import->has_ended) {
        const char *reference = import->reference[0] ? import->reference : NULL;
        call->on_note = NULL;
        call->on_cancel = NULL;
        int rc = images_import(call->peer->images, import->path, reference, on_imported, import);
        if (rc < 0)
            give_up(import, rc);
    }
}

/* Tells the client how far it is: it sends only so much ahead. */
static void on_written(uv_work_t *work, int status)
{
    struct import *import = work->data;
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    (void)status;
    import->is_writing = false;
    if (import->error < 0) {
        give_up(import, import->error);
        return;
    }
    import->taken += import->writing.size;
    buffer_clear(&import->writing);
    writer_init(&writer, &payload);
    writer_u64(&writer, import->taken);
    api_note(import->call, "taken", buffer_view(&payload));
    go_on(import);
}

static void on_import_note(struct api_call *call, const char *kind, struct bytes payload)
{
    struct import *import = call->context;
    struct reader reader;
    struct bytes data;
    reader_init(&reader, payload.data, payload.size);
    if (strcmp(kind, "end") == 0)
        import->has_ended = true;
    else if (strcmp(kind, "data") == 0 && reader_binary(&reader, &data) == 0 &&
             buffer_append(&import->arrived, data.data, data.size) < 0)
        call->is_canceled = true; /* out of memory: given up when the write is done */
    go_on(import);
}

static void on_import_cancel(struct api_call *call)
{
    go_on(call->context);
}

static void method_import(struct api_call *call, struct bytes params)
{
    struct import *import = calloc(1, sizeof(*import));
    if (!import) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    import->call = call;
    import->work.data = import;
    frame_text(params, "reference", import->reference, sizeof(import->reference));
    snprintf(import->path, sizeof(import->path), "%s/import-XXXXXX", call->peer->options.data_dir);
    import->fd = mkostemp(import->path, O_CLOEXEC);
    if (import->fd < 0) {
        give_up(import, -errno);
        return;
    }
    call->context = import;
    call->on_note = on_import_note;
    call->on_cancel = on_import_cancel;
}

/* --- Pulling --- */

struct pulling {
    struct api_call *call;
    char reference[IMAGE_REFERENCE_BYTES_MAX + DIGEST_TEXT_BYTES];
};

static void on_pull_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct pulling *pulling = context;
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_array(&writer, 2);
    writer_u64(&writer, done_bytes);
    writer_u64(&writer, total_bytes);
    api_note(pulling->call, "progress", buffer_view(&payload));
}

static void on_pulled(void *context, const struct digest *digest, const struct error *error)
{
    struct pulling *pulling = context;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    char text[DIGEST_TEXT_BYTES];
    if (error) {
        api_fail(pulling->call, error);
    } else {
        digest_format(digest, text);
        writer_init(&writer, &result);
        writer_map(&writer, 2);
        put_text(&writer, "reference", pulling->reference);
        put_text(&writer, "digest", text);
        api_answer(pulling->call, &result);
    }
    free(pulling);
}

static void method_pull(struct api_call *call, struct bytes params)
{
    static const struct images_pull_handler handler = {on_pull_progress, on_pulled};
    struct pulling *pulling = calloc(1, sizeof(*pulling));
    struct image_reference parsed;
    struct error error = {0};
    if (!pulling) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    pulling->call = call;
    frame_text(params, "reference", pulling->reference, sizeof(pulling->reference));
    int rc = image_reference_parse(pulling->reference, &parsed, &error);
    if (rc == 0)
        rc = images_pull(call->peer->images, pulling->reference, &handler, pulling);
    if (rc == 0)
        return;
    if (error.code == 0)
        error_set_errno(&error, rc, "pulling %s", pulling->reference);
    api_fail(call, &error);
    free(pulling);
}

/* --- Listing and removing --- */

struct listing {
    uv_work_t work;
    struct api_call *call;
    struct image_summary *images;
    size_t count;
    struct error error;
};

static void list_images(uv_work_t *work)
{
    struct listing *listing = work->data;
    image_store_list(listing->call->peer->image_store, &listing->images, &listing->count,
                     &listing->error);
}

static void count_holder(void *context, const struct swim_member *member)
{
    (void)member;
    ++*(uint64_t *)context;
}

static void on_listed(uv_work_t *work, int status)
{
    struct listing *listing = work->data;
    struct api_call *call = listing->call;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    (void)status;
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    writer_text(&writer, "images");
    writer_array(&writer, listing->count);
    for (size_t i = 0; i < listing->count; i++) {
        const struct image_summary *image = &listing->images[i];
        char digest[DIGEST_TEXT_BYTES];
        uint64_t holders = image->complete;
        digest_format(&image->digest, digest);
        agent_image_holders(call->peer->agent, digest, count_holder, &holders);
        writer_map(&writer, 5);
        put_text(&writer, "reference", image->reference);
        put_text(&writer, "digest", digest);
        put_i64(&writer, "size_bytes", image->size_bytes);
        put_i64(&writer, "created_wall_s", image->created_wall_s);
        put_u64(&writer, "peers", holders);
    }
    if (listing->error.code < 0)
        api_fail(call, &listing->error);
    else
        api_answer(call, &result);
    free(listing->images);
    free(listing);
}

static void method_list(struct api_call *call, struct bytes params)
{
    struct listing *listing = calloc(1, sizeof(*listing));
    (void)params;
    if (!listing) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    listing->call = call;
    listing->work.data = listing;
    uv_queue_work(call->peer->loop, &listing->work, list_images, on_listed);
}

static void on_removed(void *context, const struct error *error)
{
    if (error)
        api_fail(context, error);
    else
        api_answer(context, NULL);
}

/* The name of a service whose wanted revision uses that image; NULL. */
static const char *used_by(const struct peer *peer, const char *name)
{
    const struct table *services = &agent_intent(peer->agent)->services;
    struct image_reference wanted, used;
    if (image_reference_parse(name, &wanted, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < services->count; i++) {
        const struct intent_service *service = services->items[i];
        const struct intent_revision *revision = intent_revision_find(service, service->revision);
        if (revision && !service->removing &&
            image_reference_parse(revision->spec.image, &used, NULL) == 0 &&
            image_reference_same_name(&used, &wanted))
            return service->name;
    }
    return NULL;
}

static void method_remove(struct api_call *call, struct bytes params)
{
    char reference[IMAGE_REFERENCE_BYTES_MAX] = "";
    frame_text(params, "reference", reference, sizeof(reference));
    const char *user = used_by(call->peer, reference);
    if (user) {
        api_fail_with(call, -EBUSY, "remove or update the service first", "the service %s uses %s",
                      user, reference);
        return;
    }
    int rc = images_remove(call->peer->images, reference, on_removed, call);
    if (rc < 0)
        api_fail_with(call, rc, NULL, "removing %s: %s", reference, strerror(-rc));
}

const struct api_entry api_image_methods[] = {
    {"image.import", ROLE_DEPLOYER, API_IN_CLUSTER, method_import},
    {"image.ls", ROLE_VIEWER, API_IN_CLUSTER, method_list},
    {"image.pull", ROLE_DEPLOYER, API_IN_CLUSTER, method_pull},
    {"image.save", ROLE_VIEWER, API_IN_CLUSTER, method_image_save},
    {"image.rm", ROLE_DEPLOYER, API_IN_CLUSTER, method_remove},
    {0},
};
