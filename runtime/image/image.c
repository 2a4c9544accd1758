#include "runtime/image/image.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "runtime/image/image_json.h"

static const char oci_manifest_type[] = "application/vnd.oci.image.manifest.v1+json";
static const char oci_index_type[] = "application/vnd.oci.image.index.v1+json";
static const char oci_config_type[] = "application/vnd.oci.image.config.v1+json";
static const char docker_manifest_type[] = "application/vnd.docker.distribution.manifest.v2+json";
static const char docker_index_type[] = "application/vnd.docker.distribution.manifest.list.v2+json";
static const char docker_config_type[] = "application/vnd.docker.container.image.v1+json";

static const struct {
    const char *type;
    enum layer_compression compression;
} layer_types[] = {
    /* The first of each compression is what image_manifest_write() writes. */
    {"application/vnd.oci.image.layer.v1.tar", LAYER_TAR},
    {"application/vnd.oci.image.layer.v1.tar+gzip", LAYER_GZIP},
    {"application/vnd.oci.image.layer.v1.tar+zstd", LAYER_ZSTD},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar", LAYER_TAR},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LAYER_GZIP},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", LAYER_ZSTD},
    {"application/vnd.docker.image.rootfs.diff.tar", LAYER_TAR},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", LAYER_GZIP},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", LAYER_ZSTD},
};

int image_document_kind(struct bytes json, enum image_document *ret, struct error *error)
{
    cleanup_json json_t *document = NULL;
    int r = image_json_parse(json, "image manifest", &document, error);
    if (r < 0)
        return r;
    int64_t version = 0;
    const char *type = NULL;
    const json_t *layers = NULL, *manifests = NULL;
    if ((r = image_json_integer(document, "schemaVersion", INT32_MAX, &version, error)) < 0 ||
        (r = image_json_text(document, "mediaType", &type, error)) < 0 ||
        (r = image_json_array(document, "layers", &layers, error)) < 0 ||
        (r = image_json_array(document, "manifests", &manifests, error)) < 0) {
        error_prefix(error, "image manifest");
        return r;
    }
    if (version == 1) {
        error_set(error, -EBADMSG, "image manifest: it is of Docker's obsolete schema 1");
        error_hint(error, "push the image again with a Docker of this decade");
        return -EBADMSG;
    }
    bool says_manifest =
        type && (strcmp(type, oci_manifest_type) == 0 || strcmp(type, docker_manifest_type) == 0);
    bool says_index =
        type && (strcmp(type, oci_index_type) == 0 || strcmp(type, docker_index_type) == 0);
    /* A document that is both could be shown to one tool as an image and to another as a list of
     * others (CVE-2021-41190). */
    if (version != 2 || !layers == !manifests || (type && !says_manifest && !says_index) ||
        (says_manifest && !layers) || (says_index && !manifests))
        return error_set(error, -EBADMSG, "image manifest: neither a manifest nor an index");
    *ret = layers ? IMAGE_MANIFEST : IMAGE_INDEX;
    return 0;
}

const char *image_document_type(enum image_document kind)
{
    return kind == IMAGE_INDEX ? oci_index_type : oci_manifest_type;
}

static int parse_descriptor(const json_t *object, int64_t max_bytes, struct image_descriptor *ret,
                            struct error *error)
{
    struct image_descriptor descriptor = {.size_bytes = -1};
    int r = image_json_digest(object, "digest", &descriptor.digest, error);
    if (r == 0)
        r = image_json_integer(object, "size", max_bytes, &descriptor.size_bytes, error);
    if (r == 0 && descriptor.size_bytes < 0)
        r = error_set(error, -EBADMSG, "\"size\" is missing");
    if (r == 0)
        *ret = descriptor;
    return r;
}

static int parse_layer(const json_t *object, struct image_layer *ret, struct error *error)
{
    const char *type = NULL;
    int r = parse_descriptor(object, BLOB_BYTES_MAX, &ret->blob, error);
    if (r == 0)
        r = image_json_text(object, "mediaType", &type, error);
    if (r < 0)
        return r;
    for (size_t i = 0; type && i < array_count(layer_types); i++) {
        if (strcmp(type, layer_types[i].type) == 0) {
            ret->compression = layer_types[i].compression;
            return 0;
        }
    }
    return error_set(error, -ENOTSUP, "a layer is of type %s, which Consort cannot unpack",
                     type ? type : "\"\"");
}

