#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node/compose/compose_bench.h"

/* Breaks if what the local driver's options say is not what is mounted. */
static void test_driver_opts(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("services: {web: {image: a, volumes: ['a:/a', 'b:/b', '/new:/c:nocopy',\n"
               "  {type: bind, source: /d, target: /d, bind: {create_host_path: false}}]}}\n"
               "volumes:\n  a: {driver_opts: {type: none, o: 'bind,rslave', device: /srv/data}}\n"
               "  b: {driver_opts: {type: tmpfs, o: 'size=1m', device: tmpfs}}\n",
               &result);
    const struct spec_mount *mounts = result.services[0].mounts;
    assert_int_equal(mounts[0].type, SPEC_MOUNT_BIND);
    assert_string_equal(mounts[0].source, "/srv/data");
    assert_int_equal(mounts[0].propagation, SPEC_PROPAGATION_RSLAVE);
    assert_true(mounts[0].must_exist);
    assert_int_equal(mounts[1].type, SPEC_MOUNT_TMPFS);
    assert_int_equal(mounts[1].size_bytes, 1 << 20);
    assert_false(mounts[2].must_exist);
    assert_true(mounts[3].must_exist);
    compose_result_done(&result);
    bench_load("services: {web: {image: a, volumes: ['a:/a:ro', 'b:/b']}}\nvolumes:\n"
               "  a: {driver_opts: {type: nfs, o: 'addr=10.0.0.1,rw', device: ':/x'}}\n"
               "  b: {driver: local, driver_opts: {type: ext4, device: /dev/sdz1}}\n",
               &result);
    mounts = result.services[0].mounts;
    assert_int_equal(mounts[0].type, SPEC_MOUNT_DEVICE);
    assert_string_equal(mounts[0].source, ":/x");
    assert_string_equal(mounts[0].fs_type, "nfs");
    assert_string_equal(mounts[0].fs_options, "addr=10.0.0.1,rw");
    assert_true(mounts[0].read_only);
    assert_string_equal(mounts[1].source, "/dev/sdz1");
    assert_null(mounts[1].fs_options);
    compose_result_done(&result);
    bench_warn("services: {web: {image: a, volumes: ['a:/a']}}\nvolumes:\n"
               "  a: {driver_opts: {type: nfs}}\n",
               ":3: volumes.a.driver_opts: ignored: type and device are needed, or device and o: "
               "bind");
    bench_load("services: {web: {image: a, volumes: ['a:/a', 'b:/b']}}\nvolumes:\n"
               "  a: {external: {name: old}}\n  b: {external: 'true'}\n",
               &result);
    assert_string_equal(result.services[0].mounts[0].source, "old");
    assert_string_equal(result.services[0].mounts[1].source, "b");
    compose_result_done(&result);
}

/* Breaks if a part of a volume is another, or all of it; or if what is mounted below a bind is seen
 * otherwise than is asked for. */
static void test_mounts(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service(
        "    volumes: [{type: volume, source: data, target: /a, consistency: cached,\n"
        "      volume: {subpath: db/one}}, {type: bind, source: /b, target: /b,\n"
        "      bind: {propagation: rshared}}, '/c:/c:ro,slave,delegated']\n",
        &result);
    const struct spec_mount *mounts = result.services[0].mounts;
    assert_string_equal(mounts[0].subpath, "db/one");
    assert_int_equal(mounts[1].propagation, SPEC_PROPAGATION_RSHARED);
    assert_int_equal(mounts[2].propagation, SPEC_PROPAGATION_SLAVE);
    assert_true(mounts[2].read_only);
    compose_result_done(&result);
    bench_load_service("    volumes: [{type: image, source: 'r.example/assets:2', target: /a/,\n"
                       "      image: {subpath: www}}]\n",
                       &result);
    mounts = result.services[0].mounts;
    assert_int_equal(mounts[0].type, SPEC_MOUNT_IMAGE);
    assert_string_equal(mounts[0].source, "r.example/assets:2");
    assert_string_equal(mounts[0].subpath, "www");
    assert_true(mounts[0].read_only);
    compose_result_done(&result);
    bench_warn_service(
        "    volumes: [{type: bind, source: /b, target: /b, bind: {selinux: z}}]\n",
        ":4: services.web.volumes.bind.selinux: ignored: containers here are not labelled");
}

/* Breaks if two containers write to the same files during an update, unless the file wants it so.
 */
