/* The sweep's operations on images: import, pull, removal. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/image/image_import.h"
#include "runtime/registry/http.h"
#include "runtime/registry/pull.h"
#include "sweep.h"

static char archive[128];
static const char reference[] = "127.0.0.1:5001/swept:1";
static pid_t web_server;

static struct image_store *open_images(struct fixture *fixture)
{
    struct image_store *store;
    struct error error = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s/others", fixture->directory);
    CHECK(image_store_open(path, &store, &error) == 0, "%s", error.message);
    return store;
}

static void unpack(struct fixture *fixture, struct image_store *store)
{
    struct image *image;
    struct digest digest;
    struct text_list layers = {0};
    struct error error = {0};
    (void)fixture;
    CHECK(image_store_resolve(store, "swept:1", &digest, &error) == 0, "%s", error.message);
    CHECK(image_store_load(store, &digest, &image, &error) == 0, "%s", error.message);
    CHECK(image_store_unpack(store, image, &layers, &error) == 0, "%s", error.message);
    CHECK(layers.count == 1, "%zu layers", layers.count);
    CHECK(fixture_shell("cd %s && [ $(cat etc/word) = swept ] && [ -L link ] && [ etc/word -ef hard"
                        " ] && [ $(stat -c %%a private) = 700 ]",
                        layers.items[0]) == 0,
          "the layer is not as in the archive");
    text_list_done(&layers);
    image_free(image);
}

void import_image(struct fixture *fixture)
{
    struct image_store *store = open_images(fixture);
    struct error error = {0};
    CHECK(image_import(store, archive, NULL, NULL, NULL, &error) == 0, "%s", error.message);
    unpack(fixture, store);
    image_store_free(store);
}

void remove_image(struct fixture *fixture)
{
    struct image_store *store = open_images(fixture);
    struct error error = {0};
    int result = image_store_remove(store, "swept:1", &error);
    CHECK(result == 0 || result == -ENOENT, "%s", error.message);
    CHECK(image_store_collect(store, 0, NULL, &error) == 0, "%s", error.message);
    image_store_free(store);
}

void import_again(struct fixture *fixture)
{
    import_image(fixture);
    remove_image(fixture);
}

static void pull_blobs(struct fixture *fixture, struct blob_store *blobs, struct digest *ret)
{
    struct error error = {0};
    char settings[128];
    snprintf(settings, sizeof(settings), "%s/registries.json", fixture->directory);
    const struct pull_options options = {.settings_path = settings};
    CHECK(http_start(&error) == 0, "%s", error.message);
    CHECK(registry_pull(blobs, &options, reference, ret, &error) == 0, "%s", error.message);
}

void pull_image(struct fixture *fixture)
{
    struct image_store *store = open_images(fixture);
    struct digest digest;
    struct error error = {0};
    image_store_import_begin(store);
    pull_blobs(fixture, image_store_blobs(store), &digest);
    CHECK(image_store_tag_pulled(store, "swept:1", &digest, &error) == 0, "%s", error.message);
    image_store_import_end(store);
    unpack(fixture, store);
    image_store_free(store);
}

void pull_again(struct fixture *fixture)
{
    pull_image(fixture);
    remove_image(fixture);
}

static struct blob_store *open_beside(struct fixture *fixture)
{
    struct blob_store *blobs;
    struct error error = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s/others", fixture->directory);
    CHECK(blob_store_open_beside(path, &blobs, &error) == 0, "%s", error.message);
    return blobs;
}

void make_store(struct fixture *fixture)
{
    image_store_free(open_images(fixture));
}

void pull_as_child(struct fixture *fixture)
{
    struct blob_store *blobs = open_beside(fixture);
    struct digest digest;
    notes->pid = getpid();
    pull_blobs(fixture, blobs, &digest);
    blob_store_free(blobs);
}

void sweep_child_and_pull_again(struct fixture *fixture)
{
    struct blob_store *blobs = open_beside(fixture);
    if (notes->pid != 0)
        blob_store_sweep_child(blobs, notes->pid);
    blob_store_free(blobs);
    CHECK(fixture_shell("[ -z \"$(ls %s/others/tmp)\" ]", fixture->directory) == 0,
          "what its child wrote is left");
    pull_again(fixture);
}

unsigned count_image_files(struct fixture *fixture)
{
    return (unsigned)fixture_shell("cd %s/others && left=$(find blobs/sha256 tmp layers "
                                   "-mindepth 1; find . -name '*.tmp') && [ -z \"$left\" ] || "
                                   "{ echo \"$left\" >&2; exit 1; }",
                                   fixture->directory);
}

/* A registry's answers, as files: plain HTTP is all that this one shall be pulled by. */
static void write_registry(struct fixture *fixture)
{
    int made = fixture_shell(
        "cd %s && mkdir -p www/v2/swept/manifests www/v2/swept/blobs && "
        "c=$(sha256sum config.json | cut -d' ' -f1) && l=$(sha256sum layer.tar | cut -d' ' -f1) && "
        "printf "
        "'{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",'"
        "'\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",'"
        "'\"digest\":\"sha256:%%s\",\"size\":%%s},'"
        "'\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",'"
        "'\"digest\":\"sha256:%%s\",\"size\":%%s}]}' "
        "$c $(stat -c %%s config.json) $l $(stat -c %%s layer.tar) > www/v2/swept/manifests/1 && "
        "mv config.json www/v2/swept/blobs/sha256:$c && mv layer.tar www/v2/swept/blobs/sha256:$l",
        fixture->directory);
    assert_int_equal(made, 0);
    assert_int_equal(fixture_shell("echo '{\"insecure\":[\"127.0.0.1:5001\"]}' > "
                                   "%s/registries.json && ip link set lo up",
                                   fixture->directory),
                     0);
}

void sweep_images_end(void)
{
    if (web_server <= 0)
        return;
    kill(web_server, SIGKILL);
    waitpid(web_server, NULL, 0);
    web_server = 0;
}

static void serve_image(struct fixture *fixture)
{
    char home[128];
    snprintf(home, sizeof(home), "%s/www", fixture->directory);
    write_registry(fixture);
    sweep_images_end();
    web_server = fork();
    if (web_server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("busybox", "busybox", "httpd", "-f", "-p", "127.0.0.1:5001", "-h", home, NULL);
        _exit(127);
    }
    assert_int_equal(fixture_shell("for i in $(seq 1000); do busybox wget -q -O /dev/null "
                                   "http://127.0.0.1:5001/v2/swept/manifests/1 && exit 0; "
                                   "sleep 0.02; done; exit 1"),
                     0);
}

void sweep_images_begin(struct fixture *fixture)
{
    snprintf(archive, sizeof(archive), "%s/swept.tar", fixture->directory);
    const char *top = fixture->directory;
    int made = fixture_shell(
        "cd %s && mkdir -p l/etc l/private && chmod 700 l/private && echo swept > l/etc/word && "
        "ln l/etc/word l/hard && ln -s etc/word l/link && tar -C l -cf layer.tar . && rm -r l && "
        "printf '{\"os\":\"linux\",\"architecture\":\"%s\",\"config\":{\"Cmd\":[\"sh\"]},"
        "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%%s\"]}}' "
        "$(sha256sum layer.tar | cut -d' ' -f1) > config.json && "
        "printf '[{\"Config\":\"config.json\",\"RepoTags\":[\"swept:1\"],"
        "\"Layers\":[\"layer.tar\"]}]' > manifest.json && "
        "tar -cf swept.tar layer.tar config.json manifest.json && rm manifest.json",
        top, image_host_architecture());
    assert_int_equal(made, 0);
    serve_image(fixture);
}
