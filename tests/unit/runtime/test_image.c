#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/image/image.h"

#define SHA_A  "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_B  "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define OCI    "application/vnd.oci.image."
#define CONFIG "{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"" SHA_A "\",\"size\":7}"
#define LAYER(end)                                                                                 \
    "{\"mediaType\":\"" OCI "layer.v1.tar" end "\",\"digest\":\"" SHA_B "\",\"size\":9}"
#define MANIFEST(config, layers)                                                                   \
    "{\"schemaVersion\":2,\"config\":" config ",\"layers\":[" layers "]}"

static int parse_manifest(const char *json)
{
    struct image *image = image_new();
    struct error error = {0};
    int r = image_manifest_parse(bytes_of_text(json), image, &error);
    if (r < 0)
        assert_true(strlen(error.message) > 0);
    image_free(image);
    return r;
}

/* Breaks if a manifest does not give its layers in order, with sizes and compressions. */
static void test_manifest(void **state)
{
    (void)state;
    static const char json[] = MANIFEST(CONFIG, LAYER("") "," LAYER("+gzip") "," LAYER("+zstd"));
    struct image *image = image_new();
    assert_int_equal(image_manifest_parse(bytes_of_text(json), image, NULL), 0);
    assert_int_equal(image->layer_count, 3);
    assert_int_equal(image->layers[0].compression, LAYER_TAR);
    assert_int_equal(image->layers[1].compression, LAYER_GZIP);
    assert_int_equal(image->layers[2].compression, LAYER_ZSTD);
    assert_int_equal(image->config_blob.size_bytes, 7);
    assert_int_equal(image->size_bytes, (int)strlen(json) + 7 + 3 * 9);
    /* What we write, we read as the same. */
    cleanup_buffer struct buffer written;
    buffer_init(&written);
    assert_int_equal(image_manifest_write(image, &written), 0);
    struct image *again = image_new();
    assert_int_equal(image_manifest_parse(buffer_view(&written), again, NULL), 0);
    assert_memory_equal(again->layers, image->layers, sizeof(image->layers));
    image_free(again);
    image_free(image);
}

/* Breaks if a manifest that contradicts itself or that nobody could run is taken. */
static void test_manifest_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"schemaVersion\":1}",
        "{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}",
        "{\"schemaVersion\":2,\"mediaType\":\"text/html\",\"config\":" CONFIG ",\"layers\":[]}",
        MANIFEST(CONFIG, ""),
        MANIFEST(CONFIG, "7"),
        MANIFEST("{}", LAYER("")),
        MANIFEST(CONFIG, "{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" SHA_B "\"}"),
        MANIFEST(CONFIG, "{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"x\",\"size\":1}"),
        MANIFEST(CONFIG,
                 "{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" SHA_B "\",\"size\":-1}"),
        MANIFEST(CONFIG, "{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" SHA_B
                         "\",\"size\":99999999999999}"),
        MANIFEST(CONFIG, LAYER("+encrypted")),
        /* Two values for one name: which one counts would depend on the reader. */
        "{\"schemaVersion\":2,\"config\":" CONFIG
        ",\"layers\":[" LAYER("") "],\"layers\":[" LAYER("+gzip") "]}",
    };
    for (size_t i = 0; i < array_count(bad); i++) {
        if (parse_manifest(bad[i]) == 0)
            fail_msg("taken: %s", bad[i]);
    }
    cleanup_buffer struct buffer many;
    buffer_init(&many);
    buffer_append_text(&many, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER(""));
    for (int i = 1; i <= IMAGE_LAYERS_MAX; i++)
        buffer_append_text(&many, "," LAYER(""));
    buffer_append_text(&many, "]}");
    cleanup_free char *text = buffer_take_text(&many);
    assert_int_equal(parse_manifest(text), -E2BIG);
    /* Every beginning of a good one is bad. */
    static const char good[] = MANIFEST(CONFIG, LAYER(""));
    for (size_t size = 0; size < sizeof(good) - 1; size++) {
        struct image *image = image_new();
        assert_true(image_manifest_parse((struct bytes){(const uint8_t *)good, size}, image, NULL) <
                    0);
        image_free(image);
    }
}

static struct image *one_layer(void)
{
    struct image *image = image_new();
    assert_non_null(image);
    image->layer_count = 1;
    return image;
}