static void test_order(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool stops_first;
    } cases[] = {
        {"    volumes: ['data:/data']\n", true},
        {"    volumes: ['./data:/data']\n", true},
        {"    volumes: [/anonymous]\n", true},
        {"    volumes: ['./data:/data:ro']\n    tmpfs: /tmp\n", false},
        {"    tmpfs: /tmp\n    deploy: {update_config: {order: stop-first}}\n", true},
        {"    volumes: ['data:/data']\n    deploy: {update_config: {order: start-first}}\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct compose_result result;
        bench_load_service(cases[i].lines, &result);
        const struct service_spec *spec = &result.services[0];
        assert_int_equal(service_spec_stops_first(spec, &spec->update), cases[i].stops_first);
        compose_result_done(&result);
    }
}

/* Breaks if a volume of another name, or another stack's, is taken for the stack's own; or a tmpfs
 * has another mode. */
static void test_volume_names(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("services: {web: {image: a, volumes: ['a:/a', 'b:/b', 'c:/c'],\n"
               "  tmpfs: '/t:size=1m,mode=700'}}\n"
               "volumes: {a: {name: shared}, b: {external: true}, c: {driver: local}}\n",
               &result);
    const struct spec_mount *mounts = result.services[0].mounts;
    assert_string_equal(mounts[0].source, "shared");
    assert_string_equal(mounts[1].source, "b");
    assert_string_equal(mounts[2].source, "shop_c");
    assert_int_equal(mounts[3].mode, 0700);
    compose_result_done(&result);
}

/* Breaks if data lies elsewhere than it is written. */
static void test_volumes(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service(
        "    volumes: ['data:/data:ro', /own, '/srv/../a/./b//c:/c/.', {type: bind,\n"
        "      source: /x, target: /y, read_only: true}]\n"
        "    tmpfs: ['/run:size=2M']\n",
        &result);
    const struct spec_mount *mounts = result.services[0].mounts;
    assert_int_equal(result.services[0].mount_count, 5);
    assert_int_equal(mounts[0].type, SPEC_MOUNT_VOLUME);
    assert_string_equal(mounts[0].source, "shop_data");
    assert_true(mounts[0].read_only);
    assert_null(mounts[1].source);
    assert_string_equal(mounts[1].target, "/own");
    assert_int_equal(mounts[2].type, SPEC_MOUNT_BIND);
    assert_string_equal(mounts[2].source, "/a/b/c");
    assert_string_equal(mounts[2].target, "/c");
    assert_string_equal(mounts[3].source, "/x");
    assert_true(mounts[3].read_only);
    assert_int_equal(mounts[4].type, SPEC_MOUNT_TMPFS);
    assert_int_equal(mounts[4].size_bytes, 2 << 20);
    compose_result_done(&result);
    bench_load_service("    volumes: ['../data:/d']\n", &result);
    assert_string_equal(result.services[0].mounts[0].source, "/tmp/data");
    compose_result_done(&result);
    bench_warn_service(
        "    volumes: ['data:/data:z']\n",
        ":4: services.web.volumes: the option z is ignored: containers here are not labelled");
    bench_warn_service(
        "    tmpfs: '/run:uid=7'\n",
        ":4: services.web.tmpfs: the option uid=7 is not supported by Consort: ignored");
}

/* Breaks if a mistake is taken, or its message does not say where it is and what would be right. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *words;
    } cases[] = {
        {"    volumes: ['a:b']\n",
         ":4: services.web.volumes: the path in the container must be absolute, and below /"},
        {"    volumes: ['a:/..']\n",
         ":4: services.web.volumes: the path in the container must be absolute, and below /"},
        {"    volumes: ['my data:/d']\n",
         ":4: services.web.volumes: my data can't be a volume's name: letters, digits, - _ and . "
         "are expected, with the stack's name at most 64; a path begins with / or ."},
        {"    volumes: [{type: nfs, target: /x}]\n",
         ":4: services.web.volumes.type: nfs is not one of volume, bind, tmpfs, image"},
        {"    volumes: [{type: image, target: /x}]\n",
         ":4: services.web.volumes: a mount of an image needs the image as its source"},
        {"    volumes: [{type: image, source: a, target: /x, image: {subpath: /etc}}]\n",
         ":4: services.web.volumes.image.subpath: a path within what is mounted is expected, as "
         "in data/pictures"},
        {"    volumes: [{type: volume, source: a, target: /x, volume: {subpath: /etc}}]\n",
         ":4: services.web.volumes.volume.subpath: a path within what is mounted is expected, as "
         "in data/pictures"},
        {"    volumes: [{type: volume, target: /x, volume: {subpath: etc}}]\n",
         ":4: services.web.volumes: only an image or a named volume, of no driver_opts, has a "
         "subpath"},
        {"    volumes: [{type: bind, target: /x}]\n",
         ":4: services.web.volumes: a bind mount needs a source"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bench_refuse_service(cases[i].lines, cases[i].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),        cmocka_unit_test(test_driver_opts),
        cmocka_unit_test(test_mounts),       cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_volume_names), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