static int parse_config_descriptor(const json_t *document, struct image_descriptor *ret,
                                   struct error *error)
{
    const json_t *config = NULL;
    const char *type = NULL;
    int r = image_json_object(document, "config", &config, error);
    if (r == 0)
        r = image_json_text(config, "mediaType", &type, error);
    if (r < 0)
        return r;
    if (!type || (strcmp(type, oci_config_type) != 0 && strcmp(type, docker_config_type) != 0))
        return error_set(error, -ENOTSUP,
                         "this is not a container image but an artifact of type %s",
                         type ? type : "\"\"");
    return parse_descriptor(config, IMAGE_JSON_BYTES_MAX, ret, error);
}

int image_manifest_parse(struct bytes json, struct image *ret, struct error *error)
{
    enum image_document kind;
    int r = image_document_kind(json, &kind, error);
    if (r < 0)
        return r;
    if (kind != IMAGE_MANIFEST)
        return error_set(error, -EBADMSG, "image manifest: an index where a manifest should be");
    cleanup_json json_t *document = NULL;
    const json_t *layers = NULL;
    struct image_descriptor config;
    if ((r = image_json_parse(json, "image manifest", &document, error)) < 0)
        return r;
    if ((r = image_json_array(document, "layers", &layers, error)) < 0 ||
        (r = parse_config_descriptor(document, &config, error)) < 0) {
        error_prefix(error, "image manifest");
        return r;
    }
    size_t count = json_array_size(layers);
    if (count == 0 || count > IMAGE_LAYERS_MAX)
        return error_set(error, count ? -E2BIG : -EBADMSG, "image manifest: %zu layers", count);
    struct image_layer parsed[IMAGE_LAYERS_MAX] = {0};
    int64_t size_bytes = (int64_t)json.size + config.size_bytes;
    for (size_t i = 0; i < count; i++) {
        r = parse_layer(json_array_get(layers, i), &parsed[i], error);
        if (r < 0) {
            error_prefix(error, "image manifest: layer %zu", i);
            return r;
        }
        size_bytes += parsed[i].blob.size_bytes; /* at most 128 times BLOB_BYTES_MAX */
    }
    digest_of(json.data, json.size, &ret->digest);
    ret->config_blob = config;
    memcpy(ret->layers, parsed, sizeof(parsed));
    ret->layer_count = count;
    ret->size_bytes = size_bytes;
    return 0;
}

static json_t *descriptor_json(const char *type, const struct image_descriptor *descriptor)
{
    char digest[DIGEST_TEXT_BYTES];
    digest_format(&descriptor->digest, digest);
    return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size",
                     (json_int_t)descriptor->size_bytes);
}

static const char *layer_type_name(enum layer_compression compression)
{
    for (size_t i = 0;; i++) {
        assert(i < array_count(layer_types));
        if (layer_types[i].compression == compression)
            return layer_types[i].type;
    }
}

int image_manifest_write(const struct image *image, struct buffer *ret)
{
    cleanup_json json_t *document =
        json_pack("{s:i, s:s, s:o, s:[]}", "schemaVersion", 2, "mediaType", oci_manifest_type,
                  "config", descriptor_json(oci_config_type, &image->config_blob), "layers");
    json_t *layers = json_object_get(document, "layers");
    for (size_t i = 0; layers && i < image->layer_count; i++) {
        const struct image_layer *layer = &image->layers[i];
        if (json_array_append_new(
                layers, descriptor_json(layer_type_name(layer->compression), &layer->blob)) < 0)
            return -ENOMEM;
    }
    cleanup_free char *text = layers ? json_dumps(document, JSON_COMPACT) : NULL;
    return text ? buffer_append_text(ret, text) : -ENOMEM;
}

/* Copies a text that counts only if it fits. */
static void copy_if_fits(char *target, size_t capacity, const char *text)
{
    if (text && strlen(text) < capacity)
        memcpy(target, text, strlen(text) + 1);
}

