#include "node/peer/image_pins.h"

#include <errno.h>

static int pin(struct image_store *store, const char *digest_text, struct digest_set *pins)
{
    struct digest digest;
    int rc = digest_text ? digest_parse(digest_text, &digest) : -EINVAL;
    if (rc < 0 || digest_set_has(pins, &digest))
        return rc;
    rc = image_store_pin(store, &digest);
    if (rc == 0 && (rc = digest_set_add(pins, &digest)) < 0)
        image_store_unpin(store, &digest);
    return rc;
}

int image_pins_add(struct image_store *store, const struct service_spec *spec,
                   struct digest_set *pins)
{
    struct spec_image image;
    int rc = 0;
    for (size_t i = 0; rc == 0 && service_spec_image(spec, i, &image); i++)
        rc = pin(store, image.digest, pins);
    return rc;
}

int image_pins_adopt(struct image_store *store, const struct container_spec *spec,
                     struct digest_set *pins)
{
    int rc = pin(store, spec->image, pins);
    for (size_t i = 0; i < spec->mount_count && rc == 0; i++)
        if (spec->mounts[i].type == MOUNT_IMAGE)
            rc = pin(store, spec->mounts[i].source, pins);
    return rc;
}

void image_pins_drop(struct image_store *store, struct digest_set *pins)
{
    for (size_t i = 0; i < pins->count; i++)
        image_store_unpin(store, &pins->items[i]);
    digest_set_done(pins);
}
