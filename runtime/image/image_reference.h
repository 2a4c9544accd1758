/* What people call an image: [REGISTRY/]NAME[:TAG][@DIGEST], with Docker's defaults.
 *
 *     hello                        docker.io  library/hello     latest
 *     prom/node-exporter:v1.8      docker.io  prom/node-exporter v1.8
 *     localhost:5000/app@sha256:…  localhost:5000  app          (by digest)
 *
 * The first part is a registry only if it has a dot or a colon, or is "localhost", as Docker has
 * it. The store keeps the short form ("hello:latest"), in which docker.io and library/ are left
 * out, so that every spelling of a reference finds the same image.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "runtime/bounds.h"
#include "runtime/image/digest.h"

struct image_reference {
    char registry[IMAGE_REFERENCE_BYTES_MAX];   /* "docker.io" if none was given */
    char repository[IMAGE_REFERENCE_BYTES_MAX]; /* "library/hello" */
    char tag[IMAGE_TAG_BYTES_MAX];              /* "latest" if neither tag nor digest was given;
                                                   empty if only a digest was */
    bool has_digest;
    struct digest digest;
};

/* -EINVAL, with what is wrong in `error`, for anything that is not a reference. */
int image_reference_parse(const char *text, struct image_reference *ret, struct error *error);

/* Whether both say the same registry, repository and tag, however they are spelt; digests don't
 * count. */
bool image_reference_same_name(const struct image_reference *a, const struct image_reference *b);

/* The short form with the tag and without a digest: "hello:latest". Needs a tag. */
void image_reference_format(const struct image_reference *reference,
                            char ret[IMAGE_REFERENCE_BYTES_MAX]);
