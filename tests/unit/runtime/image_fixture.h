/* Images made on the spot, and the archives and layouts that hold them.
 *
 * A sample image has two layers: etc/base below, etc/word above, which says which image it is; and
 * the upper removes etc/gone and all that was in etc/old.
 */
#pragma once

#include "runtime/image/image_store.h"
#include "tests/unit/runtime/fixture.h"

enum {
    SAMPLE_LAYERS = 2,
    SAMPLE_NAME_BYTES = 96,
};

struct sample {
    struct buffer layers[SAMPLE_LAYERS]; /* as they are stored: perhaps compressed */
    struct digest diff_ids[SAMPLE_LAYERS];
    struct digest layer_digests[SAMPLE_LAYERS];
    int filter; /* of the layers: ARCHIVE_FILTER_NONE, _GZIP or _ZSTD */
    struct buffer config;
    struct digest config_digest;
    struct buffer manifest;
    struct digest digest; /* of the manifest */
};

/* The first layer is the same for all samples of one filter; the second has a file `word`. */
void sample_make(const char *word, int filter, struct sample *ret);
void sample_done(struct sample *sample);

/* "blobs/sha256/<hex>" */
void blob_name(const struct digest *digest, char ret[SAMPLE_NAME_BYTES]);

/* Adds the files of `docker save` for one image, but for manifest.json; and its part of that. */
void sample_add_docker(const struct sample *sample, struct tar *tar);
void sample_docker_entry(const struct sample *sample, const char *tags_json, struct buffer *json);

/* Adds the blobs of an OCI archive or layout. */
void sample_add_oci(const struct sample *sample, struct tar *tar);
void sample_write_oci(const struct sample *sample, const char *directory);

/* An index.json, or a nested index, with one entry. `name` may be NULL. */
void oci_index(const struct digest *digest, size_t size_bytes, const char *platform_json,
               const char *name, struct buffer *json);

/* Writes all of a sample's blobs into a store, and tags the manifest unless `name` is NULL. */
void sample_store(const struct sample *sample, struct image_store *store, const char *name);
