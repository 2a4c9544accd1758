/* What an image says about itself: its manifest and its configuration, parsed from JSON.
 *
 * Both come from strangers (registries, archives, peers) and are bounded by runtime/bounds.h; what
 * does not fit or contradicts itself is refused with a reason. OCI's and Docker's (schema 2) media
 * types are both understood. An *index* lists one image for several platforms; which one is this
 * machine's is for image_index_choose() to say.
 *
 * Pure: no files, no locks. image_store.h finds the bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/text_list.h"
#include "runtime/bounds.h"
#include "runtime/image/digest.h"

enum layer_compression {
    LAYER_TAR,
    LAYER_GZIP,
    LAYER_ZSTD,
};

/* Where a blob is and how large it is, as one document says of another. */
struct image_descriptor {
    struct digest digest;
    int64_t size_bytes;
};

struct image_layer {
    struct image_descriptor blob;
    struct digest diff_id; /* of the uncompressed tar archive; from the configuration */
    enum layer_compression compression; /* as declared; layer_unpack() looks at the bytes */
};

struct image_port {
    uint16_t port;
    bool udp;
};

struct image_health {
    struct text_list
        test; /* as Docker writes it: "CMD", …; "CMD-SHELL", line; "NONE"; empty: none */
    int64_t interval_ms; /* 0 in any of these: not said */
    int64_t timeout_ms;
    int64_t start_period_ms;
    int64_t start_interval_ms;
    uint32_t retries;
};

/* How the image wants to be run. Owns all that it points to; text that was not given is NULL. */
struct image_config {
    struct text_list entrypoint;
    struct text_list command;
    struct text_list environment; /* "NAME=value" */
    char *working_dir;            /* absolute, or NULL */
    char *user;
    char *stop_signal; /* "SIGTERM" or a number */
    char *architecture;
    char *os;
    int64_t created_wall_s; /* 0 if unknown */
    struct image_port ports[IMAGE_PORTS_MAX];
    size_t port_count;
    struct image_health health;
    struct text_list volumes; /* absolute paths where it keeps data, in order */
};

/* An image for this machine. */
struct image {
    struct digest digest; /* of its manifest (never of an index) */
    struct image_descriptor config_blob;
    struct image_config config;
    struct image_layer layers[IMAGE_LAYERS_MAX]; /* lowest first */
    size_t layer_count;
    int64_t size_bytes; /* of all its blobs, as stored */
};

/* What a JSON document with a digest can be. */
enum image_document {
    IMAGE_MANIFEST,
    IMAGE_INDEX,
};

/* Tells manifest from index; -EBADMSG if it is neither (or is Docker's obsolete schema 1). */
int image_document_kind(struct bytes json, enum image_document *ret, struct error *error);

/* OCI's media type of such a document. */
const char *image_document_type(enum image_document kind);

/* One platform's image in an index. */
struct image_index_entry {
    struct image_descriptor blob;
    char os[IMAGE_PLATFORM_BYTES_MAX];           /* "" if not said */
    char architecture[IMAGE_PLATFORM_BYTES_MAX]; /* Go's names: "amd64", "arm64", "arm" */
    char variant[IMAGE_PLATFORM_BYTES_MAX];
    char name[IMAGE_REFERENCE_BYTES_MAX]; /* what an archive's annotations call it, or "" */
    bool is_pulled; /* our own annotation: a registry has it, as far as is known */
};

struct image_index {
    struct image_index_entry *entries;
    size_t count;
};

/* The annotation of an entry of index.json whose image came from a registry. */
#define IMAGE_PULLED_ANNOTATION "org.consort.pulled"

/* Reads an index (or the index.json of a layout) into `ret`; -EBADMSG, -E2BIG or -ENOMEM. */
int image_index_parse(struct bytes json, struct image_index *ret, struct error *error);
void image_index_done(struct image_index *index);

/* The entry for this machine's platform: the nearest ARM variant counts, and entries that do not
 * say their platform count if there is no better one. NULL if there is none. */
const struct image_index_entry *image_index_choose(const struct image_index *index);

/* Reads a manifest: sets config_blob, the layers' blobs and compressions, and size_bytes (with the
 * manifest's own). -EBADMSG, -E2BIG, -ENOTSUP for encrypted or foreign layers. Allocates nothing.
 */
int image_manifest_parse(struct bytes json, struct image *ret, struct error *error);

/* Reads a configuration into `image`, whose manifest was parsed: sets `config` and every layer's
 * diff_id; -EBADMSG if it names another number of layers. On failure `config` is empty. */
int image_config_parse(struct bytes json, struct image *image, struct error *error);
void image_config_done(struct image_config *config);

/* On the heap, for it is large. image_new() is all zero; both accept NULL and half-built. */
struct image *image_new(void);
void image_free(struct image *image);

/* Writes the OCI manifest of an image (config_blob and layers with their compressions) into `ret`:
 * the same image gives the same bytes, so importing an archive twice gives one image. */
int image_manifest_write(const struct image *image, struct buffer *ret);

/* This machine's architecture in Go's words: "amd64", "arm64", "arm", … */
const char *image_host_architecture(void);