/* Breaks if a container would be started otherwise than its image says. */
static void test_config(void **state)
{
    (void)state;
    static const char json[] =
        "{\"created\":\"2024-02-03T04:05:06.789+01:00\",\"architecture\":\"arm64\",\"os\":"
        "\"linux\","
        "\"config\":{\"Entrypoint\":[\"/init\",\"-x\"],\"Cmd\":[\"serve\"],\"User\":\"www:www\","
        "\"Env\":[\"PATH=/bin\",\"broken\",\"EMPTY=\"],\"WorkingDir\":\"srv\","
        "\"StopSignal\":\"SIGINT\",\"Volumes\":{\"/data/\":{},\"/a/../etc\":{},\"rel\":{},"
        "\"/\":{},\"/var/lib/db\":null,\"/a//b\":{}},"
        "\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"9\":{},\"7/sctp\":{},\"0/tcp\":{}},"
        "\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"],\"Interval\":2000000000,\"Timeout\":1,"
        "\"Retries\":4}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" SHA_A "\"]}}";
    struct image *image = one_layer();
    assert_int_equal(image_config_parse(bytes_of_text(json), image, NULL), 0);
    const struct image_config *config = &image->config;
    assert_int_equal(config->entrypoint.count, 2);
    assert_string_equal(config->entrypoint.items[1], "-x");
    assert_null(config->entrypoint.items[2]);
    assert_int_equal(config->command.count, 1);
    assert_int_equal(config->environment.count, 2);
    assert_string_equal(config->environment.items[1], "EMPTY=");
    assert_string_equal(config->user, "www:www");
    assert_string_equal(config->working_dir, "/srv");
    assert_string_equal(config->stop_signal, "SIGINT");
    assert_string_equal(config->architecture, "arm64");
    assert_int_equal(config->created_wall_s, 1706929506);
    assert_int_equal(config->port_count, 3);
    assert_true(config->ports[1].udp && config->ports[1].port == 53);
    assert_int_equal(config->volumes.count, 2); /* what is no plain path is no place */
    assert_string_equal(config->volumes.items[0], "/data");
    assert_string_equal(config->volumes.items[1], "/var/lib/db");
    assert_int_equal(config->health.test.count, 2);
    assert_int_equal(config->health.interval_ms, 2000);
    assert_int_equal(config->health.timeout_ms, 1);
    assert_int_equal(config->health.retries, 4);
    char text[DIGEST_TEXT_BYTES];
    digest_format(&image->layers[0].diff_id, text);
    assert_string_equal(text, SHA_A);
    image_free(image);
}

/* Breaks if a hostile configuration gets through, or leaves half of itself behind. */
static void test_config_refused(void **state)
{
    (void)state;
#define ROOTFS "\"rootfs\":{\"diff_ids\":[\"" SHA_A "\"]}"
    static const char *const bad[] = {
        "{}",
        "{\"rootfs\":{\"diff_ids\":[]}}",
        "{\"rootfs\":{\"diff_ids\":[\"" SHA_A "\",\"" SHA_A "\"]}}",
        "{\"rootfs\":{\"diff_ids\":[7]}}",
        "{\"config\":7," ROOTFS "}",
        "{\"config\":{\"Cmd\":\"ls\"}," ROOTFS "}",
        "{\"config\":{\"Cmd\":[\"ls\",7]}," ROOTFS "}",
        "{\"config\":{\"Cmd\":[\"l\\u0000s\"]}," ROOTFS "}",
        "{\"config\":{\"User\":[]}," ROOTFS "}",
        "{\"config\":{\"Cmd\":[\"ls\"],\"Healthcheck\":{\"Interval\":-5}}," ROOTFS "}",
        "{\"config\":{\"Cmd\":[\"ls\"],\"ExposedPorts\":[]}," ROOTFS "}",
    };
    for (size_t i = 0; i < array_count(bad); i++) {
        struct image *image = one_layer();
        if (image_config_parse(bytes_of_text(bad[i]), image, NULL) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(image->config.command.count, 0);
        image_free(image);
    }
    struct image *image = one_layer();
    assert_int_equal(image_config_parse(bytes_of_text("{\"config\":null," ROOTFS "}"), image, NULL),
                     0);
    image_free(image);
}

/* Breaks if a machine runs another platform's program. */
static void test_index(void **state)
{
    (void)state;
#define ENTRY(os, architecture, variant, size)                                                     \
    "{\"digest\":\"" SHA_A "\",\"size\":" size ",\"platform\":{\"os\":\"" os                       \
    "\",\"architecture\":\"" architecture "\",\"variant\":\"" variant "\"}}"
    char json[4096];
    const char *host = image_host_architecture();
    snprintf(
        json, sizeof(json),
        "{\"schemaVersion\":2,\"manifests\":[" ENTRY("windows", "%s", "", "1") "," ENTRY(
            "linux", "mips", "", "2") "," ENTRY("linux", "%s", "",
                                                "3") "," ENTRY("unknown", "unknown", "", "4") "]}",
        host, host);
    struct image_index index;
    assert_int_equal(image_index_parse(bytes_of_text(json), &index, NULL), 0);
    assert_int_equal(index.count, 4);
    assert_int_equal(image_index_choose(&index)->blob.size_bytes, 3);
    index.count = 2;
    assert_null(image_index_choose(&index));
    image_index_done(&index);
    enum image_document kind;
    assert_int_equal(image_document_kind(bytes_of_text(json), &kind, NULL), 0);
    assert_int_equal(kind, IMAGE_INDEX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest), cmocka_unit_test(test_manifest_refused),
        cmocka_unit_test(test_config),   cmocka_unit_test(test_config_refused),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
