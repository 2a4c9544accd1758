#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/peer/image_pins.h"
#include "runtime/image/blob_store.h"
#include "tests/unit/runtime/fixture.h"

enum {
    OWN,
    MOUNTED,
    OTHER,
    BLOBS,
};

struct bench {
    char scratch[SCRATCH_PATH_BYTES];
    struct image_store *store;
    struct digest digests[BLOBS];
    char texts[BLOBS][DIGEST_TEXT_BYTES];
};

static void bench_open(struct bench *bench)
{
    static const char *const contents[] = {"own", "mounted", "other"};
    scratch_make(bench->scratch);
    assert_int_equal(image_store_open(bench->scratch, &bench->store, NULL), 0);
    for (size_t i = 0; i < BLOBS; i++) {
        assert_int_equal(blob_store_put(image_store_blobs(bench->store), contents[i],
                                        strlen(contents[i]), &bench->digests[i], NULL),
                         0);
        digest_format(&bench->digests[i], bench->texts[i]);
    }
}

static void bench_close(struct bench *bench)
{
    image_store_free(bench->store);
    scratch_remove(bench->scratch);
}

/* What is left of the blobs once nothing unneeded is: a bit for each. */
static unsigned left(struct bench *bench)
{
    unsigned result = 0;
    assert_int_equal(image_store_collect(bench->store, 0, NULL, NULL), 0);
    for (unsigned i = 0; i < BLOBS; i++)
        if (blob_store_has(image_store_blobs(bench->store), &bench->digests[i]))
            result |= 1u << i;
    return result;
}

/* Breaks if an image that a service mounts is collected while a replica needs it, or kept for ever.
 */
static void test_spec(void **state)
{
    (void)state;
    struct bench bench;
    struct service_spec spec;
    struct digest_set pins = {0};
    bench_open(&bench);
    service_spec_init(&spec);
    spec.image = strdup("web:1");
    struct spec_mount *mount = service_spec_add_mount(&spec);
    mount->type = SPEC_MOUNT_IMAGE;
    mount->source = strdup("assets:1");
    assert_int_equal(service_spec_set_digest(&spec, 0, bench.texts[OWN]), 0);
    assert_int_equal(image_pins_add(bench.store, &spec, &pins), -EINVAL);
    assert_int_equal(service_spec_set_digest(&spec, 1, bench.texts[MOUNTED]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(image_pins_add(bench.store, &spec, &pins), 0);
    assert_int_equal(pins.count, 2);
    assert_int_equal(left(&bench), 1u << OWN | 1u << MOUNTED);
    image_pins_drop(bench.store, &pins);
    assert_int_equal(left(&bench), 0);
    service_spec_done(&spec);
    bench_close(&bench);
}

/* Breaks if a daemon that starts anew removes an image that a container shows. */
static void test_container(void **state)
{
    (void)state;
    struct bench bench;
    struct container_spec spec;
    struct digest_set pins = {0};
    bench_open(&bench);
    container_spec_init(&spec);
    spec.image = strdup(bench.texts[OWN]);
    struct container_mount *mount = container_spec_add_mount(&spec);
    mount->type = MOUNT_VOLUME;
    mount->source = strdup("data");
    mount = container_spec_add_mount(&spec);
    mount->type = MOUNT_IMAGE;
    mount->source = strdup(bench.texts[MOUNTED]);
    assert_int_equal(image_pins_adopt(bench.store, &spec, &pins), 0);
    assert_int_equal(left(&bench), 1u << OWN | 1u << MOUNTED);
    image_pins_drop(bench.store, &pins);
    assert_int_equal(left(&bench), 0);
    container_spec_done(&spec);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec),
        cmocka_unit_test(test_container),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
