#include "tests/unit/runtime/image_fixture.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static void make_layer(struct sample *sample, int index, const char *name, const char *text)
{
    struct tar *tar = tar_new();
    cleanup_buffer struct buffer plain;
    tar_directory(tar, "etc");
    tar_file(tar, name, text);
    if (index == 0) {
        tar_file(tar, "etc/gone", "the layer above removes it");
        tar_file(tar, "etc/old/gone", "and the directory of this");
    } else {
        tar_file(tar, "etc/.wh.gone", "");
        tar_file(tar, "etc/old/.wh..wh..opq", "");
        tar_file(tar, "etc/old/new", "new");
    }
    tar_finish(tar, ARCHIVE_FILTER_NONE, &plain);
    digest_of(plain.bytes, plain.size, &sample->diff_ids[index]);
    struct buffer *stored = &sample->layers[index];
    buffer_init(stored);
    if (sample->filter == ARCHIVE_FILTER_NONE)
        buffer_append(stored, plain.bytes, plain.size);
    else
        compress_bytes(buffer_view(&plain), sample->filter, stored);
    digest_of(stored->bytes, stored->size, &sample->layer_digests[index]);
}

static void add_descriptor(struct buffer *json, const char *type, const struct digest *digest,
                           size_t size_bytes)
{
    char text[DIGEST_TEXT_BYTES];
    digest_format(digest, text);
    buffer_printf(json,
                  "{\"mediaType\":\"application/vnd.oci.image.%s\",\"digest\":\"%s\",\"size\":%zu}",
                  type, text, size_bytes);
}

void sample_make(const char *word, int filter, struct sample *ret)
{
    *ret = (struct sample){.filter = filter};
    make_layer(ret, 0, "etc/base", "the same for all");
    make_layer(ret, 1, "etc/word", word);
    char text[DIGEST_TEXT_BYTES];
    buffer_init(&ret->config);
    buffer_printf(&ret->config,
                  "{\"created\":\"2024-01-01T00:00:00Z\",\"architecture\":\"%s\",\"os\":\"linux\","
                  "\"config\":{\"Cmd\":[\"%s\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
                  image_host_architecture(), word);
    for (int i = 0; i < SAMPLE_LAYERS; i++) {
        digest_format(&ret->diff_ids[i], text);
        buffer_printf(&ret->config, "%s\"%s\"", i ? "," : "", text);
    }
    buffer_append_text(&ret->config, "]}}");
    digest_of(ret->config.bytes, ret->config.size, &ret->config_digest);
    buffer_init(&ret->manifest);
    buffer_append_text(&ret->manifest, "{\"schemaVersion\":2,\"config\":");
    add_descriptor(&ret->manifest, "config.v1+json", &ret->config_digest, ret->config.size);
    const char *type = filter == ARCHIVE_FILTER_GZIP   ? "layer.v1.tar+gzip"
                       : filter == ARCHIVE_FILTER_ZSTD ? "layer.v1.tar+zstd"
                                                       : "layer.v1.tar";
    for (int i = 0; i < SAMPLE_LAYERS; i++) {
        buffer_append_text(&ret->manifest, i ? "," : ",\"layers\":[");
        add_descriptor(&ret->manifest, type, &ret->layer_digests[i], ret->layers[i].size);
    }
    buffer_append_text(&ret->manifest, "]}");
    digest_of(ret->manifest.bytes, ret->manifest.size, &ret->digest);
}

void sample_done(struct sample *sample)
{
    for (int i = 0; i < SAMPLE_LAYERS; i++)
        buffer_done(&sample->layers[i]);
    buffer_done(&sample->config);
    buffer_done(&sample->manifest);
}

void blob_name(const struct digest *digest, char ret[SAMPLE_NAME_BYTES])
{
    char hex[DIGEST_HEX_BYTES];
    digest_format_hex(digest, hex);
    snprintf(ret, SAMPLE_NAME_BYTES, "blobs/sha256/%s", hex);
}

/* "<hex><end>" */
static void docker_name(const struct digest *digest, const char *end, char ret[SAMPLE_NAME_BYTES])
{
    char hex[DIGEST_HEX_BYTES];
    digest_format_hex(digest, hex);
    snprintf(ret, SAMPLE_NAME_BYTES, "%s%s", hex, end);
}

void sample_add_docker(const struct sample *sample, struct tar *tar)
{
    char name[SAMPLE_NAME_BYTES];
    for (int i = 0; i < SAMPLE_LAYERS; i++) {
        docker_name(&sample->diff_ids[i], "/layer.tar", name);
        tar_bytes(tar, name, buffer_view(&sample->layers[i]));
    }
    docker_name(&sample->config_digest, ".json", name);
    tar_bytes(tar, name, buffer_view(&sample->config));
}

void sample_docker_entry(const struct sample *sample, const char *tags_json, struct buffer *json)
{
    char config[SAMPLE_NAME_BYTES], name[SAMPLE_NAME_BYTES];
    docker_name(&sample->config_digest, ".json", config);
    buffer_printf(json, "{\"Config\":\"%s\",\"RepoTags\":%s,\"Layers\":[", config, tags_json);
    for (int i = 0; i < SAMPLE_LAYERS; i++) {
        docker_name(&sample->diff_ids[i], "/layer.tar", name);
        buffer_printf(json, "%s\"%s\"", i ? "," : "", name);
    }
    buffer_append_text(json, "]}");
}

/* Calls `put` with the name and bytes of each blob. */
static void each_blob(const struct sample *sample,
                      void (*put)(void *context, const char *name, struct bytes data),
                      void *context)
{
    char name[SAMPLE_NAME_BYTES];
    for (int i = 0; i < SAMPLE_LAYERS; i++) {
        blob_name(&sample->layer_digests[i], name);
        put(context, name, buffer_view(&sample->layers[i]));
    }
    blob_name(&sample->config_digest, name);
    put(context, name, buffer_view(&sample->config));
    blob_name(&sample->digest, name);
    put(context, name, buffer_view(&sample->manifest));
}

static void put_in_tar(void *context, const char *name, struct bytes data)
{
    tar_bytes(context, name, data);
}

static void put_in_directory(void *context, const char *name, struct bytes data)
{
    scratch_write(context, name, data);
}

static void put_in_store(void *context, const char *name, struct bytes data)
{
    (void)name;
    int r = blob_store_put(context, data.data, data.size, NULL, NULL);
    assert(r == 0);
}

void sample_add_oci(const struct sample *sample, struct tar *tar)
{
    each_blob(sample, put_in_tar, tar);
}

void sample_write_oci(const struct sample *sample, const char *directory)
{
    each_blob(sample, put_in_directory, (void *)directory);
}

void oci_index(const struct digest *digest, size_t size_bytes, const char *platform_json,
               const char *name, struct buffer *json)
{
    char text[DIGEST_TEXT_BYTES];
    digest_format(digest, text);
    buffer_printf(json, "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":%zu", text,
                  size_bytes);
    if (platform_json)
        buffer_printf(json, ",\"platform\":%s", platform_json);
    if (name)
        buffer_printf(json, ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\"}",
                      name);
    buffer_append_text(json, "}]}");
}

void sample_store(const struct sample *sample, struct image_store *store, const char *name)
{
    each_blob(sample, put_in_store, image_store_blobs(store));
    int r = name ? image_store_tag(store, name, &sample->digest, NULL) : 0;
    assert(r == 0);
}