static int parse_entry(const json_t *object, struct image_index_entry *entry, struct error *error)
{
    const json_t *platform = NULL, *annotations = NULL;
    const char *os = NULL, *architecture = NULL, *variant = NULL, *name = NULL, *pulled = NULL;
    int r;
    if ((r = parse_descriptor(object, IMAGE_JSON_BYTES_MAX, &entry->blob, error)) < 0 ||
        (r = image_json_object(object, "platform", &platform, error)) < 0 ||
        (r = image_json_text(platform, "os", &os, error)) < 0 ||
        (r = image_json_text(platform, "architecture", &architecture, error)) < 0 ||
        (r = image_json_text(platform, "variant", &variant, error)) < 0 ||
        (r = image_json_object(object, "annotations", &annotations, error)) < 0 ||
        (r = image_json_text(annotations, "org.opencontainers.image.ref.name", &name, error)) < 0 ||
        (r = image_json_text(annotations, "io.containerd.image.name", &name, error)) < 0 ||
        (r = image_json_text(annotations, IMAGE_PULLED_ANNOTATION, &pulled, error)) < 0)
        return r;
    copy_if_fits(entry->os, sizeof(entry->os), os);
    copy_if_fits(entry->architecture, sizeof(entry->architecture), architecture);
    copy_if_fits(entry->variant, sizeof(entry->variant), variant);
    copy_if_fits(entry->name, sizeof(entry->name), name);
    entry->is_pulled = pulled != NULL;
    return 0;
}

int image_index_parse(struct bytes json, struct image_index *ret, struct error *error)
{
    cleanup_json json_t *document = NULL;
    const json_t *manifests = NULL;
    int r = image_json_parse(json, "image index", &document, error);
    if (r < 0)
        return r;
    r = image_json_array(document, "manifests", &manifests, error);
    if (r < 0) {
        error_prefix(error, "image index");
        return r;
    }
    size_t count = json_array_size(manifests);
    if (!manifests || count > IMAGE_INDEX_ENTRIES_MAX)
        return error_set(error, manifests ? -E2BIG : -EBADMSG, "image index: %zu manifests", count);
    struct image_index index = {.count = count};
    index.entries = calloc(count + 1, sizeof(*index.entries));
    if (!index.entries)
        return error_set_errno(error, -ENOMEM, "image index");
    for (size_t i = 0; i < count; i++) {
        r = parse_entry(json_array_get(manifests, i), &index.entries[i], error);
        if (r < 0) {
            image_index_done(&index);
            error_prefix(error, "image index: entry %zu", i);
            return r;
        }
    }
    *ret = index;
    return 0;
}

void image_index_done(struct image_index *index)
{
    free(index->entries);
    *index = (struct image_index){0};
}

const char *image_host_architecture(void)
{
    static const struct {
        const char *machine, *architecture;
    } names[] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"},   {"armv8l", "arm"},          {"armv7l", "arm"},
        {"armv6l", "arm"},   {"riscv64", "riscv64"}, {"ppc64le", "ppc64le"},     {"s390x", "s390x"},
        {"i686", "386"},     {"i586", "386"},        {"loongarch64", "loong64"},
    };
    struct utsname host;
    if (uname(&host) < 0)
        return "unknown";
    for (size_t i = 0; i < array_count(names); i++) {
        if (strcmp(names[i].machine, host.machine) == 0)
            return names[i].architecture;
    }
    return "unknown";
}

/* How well an entry suits this machine; 0 not at all. */
static int platform_rank(const struct image_index_entry *entry, const char *architecture,
                         int arm_version)
{
    if (!entry->architecture[0] && !entry->os[0])
        return 1;
    if (strcmp(entry->os, "linux") != 0 || strcmp(entry->architecture, architecture) != 0)
        return 0;
    const char *variant = entry->variant;
    if (!variant[0])
        return 9;
    bool arm = strncmp(architecture, "arm", 3) == 0;
    if (arm && variant[0] == 'v' && variant[1] >= '5' && variant[1] <= '9' && !variant[2])
        return variant[1] - '0' <= arm_version ? 10 + variant[1] - '0' : 0;
    return 2; /* "amd64 v3", say: it may need instructions that are not there */
}

const struct image_index_entry *image_index_choose(const struct image_index *index)
{
    const char *architecture = image_host_architecture();
    struct utsname host;
    int arm_version = uname(&host) == 0 && strncmp(host.machine, "armv6", 5) == 0   ? 6
                      : uname(&host) == 0 && strncmp(host.machine, "armv7", 5) == 0 ? 7
                                                                                    : 8;
    const struct image_index_entry *best = NULL;
    int best_rank = 0;
    for (size_t i = 0; i < index->count; i++) {
        int rank = platform_rank(&index->entries[i], architecture, arm_version);
        if (rank > best_rank) {
            best = &index->entries[i];
            best_rank = rank;
        }
    }
    return best;
}

struct image *image_new(void)
{
    return calloc(1, sizeof(struct image));
}

void image_free(struct image *image)
{
    if (!image)
        return;
    image_config_done(&image->config);
    free(image);
}
