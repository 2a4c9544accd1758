/* One image repository at its registry and at that registry's mirrors: manifests and blobs by the
 * OCI distribution specification, with what login they want, and tried again where that may help.
 *
 * Blocking. Threads may use one client at once.
 */
#pragma once

#include "runtime/image/image_reference.h"
#include "runtime/registry/http.h"

struct registry_client;

/* `settings_path` and `docker_path`: see settings.h. The caller frees `*ret`. */
int registry_client_new(const struct image_reference *reference, const char *settings_path,
                        const char *docker_path, struct registry_client **ret, struct error *error);
void registry_client_free(struct registry_client *client);

/* Appends the manifest or index by that tag or digest to `ret`: at most IMAGE_JSON_BYTES_MAX.
 * -ENOENT: no such image; -EACCES: not with this login; -EBUSY: the registry wants fewer pulls;
 * else as http_get(). */
int registry_client_manifest(struct registry_client *client, const char *name, struct buffer *ret,
                             struct error *error);

/* Gives the bytes of a blob to `on_data` in order and without gaps: after a break from where it
 * was, or (offset 0 again) from the start. */
int registry_client_blob(struct registry_client *client, const struct digest *digest,
                         int (*on_data)(void *context, int64_t offset, const void *data,
                                        size_t size),
                         void *context, struct error *error);
